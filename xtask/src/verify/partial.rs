//! What the emulator of every commit of a series must do, whether or not the later ones are there. It proves
//! a patch, never a release: no [`super::Verified`] comes of it.

use super::{TIMEOUT, alone, says_version, tiny};
use crate::compile::PartialEmulator;
use crate::facts::Series;
use crate::process::{ended, output_within};
use crate::session::Session;
use anyhow::{Context as _, Result, ensure};

/// It says its version and starts a guest; and, from the patch on that brings `--execve`, the guest's children.
/// Gives what was seen.
pub fn partial(session: &Session, series: &Series, emulator: &PartialEmulator) -> Result<String> {
    let target = emulator.target();
    let command = || alone(emulator.path());
    says_version(series, target, command()).context("the check `version` failed")?;
    tiny::starts(session, target, &command, &[]).context("the check `start` failed")?;
    if !has_execve(emulator)? {
        return Ok("runs a guest".to_owned());
    }
    tiny::children(session, target, &command).context("the check `guest` failed")?;
    Ok("runs a guest and its children".to_owned())
}

/// Whether its help knows the option.
fn has_execve(emulator: &PartialEmulator) -> Result<bool> {
    let result = output_within(TIMEOUT, alone(emulator.path()).arg("-help"))?;
    ensure!(result.status.success(), "`{} -help` {}", emulator.path().display(), ended(result.status));
    let help = String::from_utf8_lossy(&result.stdout);
    Ok(help.lines().any(|line| line.split_whitespace().next() == Some("-execve")))
}
