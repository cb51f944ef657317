//! QEMU's own tests of emulated programs, `tests/tcg` of the source tree, compiled once and run by three
//! emulators: upstream's, ours with interception off, and ours with it on. Ours must pass each test as
//! often as upstream's.
//!
//! The rules are the tree's own makefiles, alike in all series. They want a few variables, which QEMU's
//! configure would write for the compilers that it found; here they are written for the compiler that
//! [`cross`] names. What is not among them is left out: plugins, which our emulators are built without.
//! What needs gdb skips itself, by the makefiles, where there is no gdb for all targets.

mod guests;
mod results;
mod test_runner;

pub use results::{PassCount, Row, Table};

use super::{Outcome, Reference, cross};
use crate::compile::Emulator;
use crate::patch::UpstreamTree;
use crate::session::Session;
use anyarch_client::files::TempFolder;
use anyarch_client::progress::Step;
use anyhow::{Context as _, Result, bail};
use guests::Guests;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use test_runner::{TestOutcome, TestRunner};

/// How often a test is run that failed at all, unless fewer runs decide.
const ROUNDS: u32 = 10;

/// Runs the tests. The table is there when they could be run.
pub fn check(
    session: &Session,
    tests: &UpstreamTree,
    ours: &Emulator,
    reference: Reference<'_>,
) -> Result<(Outcome, Option<Table>)> {
    let target = ours.target();
    let tools = match cross::find(target) {
        Ok(tools) => tools,
        Err(missing) => return Ok((Outcome::lacks(&missing), None)),
    };
    let home = TempFolder::new(&session.workspace.trees)?;
    let step = session.progress.step(format!("tests/tcg of {}", target.name));
    let guests = Guests::build(session, tests, target, &tools, home.path())?;
    let test_runners = [
        TestRunner::new(&guests, "upstream", reference.emulator.path(), None)?,
        TestRunner::new(&guests, "off", ours.path(), None)?,
        TestRunner::new(&guests, "on", ours.path(), Some("self"))?,
    ];
    let table = run(&guests, &test_runners, &step)?;
    step.done(&table.summary());
    let worse: Vec<String> = table.rows.iter().filter(|row| row.is_worse()).map(Row::line).collect();
    if !worse.is_empty() {
        bail!(
            "{} of tests/tcg pass less often than in upstream's {}:\n{}{}",
            worse.len(),
            target.emulator(),
            results::HEAD,
            worse.concat()
        );
    }
    let outcome = match table.proves_nothing() {
        true => {
            Outcome::NotRun(format!("most of tests/tcg fail here with every emulator: {}", table.summary()))
        }
        false => Outcome::Passed(table.summary()),
    };
    Ok((outcome, Some(table)))
}

/// Every test once in every lane, and those that failed anywhere some more times.
fn run(guests: &Guests, test_runners: &[TestRunner; 3], step: &Step<'_>) -> Result<Table> {
    let mut table = Table::new(guests);
    for round in 1..=ROUNDS {
        let due: Vec<usize> = (0..table.rows.len()).filter(|row| table.rows[*row].is_due(round)).collect();
        if due.is_empty() {
            break;
        }
        let runners: Vec<&str> = due.iter().map(|row| table.rows[*row].test.as_str()).collect();
        let ended = in_all_runners(test_runners, &runners, round, step)?;
        for (place, row) in due.into_iter().enumerate() {
            table.rows[row].count([&ended[0][place], &ended[1][place], &ended[2][place]]);
        }
    }
    Ok(table)
}

/// Runs these tests in each lane, one after the other, and the lanes side by side.
fn in_all_runners(
    test_runners: &[TestRunner; 3],
    tests: &[&str],
    round: u32,
    step: &Step<'_>,
) -> Result<[Vec<TestOutcome>; 3]> {
    let total = (tests.len() * test_runners.len()) as u64;
    let done = AtomicU64::new(0);
    let one = |test_runner: &TestRunner| -> Result<Vec<TestOutcome>> {
        let run = |test: &&str| {
            let ended = test_runner.run(test)?;
            step.count(done.fetch_add(1, Relaxed) + 1, total, &format!("{test}, round {round}"));
            Ok(ended)
        };
        tests.iter().map(run).collect()
    };
    std::thread::scope(|scope| {
        let running = test_runners.each_ref().map(|test_runner| scope.spawn(|| one(test_runner)));
        let mut ended = running
            .into_iter()
            .map(|test_runner| test_runner.join().ok().context("a thread that runs tests panicked")?);
        let mut next = || ended.next().context("the results of one emulator are missing")?;
        Ok([next()?, next()?, next()?])
    })
}
