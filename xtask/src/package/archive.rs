//! The bytes of an archive: the same wherever, whenever and by whomever it is made.

use crate::compile::BuildInfo;
use crate::facts::Target;
use crate::facts::hosts::XzFilter;
use anyarch_manifest::layout;
use anyhow::{Context as _, Result};
use std::borrow::Borrow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};
use xz2::stream::{Check, Filters, LzmaOptions, Stream};
use xz2::write::XzEncoder;

/// Texts of QEMU's own that go with every emulator.
const LICENSES: [&str; 3] = ["COPYING", "COPYING.LIB", "LICENSE"];
/// The window: 8 MiB would save 0.2 % and take three times the memory.
pub(crate) const WINDOW: u32 = 2 << 20;

/// A file of an archive.
pub struct Member {
    pub name: String,
    pub mode: u32,
    pub content: Vec<u8>,
}

/// The files of an archive, sorted by name; their folders go before them.
pub fn members(
    target: Target,
    emulator: &[u8],
    build_info: &BuildInfo,
    source: &Path,
) -> Result<Vec<Member>> {
    let docs = layout::docs(target.name);
    let program = layout::emulator(target.name);
    let mut members = vec![Member { name: program, mode: 0o755, content: emulator.to_vec() }];
    for license in LICENSES {
        let text = fs::read(source.join(license)).with_context(|| format!("the source has no {license}"))?;
        members.push(Member { name: format!("{docs}/{license}"), mode: 0o644, content: text });
    }
    let mut build = serde_json::to_vec_pretty(build_info).context("cannot encode the build info")?;
    build.push(b'\n');
    members.push(Member { name: layout::build_facts(target.name), mode: 0o644, content: build });
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

/// Writes an archive: folders before what is in them, every file with the time `epoch` (seconds since 1970).
pub fn write_archive(
    to: impl io::Write,
    members: &[Member],
    filter: Option<XzFilter>,
    epoch: u64,
) -> Result<()> {
    write_each(to, members.iter().map(Ok), xz_with(filter, WINDOW)?, epoch)
}

/// The same of members that are made one after the other, packed in another way.
pub(crate) fn write_each<M: Borrow<Member>>(
    to: impl io::Write,
    members: impl IntoIterator<Item = Result<M>>,
    xz: Stream,
    epoch: u64,
) -> Result<()> {
    let mut archive = Builder::new(XzEncoder::new_stream(to, xz));
    let mut folders: Vec<PathBuf> = Vec::new();
    for member in members {
        let member = member?;
        let member = member.borrow();
        let mut above: Vec<&Path> = Path::new(&member.name).ancestors().skip(1).collect();
        above.reverse();
        for folder in above.into_iter().filter(|folder| !folder.as_os_str().is_empty()) {
            if !folders.iter().any(|known| known == folder) {
                folders.push(folder.to_owned());
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
        let mut tar = tar::Archive::new(xz2::read::XzDecoder::new(bytes.as_slice()));
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
