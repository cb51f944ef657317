//! How a command ends: 0 success, 1 failure, 2 usage error, 3 something is missing on the machine. `run` ends as the
//! command that it ran, and with 125 where it could not.

use crate::session::{NO_OUTPUT, print};
use anyarch_binfmt::place::Obstacle;
use anyarch_client::error::Usage;
use std::io::{self, Write as _, stderr};

/// Something is missing on this machine. Exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

/// The exit code for an error; `failure` for one of no special kind.
pub fn code(error: &anyhow::Error, failure: u8) -> u8 {
    if error.chain().any(<dyn std::error::Error>::is::<Usage>) {
        2
    } else if error.chain().any(|cause| cause.is::<Missing>() || cause.is::<Obstacle>()) {
        3
    } else {
        failure
    }
}

/// What helps where a disk is full.
const FULL: &str =
    "free some space (`anyarch cache clean` removes what is kept for the next run), and run it again";

/// Whether it is the system that refused, for one of these reasons.
pub fn is_of(error: &anyhow::Error, kinds: &[io::ErrorKind]) -> bool {
    let kind =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().filter_map(kind).any(|kind| kinds.contains(&kind))
}

/// An error with its causes, a line each. What a context quotes is not said twice.
fn lines(error: &anyhow::Error) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if !lines.last().is_some_and(|last| last.contains(&cause)) {
            lines.push(cause);
        }
    }
    if let (true, Some(last)) = (is_of(error, &[io::ErrorKind::StorageFull]), lines.last_mut()) {
        last.push_str(&format!("\n  {FULL}"));
    }
    lines
}

/// Tells an error on stderr. Without one, the exit code has to do.
pub fn tell(error: &anyhow::Error) {
    let lines = lines(error).join("\n  because: ");
    let _ = writeln!(stderr(), "error: {lines}");
}

/// Tells what is less than people may expect. The command goes on.
pub fn note(text: &str) {
    let _ = writeln!(stderr(), "note: {text}");
}

/// Tells an error, on stdout as JSON if that was asked for, and gives its exit code.
pub fn report(error: &anyhow::Error, failure: u8, json: bool) -> u8 {
    let code = code(error, failure);
    // A doctor has told all that is missing, and nobody reads a result that cannot be printed.
    if json && error.to_string() != NO_OUTPUT {
        let lines = lines(error);
        let value = serde_json::json!({ "error": lines.first(), "because": &lines[1..], "code": code });
        let _ = print(&format!("{value:#}\n"));
    }
    tell(error);
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyarch_binfmt::place::Cause;
    use anyhow::Context as _;

    #[test]
    fn the_exit_code_follows_the_kind_of_error_anywhere_in_the_chain() {
        let usage = Err::<(), _>(Usage("no".into())).context("planning").expect_err("an error");
        let missing = Err::<(), _>(Missing("no".into())).context("looking").expect_err("an error");
        let obstacle = anyhow::Error::from(Cause::NoRoot.obstacle((6, 1)));
        assert_eq!(code(&obstacle, 1), 3);
        assert_eq!([code(&usage, 125), code(&missing, 1), code(&anyhow::anyhow!("x"), 125)], [2, 3, 125]);
        assert_eq!(lines(&usage), ["planning", "no"]);
    }
}
