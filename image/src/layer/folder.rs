//! Folders that are open, and what can be done with an entry of one: nothing here goes by a path.

use anyhow::Result;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

/// How a folder is walked to: without following it, and without leave to read it.
pub const WALK: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a folder is listed or changed.
pub const LIST: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open folder of the tree.
#[derive(Debug)]
pub struct Folder {
    /// What system calls take.
    pub descriptor: OwnedFd,
    /// Its path from the root, without links; empty for the root.
    pub path: Vec<u8>,
}

impl Folder {
    /// The path of an entry.
    pub fn below(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() { name.to_owned() } else { [&self.path, &b"/"[..], name].concat() }
    }
}

/// A name for the system.
pub fn name(part: &[u8]) -> &OsStr {
    OsStr::from_bytes(part)
}

/// What is there under a name.
pub fn kind(folder: &Folder, part: &[u8]) -> Result<Option<FileType>> {
    match statat(&folder.descriptor, name(part), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names of all entries.
pub fn entries(folder: &Folder) -> Result<Vec<Vec<u8>>> {
    let listed = openat(&folder.descriptor, ".", LIST, Mode::empty())?;
    let mut all = Vec::new();
    for entry in Dir::read_from(listed)? {
        let part = entry?.file_name().to_bytes().to_vec();
        if part != b"." && part != b".." {
            all.push(part);
        }
    }
    Ok(all)
}

/// Removes a folder with all in it. Each one in it takes a descriptor, so it must not be too deep.
pub fn remove_folder(from: &Folder, part: &[u8]) -> Result<()> {
    let descriptor = openat(&from.descriptor, name(part), WALK, Mode::empty())?;
    let folder = Folder { descriptor, path: Vec::new() };
    for inner in entries(&folder)? {
        if kind(&folder, &inner)? == Some(FileType::Directory) {
            remove_folder(&folder, &inner)?;
        } else {
            unlinkat(&folder.descriptor, name(&inner), AtFlags::empty())?;
        }
    }
    Ok(unlinkat(&from.descriptor, name(part), AtFlags::REMOVEDIR)?)
}
