//! One module a command; each carries out (a part of) a plan.

mod bench;
mod build;
mod clean;
mod doctor;
mod fetch;
mod patch;
mod plan;
mod release;
mod reproduce;
mod rootfs;
mod source;
mod test;
mod toolchain;
mod verify;

pub use test::{NOT_RUN, seed};

use crate::cli::{Cli, Command};
use crate::interrupt;
use crate::progress::{Progress, count, human_bytes};
use crate::session::Session;
use crate::slots::{self, Slots};
use crate::store;
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
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command().bin_name("xtask"), "xtask", &mut script);
        return print(&script);
    }
    let global = &cli.global;
    let mut session = Session {
        workspace: Workspace::locate(
            global.root.as_deref(),
            global.build_dir.as_deref(),
            global.out.as_deref(),
        )?,
        progress: Progress::new(global.verbose),
        jobs: global.jobs.map_or_else(|| slots::fitting(processors(), slots::free_memory()), usize::from),
        slots: None,
        keep_going: global.keep_going,
        json: global.json,
        offline: global.offline,
    };
    interrupt::install()?;
    let mut in_use = Vec::new();
    if makes_something(&cli.command) {
        let refreshes = matches!(&cli.command, Command::Toolchain(arguments) if arguments.refresh);
        let cache = &session.workspace.cache;
        in_use.push(if refreshes {
            store::claim_alone(cache).context("nothing was refreshed")?
        } else {
            store::claim(cache).context("the cache can't be used; set ANYARCH_CACHE")?
        });
        let trees = store::claim(&session.workspace.trees);
        in_use.push(trees.context("the folder of build trees can't be used; say --build-dir")?);
        let slots = Slots::new(&session.workspace.trees, session.jobs);
        session.slots = Some(slots.context("the folder of build trees can't be used; say --build-dir")?);
        tell_of_little_memory(&session);
    }
    match &cli.command {
        Command::Build(arguments) => build::build(&session, arguments),
        Command::Plan(arguments) => plan::print(&session, &arguments.selection.request(), arguments.format),
        Command::Source(arguments) => source::run(&session, arguments),
        Command::Toolchain(arguments) => toolchain::run(&session, arguments),
        Command::Verify(arguments) => verify::run(&session, arguments),
        Command::Package(selection) => build::package(&session, selection),
        Command::Release(arguments) => release::run(&session, arguments),
        Command::Fetch(arguments) => fetch::run(&session, arguments),
        Command::Patch(command) => patch::run(&session, command),
        Command::Rootfs(arguments) => rootfs::run(&session, arguments),
        Command::Test(arguments) => test::run(&session, arguments),
        Command::Bench(arguments) => bench::run(&session, arguments),
        Command::Doctor => doctor::run(&session),
        Command::Clean(arguments) => clean::run(&session, arguments),
        Command::Completions { .. } => Ok(()), // Done above: it needs no checkout.
    }
}

/// Commands that only look leave no trace, not even an empty folder.
fn makes_something(command: &Command) -> bool {
    match command {
        Command::Build(arguments) => !arguments.dry_run,
        Command::Plan(_) | Command::Doctor | Command::Clean(_) | Command::Completions { .. } => false,
        // The tests run the driver themselves.
        Command::Test(_) => false,
        // It makes something elsewhere, and no build trees.
        Command::Fetch(_) => false,
        _ => true,
    }
}

/// With fewer jobs than processors, or more than the memory is likely to hold, people should know why.
fn tell_of_little_memory(session: &Session) {
    let memory = slots::free_memory();
    let fit = slots::fitting(usize::MAX, memory);
    let free = human_bytes(memory);
    if session.jobs > fit {
        session.progress.say(&format!(
            "warning: {} jobs may take more than the {free} of memory that are free; --jobs {fit} would fit",
            session.jobs
        ));
    } else if session.jobs < processors() && session.jobs == fit {
        let jobs = count(session.jobs, "job");
        session.progress.say(&format!("note: {jobs} at a time, since {free} of memory are free"));
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
    print(text.as_bytes())
}

/// What a command says when nobody can be told what came of it.
pub const NO_OUTPUT: &str = "cannot write to standard output";

fn print(bytes: &[u8]) -> Result<()> {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context(NO_OUTPUT),
    }
}
