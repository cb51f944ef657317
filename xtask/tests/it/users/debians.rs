//! `anyarch rootfs` where something is wrong, or ends it. The systems are of this machine's own kind, so that no emulator
//! is needed; foreign ones stand in `systems`.

use super::ends::until;
use super::{Guest, program};
use crate::driver::{Ended, Running, mkdir, wants};
use anyarch_client::http;
use anyarch_manifest::debian::Debian;
use anyarch_manifest::target::Target;
use std::fs;
use std::io::BufReader;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use xtask::apt::Mirrors;

/// This machine's kind, by QEMU's name.
fn own() -> &'static str {
    let host = anyarch_client::machine::native().unwrap();
    let is_own = |debian: &&Debian| Target::find(debian.target).unwrap().platforms.contains(&host);
    anyarch_manifest::debian::DEBIAN.iter().find(is_own).unwrap().target
}

fn rootfs(guest: &Guest, mirror: &str, words: &[&str]) -> Command {
    let mut command = guest.somebody.command_with_ids(program());
    command.args(["rootfs", "--target", own(), "--mirror", mirror]).args(words);
    command
}

/// A mirror in a folder, with the signed words of the machine's own mirror for suites.
fn mirror(folder: &Path, suites: &[(&str, &str)]) -> String {
    let client = http::client(Duration::from_secs(30)).unwrap();
    let from = Mirrors::of_this_machine().unwrap().main;
    for (suite, name) in suites {
        let address = format!("{}/dists/{suite}/InRelease", from.trim_end_matches('/'));
        let signed = client.get(address).send().unwrap().error_for_status().unwrap().bytes().unwrap();
        fs::write(mkdir(&folder.join("dists").join(name)).join("InRelease"), signed).unwrap();
    }
    format!("file://{}", folder.display())
}

#[test]
fn what_no_key_vouches_for_is_refused_and_nothing_is_made() {
    if let Some(why) = wants::lacks(&["gpgv", "newuidmap"], "gpgv debian-archive-keyring uidmap") {
        return wants::not_run(&why);
    }
    let guest = Guest::new();
    let home = guest.somebody.home.path();
    let folder = home.join("mirror");
    let address =
        mirror(&folder, &[("bookworm", "bookworm"), ("bookworm", "forged"), ("bookworm", "trixie")]);
    let forged = folder.join("dists/forged/InRelease");
    let text = fs::read_to_string(&forged).unwrap();
    fs::write(&forged, text.replacen("Codename: bookworm", "Codename: forged", 1)).unwrap();
    let architecture = Debian::of(own()).unwrap().architecture;
    let lists = folder.join(format!("dists/bookworm/main/binary-{architecture}"));
    fs::write(mkdir(&lists).join("Packages.xz"), "no list").unwrap();
    fs::write(home.join("empty.gpg"), "").unwrap();
    let made = home.join("made");
    let to = made.to_str().unwrap();
    let cases: [(&[&str], i32, &[&str]); 8] = [
        (
            &["--suite", "forged", to],
            1,
            &["the suite forged of file://", "is not signed by a key of", "BAD signature"],
        ),
        (&["--suite", "trixie", to], 1, &["it is of the suite bookworm (", "not trixie"]),
        (&["--suite", "bookworm", to], 1, &["Packages.xz", "wrong size"]),
        (&["--suite", "sid", to], 1, &["dists/sid/InRelease", "does not give sid"]),
        (&["--keyring", "empty.gpg", to], 1, &["is not signed by a key of"]),
        (
            &["--keyring", "/no/such", to],
            3,
            &["there is no /no/such", "apt-get install debian-archive-keyring"],
        ),
        (&["--include=-oDebug=1", to], 2, &["is not a package name"]),
        (&["root"], 2, &["is not empty"]),
    ];
    for (words, code, said) in cases {
        Ended::of(&mut rootfs(&guest, &address, words)).failed(code, said);
        assert!(!made.exists() && !home.join("made.partial").exists(), "{words:?}");
    }
}

/// Newer systems have sqv instead of gpgv.
#[test]
fn signatures_are_checked_by_sqv_where_that_is_what_there_is() {
    if let Some(why) = wants::lacks(&["sqv", "newuidmap"], "sqv debian-archive-keyring uidmap") {
        return wants::not_run(&why);
    }
    let guest = Guest::new();
    let home = guest.somebody.home.path();
    let folder = home.join("mirror");
    let address = mirror(&folder, &[("bookworm", "bookworm"), ("bookworm", "forged")]);
    let forged = folder.join("dists/forged/InRelease");
    let text = fs::read_to_string(&forged).unwrap();
    fs::write(&forged, text.replacen("Codename: bookworm", "Codename: forged", 1)).unwrap();
    let programs = home.join("programs");
    for name in ["sqv", "newuidmap", "newgidmap", "mount", "setpriv", "sh", "unshare"] {
        symlink(Path::new("/usr/bin").join(name), mkdir(&programs).join(name)).unwrap();
    }
    for (suite, said) in [("forged", "is not signed by a key of"), ("bookworm", "Packages.xz")] {
        let mut command = rootfs(&guest, &address, &["--suite", suite, "made"]);
        Ended::of(command.env("PATH", &programs)).failed(1, &[said]);
    }
}

#[test]
fn what_debian_does_not_have_is_told_with_what_it_has() {
    let guest = Guest::new();
    let rootfs = |words: &[&str]| {
        Ended::of(guest.somebody.command(program()).arg("rootfs").args(words).arg("/var/tmp/anyarch-none"))
    };
    rootfs(&["--target", "riscv64", "--suite", "bookworm"])
        .failed(2, &["Debian bookworm has no riscv64; suites that have it: trixie forky sid"]);
    rootfs(&["--target", "sh4"]).failed(2, &["Debian releases no system for sh4", "aarch64 arm"]);
    rootfs(&["--target", "arm46"]).failed(2, &["did you mean `arm64`?"]);
    rootfs(&["--target", "arm64", "--suite", "../x"]).failed(2, &["is not the name of a suite"]);
    rootfs(&["--target", "arm64", "--mirror", "x y"]).failed(2, &["--mirror x y: pass an http://"]);
}

/// Processes that have something below a folder mounted: their numbers.
fn at_work(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let has = |path: &Path| {
        let mounts = fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
        mounts.contains(folder.to_str().unwrap())
    };
    entries
        .filter(|entry| has(&entry.path()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
#[ignore = "makes systems; run by `cargo xtask test --long`"]
fn long_a_system_is_there_whole_or_not_at_all_however_its_making_ends() {
    let guest = Guest::new();
    let home = guest.somebody.home.path();
    let (made, partial) = (home.join("made"), home.join("made.partial"));
    let mirror = Mirrors::of_this_machine().unwrap().main;
    let start = |signal: &str| {
        let mut command = rootfs(&guest, &mirror, &[made.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let mut running = Running { child, lines, said: String::new() };
        // From here on, what an earlier run left is gone.
        running.wait_for("install them by");
        until("dpkg runs", || partial.join("root/var/lib/dpkg/info/base-passwd.list").exists());
        thread::sleep(Duration::from_millis(500));
        running.signal(signal);
        running.child.wait().unwrap()
    };
    assert_eq!(start("KILL").signal(), Some(9));
    until("nothing runs", || at_work(&partial).is_empty());
    assert!(!made.exists() && partial.exists());
    // The next one removes what is there, and is interrupted.
    assert_eq!(start("INT").code(), Some(130));
    until("nothing runs", || at_work(&partial).is_empty());
    assert!(!made.exists() && !partial.exists());
    let ended =
        Ended::of(&mut rootfs(&guest, &mirror, &["--json", "--include", "hello", made.to_str().unwrap()]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((json["folder"].as_str(), json["target"].as_str()), (made.to_str(), Some(own())));
    assert!(json["packages"].as_array().unwrap().iter().any(|one| one["package"] == "apt"), "{json}");
    let hello =
        Ended::of(guest.somebody.command_with_ids(program()).arg("run").arg(&made).args(["--", "hello"]));
    assert_eq!((hello.code, hello.stdout.as_str()), (Some(0), "Hello, world!\n"), "{hello:?}");
    Ended::of(&mut rootfs(&guest, &mirror, &[made.to_str().unwrap()])).failed(2, &["is not empty"]);
    let listed = Ended::of(guest.somebody.command_with_ids(program()).args(["cache", "list"]));
    assert!(listed.stdout.contains("packages ") && listed.stdout.contains("of Debian"), "{listed:?}");
    // A folder of many owners is removed where these are mapped, by a root that it is not.
    let bind = format!("{}:/mnt", home.display());
    let removed = guest.run(&["--bind", &bind], &["rm", "-r", "/mnt/made"]);
    assert!(removed.code == Some(0) && !made.exists(), "{removed:?}");
}

#[test]
#[ignore = "makes a system; run by `cargo xtask test --long`"]
fn long_with_one_id_a_system_is_made_in_which_apt_installs() {
    let guest = Guest::new();
    let made = guest.somebody.home.path().join("made");
    let mirror = Mirrors::of_this_machine().unwrap().main;
    let mut command = guest.somebody.command(program());
    command.args(["rootfs", "--target", own(), "--mirror", &mirror]).arg(&made);
    let ended = Ended::of(&mut command);
    assert!(
        ended.code == Some(0) && ended.stderr.contains("note: all files will be of one owner"),
        "{ended:?}"
    );
    let script = "apt-get update && apt-get install --yes openssh-client && stat -c %U:%G /usr/bin/ssh-agent; \
                  dpkg --audit";
    let mut command = guest.somebody.command(program());
    command.arg("run").arg(&made).args(["--", "sh", "-ec", script]);
    let ended = Ended::of(command.env("DEBIAN_FRONTEND", "noninteractive"));
    assert!(ended.code == Some(0) && ended.stdout.ends_with("root:root\n"), "{ended:?}");
}
