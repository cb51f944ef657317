//! `completions`: what a shell needs to complete our command lines.

use super::print;
use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

/// Print a completion script for a shell
///
/// The script completes the driver called by name; put its folder (target/debug) into PATH as
/// `xtask`, or alias it.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// Prints the script for a whole command line.
pub fn run(command: clap::Command, arguments: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command.bin_name("xtask"), "xtask", &mut script);
    print(&script)
}
