//! `anyarch`, the program for users: what it runs, how that ends, what it installs. Most of it is tried with a root of
//! this machine's own programs, which needs no emulator; foreign ones stand in `systems`.

mod debians;
mod disks;
mod ends;
mod images;
mod peers;
mod rooms;
mod shelf;
mod terminals;

use crate::driver::{Ended, Somebody, mkdir, public_folder};
use anyarch_client::files::TempFolder;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The program, where every user can start it.
static PROGRAM: LazyLock<(TempFolder, PathBuf)> = LazyLock::new(|| {
    let home = public_folder();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let path = home.path().join("anyarch");
    // By another process: a child that a test begins meanwhile would hold a file of ours open for writing.
    crate::driver::run("cp", &[built(), path.clone()]);
    (home, path)
});

/// The program as cargo built it beside the driver.
pub fn built() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("anyarch");
    assert!(path.exists(), "there is no {}: cargo build -p anyarch", path.display());
    path
}

/// A copy of it that every user can start.
pub fn program() -> &'static Path {
    &PROGRAM.1
}

/// A user with a root of this machine's own programs.
struct Guest {
    somebody: Somebody,
    root: PathBuf,
}

impl Guest {
    fn new() -> Self {
        let somebody = Somebody::new();
        let root = somebody.home.path().join("root");
        // A program that tells the target; the others are bound.
        fs::create_dir_all(root.join("sbin")).unwrap();
        crate::driver::run("cp", &["/usr/bin/env".as_ref(), root.join("sbin/init").as_path()]);
        for name in ["bin", "lib", "lib64", "libexec"] {
            symlink(Path::new("usr").join(name), root.join(name)).unwrap();
        }
        for name in ["usr", "etc", "tmp", "proc", "sys", "dev", "mnt", "run", "var/tmp"] {
            mkdir(&root.join(name));
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nann:x:7:8::/home/ann:/bin/sh\n")
            .unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nann:x:8:\nextra:x:9:ann\n").unwrap();
        let guest = Self { somebody, root };
        guest.own(&guest.root);
        guest
    }

    /// Gives a folder to the user.
    fn own(&self, folder: &Path) {
        if crate::driver::is_root() {
            crate::driver::run("chown", &["-R", "-h", "nobody:nogroup", folder.to_str().unwrap()]);
        }
    }

    /// `run` with all ids that are granted.
    fn command(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = self.somebody.command_with_ids(program());
        self.add(&mut command, options, words);
        command
    }

    /// `run` with one id: who may gain no privilege, or has no program for it, is given no others.
    fn command_with_one_id(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = self.with_one_id();
        self.add(&mut command, options, words);
        command
    }

    fn with_one_id(&self) -> Command {
        let mut command = self.somebody.command(program());
        if !crate::driver::is_root() {
            command.env("PATH", "/none");
        }
        command
    }

    fn add(&self, command: &mut Command, options: &[&str], words: &[&str]) {
        command.args(["run", "--bind", "/usr:/usr:ro"]).args(options).arg(&self.root).arg("--").args(words);
    }

    fn run(&self, options: &[&str], words: &[&str]) -> Ended {
        Ended::of(&mut self.command(options, words))
    }

    /// Runs a script, which must end well, and gives what it says.
    fn script(&self, options: &[&str], script: &str) -> String {
        let ended = self.run(options, &["sh", "-ec", script]);
        assert_eq!(ended.code, Some(0), "{script}: {ended:?}");
        ended.stdout
    }
}

/// Processes whose command line holds a word.
fn with(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let text = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    text.filter(|line| line.contains(word)).collect()
}
