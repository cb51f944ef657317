//! What a released archive may hold: one emulator (or the users' program) and its texts, in folders; or all emulators of a
//! host. Everything else is refused, whoever vouches for it, and nothing is written outside the folder that was meant.

use crate::xz;
use anyarch_manifest::layout::{self, docs, emulator};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use tar::{Archive, Entry, EntryType};

/// What headers and padding may add to the bytes of the files: there are a dozen members for each emulator.
const OVERHEAD: u64 = 1 << 20;

/// Unpacks the released `.tar.xz` of these targets' emulators into an empty folder that nobody else writes to. All files
/// in it together may have `limit` bytes; unpacking takes at most [`xz::RELEASED`] of memory.
///
/// # Errors
/// When it is truncated, is no such archive, lacks an emulator or its texts, holds a member that does not belong
/// there, or more bytes than the limit. Files that came before the fault are left in the folder.
pub fn unpack_xz(archive: impl Read, into: &Path, targets: &[&str], limit: u64) -> Result<()> {
    unpack(xz::Decoder::new(BufReader::new(archive), xz::RELEASED)?, into, targets, limit)
}

/// Unpacks the tar stream of these targets' emulators into an empty folder that nobody else writes to. All files in it
/// together may have `limit` bytes.
///
/// # Errors
/// As [`unpack_xz`], of which this is the second half.
pub fn unpack(stream: impl Read, into: &Path, targets: &[&str], limit: u64) -> Result<()> {
    let overhead = OVERHEAD.saturating_mul(targets.len() as u64);
    let mut archive = Archive::new(Limited { stream, left: limit.saturating_add(overhead) });
    let mut room = Room { into, targets, left: limit, seen: BTreeSet::new() };
    // Raw: headers that only extend the next one are members like others, and as such refused.
    for entry in archive.entries().context("it is not a tar archive")?.raw(true) {
        let mut entry = entry.context("it is truncated or not a tar archive")?;
        room.take(&mut entry)?;
    }
    for target in targets {
        let lacks = |name: &str| {
            format!("it has no {name}: truncated, or not an archive of {}", layout::program(target))
        };
        ensure!(into.join(emulator(target)).is_file(), lacks(&emulator(target)));
        ensure!(into.join(docs(target)).is_dir(), lacks(&docs(target)));
    }
    Ok(())
}

/// Checks that the archive of a target's emulator may have a member of this kind and name. The name of a folder has
/// no slash at its end.
///
/// # Errors
/// When it may not; the message ends the sentence "the member ...".
pub fn belongs(target: &str, kind: EntryType, name: &str) -> Result<()> {
    ensure!(name.split('/').all(|part| !["", ".", ".."].contains(&part)), "leads elsewhere");
    let docs = docs(target);
    let is_below_docs = name.strip_prefix(&docs).is_some_and(|rest| rest.starts_with('/'));
    let is_on_the_way = name == layout::BIN || format!("{docs}/").starts_with(&format!("{name}/"));
    match kind {
        EntryType::Directory => ensure!(is_on_the_way || is_below_docs, "does not belong there"),
        EntryType::Regular => ensure!(name == emulator(target) || is_below_docs, "does not belong there"),
        other => bail!("is neither a file nor a folder ({other:?})"),
    }
    Ok(())
}

/// Checks the same for an archive of several targets' emulators: it must belong to one of them.
fn belongs_to_one(targets: &[&str], kind: EntryType, name: &str) -> Result<()> {
    let mut judged = targets.iter().map(|target| belongs(target, kind, name));
    let first = judged.next().context("an archive of nothing")?;
    if first.is_ok() || judged.any(|other| other.is_ok()) { Ok(()) } else { first }
}

/// The folder that is filled.
struct Room<'a> {
    into: &'a Path,
    targets: &'a [&'a str],
    left: u64,
    seen: BTreeSet<String>,
}

impl Room<'_> {
    fn take(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<()> {
        let raw = entry.path_bytes().into_owned();
        // Names go to people's terminals, and a hostile one might speak to these.
        let shown = raw.escape_ascii().to_string();
        let kind = entry.header().entry_type();
        let name = std::str::from_utf8(&raw)
            .with_context(|| format!("refused: the name {shown} is not UTF-8 text"))?;
        let name = if kind == EntryType::Directory { name.strip_suffix('/').unwrap_or(name) } else { name };
        belongs_to_one(self.targets, kind, name).map_err(|reason| anyhow!("refused: {shown} {reason}"))?;
        ensure!(self.seen.insert(name.to_owned()), "refused: {shown} is in it twice");
        if kind == EntryType::Directory {
            // It may be there already, by a file in it.
            return fs::create_dir_all(self.into.join(name))
                .with_context(|| format!("cannot create {shown}"));
        }
        let size = entry.size();
        self.left = self
            .left
            .checked_sub(size)
            .with_context(|| format!("refused: with {shown} it is bigger than the release says"))?;
        self.write(name, entry, size).with_context(|| format!("cannot unpack {shown}"))
    }

    /// Writes a file, with rights of our choice: an archive could say that it runs as its owner.
    fn write(&self, name: &str, entry: &mut impl Read, size: u64) -> Result<()> {
        let place = self.into.join(name);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        let is_program = self.targets.iter().any(|target| name == emulator(target));
        let mode = if is_program { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&place)?;
        ensure!(io::copy(entry, &mut file)? == size, "it is truncated");
        // Before its folder or itself is renamed: after a power failure, a name may be there without its bytes.
        Ok(file.sync_all()?)
    }
}

/// A stream that fails where it goes on beyond its limit, so that none is unpacked for ever.
struct Limited<R> {
    stream: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other("it is longer than the release says"))?;
        Ok(n)
    }
}
