//! The command line: options of every command, and the list of commands.

use crate::commands::{
    bench, build, clean, completions, doctor, fetch, image, package, patch, plan, program, release,
    reproduce, rootfs, series, source, test, toolchain, verify,
};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Builds, verifies and packages patched QEMU user-mode emulators from pinned source.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 success, 1 failure, 2 usage error, 3 something is missing on this machine (`doctor` lists it).
Downloads and sysroots are kept in $ANYARCH_CACHE, else $XDG_CACHE_HOME/anyarch, else ~/.cache/anyarch.
No command needs root or changes the system. After Ctrl-C, the same command continues where it stopped.")]
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
    /// Print results as JSON on stdout; messages still go to stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Show each program that is run (-v) and its output (-vv)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Number of parallel jobs [default: one per processor, fewer if memory is short]
    #[arg(short, long, value_name = "N", global = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Continue with the others when one fails; the exit code still reports the failure
    #[arg(short, long, global = true)]
    pub keep_going: bool,
    /// Do not use the network, only the cache
    #[arg(long, global = true)]
    pub offline: bool,
    /// The anyarch checkout to work on [default: the one that this program was built from]
    #[arg(long, value_name = "DIR", global = true, env = "ANYARCH_ROOT")]
    pub root: Option<PathBuf>,
    /// Folder for source and build trees [default: target/anyarch]
    #[arg(long, value_name = "DIR", global = true)]
    pub build_dir: Option<PathBuf>,
    /// Folder for releases [default: dist]
    #[arg(long, value_name = "DIR", global = true)]
    pub out: Option<PathBuf>,
}

/// The commands. Each is a file of its own below `commands`, with its arguments, its help and its run.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "clap would show what is said here instead of a command's own help")]
pub enum Command {
    Build(build::Build),
    Plan(plan::PlanArgs),
    Source(source::SourceArgs),
    Toolchain(toolchain::ToolchainArgs),
    Verify(verify::Verify),
    Reproduce(reproduce::Reproduce),
    Program(program::Program),
    Release(release::ReleaseArgs),
    Image(image::ImageArgs),
    Package(package::PackageArgs),
    Fetch(fetch::Fetch),
    #[command(subcommand)]
    Patch(patch::Patch),
    #[command(subcommand)]
    Series(series::SeriesCommand),
    #[command(hide = true)]
    Rootfs(rootfs::Rootfs),
    Test(test::Test),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Clean(clean::Clean),
    Completions(completions::Completions),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// `--help` shows the defaults of these very arguments.
    #[test]
    fn a_plan_takes_what_a_build_takes_and_is_of_everything_if_nothing_is_said() {
        let request = |words: &[&str]| match Cli::try_parse_from(words).expect("well formed").command {
            Command::Plan(plan) => Some(plan.selection.request()),
            Command::Build(build) => Some(build.selection.request()),
            _ => None,
        };
        let parsed = |words: &[&str]| request(words).expect("one of the two");
        let plan = parsed(&["xtask", "plan"]);
        assert_eq!((&plan.targets[..], &plan.hosts[..]), (&["all".to_owned()][..], &["all".to_owned()][..]));
        let said = ["--target", "arm,sh4", "--host", "arm64", "--qemu", "7.2", "--toolchain", "container"];
        let both = ["plan", "build"].map(|command| parsed(&[&["xtask", command], &said[..]].concat()));
        assert_eq!(both[0].targets, ["arm", "sh4"]);
        assert_eq!(both[0], both[1]);
        assert!(Cli::try_parse_from(["xtask", "build"]).is_err(), "a build says what it builds");
    }

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
}
