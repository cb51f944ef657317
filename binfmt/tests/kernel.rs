//! What holds of registrations in a real kernel: each test in a user namespace of its own, which has a table of its own,
//! and in which `/run` is empty. Nothing is registered on the machine. An example stands in for the emulator.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot go on has failed")]

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use tempfile::TempDir;

const TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// A program of this crate's examples, which cargo compiles with the tests.
fn example(name: &str) -> PathBuf {
    let tests = env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples").join(name)
}

/// A namespace, with emulators in `bin` and a root folder in `root`.
struct Namespace {
    home: TempDir,
}

impl Namespace {
    /// `None`, with a note for whoever runs the tests, if this machine does not have that.
    fn new() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for target in ["aarch64", "riscv64"] {
            fs::copy(example("emulator"), bin.join(format!("qemu-{target}"))).unwrap();
        }
        let namespace = Self { home };
        let tried = namespace.sh("mount -t binfmt_misc none $table");
        if tried.status.success() {
            return Some(namespace);
        }
        let why = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
        let test = thread::current().name().unwrap_or_default().to_owned();
        println!("not run: {why}");
        if let Some(notes) = env::var_os("ANYARCH_NOT_RUN") {
            let mut notes = File::options().append(true).open(notes).unwrap();
            writeln!(notes, "whole\t{test}\tneeds binfmt_misc in a user namespace (Linux 6.7): {why}")
                .unwrap();
        }
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a script as the root of the namespace. `$register` and `$binfmt` are our commands, `$home` the folder.
    fn sh(&self, script: &str) -> Output {
        let words = format!(
            "mount -t tmpfs none /run; table={TABLE}; home='{}'; binfmt='{}'\n\
             register=\"$binfmt register --user --emulators $home/bin --root $home/root\"\n{script}",
            self.home.path().display(),
            example("binfmt").display()
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-uc", &words]);
        command.env_remove("XDG_RUNTIME_DIR").output().unwrap()
    }

    /// What a script prints, which must succeed.
    fn says(&self, script: &str) -> String {
        let output = self.sh(&format!("set -e\n{script}"));
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}: {complaints}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a script complains, which must fail with this code.
    fn fails(&self, code: i32, script: &str) -> String {
        let output = self.sh(script);
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{script}: {complaints}");
        complaints
    }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_target_is_registered_shown_and_unregistered() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.says(
        "$register arm64 riscv64
         cat $table/anyarch-aarch64
         readlink /run/anyarch/qemu-aarch64-execve
         $binfmt --json status
         $binfmt unregister --user arm64; ls $table; ls /run/anyarch",
    );
    assert!(said.starts_with("enabled\ninterpreter /run/anyarch/qemu-aarch64-execve\nflags: PF\n"), "{said}");
    assert!(said.contains(&format!("\n{}\n", inside.path("bin/qemu-aarch64").display())), "{said}");
    let (json, rest) = said.split_once("\n}\n").unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&format!("{}\n}}", &json[json.find("\n{").unwrap()..])).unwrap();
    let supported: Vec<&str> =
        json["supported"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(["linux/arm64", "linux/riscv64"].iter().all(|name| supported.contains(name)), "{supported:?}");
    assert_eq!(json["emulators"], serde_json::json!(["anyarch-aarch64", "anyarch-riscv64"]));
    let detail = &json["details"][0];
    assert_eq!((&detail["runs"], &detail["scope"]), (&true.into(), &"user-namespace".into()));
    assert_eq!(rest, "anyarch-riscv64\nregister\nstatus\nqemu-riscv64-execve\n");
}

#[test]
fn credentials_are_a_flag_and_a_plain_name_is_an_option() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.says("$register --no-execve arm64; cat $table/anyarch-aarch64; ls /run");
    let plain = inside.path("bin/qemu-aarch64");
    assert!(said.starts_with(&format!("enabled\ninterpreter {}\n", plain.display())), "{said}");
    assert!(!said.contains("anyarch\n"), "no link is made: {said}");
    let said = inside.says("$register --credentials arm64; grep flags $table/anyarch-aarch64");
    assert_eq!(said, "flags: POCF\n");
}

#[test]
fn what_others_registered_is_named_and_taken_out_only_on_demand() {
    let Some(inside) = Namespace::new() else { return };
    put(&inside.path("root/var/lib/binfmts/qemu-aarch64"), "qemu-user-static\nmagic\n");
    let others = r"mount -t binfmt_misc none $table
        printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00::/bin/true:' > $table/register
        printf '%s' ':WSLInterop:M::MZ::/bin/true:' > $table/register";
    let said = inside.fails(1, &format!("{others}\n$register arm64"));
    let expected = "already go to /bin/true, registered as qemu-aarch64 by the package qemu-user-static";
    assert!(said.contains(expected) && said.contains("anyarch register --replace arm64"), "{said}");
    let said = inside.says(&format!("{others}\n$register --replace arm64; ls $table"));
    assert_eq!(said, "WSLInterop\nanyarch-aarch64\nregister\nstatus\n");
    // Theirs goes only when ours has proven itself.
    let broken = format!(
        "{others}\ntouch $home/bin/qemu-aarch64.broken\n$register --replace arm64\nls $table >&2; exit 1"
    );
    let said = inside.fails(1, &broken);
    assert!(
        said.contains("this emulator does not work") && said.contains("\nqemu-aarch64\nregister\n"),
        "{said}"
    );
}

#[test]
fn what_does_not_run_under_the_kernel_is_not_registered() {
    let Some(inside) = Namespace::new() else { return };
    let script = "touch $home/bin/qemu-aarch64.shy; $register arm64; code=$?; ls $table >&2; exit $code";
    let said = inside.fails(1, script);
    assert!(
        said.contains("and so anyarch-aarch64 is not registered") && said.contains("does not work"),
        "{said}"
    );
    let said = inside.fails(1, &script.replace("shy", "broken"));
    assert!(said.contains("qemu-aarch64 does not run on this machine"), "{said}");
    assert!(!said.contains("\nanyarch-aarch64\n"), "{said}");
}

#[test]
fn the_machines_own_programs_are_left_alone() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.sh(&format!("$register {}; ls $table", env::consts::ARCH));
    assert!(
        said.status.success() && String::from_utf8_lossy(&said.stdout) == "register\nstatus\n",
        "{said:?}"
    );
    assert!(String::from_utf8_lossy(&said.stderr).contains("this machine runs its programs itself"));
}

#[test]
fn a_user_namespaces_table_is_never_taken_for_the_machines() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.fails(1, "$binfmt register --emulators $home/bin arm64");
    assert!(said.contains("pass --user"), "{said}");
    // PROC_USER_INIT_INO: these tests may run in a container that has a namespace.
    if fs::metadata("/proc/self/ns/user").unwrap().ino() == 0xEFFF_FFFD {
        let said = Command::new(example("binfmt")).args(["register", "--user", "arm64"]).output().unwrap();
        assert_eq!(said.status.code(), Some(1));
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("this process is in none"), "{said}");
    }
}

#[test]
fn only_root_registers() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.fails(1, "exec unshare --user $register arm64");
    assert!(said.contains("only root can register") && said.contains("anyarch run"), "{said}");
}

#[test]
fn a_linux_without_binfmt_misc_is_told_with_what_loads_it() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.fails(1, "mount -t tmpfs none /proc/sys/fs; $register arm64");
    assert!(
        said.contains("does not have binfmt_misc") && said.contains("sudo modprobe binfmt_misc"),
        "{said}"
    );
}

#[test]
fn a_table_that_is_turned_off_is_told_with_how_to_turn_it_on() {
    let Some(inside) = Namespace::new() else { return };
    let off = "mount -t binfmt_misc none $table; echo 0 > $table/status";
    let said = inside.fails(1, &format!("{off}; $register arm64"));
    assert!(said.contains("turned off") && said.contains("echo 1 | sudo tee"), "{said}");
    let said = inside.sh(&format!("{off}; $binfmt status"));
    assert!(String::from_utf8_lossy(&said.stderr).contains("turned off"), "{said:?}");
}

#[test]
fn a_read_only_table_is_told_and_a_mount_that_only_shows_it_so_is_covered() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.fails(1, "mount -t binfmt_misc -o ro none $table; $register arm64");
    assert!(said.contains("is mounted read-only") && said.contains("mount -o remount,rw"), "{said}");
    let script =
        "mount -t binfmt_misc none $table; mount -o remount,bind,ro $table; $register arm64; ls $table";
    assert!(inside.says(script).contains("anyarch-aarch64\n"));
}

#[test]
fn a_target_that_is_not_there_is_told_with_the_nearest_name_or_how_to_get_it() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.fails(2, "$register arm46");
    assert!(said.contains("there is no target `arm46`; did you mean `arm64`?"), "{said}");
    let said = inside.fails(1, "$register s390x; code=$?; ls $table >&2; exit $code");
    assert!(!said.contains("register\nstatus"), "nothing is mounted for it: {said}");
    assert!(
        said.contains("there is no qemu-s390x in") && said.contains("anyarch install --target s390x"),
        "{said}"
    );
    let said = inside.says("$register all; ls $table");
    assert_eq!(said, "anyarch-aarch64\nanyarch-riscv64\nregister\nstatus\n");
}

#[test]
fn a_dry_run_says_everything_and_does_nothing() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.says("$register --dry-run arm64; ls $table; ls /run");
    let lines: Vec<&str> = said.lines().map(|line| line.split([' ']).next().unwrap()).collect();
    assert_eq!(lines, ["mount", "try", "link", "register", "check"], "{said}");
    let said = inside.sh("$binfmt register --emulators $home/bin --dry-run arm64");
    assert!(
        said.status.success() && String::from_utf8_lossy(&said.stderr).contains("it would fail"),
        "{said:?}"
    );
}

#[test]
fn what_lasts_is_written_for_systemd_and_removed_again() {
    let Some(inside) = Namespace::new() else { return };
    put(&inside.path("root/usr/lib/systemd/systemd-binfmt"), "");
    let said = inside.says(
        "$register --persist arm64; cat $home/root/etc/binfmt.d/zz-anyarch-aarch64.conf
         readlink $home/bin/qemu-aarch64-execve
         $binfmt --json status --root $home/root | grep '\"persistent\": \"'
         # The line is one that the kernel takes.
         echo -1 > $table/anyarch-aarch64
         grep -v '^#' $home/root/etc/binfmt.d/zz-anyarch-aarch64.conf > $table/register; ls $table
         $binfmt unregister --user --root $home/root arm64
         echo undone; ls $home/bin; ls $home/root/etc/binfmt.d; ls $table",
    );
    assert!(said.contains("\n:anyarch-aarch64:M::") && said.contains("qemu-aarch64-execve:FP\n"), "{said}");
    assert!(said.contains("zz-anyarch-aarch64.conf\"") && said.contains("\nanyarch-aarch64\n"), "{said}");
    assert!(said.ends_with("\nundone\nqemu-aarch64\nqemu-riscv64\nregister\nstatus\n"), "{said}");
}

#[test]
fn binfmt_support_is_told_and_its_registration_is_checked() {
    let Some(inside) = Namespace::new() else { return };
    let program = inside.path("root/usr/sbin/update-binfmts");
    put(&program, &format!("#!/bin/sh\nprintf '%s ' \"$@\" >> {}/told\n", inside.home.path().display()));
    let said = inside
        .says("chmod 755 $home/root/usr/sbin/update-binfmts; $register --persist arm64; cat $home/told");
    assert!(said.starts_with("--install anyarch-aarch64 ") && said.contains("--fix-binary yes"), "{said}");
    let list = format!("anyarch\nmagic\n0\n\n\n{}\n", inside.path("bin/qemu-aarch64-execve").display());
    put(&inside.path("root/var/lib/binfmts/anyarch-aarch64"), &list);
    let said = inside.says(
        "rm $home/told; $binfmt unregister --user --root $home/root arm64; cat $home/told; ls $home/bin",
    );
    assert!(said.starts_with("--remove anyarch-aarch64 /"), "{said}");
    assert!(said.ends_with("execve qemu-aarch64\nqemu-riscv64\n"), "its link is gone: {said}");
    // It took the registration, and lost it.
    put(&program, &format!("#!/bin/sh\necho -1 > {TABLE}/anyarch-aarch64\n"));
    let said = inside.fails(1, "$register --persist arm64");
    assert!(said.contains("check that the kernel runs a program for aarch64"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_told_and_what_was_done_stays() {
    let Some(inside) = Namespace::new() else { return };
    put(&inside.path("root/usr/lib/systemd/systemd-binfmt"), "");
    fs::create_dir_all(inside.path("root/etc/binfmt.d")).unwrap();
    let script = "mount -t tmpfs -o ro none $home/root/etc/binfmt.d
        $register --persist arm64; code=$?; ls $table >&2; exit $code";
    let said = inside.fails(1, script);
    assert!(
        said.contains("until the next boot it is registered") && said.contains("\nanyarch-aarch64\n"),
        "{said}"
    );
    assert!(said.contains("Read-only file system"), "{said}");
    let said = inside.fails(1, "rm -r $home/root/usr; $register --persist arm64");
    assert!(said.contains("neither systemd, nor binfmt-support, nor OpenRC"), "{said}");
}

#[test]
fn where_nothing_can_be_written_to_run_the_emulators_own_name_is_registered_and_a_line_says_so() {
    let Some(inside) = Namespace::new() else { return };
    let plain = inside.path("bin/qemu-aarch64").display().to_string();
    // As in `docker run --read-only`; and where not one file more has room.
    for run in ["mount -o remount,ro /run", "mount -t tmpfs -o nr_inodes=1 none /run"] {
        let output =
            inside.sh(&format!("set -e; {run}; $register arm64; cat $table/anyarch-aarch64; ls -A /run"));
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(
            output.status.success() && said[0].contains(&format!("interpreter {plain}\n")),
            "{run}: {said:?}"
        );
        assert!(said[1].contains("docker run --tmpfs /run"), "{run}: {said:?}");
    }
}

#[test]
fn a_full_disk_keeps_nothing_half_written_for_the_next_boot_and_the_next_run_goes_on() {
    let Some(inside) = Namespace::new() else { return };
    put(&inside.path("root/usr/lib/systemd/systemd-binfmt"), "");
    fs::create_dir_all(inside.path("root/etc/binfmt.d")).unwrap();
    let said = inside.says(
        "mount -t tmpfs -o size=4k none $home/root/etc/binfmt.d; cd $home/root/etc/binfmt.d
         head -c 4096 /dev/zero > filled
         code=0; $register --persist arm64 2> $home/said || code=$?
         echo $code; ls -A; ls $table; rm filled; $register --persist arm64; ls -A",
    );
    assert_eq!(said, "1\nfilled\nanyarch-aarch64\nregister\nstatus\nzz-anyarch-aarch64.conf\n");
    let told = fs::read_to_string(inside.path("said")).unwrap();
    assert!(
        told.contains("until the next boot it is registered") && told.contains("No space left"),
        "{told}"
    );
}

#[test]
fn two_registrations_at_once_wait_for_each_other() {
    let Some(inside) = Namespace::new() else { return };
    let said = inside.says(
        "mount -t binfmt_misc none $table
         for turn in 1 2 3 4 5 6; do $register arm64,riscv64 2>> $home/said & pids=\"${pids-} $!\"; done
         for pid in $pids; do wait $pid; done; ls $table",
    );
    assert_eq!(said, "anyarch-aarch64\nanyarch-riscv64\nregister\nstatus\n");
    let told = fs::read_to_string(inside.path("said")).unwrap();
    assert!(told.contains("waiting for another run to finish registering"), "{told}");
}

#[test]
fn whenever_a_run_is_killed_the_next_one_goes_on() {
    let Some(inside) = Namespace::new() else { return };
    put(&inside.path("root/usr/lib/systemd/systemd-binfmt"), "");
    let said = inside.says(
        "mount -t binfmt_misc none $table; killed=0
         for delay in 0 1 2 3 4 6 8 10 13 16 20 25 30 40; do
             $register --persist arm64,riscv64 2> /dev/null & pid=$!
             sleep 0.0$(printf %02d $delay); kill -9 $pid 2> /dev/null || true
             wait $pid 2> /dev/null || killed=$((killed + 1))
             test -z \"$(find $home/root/etc -name '*.conf' -size 0)\"
         done
         $register --persist arm64,riscv64; ls $table $home/bin; ls -A $home/root/etc/binfmt.d; echo killed $killed",
    );
    let mut names: Vec<&str> = said.lines().collect();
    let killed: u32 = names.pop().unwrap().trim_start_matches("killed ").parse().unwrap();
    assert!(killed > 0, "none was killed in the middle");
    for name in ["anyarch-aarch64", "anyarch-riscv64", "qemu-aarch64-execve", "zz-anyarch-riscv64.conf"] {
        assert!(names.contains(&name), "{name}: {said}");
    }
    assert!(!said.contains(".new") && !said.contains(".partial"), "nothing half done is left: {said}");
}

#[test]
fn an_emulator_that_was_replaced_is_the_one_that_runs_after_registering_again() {
    let Some(inside) = Namespace::new() else { return };
    let script = "$register arm64
        $register arm64
        ls $table | grep -c aarch64; rm $home/bin/qemu-aarch64
        # The kernel holds the file: it is gone, and still runs.
        $binfmt --json status | grep '\"runs\"'";
    assert_eq!(inside.says(script), "1\n      \"runs\": true\n");
    symlink("/bin/true", inside.path("bin/qemu-aarch64")).unwrap();
    let said = inside.fails(1, "$register arm64");
    assert!(said.contains("does not run on this machine"), "{said}");
}

/// Stands in for podman: what it is told runs in a user namespace of its own.
const PODMAN: &str =
    "#!/bin/sh\ntest \"$1\" = unshare && shift && exec unshare --user --map-root-user --mount \"$@\"\n";

#[test]
fn podmans_containers_have_their_own_and_a_unit_registers_again() {
    let Some(inside) = Namespace::new() else { return };
    put(&inside.path("podman/podman"), PODMAN);
    fs::copy(example("binfmt"), inside.path("podman/binfmt")).unwrap();
    fs::create_dir(inside.path("user")).unwrap();
    let all = |command: &str, arguments: &[&str]| {
        let status = Command::new(command).args(arguments).arg(inside.home.path()).status().unwrap();
        assert!(status.success(), "{command} {arguments:?}");
    };
    all("chmod", &["-R", "a+rX,a+x"]);
    let is_root = fs::metadata(inside.home.path()).unwrap().uid() == 0;
    if is_root {
        all("chown", &["-R", "1000:1000"]);
    }
    let anyarch = |arguments: &[&str]| {
        // Root's podman has no namespace of its own.
        let user: &[&str] =
            if is_root { &["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"] } else { &["env"] };
        let mut command = Command::new(user[0]);
        command.args(&user[1..]).arg(inside.path("podman/binfmt")).args(arguments);
        let path = format!("{}:{}", inside.path("podman").display(), env::var("PATH").unwrap());
        let user = inside.path("user");
        command
            .env("PATH", path)
            .env("HOME", &user)
            .env("XDG_CONFIG_HOME", &user)
            .env("XDG_RUNTIME_DIR", &user);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let bin = inside.path("bin").display().to_string();
    let (code, said) = anyarch(&["register", "--podman", "--persist", "--emulators", &bin, "arm64"]);
    assert!(code == Some(0) && said.contains("arm64: the kernel runs its programs by"), "{said}");
    let unit = inside.path("user/systemd/user/default.target.wants/anyarch-binfmt.service");
    let text = fs::read_to_string(&unit).unwrap();
    assert!(
        text.contains("\"register\" \"--podman\" \"--emulators\"") && !text.contains("persist"),
        "{text}"
    );
    let (code, said) = anyarch(&["unregister", "--podman", "arm64"]);
    assert!(code == Some(0) && said.contains("registered when you log in") && !unit.exists(), "{said}");
    let (code, said) = anyarch(&["register", "--podman", "--emulators", &bin, "s390x"]);
    assert!(code == Some(1) && said.contains("there is no qemu-s390x"), "{said}");
    if is_root {
        let said = Command::new(example("binfmt")).args(["register", "--podman", "arm64"]).output().unwrap();
        assert_eq!(said.status.code(), Some(2), "{said:?}");
    }
}
