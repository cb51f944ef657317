//! Where formats are registered: in the machine's table, or in the one of a user namespace. And what can stand in the
//! way of that, with the remedy.

use crate::table::{Table, status};
use anyhow::{Context as _, Result, anyhow};
use rustix::fs::{CWD, StatVfsMountFlags, statfs, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create, fsmount, fsopen,
    mount, move_mount,
};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where Linux has its table, by everybody's agreement.
pub const FOLDER: &str = "/proc/sys/fs/binfmt_misc";
/// The file system's name.
const KIND: &str = "binfmt_misc";
/// `BINFMTFS_MAGIC` of `linux/magic.h`.
const KIND_MAGIC: u64 = 0x4249_4e4d;
/// `PROC_USER_INIT_INO` of `linux/proc_ns.h`: the machine's own user namespace.
const MACHINES_NAMESPACE: u64 = 0xEFFF_FFFD;
/// `CAP_SYS_ADMIN` of `linux/capability.h`.
const SYS_ADMIN: u32 = 21;
/// The first Linux with a table for each user namespace.
const TABLE_EACH: (u32, u32) = (6, 7);
/// The first Linux that tells an emulator that it has got `argv[0]` as well.
const TELLS_ARGV0: (u32, u32) = (5, 12);

/// For whom something is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// For the machine, and all user namespaces that have no table of their own.
    Machine,
    /// For the user namespace that this process is in, and those below it.
    UserNamespace,
}

/// What is mounted at [`FOLDER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounted {
    /// Something else, or nothing.
    Nothing,
    /// A table that nothing can be written to.
    ReadOnly,
    /// A table.
    Table,
}

/// What this process may do, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Which table it would register in.
    pub scope: Scope,
    /// Whether it is root there.
    pub is_root: bool,
    /// Whether it may mount there.
    pub may_mount: bool,
    /// The version of Linux.
    pub linux: (u32, u32),
    /// Whether [`FOLDER`] is there to be mounted on.
    pub is_there: bool,
    /// What is mounted there.
    pub mounted: Mounted,
    /// Whether all registrations of that table are turned off.
    pub is_disabled: bool,
}

/// Why nothing can be registered, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Only root may.
    NoRoot,
    /// Root of a container that was given no rights.
    Container,
    /// The process is in a user namespace, whose table is not the machine's.
    OwnTable,
    /// The process is in no user namespace.
    NoNamespace,
    /// Linux is too old for a table of a user namespace.
    OldKernel,
    /// This Linux has no binfmt_misc, or not loaded.
    NoModule,
    /// The table is mounted read-only.
    ReadOnly,
    /// All registrations are turned off.
    Disabled,
}

/// Nothing can be registered here. Programs tell it from failures by this type, and from each other by the cause.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}\n  {remedy}")]
pub struct Obstacle {
    /// The kind of it.
    pub cause: Cause,
    what: String,
    remedy: String,
}

impl Cause {
    /// What is said of it on this Linux.
    pub fn obstacle(self, linux: (u32, u32)) -> Obstacle {
        let (major, minor) = linux;
        let (what, remedy) = match self {
            Self::NoRoot => (
                "only root can register emulators on this machine".to_owned(),
                "run `sudo anyarch register`; without root, `anyarch run` needs nothing registered",
            ),
            Self::Container => (
                "this container may not mount binfmt_misc, nor register in it".to_owned(),
                "run it with `docker run --privileged`, or register on the host itself",
            ),
            Self::OwnTable => (
                "this is a user namespace, where what is registered does not count for the machine"
                    .to_owned(),
                "pass --user to register for this namespace alone, or run `sudo anyarch register` outside of it",
            ),
            Self::NoNamespace => (
                "--user registers in a user namespace, and this process is in none".to_owned(),
                "run `sudo anyarch register` for the machine, or `anyarch register --podman` for podman's containers",
            ),
            Self::OldKernel => (
                format!(
                    "Linux {major}.{minor} has one table for the whole machine; user namespaces have theirs since 6.7"
                ),
                "run `anyarch run`, which needs nothing registered, or `sudo anyarch register` outside of the namespace",
            ),
            Self::NoModule => (
                format!("this Linux does not have binfmt_misc: {FOLDER} cannot be mounted"),
                "run `sudo modprobe binfmt_misc`; if there is no such module, install the kernel's extra modules",
            ),
            Self::ReadOnly => (
                format!("{FOLDER} is mounted read-only"),
                "run `sudo mount -o remount,rw /proc/sys/fs/binfmt_misc`; in a container, run it with --privileged",
            ),
            Self::Disabled => (
                format!("binfmt_misc is turned off: {} says so", status(Path::new(FOLDER)).display()),
                "run `echo 1 | sudo tee /proc/sys/fs/binfmt_misc/status`, which turns on all that is registered",
            ),
        };
        Obstacle { cause: self, what, remedy: remedy.to_owned() }
    }
}

impl Circumstances {
    /// Looks at this process and what is mounted. Nothing is changed.
    ///
    /// # Errors
    /// When `/proc` is missing.
    pub fn look() -> Result<Self> {
        let namespace =
            fs::metadata("/proc/self/ns/user").context("cannot see the user namespace; mount /proc")?;
        let is_machine = namespace.ino() == MACHINES_NAMESPACE;
        let own = fs::read_to_string("/proc/self/status")
            .context("cannot see what rights there are; mount /proc")?;
        let folder = Path::new(FOLDER);
        // It may be mounted by itself as soon as somebody looks into it.
        let _ = fs::read_dir(folder);
        let mounted = match statfs(folder) {
            Ok(there) if there.f_type as u64 == KIND_MAGIC => match statvfs(folder) {
                Ok(mount) if mount.f_flag.contains(StatVfsMountFlags::RDONLY) => Mounted::ReadOnly,
                _ => Mounted::Table,
            },
            _ => Mounted::Nothing,
        };
        Ok(Self {
            scope: if is_machine { Scope::Machine } else { Scope::UserNamespace },
            is_root: rustix::process::geteuid().is_root(),
            may_mount: effective(&own).is_some_and(|rights| rights >> SYS_ADMIN & 1 == 1),
            linux: version(&rustix::system::uname().release().to_string_lossy()),
            is_there: folder.is_dir(),
            mounted,
            is_disabled: mounted != Mounted::Nothing && !Table { folder: folder.to_owned() }.is_enabled(),
        })
    }

    /// What stands in the way of registering for `wanted`, as far as can be seen before it is tried.
    pub fn obstacle(&self, wanted: Scope) -> Option<Obstacle> {
        let cause = match (wanted, self.scope) {
            (Scope::UserNamespace, Scope::Machine) => Cause::NoNamespace,
            (Scope::UserNamespace, _) if self.linux < TABLE_EACH => Cause::OldKernel,
            _ if !self.is_root => Cause::NoRoot,
            (Scope::Machine, Scope::UserNamespace) => Cause::OwnTable,
            _ if !self.is_there => Cause::NoModule,
            _ if !self.may_mount => Cause::Container,
            // A user namespace's own is mounted over what is seen here.
            (Scope::UserNamespace, _) => return None,
            _ if self.mounted == Mounted::ReadOnly => Cause::ReadOnly,
            _ if self.is_disabled => Cause::Disabled,
            _ => return None,
        };
        Some(cause.obstacle(self.linux))
    }

    /// Whether the flag `P` does what it should: an older Linux does not tell the emulator of it, which then takes
    /// `argv[0]` for the first argument.
    pub fn keeps_argv0(&self) -> bool {
        self.linux >= TELLS_ARGV0
    }

    /// The table that counts for this process, as far as can be seen without changing anything. In a user namespace
    /// without a table, or that cannot see its table, it is the machine's.
    pub fn visible_scope(&self) -> Scope {
        let is_mapped = fs::metadata(Path::new(FOLDER).join("register")).is_ok_and(|file| file.uid() == 0);
        if self.mounted != Mounted::Nothing && is_mapped { self.scope } else { Scope::Machine }
    }

    /// The table, which is mounted where it is missing.
    ///
    /// In a user namespace this may be what gives it a table: from then on, the machine's does not count in it.
    ///
    /// # Errors
    /// [`Obstacle`], by what it is that does not let it be mounted.
    pub fn open(&self) -> Result<Table> {
        let table = Table { folder: FOLDER.into() };
        let mounted = match self.scope {
            Scope::Machine if self.mounted == Mounted::Table => Ok(()),
            Scope::Machine => mount(KIND, FOLDER, KIND, MountFlags::empty(), None),
            Scope::UserNamespace => mount_own(),
        };
        mounted.map_err(|errno| self.refused(errno))?;
        if !table.is_enabled() {
            return Err(Cause::Disabled.obstacle(self.linux).into());
        }
        Ok(table)
    }

    fn refused(&self, errno: Errno) -> anyhow::Error {
        let cause = match errno {
            Errno::NODEV | Errno::NOENT => Cause::NoModule,
            Errno::PERM | Errno::ACCESS if self.scope == Scope::UserNamespace => Cause::OldKernel,
            Errno::PERM | Errno::ACCESS => Cause::Container,
            Errno::ROFS => Cause::ReadOnly,
            other => return anyhow!(other).context(format!("cannot mount binfmt_misc on {FOLDER}")),
        };
        cause.obstacle(self.linux).into()
    }
}

/// Mounts the table of this user namespace, if what is mounted is not that one, or read-only. It may be the machine's,
/// and whoever is root in both could write to it.
fn mount_own() -> rustix::io::Result<()> {
    let own = detached()?;
    let device = |meta: rustix::fs::Stat| meta.st_dev;
    let is_writable = statvfs(FOLDER).is_ok_and(|mount| !mount.f_flag.contains(StatVfsMountFlags::RDONLY));
    if is_writable && rustix::fs::stat(FOLDER).map(device) == rustix::fs::fstat(&own).map(device) {
        return Ok(());
    }
    move_mount(&own, "", CWD, FOLDER, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// The table of this user namespace, mounted nowhere yet.
fn detached() -> rustix::io::Result<OwnedFd> {
    let context = fsopen(KIND, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// The effective rights that `/proc/self/status` tells.
fn effective(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// The first two numbers of a release of Linux; zeros where there are none.
fn version(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|other: char| !other.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Circumstances = Circumstances {
        scope: Scope::Machine,
        is_root: true,
        may_mount: true,
        linux: (6, 1),
        is_there: true,
        mounted: Mounted::Nothing,
        is_disabled: false,
    };
    const INSIDE: Circumstances = Circumstances { scope: Scope::UserNamespace, linux: (6, 7), ..WELL };

    #[test]
    fn every_obstacle_has_its_cause_and_a_remedy() {
        let (machine, user) = (Scope::Machine, Scope::UserNamespace);
        for (there, wanted, cause, remedy) in [
            (Circumstances { is_root: false, ..WELL }, machine, Cause::NoRoot, "sudo anyarch register"),
            (Circumstances { may_mount: false, ..WELL }, machine, Cause::Container, "--privileged"),
            (Circumstances { is_there: false, ..WELL }, machine, Cause::NoModule, "modprobe binfmt_misc"),
            (Circumstances { mounted: Mounted::ReadOnly, ..WELL }, machine, Cause::ReadOnly, "remount,rw"),
            (Circumstances { is_disabled: true, ..WELL }, machine, Cause::Disabled, "echo 1"),
            (INSIDE, machine, Cause::OwnTable, "pass --user"),
            (WELL, user, Cause::NoNamespace, "register --podman"),
            (Circumstances { linux: (6, 6), ..INSIDE }, user, Cause::OldKernel, "anyarch run"),
            (Circumstances { is_root: false, ..INSIDE }, user, Cause::NoRoot, "anyarch run"),
        ] {
            let obstacle = there.obstacle(wanted).expect("an obstacle");
            assert_eq!(obstacle.cause, cause);
            let text = obstacle.to_string();
            assert!(text.contains(remedy), "{text}");
        }
        assert!(WELL.obstacle(machine).is_none() && INSIDE.obstacle(user).is_none());
        assert!(Circumstances { mounted: Mounted::Table, ..WELL }.obstacle(machine).is_none());
    }

    #[test]
    fn what_the_kernel_refuses_is_told_by_its_cause() {
        for (there, errno, cause) in [
            (WELL, Errno::NODEV, Cause::NoModule),
            (WELL, Errno::PERM, Cause::Container),
            (INSIDE, Errno::PERM, Cause::OldKernel),
            (WELL, Errno::ROFS, Cause::ReadOnly),
        ] {
            let error = there.refused(errno);
            assert_eq!(error.downcast_ref::<Obstacle>().expect("an obstacle").cause, cause);
        }
        assert!(!WELL.refused(Errno::NOMEM).is::<Obstacle>());
    }

    #[test]
    fn the_kernels_words_are_read() {
        for (release, numbers) in
            [("6.18.44-fc-v669", (6, 18)), ("5.4.0", (5, 4)), ("6.7", (6, 7)), ("x", (0, 0))]
        {
            assert_eq!(version(release), numbers);
        }
        assert_eq!(effective("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(0x1ff_ffff_ffff));
        assert!(Circumstances { linux: (5, 12), ..WELL }.keeps_argv0());
        assert!(!Circumstances { linux: (5, 11), ..WELL }.keeps_argv0());
    }
}
