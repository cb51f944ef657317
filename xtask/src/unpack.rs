//! Archives unpacked as if hostile: nothing is written outside the folder that was meant, and nothing
//! but files, folders and links is made.

use anyarch_client::xz::{self, MemoryLimit};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Entry, EntryType};

/// Sources: Debian's tarballs of QEMU were measured to take 9 MiB (`xz -lvv`: a dictionary of 8 MiB), and whatever
/// `xz -9e` packs takes 65, the most of all that xz does by itself. So nobody's archive is refused for its size.
const SOURCE: MemoryLimit = MemoryLimit {
    bytes: 128 << 20,
    advice: "archives made by `xz -9e` need 65 MiB: unpack it yourself and pass the folder (--source DIR)",
};

/// Which members of an archive are unpacked, and under which names.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The archive holds one top folder, which is left out of the names.
    pub strip_top: bool,
    /// Members below these paths (after stripping) are passed over.
    pub leave_out: &'a [PathBuf],
}

/// Unpacks a `.tar.xz` file into the existing, empty folder `into`.
pub fn tar_xz(archive: &Path, into: &Path, rules: Rules<'_>) -> Result<()> {
    let file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    xz::Decoder::new(BufReader::new(file), SOURCE)
        .map_err(Into::into)
        .and_then(|stream| tar(stream, into, rules))
        .with_context(|| format!("cannot unpack {}", archive.display()))
}

/// Unpacks a tar stream into the existing, empty folder `into`.
pub fn tar(stream: impl Read, into: &Path, rules: Rules<'_>) -> Result<()> {
    let mut archive = Archive::new(stream);
    archive.set_preserve_mtime(false);
    archive.set_overwrite(false);
    let mut members = 0_u64;
    for entry in archive.entries().context("it is not a tar archive")? {
        let mut entry = entry.context("it is truncated or not a tar archive")?;
        members += 1;
        member(&mut entry, into, rules)?;
    }
    ensure!(members > 0, "it is empty: truncated, or not a tar archive");
    // Whoever writes the archive, as git does, is killed if nobody reads what fills its last block.
    io::copy(&mut archive.into_inner().take(MAX_TRAILER), &mut io::sink()).context("it is truncated")?;
    Ok(())
}

/// A small file at the top of the only folder in a `.tar.xz`, and its time in seconds since 1970.
pub fn file_and_time(archive: &Path, name: &str) -> Result<(String, u64)> {
    let file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let found = xz::Decoder::new(BufReader::new(file), SOURCE)
        .map_err(Into::into)
        .and_then(|s| member_at_top(s, name));
    found.with_context(|| format!("cannot read {name} in {}", archive.display()))
}

fn member_at_top(stream: impl Read, name: &str) -> Result<(String, u64)> {
    for entry in Archive::new(stream).entries().context("it is not a tar archive")? {
        let entry = entry.context("it is truncated or not a tar archive")?;
        let path = entry.path().context("a member has no name")?;
        if path.components().count() == 2 && path.ends_with(name) {
            let time = entry.header().mtime().context("a member has no time")?;
            let mut text = String::new();
            entry.take(MAX_SMALL).read_to_string(&mut text).context("it is truncated")?;
            return Ok((text, time));
        }
    }
    bail!("it is not there")
}

/// Bytes that are read of a file which must be small, at most.
const MAX_SMALL: u64 = 4 << 10;

/// Bytes that are read behind the last member, at most; tar and git write less than 10 KiB.
const MAX_TRAILER: u64 = 1 << 20;

fn member(entry: &mut Entry<'_, impl Read>, into: &Path, rules: Rules<'_>) -> Result<()> {
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        return Ok(());
    }
    let named = entry.path().context("a member has a bad name")?.into_owned();
    let path = safe(&named, rules)?;
    let Some(path) = path.filter(|path| !rules.leave_out.iter().any(|left| path.starts_with(left))) else {
        return Ok(());
    };
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => {}
        EntryType::Symlink => {
            let link = link_target(entry, &named)?;
            ensure!(
                stays_inside(path.parent().unwrap_or(Path::new("")), &link),
                "refused: the link {} points outside the archive, to {}",
                named.display(),
                link.display()
            );
        }
        EntryType::Link => {
            let link = link_target(entry, &named)?;
            let source = safe(&link, rules).with_context(|| format!("the link {}", named.display()))?;
            return hard_link(into, source.as_deref(), &path)
                .with_context(|| format!("cannot link {} to {}", named.display(), link.display()));
        }
        other => bail!("refused: {} is neither a file, a folder nor a link ({other:?})", named.display()),
    }
    no_link_on_the_way(into, &path)?;
    let place = into.join(&path);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    entry.unpack(&place).map(drop).with_context(|| format!("cannot unpack {}", named.display()))
}

/// A member's name as a path below the folder, `None` for the top folder itself.
fn safe(named: &Path, rules: Rules<'_>) -> Result<Option<PathBuf>> {
    let mut parts = PathBuf::new();
    let mut top = rules.strip_top;
    for component in named.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) if top => top = false,
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => bail!("refused: the name {} contains `..`", named.display()),
            Component::RootDir | Component::Prefix(_) => {
                bail!("refused: the name {} is absolute", named.display())
            }
        }
    }
    Ok((!parts.as_os_str().is_empty()).then_some(parts))
}

fn link_target(entry: &Entry<'_, impl Read>, named: &Path) -> Result<PathBuf> {
    let link = entry.link_name().with_context(|| format!("the link {} has a bad target", named.display()))?;
    Ok(link.with_context(|| format!("the link {} has no target", named.display()))?.into_owned())
}

/// Whether a link in `folder` (relative to the top) that says `link` ends below the top, whatever other
/// links there are: `..` after a name could climb from where a link leads.
fn stays_inside(folder: &Path, link: &Path) -> bool {
    let mut depth = folder.components().count();
    let mut climbing = true;
    for component in link.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => climbing = false,
            Component::ParentDir if climbing && depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

/// A member below a link would be written wherever that link leads.
fn no_link_on_the_way(into: &Path, path: &Path) -> Result<()> {
    let mut place = into.to_owned();
    for component in path.components() {
        place.push(component);
        if fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_symlink()) {
            bail!("refused: {} would be written through the link {}", path.display(), place.display());
        }
    }
    Ok(())
}

fn hard_link(into: &Path, source: Option<&Path>, path: &Path) -> Result<()> {
    let source = source.context("it links to nothing")?;
    no_link_on_the_way(into, source)?;
    no_link_on_the_way(into, path)?;
    let place = into.join(path);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::hard_link(into.join(source), &place).context("the member it names is not there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use tar::{Builder, Header};
    use xz2::stream::{Check, Filters, LzmaOptions, Stream};
    use xz2::write::XzEncoder;

    const RULES: Rules<'_> = Rules { strip_top: true, leave_out: &[] };

    /// An archive with one member; names go in unchecked, as an attacker would write them.
    fn archive(kind: EntryType, name: &str, link: &str) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().expect("gnu").linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        let body: &[u8] = if kind == EntryType::Regular { b"content" } else { b"" };
        header.set_size(body.len() as u64);
        header.set_cksum();
        let mut builder = Builder::new(Vec::new());
        builder.append(&header, body).expect("appended");
        builder.into_inner().expect("an archive")
    }

    /// git writes blocks of 10 KiB, and is killed by SIGPIPE if nobody reads the last one to its end.
    #[test]
    fn a_stream_is_read_to_its_end_whatever_fills_it() {
        let home = tempfile::tempdir().expect("a folder");
        let mut bytes = archive(EntryType::Regular, "top/file", "");
        bytes.resize(10 << 10, 0);
        let mut stream = bytes.as_slice();
        tar(&mut stream, home.path(), RULES).expect("unpacked");
        assert!(stream.is_empty(), "{} bytes were not read", stream.len());
    }

    #[test]
    fn members_that_lead_out_of_the_folder_are_refused_and_leave_nothing() {
        let cases = [
            (EntryType::Regular, "top/../../evil", "", "`..`"),
            (EntryType::Regular, "/etc/evil", "", "absolute"),
            (EntryType::Symlink, "top/link", "/etc/passwd", "points outside"),
            (EntryType::Symlink, "top/a/link", "../../../evil", "points outside"),
            (EntryType::Symlink, "top/chain", "d/d/../..", "points outside"),
            (EntryType::Link, "top/link", "../../evil", "`..`"),
            (EntryType::Link, "top/link", "/etc/passwd", "absolute"),
            (EntryType::Char, "top/null", "", "neither a file"),
            (EntryType::Fifo, "top/fifo", "", "neither a file"),
        ];
        for (kind, name, link, reason) in cases {
            let home = tempfile::tempdir().expect("a folder");
            let into = home.path().join("a/b/c");
            fs::create_dir_all(&into).expect("created");
            let error = tar(archive(kind, name, link).as_slice(), &into, RULES).expect_err(name);
            let error = format!("{error:#}");
            assert!(error.contains(reason) && error.contains(name), "{name}: {error}");
            assert_eq!(fs::read_dir(&into).expect("listed").count(), 0, "{name} left something");
            assert!(!home.path().join("evil").exists() && !home.path().join("a/evil").exists());
        }
    }

    #[test]
    fn a_file_is_not_written_through_a_link_of_the_same_archive() {
        let home = tempfile::tempdir().expect("a folder");
        let mut bytes = archive(EntryType::Symlink, "top/dir", "other");
        bytes.truncate(512);
        bytes.extend(archive(EntryType::Regular, "top/dir/file", ""));
        let error = tar(bytes.as_slice(), home.path(), RULES).expect_err("refused");
        assert!(format!("{error:#}").contains("through the link"), "{error:#}");
    }

    #[test]
    fn links_that_stay_inside_are_made() {
        let home = tempfile::tempdir().expect("a folder");
        let bytes = archive(EntryType::Symlink, "top/a/link", "../b/file");
        tar(bytes.as_slice(), home.path(), RULES).expect("unpacked");
        let link = fs::read_link(home.path().join("a/link")).expect("a link");
        assert_eq!(link, Path::new("../b/file"));
    }

    #[test]
    fn what_is_cut_short_or_no_archive_is_an_error() {
        let home = tempfile::tempdir().expect("a folder");
        let whole = archive(EntryType::Regular, "top/file", "");
        for (name, bytes) in [("empty", &whole[..0]), ("cut", &whole[..515]), ("noise", &[b'x'; 2048][..])] {
            let into = home.path().join(name);
            fs::create_dir(&into).expect("created");
            assert!(tar(bytes, &into, RULES).is_err(), "{name}");
        }
        let path = home.path().join("file.tar.xz");
        fs::write(&path, "this is not an xz file").expect("written");
        let error = format!("{:#}", tar_xz(&path, home.path(), RULES).expect_err("refused"));
        assert!(error.contains("file.tar.xz"), "{error}");
    }

    /// A tar stream as xz, with a dictionary of so many MiB.
    fn xz(stream: &[u8], dictionary: u32) -> Vec<u8> {
        let mut options = LzmaOptions::new_preset(0).expect("a preset");
        options.dict_size(dictionary << 20);
        let mut filters = Filters::new();
        filters.lzma2(&options);
        let settings = Stream::new_stream_encoder(&filters, Check::Crc64).expect("a stream");
        let mut packed = XzEncoder::new_stream(Vec::new(), settings);
        packed.write_all(stream).expect("packed");
        packed.finish().expect("packed")
    }

    #[test]
    fn a_source_that_wants_more_memory_than_any_xz_does_is_refused_with_what_to_do() {
        let home = tempfile::tempdir().expect("a folder");
        let stream = archive(EntryType::Regular, "top/file", "");
        let path = home.path().join("source.tar.xz");
        fs::write(&path, xz(&stream, 64)).expect("written");
        tar_xz(&path, home.path(), RULES).expect("unpacked");
        fs::write(&path, xz(&stream, 192)).expect("written");
        let error = format!("{:#}", tar_xz(&path, home.path(), RULES).expect_err("too much"));
        for words in ["needs too much memory", "128 MiB", "--source DIR"] {
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_left_out_is_not_unpacked() {
        let home = tempfile::tempdir().expect("a folder");
        let rules = Rules { strip_top: true, leave_out: &[PathBuf::from("roms")] };
        tar(archive(EntryType::Regular, "top/roms/x", "").as_slice(), home.path(), rules).expect("unpacked");
        tar(archive(EntryType::Regular, "top/romset", "").as_slice(), home.path(), rules).expect("unpacked");
        assert!(!home.path().join("roms").exists() && home.path().join("romset").exists());
    }
}
