//! A series to come: made by one command, of a source and the patches of another series.

use crate::driver::{Data, Driver, Ended, checkout, run, scratch, small_data};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use xtask::facts::Series;

/// A small upstream with two versions, and a checkout whose patches fit the first.
struct Small {
    home: TempDir,
    driver: Driver,
    upstream: PathBuf,
    /// The second version's commit.
    commit: String,
}

/// A file of thirty lines, in which changes far from each other do not meet.
fn main_file() -> String {
    let named = [(1, "one"), (11, "three"), (12, "four"), (20, "seven"), (30, "eight")];
    let name =
        |n| named.iter().find(|(at, _)| *at == n).map_or(format!("x{n}"), |(_, name)| (*name).to_owned());
    (1..=30).map(|n| format!("int {};\n", name(n))).collect()
}

impl Small {
    fn new() -> Self {
        let home = scratch();
        let (data, _) = small_data(home.path());
        fs::remove_file(data.root.join("patches/10.2/fixes/0001-two.patch")).unwrap();
        let upstream = home.path().join("upstream");
        let old = first_version(&upstream, &data);
        data.pin(data.series.pins.git.commit.as_ref().unwrap(), &old);
        let patches = data.root.join("patches");
        write_patches(&upstream, &patches);
        let commit = second_version(&upstream);
        let mut driver = Driver::fresh(home.path());
        driver.root = data.root;
        Self { home, driver, upstream, commit }
    }

    fn words<'a>(&'a self, name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let source = self.upstream.to_str().unwrap();
        [&["series", "new", name, "--offline", "--from", "10.2", "--source", source][..], more].concat()
    }

    fn patches(&self) -> PathBuf {
        self.driver.root.join("patches")
    }

    /// Every file below `patches/`, and whatever lies beside it.
    fn state(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let below =
            |path: &PathBuf| path.starts_with(self.patches()) || path.parent() == Some(&self.driver.root);
        let files = crate::driver::files(&self.driver.root).into_iter().filter(below);
        files.map(|path| (path.clone(), fs::read(&path).unwrap_or_default())).collect()
    }
}

fn git(folder: &Path, words: &[&str]) -> String {
    let mut all = vec!["-C", folder.to_str().unwrap(), "-c", "user.name=x", "-c", "user.email=x@localhost"];
    all.extend(words);
    run("git", &all)
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

/// A commit that writes a file.
fn commit(folder: &Path, file: &str, text: &str, subject: &str) {
    write(folder, file, text);
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "-m", subject]);
}

fn first_version(upstream: &Path, data: &Data) -> String {
    for target in &data.series.pins.build.targets {
        write(upstream, &format!("configs/targets/{target}-linux-user.mak"), "x\n");
    }
    for processor in ["aarch64", "arm"] {
        write(upstream, &format!("tcg/{processor}/tcg-target.c.inc"), &format!("x of {processor}\n"));
    }
    write(upstream, "linux-user/main.c", &main_file());
    run("git", &["init", "--quiet", upstream.to_str().unwrap()]);
    commit(upstream, "VERSION", "10.2.2\n", "10.2.2");
    git(upstream, &["tag", "v10.2.2"]);
    git(upstream, &["rev-parse", "HEAD"]).trim().to_owned()
}

/// What each patch is about: its place, the file, and what it changes there.
const PATCHES: [(&str, &str, &str, &str); 6] = [
    ("common/execve/0001-add-ours.patch", "ours.c", "", "int ours;\n"),
    ("10.2/execve/0001-merge.patch", "linux-user/main.c", "eight", "8"),
    ("10.2/fixes/0001-mended.patch", "linux-user/main.c", "one", "1"),
    ("10.2/fixes/0002-conflict.patch", "linux-user/main.c", "three", "3"),
    ("10.2/fixes/0003-same-place.patch", "linux-user/main.c", "3;\nint four", "3;\nint 4"),
    ("10.2/fast/0001-gone.patch", "tcg/arm/tcg-target.c.inc", "arm", "ARM"),
];

fn write_patches(upstream: &Path, patches: &Path) {
    git(upstream, &["checkout", "--quiet", "-b", "ours"]);
    for (place, file, old, new) in PATCHES {
        let text = fs::read_to_string(upstream.join(file)).unwrap_or_default().replacen(old, new, 1);
        commit(upstream, file, &text, place);
        let mail = git(upstream, &["format-patch", "--no-signature", "--full-index", "-1", "--stdout"]);
        write(patches, place, &mail);
    }
    git(upstream, &["checkout", "--quiet", "-"]);
}

/// It has mended `one`, changed `three`, moved `eight`; a target, a processor and a Python package came or went.
fn second_version(upstream: &Path) -> String {
    fs::remove_file(upstream.join("configs/targets/sh4eb-linux-user.mak")).unwrap();
    fs::remove_file(upstream.join("tcg/arm/tcg-target.c.inc")).unwrap();
    write(upstream, "configs/targets/neo-linux-user.mak", "x\n");
    write(upstream, "tcg/neo/tcg-target.c.inc", "another\n");
    write(upstream, "pythondeps.toml", "[tooling]\nnewly = { accepted = \">=2\" }\n");
    let text = main_file()
        .replace("one", "1")
        .replace("three", "drei")
        .replace("int seven;\n", "int sieben;\nint new;\n");
    write(upstream, "linux-user/main.c", &text);
    commit(upstream, "VERSION", "10.3.0\n", "10.3.0");
    let commit = git(upstream, &["rev-parse", "HEAD"]).trim().to_owned();
    git(upstream, &["tag", "-m", "annotated", "v10.3.0"]);
    commit
}

#[test]
fn a_series_is_made_of_what_fits_and_the_rest_is_told() {
    let small = Small::new();
    let before = small.state();
    let words = small.words("10.3", &["--json"]);
    let dry: Value =
        serde_json::from_str(&small.driver.succeed(&[&words[..], &["--dry-run"]].concat())).unwrap();
    assert_eq!(small.state(), before, "--dry-run writes nothing");
    let report: Value = serde_json::from_str(&small.driver.succeed(&words)).unwrap();
    assert_eq!(dry, report);

    let outcomes: Vec<&str> =
        report["patches"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["fits", "fits", "upstream", "left_out", "left_out", "left_out"], "{report}");
    let files = |n: usize| report["patches"][n]["files"].clone();
    assert_eq!(files(3), serde_json::json!(["linux-user/main.c"]));
    assert_eq!(files(5), serde_json::json!(["tcg/arm/tcg-target.c.inc"]));
    let after = |n: usize| report["patches"][n]["after"].as_array().unwrap().len();
    assert_eq!((after(3), after(4), after(5)), (0, 1, 0), "{report}");
    assert_eq!(report["version"], "10.3.0");
    assert_eq!(report["commit"], small.commit.as_str());
    assert_eq!(report["targets_new"], serde_json::json!(["neo"]));
    assert_eq!(report["targets_gone"], serde_json::json!(["sh4eb"]));
    let by_hand = report["by_hand"].to_string();
    let told = [
        "3 of the patches above are left out",
        "target neo is new",
        "left_out, with a reason to be checked: sh4eb",
        "no arm any more",
        "has neo now",
        "newly >=2",
        "tarball.sha256",
        "[debian]",
    ];
    assert!(told.iter().all(|said| by_hand.contains(said)), "{by_hand}");

    let series = Series::read(&small.patches(), "10.3").unwrap();
    let names: Vec<&str> = series.patches.iter().map(|patch| patch.name.as_str()).collect();
    assert_eq!(
        names,
        ["common/execve/0001-add-ours.patch", "10.3/execve/0001-10.2-execve-0001-merge.patch.patch"]
    );
    assert_eq!(series.pins.git.commit.as_ref(), Some(&small.commit));
    assert!(series.pins.debian.is_none() && series.pins.tarball.sha256.is_none());
    assert_eq!(series.pins.left_out["sh4eb"], "QEMU has it up to 10.2");
    let old = Series::pins(&small.patches(), "10.2").unwrap().build.targets;
    let left: Vec<String> = old.into_iter().filter(|name| name != "sh4eb").collect();
    assert_eq!(series.pins.build.targets, left);
    let mut now = small.state();
    now.retain(|path, _| !path.starts_with(small.patches().join("10.3")));
    assert_eq!(now, before, "nothing else is changed, and nothing half-made is left");
    // The source is in the cache from then on.
    small.driver.succeed(&["patch", "check", "--qemu", "10.3", "--offline"]);
    small.driver.run(&words).failed(2, &["the series 10.3 is there", "patches/10.3", "point release"]);
}

#[test]
fn the_text_for_people_says_the_same_and_the_repository_can_be_kept() {
    let small = Small::new();
    let work = small.home.path().join("work");
    let said = small.driver.succeed(&small.words("10.3", &["--work", work.to_str().unwrap()]));
    for line in [
        "fits      common/execve/0001-add-ours.patch",
        "upstream  10.2/fixes/0001-mended.patch",
        "left out  10.2/fixes/0002-conflict.patch: does not fit in linux-user/main.c\n",
        "left out  10.2/fixes/0003-same-place.patch: does not fit in linux-user/main.c (as do 1 of those",
        "2 of 6 patches fit QEMU 10.3.0 (v10.3.0): patches/10.3\n\nto do by hand:\n  * 3 of the patches",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    // There the left-out one is picked, its conflict resolved, and written back.
    let picked = git(&work, &["log", "--format=%h", "--grep=0002-conflict", "from"]);
    let pick = ["cherry-pick", "-Xtheirs", picked.trim()];
    git(&work, &pick);
    let names = small.driver.succeed(&["patch", "refresh", work.to_str().unwrap(), "--qemu", "10.3"]);
    assert!(names.lines().count() == 3 && names.contains("10.3/fixes/0001-"), "{names}");
}

#[test]
fn without_the_old_source_patches_are_tried_as_they_are() {
    let small = Small::new();
    let alone = small.home.path().join("alone");
    let paths = [small.upstream.to_str().unwrap(), alone.to_str().unwrap()];
    run(
        "git",
        &["clone", "--quiet", "--depth=1", "--branch=v10.3.0", &format!("file://{}", paths[0]), paths[1]],
    );
    let words = [
        "series",
        "new",
        "10.3",
        "--offline",
        "--from",
        "10.2",
        "--source",
        paths[1],
        "--commit",
        &small.commit,
    ];
    let Ended { stdout, stderr, .. } = small.driver.run(&words);
    assert!(stderr.contains("tried without a merge"), "{stderr}");
    for line in [
        "left out  10.2/fixes/0002-conflict.patch: does not fit in linux-user/main.c",
        "the source of 10.2 was not there",
    ] {
        assert!(stdout.contains(line), "{line}\n{stdout}{stderr}");
    }
}

#[test]
fn a_tarball_is_pinned_by_its_hash_and_its_time() {
    let small = Small::new();
    let archive = small.home.path().join("qemu-10.3.0.tar");
    let path = archive.to_str().unwrap();
    git(&small.upstream, &["archive", "--prefix=qemu-10.3.0/", "--mtime=@1700000000", "-o", path, "v10.3.0"]);
    run("xz", &[path]);
    let path = format!("{path}.xz");
    let words = ["series", "new", "10.3", "--offline", "--from", "10.2", "--source", &path];
    let said = small.driver.succeed(&words);
    assert!(
        said.contains("git.commit: the commit of v10.3.0") && said.contains("that of the file given"),
        "{said}"
    );
    let pins = Series::pins(&small.patches(), "10.3").unwrap();
    let sha256 = anyarch_client::hash::sha256_file(Path::new(&path)).unwrap();
    assert_eq!(pins.tarball.sha256, Some(sha256));
    assert!(pins.git.commit.is_none() && pins.tarball.url.ends_with("/qemu-10.3.0.tar.xz"));
    assert_eq!(pins.epoch, 1_700_000_000);
}

#[test]
fn what_cannot_be_is_said_before_anything_is_written() {
    let small = Small::new();
    let before = small.state();
    let none = "0".repeat(40);
    let folder = small.home.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let cases: [(&str, &[&str], &[&str], i32); 6] = [
        ("10", &[], &["`10` is no name of a series"], 2),
        ("10.3", &["--commit", "e1705a25"], &["`e1705a25` is no commit: 40 hex digits"], 2),
        ("10.3", &["--commit", &none], &["does not give the commit 0000"], 1),
        ("10.3", &["--tag", "v10.3.1"], &["has no tag v10.3.1: pass another --tag, or --commit"], 2),
        ("10.4", &[], &["has no tag of a release of 10.4: pass --tag or --commit"], 2),
        ("10.4", &["--tag", "v10.3.0"], &["says that it is QEMU 10.3.0, which is not of the series 10.4"], 1),
    ];
    for (name, more, said, code) in cases {
        small.driver.run(&small.words(name, more)).failed(code, said);
    }
    let other = |from: &str, source: &str, said: &[&str]| {
        small.driver.run(&["series", "new", "10.3", "--from", from, "--source", source]).failed(2, said);
    };
    let upstream = small.upstream.to_str().unwrap();
    other("10.9", upstream, &["there is no series `10.9`"]);
    other("prepared/10.9", upstream, &["there is no prepared series `10.9`", "11.1"]);
    other("10.2", folder.to_str().unwrap(), &["no tarball and no git repository"]);
    assert_eq!(small.state(), before);
}

/// In whatever it is at that moment.
#[test]
fn a_kill_leaves_nothing_in_patches_and_the_next_run_makes_the_series() {
    let small = Small::new();
    let before = small.state();
    let words = small.words("10.3", &[]);
    let mut killed = 0;
    for wait in [30, 100, 200, 300, 400, 600, 800] {
        let mut running = small.driver.start(&words);
        thread::sleep(Duration::from_millis(wait));
        running.signal_if_running("KILL");
        let _ = running.end();
        let is_there = small.patches().join("10.3").exists();
        if is_there {
            break;
        }
        killed += 1;
        let mut now = small.state();
        now.retain(|path, _| path.starts_with(small.patches()));
        assert!(now.keys().all(|path| before.contains_key(path)), "after {wait} ms: {:?}", now.keys());
    }
    assert!(killed > 0);
    if !small.patches().join("10.3").exists() {
        small.driver.succeed(&words);
    }
    assert_eq!(Series::read(&small.patches(), "10.3").unwrap().patches.len(), 2);
}

/// The series that a prepared one was made from, the patches that it needs no more, and those of its own.
const PREPARED_OF: &str = "11.0";
const NOT_NEEDED: [&str; 3] = [
    // It has no MIPS hosts.
    "tcg-mips-Fix-operand-order-of-shifts-by-a-register",
    "tcg-mips-Keep-the-address-during-an-unaligned-load",
    // A part is upstream's.
    "linux-user-add-preadv2-pwritev2-process_vm_readv-and",
];
const OF_ITS_OWN: [&str; 2] = [
    "linux-user-add-process_vm_readv-process_vm_writev-an",
    "linux-user-clone-from-a-guest-s-only-thread-whatever",
];

#[test]
fn what_is_prepared_is_whole_and_no_command_offers_it() {
    let patches = checkout().join("patches");
    for name in Series::names(&patches).unwrap() {
        let version = Series::pins(&patches, &name).unwrap().version;
        assert!(version.starts_with(&format!("{name}.")), "{name} is a candidate, {version}, and offered");
    }
    let slugs = |series: &Series| -> Vec<String> {
        let own = series.patches.iter().filter(|patch| !patch.name.starts_with("common/"));
        let file = |path: &Path| path.file_stem().unwrap().to_str().unwrap()[5..].to_owned();
        own.map(|patch| format!("{}/{}", patch.topic, file(&patch.path))).collect()
    };
    let named = |list: &[&str]| -> Vec<String> { list.iter().map(|name| format!("fixes/{name}")).collect() };
    let prepared = Series::read_model(&patches, "prepared/11.1").unwrap();
    let (old, mut new) = (slugs(&Series::read(&patches, PREPARED_OF).unwrap()), slugs(&prepared));
    let mut expected: Vec<String> =
        old.into_iter().filter(|name| !named(&NOT_NEEDED).contains(name)).chain(named(&OF_ITS_OWN)).collect();
    expected.sort();
    new.sort();
    assert_eq!(new, expected, "carry to patches/prepared what {PREPARED_OF} has: docs/adding-a-series.md");

    let home = scratch();
    let driver = Driver::fresh(home.path());
    for name in ["11.1", "prepared/11.1", "prepared"] {
        let ended = driver.run(&["plan", "--qemu", name]);
        ended.failed(2, &[&format!("there is no series `{name}`")]);
        let listed = ended.stderr.split("all of them:").nth(1).unwrap();
        assert!(!listed.contains("prepared") && !listed.contains("11.1"), "{}", ended.stderr);
    }
}
