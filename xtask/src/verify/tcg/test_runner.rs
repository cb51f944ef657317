//! Runs the tests of `tests/tcg` one after the other with one emulator and one value of `QEMU_EXECVE`.

use super::guests::Guests;
use crate::process::{ended, output_within};
use crate::verify::TIMEOUT;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// An emulator and the way it is run.
#[derive(Debug)]
pub struct TestRunner<'a> {
    guests: &'a Guests,
    name: &'static str,
    emulator: PathBuf,
    execve: Option<&'static str>,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestOutcome {
    /// It was run, and its rule is content.
    Passed,
    /// It was run, and its rule is not; with the last words.
    Failed(String),
    /// Its rule says that it is not to be run, and why.
    Skipped(String),
}

impl<'a> TestRunner<'a> {
    /// A lane with a copy of the tests; `execve` is what `QEMU_EXECVE` says in it.
    pub fn new(
        guests: &'a Guests,
        name: &'static str,
        emulator: &Path,
        execve: Option<&'static str>,
    ) -> Result<Self> {
        guests.copy(name)?;
        Ok(Self { guests, name, emulator: emulator.to_owned(), execve })
    }

    /// Runs one test by its rule.
    pub fn run(&self, test: &str) -> Result<TestOutcome> {
        let mut command = self.guests.make(self.name);
        command.arg(format!("QEMU={}", self.emulator.display())).arg(test);
        if let Some(execve) = self.execve {
            command.env("QEMU_EXECVE", execve);
        }
        // The rules kill what takes too long, but for what it started.
        let result = match output_within(TIMEOUT, &mut command) {
            Ok(result) => result,
            Err(error) if anyarch_client::interrupt::interrupted() => return Err(error),
            Err(error) => return Ok(TestOutcome::Failed(format!("{error:#}"))),
        };
        let said = String::from_utf8_lossy(&[result.stdout, result.stderr].concat()).into_owned();
        Ok(read(result.status.success(), &said, &ended(result.status)))
    }
}

/// Reads what make printed of one test. A rule that did nothing at all has proven nothing.
fn read(good: bool, said: &str, ended: &str) -> TestOutcome {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    if !good {
        let last = lines().rfind(|line| !line.starts_with("TEST ") && !line.starts_with("DIFF "));
        return TestOutcome::Failed(last.unwrap_or(ended).to_owned());
    }
    if lines().any(|line| line.starts_with("TEST ")) {
        return TestOutcome::Passed;
    }
    match lines().find_map(|line| line.strip_prefix("SKIPPED ")) {
        Some(skipped) => {
            let reason = skipped.split_once(" because ").map_or(skipped, |(_, reason)| reason);
            TestOutcome::Skipped(reason.trim().to_owned())
        }
        None => TestOutcome::Failed(format!("its rule ran nothing: {}", said.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "  TEST    convd on aarch64\n";
    const DIFF: &str = "  DIFF    float_convd.out with /s/float_convd.ref\n";

    #[test]
    fn a_test_that_ran_well_passed_also_if_there_is_no_reference_to_compare_with() {
        let no_reference = "  SKIPPED float_convd check on arm because no reference\n";
        for said in [TEST.to_owned(), format!("{TEST}{DIFF}"), format!("{TEST}{no_reference}")] {
            assert_eq!(read(true, &said, ""), TestOutcome::Passed, "{said}");
        }
    }

    #[test]
    fn a_failure_shows_the_last_words() {
        let killed = format!("{TEST}make: *** [Makefile:227: run-signals] Killed\n");
        let TestOutcome::Failed(words) = read(false, &killed, "") else { unreachable!("it failed") };
        assert!(words.contains("run-signals] Killed"), "{words}");
        assert_eq!(
            read(false, TEST, "ended with exit code 2"),
            TestOutcome::Failed("ended with exit code 2".into())
        );
    }

    #[test]
    fn what_was_skipped_or_never_ran_did_not_pass() {
        let manual = "  SKIPPED semiconsole on aarch64 because MANUAL ONLY\n";
        assert_eq!(read(true, manual, ""), TestOutcome::Skipped("MANUAL ONLY".into()));
        let idle = read(true, "make: 'run-sha1' is up to date.\n", "");
        assert!(matches!(&idle, TestOutcome::Failed(words) if words.contains("ran nothing")), "{idle:?}");
        assert!(matches!(read(true, "", ""), TestOutcome::Failed(_)));
    }
}
