//! The main promise on real things: real source, real compilers, real guests, and what a build does
//! when it is disturbed.

use crate::driver::foreign::all_proven;
use crate::driver::{
    Driver, Ended, RELEASE, SHORT_CONTRACT, WITH_CONTRACT, WITH_GUESTS, emulator, exclusive, files, released,
    run, scratch, tarball, wants,
};
use crate::packages;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};
use xtask::facts::{Host, Target};

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn targets_with_a_guest_are_built_proven_and_packed() {
    let _one = exclusive();
    assert_eq!(RELEASE.len(), WITH_GUESTS.split(',').count());
    for row in RELEASE.iter() {
        let target = row["target"].as_str().unwrap();
        for check in row["emulator"]["checks"].as_array().unwrap() {
            assert!(check["passed"].is_string(), "{target}: {check}");
        }
        let size = row["size"].as_u64().unwrap();
        assert!(size > 500_000 && size < 3_000_000, "{target}: {size} bytes");
    }
    let folder = tarball("aarch64").parent().unwrap().to_owned();
    let sums = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(sums.status.success(), "{}", String::from_utf8_lossy(&sums.stdout));
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_tarball_holds_the_emulator_its_licences_and_how_it_was_made() {
    let _one = exclusive();
    let home = scratch();
    let emulator = emulator("aarch64", home.path());
    let expected = ["bin/qemu-aarch64", "COPYING", "COPYING.LIB", "LICENSE", "build.json"];
    let docs = Path::new("share/doc/anyarch/qemu-aarch64");
    let mut expected: Vec<PathBuf> = expected
        .iter()
        .map(|name| if name.contains('/') { PathBuf::from(name) } else { docs.join(name) })
        .collect();
    expected.sort();
    assert_eq!(files(home.path()), expected);
    assert_eq!(fs::metadata(&emulator).unwrap().permissions().mode() & 0o777, 0o755);
    let said = run(emulator.to_str().unwrap(), &["--version"]);
    assert!(said.starts_with("qemu-aarch64 version 10.2.2 (anyarch-10.2.2-"), "{said}");
    assert!(run(emulator.to_str().unwrap(), &["--help"]).contains("-execve"));
    let made: Value =
        serde_json::from_slice(&fs::read(home.path().join(docs).join("build.json")).unwrap()).unwrap();
    assert_eq!(made["tag"], "v10.2.2");
    assert!(!made["sysroot"].as_array().unwrap().is_empty());
    let bytes = fs::read(&emulator).unwrap();
    let checkout = crate::driver::checkout();
    let cache = xtask::workspace::Workspace::locate(Some(&checkout), None, None).unwrap().cache;
    for secret in [checkout.to_str().unwrap(), env!("CARGO_TARGET_TMPDIR"), cache.to_str().unwrap()] {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "it names {secret}");
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn nothing_to_do_takes_seconds_at_most_and_what_is_lost_is_packed_again() {
    let _one = exclusive();
    let old = released("aarch64")["sha256"].clone();
    let driver = Driver::usual();
    let started = Instant::now();
    let said = driver.succeed(&["build", "--target", "aarch64"]);
    assert!(said.contains("0 made, 1 up to date"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    fs::write(tarball("aarch64"), "damaged").unwrap();
    let json = driver.succeed(&["build", "--json", "--target", "aarch64"]);
    let built: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&built["tarballs"][0]["sha256"], &built["tarballs"][0]["up_to_date"]),
        (&old, &Value::Bool(false))
    );
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_wheels_emulator_runs_a_guest_as_a_program_and_as_a_module() {
    let _one = exclusive();
    let home = scratch();
    let emulator = fs::read(emulator("aarch64", home.path())).unwrap();
    packages::wheel_runs(&packages::Stage::with_emulator(&emulator), "aarch64");
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn the_execve_contract_holds() {
    contract_holds(SHORT_CONTRACT);
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_the_execve_contract_holds_where_guests_can_be_compiled() {
    contract_holds(WITH_CONTRACT);
}

/// Shared, compared and kept translations: every case, and mappings of code by chance.
#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn programs_find_what_linux_promises_to_them() {
    promises_hold("aarch64,arm");
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_programs_of_eight_targets_find_what_linux_promises_to_them() {
    promises_hold("aarch64,arm,i386,mips64el,ppc64le,riscv64,s390x,x86_64");
}

fn promises_hold(targets: &str) {
    let _one = exclusive();
    LazyLock::force(&RELEASE);
    let json = Driver::usual().succeed(&["verify", "--json", "--linux", "--target", targets]);
    let reports: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(reports.len(), targets.split(',').count());
    for row in reports {
        let target = row["target"].as_str().unwrap();
        if let Some(why) = lacks_compiler(target) {
            wants::partly_not_run(&why);
            continue;
        }
        let checks = row["report"]["checks"].as_array().unwrap();
        let linux = checks.iter().find(|check| check["name"] == "linux").unwrap();
        let told = linux["passed"].as_str().unwrap_or_default();
        for kind in ["-static", "-pie", "-no-pie"] {
            assert!(told.contains(&format!(" cases {kind}")), "{target}: {linux}");
        }
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_a_cache_of_translations_changes_nothing() {
    let _one = exclusive();
    let targets = "aarch64,arm,i386,mips64el,ppc64le,riscv64,s390x,x86_64";
    let json = Driver::usual().succeed(&["verify", "--json", "--tb-cache", "60", "--target", targets]);
    let reports: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(reports.len(), 8);
    for report in &reports {
        let checks = report["report"]["checks"].as_array().unwrap();
        let cached = checks.iter().find(|check| check["name"] == "tb-cache").unwrap();
        println!("{}: {cached}", report["target"]);
        match lacks_compiler(report["target"].as_str().unwrap()) {
            Some(why) => wants::partly_not_run(&why),
            None => assert!(cached["passed"].as_str().unwrap().contains("cases as natively"), "{cached}"),
        }
    }
}

/// Why programs for a target cannot be compiled, if they cannot.
fn lacks_compiler(target: &str) -> Option<String> {
    let compiler = Target::named(target).unwrap().compiler.unwrap();
    wants::lacks(&[&format!("{}-gcc", compiler.triple)], compiler.packages)
}

fn contract_holds(targets: &str) {
    let _one = exclusive();
    LazyLock::force(&RELEASE);
    let json = Driver::usual().succeed(&["verify", "--json", "--target", targets]);
    let reports: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(reports.len(), targets.split(',').count());
    for report in &reports {
        let target = report["target"].as_str().unwrap();
        let checks = report["report"]["checks"].as_array().unwrap();
        let contract = checks.iter().find(|check| check["name"] == "contract").unwrap();
        println!("{target}: {contract}");
        let compiler = Target::named(target).unwrap().compiler.unwrap();
        if let Some(why) = lacks_compiler(target) {
            let reason = contract["not-run"].as_str().unwrap();
            assert!(reason.contains(&format!("apt-get install {}", compiler.packages)), "{contract}");
            wants::partly_not_run(&why);
        } else {
            let passed = contract["passed"].as_str().unwrap();
            for part in ["cases statically linked", "cases dynamically linked", "checks of contract.sh"] {
                assert!(passed.contains(part), "{target} has a compiler: {passed}");
            }
        }
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_all_thirty_three_targets_are_built_and_packed() {
    let _one = exclusive();
    let json = Driver::usual().succeed(&["build", "--json", "--target", "all"]);
    let built: Value = serde_json::from_str(&json).unwrap();
    let rows = built["tarballs"].as_array().unwrap();
    assert_eq!(rows.len(), 33);
    all_proven(rows);
    assert!(built["peak_memory"].as_u64().unwrap() < 100_000_000, "{}", built["peak_memory"]);
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_a_dev_build_keeps_its_symbols_and_is_no_release() {
    let _one = exclusive();
    let json = Driver::usual().succeed(&["build", "--json", "--profile", "dev", "--target", "x86_64"]);
    let built: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(built["release"], "10.2.2-1-dev");
    let row = &built["tarballs"][0];
    assert!(row["path"].as_str().unwrap().ends_with("10.2.2-1-dev-linux-amd64.tar.xz"), "{row}");
    assert!(row["emulator"]["size"].as_u64().unwrap() > 10_000_000, "symbols are missing: {row}");
    assert!(
        row["emulator"]["checks"].as_array().unwrap().iter().all(|check| check["passed"].is_string()),
        "{row}"
    );
}

/// The message that opens a moment at which a build is disturbed, how long after it, and whether the
/// run begins with nothing: what is got and made side by side is only sure to come then.
type Moment = (&'static str, Duration, bool);

/// Three that differ in kind: nothing is there yet, compilers run, results are written.
const MOMENTS: [Moment; 3] = [
    ("Python environment", Duration::from_millis(800), true),
    ("compile qemu-aarch64", Duration::from_millis(1500), false),
    ("verify and pack", Duration::from_millis(200), false),
];

/// And four more.
const OTHER_MOMENTS: [Moment; 4] = [
    ("download qemu_", Duration::from_millis(50), true),
    ("unpack and patch QEMU", Duration::from_millis(700), true),
    ("configure v10.2.2", Duration::from_millis(3000), false),
    ("compile qemu-aarch64", Duration::from_millis(12000), false),
];

/// Processes whose command line or folder names this path.
fn processes_in(folder: &Path) -> Vec<String> {
    let needle = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let here = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        if here || line.contains(needle) {
            found.push(line);
        }
    }
    found
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn ctrl_c_and_kill_at_three_moments_do_not_change_the_tarball() {
    survives_ctrl_c_and_kill(&MOMENTS, Driver::usual().environment);
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_ctrl_c_and_kill_at_four_more_moments_do_not_change_the_tarball() {
    // Without a ccache: late moments of compiling are only met where it takes its time.
    survives_ctrl_c_and_kill(&OTHER_MOMENTS, Vec::new());
}

fn survives_ctrl_c_and_kill(moments: &[Moment], environment: Vec<(String, String)>) {
    let _one = exclusive();
    let undisturbed = released("aarch64")["sha256"].clone();
    let home = scratch();
    // Runs that begin with nothing have a cache of their own. The others have the user's, by whose path a ccache knows
    // the sysroot; that the path does not matter for what is really compiled, `reproduce` shows.
    let warm = Driver { environment, ..Driver::warm(home.path()) };
    let cache = home.path().join("cache");
    let bare = Driver { cache: Some(cache.clone()), ..warm.clone() };
    let build = ["build", "--target", "aarch64"];
    for &(moment, after, begins_with_nothing) in moments {
        let driver = if begins_with_nothing { &bare } else { &warm };
        for signal in ["INT", "KILL"] {
            if begins_with_nothing {
                [&cache, &driver.trees].into_iter().for_each(|folder| remove_when_quiet(folder));
            }
            let mut run = driver.start(&build);
            run.wait_for(moment);
            sleep(after);
            run.signal(signal);
            let expected = if signal == "INT" { Some(130) } else { None };
            assert_eq!(run.end(), expected, "{signal} at {moment}");
            if signal == "INT" {
                assert_eq!(processes_in(home.path()), Vec::<String>::new(), "left running at {moment}");
                let left: Vec<_> = files(home.path()).into_iter().filter(|path| is_partial(path)).collect();
                assert_eq!(left, Vec::<PathBuf>::new(), "left behind at {moment}");
            }
            assert_eq!(files(&driver.out), Vec::<PathBuf>::new(), "{signal} at {moment}");
        }
    }
    // What was killed while it filled the cache, the next run begins anew.
    if cache.exists() {
        let mut run = bare.start(&build);
        run.wait_for("compile qemu-aarch64");
        run.signal("INT");
        assert_eq!(run.end(), Some(130), "after kills");
    }
    let json = warm.succeed(&["build", "--json", "--target", "aarch64"]);
    let built: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        built["tarballs"][0]["sha256"], undisturbed,
        "other folders, many interruptions: the same bytes"
    );
    let left: Vec<_> = files(home.path()).into_iter().filter(|path| is_partial(path)).collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "what killed runs left is swept");
}

/// Removes a folder in which children of a killed run may still write for a moment.
fn remove_when_quiet(folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while folder.exists() {
        let removed = fs::remove_dir_all(folder);
        assert!(removed.is_ok() || Instant::now() < deadline, "{removed:?}");
        sleep(Duration::from_millis(50));
    }
}

/// A file on its way, or in a folder on its way, by the names that the driver uses.
fn is_partial(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().starts_with(".partial-"))
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn two_runs_at_the_same_time_do_not_harm_each_other() {
    let _one = exclusive();
    LazyLock::force(&RELEASE);
    let home = scratch();
    let mut driver = Driver::warm(home.path());
    let log = home.path().join("ccache.log");
    driver.environment.push(("CCACHE_STATSLOG".to_owned(), log.display().to_string()));
    let build = ["build", "--json", "--target", "arm"];
    let first = driver.start(&build);
    let second = driver.start(&build);
    let (first, second) = (first.finish(), second.finish());
    assert_eq!((first.0, second.0), (Some(0), Some(0)), "{}\n{}", first.1, second.1);
    let said = first.1 + &second.1;
    assert!(said.contains("waiting for another run"));
    assert_eq!(
        said.matches("amd64    verify and pack 1 emulator: done").count(),
        1,
        "the work is done once:\n{said}"
    );
    let packed =
        files(&driver.out).into_iter().find(|path| path.to_str().unwrap().ends_with(".tar.xz")).unwrap();
    let hash = anyarch_client::hash::sha256_file(&driver.out.join(packed)).unwrap();
    assert_eq!(released("arm")["sha256"], hash, "built in another folder, by another run");
    trees_share_what_was_compiled(&log);
}

/// With a ccache, a tree in another folder finds what the usual one compiled: the driver tells it which part of the
/// names they do not share.
fn trees_share_what_was_compiled(log: &Path) {
    if !log.exists() {
        return wants::partly_not_run("what trees share is in a ccache: apt-get install ccache");
    }
    let log = fs::read_to_string(log).unwrap();
    let count = |word: &str| log.lines().filter(|line| *line == word).count();
    let (found, missed) = (count("direct_cache_hit") + count("preprocessed_cache_hit"), count("cache_miss"));
    println!("{found} found, {missed} missed");
    assert!(found > 250 && missed * 20 < found, "{found} found, {missed} missed");
}

/// What stands on a terminal while it is compiled: a bar, steps done of all, the rate, the time left.
fn is_live(text: &str) -> bool {
    let text =
        text.split('\x1b').filter_map(|part| part.split_once("compile qemu-arm")).map(|(_, rest)| rest);
    let counted = |rest: &str| -> Option<(u64, u64)> {
        let (steps, rest) = rest.split_once("] ")?.1.split_once("/s, ")?;
        let (steps, rate) = steps.split_once(' ')?;
        let (done, all) = steps.split_once('/')?;
        let is_told = rate.parse::<f64>().is_ok() && rest.contains("s left");
        is_told.then_some(())?;
        Some((done.parse().ok()?, all.parse().ok()?))
    };
    text.filter_map(counted).any(|(done, all)| done > 0 && done <= all)
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_terminal_shows_how_far_compiling_is_how_fast_it_goes_and_what_time_is_left() {
    let _one = exclusive();
    LazyLock::force(&RELEASE);
    let home = scratch();
    let driver = Driver { out: home.path().join("out"), ..Driver::usual() };
    // Some work in a tree that is compiled already: one target's objects, and its emulator.
    let hosts = Host::all(&driver.root.join("toolchains")).unwrap();
    let own = format!("/{}-release-", Host::named("native", &hosts).unwrap().file_name());
    let trees = files(&driver.trees.join("10.2"));
    let ours = |path: &&PathBuf| {
        let path = path.to_string_lossy();
        let is_object = path.contains("/libqemu-arm-linux-user.a.p/linux-user_arm") && path.ends_with(".o");
        let is_linked = path.ends_with("/qemu-arm") && !path.contains("/stripped/");
        path.contains(&own) && (is_object || is_linked)
    };
    let gone: Vec<&PathBuf> = trees.iter().filter(ours).collect();
    assert!(gone.len() > 2, "{gone:?}");
    gone.iter().for_each(|path| fs::remove_file(driver.trees.join("10.2").join(path)).unwrap());
    let words: Vec<String> = driver.arguments(&["build", "--target", "arm"]);
    let line = format!("stty cols 120 rows 30; exec {} {}", env!("CARGO_BIN_EXE_xtask"), words.join(" "));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    script.env_remove("NO_COLOR").envs(driver.environment.iter().cloned());
    let ended = Ended::of(&mut script);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(is_live(&ended.stdout), "{:?}", ended.stdout);
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn an_output_folder_that_is_full_or_read_only_is_told_and_left_clean() {
    let _one = exclusive();
    LazyLock::force(&RELEASE);
    let home = scratch();
    let mut driver = Driver::usual();
    driver.out = home.path().join("out");
    fs::create_dir(&driver.out).unwrap();
    // That there is no room is seen when it is taken; the rest, before anything is done.
    let cases: [(&str, &[&str]); 2] = [
        ("size=300k", &["No space left on device", "free some space"]),
        ("ro", &["Read-only file system", "pass --out DIR"]),
    ];
    for (options, said) in cases {
        let setup = format!("mount -t tmpfs -o {options} tmpfs '{}'", driver.out.display());
        let look = format!(
            "{setup}\n\"$@\" || {{ code=$?; find '{}' -type f; exit $code; }}; exit",
            driver.out.display()
        );
        let ended = Ended::of(&mut driver.unshared(&["--mount"], &look, &["build", "--target", "aarch64"]));
        ended.failed(1, &[&["cannot write the tarball"], said].concat());
        assert_eq!(ended.stdout, "", "left in the output folder");
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_proof_that_could_not_be_run_is_told_and_made_up_for() {
    let _one = exclusive();
    LazyLock::force(&RELEASE);
    let mut driver = Driver::usual();
    let home = scratch();
    driver.out = home.path().join("out");
    // A cache that has all but the guests, as on a machine that was cut off after its first build.
    let cache = home.path().join("cache");
    let usual = xtask::workspace::Workspace::locate(Some(&driver.root), None, None).unwrap().cache;
    // Links where they can be made: files of a cache are replaced, never written to.
    let copy = "cp -al \"$1\" \"$2\" 2>/dev/null || { rm -rf \"$2\"; cp -a \"$1\" \"$2\"; }";
    run("sh", &["-ec", copy, "sh", usual.to_str().unwrap(), cache.to_str().unwrap()]);
    fs::remove_dir_all(cache.join("guests")).unwrap();
    driver.cache = Some(cache);
    // Its Python environment holds the path of the first cache and works from there.
    let offline = driver.run(&["build", "--target", "arm", "--offline"]);
    assert_eq!(offline.code, Some(0), "{}", offline.stderr);
    assert!(offline.stdout.contains("guest not run"), "{}", offline.stdout);
    assert!(
        offline.stderr.contains("not run: guest of qemu-arm for amd64: busybox-static"),
        "{}",
        offline.stderr
    );
    let online = driver.succeed(&["build", "--target", "arm"]);
    assert!(online.contains("elf, version, start, guest\n") && online.contains("1 made"), "{online}");
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn checksums_vouch_only_for_what_this_checkout_makes() {
    let _one = exclusive();
    let folder = tarball("arm").parent().unwrap().to_owned();
    let stranger = folder.join("qemu-stranger-10.2.2-1-linux-amd64.tar.xz");
    fs::write(&stranger, "from elsewhere").unwrap();
    let ended = Driver::usual().run(&["build", "--target", "arm"]);
    fs::remove_file(stranger).unwrap();
    assert!(
        ended.stderr.contains("not in SHA256SUMS") && ended.stderr.contains("qemu-stranger"),
        "{}",
        ended.stderr
    );
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    assert!(!sums.contains("stranger") && sums.lines().count() >= WITH_GUESTS.split(',').count(), "{sums}");
}
