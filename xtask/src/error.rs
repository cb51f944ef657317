//! How a command ends: 0 done, 1 failed, 2 wrong use, 3 the machine lacks something.
//!
//! Errors travel as [`anyhow::Error`]; two kinds change the exit code, [`Usage`] and [`Lacks`], and are found
//! again in the chain at the very end. `clap` itself exits with 2 for a malformed command line.

use anyarch_client::error::Usage;
use std::io::{Write as _, stderr};
use std::process::ExitCode;

/// The machine lacks something that this project cannot get by itself. Exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{what} is missing{}", .command.as_ref().map(|c| format!("\n  to get it: {c}")).unwrap_or_default())]
pub struct Lacks {
    /// What is missing, as a user would name it: `a C compiler (gcc)`.
    pub what: String,
    /// The command that gets it, ready to paste.
    pub command: Option<String>,
}

/// What a command begins with that installs Debian packages.
pub const INSTALL: &str = "apt-get install ";

impl Lacks {
    /// A missing thing and the command that gets it.
    pub fn new(what: impl Into<String>, command: impl Into<String>) -> Self {
        Self { what: what.into(), command: Some(command.into()) }
    }
}

/// What a command says when it cannot print its result.
pub const NO_OUTPUT: &str = "cannot write to standard output";

/// The exit code that an error stands for.
pub fn code(error: &anyhow::Error) -> u8 {
    if error.chain().any(<dyn std::error::Error>::is::<Usage>) {
        2
    } else if error.chain().any(<dyn std::error::Error>::is::<Lacks>) {
        3
    } else {
        1
    }
}

/// Prints an error with its causes to stderr and gives its exit code.
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

/// What to do about a full disk; said once, wherever the disk filled up.
pub const FULL_DISK_ADVICE: &str = "the disk is full: free some room (`cargo xtask clean --help` lists what can go) and run the \
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
        let lacks =
            Err::<(), _>(Lacks::new("git", "apt-get install git")).context("source").expect_err("an error");
        assert_eq!(code(&usage), 2);
        assert_eq!(code(&lacks), 3);
        assert_eq!(code(&anyhow::anyhow!("anything else")), 1);
    }

    #[test]
    fn a_missing_thing_says_the_command_that_gets_it() {
        let text = Lacks::new("a C compiler", "apt-get install gcc").to_string();
        assert_eq!(text, "a C compiler is missing\n  to get it: apt-get install gcc");
    }
}
