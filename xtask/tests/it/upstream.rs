//! Our emulators against upstream's: alike where they shall be, and caught where they are not.

mod ltp;

use crate::driver::{Data, Driver, exclusive, run, scratch, wants};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The outcome of one check in what `verify --json` says of a target.
fn outcome<'a>(reports: &'a [Value], target: &str, check: &str) -> &'a Value {
    let of_target = reports.iter().find(|row| row["target"] == target).unwrap();
    let checks = of_target["report"]["checks"].as_array().unwrap();
    checks.iter().find(|one| one["name"] == check).unwrap()
}

/// The whole contract of s390x, which is big-endian, and what only the emulator of upstream's source can be the measure of.
#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn the_contract_holds_and_with_the_option_off_an_emulator_makes_the_system_calls_of_upstreams() {
    let packages = "gcc-s390x-linux-gnu libc6-dev-s390x-cross strace";
    if let Some(why) = wants::lacks(&["s390x-linux-gnu-gcc", "strace"], packages) {
        return wants::not_run(&why);
    }
    let json = Driver::usual().succeed(&["verify", "--json", "--upstream", "--target", "s390x"]);
    let reports: Vec<Value> = serde_json::from_str(&json).unwrap();
    let contract = outcome(&reports, "s390x", "contract");
    let said = contract["passed"].as_str().unwrap_or_else(|| panic!("{contract}"));
    assert!(!said.contains("off makes the same system calls"), "not compared: {said}");
    for part in ["cases statically linked", "cases dynamically linked", "checks of contract.sh"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_qemus_own_tests_pass_as_often_as_upstreams_off_and_on() {
    let _one = exclusive();
    let targets = ["aarch64", "s390x"];
    let json = Driver::usual().succeed(&["verify", "--json", "--tcg", "--target", &targets.join(",")]);
    let reports: Vec<Value> = serde_json::from_str(&json).unwrap();
    for target in targets {
        let tcg = outcome(&reports, target, "tcg");
        println!("{target}: {tcg}");
        assert!(tcg["passed"].is_string(), "{target}: {tcg}");
        let of_target = reports.iter().find(|row| row["target"] == target).unwrap();
        let rows = of_target["report"]["tcg"]["rows"].as_array().unwrap();
        let ran: Vec<&Value> = rows.iter().filter(|row| row["not-run"].is_null()).collect();
        assert!(ran.len() > 40, "{target}: only {} ran", ran.len());
        for lane in ["upstream", "off", "on"] {
            let passed = |row: &&&Value| {
                row[lane]["runs"].as_u64() >= Some(1) && row[lane]["passed"].as_u64() >= Some(1)
            };
            let passed = ran.iter().filter(passed).count();
            assert!(passed > 40, "{target}, {lane}: only {passed} passed");
        }
        for known in ["run-linux-test", "run-signals", "run-threadcount"] {
            assert!(ran.iter().any(|row| row["test"] == known), "{target}: {known} did not run");
        }
    }
}

/// A checkout whose series ends with a patch that changes what the option, being off, must not change.
struct Spoiled {
    driver: Driver,
    _home: tempfile::TempDir,
    trees: PathBuf,
    before: BTreeSet<String>,
}

impl Spoiled {
    /// The emulators make one more system call, and `madvise` fails in them.
    fn make() -> Self {
        let home = scratch();
        let mut driver = Driver::usual();
        let source: Value = serde_json::from_str(&driver.succeed(&["source", "--json"])).unwrap();
        let source = Path::new(source["tree"].as_str().unwrap());
        let data = Data::copy(&home.path().join("root"));
        let edits = [
            (
                "linux-user/main.c",
                "    error_init(argv[0]);\n",
                "    error_init(argv[0]);\n    (void)getppid();\n",
            ),
            (
                "linux-user/mmap.c",
                "    if (len_in == 0) {\n",
                "    if (len_in != 0) {\n        return -TARGET_EINVAL;\n    }\n    if (len_in == 0) {\n",
            ),
        ];
        let patch: String =
            edits.iter().map(|(file, old, new)| edit(source, home.path(), file, old, new)).collect();
        fs::write(data.root.join("patches/10.2/fast/9999-spoil.patch"), patch).unwrap();
        let trees = driver.trees.join("10.2");
        driver.root = data.root;
        Self { driver, _home: home, before: names(&trees), trees }
    }
}

impl Drop for Spoiled {
    /// The trees of the spoiled source are of no use to others.
    fn drop(&mut self) {
        for name in names(&self.trees).difference(&self.before) {
            if !name.contains("upstream") {
                let path = self.trees.join(name);
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let listed = fs::read_dir(folder).into_iter().flatten().flatten();
    listed.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// A patch that replaces `old` in the function that has it first, made by `diff`.
fn edit(source: &Path, home: &Path, file: &str, old: &str, new: &str) -> String {
    let text = fs::read_to_string(source.join(file)).unwrap();
    let start = if file.ends_with("mmap.c") { text.find("abi_long target_madvise(").unwrap() } else { 0 };
    let (head, tail) = text.split_at(start);
    assert!(tail.contains(old), "{file} has no `{old}`");
    for (side, text) in [("a", text.clone()), ("b", head.to_owned() + &tail.replacen(old, new, 1))] {
        let path = home.join(side).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let script = "cd \"$1\"; diff -u \"a/$2\" \"b/$2\" || test $? = 1";
    run("sh", &["-ec", script, "sh", home.to_str().unwrap(), file])
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_what_differs_from_upstream_is_caught_by_system_calls_and_by_qemus_tests() {
    let _one = exclusive();
    let spoiled = Spoiled::make();
    let verify = |option: &str| spoiled.driver.run(&["verify", option, "--target", "aarch64"]);
    verify("--upstream").failed(1, &["off makes the same system calls as upstream", "getppid"]);
    let tests = verify("--tcg");
    tests.failed(1, &["of tests/tcg pass less often than in upstream's qemu-aarch64", "run-linux-madvise"]);
    let line = tests.stderr.lines().find(|line| line.contains("run-linux-madvise")).unwrap();
    let tallies: Vec<&str> = line.split_whitespace().skip(1).collect();
    assert_eq!(tallies, ["5/5", "0/5", "0/5"], "upstream's, ours off and on");
}
