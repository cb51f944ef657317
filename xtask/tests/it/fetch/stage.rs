//! A mirror's folder with one release, and a machine that has nothing yet.

use crate::driver::releases::FakeRelease;
use crate::driver::{Driver, Ended, files, scratch};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The release on the mirror.
pub const NAME: &str = "9.9.9-1";

pub struct Stage {
    pub home: TempDir,
    pub driver: Driver,
    pub release: FakeRelease,
    pub prefix: PathBuf,
}

impl Stage {
    pub fn new() -> Self {
        let home = scratch();
        let mut driver = Driver::fresh(home.path());
        // Whatever proxy the machine has, it does not lead to its own loopback.
        driver.environment.push(("NO_PROXY".into(), "127.0.0.1".into()));
        let release = FakeRelease::make(&home.path().join("mirror"), NAME);
        Self { driver, release, prefix: home.path().join("prefix"), home }
    }

    /// The mirror as a folder.
    pub fn base(&self) -> &str {
        self.release.base.to_str().unwrap()
    }

    /// The arguments of `fetch`: qemu-aarch64 for amd64 of the release, if they don't say other.
    pub fn arguments(&self, given: &[&str]) -> Vec<String> {
        let mut all = vec!["fetch"];
        all.extend(given);
        let usual = [
            ("--target", "aarch64"),
            ("--host", "amd64"),
            ("--release", NAME),
            ("--prefix", self.prefix.to_str().unwrap()),
        ];
        for (option, value) in usual {
            if !given.contains(&option) {
                all.extend([option, value]);
            }
        }
        all.into_iter().map(str::to_owned).collect()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let arguments = self.arguments(arguments);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        without_settings(self.driver.command(&arguments), &self.driver)
    }

    /// `fetch` with the usual arguments where none are given.
    pub fn fetch(&self, arguments: &[&str], further: &[&str]) -> Ended {
        Ended::of(&mut self.command(&[arguments, further].concat()))
    }

    /// The same, which must end well; gives stdout.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let ended = self.fetch(arguments, &[]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// `fetch` with these arguments alone.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let arguments = [&["fetch"], arguments].concat();
        Ended::of(&mut without_settings(self.driver.command(&arguments), &self.driver))
    }

    /// Nothing was installed, and nothing of it lies about.
    pub fn holds_nothing(&self) {
        assert_eq!(files(&self.prefix), Vec::<PathBuf>::new());
    }

    /// The emulators of these targets for amd64 are there whole, with their texts, and nothing else.
    pub fn holds(&self, targets: &[&str]) {
        for target in targets {
            let there = fs::read(self.prefix.join(format!("bin/qemu-{target}"))).unwrap();
            assert!(there == self.release.emulator(target, "amd64"), "qemu-{target} is another one");
            for (name, text) in self.release.docs(target) {
                assert!(fs::read(self.prefix.join(&name)).unwrap() == text, "{name} is another one");
            }
        }
        self.holds_files(targets);
    }

    /// The files of these targets are there, and nothing else.
    pub fn holds_files(&self, targets: &[&str]) {
        let of = |target: &&str| {
            let docs = self.release.docs(target).into_iter().map(|(name, _)| PathBuf::from(name));
            docs.chain([PathBuf::from(format!("bin/qemu-{target}"))]).collect::<Vec<_>>()
        };
        let mut wanted: Vec<PathBuf> = targets.iter().flat_map(of).collect();
        wanted.sort();
        assert_eq!(files(&self.prefix), wanted);
        assert_eq!(folders(&self.prefix, ".partial"), 0, "a folder lies about");
    }

    /// What is left of archives in the cache.
    pub fn kept(&self) -> Vec<PathBuf> {
        let all = files(&self.driver.cache.as_ref().unwrap().join("fetch"));
        all.into_iter().filter(|path| path.extension().is_none_or(|e| e != "lock")).collect()
    }

    /// The partial or whole archive of qemu-aarch64 for amd64 in the cache.
    pub fn partial(&self) -> PathBuf {
        let sha256 = self.release.manifest.artifacts[0].archives[0].sha256.as_str();
        self.driver.cache.as_ref().unwrap().join("fetch").join(sha256)
    }
}

/// How many folders in this one begin with a word.
fn folders(folder: &Path, word: &str) -> usize {
    let listed = fs::read_dir(folder).into_iter().flatten().flatten();
    listed.filter(|entry| entry.file_name().to_string_lossy().starts_with(word)).count()
}

/// Without what this machine's user has set, but with what the test says.
fn without_settings(mut command: Command, driver: &Driver) -> Command {
    let names = [
        "ANYARCH_FROM",
        "ANYARCH_KEY",
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    ];
    for name in names {
        match driver.environment.iter().find(|(set, _)| set == name) {
            Some((_, value)) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}
