//! What stands in a prefix: what fails leaves all of it as it was, texts as well.

use super::machine::{Machine, PAIRED, RELEASE, own_mirror, program};
use crate::driver::releases::FakeRelease;
use crate::driver::{Ended, mkdir};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const NEWER: &str = "1.2.4-1";
const UPDATE: [&str; 6] = ["--target", "aarch64", "--host", "amd64", "--release", NEWER];
const DOCS: &str = "share/doc/anyarch/qemu-aarch64";

/// Everything below a folder: modes, and the bytes of what is a file.
type State = BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>;

fn below(folder: &Path) -> State {
    let mut all = State::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        let bytes = about.is_file().then(|| fs::read(&path).unwrap());
        if about.is_dir() {
            all.append(&mut below(&path));
        }
        all.insert(path, (about.permissions().mode() & 0o7777, bytes));
    }
    all
}

fn assert_same(before: &State, prefix: &Path, what: &str) {
    let after = below(prefix);
    assert!(after.keys().eq(before.keys()), "{what}: {:?}", after.keys());
    for (path, old) in before {
        assert!(after[path] == *old, "{what}: {} has changed", path.display());
    }
}

/// Gives the machine a `mv` that does otherwise where its arguments look so.
fn bad_mv(machine: &Machine, pattern: &str, does: &str) {
    let mv = program("mv");
    machine.has("mv", &format!("case $* in {pattern}) {does} ;; esac\nexec {} \"$@\"", mv.display()));
}

#[test]
fn an_update_that_can_not_end_leaves_the_old_release_with_its_texts() {
    const LAST: &str = "*/bin/qemu-aarch64";
    const TEXT: &str = "*/new/build.json*/qemu-aarch64/";
    for (shell, downloader) in PAIRED {
        let (home, _release, server) = own_mirror();
        FakeRelease::make(&home.path().join("mirror"), NEWER);
        let cases: [(&str, &str, i32, &[&str]); 5] = [
            (LAST, "exit 1", 1, &["cannot write", "bin/qemu-aarch64"]),
            (LAST, "kill -s TERM $PPID; sleep 1; exit 1", 143, &[]),
            (TEXT, "exit 1", 1, &["cannot write", "qemu-aarch64/build.json"]),
            (TEXT, "kill -s INT $PPID; sleep 1; exit 1", 130, &[]),
            ("*/new/", "exit 1", 1, &["cannot write", "qemu-aarch64/LICENSE"]),
        ];
        for (pattern, does, code, said) in cases {
            let machine = Machine::new(shell, downloader);
            assert_eq!(machine.install(&server.url()).code, Some(0));
            fs::write(machine.prefix().join(DOCS).join("OLD"), "of the release before").unwrap();
            let before = below(&machine.prefix());
            bad_mv(&machine, pattern, does);
            machine.run(&server.url(), &UPDATE).failed(code, said);
            assert_same(&before, &machine.prefix(), pattern);

            fs::remove_dir_all(machine.prefix()).unwrap();
            machine.run(&server.url(), &UPDATE).failed(code, said);
            assert!(!machine.prefix().exists(), "{pattern}: {:?}", below(&machine.prefix()).keys());
        }
    }
}

#[test]
fn a_folder_in_the_place_of_a_file_is_named_before_anything_changes() {
    let (home, _release, server) = own_mirror();
    FakeRelease::make(&home.path().join("mirror"), NEWER);
    for place in ["bin/qemu-aarch64", "share/doc/anyarch/qemu-aarch64/LICENSE"] {
        let machine = Machine::usual();
        assert_eq!(machine.install(&server.url()).code, Some(0));
        fs::remove_file(machine.prefix().join(place)).unwrap();
        mkdir(&machine.prefix().join(place));
        let before = below(&machine.prefix());
        machine.run(&server.url(), &UPDATE).failed(1, &[place, "is a folder, but must be a file"]);
        assert_same(&before, &machine.prefix(), place);
    }
}

#[test]
fn a_bin_without_room_leaves_the_old_texts() {
    for (shell, downloader) in PAIRED {
        let (home, _release, server) = own_mirror();
        FakeRelease::make(&home.path().join("mirror"), NEWER);
        let machine = Machine::new(shell, downloader);
        assert_eq!(machine.install(&server.url()).code, Some(0));
        let before = below(&machine.prefix());
        let install = machine.command(&server.url(), &UPDATE);
        // Seen from here, the small file system is not there.
        let inside = "mount -t tmpfs -o size=100k none .local/bin
            code=0; \"$@\" || code=$?; find .local/bin -type f; exit $code";
        let mut command = Command::new(program("unshare"));
        machine.settle(&mut command);
        let path = format!("{}:/usr/bin:/bin", machine.home.path().join("programs").display());
        command.args(["--user", "--map-root-user", "--mount"]).env("PATH", path);
        command.args(["sh", "-ec", inside, "sh"]).arg(install.get_program()).args(install.get_args());
        let ended = Ended::of(&mut command);
        ended.failed(1, &["cannot write", ".local/bin/qemu-aarch64"]);
        assert_eq!(ended.stdout, "", "something stayed in bin");
        assert_same(&before, &machine.prefix(), RELEASE);
    }
}

#[test]
fn texts_of_another_release_are_not_taken_for_those_of_this_one() {
    for (shell, downloader) in PAIRED {
        let (_home, release, server) = own_mirror();
        let machine = Machine::new(shell, downloader);
        machine.has_installed(&machine.install(&server.url()), &release);
        let docs = machine.prefix().join(DOCS);
        let changes: [fn(&Path); 3] = [
            |docs| fs::write(docs.join("build.json"), "of another").unwrap(),
            |docs| fs::write(docs.join("MORE"), "of another").unwrap(),
            |docs| fs::remove_file(docs.join("LICENSE")).unwrap(),
        ];
        for change in changes {
            change(&docs);
            machine.has_installed(&machine.install(&server.url()), &release);
        }
        let ended = machine.install(&server.url());
        assert!(ended.stderr.contains("is up to date"), "{}", ended.stderr);
    }
}

/// Two releases at once: the newer one comes and goes while the older one stands before a rename.
#[test]
fn what_two_releases_at_once_leave_mixed_the_next_run_mends() {
    for step in ["*/new/build.json*/qemu-aarch64/", "*/new/.installed*", "*/bin/qemu-aarch64"] {
        for (shell, downloader) in PAIRED {
            let (home, release, server) = own_mirror();
            let newer = FakeRelease::make(&home.path().join("mirror"), NEWER);
            let machine = Machine::new(shell, downloader);
            let at = |name: &str| machine.home.path().join(name);
            let waits = format!(
                "[ -e {0} ] || {{ : >{0}; until [ -e {1} ]; do sleep 0.1; done; }}",
                at("waits").display(),
                at("go").display()
            );
            bad_mv(&machine, step, &waits);
            let mut older = machine.command(&server.url(), &UPDATE[..4]);
            let older = older.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            while !at("waits").exists() {
                assert!(Instant::now() < deadline, "{step}");
                thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(machine.run(&server.url(), &UPDATE).code, Some(0), "{step}");
            fs::write(at("go"), "").unwrap();
            let older = older.wait_with_output().unwrap();
            assert!(older.status.success(), "{step}: {}", String::from_utf8_lossy(&older.stderr));
            machine.has_installed(&machine.install(&server.url()), &release);
            machine.has_installed(&machine.run(&server.url(), &UPDATE), &newer);
        }
    }
}

#[test]
fn what_was_installed_is_removed_without_a_network_and_nothing_else() {
    let (_home, _release, server) = own_mirror();
    for (shell, downloader) in PAIRED {
        let machine = Machine::new(shell, downloader);
        let prefix = machine.prefix();
        assert_eq!(machine.install(&server.url()).code, Some(0));
        let others = mkdir(&prefix.join("bin")).join("qemu-mips");
        fs::write(&others, "somebody's").unwrap();
        // One that has no texts of ours is not ours.
        let ended = machine.plain(&["--uninstall", "--target", "mips"]);
        ended.failed(1, &["qemu-mips was not installed", "left alone"]);
        let ended = machine.plain(&["--uninstall", "--target", "linux/arm64"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.stdout.trim(), prefix.join("bin/qemu-aarch64").to_str().unwrap());
        assert_eq!(below(&prefix).keys().collect::<Vec<_>>(), [&prefix.join("bin"), &others]);
        machine.plain(&["--uninstall", "--target", "arm64"]).failed(1, &["was not installed"]);
        // All of them; what lies beside them stays.
        assert_eq!(machine.install(&server.url()).code, Some(0));
        let ended = machine.plain(&["--uninstall", "--target", "all"]);
        assert!(ended.code == Some(0) && others.exists() && !prefix.join("share").exists(), "{ended:?}");
        machine.plain(&["--uninstall"]).failed(2, &["no target"]);
    }
}
