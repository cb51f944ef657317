//! `cache`: translations that are kept from one run to the next.

use crate::run::translations::{self, Kept};
use crate::session::Session;
use anyarch_client::progress::{count, human_bytes};
use anyhow::Result;
use clap::Subcommand;

/// List or remove translations that are kept for the next run
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// List them: how big, of which emulator, for which root
    List,
    /// Remove them, all or those of roots and emulators that are gone; runs that use them go on
    Clean {
        /// Only those whose root or emulator is gone
        #[arg(long)]
        unused: bool,
    },
}

/// Lists or removes them.
pub fn run(session: &Session, command: &Cache) -> Result<()> {
    let all = translations::all(&session.cache);
    match command {
        Cache::List => session.show(&all, || all.iter().map(line).collect()),
        Cache::Clean { unused } => {
            let gone: Vec<Kept> = all.into_iter().filter(|kept| !unused || is_unused(kept)).collect();
            gone.iter().try_for_each(translations::remove)?;
            let size = gone.iter().map(|kept| kept.size).sum();
            session
                .show(&gone, || format!("removed {}, {}\n", count(gone.len(), "folder"), human_bytes(size)))
        }
    }
}

fn is_unused(kept: &Kept) -> bool {
    let is_gone =
        |about: &translations::About| !about.root.path().exists() || !about.emulator.path().exists();
    kept.about.as_ref().is_none_or(is_gone)
}

fn line(kept: &Kept) -> String {
    let what = match &kept.about {
        Some(about) => format!("{} by {}", about.root, about.emulator),
        None => "unknown".to_owned(),
    };
    format!("{:>9}  {}  {what}\n", human_bytes(kept.size), kept.folder)
}
