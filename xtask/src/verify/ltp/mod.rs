//! The system calls' tests of the Linux Test Project (LTP), compiled once for this machine and once for the target, and
//! run by three: natively, by upstream's emulator, and by ours with interception on. What passes natively shall pass in
//! ours, and what passes in upstream's must.
//!
//! LTP is not a part of this project: the user says where its source is. Its programs do what they can to a kernel, so
//! each case runs in namespaces of its own, as a root that is nobody on this machine: see `room`.

mod cases;
mod programs;
mod results;
mod room;

pub use results::{Row, Table};

use super::{Outcome, Reference, cross};
use crate::compile::Emulator;
use crate::error::Missing;
use crate::session::Session;
use anyarch_client::files::{self, TempFolder};
use anyarch_client::progress::{Step, count};
use anyhow::{Result, bail, ensure};
use cases::Case;
use programs::{Programs, Side};
use rayon::prelude::*;
use results::Ended;
use room::Rooms;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often a case is run that passes natively and not in every emulator: some mind a busy machine.
const ROUNDS: u32 = 3;

/// How many cases run at a time for each job: most sleep most of the time.
const AT_ONCE: usize = 2;

/// Where a case's programs come from, and what runs them.
#[derive(Debug)]
struct Lane {
    /// The folder of the programs, which is also the first of `PATH`.
    programs: PathBuf,
    /// An emulator and its options; nothing for this machine's own programs.
    emulator: Vec<OsString>,
}

/// Compiles LTP in `suite`, runs its cases, and compares. The table is there when they could be run.
pub fn check(
    session: &Session,
    suite: &Path,
    ours: &Emulator,
    reference: Reference<'_>,
) -> Result<(Outcome, Option<Table>)> {
    let target = ours.target();
    let tools = match cross::find(target) {
        Ok(tools) => tools,
        Err(missing) => return Ok((Outcome::lacks(&missing), None)),
    };
    if which::which("gcc").is_err() {
        return Ok((Outcome::lacks(&Missing::new("gcc", "apt-get install gcc libc6-dev")), None));
    }
    let cases = cases::read(suite, &session.workspace.root)?;
    let native = Programs::make(session, suite, &cases, &Side::native(&tools))?;
    let foreign = Programs::make(session, suite, &cases, &Side::of(target, &tools))?;
    let home = TempFolder::new(&session.workspace.trees)?;
    let rooms = Rooms::new(home.path())?;
    let emulated = |words: Vec<OsString>| Lane { programs: foreign.folder().to_owned(), emulator: words };
    let lanes = [
        Lane { programs: native.folder().to_owned(), emulator: Vec::new() },
        emulated(vec![reference.emulator.path().into()]),
        emulated(vec![ours.path().into(), "--execve".into(), "self".into()]),
    ];
    let is_there = |case: &Case| lanes.iter().all(|lane| lane.programs.join(&case.program).is_file());
    let (there, absent): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(is_there);
    ensure!(!there.is_empty(), "no case of {} has a program for both processors", suite.display());
    let step = session.progress.step(format!("LTP in qemu-{}", target.name));
    let rows = run(session, &rooms, &lanes, there, &step)?;
    let table = Table { rows, not_compiled: absent.into_iter().map(|case| case.name).collect() };
    step.done(&table.summary());
    let worse = table.worse();
    if !worse.is_empty() {
        // Whoever mends them wants to see the others, too.
        let kept = session.workspace.trees.join("ltp").join(format!("{}.json", target.name));
        files::write_json(&kept, &table)?;
        bail!(
            "{} of LTP passed in upstream's {} and not in ours:\n{}all cases: {}",
            count(worse.len(), "case"),
            target.emulator(),
            worse.concat(),
            kept.display()
        );
    }
    Ok((Outcome::Passed(table.summary()), Some(table)))
}

/// Every case natively, and those that pass in both emulators.
fn run(
    session: &Session,
    rooms: &Rooms,
    lanes: &[Lane; 3],
    cases: Vec<Case>,
    step: &Step<'_>,
) -> Result<Vec<Row>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(session.jobs * AT_ONCE).build()?;
    let (total, done) = (cases.len() as u64, AtomicU64::new(0));
    let row = |case: Case| -> Result<Row> {
        let [native, upstream, ours] = lanes;
        let native = rooms.run(native, &case)?;
        // What does not pass natively says nothing of an emulator.
        let emulated = |lane| native.is_passed().then(|| until_passed(rooms, lane, &case)).transpose();
        let (upstream, ours) = (emulated(upstream)?, emulated(ours)?);
        let row = Row { native, upstream, ours, case: case.name };
        step.count(done.fetch_add(1, Relaxed) + 1, total, &row.case);
        Ok(row)
    };
    pool.install(|| cases.into_par_iter().map(row).collect())
}

/// Runs a case until it passes, but no more than [`ROUNDS`] times.
fn until_passed(rooms: &Rooms, lane: &Lane, case: &Case) -> Result<Ended> {
    let mut ended = rooms.run(lane, case)?;
    for _ in 1..ROUNDS {
        if ended.is_passed() {
            break;
        }
        ended = rooms.run(lane, case)?;
    }
    Ok(ended)
}
