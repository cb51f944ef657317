//! `patch check`, `patch open`, `patch refresh`.

mod each;

use super::source::SourceArgs;
use super::{print, show};
use crate::facts::{Series, Topic, series};
use crate::session::{BuildSession, Session};
use crate::toolchain::ToolchainOptions;
use crate::{patch, source};
use anyarch_client::files;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::PathBuf;

/// Check, open and rewrite the patches of a series
#[derive(Debug, Subcommand)]
pub enum Patch {
    /// Apply every patch to a fresh copy of the source; fuzz is an error, moved hunks are reported
    ///
    /// Each topic is also applied alone, with only the topics that it requires. With --each, patches are
    /// applied one by one in a separate tree, and after each one an emulator for this machine is compiled and
    /// run. A patch that only works with a later one fails.
    #[command(after_help = "\
Examples:
  cargo xtask patch check --qemu 10.0
  cargo xtask patch check --each --launcher ccache")]
    Check(CheckArgs),
    /// Create a git repository in DIR: the source is the first commit, each patch is one more
    Open {
        /// A new folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Only the patches of these topics: execve, fixes, fast [default: all]
        #[arg(long = "topic", value_name = "TOPIC", value_delimiter = ',')]
        topics: Vec<Topic>,
        /// Series and source.
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Write the commits of a repository made by `patch open` back to `patches/`, sorted by their `Topic:` lines
    Refresh {
        /// The folder that `patch open` made
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The QEMU series
        #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
        series: String,
    },
}

/// `patch check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Series and source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Also compile and run an emulator after each patch
    #[arg(long)]
    pub each: bool,
    /// --each: target to compile
    #[arg(short, long, value_name = "TARGET", default_value = "aarch64", requires = "each")]
    pub target: String,
    /// How compilers are run: on this machine or in a container, through a cache or a cluster.
    #[command(flatten)]
    pub tooling: ToolchainOptions,
}

/// Keeps the patches of a series in shape.
pub fn run(session: &BuildSession, command: &Patch) -> Result<()> {
    match command {
        Patch::Check(arguments) => check(session, arguments),
        Patch::Open { folder, topics, source } => {
            let series = read(session, &source.series)?;
            files::is_writable(folder, "name a new folder in a place where you can write")?;
            let pinned = source::obtain(session, &series, source.source.as_deref())?;
            let number = patch::open(session, &series, &pinned, topics, folder)?;
            session.progress.say(&format!(
                "{}: {} as commits; edit, commit or rebase, then: cargo xtask patch refresh {}",
                folder.display(),
                count_of_patches(number),
                folder.display()
            ));
            Ok(())
        }
        Patch::Refresh { folder, series } => {
            let names = patch::refresh(session, &read(session, series)?, folder)?;
            show(session, &names, || names.iter().map(|name| format!("{name}\n")).collect())
        }
    }
}

fn read(session: &Session, series: &str) -> Result<Series> {
    Series::read(&session.workspace.root.join("patches"), series)
}

/// What `patch check` found.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    report: patch::Report,
    /// The result for each patch with `--each`.
    #[serde(skip_serializing_if = "Option::is_none")]
    each: Option<Vec<patch::PatchTrial>>,
}

fn check(session: &BuildSession, arguments: &CheckArgs) -> Result<()> {
    let plan = arguments.each.then(|| each::Each::plan(session, arguments)).transpose()?;
    let series = read(session, &arguments.source.series)?;
    let pinned = source::obtain(session, &series, arguments.source.source.as_deref())?;
    let report = patch::check(session, &series, &pinned)?;
    if !session.json {
        print(text(&report).as_bytes())?;
    }
    let each = plan.map(|plan| plan.run(session, &pinned)).transpose()?;
    // People have read it by now.
    show(session, &Found { report, each }, String::new)
}

fn text(report: &patch::Report) -> String {
    let patches = report.patches.iter().map(|one| format!("{}: {}\n", one.patch, applies(&one.moved)));
    patches.chain(report.topics.iter().map(topic)).collect()
}

fn applies(moved: &[String]) -> String {
    match moved.len() {
        0 => "applies".to_owned(),
        n => format!("applies, {n} hunks moved\n  {}", moved.join("\n  ")),
    }
}

/// What a topic applies with. That hunks move when others are missing is no news.
fn topic(alone: &patch::TopicCheck) -> String {
    let patches = count_of_patches(alone.patches.len());
    match &alone.after[..] {
        [] => format!("topic {}: {patches}, applies alone\n", alone.topic),
        after => format!("topic {}: {patches}, applies with {} alone\n", alone.topic, Topic::names(after)),
    }
}

fn count_of_patches(number: usize) -> String {
    match number {
        1 => "1 patch".to_owned(),
        number => format!("{number} patches"),
    }
}
