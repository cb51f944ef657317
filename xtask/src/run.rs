//! Runs what the command line says: makes the session, takes the folders, hands over to the command.

use crate::children;
use crate::cli::{Cli, Command};
use crate::commands::{
    bench, build, clean, completions, doctor, fetch, image, package, patch, plan, program, release,
    reproduce, rootfs, series, source, test, toolchain, verify,
};
use crate::session::{BuildSession, Session};
use crate::slots;
use crate::workspace::Workspace;
use anyarch_client::claim;
use anyarch_client::progress::{Progress, count, human_bytes};
use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use std::num::NonZero;
use std::thread::available_parallelism;

/// Runs what the command line says.
pub fn run(cli: &Cli) -> Result<()> {
    let global = &cli.global;
    let workspace =
        Workspace::locate(global.root.as_deref(), global.build_dir.as_deref(), global.out.as_deref());
    // It needs no checkout.
    if let Command::Completions(arguments) = &cli.command {
        return completions::run(Cli::command(), workspace.ok().as_ref(), arguments);
    }
    let session = Session {
        workspace: workspace?,
        progress: Progress::new(global.verbose),
        jobs: global.jobs.map_or_else(|| slots::fitting(processors(), slots::free_memory()), usize::from),
        json: global.json,
        offline: global.offline,
    };
    children::end_when_interrupted()?;
    let mut in_use = Vec::new();
    if makes_something(&cli.command) {
        let refreshes = matches!(&cli.command, Command::Toolchain(arguments) if arguments.refresh);
        let cache = &session.workspace.cache;
        in_use.push(if refreshes {
            claim::alone(cache).context("nothing was refreshed")?
        } else {
            claim::shared(cache).context("cannot use the cache folder; set ANYARCH_CACHE to another one")?
        });
        let trees = claim::shared(&session.workspace.trees);
        in_use.push(trees.context("cannot use the folder for build trees; pass --build-dir")?);
        tell_of_little_memory(&session);
    }
    let building = |session: Session| {
        BuildSession::new(session, global.keep_going)
            .context("cannot use the folder for build trees; pass --build-dir")
    };
    match &cli.command {
        Command::Build(arguments) if arguments.dry_run => build::dry_run(&session, arguments),
        Command::Build(arguments) => build::run(&building(session)?, arguments),
        Command::Plan(arguments) => plan::run(&session, arguments),
        Command::Source(arguments) => source::run(&session, arguments),
        Command::Toolchain(arguments) => toolchain::run(&session, arguments),
        Command::Verify(arguments) => verify::run(&building(session)?, arguments),
        Command::Reproduce(arguments) => reproduce::run(&building(session)?, arguments),
        Command::Program(arguments) => program::run(&building(session)?, arguments),
        Command::Release(arguments) => release::run(&building(session)?, arguments),
        Command::Image(arguments) => image::run(&session, arguments),
        Command::Package(arguments) => package::run(&session, arguments),
        Command::Fetch(arguments) => fetch::run(&session, arguments, global.keep_going),
        Command::Patch(command) => patch::run(&building(session)?, command),
        Command::Series(command) => series::run(&session, command),
        Command::Rootfs(arguments) => rootfs::run(arguments),
        Command::Test(arguments) => test::run(&session, arguments),
        Command::Bench(arguments) => bench::run(&building(session)?, arguments),
        Command::Doctor(_) => doctor::run(&session),
        Command::Clean(arguments) => clean::run(&session, arguments),
        Command::Completions(_) => Ok(()), // Done above.
    }
}

/// Commands that only look leave no trace, not even an empty folder.
fn makes_something(command: &Command) -> bool {
    match command {
        Command::Build(arguments) => !arguments.dry_run,
        Command::Plan(_) | Command::Doctor(_) | Command::Clean(_) | Command::Completions(_) => false,
        Command::Series(command) => command.makes_something(),
        // The tests run the driver themselves.
        Command::Test(_) => false,
        // It makes something elsewhere, and no build trees.
        Command::Fetch(_) | Command::Image(_) | Command::Package(_) => false,
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
            "warning: {} jobs may need more than the {free} of memory that are free; --jobs {fit} would fit",
            session.jobs
        ));
    } else if session.jobs < processors() && session.jobs == fit {
        let jobs = count(session.jobs, "job");
        session.progress.say(&format!("note: {jobs} at a time, because {free} of memory are free"));
    }
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}
