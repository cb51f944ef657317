//! `kept`: changes that `run --keep` keeps beside a root.

use super::run::owner;
use crate::rootfs::stage::{self, Work};
use crate::run::ids;
use crate::run::kept;
use crate::session::Session;
use anyhow::Result;
use clap::Subcommand;

/// List or remove changes that `run --keep NAME` has kept
#[derive(Debug, Subcommand)]
pub enum Kept {
    /// List them: names, and of which root or image
    List,
    /// Remove them for good
    Remove {
        /// Their name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Lists or removes them.
pub fn run(session: &Session, command: &Kept) -> Result<()> {
    let home = kept::home()?;
    match command {
        Kept::List => {
            let all = kept::all(&home);
            session.show(&all, || {
                let line = |one: &kept::Kept| {
                    let root = one.image.clone().unwrap_or_else(|| one.root.to_string());
                    format!("{:<20} {root}\n", one.name)
                };
                all.iter().map(line).collect()
            })
        }
        Kept::Remove { name } => {
            let (folder, _lock) = kept::to_remove(&home, name)?;
            // Files of many owners can only be removed where these are mapped.
            stage::ask(&ids::choose(&owner()), &Work::Remove(folder.as_path().into()))?;
            session.show(&name, || format!("removed {name}\n"))
        }
    }
}
