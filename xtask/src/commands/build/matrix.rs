//! All pairs of a plan at once: a thread a host, all of them on the same job slots. The emulators of this
//! machine come out of its own tree, and the other hosts wait for those that run theirs.

use super::prepared::{self, Prepared};
use super::runners::{Runners, was_stopped};
use super::{BuildTimes, Failure, Row};
use crate::children;
use crate::compile::{Compiled, Emulator};
use crate::facts::{Host, Target};
use crate::package;
use crate::plan::{Plan, TreePlan};
use crate::process;
use crate::session::BuildSession;
use crate::verify::{self, Depth, Runner, Verified};
use anyarch_client::interrupt;
use anyarch_client::progress::count;
use anyhow::{Error, Result, anyhow, ensure};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Emulators that are verified and packed at a time, for each host: each takes some 40 MB. All hosts have them from
/// one pool, since a thread that has packed keeps its memory.
const PACKERS: usize = 2;

/// The result of building all pairs of target and host.
#[derive(Debug, Default)]
pub struct MatrixResult {
    /// Tarballs that were built or were up to date.
    pub rows: Vec<Row>,
    /// Pairs that failed; with `--keep-going` there may be several.
    pub failed: Vec<Failure>,
    /// Key of the tarballs of each host, by platform name.
    pub keys: BTreeMap<String, package::Key>,
    /// How long it took.
    pub work: BuildTimes,
}

/// Makes the tarballs of a plan that are not up to date.
pub fn make(session: &BuildSession, plan: &Plan, given: Option<&str>) -> Result<MatrixResult> {
    let mut made = MatrixResult::default();
    let mut host_builds = Vec::new();
    // Why this machine makes none that run the others, if it does not.
    let mut crippled = None;
    for (place, prepared) in places(session, plan, given)? {
        match prepared {
            Ok(prepared) => host_builds.push(HostBuild::new(session, place, prepared, &mut made)),
            Err(error) if session.keep_going => {
                if place.runs_others {
                    crippled = Some(format!("{error:#}"));
                }
                made.failed.push(Failure::new(session, place.tree.host(), None, error));
            }
            Err(error) => return Err(error),
        }
    }
    if host_builds.iter().any(|host_build| !host_build.missing.is_empty()) {
        package::is_writable(session, plan.release())?;
    }
    // Who is to run here what is missing.
    let foreign = host_builds
        .iter()
        .filter(|host_build| !host_build.host().is_native() && !host_build.missing.is_empty());
    let wanted: Vec<Target> = foreign.filter_map(|host_build| host_build.host().as_target().ok()).collect();
    let runners = plan.runners().map_or(&[][..], |(_, tree)| tree.targets());
    let runners: Vec<Target> = runners.iter().filter(|target| wanted.contains(target)).copied().collect();
    let all_runners = Runners::new(&runners, (PACKERS * host_builds.len().max(1)).min(session.jobs))?;
    if let Some(reason) = crippled {
        all_runners.give_up(&reason);
    }

    let results: Vec<Result<Done>> = thread::scope(|scope| {
        let all_runners = &all_runners;
        let started: Vec<_> =
            host_builds.iter().map(|host_build| scope.spawn(|| host_build.run(all_runners))).collect();
        started
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| Err(anyhow!("the thread that builds a host panicked"))))
            .collect()
    });
    let mut first = all_runners.first_error();
    for result in results {
        match result {
            Ok(done) => {
                made.rows.extend(done.rows);
                made.failed.extend(done.failed);
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    made.work = all_runners.timer.work();
    first.map_or(Ok(made), Err)
}

/// A tree, the plan that it is of, and what it is there for.
#[derive(Clone, Copy)]
struct Place<'a> {
    plan: &'a Plan,
    tree: &'a TreePlan,
    /// Whether its emulators are packed.
    packs: bool,
    /// Whether some of them run those of other hosts.
    runs_others: bool,
}

/// All trees that take part, with what they are made from: those of the plan, and the one with its runners, if that
/// is another.
fn places<'a>(
    session: &BuildSession,
    plan: &'a Plan,
    given: Option<&str>,
) -> Result<Vec<(Place<'a>, Result<Prepared>)>> {
    let own = plan.runs_its_own();
    let place =
        |tree: &'a TreePlan| Place { plan, tree, packs: true, runs_others: own && tree.host().is_native() };
    let mut asked: Vec<Place<'a>> = plan.trees().iter().map(place).collect();
    let mut others = Vec::new();
    if let Some((plan, tree)) = plan.runners()
        && !asked.iter().any(|place| place.runs_others)
    {
        let place = Place { plan, tree, packs: false, runs_others: true };
        if own { asked.push(place) } else { others.push(place) }
    }
    let trees = |places: &[Place<'a>]| places.iter().map(|place| place.tree).collect::<Vec<_>>();
    let mut prepared = prepared::all(session, plan, &trees(&asked), given)?;
    if let Some(other) = others.first() {
        prepared.extend(prepared::all(session, other.plan, &trees(&others), None)?);
    }
    Ok(asked.into_iter().chain(others).zip(prepared).collect())
}

/// The work for one host.
struct HostBuild<'a> {
    session: &'a BuildSession,
    place: Place<'a>,
    prepared: Prepared,
    missing: Vec<Target>,
}

/// The result for one host.
#[derive(Default)]
struct Done {
    rows: Vec<Row>,
    failed: Vec<Failure>,
}

impl<'a> HostBuild<'a> {
    /// What is there already goes to `made`.
    fn new(session: &'a BuildSession, place: Place<'a>, prepared: Prepared, made: &mut MatrixResult) -> Self {
        let mut host_build = Self { session, place, prepared, missing: Vec::new() };
        if place.packs {
            made.keys.insert(place.tree.host().platform.clone(), host_build.prepared.key.clone());
            host_build.missing = host_build.sort(place.tree.targets(), &mut made.rows);
        }
        host_build
    }

    /// Those of some targets that have no tarball; what is there already goes to `rows`.
    fn sort(&self, targets: &[Target], rows: &mut Vec<Row>) -> Vec<Target> {
        let mut missing = Vec::new();
        for target in targets {
            match self.prepared.find(self.session, self.place.plan, self.place.tree, *target) {
                Some(tarball) => rows.push(Row { tarball, up_to_date: true, seconds: 0.0 }),
                None => missing.push(*target),
            }
        }
        missing
    }

    fn host(&self) -> &Host {
        self.place.tree.host()
    }

    /// The first failure ends the others, unless they are to go on.
    fn run(&self, all_runners: &Runners) -> Result<Done> {
        let mut done = Done::default();
        let Err(error) = self.make(all_runners, &mut done) else { return Ok(done) };
        let reason = format!("{error:#}");
        let outcome = if self.session.keep_going {
            done.failed.push(Failure::new(self.session, self.host(), None, error));
            Ok(done)
        } else {
            Err(self.stop(error, all_runners))
        };
        if self.place.runs_others {
            all_runners.give_up(&reason);
        }
        outcome
    }

    /// Ends the others at once, unless they are to go on or the run is being ended anyway.
    fn stop(&self, error: Error, all_runners: &Runners) -> Error {
        if self.session.keep_going || interrupt::interrupted() {
            return error;
        }
        all_runners.halt(error, self.host())
    }

    fn make(&self, all_runners: &Runners, done: &mut Done) -> Result<()> {
        let runners = if self.place.runs_others { all_runners.wanted() } else { Vec::new() };
        let mut wanted = self.missing.clone();
        wanted.extend(runners.iter().filter(|target| !self.missing.contains(target)));
        if wanted.is_empty() {
            return Ok(());
        }
        let build = self.prepared.open(self.session, self.place.plan, self.place.tree)?;
        // Another run may have made some of them while this one waited for the tree.
        let missing = self.sort(&self.missing, &mut done.rows);
        wanted.retain(|target| missing.contains(target) || runners.contains(target));
        if wanted.is_empty() {
            return Ok(());
        }
        all_runners.timer.note();
        let compiled = build.compile(&wanted, &self.prepared.source);
        all_runners.timer.note();
        let Compiled { emulators, failed } = compiled?;
        for (target, error) in failed {
            if self.place.runs_others {
                all_runners.publish(target, Err(format!("{error:#}")));
            }
            done.failed.push(Failure::new(self.session, self.host(), Some(target), error));
        }
        // Others wait for the runners.
        let (first, rest): (Vec<Emulator>, Vec<Emulator>) =
            emulators.into_iter().partition(|emulator| runners.contains(&emulator.target()));
        for some in [first, rest] {
            self.prove(some, &missing, all_runners, done)?;
        }
        Ok(())
    }

    /// Verifies emulators, and packs those that are missing.
    fn prove(
        &self,
        emulators: Vec<Emulator>,
        missing: &[Target],
        all_runners: &Runners,
        done: &mut Done,
    ) -> Result<()> {
        if emulators.is_empty() {
            return Ok(());
        }
        let runner = all_runners.runner(self.host())?;
        let total = emulators.len();
        let what = format!("{:<8} verify and pack {}", self.host().platform, count(total, "emulator"));
        let step = self.session.progress.step(what);
        let packed = Mutex::new(0);
        let one = |emulator: Emulator| {
            let target = emulator.target();
            let row = self.prove_one(emulator, missing.contains(&target), runner.as_ref(), all_runners);
            let mut packed = packed.lock().unwrap_or_else(PoisonError::into_inner);
            *packed += 1;
            step.count(*packed, total as u64, &target.emulator());
            (target, row)
        };
        let failed = done.failed.len();
        let stop = |error| self.stop(error, all_runners);
        each(self.session, all_runners, self.host(), &Mutex::new(&mut *done), emulators, one, stop)?;
        step.done(&match done.failed.len() - failed {
            0 => "done".to_owned(),
            failed => format!("done, {failed} failed"),
        });
        Ok(())
    }

    fn prove_one(
        &self,
        emulator: Emulator,
        packs: bool,
        runner: Option<&Runner>,
        all_runners: &Runners,
    ) -> Result<Option<Row>> {
        let _slot = self.session.slots.take()?;
        self.goes_on()?;
        let started = Instant::now();
        let target = emulator.target();
        let verified = verify::verify(self.session, self.place.plan.series(), emulator, Depth::Quick, runner);
        let outcome = verified.as_ref().map(Verified::clone).map_err(|error| format!("{error:#}"));
        // Who waits for this one finds that all is ended, where it is.
        let verified = verified.map_err(|error| self.stop(error, all_runners));
        if self.place.runs_others {
            all_runners.publish(target, outcome);
        }
        let verified = verified?;
        self.goes_on()?;
        if !packs {
            return Ok(None);
        }
        let before = process::thread_time();
        let tarball = package::pack(self.session, &verified, &self.prepared.source, &self.prepared.key)?;
        all_runners.timer.packed(process::thread_time() - before);
        let seconds = started.elapsed().as_secs_f64();
        let summary = tarball.record().emulator.summary();
        self.session.progress.detail(&format!("  {}: {summary}", target.emulator()));
        Ok(Some(Row { tarball, up_to_date: false, seconds }))
    }

    /// An error once another failure ended all: no child would begin any more, and nothing more is packed.
    fn goes_on(&self) -> Result<()> {
        ensure!(!children::halted(), was_stopped(self.host()));
        Ok(())
    }
}

/// Does `one` with all of these, a few at a time. What fails is told when it fails; unless the others are to go on,
/// `stop` hears of it then, and no more are begun.
fn each<T: Send>(
    session: &BuildSession,
    all_runners: &Runners,
    host: &Host,
    done: &Mutex<&mut Done>,
    all: Vec<T>,
    one: impl Fn(T) -> (Target, Result<Option<Row>>) + Sync,
    stop: impl Fn(Error) -> Error + Sync,
) -> Result<()> {
    let settle = |item: T| {
        let (target, row) = one(item);
        let error = match row {
            Ok(row) => {
                done.lock().unwrap_or_else(PoisonError::into_inner).rows.extend(row);
                return Ok(());
            }
            Err(error) => error,
        };
        if !session.keep_going {
            return Err(stop(error));
        }
        let failure = Failure::new(session, host, Some(target), error);
        done.lock().unwrap_or_else(PoisonError::into_inner).failed.push(failure);
        Ok(())
    };
    all_runners.packers.install(|| all.into_par_iter().try_for_each(settle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::build::runners::tests::foreign;
    use crate::plan::tests::workspace;
    use crate::session::Session;
    use crate::workspace::Workspace;
    use anyarch_client::progress::Progress;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Its slots are in a folder of their own.
    fn session(home: &Path, keep_going: bool) -> BuildSession {
        let session = Session {
            workspace: Workspace { trees: home.to_owned(), ..workspace() },
            progress: Progress::new(0),
            jobs: 1,
            json: false,
            offline: true,
        };
        BuildSession::new(session, keep_going).expect("slots")
    }

    /// Does four things, of which the second fails, one at a time. Gives how many were begun, what came of all, how
    /// many failures were told before the last was begun, and how often all was stopped.
    fn second_of_four_fails(keep_going: bool) -> (usize, Result<()>, usize, usize) {
        let (host, target) = foreign();
        let home = tempfile::tempdir().expect("a folder");
        let session = session(home.path(), keep_going);
        let [begun, told, stopped] = [0; 3].map(AtomicUsize::new);
        let mut done = Done::default();
        let done = Mutex::new(&mut done);
        let one = |number: usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            told.store(done.lock().expect("no panic").failed.len(), Ordering::SeqCst);
            (target, if number == 2 { Err(anyhow!("broken")) } else { Ok(None) })
        };
        let stop = |error: Error| {
            stopped.fetch_add(1, Ordering::SeqCst);
            error
        };
        let all_runners = Runners::new(&[], 1).expect("runners");
        let result = each(&session, &all_runners, &host, &done, vec![1, 2, 3, 4], one, stop);
        (begun.into_inner(), result, told.into_inner(), stopped.into_inner())
    }

    #[test]
    fn a_failed_proof_ends_the_others_before_they_begin() {
        let (begun, result, told, stopped) = second_of_four_fails(false);
        assert_eq!((begun, told, stopped), (2, 0, 1));
        assert_eq!(result.expect_err("it failed").to_string(), "broken");
    }

    #[test]
    fn the_others_go_on_over_a_failed_proof_if_they_shall() {
        let (begun, result, told, stopped) = second_of_four_fails(true);
        assert_eq!((begun, told, stopped), (4, 1, 0));
        result.expect("the others are made");
    }
}
