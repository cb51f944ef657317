//! `upgrade`: all that is installed, to the newest release or another one.

use super::install::{install, table};
use super::prefix;
use crate::releases::{self, Place};
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::fetch::NameFilter;
use anyarch_client::record;
use anyarch_manifest::layout;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Bring all installed emulators, and this program, to the newest release
///
/// This program only if it was installed there: as `anyarch install --target anyarch` and install.sh do it.
/// From where they were installed from, if nothing else is said.
#[derive(Debug, Args)]
pub struct Upgrade {
    #[command(flatten)]
    place: Place,
    /// Folder that they are installed in [default: ~/.local]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    prefix: Option<PathBuf>,
}

/// Upgrades them. Those that the release does not have stay as they are.
pub fn run(session: &Session, arguments: &Upgrade) -> Result<()> {
    let prefix = prefix(arguments.prefix.as_deref())?;
    let found = record::all(&prefix);
    if found.is_empty() {
        return Err(Usage(format!(
            "no emulator is installed in {}: anyarch install --target TARGET",
            prefix.display()
        ))
        .into());
    }
    let known = found.iter().find(|one| !one.record.from.is_empty()).map(|one| one.record.from.clone());
    let release = releases::open_known(session, &arguments.place, &known.unwrap_or_default())?;
    let has = |target: &String| releases::has(&release.index.manifest, target);
    let (there, lost): (Vec<_>, Vec<_>) = found.into_iter().map(|one| one.record.target).partition(has);
    for target in lost {
        let name = &release.index.manifest.release;
        let program = layout::program(&target);
        session.progress.say(&format!("{program} stays as it is: release {name} does not have it"));
    }
    let done = install(session, &release, &NameFilter::Only(there), &prefix)?;
    session.show(&done, || table(&done))
}
