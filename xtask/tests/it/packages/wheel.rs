//! Wheels, installed by pip, and what they say that they hold.

use super::{Stage, find, succeed};
use crate::driver::{Ended, run, wants};
use anyarch_client::{hash, machine};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::facts::Target;

#[test]
fn pip_installs_a_wheel_whose_program_and_module_run_a_guest() {
    let stage = Stage::new();
    // A guest of this machine, which the test's emulator runs as it is.
    let Some(wheel) = wheel_runs(&stage, machine::native().unwrap()) else { return };
    if which::which("twine").is_err() {
        return wants::partly_not_run("missing on this machine: twine");
    }
    run("twine", &["check", "--strict", wheel.to_str().unwrap()]);
}

/// Installs the wheel of `qemu-aarch64` in an environment and in a folder, and runs a tiny guest of a target in each
/// way that there is. Gives the wheel.
pub fn wheel_runs(stage: &Stage, target: &str) -> Option<PathBuf> {
    let (folder, _) = stage.make_native("wheel")?;
    let found = find(&folder, "anyarch_qemu_aarch64-");
    let (home, wheel) = (stage.home.path(), found.to_str().unwrap());
    let guest = home.join("guest");
    let target = Target::named(target).unwrap().known().unwrap();
    fs::write(&guest, anyarch_binfmt::tiny::program(target).unwrap()).unwrap();
    fs::set_permissions(&guest, fs::Permissions::from_mode(0o755)).unwrap();
    let (venv, target) = (home.join("venv"), home.join("target"));
    let python = venv.join("bin/python");
    run("python3", &["-m", "venv", "--without-pip", venv.to_str().unwrap()]);
    let pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"];
    let install = ["install", "--no-index", "--no-deps"];
    let into = |words: &[&str], more: &[&str]| {
        let mut command = Command::new("python3");
        command
            .args(pip)
            .args(words)
            .args(install)
            .args(more)
            .arg(wheel)
            .env("PIP_ROOT_USER_ACTION", "ignore");
        succeed(&mut command);
    };
    into(&["--python", python.to_str().unwrap()], &[]);
    into(&[], &["--target", target.to_str().unwrap()]);
    let module = ["-m", "anyarch_qemu_aarch64"];
    let ways: [(&Path, &[&str], &str); 3] = [
        (&venv.join("bin/qemu-aarch64"), &[], ""),
        (&python, &module, ""),
        (Path::new("python3"), &module, target.to_str().unwrap()),
    ];
    for (program, words, path) in ways {
        let mut command = Command::new(program);
        command.args(words).arg(&guest).arg("hello").env("PYTHONPATH", path);
        let ended = Ended::of(&mut command);
        assert!(ended.code == Some(41) && ended.stdout.contains("hello"), "{program:?}: {ended:?}");
    }
    let listed =
        Ended::of(Command::new("python3").args(pip).args(["--python", python.to_str().unwrap(), "check"]));
    assert_eq!(listed.code, Some(0), "{listed:?}");
    Some(found)
}

#[test]
fn a_wheels_record_lists_every_file_by_its_hash() {
    let stage = Stage::new();
    let (folder, _) = stage.make("out", &["--format", "wheel", "--host", "arm/v7"]);
    let wheel = find(&folder.join("wheel"), "anyarch_qemu_arm-9.9.9.post1-py3-none-manylinux_2_17_armv7l.");
    let unpacked = stage.home.path().join("unpacked");
    run("python3", &["-m", "zipfile", "-e", wheel.to_str().unwrap(), unpacked.to_str().unwrap()]);
    let record = fs::read_to_string(unpacked.join("anyarch_qemu_arm-9.9.9.post1.dist-info/RECORD")).unwrap();
    let mut files = crate::driver::files(&unpacked);
    for line in record.lines() {
        let (name, rest) = line.split_once(',').unwrap();
        files.retain(|file| file != Path::new(name));
        if let Some((sum, size)) = rest.strip_prefix("sha256=").and_then(|rest| rest.split_once(',')) {
            let bytes = fs::read(unpacked.join(name)).unwrap();
            let expected = BASE64URL_NOPAD.decode(sum.as_bytes()).unwrap();
            assert_eq!(
                (HEXLOWER.encode(&expected), size),
                (hash::sha256(&bytes), bytes.len().to_string().as_str())
            );
        } else {
            assert!(name.ends_with("/RECORD"), "{line}");
        }
    }
    assert_eq!(files, Vec::<PathBuf>::new(), "not in RECORD");
    let emulator = fs::read(unpacked.join("anyarch_qemu_arm-9.9.9.post1.data/scripts/qemu-arm")).unwrap();
    assert_eq!(emulator, stage.emulator("arm", "arm/v7"));
}
