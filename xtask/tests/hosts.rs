//! Emulators for several hosts at once: real cross compilers, foreign emulators proven in our own, and what
//! happens when a part of it fails, is interrupted or killed.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot go on has failed")]

mod driver;

use driver::{Data, Driver, RELEASE, files, mkdir, run, scratch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use xtask::facts::Host;

/// Builds are long and use every processor: one at a time.
static MACHINE: Mutex<()> = Mutex::new(());

fn exclusive() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two unlike hosts: one with static PIE, one big-endian and without.
const HOSTS: &str = "arm64,s390x";
/// A target that every host can have.
const TARGET: &str = "arm";

fn json(driver: &Driver, arguments: &[&str]) -> Value {
    serde_json::from_str(&driver.succeed(arguments)).unwrap()
}

/// The rows of a build of the target for two other hosts, made where users make them.
static FOREIGN: LazyLock<Vec<Value>> = LazyLock::new(|| {
    LazyLock::force(&RELEASE);
    let built = json(&Driver::usual(), &["build", "--json", "--host", HOSTS, "--target", TARGET]);
    built["tarballs"].as_array().unwrap().clone()
});

/// Whether this machine lacks cross compilers; then what the driver says of them is all that can be tested.
fn lacks_compilers() -> bool {
    let missing = HOSTS.split(',').any(|name| {
        let hosts = Host::all(&driver::checkout().join("toolchains")).unwrap();
        which::which(&Host::named(name, &hosts).unwrap().compiler.cc).is_err()
    });
    if missing {
        println!("not run: no compilers for {HOSTS} (cargo xtask doctor names them)");
        let ended = Driver::usual().run(&["build", "--host", HOSTS, "--target", TARGET]);
        ended.failed(3, &["a C compiler for", "apt-get install gcc-"]);
    }
    missing
}

/// Every check of these rows was run and passed.
fn all_proven(rows: &[Value]) {
    for row in rows {
        let checks = row["emulator"]["checks"].as_array().unwrap();
        let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["elf", "version", "start", "guest"], "{row}");
        assert!(checks.iter().all(|check| check["passed"].is_string()), "{row}");
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn emulators_for_other_hosts_run_guests_in_our_own_emulators() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    assert_eq!(FOREIGN.len(), 2);
    all_proven(&FOREIGN);
    for row in FOREIGN.iter() {
        let said = row["emulator"]["checks"][2]["passed"].as_str().unwrap();
        assert!(said.contains("in this machine's emulator of it"), "{said}");
        assert!(row["size"].as_u64().unwrap() < 2_000_000, "{row}");
    }
    let driver = Driver::usual();
    let plan = driver.succeed(&["plan", "--host", HOSTS, "--target", TARGET]);
    assert!(plan.contains("P  packaged: 2"), "{plan}");
    let plan = driver.succeed(&["plan", "--target", "arm,aarch64", "--host", "arm64,s390x,386,all"]);
    assert!(plan.lines().any(|line| line.starts_with("aarch64  ") && line.contains('1')), "{plan}");
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_host_without_a_compiler_does_not_keep_the_others_from_being_made() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    LazyLock::force(&FOREIGN);
    let home = scratch();
    let data = Data::copy(&home.path().join("root"));
    let file = data.root.join("toolchains/s390x.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("s390x-linux-gnu-gcc\"", "no-such-gcc\"")).unwrap();
    let driver = Driver { root: data.root.clone(), ..Driver::usual() };
    let build = ["build", "--json", "--host", HOSTS, "--target", TARGET];
    driver.run(&build).failed(3, &["a C compiler for s390x", "apt-get install gcc-s390x-linux-gnu"]);
    let ended = driver.run(&[&build[..], &["--keep-going"]].concat());
    ended.failed(3, &["failed: all targets for s390x", "apt-get install gcc-s390x-linux-gnu"]);
    let built: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(built["tarballs"][0]["host"], "arm64");
    assert_eq!(built["failed"][0]["host"], "s390x");
}

/// Data with a patch that breaks one file of one target.
fn broken(home: &Path) -> Data {
    let data = Data::copy(&home.join("root"));
    let patch = "--- a/target/sh4/op_helper.c\n+++ b/target/sh4/op_helper.c\n@@ -1,2 +1,3 @@\n+#error broken on purpose\n /*\n  *  SH4 emulation\n";
    fs::write(data.root.join("patches/10.2/9999-broken.patch"), patch).unwrap();
    data
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_target_that_does_not_compile_does_not_lose_the_others() {
    let _one = exclusive();
    LazyLock::force(&RELEASE);
    let home = scratch();
    let data = broken(home.path());
    let driver = Driver { root: data.root, ..Driver::warm(home.path()) };
    let build = ["build", "--json", "--target", "arm,sh4"];
    let ended = driver.run(&build);
    ended.failed(1, &["did not compile", "broken on purpose"]);
    assert_eq!(files(&driver.out), Vec::<PathBuf>::new(), "without --keep-going nothing is packed");
    let ended = driver.run(&[&build[..], &["--keep-going"]].concat());
    ended.failed(1, &["failed: qemu-sh4 for amd64", "broken on purpose"]);
    let built: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(built["tarballs"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&built["tarballs"][0]["target"], &built["failed"][0]["target"]),
        (&"arm".into(), &"sh4".into())
    );
}

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
    let hash = |path: &PathBuf| xtask::store::sha256_file(&folder.join(path)).unwrap();
    names.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), hash(&path))).collect()
}

/// Moments of a run, as parts of a whole one's time, in an order that looks like none: the bits of a counter
/// turned around (van der Corput).
fn moments(number: u32, whole: Duration) -> Vec<Duration> {
    (1..=number).map(|n| whole.mul_f64(f64::from(n.reverse_bits()) / f64::from(u32::MAX))).collect()
}

/// Builds for three hosts, killed at several moments, then left alone: the same tarballs, and nothing that
/// was finished is done again.
fn survives_kills(driver: &Driver, kills: u32, whole: Duration) {
    let three = format!("native,{HOSTS}");
    let build = ["build", "--json", "--host", &three, "--target", TARGET, "--jobs", "2"];
    let mut finished: BTreeMap<String, u64> = BTreeMap::new();
    let changed = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(driver.out.join("10.2.2-1").join(name)).map(|meta| meta.ino()).unwrap()
    };
    for (number, moment) in moments(kills, whole).into_iter().enumerate() {
        let mut run = driver.start(&build);
        let deadline = Instant::now() + moment;
        while Instant::now() < deadline && run.child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(20));
        }
        run.signal_if_running("KILL");
        run.end();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !working_in(&driver.trees).is_empty() {
            assert!(Instant::now() < deadline, "kill {number} left {:?}", working_in(&driver.trees));
            thread::sleep(Duration::from_millis(50));
        }
        for name in tarballs(&driver.out).into_keys() {
            let record = driver.out.join("10.2.2-1").join(name.replace(".tar.xz", ".json"));
            if record.is_file() {
                finished.entry(name.clone()).or_insert_with(|| changed(&name));
            }
        }
    }
    let (most, trees, built) = watch(&driver.trees, || json(driver, &build));
    println!("{kills} kills; at most {most} jobs in {trees} trees; {} tarballs kept", finished.len());
    assert!(most <= 2, "{most} jobs at a time, not 2");
    all_proven(built["tarballs"].as_array().unwrap());
    for (name, inode) in &finished {
        assert_eq!(changed(name), *inode, "{name} was finished, and made again");
    }
    let undisturbed: BTreeMap<String, String> = FOREIGN
        .iter()
        .chain([driver::released(TARGET)])
        .map(|row| {
            let path = Path::new(row["path"].as_str().unwrap());
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                row["sha256"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(tarballs(&driver.out), undisturbed, "the bytes of an undisturbed build");
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
        thread::sleep(Duration::from_secs(6));
        run.signal("INT");
        assert_eq!(run.end(), Some(130));
    });
    assert_eq!(working_in(&driver.trees), Vec::<i32>::new(), "left running");
    assert!((1..=2).contains(&most) && trees >= 1, "{most} jobs in {trees} trees");
    survives_kills(&driver, 10, Duration::from_secs(45));
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
    survives_kills(&driver, 10, Duration::from_secs(400));
}

#[test]
#[ignore = "builds QEMU for ten hosts; run by `cargo xtask test --long`"]
fn long_every_host_has_emulators_that_run_guests() {
    let _one = exclusive();
    // With the old series, a 32-bit host has 64-bit targets, too.
    for (series, targets) in [("10.2", TARGET), ("7.2", "riscv64,cris")] {
        let arguments = ["build", "--json", "--qemu", series, "--host", "all", "--target", targets];
        let built = json(&Driver::usual(), &arguments);
        let rows = built["tarballs"].as_array().unwrap();
        assert_eq!(rows.len(), 10 * targets.split(',').count());
        all_proven(rows);
    }
}

/// A server of a cluster on this machine; it ends with this value.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A distcc server on loopback that writes what it compiled to a log.
fn distcc_server(home: &Path, port: u16) -> Server {
    let log = home.join(format!("distccd-{port}.log"));
    let mut command = Command::new("distccd");
    command.args(["--no-detach", "--daemon", "--allow", "127.0.0.1", "--listen", "127.0.0.1", "--jobs", "2"]);
    command.args(["--port", &port.to_string(), "--log-level", "info", "--log-file"]).arg(log);
    // Compilers are called by their whole names; only those that are named here may be.
    command.arg("--enable-tcp-insecure").stdin(std::process::Stdio::null());
    Server(command.spawn().unwrap())
}

#[test]
#[ignore = "builds QEMU on a cluster of two servers on loopback; run by `cargo xtask test --long`"]
fn long_a_cluster_of_two_machines_makes_the_same_bytes() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    LazyLock::force(&FOREIGN);
    if which::which("distccd").is_err() {
        println!("not run: no distcc (apt-get install distcc)");
        return;
    }
    let home = scratch();
    let ports = [36_321, 36_322];
    let _servers = ports.map(|port| distcc_server(home.path(), port));
    let hosts = ports.map(|port| format!("127.0.0.1:{port}/2")).join(" ");
    let environment = vec![
        ("DISTCC_HOSTS".to_owned(), hosts),
        ("DISTCC_FALLBACK".to_owned(), "0".to_owned()),
        ("DISTCC_DIR".to_owned(), home.path().join("distcc").display().to_string()),
    ];
    let driver = Driver { environment, ..Driver::warm(home.path()) };
    let arguments = ["build", "--json", "--launcher", "distcc", "--jobs", "4", "--target", TARGET];
    let built = json(&driver, &arguments);
    assert_eq!(built["tarballs"][0]["sha256"], driver::released(TARGET)["sha256"]);
    for port in ports {
        let log = fs::read_to_string(home.path().join(format!("distccd-{port}.log"))).unwrap();
        let jobs = log.matches("COMPILE_OK").count();
        println!("port {port}: {jobs} jobs");
        assert!(jobs > 50, "{log}");
    }
}

#[test]
#[ignore = "builds QEMU through a store on loopback; run by `cargo xtask test --long`"]
fn long_a_store_on_the_network_gives_the_second_build_its_objects() {
    let _one = exclusive();
    LazyLock::force(&RELEASE);
    if which::which("sccache").is_err() || which::which("redis-server").is_err() {
        println!("not run: no sccache or no redis (apt-get install sccache redis-server)");
        return;
    }
    let home = scratch();
    let mut redis = Command::new("redis-server");
    redis.args(["--port", "36379", "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(home.path());
    redis.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let _store = Server(redis.spawn().unwrap());
    let environment = vec![
        ("SCCACHE_REDIS".to_owned(), "redis://127.0.0.1:36379".to_owned()),
        ("SCCACHE_SERVER_PORT".to_owned(), "36378".to_owned()),
    ];
    let stop = || {
        let _ = Command::new("sccache").arg("--stop-server").env("SCCACHE_SERVER_PORT", "36378").output();
    };
    for name in ["first", "second"] {
        let folder = home.path().join(name);
        let driver = Driver { environment: environment.clone(), ..Driver::warm(&folder) };
        let built = json(&driver, &["build", "--json", "--launcher", "sccache", "--target", TARGET]);
        assert_eq!(built["tarballs"][0]["sha256"], driver::released(TARGET)["sha256"], "{name}");
        if name == "first" {
            // What the second one finds comes from the store, not from a server's memory.
            stop();
        }
    }
    let mut stats = stats_of(Command::new("sccache").args(["--show-stats", "--stats-format=json"]));
    stop();
    let hits = stats["stats"]["cache_hits"]["counts"]["C/C++"].take().as_u64().unwrap_or(0);
    println!("{hits} hits");
    assert!(hits > 300, "{stats}");
}

fn stats_of(command: &mut Command) -> Value {
    let output = command.env("SCCACHE_SERVER_PORT", "36378").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A copy of the folder of a release with the two foreign tarballs.
fn part(home: &Path, name: &str) -> PathBuf {
    let folder = home.join(name).join("10.2.2-1");
    mkdir(&folder);
    for row in FOREIGN.iter() {
        let path = row["path"].as_str().unwrap();
        for file in [path.to_owned(), path.replace(".tar.xz", ".json")] {
            run("cp", &[&file, folder.to_str().unwrap()]);
        }
    }
    folder
}

fn edit(file: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(old), "{old} is not in {text}");
    fs::write(file, text.replace(old, new)).unwrap();
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn folders_of_several_machines_are_joined_and_strangers_refused() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    LazyLock::force(&FOREIGN);
    let home = scratch();
    let driver = Driver::warm(home.path());
    let own = Driver::usual().out;
    let (first, own) = (part(home.path(), "first"), own.join("10.2.2-1"));
    let joined = json(&driver, &["release", "--json", first.to_str().unwrap(), own.to_str().unwrap()]);
    let folder = driver.out.join("10.2.2-1");
    assert!(joined["tarballs"].as_array().unwrap().len() >= 10, "{joined}");
    assert!(!joined["lacks"].as_array().unwrap().is_empty());
    run(
        "sh",
        &["-c", &format!("cd '{}' && sha256sum --check --strict --quiet SHA256SUMS", folder.display())],
    );
    let whole = ["release", "--complete", first.to_str().unwrap()];
    driver.run(&whole).failed(1, &["the release lacks", "qemu-aarch64 for amd64"]);

    let name = "qemu-arm-10.2.2-1-linux-arm64";
    let refused = |how: &str, spoil: &dyn Fn(&Path), said: &[&str]| {
        let folder = part(home.path(), how);
        spoil(&folder);
        let mut driver = driver.clone();
        driver.out = home.path().join(format!("out-{how}"));
        driver.run(&["release", folder.to_str().unwrap()]).failed(1, said);
        assert_eq!(files(&driver.out), Vec::<PathBuf>::new(), "{how}: something was published");
    };
    let tarball = format!("{name}.tar.xz");
    let record = format!("{name}.json");
    refused(
        "no-record",
        &|folder| fs::remove_file(folder.join(&record)).unwrap(),
        &["its record", "is missing"],
    );
    refused(
        "other-bytes",
        &|folder| fs::write(folder.join(&tarball), "other").unwrap(),
        &["its bytes are not those of its record"],
    );
    refused(
        "other-name",
        &|folder| {
            for end in [".tar.xz", ".json"] {
                let other = folder.join(format!("qemu-x-10.2.2-1-linux-arm64{end}"));
                fs::rename(folder.join(format!("{name}{end}")), other).unwrap();
            }
        },
        &["its record is that of"],
    );
    refused(
        "lying-record",
        &|folder| edit(&folder.join(&record), "\"tag\": \"v10.2.2\"", "\"tag\": \"v10.2.1\""),
        &["its build.json says other than its record"],
    );
    refused(
        "mixed-pins",
        &|folder| repack(folder, name, "v10.2.2", "v10.2.1"),
        &["of other pins", "tag v10.2.1"],
    );
    refused(
        "mixed-toolchains",
        &|folder| {
            // Another target of the same host, made with another compiler.
            let other = name.replace("arm-10", "sh4-10");
            for end in [".tar.xz", ".json"] {
                fs::copy(folder.join(format!("{name}{end}")), folder.join(format!("{other}{end}"))).unwrap();
            }
            repack(folder, &other, "12.2.0", "13.1.0");
        },
        &["mixed toolchains for arm64", "the compiler"],
    );
}

/// Packs a tarball again with another word in its build facts, and says so in its record, as a machine with
/// other pins or compilers would have made it.
fn repack(folder: &Path, name: &str, old: &str, new: &str) {
    let (tarball, record) = (folder.join(format!("{name}.tar.xz")), folder.join(format!("{name}.json")));
    let target = name.split('-').nth(1).unwrap();
    let tree = folder.join("tree");
    run("tar", &["-C", mkdir(&tree).to_str().unwrap(), "-xJf", tarball.to_str().unwrap()]);
    let docs = tree.join("share/doc/anyarch");
    if target != TARGET {
        fs::rename(docs.join(format!("qemu-{TARGET}")), docs.join(format!("qemu-{target}"))).unwrap();
        edit(&record, &format!("\"target\": \"{TARGET}\""), &format!("\"target\": \"{target}\""));
    }
    edit(&docs.join(format!("qemu-{target}/build.json")), old, new);
    run("tar", &["-C", tree.to_str().unwrap(), "-cJf", tarball.to_str().unwrap(), "bin", "share"]);
    fs::remove_dir_all(&tree).unwrap();
    edit(&record, old, new);
    let mut known: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    known["sha256"] = xtask::store::sha256_file(&tarball).unwrap().into();
    fs::write(&record, serde_json::to_vec_pretty(&known).unwrap()).unwrap();
}

#[test]
fn more_jobs_than_the_memory_holds_are_warned_of() {
    let home = scratch();
    let ended = Driver::fresh(home.path()).run(&["source", "--offline", "--jobs", "60000"]);
    assert!(ended.stderr.contains("warning: 60000 jobs may take more than"), "{}", ended.stderr);
}

#[test]
#[ignore = "wants QEMU's source; run by `cargo xtask test`"]
fn targets_are_as_wide_as_qemu_says() {
    let tree = json(&Driver::usual(), &["source", "--json"])["tree"].as_str().unwrap().to_owned();
    let folder = Path::new(&tree).join("configs/targets");
    let mut seen = 0;
    for target in xtask::facts::targets::TARGETS {
        let Ok(text) = fs::read_to_string(folder.join(format!("{}-linux-user.mak", target.name))) else {
            continue;
        };
        let bits = text.lines().find_map(|line| line.strip_prefix("TARGET_LONG_BITS="));
        assert_eq!(bits.unwrap_or("32"), target.bits.to_string(), "{}", target.name);
        seen += 1;
    }
    assert_eq!(seen, 33);
}

/// Small programs that stand beside their source are what that source says, where their compilers are.
#[test]
fn the_small_guests_are_made_from_their_source() {
    let folder = driver::checkout().join("guests/tiny");
    let home = scratch();
    let (mut same, mut lacking) = (Vec::new(), Vec::new());
    for target in xtask::facts::targets::TARGETS {
        let made = home.path().join(target.name);
        let mut make = Command::new("sh");
        make.arg(folder.join("make.sh")).arg(target.name).arg(&made);
        let output = make.output().unwrap();
        if output.status.code() == Some(3) {
            lacking.push(target.name);
            continue;
        }
        assert!(output.status.success(), "{}: {}", target.name, String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(folder.join("bytes").join(format!("{}.hex", target.name))).unwrap();
        let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
        // Another compiler may choose other instructions; Debian 12's are those that made the files.
        let is_same = hex::encode(fs::read(&made).unwrap()) == digits.replace([' ', '\n'], "");
        let by = text.lines().find(|line| line.contains("made by")).unwrap_or_default();
        assert!(is_same || !by.contains(compiler_here(target.name).as_str()), "{}: {by}", target.name);
        same.push(target.name);
    }
    println!("made again: {}; not run, for lack of a compiler: {}", same.join(" "), lacking.join(" "));
    assert!(same.contains(&"x86_64") || !cfg!(target_arch = "x86_64"), "gcc makes the one for this machine");
}

/// What the compiler of a target's small guest says of itself.
fn compiler_here(target: &str) -> String {
    let triple = xtask::facts::Target::named(target).unwrap().compiler.map(|compiler| compiler.triple);
    let name = triple.map_or_else(|| "clang-19".to_owned(), |triple| format!("{triple}-gcc"));
    let output = Command::new(name).arg("--version").output();
    let line = output
        .map(|output| String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned());
    line.unwrap_or_else(|_| "nobody".to_owned())
}
