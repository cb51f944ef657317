//! Machines without room, without rights, switched off in the middle, or with several runs at once.

use super::stage::{NAME, Stage};
use crate::driver::releases::FakeRelease;
use crate::driver::server::{Server, Wrong};
use crate::driver::{Data, Ended, Running, Somebody, files, mkdir};
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::BufReader;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// Starts `fetch` with its messages on a pipe.
fn start(stage: &Stage, arguments: &[&str]) -> Running {
    let mut command = stage.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    Running { lines: BufReader::new(child.stderr.take().unwrap()), child, said: String::new() }
}

/// Waits until so many bytes of the archive are there.
fn wait_for_partial(stage: &Stage, bytes: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::metadata(stage.partial()).map_or(0, |meta| meta.len()) < bytes {
        assert!(Instant::now() < deadline, "there are no {bytes} bytes");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_that_is_killed_or_interrupted_goes_on_where_it_stood() {
    for (signal, code) in [("KILL", None), ("INT", Some(130)), ("TERM", Some(130))] {
        let stage = Stage::new();
        let server = Server::of(&stage.release.base);
        server.wrong(".tar.xz", Wrong::Stall(90_000), 1);
        let mut run = start(&stage, &["--from", &server.url()]);
        wait_for_partial(&stage, 90_000);
        let asked = Instant::now();
        run.signal(signal);
        assert_eq!(run.end(), code);
        assert!(asked.elapsed() < Duration::from_secs(10), "{signal} took {:?}", asked.elapsed());
        stage.holds_nothing();
        stage.succeed(&["--from", &server.url()]);
        assert_eq!(server.asked(".tar.xz")[1].range.as_deref(), Some("bytes=90000-"), "{signal}");
        stage.holds(&["aarch64"]);
    }
}

/// A part of a time, another one with every call.
fn part_of(time: Duration) -> Duration {
    time.mul_f64((RandomState::new().build_hasher().finish() % 1000) as f64 / 1000.0)
}

#[test]
fn a_run_that_is_killed_at_any_moment_leaves_the_old_emulator_or_the_new_one_and_no_mix() {
    let stage = Stage::new();
    let next = FakeRelease::make(&stage.release.base, "9.9.9-2");
    let releases = [&stage.release, &next];
    let emulators = releases.map(|release| release.emulator("aarch64", "amd64"));
    let begun = Instant::now();
    stage.succeed(&["--from", stage.base()]);
    let took = begun.elapsed();
    let (mut there, mut killed) = (0, 0);
    for round in 0..50 {
        let other = &releases[1 - there].name;
        let mut run = start(&stage, &["--release", other, "--from", stage.base()]);
        thread::sleep(part_of(took));
        run.signal_if_running("KILL");
        killed += usize::from(run.end().is_none());
        let found = fs::read(stage.prefix.join("bin/qemu-aarch64")).unwrap();
        there = emulators.iter().position(|one| *one == found).unwrap_or_else(|| {
            panic!("round {round}: what is there is neither of them, and has {} bytes", found.len())
        });
        // None at all is a matter for the next run, which must see it.
        if stage.prefix.join("share/doc/anyarch/qemu-aarch64").exists() {
            for (name, text) in releases[there].docs("aarch64") {
                assert!(fs::read(stage.prefix.join(&name)).unwrap() == text, "round {round}: {name}");
            }
        }
    }
    assert!(killed > 0, "all runs were faster than {took:?}");
    stage.succeed(&["--from", stage.base()]);
    stage.holds(&["aarch64"]);
}

#[test]
fn what_a_killed_run_left_in_the_prefix_is_swept() {
    let stage = Stage::new();
    let left = stage.prefix.join(".partial-999999999-x/new/bin");
    for state in ["new", "up to date"] {
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("qemu-aarch64"), "half").unwrap();
        stage.succeed(&["--from", stage.base()]);
        assert!(!left.exists(), "{state}");
        stage.holds(&["aarch64"]);
    }
}

#[test]
fn several_installs_at_once_into_the_same_prefix_do_no_harm() {
    let stage = Stage::new();
    let next = FakeRelease::make(&stage.release.base, "9.9.9-2");
    let runs: Vec<_> = (0..6)
        .map(|number| {
            let release = if number % 2 == 0 { NAME } else { "9.9.9-2" };
            let mut command =
                stage.command(&["--target", "all", "--release", release, "--from", stage.base()]);
            // Some of them share a cache, others are other users.
            command.env("ANYARCH_CACHE", stage.home.path().join(format!("cache-{}", number / 3)));
            thread::spawn(move || Ended::of(&mut command))
        })
        .collect();
    for run in runs {
        let ended = run.join().unwrap();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    for target in ["aarch64", "riscv64"] {
        let there = fs::read(stage.prefix.join(format!("bin/qemu-{target}"))).unwrap();
        assert!([&stage.release, &next].iter().any(|one| one.emulator(target, "amd64") == there), "{target}");
    }
    stage.holds_files(&["aarch64", "riscv64"]);
}

#[test]
fn a_second_run_that_waited_for_the_first_downloads_nothing() {
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    server.wrong(".tar.xz", Wrong::Dribble(20_000, Duration::from_millis(100)), 1);
    let first = start(&stage, &["--from", &server.url()]);
    server.wait_for(".tar.xz", 1);
    let mut second = start(&stage, &["--from", &server.url()]);
    second.wait_for("waiting for another run to finish installing into");
    assert_eq!((first.finish().0, second.finish().0), (Some(0), Some(0)));
    assert_eq!(server.asked(".tar.xz").len(), 1);
    stage.holds(&["aarch64"]);
}

/// What is mounted where, for a run in namespaces of its own; says afterwards what is below the prefix.
fn with_disk(stage: &Stage, folder: &Path, size: &str, setup: &str) -> Ended {
    let mount = format!(
        "mount -t tmpfs -o size={size} tmpfs '{}'\n{setup}\ncode=0; \"$@\" || code=$?\nfind '{}' -type f >&2; exit $code",
        mkdir(folder).display(),
        stage.prefix.display()
    );
    let arguments = stage.arguments(&["--from", stage.base()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Ended::of(&mut stage.driver.unshared(&["--mount"], &mount, &arguments))
}

#[test]
fn a_full_disk_is_told_with_what_to_do_and_nothing_is_installed() {
    let said = ["No space left on device", "free some space"];
    let stage = Stage::new();
    fs::create_dir_all(&stage.prefix).unwrap();
    let ended = with_disk(&stage, stage.driver.cache.as_ref().unwrap(), "100k", "");
    ended.failed(1, &[&said[..], &["cannot be kept in the cache"]].concat());
    stage.holds_nothing();

    let stage = Stage::new();
    let ended = with_disk(&stage, &stage.prefix, "100k", "");
    ended.failed(1, &[&said[..], &["was not installed into"]].concat());
    assert!(!ended.stderr.contains("prefix/"), "something is left: {}", ended.stderr);
    // What was downloaded is not downloaded again.
    assert_eq!(stage.kept().len(), 1);
    let server = Server::of(&stage.release.base);
    stage.succeed(&["--from", &server.url()]);
    assert!(server.asked(".tar.xz").is_empty());
    stage.holds(&["aarch64"]);
}

#[test]
fn bin_may_be_a_link_to_another_disk() {
    let stage = Stage::new();
    let disk = stage.home.path().join("disk");
    fs::create_dir_all(&stage.prefix).unwrap();
    symlink(&disk, stage.prefix.join("bin")).unwrap();
    let look = format!(
        "trap 'ls -l {} >&2; \"{}/qemu-aarch64\" --version >&2' EXIT",
        disk.display(),
        disk.display()
    );
    let ended = with_disk(&stage, &disk, "1m", &look);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("qemu-aarch64 version 9.9.9"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("-rw").count(), 1, "nothing else lies there: {}", ended.stderr);
}

/// A user with a driver and a checkout of their own, and a mirror that all can read.
fn somebodys_fetch(somebody: &Somebody, stage: &Stage, prefix: &Path) -> Ended {
    let home = somebody.home.path();
    let xtask = home.join("xtask");
    if !xtask.exists() {
        Data::copy(&home.join("root"));
        // By a child: one of another thread's could have what is written here open still, and so keep it from running.
        crate::driver::run("cp", &[env!("CARGO_BIN_EXE_xtask"), xtask.to_str().unwrap()]);
    }
    let server = Server::of(&stage.release.base);
    let mut command = somebody.command(&xtask);
    command.env("ANYARCH_CACHE", home.join("cache")).env("NO_PROXY", "127.0.0.1");
    command.args([
        "fetch",
        "--root",
        "root",
        "--build-dir",
        "trees",
        "--target",
        "aarch64",
        "--host",
        "amd64",
    ]);
    Ended::of(command.args(["--release", NAME, "--from", &server.url(), "--prefix"]).arg(prefix))
}

#[test]
fn a_prefix_of_somebody_else_is_told_before_anything_is_downloaded() {
    let (stage, somebody) = (Stage::new(), Somebody::new());
    let prefix = Path::new("/usr/local/no-such-folder");
    let ended = somebodys_fetch(&somebody, &stage, prefix);
    ended.failed(1, &["cannot write below /usr/local", "--prefix DIR", "Permission denied"]);
    assert!(files(&somebody.home.path().join("cache")).iter().all(|path| !path.starts_with("fetch")));
    assert!(!prefix.exists());
}

#[test]
fn texts_are_put_back_when_the_emulator_cannot_be_put_in_place() {
    let (stage, somebody) = (Stage::new(), Somebody::new());
    let prefix = somebody.home.path().join("prefix");
    let docs = prefix.join("share/doc/anyarch/qemu-aarch64");
    let ours = |folder: &Path| crate::driver::run("chown", &["nobody", folder.to_str().unwrap()]);
    fs::create_dir_all(&docs).unwrap();
    fs::write(docs.join("of-the-last-one"), "").unwrap();
    fs::create_dir_all(prefix.join("bin")).unwrap();
    if crate::driver::is_root() {
        for folder in [docs.as_path(), docs.parent().unwrap(), &prefix.join("share"), &prefix] {
            ours(folder);
        }
    }
    fs::set_permissions(prefix.join("bin"), fs::Permissions::from_mode(0o555)).unwrap();
    let ended = somebodys_fetch(&somebody, &stage, &prefix);
    ended.failed(1, &["cannot put", "bin/qemu-aarch64 in place", "Permission denied"]);
    assert_eq!(files(&prefix), [Path::new("share/doc/anyarch/qemu-aarch64/of-the-last-one")]);
    assert_eq!(fs::read_dir(&prefix).unwrap().count(), 2, "bin and share alone");
}
