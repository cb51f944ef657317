//! What every command is told: where the cache is, how to speak, how to print results.

use anyarch_binfmt::{Setting, emulator};
use anyarch_client::progress::Progress;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::env;
use std::io::{Write as _, stdout};
use std::path::PathBuf;

/// Error message for a result that cannot be printed.
pub const NO_OUTPUT: &str = "cannot write to standard output";

/// What every command is told.
#[derive(Debug)]
pub struct Session {
    /// Where it tells what it does.
    pub progress: Progress,
    /// Whether results are printed as JSON.
    pub json: bool,
    /// The folder of all that can be made anew.
    pub cache: PathBuf,
}

impl Session {
    /// A session with the cache that the environment names.
    pub fn new(verbose: u8, json: bool) -> Self {
        let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = named("ANYARCH_CACHE")
            .or_else(|| Some(named("XDG_CACHE_HOME")?.join("anyarch")))
            .or_else(|| Some(env::home_dir()?.join(".cache/anyarch")))
            // Nobody's home: a folder that cannot be made, so that the error names it.
            .unwrap_or_else(|| PathBuf::from("/nonexistent/.cache/anyarch"));
        let cache = std::path::absolute(&cache).unwrap_or(cache);
        Self { progress: Progress::new(verbose), json, cache }
    }

    /// What the commands are told that register emulators.
    pub fn setting(&self) -> Setting<'_> {
        Setting { progress: &self.progress, folders: emulator::usual_folders(), json: self.json }
    }

    /// Prints a result: for people, or as JSON.
    ///
    /// # Errors
    /// When nobody takes it.
    pub fn show(&self, value: &impl Serialize, people: impl FnOnce() -> String) -> Result<()> {
        let text = match self.json {
            true => serde_json::to_string_pretty(value).context("cannot encode JSON")? + "\n",
            false => people(),
        };
        print(&text)
    }
}

/// Prints text as it is.
///
/// # Errors
/// When nobody takes it.
pub fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context(NO_OUTPUT)
}
