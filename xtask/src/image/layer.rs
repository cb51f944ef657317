//! Layers: tar archives whose bytes do not depend on where, when and by whom they are made.

use crate::released::Member;
use anyarch_client::hash;
use anyhow::{Context as _, Result};
use data_encoding::HEXLOWER;
use flate2::GzBuilder;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// How layers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// The smaller one, for Docker 23, podman 2 and newer.
    Zstd,
    /// For engines that cannot take zstd: Docker 20.10 and older.
    Gzip,
}

/// zstd's highest level that needs no more than its usual memory.
const LEVEL: i32 = 19;
/// The window, as a power of two: what every reader of zstd takes without being asked. Emulators resemble each other,
/// and the next one is several MB away.
const WINDOW: u32 = 27;

/// A packed layer in a folder of blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// SHA-256 of the packed bytes: its name among the blobs.
    pub sha256: String,
    /// How many there are.
    pub size: u64,
    /// SHA-256 of the tar archive.
    pub diff_id: String,
    /// What OCI calls its kind.
    pub media_type: &'static str,
}

impl Compression {
    fn media_type(self) -> &'static str {
        match self {
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        }
    }
}

/// Packs files as a layer, below `blobs`. Folders go before what is in them; all is root's, of the time `epoch`.
///
/// # Errors
/// When a file cannot be read, or the layer cannot be written.
pub fn pack(members: &[Member], compression: Compression, epoch: u64, blobs: &Path) -> Result<Layer> {
    let partial = tempfile::NamedTempFile::new_in(blobs).context("cannot write a layer")?;
    let tar = Hashed::new(Packer::new(BufWriter::new(partial.reopen()?), compression)?);
    let tar = write(tar, members, epoch).context("cannot write a layer")?;
    let diff_id = tar.digest();
    tar.to.finish()?;
    let sha256 = hash::sha256_file(partial.path())?;
    let size = partial.as_file().metadata().context("cannot write a layer")?.len();
    super::keep(partial, &blobs.join(&sha256))?;
    Ok(Layer { sha256, size, diff_id, media_type: compression.media_type() })
}

/// Writes the archive of a layer.
fn write<W: Write>(to: W, members: &[Member], epoch: u64) -> Result<W> {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort();
    let mut archive = Builder::new(to);
    let mut folders = BTreeSet::new();
    for member in members {
        let mut above: Vec<&Path> = Path::new(&member.name).ancestors().skip(1).collect();
        above.reverse();
        for folder in above.into_iter().filter(|folder| !folder.as_os_str().is_empty()) {
            if folders.insert(folder) {
                let mut header = header(EntryType::Directory, 0o755, 0, epoch);
                archive.append_data(&mut header, format!("{}/", folder.display()), io::empty())?;
            }
        }
        let file =
            File::open(&member.from).with_context(|| format!("cannot read {}", member.from.display()))?;
        let mut header = header(EntryType::Regular, member.mode, file.metadata()?.len(), epoch);
        archive.append_data(&mut header, &member.name, file)?;
    }
    Ok(archive.into_inner()?)
}

/// A header with nothing in it that is of this machine.
pub fn header(kind: EntryType, mode: u32, size: u64, epoch: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(epoch);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Passes bytes on, and knows the hash of all of them.
struct Hashed<W> {
    to: W,
    sha256: Sha256,
}

impl<W> Hashed<W> {
    fn new(to: W) -> Self {
        Self { to, sha256: Sha256::new() }
    }

    fn digest(&self) -> String {
        HEXLOWER.encode(&self.sha256.clone().finalize())
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.sha256.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

enum Packer<W: Write> {
    Zstd(zstd::Encoder<'static, W>),
    Gzip(flate2::write::GzEncoder<W>),
}

impl<W: Write> Packer<W> {
    fn new(to: W, compression: Compression) -> Result<Self> {
        Ok(match compression {
            Compression::Zstd => {
                let mut packed = zstd::Encoder::new(to, LEVEL)?;
                packed.long_distance_matching(true)?;
                packed.window_log(WINDOW)?;
                packed.include_checksum(true)?;
                Self::Zstd(packed)
            }
            // Neither a time nor a system in its header.
            Compression::Gzip => Self::Gzip(
                GzBuilder::new().mtime(0).operating_system(255).write(to, flate2::Compression::best()),
            ),
        })
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Zstd(packed) => packed.finish()?.flush(),
            Self::Gzip(packed) => packed.finish()?.flush(),
        }
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(packed) => packed.write(bytes),
            Self::Gzip(packed) => packed.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(packed) => packed.flush(),
            Self::Gzip(packed) => packed.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_layers_bytes_are_of_its_files_alone() {
        let home = tempfile::tempdir().expect("a folder");
        let at = |name: &str| home.path().join(name);
        for name in ["one", "two"] {
            fs::write(at(name), name).expect("written");
        }
        let member = |name: &str, from: &str| Member { name: name.to_owned(), mode: 0o755, from: at(from) };
        let members = [member("usr/bin/b", "two"), member("usr/bin/a", "one")];
        for compression in [Compression::Zstd, Compression::Gzip] {
            let first = pack(&members, compression, 7, home.path()).expect("packed");
            std::thread::sleep(std::time::Duration::from_millis(1100));
            fs::write(at("one"), "one").expect("written again, later");
            let reversed = [members[1].clone(), members[0].clone()];
            assert_eq!(pack(&reversed, compression, 7, home.path()).expect("packed"), first);
            assert_eq!(hash::sha256_file(&at(&first.sha256)).expect("there"), first.sha256);
            assert_ne!(pack(&members[..1], compression, 7, home.path()).expect("packed"), first);
        }
    }
}
