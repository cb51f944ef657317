//! One file a command: its arguments, its help and its run; and how results are printed.

pub mod bench;
pub mod build;
pub mod clean;
pub mod completions;
pub mod doctor;
pub mod fetch;
pub mod image;
pub mod package;
pub mod patch;
pub mod plan;
pub mod program;
pub mod release;
pub mod reproduce;
pub mod rootfs;
pub mod series;
pub mod source;
pub mod test;
pub mod toolchain;
pub mod verify;

mod release_folder;
mod reproduce_program;
mod runner;
mod selection;

pub use release_folder::ReleaseFolder;
pub use selection::Selection;
pub use test::{NOT_RUN, seed};

use crate::error::NO_OUTPUT;
use crate::session::Session;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::io::{self, Write as _};

/// Prints a result: as JSON, or as text for people. A reader that has gone is no failure.
fn show<T: Serialize>(session: &Session, value: &T, text: impl FnOnce() -> String) -> Result<()> {
    let text = if session.json {
        let mut json = serde_json::to_string_pretty(value).context("cannot encode the result")?;
        json.push('\n');
        json
    } else {
        text()
    };
    print(text.as_bytes())
}

fn print(bytes: &[u8]) -> Result<()> {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context(NO_OUTPUT),
    }
}
