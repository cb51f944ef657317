//! Real systems, with nothing registered in `binfmt_misc`: Debian installs itself and its packages,
//! Docker builds and runs images, programs of the host and of the guest start each other.

mod debian;
mod work;

use crate::driver::engine::Engine;
use crate::driver::{Driver, Ended, checkout, emulator_of, run, scratch, wants};
use debian::{Debian, Owner};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use xtask::apt::Mirrors;
use xtask::facts::series::DEFAULT;

/// The arm64 system as root's debootstrap leaves it; tests that change it take a copy.
static ARM64: LazyLock<Debian> = LazyLock::new(|| Debian::bootstrap(Owner::root(), "aarch64"));

/// The same of an ordinary user, as `anyarch rootfs` makes it. Nothing is written there.
static USERS: LazyLock<Debian> = LazyLock::new(|| Debian::made("aarch64", &[]));

/// Packages with maintainer scripts of many kinds; those of python run python.
const PACKAGES: &str = "ed make perl python3";

/// What programs of [`PACKAGES`] say.
const PROGRAMS: [(&str, &str); 9] = [
    // What maintainer scripts did: one with alternatives, one with python itself.
    ("readlink -f /usr/bin/editor", "/usr/bin/ed\n"),
    ("ls /usr/lib/python3.*/__pycache__ | grep -c '^os\\.cpython'", "1\n"),
    ("apt-get purge --yes ed > /dev/null; [ ! -e /usr/bin/editor ]; dpkg --audit", ""),
    (
        "perl -e 'open(my $p, q(-|), qw(seq 3)) or die; print map { $_ * 2, qq( ) } <$p>; print system(qw(sh -c), q(exit 3)) >> 8'",
        "2 4 6 3",
    ),
    (
        "perl -MIPC::Open3 -e '$p = open3(my $in, my $out, undef, qw(tr a-z A-Z)); print $in q(loud); close $in; print <$out>; waitpid $p, 0; print $?'",
        "LOUD0",
    ),
    (
        "python3 -c 'import subprocess as s; print(s.run([\"sh\", \"-c\", \"echo $A; exit 5\"], env={\"A\": \"b\"}, capture_output=True))'",
        "CompletedProcess(args=['sh', '-c', 'echo $A; exit 5'], returncode=5, stdout=b'b\\n', stderr=b'')\n",
    ),
    (
        "python3 -c 'import multiprocessing as m; m.set_start_method(\"spawn\"); print(m.Pool(2).map(abs, [-1, -2]))'",
        "[1, 2]\n",
    ),
    (
        "printf '#!/usr/bin/env python3\\nimport sys\\nprint(sys.argv)' > /tmp/s; chmod +x /tmp/s; /tmp/s 'a b'; rm /tmp/s",
        "['/tmp/s', 'a b']\n",
    ),
    (
        "cd /tmp; printf 'all: a b\\n%%:\\n\\t@echo $@ $(shell echo made)\\nb: a\\n\\t@$(MAKE) -s c\\n' > Makefile; make -s -j2",
        "a made\nc made\nall made\n",
    ),
];

fn installs_packages_that_work(system: &Debian) {
    system.install(PACKAGES);
    assert_eq!(system.script("dpkg --print-architecture").trim(), system.architecture());
    for (script, said) in PROGRAMS {
        assert_eq!(system.script(script), said, "{script}");
    }
    system.nothing_is_registered();
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn an_arm64_debian_in_a_chroot_installs_itself_and_packages_that_work() {
    installs_packages_that_work(&ARM64.copy());
}

/// In a system of an ordinary user the emulator is a program of the host, which a guest may start like any other.
fn starts_the_emulator_in_it(system: &Debian, target: &str, machine: &str) {
    let script = format!("/qemu-{target} --execve self /bin/sh -c 'uname -m; exit 4' || echo $?");
    assert_eq!(system.script(&script), format!("{machine}\n4\n"));
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn an_arm64_debian_that_anyarch_made_for_an_ordinary_user_installs_packages_that_work() {
    let system = USERS.copy_of_user();
    installs_packages_that_work(&system);
    starts_the_emulator_in_it(&system, "aarch64", "aarch64");
    // All ids are there for its own programs.
    let script =
        "su www-data -s /bin/sh -c 'id -un; uname -m'; dpkg --remove ed > /dev/null && echo removed; exit 5";
    let ended = system.anyarch(&[], &["sh", "-c", script]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(5), "www-data\naarch64\nremoved\n"), "{ended:?}");
    programs_have_the_rights_of_their_files(&system);
}

/// An ordinary user of the system becomes root, reads what a group may read, and has what a file's capability gives.
fn programs_have_the_rights_of_their_files(system: &Debian) {
    let linux = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = linux.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(6), Some(7)) {
        return wants::partly_not_run("a binfmt_misc of a run's own wants Linux 6.7");
    }
    system.install("sudo");
    let prepare = "useradd --create-home ann; echo 'ann ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ann";
    system.works(&[], prepare);
    let script = "su ann -c 'sudo id -un; sudo -u www-data uname -m; chage -l ann | wc -l; \
                  sudo sh -c \"sh -c id\" | cut -c1-5; sudo su ann -c \"id -un\"'";
    let said = "root\naarch64\n7\nuid=0\nann\n";
    for options in [&[][..], &["--init"], &["--ephemeral"], &["--no-cache", "--read-only"]] {
        assert_eq!(system.works(options, script), said, "{options:?}");
    }
    assert_eq!(system.works(&["--user", "ann"], "sudo id -un"), "root\n");
    // Its own table of formats is all that is there, and nobody inside changes it or the emulator.
    let script = "cd /proc/sys/fs/binfmt_misc; ls; ! echo -1 > status; ! echo > /dev/qemu-aarch64-execve";
    let names = system.works(&[], script);
    assert!(names.contains("anyarch-aarch64\n"), "{names}");
    // Who may gain no privileges, and who has one id, has none of this.
    let script = "su ann -c 'setpriv --no-new-privs sudo id -un' || echo refused";
    assert_eq!(system.works(&[], script), "refused\n");
    // Without a table of one's own, as in a chroot: as on a `nosuid` mount, which sudo says.
    let ended = system.guest(debian::EXECVE, &["/bin/su", "ann", "-c", "sudo -n id -un"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("effective uid is not 0"), "{ended:?}");
    assert_eq!(system.script("sudo -u www-data id -un; su ann -c 'id -un'"), "www-data\nann\n");
    system.nothing_is_registered();
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_system_that_anyarch_made_is_whole_and_knows_where_it_came_from() {
    let system = &*USERS;
    let script = "dpkg --audit; dpkg-query -W -f '${db:Status-Abbrev}\\n' | sort -u; cat /etc/hostname; \
                  grep -c '^deb .* bookworm main$' /etc/apt/sources.list; stat -c %U:%G:%a /etc/shadow /tmp; \
                  ls /usr/share/keyrings/debian-archive-keyring.gpg; ls /var/cache/apt/archives; readlink /bin; \
                  [ ! -e /usr/sbin/policy-rc.d ]; apt-get check --quiet=2; echo 'a b' | awk '{ print $2 }'";
    assert_eq!(
        system.works(&["--read-only"], script),
        "ii \nanyarch\n1\nroot:shadow:640\nroot:root:1777\n/usr/share/keyrings/debian-archive-keyring.gpg\n\
         partial\nusr/bin\nb\n"
    );
    let beside: Vec<_> = fs::read_dir(system.root.parent().unwrap()).unwrap().flatten().collect();
    assert!(
        beside.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".partial")),
        "{beside:?}"
    );
}

#[test]
#[ignore = "makes a system; run by `cargo xtask test --long`"]
fn long_a_32_bit_debian_of_an_ordinary_user_installs_itself_and_packages_that_work() {
    let system = Debian::bootstrap(Owner::user(), "arm");
    installs_packages_that_work(&system);
    starts_the_emulator_in_it(&system, "arm", "armv7l");
}

/// Builds with a compiler, an assembler and a linker that the system installed for itself.
fn compiles_programs_that_work(system: &Debian) {
    system.install("gcc libc6-dev make");
    let project = r#"
        mkdir /tmp/hello; cd /tmp/hello
        printf 'int answer(void) { return 42; }\n' > answer.c
        printf '#include <stdio.h>\nint answer(void);\nint main(void) { return printf("%%d\\n", answer()) != 3; }\n' > main.c
        printf 'CFLAGS = -O2 -Wall -Werror\nall: dynamic static\ndynamic: main.o answer.o; $(CC) -o $@ $^\n' > Makefile
        printf 'static: main.o answer.o; $(CC) -static -o $@ $^\n' >> Makefile
        make -s -j2; ./dynamic; ./static"#;
    assert_eq!(system.script(project), "42\n42\n");
}

#[test]
#[ignore = "installs a compiler; run by `cargo xtask test --long`"]
fn long_an_arm64_debian_in_a_chroot_compiles_programs_that_work() {
    compiles_programs_that_work(&ARM64.copy());
}

#[test]
#[ignore = "makes a system with a compiler; run by `cargo xtask test --long`"]
fn long_an_arm64_debian_of_an_ordinary_user_installs_and_compiles_programs_that_work() {
    let system = Debian::bootstrap(Owner::user(), "aarch64");
    installs_packages_that_work(&system);
    compiles_programs_that_work(&system);
}

#[test]
#[ignore = "makes a system with a compiler; run by `cargo xtask test --long`"]
fn long_a_big_endian_debian_in_a_chroot_installs_and_compiles_programs_that_work() {
    let system = Debian::bootstrap(Owner::root(), "s390x");
    installs_packages_that_work(&system);
    assert_eq!(system.script("python3 -c 'import sys; print(sys.byteorder)'"), "big\n");
    compiles_programs_that_work(&system);
}

#[test]
#[ignore = "builds QEMU, makes systems; run by `cargo xtask test --long`"]
fn long_the_emulators_of_every_other_series_make_a_debian_too() {
    for name in wants::series_with_source().iter().filter(|name| *name != DEFAULT) {
        let system =
            Debian::bootstrap_with(Owner::root(), "aarch64", |prefix| emulator_of(name, "aarch64", prefix));
        installs_packages_that_work(&system);
    }
}

/// The form of the Dockerfile that rj-jesus/anyarch-docker-guest publishes, with more to run: the
/// base image's name, the emulator's place and how SHELL and ENTRYPOINT name it are those.
const DOCKERFILE: &str = r#"
FROM arm64v8/debian
COPY qemu-aarch64 /qemu-aarch64
SHELL ["/qemu-aarch64", "--execve", "/qemu-aarch64", "/bin/sh", "-c"]
RUN apt-get update && apt-get install --yes --no-install-recommends ed && readlink -f /usr/bin/editor
RUN perl -e 'print qx(uname -m)' | tr a-z A-Z > /made && env -i /bin/grep AARCH64 /made
ENTRYPOINT ["/qemu-aarch64", "--execve", "/qemu-aarch64"]
CMD ["/bin/bash"]
"#;

/// One of anybody's: children, scripts, a shell that execs, another user.
const PLAIN: &str = r#"
FROM arm64v8/hooked
RUN printf '#!/bin/sh\nuname -m | tr a-z A-Z\n' > /s && chmod +x /s && [ "$(/s)" = AARCH64 ]
RUN exec perl -e 'exit(qx(/s) ne "AARCH64\n" || system("sh", "-c", "exit 3") >> 8 != 3)'
USER nobody
RUN ["/bin/sh", "-c", "echo children run as $(id -un) | sed s/x/x/"]
"#;

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn docker_builds_and_runs_a_dockerfile_whose_shell_is_the_emulator() {
    docker_builds_and_runs_it(true, "built-by-buildkit");
}

#[test]
#[ignore = "makes an image; run by `cargo xtask test --long`"]
fn long_dockers_first_builder_builds_it_as_well() {
    docker_builds_and_runs_it(false, "built-by-the-first-builder");
}

fn docker_builds_and_runs_it(with_buildkit: bool, tag: &str) {
    ARM64.nothing_is_registered();
    let hooks = scratch();
    let engine = Engine::that_finds(hooks.path());
    engine.import(&ARM64.root, "linux/arm64", "arm64v8/debian");
    let context = engine.context("guest", DOCKERFILE, &[ARM64.emulator()]);
    let plain = engine.context("plain", "FROM arm64v8/debian\nRUN uname -m\n", &[]);
    let built = engine.build(with_buildkit, tag, &context);
    assert_eq!(built.code, Some(0), "{built:?}");
    runs_as_its_dockerfile_says(&engine, tag);
    // Without the emulator as its shell the same image can run nothing.
    let without = engine.build(with_buildkit, "none", &plain);
    assert!(without.code != Some(0) && format!("{without:?}").contains("exec format error"), "{without:?}");
    if with_buildkit {
        // But BuildKit has a hook of its own, for Dockerfiles that say nothing of emulators.
        engine.import_as(&ARM64.root, "arm64", "arm64v8/hooked:latest");
        let plain = engine.context("hooked", PLAIN, &[]);
        fs::copy(ARM64.emulator(), hooks.path().join("buildkit-qemu-aarch64")).unwrap();
        let hooked = engine.build_with(true, &["--platform", "linux/arm64", "--progress", "plain"], &plain);
        let said = hooked.stderr.lines().filter(|line| line.ends_with("children run as nobody"));
        assert_eq!((hooked.code, said.count()), (Some(0), 1), "{hooked:?}");
    }
}

fn runs_as_its_dockerfile_says(engine: &Engine, tag: &str) {
    let script = engine.context("script", "uname -m; cat /made; (exit 5); echo $?; exit 7\n", &[]);
    let mut shell = engine.command(&["run", "--rm", "--interactive", tag]);
    let shell = Ended::of(shell.stdin(File::open(script.join("Dockerfile")).unwrap()));
    assert_eq!((shell.code, shell.stdout.as_str()), (Some(7), "aarch64\nAARCH64\n5\n"), "{shell:?}");
    let commands: [(&[&str], i32, &str); 5] = [
        (&[tag, "uname", "-m"], 0, "aarch64\n"),
        (&[tag, "sh", "-c", "sh -c 'kill -KILL $$'; echo $?"], 0, "137\n"),
        (&["--env", "A=b c", tag, "perl", "-e", "exec qw(printenv A)"], 0, "b c\n"),
        (
            &["--user", "nobody", "--workdir", "/usr", tag, "sh", "-c", "id -un; pwd; exit 9"],
            9,
            "nobody\n/usr\n",
        ),
        // The emulator without the option: its children are the kernel's.
        (&["--entrypoint", "/qemu-aarch64", tag, "/bin/sh", "-c", "uname -m"], 126, ""),
    ];
    for (words, code, said) in commands {
        let ended = engine.run(&[&["run", "--rm"], words].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), said), "{words:?}: {ended:?}");
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_foreign_debian_runs_for_a_user_with_one_id_and_nothing_registered() {
    let system = &*USERS;
    let Owner::User(somebody) = &system.owner else { panic!("a user's") };
    let guest = |options: &[&str], script: &str| {
        let mut command = somebody.command(Path::new("unshare"));
        command.args(["--map-root-user", "--root"]).arg(&system.root).arg("/qemu-aarch64").args(options);
        Ended::of(command.args(["/bin/sh", "-c", script]))
    };
    let execve = ["--execve", "self"];
    let promises = [
        ("uname -m", "aarch64"),
        ("dpkg --print-architecture", "arm64"),
        ("dpkg --version | head -n 1", "Debian 'dpkg' package management program version"),
        ("apt-get --version | head -n 1", "(arm64)"),
        ("seq 5 | sed s/^/n/ | sort -r | tr '\\n' ' '", "n5 n4 n3 n2 n1"),
        (
            "printf '#!/bin/sh\\necho script $1 $(uname -m)\\n' > /tmp/s; chmod +x /tmp/s; /tmp/s one",
            "script one aarch64",
        ),
        ("bash -c 'for i in 1 2 3; do (exec /bin/echo $i); done' | wc -l", "3"),
        ("perl -e 'print qx(uname -m), system(\"false\") >> 8'", "aarch64\n1"),
        ("env -i /bin/sh -c 'PATH=/bin; uname -m; env | wc -l'", "aarch64\n1\n"),
        ("find /etc -name passwd -exec basename {} \\;", "passwd\n"),
        ("ls -ld /etc 2>&1 | grep -c implemented || true", "0\n"),
        ("cd /usr; ./bin/true; echo $?; no-such-program; echo $?", "0\n127"),
    ];
    for (script, said) in promises {
        let ended = guest(&execve, script);
        assert!(ended.code == Some(0) && ended.stdout.contains(said), "{script}: {ended:?}");
    }
    // Without the option the same child is the kernel's, which has nothing registered for it.
    let without = guest(&[], "uname -m");
    assert!(without.code != Some(0) && !without.stdout.contains("aarch64"), "{without:?}");
}

/// The user's system, run without a change of root.
struct Unpacked {
    root: String,
    emulator: String,
}

static UNPACKED: LazyLock<Unpacked> = LazyLock::new(|| {
    let path = |path: &Path| path.display().to_string();
    Unpacked { root: path(&USERS.root), emulator: path(USERS.emulator()) }
});

impl Unpacked {
    /// The words that run a program of the system, without a chroot.
    fn guest(&self, execve: &str, program: &str) -> Vec<String> {
        let program = format!("{}{program}", self.root);
        [&self.emulator, "--execve", execve, "-L", &self.root, &program].map(str::to_owned).to_vec()
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn anyarch_runs_a_foreign_system_and_keeps_what_was_translated() {
    let unpacked = &*UNPACKED;
    let cache = scratch();
    let run = |options: &[&str], words: &[&str]| {
        let mut command = Command::new(crate::users::built());
        command.args(["run", "--emulator", &unpacked.emulator]).args(options).arg(&unpacked.root).arg("--");
        Ended::of(command.args(words).env("ANYARCH_CACHE", cache.path()))
    };
    let cases: [(&[&str], &[&str], i32, &str); 5] = [
        (&[], &["uname", "-m"], 0, "aarch64\n"),
        (
            &[],
            &["/bin/sh", "-c", "sh -c 'dpkg --print-architecture; exit 3'; echo $?; exit 4"],
            4,
            "arm64\n3\n",
        ),
        (&["--init"], &["sh", "-c", "echo $$; uname -m; exit 6"], 6, "1\naarch64\n"),
        (&["--no-cache", "--ephemeral"], &["sh", "-c", "echo x > /etc/made; cat /etc/made"], 0, "x\n"),
        (&[], &["/no/such"], 127, ""),
    ];
    for (options, words, code, said) in cases {
        let ended = run(options, words);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), said), "{words:?}: {ended:?}");
    }
    let kept =
        fs::read_dir(cache.path().join("tb")).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
    assert!(fs::read_dir(kept.path()).unwrap().count() > 0, "nothing in {}", kept.path().display());
    assert!(!Path::new(&unpacked.root).join("etc/made").exists());
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn programs_of_the_host_and_of_the_guest_start_each_other() {
    let unpacked = &*UNPACKED;
    let home = scratch();
    let result = home.path().join("result");
    let relay = checkout().join("xtask/tests/it/systems/relay.pl").display().to_string();
    let level = |mut program: Vec<String>, name: &str| {
        program.extend([relay.clone(), name.to_owned()]);
        program
    };
    let native = |name| level(vec!["/usr/bin/perl".to_owned()], name);
    let started = |name| level(unpacked.guest("self", "/usr/bin/perl"), name);
    let child = |name| level(vec![format!("{}/usr/bin/perl", unpacked.root)], name);
    let host = std::env::consts::ARCH;
    let levels: [(_, &str); 7] = [
        // Started by the host alone: all others must find what this one does.
        (native("zero"), &format!("zero {host}")),
        (started("one"), "one aarch64"),
        (child("two"), "two aarch64"),
        (native("three"), &format!("three {host}")),
        (started("four"), "four aarch64"),
        (native("five"), &format!("five {host}")),
        (started("six"), "six aarch64"),
    ];
    for (end, code, signal) in [("=0", Some(0), None), ("=42", Some(42), None), ("=USR1", None, Some(10))] {
        let words: Vec<&str> =
            levels.iter().flat_map(|(words, _)| words).map(String::as_str).chain([end]).collect();
        let setup = "umask 027; trap '' USR2; exec 5</dev/null 7>\"$1\"; shift; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-ec", setup, "sh"]).arg(&result).args(&words);
        command.env_clear().env("A", "b c").env("EMPTY", "").current_dir("/usr");
        let status = command.status().unwrap();
        assert_eq!((status.code(), status.signal()), (code, signal), "{end}");
        let result = fs::read_to_string(&result).unwrap();
        let (names, states): (Vec<_>, Vec<_>) =
            result.lines().map(|line| line.split_once(" | ").unwrap()).unzip();
        assert_eq!(names, levels.iter().map(|(_, name)| *name).collect::<Vec<_>>(), "{result}");
        assert!(states.iter().all(|state| *state == states[0]), "{result}");
        for part in [" 5 7 ", " umask 27 ignores USR2 in /usr with A='b c',EMPTY='',PWD='/usr'"] {
            assert!(states[0].contains(part), "{result}");
        }
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn without_interception_only_programs_of_the_host_are_started() {
    let unpacked = &*UNPACKED;
    let run_by = |execve: &str, child: &str| {
        let words = unpacked.guest(execve, "/bin/sh");
        Ended::of(Command::new(&words[0]).args(&words[1..]).args(["-c", &format!("{child}; exit $?")]))
    };
    let guest = format!("{}/usr/bin/true", unpacked.root);
    for execve in ["self", "off"] {
        assert_eq!(run_by(execve, "/usr/bin/true").code, Some(0), "{execve}: the host's");
    }
    assert_eq!(run_by("self", &guest).code, Some(0));
    let without = run_by("off", &guest);
    assert!(without.code == Some(126) && without.stderr.contains("Exec format error"), "{without:?}");
    // The host's programs are no emulators: what they start themselves is the kernel's.
    let by_native = run_by("self", &format!("/usr/bin/env {guest}"));
    assert_ne!(by_native.code, Some(0), "{by_native:?}");
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn the_hosts_make_has_the_guests_shell_as_its_shell() {
    let unpacked = &*UNPACKED;
    let home = scratch();
    let folder = home.path();
    let shell = unpacked.guest("self", "/bin/sh");
    let makefile = format!(
        "SHELL = {}\n.SHELLFLAGS = {} -c\nexport PATH = {}/usr/bin\nall: loud ; @cat loud; uname -m\n\
         loud: quiet ; @tr a-z A-Z < quiet > loud\nquiet: ; @echo quiet > quiet\nfails: ; @exit 3\n",
        shell[0],
        shell[1..].join(" "),
        unpacked.root
    );
    fs::write(folder.join("Makefile"), makefile).unwrap();
    let make =
        |goal| Ended::of(Command::new("make").arg("--silent").arg("--jobs=2").arg(goal).current_dir(folder));
    let made = make("all");
    assert_eq!((made.code, made.stdout.as_str()), (Some(0), "QUIET\naarch64\n"), "{made:?}");
    make("fails").failed(2, &["Error 3"]);
}

#[test]
#[ignore = "makes images and builds QEMU in them, as root; run by `cargo xtask test --long`"]
fn long_compilers_of_an_image_make_the_same_bytes() {
    let engine = Engine::start();
    let home = scratch();
    let base = home.path().join("base");
    let mirror = Mirrors::of_this_machine().unwrap().main;
    run("debootstrap", &["--variant=minbase", "bookworm", base.to_str().unwrap(), &mirror]);
    engine.import(&base, "linux/amd64", "debian:bookworm-slim");
    let usual = Driver::usual();
    let build = ["build", "--json", "--host", "native,arm64", "--target", "arm"];
    let hashes = |json: String| -> Vec<String> {
        let built: serde_json::Value = serde_json::from_str(&json).unwrap();
        let rows = built["tarballs"].as_array().unwrap();
        rows.iter().map(|row| row["sha256"].as_str().unwrap().to_owned()).collect()
    };
    let expected = hashes(usual.succeed(&build));
    let environment = vec![("DOCKER_HOST".to_owned(), engine.address())];
    let driver = Driver { environment, ..Driver::warm(home.path()) };
    let image = ["--toolchain", "container", "--image", "debian:bookworm-slim"];
    assert_eq!(hashes(driver.succeed(&[&build[..], &image].concat())), expected);
    // An interruption ends what runs in the container, too.
    let other = Driver { trees: home.path().join("other"), out: home.path().join("other-out"), ..driver };
    let mut running = other.start(&[&["build", "--target", "arm"][..], &image].concat());
    running.wait_for("compile qemu-arm");
    std::thread::sleep(std::time::Duration::from_secs(5));
    running.signal("INT");
    assert_eq!(running.end(), Some(130));
    assert_eq!(engine.run(&["ps", "--quiet"]).stdout, "", "a container was left running");
}
