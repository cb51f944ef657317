//! A Debian of a foreign architecture as its users make it: the first stage of `debootstrap` is this
//! machine's work, all of the second is that of the foreign system's own programs.

use crate::driver::engine::environment;
use crate::driver::{Ended, Somebody, WITH_GUESTS, emulator, emulator_of, is_root, run};
use anyarch_client::files::TempFolder;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use xtask::apt::Mirrors;
use xtask::facts::Target;
use xtask::facts::series::DEFAULT;

/// How a guest's children are asked for.
pub const EXECVE: &[&str] = &["--execve", "self"];
/// How they are left to the kernel.
pub const OFF: &[&str] = &[];

/// Seconds that one step may take: a program that hangs is a failure.
const LIMIT: &str = "1800";

/// Who makes the system and runs it.
#[derive(Debug)]
pub enum Owner {
    /// Root, whose folder vanishes with this value, or with a later run that finds it.
    Root(TempFolder),
    /// An ordinary user, who is root in a user namespace.
    User(Somebody),
}

impl Owner {
    /// Root, which the tests must be run by.
    pub fn root() -> Self {
        assert!(is_root(), "this test makes a chroot and needs root; those of an ordinary user do without");
        Self::Root(TempFolder::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("systems")).unwrap())
    }

    /// An ordinary user with ids for a namespace: given ones when root runs the tests, else those that
    /// `/etc/subuid` and `/etc/subgid` name.
    pub fn user() -> Self {
        let owner = Self::User(Somebody::new());
        let map = Ended::of(&mut owner.namespaces("cat /proc/self/uid_map", &[]));
        assert!(
            map.code == Some(0) && map.stdout.lines().count() == 2,
            "this user has no ids for a namespace: apt-get install uidmap; usermod --add-subuids\n{map:?}"
        );
        owner
    }

    fn home(&self) -> &Path {
        match self {
            Self::Root(home) => home.path(),
            Self::User(somebody) => somebody.home.path(),
        }
    }

    /// A script with namespaces of its own: nothing that it mounts or starts is there afterwards.
    fn namespaces(&self, script: &str, arguments: &[&str]) -> Command {
        let timeout = Path::new("timeout");
        let (mut command, user): (_, &[&str]) = match self {
            Self::Root(_) => (Command::new(timeout), &[]),
            Self::User(somebody) => {
                (somebody.command_with_ids(timeout), &["--user", "--map-root-user", "--map-auto"])
            }
        };
        command.args(["--kill-after=10", LIMIT, "unshare"]).args(user);
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, "sh"]);
        command.args(arguments).env_clear().envs(environment()).env("HOME", self.home());
        command.current_dir(self.home()).stdin(Stdio::null());
        command
    }
}

/// A Debian in a folder, and the emulator that runs it.
#[derive(Debug)]
pub struct Debian {
    pub owner: Owner,
    target: Target,
    pub root: PathBuf,
    emulator: PathBuf,
}

impl Debian {
    /// Makes the smallest that Debian knows, by both stages.
    pub fn bootstrap(owner: Owner, target: &str) -> Self {
        Self::bootstrap_with(owner, target, |prefix| emulator(target, prefix))
    }

    /// The same with another emulator, which is put below the folder given.
    pub fn bootstrap_with(owner: Owner, target: &str, emulator: impl FnOnce(&Path) -> PathBuf) -> Self {
        let target = Target::named(target).unwrap();
        let root = owner.home().join("root");
        let emulator = emulator(&owner.home().join("prefix"));
        let mut system = Self { owner, target, root, emulator };
        system.first_stage();
        system.settle();
        system.nothing_is_registered();
        let second = system.guest(EXECVE, &["/debootstrap/debootstrap", "--second-stage"]);
        assert!(
            second.code == Some(0) && second.stdout.contains("Base system installed successfully"),
            "{second:?}\n{}",
            fs::read_to_string(system.root.join("debootstrap/debootstrap.log")).unwrap_or_default()
        );
        assert!(!system.root.join("debootstrap").exists(), "debootstrap removes its folder when all is done");
        system.connect();
        system
    }

    /// Has `anyarch rootfs` make one for an ordinary user.
    pub fn made(target: &str, options: &[&str]) -> Self {
        let owner = Owner::user();
        let Owner::User(somebody) = &owner else { panic!("a user") };
        let target = Target::named(target).unwrap();
        let root = owner.home().join("root");
        let prefix = owner.home().join("prefix");
        let emulator = match WITH_GUESTS.split(',').any(|name| name == target.name) {
            true => emulator(target.name, &prefix),
            false => emulator_of(DEFAULT, target.name, &prefix),
        };
        let mut command = somebody.command_with_ids(crate::users::program());
        command.args([
            "rootfs",
            "--target",
            target.name,
            "--mirror",
            &Mirrors::of_this_machine().unwrap().main,
        ]);
        command.arg("--emulator").arg(&emulator).args(options).arg(&root).envs(environment());
        let ended = Ended::of(command.env("HOME", owner.home()));
        assert_eq!(
            (ended.code, ended.stdout),
            (Some(0), format!("{}\n", root.display())),
            "{}",
            ended.stderr
        );
        let mut system = Self { owner, target, root, emulator };
        system.settle();
        system.connect();
        system.nothing_is_registered();
        system
    }

    /// A copy that a test may change, of a user's system for a user.
    pub fn copy_of_user(&self) -> Self {
        let owner = Owner::user();
        let root = owner.home().join("root");
        let words = [self.root.to_str().unwrap(), root.to_str().unwrap()];
        let ended = Ended::of(&mut owner.namespaces("cp -a \"$1\" \"$2\"", &words));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let emulator = root.join(self.emulator.file_name().unwrap());
        Self { owner, target: self.target, root, emulator }
    }

    /// dpkg's name of what it is for.
    pub fn architecture(&self) -> &'static str {
        self.target.debian.unwrap().arch
    }

    /// The emulator that runs it.
    pub fn emulator(&self) -> &Path {
        &self.emulator
    }

    /// A copy that a test may change.
    pub fn copy(&self) -> Self {
        let owner = Owner::root();
        let root = owner.home().join("root");
        run("cp", &["-a", self.root.to_str().unwrap(), root.to_str().unwrap()]);
        Self { owner, target: self.target, root, emulator: self.emulator.clone() }
    }

    /// Puts the emulator of a user's system into it.
    fn settle(&mut self) {
        if matches!(self.owner, Owner::User(_)) {
            let inside = self.root.join(format!("qemu-{}", self.target.name));
            fs::copy(&self.emulator, &inside).unwrap();
            self.emulator = inside;
        }
    }

    fn first_stage(&self) {
        let debian = self.target.debian.unwrap();
        let mirror = Mirrors::of_this_machine().unwrap().main;
        let arch = format!("--arch={}", debian.arch);
        let root = self.root.to_str().unwrap();
        let words = ["debootstrap", "--foreign", "--variant=minbase", &arch, debian.suite, root, &mirror];
        let ended = Ended::of(&mut self.owner.namespaces("exec \"$@\"", &words));
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// Gives the system this machine's ways to the network and to Debian, as they are now.
    fn connect(&self) {
        let settings = run("apt-config", &["dump", "Acquire"]);
        let ways = ["Acquire::http", "Acquire::Check-", "Acquire::Force", "Acquire::Retries"];
        let settings: String = settings
            .lines()
            .filter(|line| ways.iter().any(|way| line.starts_with(way)) && !line.contains("Detect"))
            .fold("Acquire::Languages \"none\";\n".to_owned(), |all, line| all + line + "\n");
        let folder = self.owner.home().join("machine");
        for name in ["etc/apt/apt.conf.d", "etc/ssl/certs"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        fs::write(folder.join("etc/apt/apt.conf.d/99machine"), settings).unwrap();
        let files = [
            "etc/resolv.conf",
            "etc/hosts",
            "etc/apt/auth.conf",
            "etc/apt/auth.conf.d",
            "etc/ssl/certs/ca-certificates.crt",
        ];
        for name in files.iter().filter(|name| Path::new("/").join(name).exists()) {
            let (from, to) = (Path::new("/").join(name), folder.join(name));
            run("cp", &["-rL", from.to_str().unwrap(), to.parent().unwrap().to_str().unwrap()]);
        }
        // The user's own root copies them, so that they belong to the system's.
        let (from, to) = (format!("{}/.", folder.display()), self.root.display().to_string());
        let copied = Ended::of(&mut self.owner.namespaces("cp -r \"$1\" \"$2\"", &[&from, &to]));
        assert_eq!(copied.code, Some(0), "{copied:?}");
    }

    /// The kernel of this machine knows nothing of the target: no entry of binfmt_misc names it, and
    /// what is registered behind a mount that is gone, or not there yet, is not either.
    pub fn nothing_is_registered(&self) {
        let emulator = format!("qemu-{}", self.target.name);
        for entry in fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            assert!(!text.contains(&emulator), "{} is registered:\n{text}", entry.path().display());
        }
        let native = Command::new(self.root.join("usr/bin/true")).spawn();
        assert_eq!(native.unwrap_err().raw_os_error(), Some(8), "ENOEXEC: the kernel does not start it");
        let without = self.guest(OFF, &["/bin/sh", "-c", "/bin/true"]);
        assert_eq!(without.code, Some(126), "{without:?}");
        assert!(without.stderr.contains("Exec format error"), "{without:?}");
    }

    /// Runs a program of the system. To root the emulator stays outside: the first program is the
    /// system's own `chroot`. The user's lies inside.
    pub fn guest(&self, options: &[&str], words: &[&str]) -> Ended {
        // The first stage in a container leaves /proc as a link, which the second makes a folder.
        const MOUNTS: &str = "root=$1; shift; mount --rbind /dev \"$root/dev\"\n\
                              [ -L \"$root/proc\" ] || mount -t proc proc \"$root/proc\"; exec \"$@\"";
        let root = self.root.to_str().unwrap();
        let chroot = self.root.join("usr/sbin/chroot");
        let emulator = self.emulator.to_str().unwrap();
        let inside = format!("/qemu-{}", self.target.name);
        let mut all = vec![root];
        match self.owner {
            Owner::Root(_) => {
                all.push(emulator);
                all.extend(options);
                all.extend(["-L", root, chroot.to_str().unwrap(), root]);
            }
            Owner::User(_) => {
                all.extend(["chroot", root, &inside]);
                all.extend(options);
            }
        }
        all.extend(words);
        Ended::of(&mut self.owner.namespaces(MOUNTS, &all))
    }

    /// Runs a program of a user's system as its users do: by `anyarch run`.
    pub fn anyarch(&self, options: &[&str], words: &[&str]) -> Ended {
        let Owner::User(somebody) = &self.owner else { panic!("a system of root's") };
        let mut command = somebody.command_with_ids(crate::users::program());
        command.args(["run", "--emulator"]).arg(&self.emulator).args(options);
        for way in environment().iter().map(|(name, _)| name).filter(|name| name.ends_with("_proxy")) {
            command.args(["--env", way]);
        }
        command.arg(&self.root).arg("--").args(words).envs(environment());
        Ended::of(command.env("HOME", self.owner.home()).stdin(Stdio::null()))
    }

    /// Runs a script by `anyarch run`, which must end well, and gives what it says.
    pub fn works(&self, options: &[&str], script: &str) -> String {
        let ended = self.anyarch(options, &["sh", "-ec", script]);
        assert_eq!(ended.code, Some(0), "{script}\n{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Runs a script, which must end well, and gives what it says.
    pub fn script(&self, script: &str) -> String {
        let ended = self.guest(EXECVE, &["/bin/sh", "-ec", script]);
        assert_eq!(ended.code, Some(0), "{script}\n{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// `apt-get install`, by the system's own apt from where this machine's apt gets Debian.
    pub fn install(&self, packages: &str) {
        self.script("apt-get update");
        self.script(&format!("apt-get install --yes --no-install-recommends {packages}"));
        assert_eq!(self.script("dpkg --audit; dpkg-query -W -f '${db:Status-Abbrev}\\n' | sort -u"), "ii \n");
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        // Files of a user's other ids are the user's to remove only in the namespace.
        if matches!(self.owner, Owner::User(_)) {
            let root = self.root.display().to_string();
            let _ = self.owner.namespaces("rm -rf \"$1\"", &[&root]).status();
        }
    }
}
