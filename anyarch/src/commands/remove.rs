//! `remove`: takes away all that was installed, of some targets or of all.

use super::install::named;
use super::prefix;
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::fetch::NameFilter;
use anyarch_client::record::{self, Found};
use anyarch_manifest::layout::{self, PROGRAM};
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;

/// Remove installed emulators, with all that was installed with them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  anyarch remove --target arm64
  anyarch remove --target all --prefix /usr/local")]
pub struct Remove {
    /// Targets, by any usual name; `all` for every emulator that is installed; `anyarch` for this program itself
    #[arg(short, long = "target", value_name = "TARGET", value_delimiter = ',', required = true)]
    targets: Vec<String>,
    /// Folder that they are installed in [default: ~/.local]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    prefix: Option<PathBuf>,
}

/// Removes them, and says what is gone.
pub fn run(session: &Session, arguments: &Remove) -> Result<()> {
    let prefix = prefix(arguments.prefix.as_deref())?;
    let mut gone = Vec::new();
    for found in chosen(record::all(&prefix), &named(&arguments.targets)?, &prefix.display().to_string())? {
        gone.extend(record::remove(&session.progress, &prefix, &found)?);
    }
    session.show(&gone, || gone.iter().map(|path| format!("removed {}\n", path.display())).collect())
}

/// Those of the targets that are asked for; it is an error if one is not there. All are all emulators: who removes them
/// goes on with this program.
fn chosen(all: Vec<Found>, targets: &NameFilter, prefix: &str) -> Result<Vec<Found>> {
    let names = match targets {
        NameFilter::Only(names) => names,
        NameFilter::AllAndProgram => return Ok(all),
        NameFilter::All => {
            return Ok(all.into_iter().filter(|found| found.record.target != PROGRAM).collect());
        }
    };
    let has = |name: &&String| all.iter().any(|found| found.record.target == **name);
    if let Some(lost) = names.iter().find(|name| !has(name)) {
        let there: Vec<&str> = all.iter().map(|found| found.record.target.as_str()).collect();
        let lost = layout::program(lost);
        bail!(Usage(format!("{lost} is not installed in {prefix}; there are: {}", there.join(" "))));
    }
    Ok(all.into_iter().filter(|found| names.contains(&found.record.target)).collect())
}
