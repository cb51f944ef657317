//! Layers, unpacked one above the other as hostile archives: nothing is written outside of the folder that was meant,
//! no device is made, and no more is unpacked than an image may have.

mod folder;
mod name;
mod owners;
mod tree;

pub use owners::Owners;

use crate::decompress;
use crate::digest::Digest;
use crate::hashed::Hashed;
use crate::limits::Limits;
use crate::member::{self, Member};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use name::Meaning;
use std::io::{self, Read};
use std::path::Path;
use tar::EntryType;
use tree::{Looks, Tree};

/// What is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Layers of an image: names may take away what lower ones have, and a folder takes the place of a link.
    Layers,
    /// Packages of one system: a link to a folder stays where a package has that folder, as `/bin` of Debian's do.
    Packages,
}

/// A root folder that is being unpacked.
#[derive(Debug)]
pub struct Unpacking<'a> {
    tree: Tree,
    kind: Kind,
    limits: &'a Limits,
    bytes: u64,
    entries: u64,
    devices: u64,
}

/// What a layer's bytes were.
#[derive(Debug, PartialEq, Eq)]
pub struct Digests {
    /// The digest of the layer as it is packed.
    pub packed: Digest,
    /// The digest of the unpacked stream.
    pub unpacked: Digest,
}

/// What was left out of a root.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Device files: whoever runs the root brings `/dev` along.
    pub devices: u64,
    /// Extended attributes that the file system does not take.
    pub xattrs: u64,
}

impl<'a> Unpacking<'a> {
    /// Begins to unpack into an empty folder that nobody else writes to.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new(folder: &Path, owners: Owners, limits: &'a Limits) -> Result<Self> {
        let (tree, kind) = (Tree::new(folder, owners)?, Kind::Layers);
        Ok(Self { tree, kind, limits, bytes: 0, entries: 0, devices: 0 })
    }

    /// The same for packages, where nothing is taken away.
    ///
    /// # Errors
    /// As [`Unpacking::new`].
    pub fn of_packages(folder: &Path, owners: Owners, limits: &'a Limits) -> Result<Self> {
        Ok(Self { kind: Kind::Packages, ..Self::new(folder, owners, limits)? })
    }

    /// Unpacks a layer, or the files of a package, of `packed` bytes above those that are there. Who calls this checks the digests.
    ///
    /// # Errors
    /// When it is truncated, is no archive, holds what is refused, or more than the limits allow; or the disk is full.
    pub fn layer(&mut self, from: impl Read, packed: u64) -> Result<Digests> {
        self.tree.next_layer();
        let mut raw = Hashed::new(from);
        let stream = Hashed::new(decompress::open(&mut raw, self.limits, packed)?);
        let mut stream = member::each(stream, |member| self.member(member).map(|()| true))?;
        // Behind the last member there may be padding, or what is for others only.
        io::copy(&mut stream, &mut io::sink()).context("it is truncated")?;
        let unpacked = stream.digest();
        drop(stream);
        io::copy(&mut raw, &mut io::sink()).context("it is truncated")?;
        Ok(Digests { packed: raw.digest(), unpacked })
    }

    /// Ends with the last layer; says what was left out.
    ///
    /// # Errors
    /// When folders cannot be given their looks.
    pub fn finish(self) -> Result<LeftOut> {
        let left_out = LeftOut { devices: self.devices, xattrs: self.tree.lost() };
        self.tree.finish()?;
        Ok(left_out)
    }

    fn member(&mut self, member: &mut Member<'_, impl Read>) -> Result<()> {
        self.entries += 1;
        let most = self.limits.entries;
        ensure!(self.entries <= most, "refused: it has more than {most} entries");
        let name = member.name.clone();
        self.put(&name, member).with_context(|| format!("cannot unpack {}", member::shown(&name)))
    }

    fn put(&mut self, named: &[u8], member: &mut Member<'_, impl Read>) -> Result<()> {
        let parts = name::parts(named)?;
        let looks = Looks {
            mode: member.mode,
            owner: member.owner,
            time: member.time,
            xattrs: std::mem::take(&mut member.xattrs),
        };
        let meaning = match self.kind {
            Kind::Layers => name::meaning(&parts)?,
            Kind::Packages => parts.last().map_or(Meaning::Root, |last| Meaning::Put(last)),
        };
        let last = match meaning {
            Meaning::Put(last) => last,
            Meaning::Nothing => return Ok(()),
            Meaning::Root => {
                ensure!(member.kind == EntryType::Directory, "refused: the root is no folder in it");
                return self.tree.set_root(&looks);
            }
            Meaning::Empty | Meaning::TakeAway(_) => return self.take_away(&parts),
        };
        match member.kind {
            // Counted, and nothing is made for them, not even their folder.
            EntryType::Char | EntryType::Block => {
                self.devices += 1;
                return Ok(());
            }
            EntryType::Link => {
                let to = name::parts(&member.link).context("its link")?;
                let into = self.tree.parent(&parts)?;
                return self.tree.put_name(&into, last, &to);
            }
            _ => {}
        }
        let into = self.tree.parent(&parts)?;
        match member.kind {
            EntryType::Directory if self.kind == Kind::Packages && self.tree.is_linked(&into, &parts)? => {
                Ok(())
            }
            EntryType::Regular | EntryType::Continuous => {
                let size = member.size;
                self.bytes = self.bytes.saturating_add(size);
                let most = self.limits.unpacked;
                ensure!(self.bytes <= most, "refused: with it the image has more than {most} bytes");
                self.tree.put_file(&into, last, &looks, member, size)
            }
            EntryType::Directory => self.tree.put_folder(&into, last, &looks),
            EntryType::Symlink => {
                ensure!(!member.link.is_empty(), "refused: it links to nothing");
                self.tree.put_link(&into, last, &looks, &member.link)
            }
            EntryType::Fifo => self.tree.put_pipe(&into, last, &looks),
            EntryType::GNUSparse => bail!("refused: files with holes are not supported"),
            other => Err(anyhow!("refused: it is neither a file, a folder nor a link ({other:?})")),
        }
    }

    fn take_away(&mut self, parts: &[&[u8]]) -> Result<()> {
        let above = parts.split_last().map_or(&[][..], |(_, above)| above);
        // What is not there need not be taken away.
        let Some(folder) = self.tree.walk(above, false)? else { return Ok(()) };
        match name::meaning(parts)? {
            Meaning::TakeAway(name) => self.tree.take_away_lower(&folder, name),
            _ => self.tree.empty(&folder),
        }
    }
}
