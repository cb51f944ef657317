//! `completions`: what a shell needs to complete our command lines.

use crate::complete::VARIABLE;
use crate::session::print;
use anyarch_client::error::Usage;
use anyarch_manifest::layout::PROGRAM;
use anyhow::{Context as _, Result};
use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;

/// Print a completion script for a shell
///
/// The script asks this program for each word, so it need not be made again after an upgrade.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  anyarch completions bash > ~/.local/share/bash-completion/completions/anyarch
  anyarch completions zsh > ~/.zfunc/_anyarch
  anyarch completions fish > ~/.config/fish/completions/anyarch.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: &Completions) -> Result<()> {
    let shells = Shells::builtins();
    let name = arguments.shell.to_string();
    let shell =
        shells.completer(&name).ok_or_else(|| Usage(format!("nothing completes words for {name}")))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script).context("no script")?;
    print(&String::from_utf8_lossy(&script))
}
