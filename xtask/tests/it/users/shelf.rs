//! Installed emulators: what is there, from where, whether there is newer, and that all of it goes away.

use super::{built, program};
use crate::driver::releases::FakeRelease;
use crate::driver::{Ended, Somebody, files, scratch};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

struct Shelf {
    home: tempfile::TempDir,
}

impl Shelf {
    fn new() -> Self {
        Self { home: scratch() }
    }

    fn at(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn run(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(built());
        command.args(words).env_clear().env("HOME", self.at("home")).env("ANYARCH_CACHE", self.at("cache"));
        Ended::of(&mut command)
    }

    fn succeed(&self, words: &[&str]) -> Ended {
        let ended = self.run(words);
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        ended
    }

    /// A release that is the newest of its mirror.
    fn newest(&self, name: &str) {
        let base = self.home.path().join("mirror");
        FakeRelease::make(&base, name);
        let _ = fs::remove_file(base.join("latest"));
        symlink(name, base.join("latest")).unwrap();
    }

    fn listed(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.succeed(&[&["list", "--json"], words].concat()).stdout).unwrap()
    }
}

#[test]
fn emulators_are_installed_listed_upgraded_and_removed_without_a_trace() {
    let shelf = Shelf::new();
    let mirror = shelf.at("mirror");
    shelf.newest("1.2.3-1");
    let prefix = shelf.home.path().join("home/.local");
    fs::create_dir_all(&prefix).unwrap();
    let path = prefix.join("bin/qemu-aarch64");
    let said = shelf.succeed(&["install", "--target", "arm64,riscv64", "--from", &mirror]);
    assert!(said.stdout.contains(path.to_str().unwrap()) && path.exists(), "{said:?}");
    let listed = shelf.listed(&[]);
    let first = &listed[0];
    assert_eq!((&first["target"], &first["release"]), (&"aarch64".into(), &"1.2.3-1".into()));
    assert_eq!((&first["from"][0], listed.as_array().unwrap().len()), (&mirror.as_str().into(), 2));
    assert!(first["newer"].is_null());
    shelf.newest("1.2.10-1");
    let listed = shelf.listed(&["--from", &mirror]);
    assert_eq!(listed[0]["newer"], "1.2.10-1");
    // It knows where it came from.
    let said = shelf.succeed(&["upgrade"]);
    assert!(!said.stderr.contains("downgrade"), "{said:?}");
    assert_eq!(shelf.listed(&[])[1]["release"], "1.2.10-1");
    let said = shelf.succeed(&["install", "--target", "arm64", "--release", "1.2.3-1", "--from", &mirror]);
    assert!(said.stderr.contains("downgrade: qemu-aarch64 1.2.3-1 takes the place of 1.2.10-1"), "{said:?}");
    shelf
        .run(&["remove", "--target", "sparc"])
        .failed(2, &["qemu-sparc is not installed", "aarch64 riscv64"]);
    let said = shelf.succeed(&["remove", "--target", "arm64"]);
    assert!(said.stdout.contains("removed") && !path.exists(), "{said:?}");
    shelf.succeed(&["remove", "--target", "all"]);
    assert_eq!(files(&prefix), Vec::<std::path::PathBuf>::new());
    assert_eq!(fs::read_dir(&prefix).unwrap().count(), 0, "no folder is left");
}

#[test]
fn this_program_is_installed_listed_upgraded_and_removed_by_its_own_name() {
    let shelf = Shelf::new();
    let (mirror, home) = (shelf.at("mirror"), shelf.home.path().join("home"));
    let newest = |name: &str| {
        let base = shelf.home.path().join("mirror");
        FakeRelease::make(&base, name).with_program(&["amd64", "arm64"]);
        let _ = fs::remove_file(base.join("latest"));
        symlink(name, base.join("latest")).unwrap();
    };
    newest("1.2.3-1");
    fs::create_dir_all(home.join(".local")).unwrap();
    let path = home.join(".local/bin/anyarch");
    let said = shelf.succeed(&["install", "--target", "anyarch,arm64", "--from", &mirror]);
    assert!(said.stdout.contains(path.to_str().unwrap()) && path.is_file(), "{said:?}");
    let listed = shelf.listed(&[]);
    assert_eq!((&listed[1]["target"], &listed[1]["release"]), (&"anyarch".into(), &"1.2.3-1".into()));
    // All that emulates is something else than all.
    shelf.succeed(&["install", "--target", "all", "--from", &mirror, "--prefix", &shelf.at("other")]);
    assert!(!shelf.home.path().join("other/bin/anyarch").exists());
    newest("1.2.10-1");
    assert_eq!(shelf.listed(&["--from", &mirror])[1]["newer"], "1.2.10-1");
    shelf.succeed(&["upgrade"]);
    assert!(fs::read_to_string(&path).is_err(), "noise is no text");
    assert!(String::from_utf8_lossy(&fs::read(&path).unwrap()).contains("of 1.2.10-1"));
    shelf.succeed(&["remove", "--target", "all"]);
    assert!(path.is_file() && !home.join(".local/bin/qemu-aarch64").exists());
    shelf.succeed(&["remove", "--target", "anyarch"]);
    assert_eq!(fs::read_dir(home.join(".local")).unwrap().count(), 0, "no folder is left");
    // But both are asked for together.
    shelf.succeed(&["install", "--target", "all,anyarch", "--from", &mirror]);
    assert!(path.is_file() && home.join(".local/bin/qemu-riscv64").is_file());
    shelf.succeed(&["remove", "--target", "anyarch,all"]);
    assert_eq!(fs::read_dir(home.join(".local")).unwrap().count(), 0, "no folder is left");
}

#[test]
fn a_release_without_this_program_is_read_and_says_so() {
    let shelf = Shelf::new();
    shelf.newest("1.2.3-1");
    let words = ["install", "--target", "anyarch", "--from", &shelf.at("mirror")];
    shelf.run(&words).failed(2, &["release 1.2.3-1 has anyarch for no host, not for "]);
}

#[test]
fn words_are_completed_from_what_is_there() {
    let shelf = Shelf::new();
    shelf.newest("1.2.3-1");
    shelf.newest("1.2.10-1");
    let mirror = shelf.at("mirror");
    let complete = |words: &[&str]| -> Vec<String> {
        let mut command = Command::new(built());
        command.arg("--").arg("anyarch").args(words).env_clear().env("HOME", shelf.at("home"));
        command.env("ANYARCH_COMPLETE", "fish");
        let said = Ended::of(&mut command);
        assert_eq!(said.code, Some(0), "{words:?}: {said:?}");
        said.stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    let from = ["install", "--from", &mirror, "--release", "1"];
    assert_eq!(complete(&from), ["1.2.10-1", "1.2.3-1"]);
    assert_eq!(complete(&["install", "--target", "aarch"]), ["aarch64", "aarch64_be"]);
    assert_eq!(complete(&["install", "--target", "sh4,any"]), ["sh4,anyarch"]);
    assert_eq!(complete(&["run", "--platform", "linux/arm/"]), ["linux/arm/v7", "linux/arm/v6"]);
    assert_eq!(complete(&["register", "loon"]), ["loongarch64"]);
    shelf.succeed(&["install", "--target", "arm64", "--from", &mirror]);
    // A server is not asked: nothing answers there.
    let installed = ["upgrade", "--from", "http://127.0.0.1:1/", "--release", ""];
    assert_eq!(complete(&installed), ["1.2.10-1"]);
}

#[test]
fn an_emulator_that_nobody_installed_is_fetched_once() {
    let shelf = Shelf::new();
    let (mirror, root) = (shelf.at("mirror"), shelf.at("root"));
    shelf.newest("1.2.3-1");
    fs::create_dir_all(format!("{root}/bin")).unwrap();
    let program = [&b"\x7fELF\x02\x01"[..], &[0; 12], &[183], &[0; 45]].concat();
    fs::write(format!("{root}/bin/sh"), program).unwrap();
    let path = |words: &[&str]| {
        let plan = shelf.succeed(&[&["run", "--json", "--dry-run"], words, &[root.as_str()]].concat()).stdout;
        serde_json::from_str::<Value>(&plan).unwrap()["emulator"]["path"].as_str().unwrap().to_owned()
    };
    shelf
        .run(&["run", "--dry-run", &root])
        .failed(2, &["there is no qemu-aarch64", "anyarch install --target"]);
    let fetched = path(&["--from", &mirror]);
    assert!(fetched.ends_with("/cache/emulators/bin/qemu-aarch64"), "{fetched}");
    fs::remove_dir_all(&mirror).unwrap();
    assert_eq!(path(&[]), fetched);
}

#[test]
fn what_cannot_be_installed_is_told() {
    let shelf = Shelf::new();
    let mirror = shelf.at("mirror");
    shelf
        .run(&["install", "--target", "arm64"])
        .failed(2, &["nobody says where releases are", "ANYARCH_FROM"]);
    fs::create_dir_all(&mirror).unwrap();
    shelf.run(&["install", "--target", "arm64", "--from", &mirror]).failed(1, &["name one: --release NAME"]);
    shelf.newest("1.2.3-1");
    shelf.run(&["install", "--target", "arm46", "--from", &mirror]).failed(2, &["did you mean"]);
    shelf.run(&["install", "--target", "hppa", "--from", &mirror]).failed(2, &["does not have qemu-hppa"]);
    let release = ["--release", "9.9.9-1", "--from", &mirror];
    shelf.run(&[&["install", "--target", "arm64"], &release[..]].concat()).failed(1, &["9.9.9-1"]);
    shelf.run(&["upgrade"]).failed(2, &["no emulator is installed", "anyarch install"]);
    assert!(!Path::new(&shelf.at("home/.local/bin")).exists());
}

#[test]
fn translations_that_are_kept_are_listed_and_cleaned() {
    let shelf = Shelf::new();
    let kept = shelf.home.path().join("cache/tb/0123456789abcdef");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("x"), "12345").unwrap();
    let listed: Value = serde_json::from_str(&shelf.succeed(&["cache", "list", "--json"]).stdout).unwrap();
    let translations = listed["translations"].as_array().unwrap();
    assert_eq!((translations[0]["size"].as_u64(), translations.len()), (Some(5), 1));
    assert_eq!(listed["images"].as_array().unwrap().len(), 0);
    let said = shelf.succeed(&["cache", "clean"]);
    assert!(said.stdout.contains("1 folder") && !kept.exists(), "{said:?}");
}

#[test]
fn a_doctor_tries_and_names_what_is_missing() {
    let shelf = Shelf::new();
    let found = shelf.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    let names: Vec<&str> =
        found.as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!(names, ["user namespaces", "users and groups", "emulators", "cache", "binfmt_misc"]);
    assert_eq!(found[2]["detail"], "none in ~/.local: anyarch install --target TARGET");
}

#[test]
fn what_runs_here_is_shown_with_the_documented_keys_and_only_root_registers() {
    let page = fs::read_to_string(crate::driver::checkout().join("docs/register.md")).unwrap();
    let somebody = Somebody::new();
    let anyarch = |words: &[&str]| Ended::of(somebody.command(program()).args(words));
    let shown = anyarch(&["status", "--json"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let status: Value = serde_json::from_str(&shown.stdout).unwrap();
    let keys: Vec<&String> = status.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["supported", "emulators", "details"]);
    assert!(status["supported"][0].as_str().unwrap().starts_with("linux/"), "{status}");
    let details = status["details"].as_array().unwrap().iter().filter_map(Value::as_object);
    for key in keys.into_iter().chain(details.flat_map(serde_json::Map::keys)) {
        assert!(page.contains(&format!("`{key}`")), "docs/register.md does not have {key}");
    }
    anyarch(&["register", "arm64"]).failed(3, &[]);
    anyarch(&["register", "arm46"]).failed(2, &["did you mean"]);
    let unknown = anyarch(&["unregister", "arm46", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&unknown.stdout).unwrap()["code"], 2);
}
