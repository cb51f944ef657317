//! The words of other images, with what stands in the way: how they end, which theirs do with 0. Each run is in
//! namespaces of its own, so nothing is registered on this machine.

use super::built;
use crate::driver::{Ended, mkdir, scratch, wants};
use std::path::Path;
use std::process::Command;

/// A container's root after a script has made it what it is; nobody's emulators are found.
fn run(home: &Path, setup: &str, words: &[&str]) -> Ended {
    let script = format!("{setup}; exec ${{run-}} \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec", &script, "sh"])
        .arg(built())
        .args(words);
    command.env("HOME", home).env("QEMU_BINARY_PATH", mkdir(&home.join("none"))).env_remove("ANYARCH_FROM");
    Ended::of(&mut command)
}

#[test]
fn what_stands_in_the_way_of_the_words_of_others_is_told_and_the_exit_code_says_so() {
    let home = scratch();
    let tried = run(home.path(), "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc", &["--version"]);
    if tried.code != Some(0) {
        return wants::not_run(&format!(
            "needs binfmt_misc in a user namespace (Linux 6.7): {}",
            tried.stderr
        ));
    }
    let arm64 = ["--install", "arm64"];
    let cases: [(&str, &[&str], i32, &[&str]); 7] = [
        ("run='unshare --user'", &arm64, 3, &["only root can register", "anyarch run"]),
        ("run='setpriv --bounding-set=-all --inh-caps=-all'", &arm64, 3, &["docker run --privileged"]),
        ("mount -t tmpfs none /proc/sys/fs", &arm64, 3, &["does not have binfmt_misc", "modprobe"]),
        ("true", &["--install", "arm46"], 2, &["there is no target `arm46`; did you mean `arm64`?"]),
        ("true", &["--uninstall", "arm46"], 2, &["did you mean `arm64`?"]),
        ("true", &["--install", "s390x"], 1, &["there is no qemu-s390x in"]),
        ("true", &["--install", "all"], 1, &["there is no emulator in"]),
    ];
    for (setup, words, code, said) in cases {
        run(home.path(), setup, words).failed(code, said);
    }
}
