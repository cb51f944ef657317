//! Builds for several hosts that are interrupted and killed: they end all they started, and the same command
//! goes on from there.

use crate::driver::foreign::{FOREIGN, HOSTS, TARGET, all_proven, lacks_compilers};
use crate::driver::{Driver, exclusive, files, json, scratch};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A process as `/proc` tells of it: its number, its parent's, its name.
fn processes() -> Vec<(i32, i32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            let (pid, rest) = stat.split_once(" (")?;
            let (name, rest) = rest.rsplit_once(") ")?;
            let parent = rest.split(' ').nth(1)?.parse().ok()?;
            Some((pid.parse().ok()?, parent, name.to_owned()))
        })
        .collect()
}

/// How many jobs of ninja's below `folder` run now, and in how many trees.
fn jobs(folder: &Path) -> (usize, usize) {
    let all = processes();
    let is_ours =
        |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    let ninjas: Vec<i32> =
        all.iter().filter(|(pid, _, name)| name == "ninja" && is_ours(*pid)).map(|(pid, ..)| *pid).collect();
    let of = |ninja: &i32| all.iter().filter(|(_, parent, _)| parent == ninja).count();
    (ninjas.iter().map(of).sum(), ninjas.len())
}

/// Processes that work in this folder.
fn working_in(folder: &Path) -> Vec<i32> {
    let all = processes().into_iter().map(|(pid, ..)| pid);
    all.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder)))
        .collect()
}

/// The most jobs and trees that were seen at one time while `work` ran.
fn watch<T>(folder: &Path, work: impl FnOnce() -> T) -> (usize, usize, T) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = (0, 0);
            while !done.load(Ordering::SeqCst) {
                let now = jobs(folder);
                most = (now.0.max(most.0), now.1.max(most.1));
                thread::sleep(Duration::from_millis(10));
            }
            most
        });
        let result = work();
        done.store(true, Ordering::SeqCst);
        let most = watcher.join().unwrap();
        (most.0, most.1, result)
    })
}

/// The tarballs below a folder with their hashes, by name.
fn tarballs(folder: &Path) -> BTreeMap<String, String> {
    let names = files(folder).into_iter().filter(|path| path.to_string_lossy().ends_with(".tar.xz"));
    let hash = |path: &PathBuf| anyarch_client::hash::sha256_file(&folder.join(path)).unwrap();
    names.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), hash(&path))).collect()
}

/// Moments of a run, as parts of a whole one's time, in an order that looks like none: the bits of a counter
/// turned around (van der Corput).
fn moments(number: u32, whole: Duration) -> Vec<Duration> {
    (1..=number).map(|n| whole.mul_f64(f64::from(n.reverse_bits()) / f64::from(u32::MAX))).collect()
}

/// The names and hashes of what an undisturbed build for the three hosts makes.
fn undisturbed() -> BTreeMap<String, String> {
    let rows = FOREIGN.iter().chain([crate::driver::released(TARGET)]);
    rows.map(|row| {
        let path = Path::new(row["path"].as_str().unwrap());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, row["sha256"].as_str().unwrap().to_owned())
    })
    .collect()
}

/// What was finished, a tree's emulator or a tarball with its record, with the number that its file has in the file
/// system.
#[derive(Default)]
struct Finished(BTreeMap<PathBuf, u64>);

impl Finished {
    fn number(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    fn note(&mut self, driver: &Driver) {
        let out = driver.out.join("10.2.2-1");
        let packed = tarballs(&driver.out).into_keys().map(|name| out.join(name));
        // Stripped is what a tree makes last.
        let compiled = files(&driver.trees).into_iter().map(|path| driver.trees.join(path));
        let compiled = compiled.filter(|path| path.ends_with(format!("stripped/qemu-{TARGET}")));
        let has_record = |path: &PathBuf| {
            !path.to_string_lossy().ends_with(".tar.xz")
                || Path::new(&path.to_string_lossy().replace(".tar.xz", ".json")).is_file()
        };
        for path in packed.chain(compiled).filter(has_record) {
            self.0.entry(path.clone()).or_insert_with(|| Self::number(&path));
        }
    }

    /// Nothing of it was made again.
    fn is_kept(&self) {
        for (path, number) in &self.0 {
            assert_eq!(Self::number(path), *number, "{} was finished, and made again", path.display());
        }
    }
}

/// Builds for three hosts, killed at several moments, then left alone: the same tarballs, and nothing that
/// was finished is done again. What is done before its moment is begun again from nothing, so that every kill
/// meets a build at work.
fn survives_kills(driver: &Driver, kills: u32, whole: Duration) {
    let three = format!("native,{HOSTS}");
    let build = ["build", "--json", "--host", &three, "--target", TARGET, "--jobs", "2"];
    let mut finished = Finished::default();
    let (mut killed, mut kept) = (0, 0);
    for moment in moments(4 * kills, whole) {
        if killed == kills {
            break;
        }
        let mut run = driver.start(&build);
        let deadline = Instant::now() + moment;
        while Instant::now() < deadline && run.child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(20));
        }
        run.signal_if_running("KILL");
        let ended = run.end();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !working_in(&driver.trees).is_empty() {
            assert!(Instant::now() < deadline, "kill {killed} left {:?}", working_in(&driver.trees));
            thread::sleep(Duration::from_millis(50));
        }
        finished.is_kept();
        finished.note(driver);
        match ended {
            None => killed += 1,
            Some(code) => {
                assert_eq!((code, tarballs(&driver.out)), (0, undisturbed()), "after {killed} kills");
                kept += finished.0.len();
                finished = Finished::default();
                for folder in [&driver.trees, &driver.out] {
                    fs::remove_dir_all(folder).unwrap();
                }
            }
        }
    }
    assert_eq!(killed, kills, "too few moments at which the build was at work");
    let (most, trees, built) = watch(&driver.trees, || json(driver, &build));
    println!("{kills} kills; at most {most} jobs in {trees} trees; {kept} files kept");
    assert!(most <= 2, "{most} jobs at a time, not 2");
    all_proven(built["tarballs"].as_array().unwrap());
    finished.is_kept();
    assert_eq!(tarballs(&driver.out), undisturbed(), "the bytes of an undisturbed build");
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn trees_share_their_job_slots_and_survive_kills() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    LazyLock::force(&FOREIGN);
    let home = scratch();
    let driver = Driver::warm(home.path());
    let three = format!("native,{HOSTS}");
    // First of all an interruption in the middle of compiling: nothing is left running.
    let mut run = driver.start(&["build", "--host", &three, "--target", TARGET, "--jobs", "2"]);
    let (most, trees, ()) = watch(&driver.trees, || {
        run.wait_for("compile ");
        thread::sleep(Duration::from_secs(1));
        run.signal("INT");
        assert_eq!(run.end(), Some(130));
    });
    assert_eq!(working_in(&driver.trees), Vec::<i32>::new(), "left running");
    assert!((1..=2).contains(&most) && trees >= 1, "{most} jobs in {trees} trees");
    survives_kills(&driver, 4, Duration::from_secs(30));
}

#[test]
#[ignore = "builds QEMU for three hosts; run by `cargo xtask test --long`"]
fn long_ten_kills_of_a_build_for_three_hosts_change_nothing() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    LazyLock::force(&FOREIGN);
    let home = scratch();
    let driver = Driver { environment: Vec::new(), ..Driver::warm(home.path()) };
    // First with a ccache and so with other moments, as the default run's four.
    survives_kills(&Driver::warm(&home.path().join("ccache")), 10, Duration::from_secs(30));
    survives_kills(&driver, 10, Duration::from_secs(400));
}
