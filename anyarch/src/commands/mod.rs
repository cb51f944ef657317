//! The commands, one file each.

pub mod cache;
pub mod completions;
pub mod doctor;
pub mod install;
pub mod kept;
pub mod list;
pub mod register;
pub mod remove;
pub mod rootfs;
pub mod run;
pub mod status;
pub mod unregister;
pub mod upgrade;

use anyarch_client::error::Usage;
use anyhow::{Context as _, Result};
use std::env;
use std::path::{Path, PathBuf};

/// The folder that emulators are installed into: the one that is named, else the user's own.
///
/// # Errors
/// [`Usage`] when the user has none.
fn prefix(named: Option<&Path>) -> Result<PathBuf> {
    let prefix = match named {
        Some(prefix) => prefix.to_owned(),
        None => env::home_dir()
            .filter(|home| home.is_absolute())
            .ok_or_else(|| Usage("no home folder: pass --prefix DIR".to_owned()))?
            .join(".local"),
    };
    std::path::absolute(&prefix).with_context(|| format!("bad path {}", prefix.display()))
}
