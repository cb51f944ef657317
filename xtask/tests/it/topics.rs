//! Patches by topic: opened, written back and checked, each topic on its own.

use crate::driver::{Data, Driver, checkout, exclusive, json, run, scratch, small_data, wants};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use xtask::facts::Series;

/// A small source with no patches, opened.
struct Opened {
    home: TempDir,
    driver: Driver,
    source: PathBuf,
    work: PathBuf,
}

impl Opened {
    fn new() -> Self {
        let home = scratch();
        let (data, source) = small_data(home.path());
        fs::remove_file(data.root.join("patches/10.2/fixes/0001-two.patch")).unwrap();
        let mut driver = Driver::fresh(home.path());
        driver.root = data.root;
        let work = home.path().join("work");
        let opened = Self { home, driver, source, work };
        opened.open("work", &[]);
        opened
    }

    fn open(&self, folder: &str, topics: &[&str]) -> PathBuf {
        let folder = self.home.path().join(folder);
        let mut words =
            vec!["patch", "open", folder.to_str().unwrap(), "--source", self.source.to_str().unwrap()];
        words.extend(topics.iter().flat_map(|topic| ["--topic", topic]));
        self.driver.succeed(&words);
        folder
    }

    /// A commit that writes a file; `more` ends its message.
    fn commit(&self, work: &Path, file: &str, text: &str, subject: &str, more: &str) {
        fs::write(work.join(file), text).unwrap();
        git(work, &["add", "--all"]);
        git(work, &["commit", "--quiet", "-m", subject, "-m", more]);
    }

    /// A commit in each place: common and own of the first topic, own of the others.
    fn commit_all(&self) {
        self.commit(&self.work, "ours.c", "int ours;\n", "add ours", "Topic: execve");
        self.commit(&self.work, "linux-user/main.c", "int 1;\nint two;\nint three;\n", "call ours", "Why.");
        self.commit(&self.work, "VERSION", "10.2.2\n\n", "mend a fault", "Fixes: 1234 (\"x\")\nTopic: fixes");
        self.commit(&self.work, "linux-user/main.c", "int 11;\nint two;\nint three;\n", "run", "Topic: fast");
    }

    fn refresh(&self, work: &Path) -> String {
        self.driver.succeed(&["patch", "refresh", work.to_str().unwrap()])
    }

    fn patch(&self, name: &str) -> PathBuf {
        self.driver.root.join("patches").join(name)
    }
}

fn git(work: &Path, words: &[&str]) -> String {
    let mut all = vec!["-C", work.to_str().unwrap(), "-c", "user.name=x", "-c", "user.email=x@localhost"];
    all.extend(words);
    run("git", &all)
}

/// What [`Opened::commit_all`] becomes.
const ALL: [&str; 4] = [
    "common/execve/0001-add-ours.patch",
    "10.2/execve/0001-call-ours.patch",
    "10.2/fixes/0001-mend-a-fault.patch",
    "10.2/fast/0001-run.patch",
];

#[test]
fn commits_become_patches_in_the_folders_of_their_topics_and_commits_again() {
    let opened = Opened::new();
    opened.commit_all();
    assert_eq!(opened.refresh(&opened.work).lines().collect::<Vec<_>>(), ALL);
    let texts = ALL.map(|name| fs::read_to_string(opened.patch(name)).unwrap());
    assert!(texts.iter().all(|text| !text.contains("Topic:")), "{texts:?}");
    assert!(texts[2].contains("\n\nFixes: 1234 (\"x\")\n---\n"), "{}", texts[2]);

    let again = opened.open("again", &[]);
    let topics = git(&again, &["log", "--reverse", "--format=%(trailers:key=Topic,valueonly)"]);
    assert_eq!(topics.split_whitespace().collect::<Vec<_>>(), ["execve", "execve", "fixes", "fast"]);
    opened.refresh(&again);
    assert_eq!(ALL.map(|name| fs::read_to_string(opened.patch(name)).unwrap()), texts);

    // A topic without commits has no folder.
    git(&again, &["reset", "--quiet", "--hard", "HEAD~"]);
    assert_eq!(opened.refresh(&again).lines().collect::<Vec<_>>(), ALL[..3]);
    assert!(!opened.patch("10.2/fast").exists());
}

#[test]
fn a_topic_is_opened_and_written_back_without_the_others() {
    let opened = Opened::new();
    opened.commit_all();
    opened.refresh(&opened.work);
    let fixes = opened.open("fixes", &["fixes"]);
    assert!(!fixes.join("ours.c").exists());
    // The only topic need not be said.
    opened.commit(&fixes, "more.c", "int more;\n", "mend more", "Why.");
    let names = opened.refresh(&fixes);
    assert_eq!(names, "10.2/fixes/0001-mend-a-fault.patch\n10.2/fixes/0002-mend-more.patch\n");
    assert!(ALL.iter().all(|name| opened.patch(name).exists()));
    opened.commit(&fixes, "fast.c", "int fast;\n", "be fast", "Topic: fast");
    let words = ["patch", "refresh", fixes.to_str().unwrap()];
    opened.driver.run(&words).failed(2, &["(\"be fast\") has the topic fast", "opened only for fixes"]);

    let both = opened.open("both", &["fast,execve"]);
    assert!(both.join("ours.c").exists() && fs::read_to_string(both.join("VERSION")).unwrap() == "10.2.2\n");
    let alone = opened.home.path().join("alone");
    let words = ["patch", "open", alone.to_str().unwrap(), "--topic", "fast"];
    opened.driver.run(&words).failed(2, &["fast requires execve: pass --topic execve,fast"]);
    let words = ["patch", "open", alone.to_str().unwrap(), "--topic", "fxes"];
    opened.driver.run(&words).failed(2, &["no topic `fxes`", "did you mean `fixes`?", "execve fast fixes"]);
}

#[test]
fn commits_whose_topic_cannot_be_told_change_no_patch() {
    let opened = Opened::new();
    let refused = |said: &[&str]| {
        opened.driver.run(&["patch", "refresh", opened.work.to_str().unwrap()]).failed(2, said);
        assert!(!opened.patch("10.2/fixes/0001-mend.patch").exists());
    };
    opened.commit(&opened.work, "VERSION", "10.2.2\n\n", "mend", "Why.");
    refused(&["(\"mend\") has no topic", "`Topic: NAME`", "git rebase -i anyarch-base-v10.2.2"]);
    git(&opened.work, &["commit", "--quiet", "--amend", "-m", "mend", "-m", "Topic: fixes"]);
    opened.commit(&opened.work, "ours.c", "int ours;\n", "add ours", "Topic: execve");
    refused(&["(\"add ours\") has the topic execve and comes after one of fixes", "execve fixes fast"]);
    git(&opened.work, &["commit", "--quiet", "--amend", "-m", "add ours", "-m", "Topic: speed"]);
    refused(&["no topic `speed`", "execve fast fixes"]);
}

#[test]
fn a_check_says_which_topics_apply_alone_and_refuses_one_that_stands_on_others() {
    let opened = Opened::new();
    opened.commit_all();
    opened.refresh(&opened.work);
    let words = ["patch", "check", "--source", opened.source.to_str().unwrap()];
    let said = opened.driver.succeed(&words);
    let expected = [
        "topic execve: 2 patches, applies alone",
        "topic fixes: 1 patch, applies alone",
        "topic fast: 1 patch, applies with execve alone",
    ];
    assert_eq!(said.lines().skip(ALL.len()).collect::<Vec<_>>(), expected);
    let report = json(&opened.driver, &[&words[..], &["--json"]].concat());
    assert_eq!(report["patches"].as_array().unwrap().len(), ALL.len());
    assert_eq!(report["topics"][1]["topic"], "fixes");
    assert_eq!(report["topics"][2]["after"][0], "execve");

    // A fix in a line that the first topic wrote.
    git(&opened.work, &["reset", "--quiet", "--hard", "HEAD~2"]);
    opened.commit(
        &opened.work,
        "linux-user/main.c",
        "int 111;\nint two;\nint three;\n",
        "mend",
        "Topic: fixes",
    );
    opened.refresh(&opened.work);
    let said =
        ["the topic fixes does not apply by itself", "0001-mend.patch does not apply", "--topic fixes"];
    opened.driver.run(&words).failed(1, &said);
}

#[test]
fn a_patch_in_no_topic_stops_every_command_that_would_pass_it_over() {
    let opened = Opened::new();
    fs::create_dir(opened.patch("10.2/speed")).unwrap();
    let words = ["patch", "check", "--source", opened.source.to_str().unwrap()];
    opened.driver.run(&words).failed(2, &["no topic `speed`", "execve fast fixes", "patches/10.2"]);
    fs::remove_dir(opened.patch("10.2/speed")).unwrap();
    fs::write(opened.patch("common/0001-x.patch"), "").unwrap();
    opened.driver.run(&words).failed(1, &["0001-x.patch is in no topic", "execve fixes fast"]);
}

#[test]
fn trying_every_commit_builds_one_target_of_the_series() {
    let opened = Opened::new();
    let words = ["patch", "check", "--source", opened.source.to_str().unwrap()];
    let each = |more: &[&str]| opened.driver.run(&[&words[..], more].concat());
    each(&["--each", "--target", "all"]).failed(2, &["--each builds one target"]);
    each(&["--each", "--target", "cris"]).failed(2, &["no target cris"]);
    each(&["--target", "arm"]).failed(2, &["--each"]);
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_every_commit_of_every_series_compiles_and_starts_guests() {
    let _one = exclusive();
    for series in wants::series_with_source() {
        let patches = Series::read(&checkout().join("patches"), &series).unwrap().patches;
        let report = json(&Driver::usual(), &["patch", "check", "--each", "--json", "--qemu", &series]);
        let tried = report["each"].as_array().unwrap();
        assert_eq!(tried.len(), patches.len() + 1, "{series}");
        for (one, patch) in tried[1..].iter().zip(&patches) {
            assert_eq!(one["patch"], patch.name.as_str());
        }
        assert_eq!(tried[0]["seen"], "runs a guest", "{series}");
        let with_children = tried.iter().filter(|one| one["seen"] == "runs a guest and its children");
        assert!(with_children.count() >= 2, "{series}: {tried:?}");
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_a_commit_that_does_not_compile_is_named_though_the_next_one_mends_it() {
    let _one = exclusive();
    let home = scratch();
    let data = Data::copy(&home.path().join("root"));
    let first = data.series.patches.iter().position(|patch| patch.name.starts_with("10.2/")).unwrap();
    let files = "--- a/linux-user/main.c\n+++ b/linux-user/main.c\n";
    let head = " /*\n  *  qemu user main\n  *\n";
    let broken = "#error broken here\n";
    for (name, hunk) in [
        ("0000-break.patch", format!("@@ -1,3 +1,4 @@\n+{broken}{head}")),
        ("0000-mend.patch", format!("@@ -1,4 +1,3 @@\n-{broken}{head}")),
    ] {
        fs::write(data.root.join("patches/10.2/execve").join(name), format!("{files}{hunk}")).unwrap();
    }
    let mut driver = Driver::usual();
    driver.root = data.root;
    let named = format!("10.2/execve/0000-break.patch is the first patch that fails, number {}", first + 1);
    let said = [named.as_str(), "#error broken here", "full log: "];
    let ended = driver.run(&["patch", "check", "--each"]);
    ended.failed(1, &said);
    // The common patches add files which the series' own have compiled.
    let tried = |seen: &str| ended.stdout.lines().filter(|line| line.contains(seen)).count();
    let seen = (tried(": compiles, runs a guest ("), tried(": compiles, the emulator is as before ("));
    assert_eq!(seen, (1, first), "{}", ended.stdout);
}

/// `SYS_name` comes from the C library, `__NR_name` from the kernel's headers, and an older C library with newer
/// headers has only the second: what is guarded by one and used by the other does not compile there.
#[test]
fn a_system_call_is_asked_for_and_used_by_the_same_macro() {
    let mut seen = 0;
    for name in Series::names(&checkout().join("patches")).unwrap() {
        let series = Series::read(&checkout().join("patches"), &name).unwrap();
        for patch in series.patches.iter().filter(|patch| !patch.name.contains("-tests-tcg-")) {
            let text = fs::read_to_string(&patch.path).unwrap();
            let added: Vec<&str> = text.lines().filter(|line| line.starts_with('+')).collect();
            let libc_only = added.iter().enumerate().filter(|(_, line)| line.contains("SYS_"));
            for (number, line) in libc_only.filter(|(_, line)| !line.contains("TARGET_SYS_")) {
                seen += 1;
                let macro_name = &line[line.find("SYS_").unwrap()..];
                let end = macro_name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let macro_name = &macro_name[..end.unwrap_or(macro_name.len())];
                let guard = format!("+#ifdef {macro_name}");
                let guarded = added[..=number].iter().rev().take(20).any(|line| **line == guard);
                assert!(guarded, "{}: {line} is not guarded by #ifdef {macro_name}", patch.name);
            }
            // QEMU's own way: guarded by the kernel's number, and called by it.
            let guards = added.iter().filter(|line| line.starts_with("+#if"));
            for guarded in guards.flat_map(|line| line.split("defined(__NR_").skip(1)) {
                let name = guarded.split(')').next().unwrap();
                let by_libc = format!("SYS_{name}");
                let is_call = |line: &&&str| {
                    line.match_indices(&by_libc).any(|(at, _)| {
                        let after = line[at + by_libc.len()..].chars().next().unwrap_or(' ');
                        !line[..at].ends_with("TARGET_") && !after.is_ascii_alphanumeric() && after != '_'
                    })
                };
                let used = added.iter().find(is_call);
                assert_eq!(used, None, "{}: {name} is guarded by the kernel's number", patch.name);
            }
        }
    }
    assert!(seen > 0, "no such use was found: does this test still look where they are?");
}
