//! `completions`: what a shell needs to complete our command lines.

use crate::session::print;
use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

/// Print a completion script for a shell
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

/// Prints the script for a whole command line.
pub fn run(mut command: clap::Command, arguments: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "anyarch", &mut script);
    print(&String::from_utf8_lossy(&script))
}
