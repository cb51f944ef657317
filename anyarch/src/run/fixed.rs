//! Mounts that nobody inside shall change: they are made read-only once everything is in its place.

use crate::run::handover;
use anyhow::{Context as _, Result};
use rustix::fs::{self as sys, Mode, OFlags, StatVfsMountFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{self, MountFlags};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Fixes those of these mounts that shall not be changed, with what came along below them. `true` says that one shall
/// not.
///
/// # Errors
/// When the mounts cannot be listed, or one cannot be made read-only.
pub fn fix(mounted: &[(OwnedFd, bool)]) -> Result<()> {
    let path = |(tree, is_fixed): &(OwnedFd, bool)| {
        Ok((fs::read_link(handover::name(tree)).context("a mount is lost")?, *is_fixed))
    };
    let mounted = mounted.iter().map(path).collect::<Result<Vec<_>>>()?;
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot list the mounts")?;
    for (id, place) in mount_points(&text).into_iter().filter(|(_, place)| is_fixed(place, &mounted)) {
        let what = || format!("cannot make {} read-only", place.display());
        if let Some(open) = uncovered(id, &place).with_context(what)? {
            read_only(&open).with_context(what)?;
        }
    }
    Ok(())
}

/// Whether a mount shall not be changed: the one of ours that is nearest above it says so.
fn is_fixed(place: &Path, mounted: &[(PathBuf, bool)]) -> bool {
    let above = mounted.iter().filter(|(path, _)| place.starts_with(path));
    above.max_by_key(|(path, _)| path.as_os_str().len()).is_some_and(|(_, is_fixed)| *is_fixed)
}

/// A mount by its number and its place. None if another mount lies over it or over a folder above it: then nobody
/// reaches it, and the kernel lets nobody take away what covers it who may not change it anyhow.
fn uncovered(id: u64, place: &Path) -> rustix::io::Result<Option<OwnedFd>> {
    let open = match sys::open(place, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        other => other?,
    };
    let found = sys::statx(&open, "", sys::AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    // Kernels before 5.8 do not tell the number.
    let is_told = found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    Ok((!is_told || found.stx_mnt_id == id).then_some(open))
}

/// Makes one mount read-only, and leaves what else holds of it: a user namespace may not take any of it away.
///
/// # Errors
/// When the kernel refuses.
pub fn read_only(mounted: impl AsFd) -> rustix::io::Result<()> {
    let mounted = mounted.as_fd();
    let now = sys::fstatvfs(mounted)?.f_flag;
    let all = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let kept = all.into_iter().filter(|(flag, _)| now.contains(*flag)).map(|(_, flag)| flag);
    let flags = kept.fold(MountFlags::BIND | MountFlags::RDONLY, |all, flag| all | flag);
    mount::mount_remount(handover::name(mounted), flags, "")
}

/// The numbers and places of all mounts that `/proc/self/mountinfo` lists.
fn mount_points(text: &str) -> Vec<(u64, PathBuf)> {
    let mount = |line: &str| {
        let mut fields = line.split(' ');
        let id = fields.next()?.parse().ok()?;
        Some((id, unescape(fields.nth(3)?)))
    };
    text.lines().filter_map(mount).collect()
}

/// `\040` and the like as the kernel writes them there.
fn unescape(field: &str) -> PathBuf {
    let mut path = String::new();
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        path.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                path.push('\\');
                rest = after;
            }
        }
    }
    path.push_str(rest);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_the_places_that_the_kernel_lists() {
        let text = "22 1 0:21 / / rw - ext4 /dev/vda rw\n30 22 0:5 / /mnt/a\\040b\\134c rw - tmpfs none rw\n";
        assert_eq!(mount_points(text), [(22, PathBuf::from("/")), (30, PathBuf::from("/mnt/a b\\c"))]);
        assert_eq!(unescape("\\9"), PathBuf::from("\\9"));
    }

    #[test]
    fn what_is_mounted_deeper_decides_whether_a_mount_is_fixed() {
        let mounted = [("/", true), ("/proc", false), ("/proc/sys", true), ("/mnt/rw", false)];
        let mounted = mounted.map(|(path, is_fixed)| (PathBuf::from(path), is_fixed));
        let fixed = |place: &str| is_fixed(Path::new(place), &mounted);
        assert!(fixed("/") && fixed("/home") && fixed("/proc/sys/fs") && fixed("/mnt/rwx"));
        assert!(!fixed("/proc") && !fixed("/mnt/rw/below"));
    }
}
