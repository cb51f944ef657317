//! `dist/install.sh`, which people without Rust run: under three shells, by three downloaders, from servers that do
//! wrong, on machines that lack things.

mod machine;

mod encrypted;
mod limits;
mod place;
mod transfers;
mod trust;

use crate::driver::releases::{FakeRelease, Key};
use crate::driver::server::Wrong;
use crate::driver::{Ended, checkout, mkdir};
use anyarch_manifest::target::TARGETS;
use machine::{ARCHIVE, Machine, RELEASE, SHELLS, by_each, mirror, own_mirror, program, start};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use xtask::facts::Host;

#[test]
fn wrong_use_is_told_with_what_there_is() {
    let (_release, server) = mirror();
    let from = server.url();
    let cases: [(&[&str], &[&str]); 14] = [
        (&["--target", "sparc"], &["has no sparc for amd64; it has", "aarch64 riscv64"]),
        (&["--target", "aarch64,arm"], &["has no arm for amd64"]),
        (
            &["--target", "aarch64", "--host", "s390x"],
            &["nothing for the host s390x; it has amd64 arm-v7 arm64"],
        ),
        (&["--target", "aarch64;reboot"], &["no target is named `aarch64;reboot`"]),
        (&["--target", "../x"], &["no target is named"]),
        (&["--target", "aarch64", "--host", "a b"], &["no host is named `a b`"]),
        (&[], &["--target"]),
        (&["--target", ""], &["--target"]),
        (&["--target"], &["--target wants a value"]),
        (&["--taget", "arm"], &["there is no option --taget"]),
        (&["--taget=arm"], &["there is no option --taget"]),
        (&["aarch64"], &["there is no option aarch64"]),
        (&["--target", "aarch64", "--release", "../x"], &["no release is named `../x`"]),
        (&["--target", "aarch64", "--from", "ftp://x"], &["--from takes http://"]),
    ];
    for shell in SHELLS {
        let machine = Machine::new(shell, "curl");
        machine.has("uname", "case $1 in -s) echo Linux ;; *) echo x86_64 ;; esac");
        for (arguments, said) in cases {
            let ended = machine.run(&from, arguments);
            machine.has_nothing(&ended, 2, said);
            assert!(ended.stderr.contains("--help"), "{}", ended.stderr);
        }
        assert_eq!(server.asked(ARCHIVE), []);
    }
}

#[test]
fn waits_that_are_no_whole_seconds_are_refused() {
    let (release, server) = mirror();
    for shell in SHELLS {
        let with = |name: &str, value: &str| {
            let mut machine = Machine::new(shell, "curl");
            machine.environment.push((name.into(), value.into()));
            machine
        };
        for name in ["ANYARCH_RETRY_DELAY", "ANYARCH_TIMEOUT"] {
            for value in ["08", "00", "1.5", "-1", "1s", "10000", "99999999999999999999"] {
                let machine = with(name, value);
                machine.has_nothing(&machine.install(&server.url()), 2, &[name, "whole seconds"]);
            }
            let machine = with(name, "9999");
            machine.has_installed(&machine.install(&server.url()), &release);
        }
        let machine = with("ANYARCH_TIMEOUT", "0");
        machine.has_nothing(&machine.install(&server.url()), 2, &["ANYARCH_TIMEOUT", "from 1"]);
    }
}

#[test]
fn a_script_of_no_release_says_what_to_name_and_a_filled_in_one_needs_nothing() {
    let (release, server) = mirror();
    let mut machine = Machine::usual();
    machine.has_nothing(&machine.plain(&["--target", "arm"]), 2, &["name one with --release"]);
    machine.has_nothing(
        &machine.plain(&["--target", "arm", "--release", "1-1"]),
        2,
        &["name one with --from"],
    );

    let text = fs::read_to_string(&machine.script).unwrap();
    for line in ["RELEASE='@RELEASE@'", "BASE='@BASE@'"] {
        assert_eq!(text.lines().filter(|one| *one == line).count(), 1, "{line}");
    }
    let filled = text.replace("@RELEASE@", RELEASE).replace("@BASE@", &server.url());
    machine.script = machine.home.path().join("install.sh");
    fs::write(&machine.script, filled).unwrap();
    machine.has_installed(&machine.plain(&["--target", "arm64", "--host", "x86_64"]), &release);
}

#[test]
fn several_targets_and_all_are_installed_at_once() {
    for shell in SHELLS {
        let (_release, server) = mirror();
        let machine = Machine::new(shell, "curl");
        for targets in ["arm64,rv64", "all", "arm64,aarch64,all,rv64"] {
            let prefix = format!("in {targets}");
            let arguments = ["--target", targets, "--host=linux/amd64", "--prefix", &prefix];
            let ended = machine.run(&server.url(), &arguments);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            let at = |name: &str| machine.home.path().join(&prefix).join("bin").join(name);
            let expected =
                [at("qemu-aarch64"), at("qemu-riscv64")].map(|path| format!("{}\n", path.display()));
            assert_eq!(ended.stdout, expected.concat());
            assert!(at("qemu-aarch64").is_file() && at("qemu-riscv64").is_file());
        }
    }
}

#[test]
fn the_users_program_is_installed_by_its_name_and_is_no_emulator() {
    let home = crate::driver::scratch();
    let release = FakeRelease::make(&home.path().join("mirror"), RELEASE).with_program(&["amd64", "arm64"]);
    let from = release.base.to_str().unwrap().to_owned();
    by_each(|machine| {
        let ended = machine.run(&from, &["--target", "anyarch", "--host", "amd64"]);
        let path = machine.prefix().join("bin/anyarch");
        assert_eq!(
            (ended.code, ended.stdout),
            (Some(0), format!("{}\n", path.display())),
            "{}",
            ended.stderr
        );
        assert_eq!(fs::read(&path).unwrap(), release.emulator("anyarch", "amd64"));
        assert!(machine.prefix().join("share/doc/anyarch/anyarch/LICENSE").is_file());
        let again = machine.run(&from, &["--target", "anyarch", "--host", "amd64"]);
        assert!(again.stderr.contains("anyarch is up to date"), "{}", again.stderr);
        let ended = machine.run(&from, &["--target", "all", "--host", "amd64", "--prefix", "other"]);
        assert!(ended.code == Some(0) && !machine.home.path().join("other/bin/anyarch").exists());
        let listed = machine.run(&from, &["--list"]);
        assert!(listed.stdout.contains("anyarch: amd64 arm64\n"), "{}", listed.stdout);
        machine
            .run(&from, &["--target", "anyarch", "--host", "arm/v7"])
            .failed(2, &["has no anyarch for arm-v7"]);
    });
}

#[test]
fn an_emulator_for_this_machine_says_its_version() {
    for shell in SHELLS {
        let (release, server) = mirror();
        let machine = Machine::new(shell, "curl");
        machine.has("uname", "case $1 in -s) echo Linux ;; *) echo x86_64 ;; esac");
        machine.has("getconf", "echo 64");
        let ended = machine.run(&server.url(), &["--target", "aarch64"]);
        // The emulator is a script of /bin/sh.
        machine.has_installed(&ended, &release);
        assert!(ended.stderr.contains("qemu-aarch64 version 1.2.3"), "{}", ended.stderr);
    }
}

/// What the functions of the script say when they are called: a line for each call.
fn called(machine: &Machine, calls: &str) -> Vec<String> {
    let text = fs::read_to_string(&machine.script).unwrap();
    let functions = text.strip_suffix("main \"$@\"\n").unwrap();
    let ended = Ended::of(machine.shell().arg("-c").arg(format!("{functions}\n{calls}")));
    assert_eq!(ended.stderr, "");
    ended.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn every_name_of_a_target_or_host_that_the_driver_knows_is_understood() {
    let hosts = Host::all(&checkout().join("toolchains")).unwrap();
    let mut calls = String::new();
    let mut expected = Vec::new();
    let mut expect = |function: &str, name: &str, answer: &str| {
        for written in [name.to_owned(), name.to_uppercase(), format!("linux/{name}")] {
            writeln!(calls, "{function} \"$(lower '{written}')\"").unwrap();
            expected.push(answer.to_owned());
        }
    };
    for target in TARGETS {
        for name in [&[target.name], target.aliases].concat() {
            expect("target_named", name, target.name);
        }
    }
    for host in &hosts {
        for name in host.aliases.iter().chain([&host.platform, &host.file_name()]) {
            expect("host_named", name, &host.file_name());
        }
    }
    for shell in SHELLS {
        assert_eq!(called(&Machine::new(shell, ""), &calls), expected);
    }
}

#[test]
fn the_machine_is_recognized_by_what_its_programs_are() {
    let machines = [
        ("x86_64", "64", "amd64"),
        ("x86_64", "32", "386"),
        ("x86_64", "", "amd64"),
        ("i686", "32", "386"),
        ("aarch64", "64", "arm64"),
        ("aarch64", "32", "arm-v7"),
        ("armv8l", "32", "arm-v7"),
        ("armv7l", "32", "arm-v7"),
        ("armv6l", "", "arm-v6"),
        ("ppc64le", "64", "ppc64le"),
        ("riscv64", "64", "riscv64"),
        ("s390x", "64", "s390x"),
        ("loongarch64", "64", "loong64"),
    ];
    for shell in SHELLS {
        let machine = Machine::new(shell, "");
        let is = |system: &str, name: &str, bits: &str| {
            machine.has("uname", &format!("case $1 in -s) echo {system} ;; *) echo {name} ;; esac"));
            machine.has("getconf", &format!("[ '{bits}' ] && echo {bits}"));
        };
        for (name, bits, host) in machines {
            is("Linux", name, bits);
            assert_eq!(called(&machine, "host_named native"), [host], "{name} {bits}");
        }
        if cfg!(target_endian = "little") {
            for (name, bits, host) in
                [("mips64", "64", "mips64le"), ("mips64", "32", "mipsle"), ("mips", "", "mipsle")]
            {
                is("Linux", name, bits);
                assert_eq!(called(&machine, "this_host"), [host], "{name} {bits}");
            }
        }
        is("Linux", "ia64", "64");
        machine.run("/nowhere", &["--target", "arm"]).failed(2, &["ia64", "--host"]);
        is("Darwin", "arm64", "64");
        machine.run("/nowhere", &["--target", "arm"]).failed(2, &["run on Linux", "Darwin", "--host"]);
    }
}

#[test]
fn another_release_takes_the_place_of_the_one_that_is_there() {
    let (home, _release, server) = own_mirror();
    let newer = FakeRelease::make(&home.path().join("mirror"), "1.2.4-1");
    let machine = Machine::usual();
    assert_eq!(machine.install(&server.url()).code, Some(0));
    let old_text = machine.prefix().join("share/doc/anyarch/qemu-aarch64/OLD");
    fs::write(&old_text, "of the release before").unwrap();

    // What fails leaves the old one as it was.
    let before = fs::read(machine.emulator("aarch64")).unwrap();
    let update = ["--target", "aarch64", "--host", "amd64", "--release", "1.2.4-1"];
    server.wrong(".tar.xz", Wrong::Bytes, 1);
    machine.run(&server.url(), &update).failed(1, &["has the wrong content"]);
    assert!(fs::read(machine.emulator("aarch64")).unwrap() == before && old_text.exists());

    machine.has_installed(&machine.run(&server.url(), &update), &newer);
    // Somebody's other file under that name is no emulator of ours.
    fs::write(machine.emulator("aarch64"), "mine").unwrap();
    machine.has_installed(&machine.run(&server.url(), &update), &newer);
    fs::remove_file(machine.emulator("aarch64")).unwrap();
    mkdir(&machine.emulator("aarch64"));
    machine.run(&server.url(), &update).failed(1, &["is a folder"]);
}

#[test]
fn a_script_that_arrives_cut_does_nothing_and_a_whole_one_on_a_pipe_installs() {
    let (release, _server) = mirror();
    let from = release.base.display().to_string();
    let text = fs::read(checkout().join("dist/install.sh")).unwrap();
    let piped = |machine: &Machine, script: &[u8]| {
        let mut command = machine.shell();
        command.args([
            "-s",
            "--",
            "--release",
            RELEASE,
            "--from",
            &from,
            "--target",
            "arm64",
            "--host",
            "amd64",
        ]);
        let mut child = start(command.stdin(Stdio::piped()));
        // A shell that has seen enough closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(script);
        let ended = child.wait_with_output().unwrap();
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: ended.status.code(), stdout: words(&ended.stdout), stderr: words(&ended.stderr) }
    };
    for shell in SHELLS {
        let machine = Machine::new(shell, "");
        let end = text.len() - "main \"$@\"\n".len();
        let last = end..text.len() - 1;
        for cut in (0..end).step_by(211).chain(last) {
            let ended = piped(&machine, &text[..cut]);
            assert_eq!(ended.stdout, "", "{shell:?} at {cut}");
            assert!(!machine.prefix().exists(), "{shell:?} at {cut}: {}", ended.stderr);
        }
        machine.has_installed(&piped(&machine, &text), &release);
        fs::remove_dir_all(machine.prefix()).unwrap();
        // Only its last newline is missing.
        machine.has_installed(&piped(&machine, &text[..text.len() - 1]), &release);
    }
}

#[test]
fn passwords_in_addresses_are_not_printed() {
    by_each(|machine| {
        let (release, server) = mirror();
        server.wrong(ARCHIVE, Wrong::Status(500, None), 1);
        let address = server.url().replace("http://", "http://me:secret@");
        let ended = machine.install(&address);
        machine.has_installed(&ended, &release);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    });
}

#[test]
fn its_help_and_list_go_to_stdout_and_touch_nothing() {
    let (_release, server) = mirror();
    let manual = fs::read_to_string(checkout().join("docs/install.md")).unwrap();
    for shell in SHELLS {
        let machine = Machine::new(shell, "curl");
        let help = machine.plain(&["--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        for option in ["target", "host", "prefix", "release", "from", "key", "list"] {
            assert!(help.stdout.contains(&format!("  --{option}")), "{option}");
            assert!(manual.contains(&format!("| `--{option}")), "{option}");
        }
        let list = machine.run(&server.url(), &["--list"]);
        assert_eq!(
            list.stdout, "aarch64: amd64 arm-v7 arm64\narm: arm-v7\nriscv64: amd64\n",
            "{}",
            list.stderr
        );
        assert!(!machine.prefix().exists());
    }
}

#[test]
fn a_list_has_what_is_asked_for_or_says_what_there_is() {
    let (_release, server) = mirror();
    let all = "aarch64: amd64 arm-v7 arm64\narm: arm-v7\nriscv64: amd64\n";
    let lists: [(&[&str], &str); 7] = [
        (&["--target", "all"], all),
        (&["--target", ""], all),
        (&["--target", "arm64,aarch64"], "aarch64: amd64 arm-v7 arm64\n"),
        (&["--target", "rv64,arm"], "riscv64: amd64\narm: arm-v7\n"),
        (&["--host", "x86_64"], "aarch64: amd64\nriscv64: amd64\n"),
        (&["--host", "arm/v7", "--target", "all"], "aarch64: arm-v7\narm: arm-v7\n"),
        (&["--host", "arm64", "--target", "aarch64"], "aarch64: arm64\n"),
    ];
    let nothing: [(&[&str], &[&str]); 4] = [
        (&["--target", "sparc"], &["has no sparc; it has aarch64 arm riscv64"]),
        (&["--host", "s390x"], &["nothing for the host s390x; it has amd64 arm-v7 arm64"]),
        (&["--host", "arm64", "--target", "rv64"], &["has no riscv64 for arm64; it has aarch64"]),
        (&["--target", "a;b"], &["no target is named `a;b`"]),
    ];
    for shell in SHELLS {
        let machine = Machine::new(shell, "curl");
        for (arguments, list) in lists {
            let ended = machine.run(&server.url(), &[&["--list"], arguments].concat());
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            assert_eq!(ended.stdout, list, "{arguments:?}");
        }
        for (arguments, said) in nothing {
            let ended = machine.run(&server.url(), &[&["--list"], arguments].concat());
            machine.has_nothing(&ended, 2, said);
        }
    }
}

#[test]
fn shellcheck_finds_nothing() {
    for script in ["dist/install.sh", "action/setup.sh"] {
        let script = checkout().join(script);
        let ended = Ended::of(Command::new(program("shellcheck")).args(["--shell=sh"]).arg(script));
        assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    }
}

#[test]
fn the_checks_by_hand_that_the_manual_shows_hold() {
    let (home, release, _server) = own_mirror();
    let key = Key::make(home.path(), "key", "ed25519");
    fs::copy(key.public(), release.folder().join("key.pub")).unwrap();
    key.sign(&release);
    let manual = fs::read_to_string(checkout().join("docs/install.md")).unwrap();
    let block = manual.split("```sh\n").find(|block| block.contains("ssh-keygen -Y verify -f")).unwrap();
    let commands = block.split("```").next().unwrap();
    let by_hand = || {
        let mut command = Command::new(program("dash"));
        Ended::of(command.args(["-ec", commands]).current_dir(release.folder()))
    };
    assert_eq!(by_hand().code, Some(0), "{}", by_hand().stderr);
    fs::write(release.folder().join(ARCHIVE), "other bytes").unwrap();
    by_hand().failed(1, &["did NOT match"]);
}
