//! `test`: everything that must hold, in the order in which a failure is cheapest.

use crate::cli::Test;
use crate::process::{self, ended};
use crate::session::Session;
use anyhow::{Result, bail};
use std::env;
use std::io::{Write as _, stdout};
use std::process::Command;

/// Tests whose names begin so are only run with `--long`.
const LONG: &str = "long_";

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
    let mut count = Count::default();
    session.progress.say(&format!("$ {}", process::show(&tests)));
    let status = process::relay(&mut tests, |line| count.read(line))?;
    // The closing line of every run, for people and for CI.
    let _ = writeln!(stdout(), "{} passed, {} failed", count.passed, count.failed);
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

#[cfg(test)]
mod tests {
    use super::*;

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
