//! The command line: the list of commands, and options of every command.

use crate::commands::register::RegisterArgs;
use crate::commands::{
    cache, completions, doctor, install, kept, list, register, remove, rootfs, run, status, unregister,
    upgrade,
};
use crate::run::inside;
use crate::session::Session;
use crate::{complete, version};
use anyarch_binfmt::status::StatusArgs;
use anyarch_binfmt::unregister::Unregister;
use anyhow::Result;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

/// Runs programs of other machines: foreign root file systems and images in one command, nobody root, nothing registered.
#[derive(Debug, Parser)]
#[command(
    name = "anyarch",
    version = version::SHORT,
    long_version = version::LONG.as_str(),
    max_term_width = 100,
    before_help = "\
Examples:
  anyarch run --platform linux/arm64 debian:bookworm  a shell in an arm64 image; changes are in memory
  anyarch run /srv/arm64                              a shell in an arm64 root file system, in a folder
  anyarch run /srv/arm64 -- apt-get install -y hello  as root inside, as yourself outside
  anyarch rootfs --target arm64 ~/arm64               a configured Debian in a new folder, made as yourself
  anyarch install --target arm64,riscv64 --from URL   emulators, into ~/.local
  sudo anyarch register arm64                         the kernel runs arm64 programs by itself, in containers too
  anyarch doctor                                      what this machine lacks, and the command that gets it
"
)]
#[command(after_help = "\
Exit codes: 0 success, 1 failure, 2 usage error, 3 something is missing on this machine (`doctor` tells what).
What can be made anew is kept in $ANYARCH_CACHE, else $XDG_CACHE_HOME/anyarch, else ~/.cache/anyarch.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Print results, and errors, as JSON on stdout; messages still go to stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// The commands. Each is a file of its own below `commands`, with its arguments, its help and its run.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "clap would show what is said here instead of a command's own help")]
pub enum Command {
    Run(Box<run::Run>),
    Rootfs(rootfs::Rootfs),
    Install(install::Install),
    List(list::List),
    Upgrade(upgrade::Upgrade),
    Remove(remove::Remove),
    Register(RegisterArgs),
    Unregister(Unregister),
    Status(StatusArgs),
    #[command(subcommand)]
    Kept(kept::Kept),
    #[command(subcommand)]
    Cache(cache::Cache),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// When it fails; [`crate::ended`] tells the kinds apart.
    pub fn run(&self, session: &Session) -> Result<()> {
        match self {
            Self::Run(arguments) => run::run(session, arguments),
            Self::Rootfs(arguments) => rootfs::run(session, arguments),
            Self::Install(arguments) => install::run(session, arguments),
            Self::List(arguments) => list::run(session, arguments),
            Self::Upgrade(arguments) => upgrade::run(session, arguments),
            Self::Remove(arguments) => remove::run(session, arguments),
            Self::Register(arguments) => register::run(session, arguments),
            Self::Unregister(arguments) => unregister::run(session, arguments),
            Self::Status(arguments) => status::run(session, arguments),
            Self::Kept(command) => kept::run(session, command),
            Self::Cache(command) => cache::run(session, command),
            Self::Doctor(_) => doctor::run(session),
            Self::Completions(arguments) => completions::run(arguments),
        }
    }

    /// The exit code for a failure of no special kind. That of `run` is none that a command of the root usually has.
    pub fn failure(&self) -> u8 {
        match self {
            Self::Run(_) => inside::FAILED,
            _ => 1,
        }
    }
}

/// The command line, with what its words complete to.
pub fn completing() -> clap::Command {
    complete::with_words(Cli::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_option_is_explained() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            assert!(command.get_about().is_some(), "{} says nothing of itself", command.get_name());
            for option in command.get_arguments() {
                assert!(option.get_help().is_some(), "{} of {}", option.get_id(), command.get_name());
            }
        }
    }

    #[test]
    fn what_stands_behind_the_root_is_the_commands() {
        for words in [&["run", "/r", "--", "ls", "-l"][..], &["run", "/r", "ls", "-l"]] {
            let words = [&["anyarch"], words].concat();
            let parsed = Cli::try_parse_from(&words).expect("well formed");
            let Command::Run(run) = parsed.command else { unreachable!("run") };
            assert_eq!(run.command(), ["ls", "-l"], "{words:?}");
        }
    }
}
