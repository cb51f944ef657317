//! The mirrors that somebody names, as far as they are there.

use crate::error::Usage;
use crate::mirror::{InvalidMirror, Mirror};
use crate::progress::Progress;
use anyhow::{Result, bail};

/// Those of the mirrors that are there; a folder that is not does not keep the others from being asked.
///
/// # Errors
/// [`Usage`] when none is, or one can never be.
pub fn named(progress: &Progress, names: &[String]) -> Result<Vec<Mirror>> {
    let mut mirrors = Vec::new();
    let mut missing = Vec::new();
    for name in names {
        match Mirror::named(name) {
            Ok(mirror) => mirrors.push(mirror),
            Err(error @ InvalidMirror::Missing(_)) => missing.push(error.to_string()),
            Err(error) => bail!(Usage::from(error)),
        }
    }
    if mirrors.is_empty() {
        bail!(Usage(missing.join("\n")));
    }
    for line in missing {
        progress.say(&format!("continuing with the other mirrors: {line}"));
    }
    Ok(mirrors)
}
