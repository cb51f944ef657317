//! `completions`: what a shell needs to complete our command lines.

use super::print;
use crate::facts::{Host, Series};
use crate::workspace::Workspace;
use anyarch_manifest::FILE;
use anyarch_manifest::layout::PROGRAM;
use anyarch_manifest::target::TARGETS;
use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, Command};
use clap_complete::Shell;
use std::fs;

/// Print a completion script for a shell
///
/// The script completes the command `xtask`: add target/debug to PATH, or define an alias. It has the targets, hosts,
/// series and releases that there are now.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// Prints the script for a whole command line. Without a checkout it has no hosts, series and releases.
pub fn run(command: Command, workspace: Option<&Workspace>, arguments: &Completions) -> Result<()> {
    let words = Words::of(workspace);
    let mut command = with_words(command.bin_name("xtask"), &words);
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "xtask", &mut script);
    print(&script)
}

/// What options complete to.
struct Words {
    targets: Vec<String>,
    hosts: Vec<String>,
    series: Vec<String>,
    releases: Vec<String>,
}

impl Words {
    fn of(workspace: Option<&Workspace>) -> Self {
        let mut words = Self {
            targets: TARGETS.iter().map(|target| target.name.to_owned()).collect(),
            hosts: Vec::new(),
            series: Vec::new(),
            releases: Vec::new(),
        };
        words.targets.extend(["all", "native", PROGRAM].map(str::to_owned));
        let Some(workspace) = workspace else { return words };
        let hosts = Host::all(&workspace.root.join("toolchains")).unwrap_or_default();
        words.hosts.extend(hosts.into_iter().map(|host| host.platform));
        words.hosts.extend(["all", "native"].map(str::to_owned));
        words.series = Series::names(&workspace.root.join("patches")).unwrap_or_default();
        let made = fs::read_dir(&workspace.out).into_iter().flatten().flatten();
        let made = made.filter(|entry| entry.path().join(FILE).is_file());
        words.releases = made.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        words.releases.sort();
        words
    }

    fn for_option(&self, id: &str) -> &[String] {
        match id {
            "targets" => &self.targets,
            "host" | "hosts" => &self.hosts,
            "series" => &self.series,
            "release" => &self.releases,
            _ => &[],
        }
    }
}

/// The command line, whose options take only such words: scripts list them.
fn with_words(command: Command, words: &Words) -> Command {
    let command = command.mut_args(|arg| match words.for_option(arg.get_id().as_str()) {
        [] => arg,
        // A default need not be one of them, and a script says nothing of defaults.
        known => {
            // clap keeps words for as long as the program runs, which then ends.
            let known = known.iter().map(|word| &*word.clone().leak());
            arg.value_parser(PossibleValuesParser::new(known)).default_values(Vec::<&str>::new())
        }
    });
    command.mut_subcommands(|command| with_words(command, words))
}
