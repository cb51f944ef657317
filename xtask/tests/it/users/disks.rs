//! Disks that are full or cannot be written to, as in `docker run --read-only`: what is told, and that nothing half done
//! stays. Each run is in namespaces of its own.

use super::built;
use crate::driver::releases::FakeRelease;
use crate::driver::{Ended, mkdir, scratch, wants};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

const RELEASE: &str = "9.9.9-1";
/// Too little for an emulator, and enough for what stands around it.
const SMALL: &str = "100k";

/// A mirror, a prefix and a cache.
struct Stage {
    home: TempDir,
}

impl Stage {
    /// `None`, with a note, where a user may not mount.
    fn new() -> Option<Self> {
        let stage = Self { home: scratch() };
        FakeRelease::make(&stage.at("mirror"), RELEASE);
        for folder in ["prefix", "cache", "home"] {
            mkdir(&stage.at(folder));
        }
        let tried = stage.run("mount -t tmpfs none cache", &[]);
        if tried.code == Some(0) {
            return Some(stage);
        }
        wants::not_run(&format!("needs `unshare --user --mount`: {}", tried.stderr));
        None
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a program after a script has mounted what it wants; stdout then ends with the files that are left.
    fn run(&self, setup: &str, command: &[&str]) -> Ended {
        let script = format!(
            "{setup}\ncode=0; \"$@\" || code=$?\n\
             find prefix /usr/local/bin/qemu-* /usr/local/share/doc/anyarch -type f 2> /dev/null || true; exit $code"
        );
        let mut run = Command::new("unshare");
        run.args(["--user", "--map-root-user", "--mount", "sh", "-ec", &script, "sh"]).args(command);
        run.current_dir(self.home.path()).env("HOME", self.at("home")).env("ANYARCH_CACHE", self.at("cache"));
        Ended::of(&mut run)
    }

    fn anyarch(&self, setup: &str, words: &[&str]) -> Ended {
        self.run(setup, &[&[built().to_str().unwrap()], words].concat())
    }

    fn install(&self, setup: &str) -> Ended {
        self.anyarch(
            setup,
            &["install", "--target", "arm64", "--from", "mirror", "--release", RELEASE, "--prefix", "prefix"],
        )
    }

    /// The container's way to it, whose folder for emulators is mounted as `setup` says.
    fn words_of_others(&self, setup: &str) -> Ended {
        self.anyarch(setup, &["--install", "arm64", "--from", "mirror", "--release", RELEASE])
    }
}

fn read_only(folder: &str) -> String {
    format!("mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}")
}

fn full(folder: &str) -> String {
    format!("mount -t tmpfs -o size={SMALL} none {folder}")
}

#[test]
fn where_an_emulator_has_no_room_nothing_is_installed_and_the_way_out_is_told() {
    let Some(stage) = Stage::new() else { return };
    for (setup, words) in [
        (read_only("prefix"), ["Read-only file system", "pass --prefix DIR"]),
        (read_only("cache"), ["Read-only file system", "set ANYARCH_CACHE to a folder"]),
        (full("prefix"), ["No space left on device", "anyarch cache clean"]),
        (full("cache"), ["No space left on device", "anyarch cache clean"]),
    ] {
        let ended = stage.install(&setup);
        ended.failed(1, &words);
        assert_eq!(ended.stdout, "", "{setup}: {ended:?}");
    }
    let ended = stage.install("true");
    assert!(ended.code == Some(0) && ended.stdout.contains("prefix/bin/qemu-aarch64\n"), "{ended:?}");
}

#[test]
fn in_a_container_without_room_for_emulators_the_option_of_docker_is_told() {
    let Some(stage) = Stage::new() else { return };
    for setup in [read_only("/usr/local"), full("/usr/local"), read_only("cache"), full("cache")] {
        let ended = stage.words_of_others(&setup);
        ended.failed(1, &["no room for the emulators", "docker run -v anyarch:/usr/local"]);
        assert_eq!(ended.stdout, "", "{setup}: {ended:?}");
    }
}
