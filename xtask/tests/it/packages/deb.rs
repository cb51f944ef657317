//! Packages for dpkg, installed and removed by it.

use super::{Stage, as_root, find, installed, root_with_shell, succeed};
use crate::driver::{mkdir, run, wants};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

#[test]
fn dpkg_installs_and_removes_them_and_lintian_finds_nothing() {
    if let Some(why) = wants::lacks(&["dpkg", "ldd"], "dpkg libc-bin") {
        return wants::not_run(&why);
    }
    let stage = Stage::new();
    let Some((folder, _)) = stage.make_native("deb") else { return };
    let root = root_with_shell(stage.home.path());
    for name in ["info", "updates", "triggers"] {
        mkdir(&root.join("var/lib/dpkg").join(name));
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let before = installed(&root).len();
    let dpkg = |words: &[&str]| {
        let mut command = as_root("dpkg");
        command.arg(format!("--root={}", root.display())).arg("--force-not-root").args(words);
        succeed(&mut command)
    };
    let debs: Vec<PathBuf> =
        ["anyarch_", "anyarch-qemu-user_", "anyarch-binfmt_"].map(|name| find(&folder, name)).into();
    dpkg(&[&["--install"], &debs.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>()[..]].concat());
    let files = installed(&root);
    let emulator = "usr/libexec/anyarch/qemu-aarch64";
    let expected = [
        "usr/bin/anyarch 755".to_owned(),
        format!("{emulator} 755"),
        format!("{emulator}-execve@ qemu-aarch64"),
        "usr/share/doc/anyarch-qemu-user/copyright 644".to_owned(),
        "usr/share/doc/anyarch-qemu-user/changelog.Debian.gz 644".to_owned(),
        "usr/share/doc/anyarch/qemu-aarch64/build.json 644".to_owned(),
        "usr/share/lintian/overrides/anyarch 644".to_owned(),
        "usr/lib/binfmt.d/zz-anyarch-aarch64.conf 644".to_owned(),
        "usr/lib/binfmt.d/zz-anyarch-riscv64.conf 644".to_owned(),
    ];
    for name in expected {
        assert!(files.contains(&name), "{name}: {files:#?}");
    }
    assert!(!files.iter().any(|name| name.contains("LICENSE")), "{files:#?}");
    let copyright = fs::read_to_string(root.join("usr/share/doc/anyarch-qemu-user/copyright")).unwrap();
    assert!(copyright.contains("/usr/share/common-licenses") && copyright.contains("\nLICENSE:\n\nGPL\n"));
    assert_eq!(run(root.join(emulator).to_str().unwrap(), &["--version"]), "qemu-aarch64 version 9.9.9\n");
    // The files are those that md5sums lists, and nobody has touched them.
    assert_eq!(dpkg(&["--verify"]), "");
    let shown = run("dpkg", &["--info", debs[2].to_str().unwrap()]);
    let depends = "Depends: anyarch-qemu-user (= 9.9.9-1)";
    for line in [depends, "Multi-Arch: foreign", "Maintainer: Jo Doe <jo@example.org>"] {
        assert!(shown.contains(line), "{shown}");
    }
    dpkg(&["--remove", "anyarch-binfmt", "anyarch-qemu-user", "anyarch"]);
    assert_eq!(installed(&root).len(), before, "{:#?}", installed(&root));
    if which::which("lintian").is_err() {
        return wants::partly_not_run("missing on this machine: lintian");
    }
    for deb in &debs {
        let mut command = Command::new("lintian");
        // The test's programs are scripts with noise behind them.
        command.args(["--suppress-tags", "shell-script-fails-syntax-check"]);
        command.args(["--fail-on", "error,warning", "--allow-root"]).arg(deb);
        succeed(&mut command);
    }
}
