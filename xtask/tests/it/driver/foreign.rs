//! Emulators for two other hosts, made once where users make them, for all tests that want some.

use super::{Driver, RELEASE, checkout, json, mkdir, run, wants};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use xtask::facts::Host;

/// Two unlike hosts: one with static PIE, one big-endian and without.
pub const HOSTS: &str = "arm64,s390x";
/// A target whose helpers are soon compiled (three quarters of i386's time): this is built from nothing several times.
pub const TARGET: &str = "s390x";

/// The rows of a build of the target for the two hosts. What an earlier test program built is up to date.
pub static FOREIGN: LazyLock<Vec<Value>> = LazyLock::new(|| {
    LazyLock::force(&RELEASE);
    let built = json(&Driver::usual(), &["build", "--json", "--host", HOSTS, "--target", TARGET]);
    built["tarballs"].as_array().unwrap().clone()
});

/// Whether this machine lacks their compilers; then what the driver says of them is all that can be tested.
pub fn lacks_compilers() -> bool {
    let hosts = Host::all(&checkout().join("toolchains")).unwrap();
    let hosts: Vec<&Host> = HOSTS.split(',').map(|name| Host::named(name, &hosts).unwrap()).collect();
    let compilers: Vec<&str> = hosts.iter().map(|host| host.compiler.cc.as_str()).collect();
    let packages: Vec<&str> =
        hosts.iter().flat_map(|host| &host.compiler.packages).map(String::as_str).collect();
    let Some(why) = wants::lacks(&compilers, &packages.join(" ")) else { return false };
    let ended = Driver::usual().run(&["build", "--host", HOSTS, "--target", TARGET]);
    ended.failed(3, &["a C compiler for", "apt-get install gcc-"]);
    wants::not_run(&why);
    true
}

/// Every check of these rows was run and passed.
pub fn all_proven(rows: &[Value]) {
    for row in rows {
        let checks = row["emulator"]["checks"].as_array().unwrap();
        let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["elf", "version", "start", "guest"], "{row}");
        assert!(checks.iter().all(|check| check["passed"].is_string()), "{row}");
    }
}

/// A copy of the folder of a release with the two foreign tarballs.
pub fn part(home: &Path, name: &str) -> PathBuf {
    let folder = home.join(name).join("10.2.2-1");
    mkdir(&folder);
    for row in FOREIGN.iter() {
        let path = row["path"].as_str().unwrap();
        for file in [path.to_owned(), path.replace(".tar.xz", ".json")] {
            run("cp", &[&file, folder.to_str().unwrap()]);
        }
    }
    folder
}
