//! `series check`, `series new`: keeping up with upstream.

mod check;
mod draft;
mod new;
mod report;
mod survey;

use crate::session::Session;
use anyhow::Result;
use clap::Subcommand;

/// Compare the QEMU series in `patches/` with upstream, and begin a new one
#[derive(Debug, Subcommand)]
pub enum SeriesCommand {
    /// Say for each series whether upstream has a newer point release, and which newer series there are
    ///
    /// Upstream's git repository is asked for its tags. A series that is behind is no failure: `behind` of
    /// --json says so to programs.
    #[command(after_help = "\
Examples:
  cargo xtask series check
  cargo xtask series check --from https://example.org/mirror/qemu.git --json")]
    Check {
        /// Ask this git repository, a mirror or a clone, instead of the one that the series pin
        #[arg(long, value_name = "URL|DIR")]
        from: Option<String>,
    },
    /// Make `patches/NAME/` from a new source and the patches of another series, and list what is left to do
    ///
    /// Each patch is tried on the new source, with a three-way merge if the old source can be had too. Those that
    /// fit are written, those that upstream has are left out, and those that conflict are listed with the files.
    /// The folder appears at the end, whole.
    #[command(after_help = "\
Examples:
  cargo xtask series new 11.2 --from 11.0
  cargo xtask series new 11.1 --from prepared/11.1 --source qemu-11.1.0.tar.xz
  cargo xtask series new 11.1 --from 11.0 --source ~/qemu --commit e1705a25... --work /tmp/qemu-11.1")]
    New(new::New),
}

impl SeriesCommand {
    /// Whether it uses the cache and the build trees.
    pub fn makes_something(&self) -> bool {
        matches!(self, Self::New(_))
    }
}

/// Runs one of them.
pub fn run(session: &Session, command: &SeriesCommand) -> Result<()> {
    match command {
        SeriesCommand::Check { from } => check::run(session, from.as_deref()),
        SeriesCommand::New(arguments) => new::run(session, arguments),
    }
}
