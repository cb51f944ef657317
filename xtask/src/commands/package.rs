//! `package`: the same as `build`, under the name of the last stage.

use super::build;
use super::selection::Selection;
use crate::session::BuildSession;
use anyhow::Result;
use clap::Args;

/// Package emulators; compiles and verifies them first where needed
#[derive(Debug, Args)]
pub struct Package {
    /// Targets, hosts, series, profile and toolchain.
    #[command(flatten)]
    pub selection: Selection,
}

/// Packs what was asked for.
pub fn run(session: &BuildSession, arguments: &Package) -> Result<()> {
    build::package(session, &arguments.selection)
}
