//! Real emulators, registered in a real kernel: in a user namespace that has a table of its own. Nothing is registered
//! on the machine. What else holds of registrations is in `binfmt/tests`.

use crate::driver::{Driver, RELEASE, WITH_GUESTS, emulator, exclusive, run, scratch, tarball, wants};
use anyarch_binfmt::format::{Format, Registration};
use anyarch_binfmt::tiny;
use serde_json::Value;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::facts::Target;

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn the_kernel_runs_programs_by_what_is_registered() {
    let _one = exclusive();
    let home = scratch();
    let targets: Vec<&str> = WITH_GUESTS.split(',').collect();
    targets.iter().for_each(|target| drop(emulator(target, home.path())));
    all_run(home.path(), &targets);
    assert_eq!(RELEASE.len(), targets.len());
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_the_kernel_runs_programs_of_all_thirty_three_targets() {
    let _one = exclusive();
    let home = scratch();
    let json = Driver::usual().succeed(&["build", "--json", "--target", "all"]);
    let built: Value = serde_json::from_str(&json).unwrap();
    let rows = built["tarballs"].as_array().unwrap();
    for row in rows {
        run("tar", &["-C", home.path().to_str().unwrap(), "-xJf", row["path"].as_str().unwrap()]);
    }
    let targets: Vec<&str> = rows.iter().map(|row| row["target"].as_str().unwrap()).collect();
    assert_eq!(targets.len(), 33);
    all_run(home.path(), &targets);
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn registrations_end_with_the_one_that_waits() {
    let home = scratch();
    drop(emulator("aarch64", home.path()));
    let anyarch = crate::users::built();
    let words = |ends: &str| {
        format!(
            ": > said; '{}' register --user --emulators bin aarch64 --wait 2>> said & waits=$!\n\
             until grep -q 'registered until' said; do kill -0 $waits; sleep 0.05; done\n\
             ls $table; {ends}; code=0; wait $waits || code=$?; echo $code; ls $table\n",
            anyarch.display()
        )
    };
    for ends in ["kill -TERM $waits", "kill -INT $waits", "kill -HUP $waits"] {
        let Some(said) = inside(home.path(), &words(ends)) else { return };
        assert_eq!(said, "anyarch-aarch64\nregister\nstatus\n0\nregister\nstatus\n", "{ends}");
    }
}

/// `register all` proves those that this machine does not run itself. The lines of all formats, one after the other,
/// then show that each takes the programs of its own target, those that the machine could run among them.
fn all_run(home: &Path, targets: &[&str]) {
    // An emulator of the machine's own format would be given to itself.
    let foreign = targets.iter().filter(|target| **target != env::consts::ARCH);
    let mut script = "$binfmt register --user --emulators bin --json all > registered\n\
        $binfmt status --json > status\n\
        QEMU_LOG=tb_cache ./tiny-aarch64 ./tiny-aarch64 word 2> shared > /dev/null || true\n\
        $binfmt unregister --user all; cd $table\n"
        .to_owned();
    for target in foreign {
        let known = Target::named(target).unwrap().known().unwrap();
        let program = home.join(format!("tiny-{target}"));
        fs::write(&program, tiny::program(known).unwrap()).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let registration = Registration {
            name: (*target).to_owned(),
            format: Format::of(known),
            interpreter: home.join(format!("bin/qemu-{target}")).to_str().unwrap().to_owned(),
            flags: "F".to_owned(),
        };
        fs::write(home.join(format!("line-{target}")), registration.line()).unwrap();
        let (line, tiny) = (format!("$home/line-{target}"), format!("$home/tiny-{target}"));
        script.push_str(&format!(
            "cat {line} > register; QEMU_UNAME=6.6.6-{target} {tiny} {tiny} word || echo $?; echo -1 > {target}\n"
        ));
    }
    let Some(said) = inside(home, &script) else { return };
    let shown = |target: &&&str| format!("6.6.6-{target} word\n6.6.6-{target} word\n42\n");
    let foreign = targets.iter().filter(|target| **target != env::consts::ARCH);
    assert_eq!(said, foreign.map(|target| shown(&target)).collect::<String>());

    let read = |name: &str| -> Value { serde_json::from_slice(&fs::read(home.join(name)).unwrap()).unwrap() };
    let registered = read("registered");
    let registered = registered["registered"].as_array().unwrap();
    // i386 is what this machine may run itself; then that is told.
    let least = targets.len() - targets.iter().filter(|target| ["i386", "x86_64"].contains(target)).count();
    assert!((least..=targets.len()).contains(&registered.len()), "{registered:?}");
    let status = read("status");
    let release = tarball("aarch64").parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    for detail in status["details"].as_array().unwrap() {
        assert_eq!(detail["runs"], true, "{detail}");
        assert_eq!(detail["release"].as_str(), Some(release.as_str()), "{detail}");
    }
    assert_eq!(status["details"].as_array().unwrap().len(), registered.len());
    assert!(status["supported"].as_array().unwrap().contains(&"linux/arm64".into()), "{status}");
    // Registered by its name, an emulator starts children itself: they find what it has translated.
    let shared = fs::read_to_string(home.join("shared")).unwrap();
    assert!(shared.lines().filter(|line| line.contains("pages cached")).count() > 1, "{shared}");
}

/// What a script prints in a namespace. `None`, with a note, where the kernel has no table for it.
fn inside(home: &Path, script: &str) -> Option<String> {
    let tests = env::current_exe().unwrap();
    let program: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples/binfmt");
    let unshared = |script: &str| {
        let words = format!(
            "set -e; mount -t tmpfs none /run; home='{}'; binfmt='{}'; table=/proc/sys/fs/binfmt_misc\n\
             cd $home; {script}",
            home.display(),
            program.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &words]);
        command.env_remove("XDG_RUNTIME_DIR").env_remove("QEMU_EXECVE").output().unwrap()
    };
    let tried = unshared("mount -t binfmt_misc none $table");
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr).into_owned();
        wants::not_run(&format!("needs binfmt_misc in a user namespace (Linux 6.7): {why}"));
        return None;
    }
    let output = unshared(script);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaints}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}
