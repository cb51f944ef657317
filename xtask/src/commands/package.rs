//! `package`: what `build` does, by the name of its last stage.

use super::build;
use super::selection::Selection;
use crate::session::BuildSession;
use anyhow::Result;
use clap::Args;

/// Pack emulators, compiling and verifying those that are not yet
#[derive(Debug, Args)]
pub struct Package {
    /// Which emulators.
    #[command(flatten)]
    pub selection: Selection,
}

/// Packs what was asked for.
pub fn run(session: &BuildSession, arguments: &Package) -> Result<()> {
    build::package(session, &arguments.selection)
}
