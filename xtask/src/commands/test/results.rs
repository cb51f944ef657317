//! What test programs report, read off their output: numbers, failures, seconds, what was not run.

use std::collections::BTreeSet;
use std::process::ExitStatus;

/// How many of the slowest parts are told.
const SLOWEST: usize = 5;

/// How many lines of what a failed test said are repeated at the end, where whoever keeps only that finds them.
const REPEATED: usize = 12;

/// The test program that cargo is about to run, by the line that it says so with.
pub fn program(line: &str) -> Option<&str> {
    let unit_or_file = || Some(line.strip_prefix("     Running ")?.split_once(" (")?.0);
    unit_or_file().or_else(|| Some(line.strip_prefix("   ")?).filter(|rest| rest.starts_with("Doc-tests ")))
}

/// What all test programs together report.
#[derive(Debug, Default)]
pub struct Count {
    /// Tests that passed, those that only noted that they were not run included.
    pub passed: u64,
    failed: u64,
    /// How the first cargo that did not end well ended.
    pub broken: Option<ExitStatus>,
    /// The module that runs, where it is one alone.
    pub module: Option<String>,
    /// The module or the program that runs.
    now: String,
    /// How many seconds each took.
    seconds: Vec<(f64, String)>,
    /// What each failed test said.
    failures: Vec<Failure>,
    /// Whether the lines that come belong to the last of those.
    in_failure: bool,
}

/// A test that failed.
#[derive(Debug)]
struct Failure {
    test: String,
    /// Its lines.
    said: Vec<String>,
}

impl Count {
    /// Reads `test result: ok. 39 passed; 0 failed; ...; finished in 0.28s`, and before that, of which program.
    pub fn read(&mut self, line: &str) {
        if let Some(program) = program(line) {
            self.now = self.module.clone().unwrap_or_else(|| program.to_owned());
        }
        self.read_failure(line);
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                Some(("finished", time)) => {
                    let seconds = time.trim_start_matches("in ").trim_end_matches('s').parse();
                    self.seconds.push((seconds.unwrap_or(0.0), self.now.clone()));
                }
                _ => {}
            }
        }
    }

    /// Reads what failed tests said: `---- NAME stdout ----`, then their lines, a backtrace where one is wanted, and
    /// after all of them `failures:`.
    fn read_failure(&mut self, line: &str) {
        let name = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(name) = name {
            self.failures.push(Failure { test: name.to_owned(), said: Vec::new() });
            self.in_failure = true;
        } else if ["failures:", "stack backtrace:"].contains(&line) || line.starts_with("test result: ") {
            self.in_failure = false;
        } else if let (true, Some(failure), false) =
            (self.in_failure, self.failures.last_mut(), line.trim().is_empty())
        {
            failure.said.push(line.to_owned());
        }
    }

    /// The sum of both.
    pub fn and(mut self, mut other: Self) -> Self {
        self.passed += other.passed;
        self.failed += other.failed;
        self.broken = self.broken.or(other.broken);
        self.seconds.append(&mut other.seconds);
        self.failures.append(&mut other.failures);
        self
    }

    /// The programs that took the longest, those that took seconds at least.
    fn slowest(&self) -> Vec<String> {
        let mut all = self.seconds.clone();
        all.sort_by(|one, other| other.0.total_cmp(&one.0));
        all.retain(|(seconds, _)| *seconds >= 1.0);
        all.iter().take(SLOWEST).map(|(seconds, program)| format!("{program} {seconds:.0} s")).collect()
    }
}

/// What took long, what was not run, each with the reason, and the numbers: libtest takes a test for passed that
/// only notes that it was not run.
pub fn closing(count: &Count, notes: &str) -> String {
    let mut text = String::new();
    for failure in &count.failures {
        text.push_str(&format!("failed: {}\n", failure.test));
        for line in failure.said.iter().skip(failure.said.len().saturating_sub(REPEATED)) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    let slowest = count.slowest();
    if !slowest.is_empty() {
        text.push_str(&format!("slowest: {}\n", slowest.join(", ")));
    }
    let (mut whole, mut part) = (BTreeSet::new(), BTreeSet::new());
    for note in notes.lines() {
        let mut words = note.splitn(3, '\t');
        let (extent, test, why) = (words.next(), words.next().unwrap_or(note), words.next().unwrap_or("?"));
        let is_part = extent == Some("part");
        text.push_str(&format!("not run: {}{test}: {why}\n", if is_part { "a part of " } else { "" }));
        if is_part {
            part.insert(test)
        } else {
            whole.insert(test)
        };
    }
    let passed = count.passed.saturating_sub(whole.len() as u64);
    text.push_str(&format!("{passed} passed, {} failed", count.failed));
    for (tests, what) in [(whole, "not run"), (part, "passed without a part")] {
        if !tests.is_empty() {
            text.push_str(&format!(", {} {what}", tests.len()));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_run_is_told_and_does_not_count_as_passed() {
        let count = Count { passed: 9, failed: 1, ..Count::default() };
        assert_eq!(closing(&count, ""), "9 passed, 1 failed\n");
        let notes = "whole\tb\tno root\npart\ta\tno gcc\npart\ta\tno clang\n";
        let told = "not run: b: no root\nnot run: a part of a: no gcc\nnot run: a part of a: no clang\n";
        let numbers = "8 passed, 1 failed, 1 not run, 1 passed without a part\n";
        assert_eq!(closing(&count, notes), format!("{told}{numbers}"));
    }

    #[test]
    fn the_counts_of_all_test_programs_are_added_up() {
        let mut count = Count::default();
        for line in [
            "test result: ok. 39 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.28s",
            "test a::b ... ok",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        ] {
            count.read(line);
        }
        assert_eq!((count.passed, count.failed), (41, 1));
    }

    #[test]
    fn what_failed_tests_said_is_repeated_at_the_end() {
        let mut count = Count::default();
        let lines = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\n\nthread 'a' panicked:\nleft: 1\nstack backtrace:\n   0: a\n\n\n\
                     ---- b stdout ----\nError: no\n\nfailures:\n    a\n    b\n\n\
                     test result: FAILED. 0 passed; 2 failed; finished in 0.01s\n";
        lines.lines().for_each(|line| count.read(line));
        let told = "failed: a\n    thread 'a' panicked:\n    left: 1\nfailed: b\n    Error: no\n";
        assert_eq!(closing(&count, ""), format!("{told}0 passed, 2 failed\n"));
        let many = (0..20).map(|n| format!("line {n}")).collect();
        let count =
            Count { failures: vec![Failure { test: "c".to_owned(), said: many }], ..Count::default() };
        assert_eq!(closing(&count, "").lines().nth(1), Some("    line 8"));
    }

    #[test]
    fn the_slowest_test_programs_of_both_lanes_are_told() {
        let read = |lines: &[&str]| {
            let mut count = Count::default();
            lines.iter().for_each(|line| count.read(line));
            count
        };
        let heavy = read(&[
            "     Running tests/emulators.rs (target/debug/deps/emulators-0123)",
            "test a ... ok",
            "test result: ok. 9 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 512.46s",
            "     Running tests/kills.rs (target/debug/deps/kills-0123)",
            "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 99.50s",
        ]);
        let light = read(&[
            "     Running unittests src/lib.rs (target/debug/deps/xtask-0123)",
            "test result: ok. 70 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 105.00s",
            "   Doc-tests xtask",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.90s",
        ]);
        let told = "slowest: tests/emulators.rs 512 s, unittests src/lib.rs 105 s, tests/kills.rs 100 s\n";
        assert_eq!(closing(&heavy.and(light), ""), format!("{told}81 passed, 1 failed\n"));
    }
}
