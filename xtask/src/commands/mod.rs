//! One module a command; each carries out (a part of) a plan.

mod bench;
mod build;
mod clean;
mod doctor;
mod patch;
mod plan;
mod rootfs;
mod source;
mod test;
mod toolchain;

use crate::cli::{Cli, Command};
use crate::interrupt;
use crate::progress::Progress;
use crate::session::Session;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use serde::Serialize;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::thread::available_parallelism;

/// Runs what the command line says.
pub fn run(cli: &Cli) -> Result<()> {
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command().bin_name("xtask"), "xtask", &mut io::stdout());
        return Ok(());
    }
    let global = &cli.global;
    let session = Session {
        workspace: Workspace::locate(
            global.root.as_deref(),
            global.build_dir.as_deref(),
            global.out.as_deref(),
        )?,
        progress: Progress::new(global.verbose),
        jobs: global.jobs.map_or_else(processors, usize::from),
        json: global.json,
        offline: global.offline,
    };
    interrupt::install()?;
    match &cli.command {
        Command::Build(arguments) => build::build(&session, arguments),
        Command::Plan(selection) => plan::print(&session, &selection.request()),
        Command::Source(arguments) => source::run(&session, arguments),
        Command::Toolchain(arguments) => toolchain::run(&session, arguments),
        Command::Verify(selection) => build::verify(&session, selection),
        Command::Package(selection) => build::package(&session, selection),
        Command::Patch(command) => patch::run(&session, command),
        Command::Rootfs(arguments) => rootfs::run(&session, arguments),
        Command::Test(arguments) => test::run(&session, arguments),
        Command::Bench(arguments) => bench::run(&session, arguments),
        Command::Doctor => doctor::run(&session),
        Command::Clean(arguments) => clean::run(&session, arguments),
        Command::Completions { .. } => Ok(()), // Done above: it needs no checkout.
    }
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// Prints a result: as JSON, or as text for people. A reader that has gone is no failure.
fn show<T: Serialize>(session: &Session, value: &T, text: impl FnOnce() -> String) -> Result<()> {
    let text = if session.json {
        let mut json = serde_json::to_string_pretty(value).context("cannot encode the result")?;
        json.push('\n');
        json
    } else {
        text()
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the result"),
    }
}
