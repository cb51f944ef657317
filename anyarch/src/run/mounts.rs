//! What a run mounts, in a mount namespace of its own: the root, then what every system expects in it, then what the
//! user wants to see there. At the end nothing of this machine is left but that.

use crate::run::fixed;
use crate::run::handover;
use crate::run::ids::Ids;
use crate::run::kept::Kept;
use crate::run::place::{self, Kind, attach, copy};
use crate::run::plan::{Bind, Network, Plan};
use crate::run::rights;
use crate::run::root::Source;
use crate::run::tarball;
use crate::text::Text;
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result, bail};
use rustix::fs::{self as sys, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{self, FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{chdir, fchdir, pivot_root};
use rustix::termios::isatty;
use std::fs::{self, File};
use std::io::{Write as _, stderr, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where the root sees the folder of translations.
pub const TRANSLATIONS: &str = "/dev/.anyarch";

/// Where systems expect the kernel's table of formats.
const TABLE: &str = "proc/sys/fs/binfmt_misc";

/// Devices that every system has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Where a root in memory is mounted until it is the root: a folder that every machine has, and that this process, in
/// a mount namespace of its own, has no more use for.
const STAGE: &str = "/dev";

/// Names in `/dev` that lead elsewhere.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// What the root of this machine, who is root inside as well, could change of it by `/proc`.
const PROC_OF_ROOT: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// Has no mount of ours reach others, nor theirs us.
///
/// # Errors
/// When the kernel refuses.
pub fn separate() -> Result<()> {
    mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("cannot separate the mounts")
}

/// A program of this machine by a descriptor through which nobody can write to it, not even the root that runs it.
///
/// # Errors
/// When the kernel refuses.
pub fn sealed(program: &Path) -> Result<OwnedFd> {
    let what = || format!("cannot hand {} over", program.display());
    let place = sys::open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).with_context(what)?;
    let tree = copy(&handover::name(&place)).with_context(what)?;
    attach(&tree, &place).with_context(what)?;
    fixed::read_only(&tree).with_context(what)?;
    Ok(tree)
}

/// What came of it.
#[derive(Debug)]
pub struct Settled {
    /// What could not be done, for the user.
    pub notes: Vec<String>,
    /// Where the emulator lies, if the kernel starts programs by it.
    pub registered: Option<PathBuf>,
}

/// Mounts everything, and makes the root that of this process.
///
/// # Errors
/// When something that a run cannot do without cannot be mounted.
pub fn settle(plan: &Plan, emulator: Option<&OwnedFd>) -> Result<Settled> {
    let mut house = House { plan, mounted: Vec::new(), notes: Vec::new() };
    // All that lies outside is opened before anything is mounted that could hide it.
    let binds = house.binds()?;
    let outside = Outside::open(plan)?;
    let root = house.root()?;
    house.proc(&root, outside.proc)?;
    if let Some(tree) = outside.sys {
        let place = place::open(&root, Path::new("/sys"), Kind::Folder)?;
        attach(&tree, place).context("cannot mount /sys")?;
        house.mounted.push((tree, true));
    }
    let dev = house.dev(&root, outside.devices, outside.terminal)?;
    house.names(&root, &dev)?;
    if let Some(tree) = outside.translations {
        sys::mkdirat(&dev, Path::new(TRANSLATIONS).file_name().unwrap_or_default(), Mode::RWXU)?;
        attach(&tree, place::open(&root, Path::new(TRANSLATIONS), Kind::Folder)?)
            .context("cannot mount the folder of translations")?;
    }
    if plan.read_only {
        for path in ["/tmp", "/run", "/var/tmp"] {
            let tree = tmpfs("1777", "50%")?;
            attach(&tree, place::open(&root, Path::new(path), Kind::Folder)?)
                .with_context(|| format!("cannot mount {path}"))?;
            house.mounted.push((tree, false));
        }
    }
    let table = emulator.and_then(|emulator| house.table(&root, &dev, emulator));
    for (bind, tree) in binds {
        house.bind(&root, bind, tree)?;
    }
    house.mounted.push((dev, false));
    house.mounted.push((root, plan.read_only));
    house.enter()?;
    let registered = table.and_then(|(own, target)| own.register(target));
    fixed::fix(&house.mounted)?;
    Ok(Settled { notes: house.notes, registered })
}

/// What lies outside of the root.
struct Outside {
    proc: Option<OwnedFd>,
    sys: Option<OwnedFd>,
    devices: Vec<(&'static str, OwnedFd)>,
    terminal: Option<OwnedFd>,
    translations: Option<OwnedFd>,
}

impl Outside {
    fn open(plan: &Plan) -> Result<Self> {
        let device = |name: &'static str| Some((name, copy(&Path::new("/dev").join(name)).ok()?));
        // As `/dev/console` it has a name inside, by which `tty` and others find it.
        let (input, output, messages) = (stdin(), stdout(), stderr());
        let terminals = [input.as_fd(), output.as_fd(), messages.as_fd()];
        let terminal = terminals.iter().find(|one| isatty(one)).map(handover::name);
        let translations = match &plan.translations {
            Some(folder) => Some(copy(folder.path()).with_context(|| format!("cannot use {folder}"))?),
            None => None,
        };
        Ok(Self {
            proc: copy(Path::new("/proc")).ok(),
            sys: copy(Path::new("/sys")).ok(),
            devices: DEVICES.into_iter().filter_map(device).collect(),
            terminal: terminal.and_then(|path| copy(&fs::read_link(path).ok()?).ok()),
            translations,
        })
    }
}

struct House<'a> {
    plan: &'a Plan,
    /// What was mounted, and whether it shall not be changed. It is made so when everything is in its place.
    mounted: Vec<(OwnedFd, bool)>,
    notes: Vec<String>,
}

impl<'a> House<'a> {
    fn binds(&self) -> Result<Vec<(&'a Bind, OwnedFd)>> {
        let open = |bind: &'a Bind| {
            let tree =
                copy(bind.source.path()).with_context(|| format!("--bind: cannot use {}", bind.source))?;
            Ok((bind, tree))
        };
        self.plan.binds.iter().map(open).collect()
    }

    /// Mounts the files of the root, on top of what they lie in.
    fn root(&self) -> Result<OwnedFd> {
        match &self.plan.root {
            Source::Folder(path) if self.plan.ephemeral || self.plan.kept.is_some() => {
                overlay(path, self.plan.kept.as_ref())
            }
            Source::Folder(path) => {
                let what = || format!("cannot mount the root {path}");
                let place = sys::open(path.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                    .with_context(what)?;
                let tree = copy(&handover::name(&place)).with_context(what)?;
                attach(&tree, &place).with_context(what)?;
                Ok(tree)
            }
            Source::Image { about, .. } => bail!("{} was not unpacked", about.name),
            Source::Archive { path, packing } => {
                let what = || format!("cannot unpack {path}");
                let file = File::open(path.path()).with_context(what)?;
                // Programs in it may have rights of their own, as in a folder.
                let options = [("mode", "0755"), ("size", "90%")];
                let tree =
                    filesystem("tmpfs", &options, MountAttrFlags::MOUNT_ATTR_NODEV).with_context(what)?;
                attach(&tree, sys::open(STAGE, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
                    .context("cannot mount a root in memory")?;
                let has_owners = !matches!(self.plan.ids, Ids::One { .. });
                tarball::unpack(file, *packing, Path::new(STAGE), has_owners).with_context(what)?;
                Ok(tree)
            }
        }
    }

    /// A `/proc` of the new process namespace; where a container forbids that, this machine's.
    fn proc(&mut self, root: &OwnedFd, old: Option<OwnedFd>) -> Result<()> {
        let place = place::open(root, Path::new("/proc"), Kind::Folder)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let tree = match (filesystem("proc", &[], attributes), old) {
            (Ok(tree), _) => tree,
            (Err(Errno::PERM | Errno::ACCESS), Some(old)) => {
                self.notes.push("/proc is this machine's: a container forbids one of its own".to_owned());
                old
            }
            (Err(error), _) => return Err(error).context("cannot mount /proc"),
        };
        attach(&tree, place).context("cannot mount /proc")?;
        self.mounted.push((tree.try_clone().context("cannot mount /proc")?, false));
        if matches!(self.plan.ids, Ids::Same { .. }) {
            for name in PROC_OF_ROOT {
                let Ok(place) = crate::run::target::within(&tree, name, OFlags::PATH) else { continue };
                let part = copy(&handover::name(&place)).context("cannot protect /proc")?;
                attach(&part, &place).context("cannot protect /proc")?;
                self.mounted.push((part, true));
            }
        }
        Ok(())
    }

    fn dev(
        &self,
        root: &OwnedFd,
        devices: Vec<(&'static str, OwnedFd)>,
        terminal: Option<OwnedFd>,
    ) -> Result<OwnedFd> {
        let dev = tmpfs("0755", "16m")?;
        attach(&dev, place::open(root, Path::new("/dev"), Kind::Folder)?).context("cannot mount /dev")?;
        for (name, tree) in devices.into_iter().chain(terminal.map(|tree| ("console", tree))) {
            attach(&tree, file(&dev, name, b"")?).with_context(|| format!("cannot mount /dev/{name}"))?;
        }
        let folder = |name: &str| -> Result<OwnedFd> {
            sys::mkdirat(&dev, name, Mode::from_raw_mode(0o755))?;
            Ok(sys::openat(&dev, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
        };
        let mut options = vec![("mode", "620"), ("ptmxmode", "666")];
        // `tty`, in every system that knows the group.
        if self.plan.ids.has(0, 5) {
            options.push(("gid", "5"));
        }
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let pts = filesystem("devpts", &options, attributes).context("cannot mount /dev/pts")?;
        attach(pts, folder("pts")?).context("cannot mount /dev/pts")?;
        attach(tmpfs("1777", "50%")?, folder("shm")?).context("cannot mount /dev/shm")?;
        for (target, name) in LINKS {
            sys::symlinkat(target, &dev, name).with_context(|| format!("cannot make /dev/{name}"))?;
        }
        Ok(dev)
    }

    /// Gives the root this machine's ways to find others, as copies: what is written there stays there.
    fn names(&mut self, root: &OwnedFd, dev: &OwnedFd) -> Result<()> {
        let own = fs::read_to_string("/etc/hosts").unwrap_or_else(|_| "127.0.0.1 localhost\n".to_owned());
        let hosts = format!("{}\n127.0.1.1 {}\n", own.trim_end(), self.plan.hostname);
        let mut files = vec![("/etc/hosts", hosts.into_bytes())];
        if self.plan.network == Network::Host {
            files.extend(fs::read("/etc/resolv.conf").ok().map(|text| ("/etc/resolv.conf", text)));
        }
        for (path, text) in files {
            let name = format!(".{}", path.replace('/', "-"));
            let copied = file(dev, &name, &text)?;
            let tree = copy(&handover::name(&copied)).with_context(|| format!("cannot copy {path}"))?;
            let mounted =
                place::open(root, Path::new(path), Kind::File).and_then(|place| Ok(attach(tree, place)?));
            // It is seen by its place alone.
            sys::unlinkat(dev, name, sys::AtFlags::empty())?;
            // A root that cannot be written, and has no such file, does without; most know this machine by themselves.
            if let (Err(error), "/etc/resolv.conf") = (mounted, path) {
                self.notes.push(format!("names of other machines are not found: {error:#}"));
            }
        }
        Ok(())
    }

    /// Mounts a table of formats where systems expect it, and the emulator that is to be registered there. There is
    /// nothing to be had by it for one user, nor before Linux 6.7, where namespaces have no table of their own.
    /// Whatever stands in its way, a run goes on without.
    fn table(
        &mut self,
        root: &OwnedFd,
        dev: &OwnedFd,
        emulator: &OwnedFd,
    ) -> Option<(rights::Own, &'static Target)> {
        let is_one = matches!(self.plan.ids, Ids::One { .. });
        let planned = self.plan.emulator.as_ref().filter(|_| !is_one)?;
        let target = Target::find(&planned.target)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let tree = filesystem("binfmt_misc", &[], attributes).ok()?;
        let program = copy(&handover::name(emulator)).ok()?;
        attach(&program, file(dev, &rights::name(target.name), b"").ok()?).ok()?;
        self.mounted.push((program, true));
        attach(&tree, crate::run::target::within(root, TABLE, OFlags::PATH).ok()?).ok()?;
        self.mounted.push((tree.try_clone().ok()?, true));
        let own = rights::Own(tree);
        own.take_over();
        Some((own, target))
    }

    fn bind(&mut self, root: &OwnedFd, bind: &Bind, tree: OwnedFd) -> Result<()> {
        let place = place::open(root, bind.destination.path(), place::kind(&tree)?)
            .with_context(|| format!("--bind {}:{}", bind.source, bind.destination))?;
        attach(&tree, place)
            .with_context(|| format!("--bind: cannot mount {} as {}", bind.source, bind.destination))?;
        self.mounted.push((tree, bind.read_only));
        Ok(())
    }

    /// Makes what was mounted last the root of this process, and lets go of all that was mounted before.
    fn enter(&self) -> Result<()> {
        let (root, _) = self.mounted.last().context("there is no root")?;
        fchdir(root).context("cannot enter the root")?;
        pivot_root(".", ".").context("cannot change the root")?;
        mount::unmount(".", UnmountFlags::DETACH).context("cannot let go of this machine's files")?;
        chdir("/").context("cannot enter the root")
    }
}

/// A file system of its own, not yet mounted anywhere.
fn filesystem(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        mount::fsconfig_set_string(&context, *name, *value)?;
    }
    mount::fsconfig_create(&context)?;
    mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn tmpfs(mode: &str, size: &str) -> Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    filesystem("tmpfs", &[("mode", mode), ("size", size)], attributes).context("cannot mount a tmpfs")
}

/// A new file in an own file system, for reading by everybody.
fn file(folder: &OwnedFd, name: &str, text: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let made = sys::openat(folder, name, flags, Mode::from_raw_mode(0o644))
        .with_context(|| format!("cannot make /dev/{name}"))?;
    File::from(made).write_all(text).with_context(|| format!("cannot write /dev/{name}"))?;
    Ok(sys::openat(folder, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The files of a folder with changes elsewhere, mounted on that folder: in memory, or where they are kept.
fn overlay(path: &Text, kept: Option<&Kept>) -> Result<OwnedFd> {
    let what = || match kept {
        Some(kept) => format!(
            "cannot mount the changes of {} over {path} (--keep needs Linux 5.11, and a disk of this machine)",
            kept.folder
        ),
        None => format!("cannot mount changes in memory over {path} (--ephemeral needs Linux 5.11)"),
    };
    let lower = sys::open(path.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).with_context(what)?;
    let memory = tmpfs("0755", "90%")?;
    attach(&memory, &lower).with_context(what)?;
    let folder = |name: &str| -> Result<OwnedFd> {
        sys::mkdirat(&memory, name, Mode::from_raw_mode(0o755)).with_context(what)?;
        sys::openat(&memory, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).with_context(what)
    };
    let (upper, work, place) = match kept {
        None => (folder("upper")?, folder("work")?, folder("root")?),
        Some(kept) => {
            let open = |name: &str| {
                let path = kept.folder.path().join(name);
                sys::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .with_context(what)
            };
            (open("upper")?, open("work")?, folder("root")?)
        }
    };
    // The root folder's own rights are those of the upper one.
    let stat = sys::fstat(&lower).with_context(what)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    sys::chmod(handover::name(&upper), mode).with_context(what)?;
    let context = mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).with_context(what)?;
    for (name, folder) in [("lowerdir", &lower), ("upperdir", &upper), ("workdir", &work)] {
        mount::fsconfig_set_string(&context, name, handover::name(folder)).with_context(what)?;
    }
    // In a user namespace there are no other extended attributes; elsewhere these do as well.
    mount::fsconfig_set_flag(&context, "userxattr").with_context(what)?;
    mount::fsconfig_create(&context).with_context(what)?;
    let tree = mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .with_context(what)?;
    attach(&tree, place).with_context(what)?;
    Ok(tree)
}
