//! Stage 6: a verified emulator as a small archive, the same bytes wherever and whenever it is made.

use crate::compile::{Facts, Library};
use crate::facts::hosts::XzFilter;
use crate::facts::{Host, Target};
use crate::plan::{self, Plan};
use crate::session::Session;
use crate::verify::{Report, Verified};
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::lock::Lock;
use anyarch_manifest::layout;
use anyhow::{Context as _, Result};
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Texts of QEMU's own that go with every emulator.
const LICENSES: [&str; 3] = ["COPYING", "COPYING.LIB", "LICENSE"];
/// The window: 8 MiB would save 0.2 % and take three times the memory.
pub(crate) const WINDOW: u32 = 2 << 20;
/// What the format may change in; counted up when the layout or the compression does.
const LAYOUT: u32 = 2;

/// A packed emulator. Only [`pack`] makes one, from a [`Verified`] one; [`found`] takes it again by its
/// record, when its bytes are still those.
#[derive(Debug, Clone, Serialize)]
pub struct Tarball {
    target: Target,
    host: String,
    path: PathBuf,
    #[serde(flatten)]
    record: Record,
}

impl Tarball {
    /// What it emulates.
    pub fn target(&self) -> Target {
        self.target
    }

    /// What it runs on, by Docker's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of it.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

/// What is known of a packed emulator. It stands beside its tarball, so that releases can be joined that
/// several machines made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// What it emulates, by QEMU's name.
    pub target: String,
    /// What it runs on, by Docker's name.
    pub host: String,
    /// What the tarball was made from and by: when this is the same, there is nothing to do.
    pub key: String,
    /// The tarball's hash.
    pub sha256: String,
    /// The tarball's bytes.
    pub size: u64,
    /// What was verified of the emulator in it.
    pub emulator: Report,
    /// What the emulator was made from and with.
    pub facts: Facts,
    /// What the emulator was linked with; nothing where that could not be found out.
    #[serde(default)]
    pub linked: Vec<Library>,
}

/// Stands for a pair's whole way: the tree it is compiled in, what its host expects, the checks, the
/// layout and the time of its files.
pub fn key(tree_key: &str, suite_key: &str, host: &Host, epoch: u64) -> Result<String> {
    hash::short_key(&(LAYOUT, tree_key, suite_key, &host.elf, epoch))
}

/// Where the record of a tarball stands: beside it.
pub fn record_place(tarball: &Path) -> PathBuf {
    let name = tarball.file_name().unwrap_or_default().to_string_lossy();
    tarball.with_file_name(format!("{}.json", name.strip_suffix(EXTENSION).unwrap_or(&name)))
}

/// What the names of tarballs end with.
pub const EXTENSION: &str = ".tar.xz";

/// Says before anything is compiled or copied that a release can't be written to the output folder.
pub fn is_writable(session: &Session, release: &str) -> Result<()> {
    files::is_writable(&session.workspace.out.join(release), "say --out DIR with a folder of yours")
        .context("the tarball can't be written")
}

/// Whether tarballs of all pairs of a plan lie there, from whatever they were made.
pub fn are_there(session: &Session, plan: &Plan) -> bool {
    let is_there = |target: &Target, host| place(session, &plan.release, *target, host).is_file();
    plan.trees.iter().all(|tree| tree.targets.iter().all(|target| is_there(target, &tree.host)))
}

fn place(session: &Session, release: &str, target: Target, host: &Host) -> PathBuf {
    session.workspace.out.join(release).join(plan::tarball(&target, release, host))
}

/// The tarball of a pair, if it was made with this key, is still the same file, was proven by all that this
/// machine can do now (nothing more, if it does not run the host's programs), and it is known what is in it.
pub fn ready(
    session: &Session,
    release: &str,
    target: Target,
    host: &Host,
    runs_here: bool,
    key: &str,
) -> Option<Tarball> {
    let found = found(&place(session, release, target, host))?;
    let proven = session.offline || !runs_here || !found.record.emulator.is_incomplete();
    let known = session.offline || !found.record.linked.is_empty();
    (proven && known && found.record.key == key).then_some(found)
}

/// What is known of a tarball, by the file beside it alone.
pub fn record(tarball: &Path) -> Option<Record> {
    files::read_json(&record_place(tarball))
}

/// The tarball in this file, if its record stands beside it and it is still the same.
pub fn found(path: &Path) -> Option<Tarball> {
    let record = record(path)?;
    let target = Target::named(&record.target).ok()?;
    let same = hash::sha256_file(path).is_ok_and(|found| found == record.sha256);
    same.then(|| Tarball { target, host: record.host.clone(), path: path.to_owned(), record })
}

/// Packs a verified emulator into the folder of its release.
pub fn pack(session: &Session, verified: &Verified, source: &Path, key: &str, epoch: u64) -> Result<Tarball> {
    let emulator = verified.emulator();
    let (target, host, facts) = (emulator.target(), emulator.host(), emulator.facts());
    let path = place(session, &facts.release, target, host);
    let content =
        fs::read(emulator.path()).with_context(|| format!("cannot read {}", emulator.path().display()))?;
    anyhow::ensure!(
        hash::sha256(&content) == verified.report().sha256,
        "{} changed since it was verified; run the command again",
        emulator.path().display()
    );
    let members = members(target, &content, facts, source)?;
    files::write_file_with(&path, |file| {
        write_archive(file, &members, host.elf.xz_filter, epoch)?;
        Ok(())
    })
    .context("the tarball can't be written")?;
    let record = Record {
        target: target.name.to_owned(),
        host: host.platform.clone(),
        key: key.to_owned(),
        sha256: hash::sha256_file(&path)?,
        size: fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len(),
        emulator: verified.report().clone(),
        facts: facts.clone(),
        linked: emulator.libraries().to_vec(),
    };
    files::write_json(&record_place(&path), &record)?;
    Ok(Tarball { target, host: host.platform.clone(), path, record })
}

struct Member {
    name: String,
    mode: u32,
    content: Vec<u8>,
}

/// The files of an archive, sorted by name; their folders go before them.
fn members(target: Target, emulator: &[u8], facts: &Facts, source: &Path) -> Result<Vec<Member>> {
    let docs = layout::docs(target.name);
    let program = layout::emulator(target.name);
    let mut members = vec![Member { name: program, mode: 0o755, content: emulator.to_vec() }];
    for license in LICENSES {
        let text = fs::read(source.join(license)).with_context(|| format!("the source has no {license}"))?;
        members.push(Member { name: format!("{docs}/{license}"), mode: 0o644, content: text });
    }
    let mut build = serde_json::to_vec_pretty(facts).context("cannot encode the build facts")?;
    build.push(b'\n');
    members.push(Member { name: layout::build_facts(target.name), mode: 0o644, content: build });
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

fn write_archive(to: impl io::Write, members: &[Member], filter: Option<XzFilter>, epoch: u64) -> Result<()> {
    let mut archive = Builder::new(XzEncoder::new_stream(to, xz(filter)?));
    let mut folders: Vec<&Path> = Vec::new();
    for member in members {
        let mut above: Vec<&Path> = Path::new(&member.name).ancestors().skip(1).collect();
        above.reverse();
        for folder in above.into_iter().filter(|folder| !folder.as_os_str().is_empty()) {
            if !folders.contains(&folder) {
                folders.push(folder);
                append(
                    &mut archive,
                    EntryType::Directory,
                    &format!("{}/", folder.display()),
                    0o755,
                    &[],
                    epoch,
                )?;
            }
        }
        append(&mut archive, EntryType::Regular, &member.name, member.mode, &member.content, epoch)?;
    }
    archive.into_inner()?.finish()?;
    Ok(())
}

/// A member that says nothing of the machine, the user or the time that packed it.
pub(crate) fn append<W: io::Write>(
    archive: &mut Builder<W>,
    kind: EntryType,
    name: &str,
    mode: u32,
    content: &[u8],
    epoch: u64,
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    header.set_mtime(epoch);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, name, content).with_context(|| format!("cannot pack {name}"))
}

fn xz(filter: Option<XzFilter>) -> Result<Stream> {
    xz_with(filter, WINDOW)
}

/// xz at its best preset, with another window (bytes) than we ship.
pub(crate) fn xz_with(filter: Option<XzFilter>, window: u32) -> Result<Stream> {
    let mut options = LzmaOptions::new_preset(9 | EXTREME).context("xz has no such preset")?;
    options.dict_size(window);
    let mut filters = Filters::new();
    match filter {
        Some(XzFilter::X86) => drop(filters.x86()),
        Some(XzFilter::Arm) => drop(filters.arm()),
        Some(XzFilter::ArmThumb) => drop(filters.arm_thumb()),
        None => {}
    }
    filters.lzma2(&options);
    Stream::new_stream_encoder(&filters, Check::Crc64).context("xz cannot be set up")
}

/// xz's `-e`, as `LZMA_PRESET_EXTREME` of liblzma's `lzma/container.h`.
const EXTREME: u32 = 1 << 31;

/// The tarballs in a folder, by name; a folder that is not there has none.
pub fn tarballs(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.with_context(|| format!("cannot list {}", folder.display()))?,
    };
    let mut paths = Vec::new();
    for entry in listed {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.to_string_lossy().ends_with(EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Writes `SHA256SUMS` of these tarballs, all of one release, as `sha256sum --check` reads it, unless the folder is
/// a whole release with these very tarballs. Gives the names of others in that folder, which are not vouched for.
pub fn write_sums(session: &Session, release: &str, tarballs: &[Tarball]) -> Result<(PathBuf, Vec<String>)> {
    let folder = session.workspace.out.join(release);
    let sums = folder.join(anyarch_manifest::SUMS);
    let _lock = Lock::acquire(&session.workspace.trees.join(format!("sums-{release}")), &session.progress)?;
    let mut listed: Vec<(String, &str)> = Vec::new();
    for tarball in tarballs {
        let name = tarball.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        listed.push((name, &tarball.record.sha256));
    }
    let text = self::sums(listed.iter().map(|(name, sha256)| (name.as_str(), *sha256)));
    let mut others = Vec::new();
    for path in self::tarballs(&folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !listed.iter().any(|(known, _)| *known == name) {
            others.push(name);
        }
    }
    let there = fs::read_to_string(&sums).unwrap_or_default();
    let described = folder.join(anyarch_manifest::FILE).exists();
    if described && text.lines().all(|line| there.lines().any(|known| known == line)) {
        return Ok((sums, others));
    }
    if described {
        for stale in DESCRIPTIONS {
            files::remove(&folder.join(stale))?;
        }
        session.progress.say("note: what described the release in this folder is gone, since its tarballs changed: `cargo xtask release`");
    }
    if there != text {
        files::write_file(&sums, text.as_bytes())?;
    }
    Ok((sums, others))
}

/// The text of the sums of these files, hash by name, as the program `sha256sum` writes and reads it.
pub fn sums<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let sorted: BTreeMap<&str, &str> = files.into_iter().collect();
    sorted.into_iter().map(|(name, sha256)| format!("{sha256}  {name}\n")).collect()
}

/// What `release` writes that is wrong as soon as a tarball is another one.
const DESCRIPTIONS: [&str; 3] = [anyarch_manifest::FILE, anyarch_manifest::SIGNATURE, "index.html"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn archive() -> Vec<u8> {
        let member =
            |name: &str, mode, content: &[u8]| Member { name: name.into(), mode, content: content.into() };
        let members = [
            member("bin/qemu-x", 0o755, b"\x7fELF"),
            member("share/doc/anyarch/qemu-x/LICENSE", 0o644, b"GPL"),
        ];
        let mut bytes = Vec::new();
        write_archive(&mut bytes, &members, Some(XzFilter::X86), 1_700_000_000).expect("packed");
        bytes
    }

    #[test]
    fn an_archive_holds_folders_before_files_and_nobodys_name() {
        let bytes = archive();
        let mut tar = tar::Archive::new(liblzma::read::XzDecoder::new(bytes.as_slice()));
        let mut seen = Vec::new();
        for entry in tar.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let header = entry.header().clone();
            assert_eq!((header.uid().expect("uid"), header.gid().expect("gid")), (0, 0));
            assert_eq!(header.mtime().expect("mtime"), 1_700_000_000);
            let mut content = String::new();
            entry.read_to_string(&mut content).expect("content");
            seen.push((entry.path().expect("path").display().to_string(), header.mode().expect("mode")));
        }
        let expected = [
            ("bin/", 0o755),
            ("bin/qemu-x", 0o755),
            ("share/", 0o755),
            ("share/doc/", 0o755),
            ("share/doc/anyarch/", 0o755),
            ("share/doc/anyarch/qemu-x/", 0o755),
            ("share/doc/anyarch/qemu-x/LICENSE", 0o644),
        ];
        assert_eq!(seen, expected.map(|(name, mode)| (name.to_owned(), mode)));
    }

    #[test]
    fn packing_twice_gives_the_same_bytes() {
        assert_eq!(archive(), archive());
    }
}
