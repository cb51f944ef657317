//! A machine that has the programs of our choice: a folder of links is all that its `PATH` has.

use crate::driver::releases::FakeRelease;
use crate::driver::server::Server;
use crate::driver::{Ended, checkout, files, mkdir, scratch};
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use tempfile::TempDir;

/// The release that tests install from.
pub const RELEASE: &str = "1.2.3-1";

/// What the script is told to be run by.
pub const SHELLS: [&[&str]; 3] = [&["dash"], &["busybox", "sh"], &["bash", "--posix"]];

/// What downloads; the last one is busybox's wget.
pub const DOWNLOADERS: [&str; 3] = ["curl", "wget", "busybox-wget"];

/// Each shell and each downloader once.
pub const PAIRED: [(&[&str], &str); 3] =
    [(SHELLS[0], DOWNLOADERS[0]), (SHELLS[1], DOWNLOADERS[2]), (SHELLS[2], DOWNLOADERS[1])];

/// The archive that most of them are about.
pub const ARCHIVE: &str = "qemu-aarch64-1.2.3-1-linux-amd64.tar.xz";

/// Runs the same with each shell and downloader, side by side: much of the time is waiting.
pub fn by_each(check: impl Fn(Machine) + Sync) {
    thread::scope(|scope| {
        for (shell, downloader) in PAIRED {
            let check = &check;
            scope.spawn(move || check(Machine::new(shell, downloader)));
        }
    });
}

/// Starts a program with what it says on pipes.
pub fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What the script calls besides a shell, a downloader and an unpacker.
const PROGRAMS: &str = "awk cat chmod cp cut find getconf grep head mkdir mktemp mv od printf rm rmdir sed sleep sort tail tar tr \
                        uname uniq wc";

/// What the tests want of the machine that they run on.
const PACKAGES: &str =
    "apt-get install -y bash busybox curl dash openssh-client openssl perl shellcheck wget xz-utils zstd";

/// Where a program is; without it, a test has failed.
pub fn program(name: &str) -> PathBuf {
    which::which(name).unwrap_or_else(|_| panic!("{name} is missing\n  to fix it: {PACKAGES}"))
}

/// A machine that downloads from a mirror.
#[derive(Debug)]
pub struct Machine {
    pub home: TempDir,
    shell: &'static [&'static str],
    /// The script, this checkout's as it is.
    pub script: PathBuf,
    pub environment: Vec<(String, String)>,
}

impl Machine {
    /// One with a shell, a downloader, `sha256sum` and `xz`. Busybox's shell has busybox's programs with it.
    pub fn new(shell: &'static [&'static str], downloader: &str) -> Self {
        let home = scratch();
        mkdir(&home.path().join("programs"));
        let machine = Self {
            home,
            shell,
            script: checkout().join("dist/install.sh"),
            environment: vec![
                ("ANYARCH_RETRY_DELAY".into(), "0".into()),
                ("ANYARCH_TIMEOUT".into(), "10".into()),
            ],
        };
        for name in PROGRAMS.split_whitespace().chain(["sha256sum", "xz"]) {
            // Busybox has no getconf.
            match (shell[0], name) {
                ("busybox", "getconf") => {}
                ("busybox", _) => machine.link("busybox", name),
                _ => machine.link(name, name),
            }
        }
        match downloader {
            "busybox-wget" => machine.link("busybox", "wget"),
            "" => {}
            name => machine.link(name, name),
        }
        machine
    }

    /// The usual one.
    pub fn usual() -> Self {
        Self::new(SHELLS[0], DOWNLOADERS[0])
    }

    /// Links a program of the real machine.
    pub fn link(&self, program: &str, name: &str) {
        symlink(self::program(program), self.programs().join(name)).unwrap();
    }

    /// Takes a program away.
    pub fn lacks(&self, name: &str) -> &Self {
        fs::remove_file(self.programs().join(name)).unwrap();
        self
    }

    /// Gives it a program that is a script.
    pub fn has(&self, name: &str, text: &str) -> &Self {
        let path = self.programs().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!{}\n{text}\n", program("dash").display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn programs(&self) -> PathBuf {
        self.home.path().join("programs")
    }

    /// Where emulators go.
    pub fn prefix(&self) -> PathBuf {
        self.home.path().join(".local")
    }

    pub fn emulator(&self, target: &str) -> PathBuf {
        self.prefix().join("bin").join(format!("qemu-{target}"))
    }

    /// The shell, with what comes behind it.
    pub fn shell(&self) -> Command {
        let mut command = Command::new(program(self.shell[0]));
        command.args(&self.shell[1..]);
        self.settle(&mut command);
        command
    }

    /// Gives a program this machine's environment.
    pub fn settle(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", self.programs())
            .env("HOME", self.home.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path())
            .stdin(Stdio::null());
    }

    /// The script with just these arguments.
    pub fn plain(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.shell().arg(&self.script).args(arguments))
    }

    /// The script that installs from a mirror, with more arguments.
    pub fn command(&self, from: &str, arguments: &[&str]) -> Command {
        let mut command = self.shell();
        command.arg(&self.script).args(["--release", RELEASE, "--from", from]).args(arguments);
        command
    }

    pub fn run(&self, from: &str, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(from, arguments))
    }

    /// Installs `qemu-aarch64` for amd64.
    pub fn install(&self, from: &str) -> Ended {
        self.run(from, &["--target", "aarch64", "--host", "amd64"])
    }

    /// It must have installed `qemu-aarch64` for amd64: all of it, and nothing else.
    pub fn has_installed(&self, ended: &Ended, release: &FakeRelease) {
        assert_eq!(ended.code, Some(0), "{:?} {}{}", self.shell, ended.stdout, ended.stderr);
        assert_eq!(ended.stdout, format!("{}\n", self.emulator("aarch64").display()), "{}", ended.stderr);
        let mut expected = vec![("bin/qemu-aarch64".to_owned(), release.emulator("aarch64", "amd64"))];
        expected.extend(release.docs("aarch64"));
        let stamp = PathBuf::from("share/doc/anyarch/qemu-aarch64/.installed");
        let mut names: Vec<PathBuf> = expected.iter().map(|(name, _)| name.into()).collect();
        names.push(stamp);
        names.sort();
        assert_eq!(files(&self.prefix()), names);
        for (name, content) in expected {
            let path = self.prefix().join(&name);
            assert!(fs::read(&path).unwrap() == content, "{name} has other bytes");
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, if name.starts_with("bin/") { 0o755 } else { 0o644 }, "{name}");
        }
    }

    /// It must have failed, said this, and left nothing at all.
    pub fn has_nothing(&self, ended: &Ended, code: i32, said: &[&str]) {
        ended.failed(code, said);
        assert_eq!(ended.stdout, "", "{}", ended.stderr);
        assert_eq!(left(&self.prefix()), Vec::<PathBuf>::new(), "{}", ended.stderr);
    }
}

/// Files below a folder, hidden ones as well, and folders of unfinished work.
pub fn left(prefix: &Path) -> Vec<PathBuf> {
    let mut found = files(prefix);
    for entry in fs::read_dir(prefix).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found
}

/// A release in a folder that vanishes with it.
#[derive(Debug)]
pub struct Shared {
    release: FakeRelease,
    _home: TempDir,
}

impl Deref for Shared {
    type Target = FakeRelease;

    fn deref(&self) -> &FakeRelease {
        &self.release
    }
}

/// A whole release that all tests read which run now, and a server in front of it.
pub fn mirror() -> (Arc<Shared>, Server) {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let release = shared.upgrade().unwrap_or_else(|| {
        let home = scratch();
        let release = FakeRelease::make(&home.path().join("mirror"), RELEASE);
        Arc::new(Shared { release, _home: home })
    });
    *shared = Arc::downgrade(&release);
    let server = Server::of(&release.base);
    (release, server)
}

/// The same for a test that changes it.
pub fn own_mirror() -> (TempDir, FakeRelease, Server) {
    let home = scratch();
    let release = FakeRelease::make(&home.path().join("mirror"), RELEASE);
    let server = Server::of(&release.base);
    (home, release, server)
}
