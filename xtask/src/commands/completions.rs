//! `completions`: what a shell needs to complete our command lines.

use super::print;
use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

/// Print a completion script for a shell
///
/// The script completes the command `xtask`: add target/debug to PATH, or define an alias.
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
