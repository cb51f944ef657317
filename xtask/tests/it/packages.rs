//! Packages of a release as people get them: the same bytes each time, installed and removed by the real package
//! managers in roots of their own, and none of a release that is not what it says of itself.

mod apk;
mod deb;
mod recipes;
mod rpm;
mod wheel;

pub use wheel::wheel_runs;

use crate::driver::releases::FakeRelease;
use crate::driver::{Ended, is_root, refused, run, scratch, wants};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use xtask::facts::Host;

const NAME: &str = "9.9.9-1";
const BASE: &str = "https://example.org/anyarch";
const MAINTAINER: &str = "Jo Doe <jo@example.org>";

/// An emulator that runs the programs of this machine, which none is needed for.
const RUNS_NATIVELY: &[u8] =
    b"#!/bin/sh\n[ \"$1\" != --version ] || exec echo \"qemu-aarch64 version 9.9.9\"\nexec \"$@\"\n";

/// A release, and a folder for packages.
pub struct Stage {
    home: TempDir,
    release: FakeRelease,
}

impl Stage {
    fn new() -> Self {
        Self::with_emulator(RUNS_NATIVELY)
    }

    /// The same with this `qemu-aarch64` for amd64.
    pub fn with_emulator(bytes: &[u8]) -> Self {
        let home = scratch();
        let mut release = release(&home.path().join("mirror"));
        release.put_emulator("aarch64", "amd64", bytes);
        Self { home, release }
    }

    fn run(&self, out: &str, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["package", "--maintainer", MAINTAINER, "--out"]).arg(self.home.path().join(out));
        command.arg("--release").arg(self.release.folder()).args(words);
        Ended::of(&mut command)
    }

    /// Makes packages, and gives the folder that they are in, and what is said of them.
    fn make(&self, out: &str, words: &[&str]) -> (PathBuf, Value) {
        let ended = self.run(out, &[&["--json"], words].concat());
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        let said: Value = serde_json::from_str(&ended.stdout).unwrap();
        let folder = self.home.path().join(out).join(format!("{NAME}-packages"));
        assert_eq!(said["folder"], folder.to_str().unwrap());
        (folder, said)
    }

    /// The same for this machine alone; `None` on one that the test's release has nothing for.
    fn make_native(&self, format: &str) -> Option<(PathBuf, Host)> {
        let host = Host::all(&crate::driver::checkout().join("toolchains")).unwrap();
        let host = Host::named("native", &host).unwrap().clone();
        if host.platform != "amd64" {
            wants::not_run("the test's release has all packages for amd64 alone");
            return None;
        }
        Some((self.make("out", &["--format", format, "--host", "native"]).0.join(format), host))
    }

    /// What the release has.
    fn emulator(&self, target: &str, host: &str) -> Vec<u8> {
        self.release.emulator(target, host)
    }
}

/// A release with the users' program for two of its hosts.
fn release(mirror: &Path) -> FakeRelease {
    FakeRelease::make(mirror, NAME).with_program(&["amd64", "arm64"])
}

/// The one file in a folder whose name begins so.
fn find(folder: &Path, begin: &str) -> PathBuf {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> =
        all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begin)).collect();
    assert_eq!(found.len(), 1, "{begin}: {found:?}");
    found[0].clone()
}

/// A root folder with a shell in it, which maintainers' scripts are run by.
fn root_with_shell(home: &Path) -> PathBuf {
    let root = home.join("root");
    let script = "for file in /bin/sh $(ldd /bin/sh | grep -o '/[^ ]*'); do \
                  mkdir -p \"$0${file%/*}\"; cp -L $file \"$0$file\"; done";
    run("sh", &["-ec", script, root.to_str().unwrap()]);
    root
}

/// A program as root, or as root of a namespace of its own.
fn as_root(program: &str) -> Command {
    let mut command = Command::new(if is_root() { program } else { "unshare" });
    if !is_root() {
        command.args(["--map-root-user", program]);
    }
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

fn succeed(command: &mut Command) -> String {
    let ended = Ended::of(command);
    assert_eq!(ended.code, Some(0), "{command:?}: {ended:?}");
    ended.stdout
}

/// What lies below a folder, without folders; links end in `@`.
fn installed(root: &Path) -> Vec<String> {
    let script =
        "cd \"$0\" && find usr -type f -printf '%p %m\\n' -o -type l -printf '%p@ %l\\n' | LC_ALL=C sort";
    run("sh", &["-ec", script, root.to_str().unwrap()]).lines().map(str::to_owned).collect()
}

#[test]
fn the_same_release_makes_the_same_bytes_in_another_folder() {
    let stage = Stage::new();
    let (first, said) = stage.make("1", &["--base", BASE]);
    let (second, _) = stage.make("2/below", &["--base", BASE]);
    let sums = |folder: &Path| {
        run(
            "sh",
            &[
                "-ec",
                "cd \"$0\"; sha256sum --check --strict SHA256SUMS; cat SHA256SUMS",
                folder.to_str().unwrap(),
            ],
        )
    };
    assert_eq!(sums(&first), sums(&second));
    let made = said["packages"].as_array().unwrap();
    let count = |format: &str| made.iter().filter(|one| one["format"] == format).count();
    let counts = ["deb", "rpm", "apk", "wheel", "nix", "homebrew"].map(count);
    // arm64 has no foreign emulator to register, and arm/v7 no program either; wheels are for five pairs.
    assert_eq!(counts, [6, 6, 6, 5, 1, 1], "{made:#?}");
    for name in [
        "deb/anyarch_9.9.9-1_amd64.deb",
        "deb/anyarch-qemu-user_9.9.9-1_armhf.deb",
        "rpm/anyarch-binfmt-9.9.9-1.x86_64.rpm",
        "apk/armv7/anyarch-qemu-user-9.9.9-r1.apk",
        "wheel/anyarch_qemu_aarch64-9.9.9.post1-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64.whl",
        "nix/flake.nix",
        "homebrew/anyarch.rb",
    ] {
        assert!(first.join(name).is_file(), "{name}: {made:#?}");
    }
}

#[test]
fn a_release_that_is_not_what_it_says_makes_no_package() {
    refused::makes_nothing(release, &[], |release, out| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["package", "--format", "apk", "--release"]).arg(release.folder());
        Ended::of(command.arg("--out").arg(out))
    });
    let stage = Stage::new();
    stage.run("out", &["--host", "s390x"]).failed(2, &["nothing for s390x", "amd64 arm64 arm/v7"]);
    stage.run("out", &["--host", "adm64"]).failed(2, &["did you mean `amd64`?"]);
    stage.run("out", &["--format", "dep"]).failed(2, &["no format `dep`; did you mean `deb`?", "homebrew"]);
    stage.run("out", &["--format", "nix"]).failed(2, &["pass --base URL"]);
    stage
        .run("out", &["--format", "homebrew", "--host", "arm/v7", "--base", BASE])
        .failed(2, &["homebrew has no name"]);
    stage.run("out", &["--base", "example.org"]).failed(2, &["begins with https://"]);
    let odd = FakeRelease::make(&stage.home.path().join("odd"), "9.9.9-rc1");
    let odd = Stage { home: scratch(), release: odd };
    odd.run("out", &[]).failed(1, &["a version like 10.2.2-1"]);
}
