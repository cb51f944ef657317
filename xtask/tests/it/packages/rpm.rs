//! Packages for rpm, checked, installed and removed by it.

use super::{MAINTAINER, Stage, as_root, find, installed, root_with_shell, succeed};
use crate::driver::{run, wants};

#[test]
fn rpm_checks_installs_and_removes_them() {
    if let Some(why) = wants::lacks(&["rpm", "ldd"], "rpm libc-bin") {
        return wants::not_run(&why);
    }
    let stage = Stage::new();
    let Some((folder, host)) = stage.make_native("rpm") else { return };
    let root = root_with_shell(stage.home.path());
    let before = installed(&root).len();
    let rpm = |words: &[&str]| {
        let mut command = as_root("rpm");
        command.arg("--root").arg(&root).args(words);
        succeed(&mut command)
    };
    let paths = ["anyarch-9", "anyarch-qemu-user-9", "anyarch-binfmt-9"].map(|name| find(&folder, name));
    let paths = paths.each_ref().map(|path| path.to_str().unwrap());
    for path in paths {
        let checked = run("rpm", &["--checksig", "--verbose", path]);
        assert!(
            checked.contains("Header SHA256 digest: OK") && checked.contains("Payload SHA256 digest: OK"),
            "{checked}"
        );
        let query = "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{BUILDTIME} %{PACKAGER}";
        let said = run("rpm", &["--query", "--package", "--queryformat", query, path]);
        assert!(said.ends_with(&format!(" 9.9.9 1 {} 1700000000 {MAINTAINER}", host.packages.rpm)), "{said}");
    }
    let requires = run("rpm", &["--query", "--package", "--requires", paths[2]]);
    assert!(
        requires.contains("anyarch-qemu-user = 9.9.9-1\n") && requires.contains("/bin/sh\n"),
        "{requires}"
    );
    rpm(&["--initdb"]);
    // The root has a shell that no package of its own brings, and Debian's rpm wants to be told that it is meant.
    let install = ["--install", "--nodeps", "--force-debian"];
    rpm(&[&install[..], &paths].concat());
    let files = installed(&root);
    for name in [
        "usr/bin/anyarch 755",
        "usr/libexec/anyarch/qemu-aarch64 755",
        "usr/libexec/anyarch/qemu-aarch64-execve@ qemu-aarch64",
        "usr/share/doc/anyarch/qemu-aarch64/LICENSE 644",
    ] {
        assert!(files.iter().any(|file| file == name), "{name}: {files:#?}");
    }
    rpm(&["--verify", "--nodeps", "anyarch", "anyarch-qemu-user", "anyarch-binfmt"]);
    let licences = rpm(&["--query", "--licensefiles", "anyarch-qemu-user"]);
    assert!(licences.contains("qemu-aarch64/LICENSE"), "{licences}");
    rpm(&["--erase", "anyarch-binfmt", "anyarch-qemu-user", "anyarch"]);
    assert_eq!(installed(&root).len(), before, "{:#?}", installed(&root));
    assert!(!root.join("usr/libexec/anyarch").exists() && !root.join("usr/share/doc/anyarch").exists());
}
