//! `unregister`: what `register` did is undone, now and for later boots.

use crate::Setting;
use crate::act::Act;
use crate::look::{self, Wanting};
use crate::place::{Circumstances, Mounted};
use crate::plan;
use crate::podman::{self, For};
use crate::target::{self, ALL, spoken};
use anyhow::Result;
use clap::Args;
use std::io::{Write as _, stdout};
use std::path::PathBuf;

/// Undo `register`: the kernel no longer runs these programs, and no later boot brings that back
///
/// Only what was registered by `register` is touched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo anyarch unregister arm64
  sudo anyarch unregister all
  anyarch unregister all --podman")]
pub struct Unregister {
    /// Targets, by the names of QEMU, Debian, Docker or the kernel; `all` for every one
    #[arg(value_name = "TARGET", value_delimiter = ',', required = true)]
    pub targets: Vec<String>,
    /// For whom.
    #[command(flatten)]
    pub scope: For,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Root folder of the files that `register --persist` wrote [default: /]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// Undoes registrations, and says so.
///
/// # Errors
/// [`crate::place::Obstacle`] where nothing can be changed; else what went wrong. It is no error if there is nothing to
/// undo.
pub fn run(setting: &Setting<'_>, unregister: &Unregister) -> Result<()> {
    let targets = target::named(&unregister.targets)?;
    if unregister.scope.podman {
        podman::run_inside()?;
        if !unregister.dry_run
            && let Some(unit) = podman::forget()?
        {
            let others = "for others, run `anyarch register --podman --persist` again";
            setting
                .progress
                .say(&format!("removed {}, which registered when you log in; {others}", unit.display()));
        }
        return Ok(());
    }
    let wanting = Wanting { user: unregister.scope.user, root: unregister.root.as_deref() };
    let circumstances = Circumstances::look()?;
    // Where no table is mounted, nothing of it can be undone, but files can.
    let opened = circumstances.mounted != Mounted::Nothing && !unregister.dry_run;
    if opened && let Some(obstacle) = circumstances.obstacle(wanting.scope()) {
        return Err(obstacle.into());
    }
    let table = opened.then(|| circumstances.open()).transpose()?;
    let _lock = table.as_ref().map(|table| table.lock(setting.progress)).transpose()?;
    let there = look::there(&circumstances, &wanting, table.as_ref())?;
    let plan = plan::unregister(&targets, &there);
    let is_all = unregister.targets.iter().any(|name| name == ALL);
    plan.notes.iter().filter(|_| !is_all).for_each(|note| setting.progress.say(note));
    if unregister.dry_run {
        let _ = write!(stdout(), "{plan}");
        return Ok(());
    }
    let table = table.unwrap_or_else(look::seen);
    Act { table: &table, circumstances: &circumstances, progress: setting.progress }
        .carry_out(&plan.steps)?;
    if !plan.steps.is_empty() {
        let names: Vec<&str> = targets.iter().map(|target| spoken(target)).collect();
        setting.progress.say(&format!(
            "unregistered: {}",
            if is_all { "all of ours".to_owned() } else { names.join(" ") }
        ));
    }
    Ok(())
}
