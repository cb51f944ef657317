//! Root file systems as archives: what target they are for, and how they are unpacked where there is nothing
//! else to reach.

use crate::run::target;
use anyarch_client::error::Usage;
use anyarch_client::xz::{self, MemoryLimit};
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path};
use tar::{Archive, Entry, EntryType};

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// Not at all.
    Tar,
    /// By gzip.
    Gzip,
    /// By xz.
    Xz,
    /// By zstd.
    Zstd,
}

/// `xz -9e` needs 65 MiB, the most of all that xz does by itself.
const MEMORY: MemoryLimit =
    MemoryLimit { bytes: 128 << 20, advice: "pack it by `xz -9`, or unpack it and pass the folder" };

/// How many programs tell the target of an archive. They are unpacked for it.
const PROGRAMS: usize = 40;

/// How an archive is packed, by its first bytes.
///
/// # Errors
/// [`Usage`] when it is no archive that can be read here.
pub fn packing(path: &Path) -> Result<Packing> {
    let mut head = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.take(512).read_to_end(&mut head).with_context(|| format!("cannot read {}", path.display()))?;
    let kind = match &head[..] {
        [0x1f, 0x8b, ..] => return Ok(Packing::Gzip),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => return Ok(Packing::Xz),
        head if head.get(257..262) == Some(b"ustar") => return Ok(Packing::Tar),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return Ok(Packing::Zstd),
        [b'B', b'Z', b'h', ..] => "is packed by bzip2; unpack it first (`bzip2 -d`)",
        [0x7f, b'E', b'L', b'F', ..] => "is a program, not a root file system",
        _ => "is not a tar archive, plain or packed by gzip, xz or zstd",
    };
    bail!(Usage(format!("{} {kind}", path.display())))
}

/// The stream of an archive.
fn stream(file: File, packing: Packing) -> Result<Archive<Box<dyn Read>>> {
    let file = BufReader::new(file);
    let stream: Box<dyn Read> = match packing {
        Packing::Tar => Box::new(file),
        Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
        Packing::Xz => Box::new(xz::Decoder::new(file, MEMORY)?),
        // Its window takes at most 128 MiB of memory, the library's limit.
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
    };
    Ok(Archive::new(stream))
}

/// The target of an archive: that of the first programs in it.
///
/// # Errors
/// [`Usage`] when they are of two targets, or of none that is known.
pub fn target(path: &Path, packing: Packing) -> Result<&'static Target> {
    let what = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(what)?;
    let mut heads = Vec::new();
    for entry in stream(file, packing)?.entries().with_context(what)? {
        let mut entry = entry.with_context(what)?;
        if let Some((name, head)) = program(&mut entry).with_context(what)? {
            heads.push((name, head));
        }
        if heads.len() == PROGRAMS {
            break;
        }
    }
    let heads = heads.iter().map(|(name, head)| (name.as_str(), head.clone()));
    target::of_heads(heads, &path.display().to_string())
}

/// The name of an ELF file where systems have their programs, with its first bytes.
fn program(entry: &mut Entry<'_, impl Read>) -> Result<Option<(String, Vec<u8>)>> {
    let path = entry.path_bytes();
    let name = String::from_utf8_lossy(&path).trim_start_matches("./").to_owned();
    let folders = ["bin/", "sbin/", "usr/bin/", "usr/sbin/"];
    let is_program = folders.iter().any(|folder| name.starts_with(folder));
    if !is_program || entry.header().entry_type() != EntryType::Regular {
        return Ok(None);
    }
    let mut head = Vec::new();
    entry.take(64).read_to_end(&mut head)?;
    Ok(head.starts_with(b"\x7fELF").then_some((name, head)))
}

/// Unpacks an archive into an empty folder that nobody else writes to; no member leaves it. Device files are left out,
/// since a user can make none, and so are owners where there is only one id.
///
/// # Errors
/// When it is truncated or no archive, holds what it must not, or there is no room for it.
pub fn unpack(file: File, packing: Packing, into: &Path, has_owners: bool) -> Result<()> {
    let mut archive = stream(file, packing)?;
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(has_owners);
    let mut members = 0_u64;
    for entry in archive.entries().context("it is not a tar archive")? {
        let mut entry = entry.context("it is truncated or not a tar archive")?;
        members += 1;
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::Block | EntryType::Char) {
            continue;
        }
        let named = entry.path().context("a member has a bad name")?.into_owned();
        ensure!(
            named.components().all(|part| part != Component::ParentDir),
            "refused: the name {} contains `..`",
            named.display()
        );
        entry.unpack_in(into).with_context(|| format!("cannot unpack {}", named.display()))?;
    }
    ensure!(members > 0, "it is empty");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_archive_is_known_by_its_first_bytes_and_others_are_named() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("x");
        let of = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            packing(&path).map_err(|error| error.to_string())
        };
        let mut header = tar::Header::new_ustar();
        header.set_cksum();
        assert_eq!(of(header.as_bytes()), Ok(Packing::Tar));
        assert_eq!(of(b"\x1f\x8b\x08"), Ok(Packing::Gzip));
        assert_eq!(of(b"\xfd7zXZ\0\0"), Ok(Packing::Xz));
        assert_eq!(of(b"\x28\xb5\x2f\xfd"), Ok(Packing::Zstd));
        for (bytes, said) in
            [(&b"BZh9"[..], "bzip2"), (b"\x7fELF\x02", "is a program"), (b"", "is not a tar archive")]
        {
            assert!(of(bytes).expect_err(said).contains(said));
        }
    }

    #[test]
    fn the_programs_of_an_archive_tell_its_target() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("x.tar");
        let mut builder = tar::Builder::new(File::create(&path).expect("made"));
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 183;
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o755);
            builder.append_data(&mut header, name, bytes).expect("added");
        };
        add("./etc/passwd", b"root:x:0:0::/:/bin/sh\n");
        add("./usr/bin/script", b"#!/bin/sh\n");
        add("./usr/bin/dash", &head);
        builder.finish().expect("written");
        assert_eq!(target(&path, Packing::Tar).expect("told").name, "aarch64");
    }
}
