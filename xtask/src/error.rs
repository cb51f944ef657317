//! How a command ends: 0 success, 1 failure, 2 usage error, 3 something is missing on the machine.
//!
//! Errors travel as [`anyhow::Error`]; two kinds change the exit code, [`Usage`] and [`Missing`], and are found
//! again in the chain at the very end. `clap` itself exits with 2 for a malformed command line.

use anyarch_client::error::Usage;
use std::io::{Write as _, stderr};
use std::process::ExitCode;

/// Something is missing on this machine that anyarch cannot install by itself. Exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{what} is missing{}", .command.as_ref().map(|c| format!("\n  to fix it: {c}")).unwrap_or_default())]
pub struct Missing {
    /// Name of what is missing: `a C compiler (gcc)`.
    pub what: String,
    /// Command that installs it, if there is one.
    pub command: Option<String>,
}

/// Start of a command that installs Debian packages.
pub const INSTALL: &str = "apt-get install ";

impl Missing {
    /// Something that is missing, and the command that installs it.
    pub fn new(what: impl Into<String>, command: impl Into<String>) -> Self {
        Self { what: what.into(), command: Some(command.into()) }
    }
}

/// Error message for a result that cannot be printed.
pub const NO_OUTPUT: &str = "cannot write to standard output";

/// The exit code for an error: 1, 2 or 3.
pub fn code(error: &anyhow::Error) -> u8 {
    if error.chain().any(<dyn std::error::Error>::is::<Usage>) {
        2
    } else if error.chain().any(<dyn std::error::Error>::is::<Missing>) {
        3
    } else {
        1
    }
}

/// Prints an error with its causes to stderr and returns its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // A context often quotes its cause; saying it twice helps nobody.
        if !last.contains(&cause) {
            text.push_str(&format!("\n  because: {}", cause.replace('\n', "\n  ")));
        }
        last = cause;
    }
    let about_output = error.to_string() == NO_OUTPUT;
    if !about_output && error.chain().any(is_full_disk) && !text.contains(FULL_DISK_ADVICE) {
        text.push_str(&format!("\n  {FULL_DISK_ADVICE}"));
    }
    // Without a stderr, the exit code has to do.
    let _ = writeln!(stderr(), "{text}");
    ExitCode::from(code(error))
}

/// Advice for a full disk; it is printed once.
pub const FULL_DISK_ADVICE: &str = "the disk is full: free some space (`cargo xtask clean --help` shows how) and run the \
     same command again";

fn is_full_disk(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull)
        || cause.to_string().contains("No space left on device")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_exit_code_follows_the_kind_of_error_anywhere_in_the_chain() {
        let usage = Err::<(), _>(Usage("no such target".into())).context("planning").expect_err("an error");
        let missing =
            Err::<(), _>(Missing::new("git", "apt-get install git")).context("source").expect_err("an error");
        assert_eq!(code(&usage), 2);
        assert_eq!(code(&missing), 3);
        assert_eq!(code(&anyhow::anyhow!("anything else")), 1);
    }

    #[test]
    fn a_missing_thing_says_the_command_that_gets_it() {
        let text = Missing::new("a C compiler", "apt-get install gcc").to_string();
        assert_eq!(text, "a C compiler is missing\n  to fix it: apt-get install gcc");
    }
}
