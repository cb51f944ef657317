//! Places in a root that something is mounted on. The root may be hostile: each path is resolved by the kernel as if the
//! root were `/`, and what was found is used by its descriptor, never by its name again.

use crate::run::target::within;
use anyhow::{Context as _, Result, bail};
use rustix::fs::{self as sys, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{self, MoveMountFlags, OpenTreeFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// What is mounted: a file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, device or socket.
    File,
    /// A folder.
    Folder,
}

/// The kind of what a descriptor is of.
///
/// # Errors
/// When it cannot be looked at.
pub fn kind(descriptor: impl AsFd) -> Result<Kind> {
    let stat = sys::fstat(descriptor).context("cannot look at what is to be mounted")?;
    let is_folder = sys::FileType::from_raw_mode(stat.st_mode).is_dir();
    Ok(if is_folder { Kind::Folder } else { Kind::File })
}

/// A copy of the mounts at a path of this machine, not yet mounted anywhere.
///
/// # Errors
/// When there is nothing, or the kernel refuses.
pub fn copy(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    mount::open_tree(sys::CWD, path, flags)
}

/// Mounts on an open place.
///
/// # Errors
/// When the kernel refuses.
pub fn attach(tree: impl AsFd, place: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    mount::move_mount(tree, "", place, "", flags)
}

/// Opens a place in a root, which is made if need be.
///
/// # Errors
/// When it cannot be made, or is of another kind.
pub fn open(root: impl AsFd, path: &Path, kind: Kind) -> Result<OwnedFd> {
    let root = root.as_fd();
    let relative: PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let opened = match kind {
        Kind::Folder => folder(root, &relative),
        Kind::File => file(root, &relative),
    };
    let opened = opened.with_context(|| format!("cannot make {} in the root", path.display()))?;
    if self::kind(&opened)? != kind {
        let (there, wanted) = match kind {
            Kind::Folder => ("a file", "a folder"),
            Kind::File => ("a folder", "a file"),
        };
        bail!("{} is {there} in the root, and {wanted} is to be seen there", path.display());
    }
    Ok(opened)
}

fn folder(root: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let root = root.as_fd();
    if path == Path::new("") {
        return within(root, ".", OFlags::PATH);
    }
    match within(root, path, OFlags::PATH) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    let parent = folder(root, path.parent().unwrap_or(Path::new("")))?;
    let name = path.file_name().unwrap_or_default();
    match sys::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
        // A link that leads nowhere is there, and yet is not; or another run was faster.
        Ok(()) | Err(Errno::EXIST) => within(root, path, OFlags::PATH),
        Err(error) => Err(error),
    }
}

fn file(root: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let root = root.as_fd();
    match within(root, path, OFlags::PATH) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    folder(root, path.parent().unwrap_or(Path::new("")))?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    sys::openat2(root, path, flags, Mode::from_raw_mode(0o644), resolve)?;
    within(root, path, OFlags::PATH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn places_are_made_within_the_root_wherever_its_links_lead() {
        let home = tempfile::tempdir().expect("a folder");
        let root = home.path().join("root");
        fs::create_dir_all(root.join("real")).expect("made");
        symlink("/real", root.join("absolute")).expect("linked");
        symlink("../../../..", root.join("up")).expect("linked");
        symlink("/nowhere/at/all", root.join("dangling")).expect("linked");
        let opened = crate::run::target::open(&root).expect("opened");
        for (path, kind, made) in [
            ("/absolute/a/b", Kind::Folder, "real/a/b"),
            ("/up/c/d", Kind::Folder, "c/d"),
            ("/up/../up/etc/hosts", Kind::File, "etc/hosts"),
        ] {
            open(&opened, Path::new(path), kind).expect(path);
            assert!(root.join(made).exists(), "{made}");
        }
        assert_eq!(fs::read_dir(home.path()).expect("a folder").count(), 1, "nothing outside");
        for kind in [Kind::Folder, Kind::File] {
            let error =
                format!("{:#}", open(&opened, Path::new("/dangling"), kind).expect_err("leads nowhere"));
            assert!(error.contains("cannot make /dangling in the root"), "{error}");
        }
        assert!(!Path::new("/nowhere").exists());
        let error = open(&opened, Path::new("/real"), Kind::File).expect_err("a folder").to_string();
        assert!(error.contains("/real is a folder in the root"), "{error}");
    }
}
