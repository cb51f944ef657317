//! Finds the emulator of this machine that runs emulators of another host.

use super::build::Prepared;
use crate::plan::{Plan, TreePlan};
use crate::session::BuildSession;
use crate::verify::{self, Depth, Runner};
use anyhow::{Context as _, Result};

/// The emulator of this machine that runs those of a tree for another host.
pub fn of(session: &BuildSession, plan: &Plan, tree: &TreePlan) -> Result<Option<Runner>> {
    let Some((plan, own)) = plan.runners().filter(|_| !tree.host().is_native()) else { return Ok(None) };
    let wanted = tree.host().as_target()?;
    if !own.targets().contains(&wanted) {
        return Ok(None);
    }
    let prepared = Prepared::new(session, plan, own, None)?;
    let compiled = prepared.open(session, plan, own)?.compile(&[wanted], &prepared.source)?;
    let emulator = compiled.all()?.into_iter().next().context("no emulator was compiled")?;
    let verified = verify::verify(session, plan.series(), emulator, Depth::Quick, None)?;
    Ok(Some(Runner::new(&verified, tree.host())))
}
