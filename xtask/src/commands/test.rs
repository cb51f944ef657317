//! `test`: everything that must hold, in the order in which a failure is cheapest.

use crate::cli::Test;
use crate::process::{self, ended};
use crate::session::Session;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{Write as _, stdout};
use std::process::Command;

/// Tests whose names begin so are only run with `--long`.
const LONG: &str = "long_";

/// Names a file for tests that pass without having run, or without a part of them. Each appends a line: `whole` or
/// `part`, its name, the reason, with tabs between.
pub const NOT_RUN: &str = "ANYARCH_NOT_RUN";

/// Runs formatter, lints and tests; stops at the first that fails.
pub fn run(session: &Session, arguments: &Test) -> Result<()> {
    let cargo = |words: &[&str]| {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(words).current_dir(&session.workspace.root);
        command
    };
    if arguments.filter.is_none() {
        step(session, cargo(&["fmt", "--all", "--check"]), "run `cargo fmt`")?;
        let clippy =
            cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]);
        step(session, clippy, "mend what clippy says")?;
    }
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.args(&arguments.filter).args(["--", "--include-ignored"]);
    if !arguments.long {
        tests.args(["--skip", LONG]);
    }
    let notes = tempfile::NamedTempFile::new().context("cannot make a file for what the tests note")?;
    tests.env(NOT_RUN, notes.path());
    let mut count = Count::default();
    session.progress.say(&format!("$ {}", process::show(&tests)));
    let status = process::relay(&mut tests, |line| count.read(line))?;
    let notes = fs::read_to_string(notes.path()).context("cannot read what the tests noted")?;
    // The closing lines of every run, for people and for CI.
    let _ = write!(stdout(), "{}", closing(&count, &notes));
    if !status.success() || count.failed > 0 {
        bail!("the tests {}; one alone: cargo xtask test NAME", ended(status));
    }
    if count.passed == 0 {
        bail!(
            "no test was run{}",
            arguments.filter.as_ref().map(|f| format!(": none has `{f}` in its name")).unwrap_or_default()
        );
    }
    Ok(())
}

fn step(session: &Session, mut command: Command, advice: &str) -> Result<()> {
    let shown = process::show(&command);
    session.progress.say(&format!("$ {shown}"));
    let status = process::relay(&mut command, |_| ())?;
    if !status.success() {
        bail!("`{shown}` {}; {advice}", ended(status));
    }
    Ok(())
}

/// What all test programs together report.
#[derive(Debug, Default)]
struct Count {
    passed: u64,
    failed: u64,
}

impl Count {
    /// Reads `test result: ok. 39 passed; 0 failed; ...`.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

/// What was not run, each with the reason, and the numbers: libtest takes a test for passed that only notes
/// that it was not run.
fn closing(count: &Count, notes: &str) -> String {
    let mut text = String::new();
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
        let count = Count { passed: 9, failed: 1 };
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
}
