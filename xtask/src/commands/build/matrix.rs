//! All pairs of a plan at once: a thread a host, all of them on the same job slots. The emulators of this
//! machine come out of its own tree, and the other hosts wait for those that run theirs.

use super::prepared::{self, Prepared};
use super::{Failure, Row, Work};
use crate::compile::{Compiled, Emulator};
use crate::facts::{Host, Target};
use crate::interrupt;
use crate::package;
use crate::plan::{Plan, TreePlan};
use crate::process::{self, ProcessorTime};
use crate::progress::count;
use crate::session::Session;
use crate::verify::{self, Depth, Runner, Verified};
use anyhow::{Error, Result, anyhow};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// Emulators of one host that are verified and packed at a time: each takes some 40 MB.
const PACKERS: usize = 2;

/// What came of all pairs.
#[derive(Debug, Default)]
pub struct Made {
    /// The tarballs, made or found.
    pub rows: Vec<Row>,
    /// What failed, where the others went on.
    pub failed: Vec<Failure>,
    /// The keys of the hosts' pairs.
    pub keys: BTreeMap<String, String>,
    /// What it took.
    pub work: Work,
}

/// Makes the tarballs of a plan that are not up to date.
pub fn make(session: &Session, plan: &Plan, given: Option<&str>) -> Result<Made> {
    let mut trees: Vec<&TreePlan> = plan.trees.iter().collect();
    let own = trees.iter().position(|tree| tree.host.is_native());
    if own.is_none() {
        trees.extend(&plan.runners);
    }
    let mut made = Made::default();
    let mut columns = Vec::new();
    for (tree, prepared) in trees.iter().zip(prepared::all(session, plan, &trees, given)?) {
        match prepared {
            Ok(prepared) => {
                made.keys.insert(tree.host.platform.clone(), prepared.key.clone());
                // A tree that is only here for its runners packs nothing.
                let packs = own.is_some() || !tree.host.is_native();
                columns.push(Column::new(session, plan, tree, prepared, packs, &mut made));
            }
            Err(error) if session.keep_going => {
                made.failed.push(Failure::new(session, &tree.host, None, error));
            }
            Err(error) => return Err(error),
        }
    }
    // Who is to run here what is missing.
    let foreign = columns.iter().filter(|column| !column.tree.host.is_native() && !column.missing.is_empty());
    let wanted: Vec<Target> = foreign.filter_map(|column| column.tree.host.as_target().ok()).collect();
    let runners = plan.runners.iter().flat_map(|tree| &tree.targets);
    let runners: Vec<Target> = runners.filter(|target| wanted.contains(target)).copied().collect();
    let has_native = columns.iter().any(|column| column.tree.host.is_native());
    let crew = Crew::new(if has_native { &runners } else { &[] });

    let results: Vec<Result<Done>> = thread::scope(|scope| {
        let crew = &crew;
        let started: Vec<_> = columns.iter().map(|column| scope.spawn(|| column.run(crew))).collect();
        started
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| Err(anyhow!("a host's thread broke off"))))
            .collect()
    });
    let mut first = crew.first_error();
    for result in results {
        match result {
            Ok(done) => {
                made.rows.extend(done.rows);
                made.failed.extend(done.failed);
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    made.work = crew.span.lock().unwrap_or_else(PoisonError::into_inner).work();
    first.map_or(Ok(made), Err)
}

/// When compilers ran, and what packing took.
#[derive(Debug, Default)]
struct Span {
    first: Option<(Instant, ProcessorTime)>,
    last: Option<(Instant, ProcessorTime)>,
    packing: f64,
}

impl Span {
    /// Notes that a tree begins or ends compiling.
    fn note(span: &Mutex<Self>) {
        let now = (Instant::now(), process::processor_time().unwrap_or_default());
        let mut span = span.lock().unwrap_or_else(PoisonError::into_inner);
        span.first.get_or_insert(now);
        span.last = Some(now);
    }

    /// With the processor time of all, which is known at the end.
    fn work(&self) -> Work {
        let total = process::processor_time().unwrap_or_default();
        let span = self.first.zip(self.last);
        let seconds = span.map(|(first, last)| last.0.duration_since(first.0).as_secs_f64());
        let all = |time: ProcessorTime| time.children + time.own;
        let processor = span.map(|(first, last)| all(last.1) - all(first.1));
        Work {
            compile_seconds: seconds.unwrap_or_default(),
            compile_processor_seconds: processor.unwrap_or_default(),
            processor_seconds: total.children,
            own_processor_seconds: total.own - self.packing,
            packing_processor_seconds: self.packing,
        }
    }
}

/// What is to be done for a host.
struct Column<'a> {
    session: &'a Session,
    plan: &'a Plan,
    tree: &'a TreePlan,
    prepared: Prepared,
    missing: Vec<Target>,
}

/// What came of a host's work.
#[derive(Default)]
struct Done {
    rows: Vec<Row>,
    failed: Vec<Failure>,
}

impl<'a> Column<'a> {
    /// What is there already goes to `made`.
    fn new(
        session: &'a Session,
        plan: &'a Plan,
        tree: &'a TreePlan,
        prepared: Prepared,
        packs: bool,
        made: &mut Made,
    ) -> Self {
        let mut missing = Vec::new();
        for target in tree.targets.iter().filter(|_| packs) {
            match prepared.find(session, plan, tree, *target) {
                Some(tarball) => made.rows.push(Row { tarball, up_to_date: true, seconds: 0.0 }),
                None => missing.push(*target),
            }
        }
        Self { session, plan, tree, prepared, missing }
    }

    /// The first failure ends the others, unless they are to go on.
    fn run(&self, crew: &Crew) -> Result<Done> {
        let done = self.make(crew);
        if let Err(error) = &done
            && self.tree.host.is_native()
        {
            crew.give_up(&format!("{error:#}"));
        }
        match done {
            Err(error) if self.session.keep_going => {
                let failed = vec![Failure::new(self.session, &self.tree.host, None, error)];
                Ok(Done { failed, ..Done::default() })
            }
            Err(error) if !interrupt::interrupted() => Err(crew.halt(error, &self.tree.host)),
            done => done,
        }
    }

    fn make(&self, crew: &Crew) -> Result<Done> {
        let runners = if self.tree.host.is_native() { crew.wanted() } else { Vec::new() };
        let mut wanted = self.missing.clone();
        wanted.extend(runners.iter().filter(|target| !self.missing.contains(target)));
        if wanted.is_empty() {
            return Ok(Done::default());
        }
        let build = self.prepared.open(self.session, self.plan, self.tree)?;
        let mut done = Done::default();
        // Another run may have made some of them while this one waited for the tree.
        let mut missing = Vec::new();
        for target in &self.missing {
            match self.prepared.find(self.session, self.plan, self.tree, *target) {
                Some(tarball) => done.rows.push(Row { tarball, up_to_date: true, seconds: 0.0 }),
                None => missing.push(*target),
            }
        }
        wanted.retain(|target| missing.contains(target) || runners.contains(target));
        if wanted.is_empty() {
            return Ok(done);
        }
        Span::note(&crew.span);
        let compiled = build.compile(&wanted, &self.prepared.source);
        Span::note(&crew.span);
        let Compiled { emulators, failed } = compiled?;
        for (target, error) in failed {
            crew.publish(target, Err(format!("{error:#}")));
            done.failed.push(Failure::new(self.session, &self.tree.host, Some(target), error));
        }
        // Others wait for the runners.
        let (first, rest): (Vec<Emulator>, Vec<Emulator>) =
            emulators.into_iter().partition(|emulator| runners.contains(&emulator.target()));
        for some in [first, rest] {
            self.prove(some, &missing, crew, &mut done)?;
        }
        Ok(done)
    }

    /// Verifies emulators, and packs those that are missing.
    fn prove(
        &self,
        emulators: Vec<Emulator>,
        missing: &[Target],
        crew: &Crew,
        done: &mut Done,
    ) -> Result<()> {
        if emulators.is_empty() {
            return Ok(());
        }
        let runner = crew.runner(&self.tree.host);
        let total = emulators.len();
        let what = format!("{:<8} verify and pack {}", self.tree.host.platform, count(total, "emulator"));
        let step = self.session.progress.step(what);
        let packed = Mutex::new(0);
        let packers = rayon::ThreadPoolBuilder::new().num_threads(PACKERS.min(self.session.jobs)).build()?;
        let one = |emulator: Emulator| {
            let target = emulator.target();
            let row = self.prove_one(emulator, missing.contains(&target), runner.as_ref(), crew);
            let mut packed = packed.lock().unwrap_or_else(PoisonError::into_inner);
            *packed += 1;
            step.count(*packed, total as u64, &target.emulator());
            (target, row)
        };
        let made: Vec<(Target, Result<Option<Row>>)> =
            packers.install(|| emulators.into_par_iter().map(one).collect());
        for (target, row) in made {
            match row {
                Ok(row) => done.rows.extend(row),
                Err(error) if self.session.keep_going => {
                    done.failed.push(Failure::new(self.session, &self.tree.host, Some(target), error));
                }
                Err(error) => return Err(error),
            }
        }
        step.done("done");
        Ok(())
    }

    fn prove_one(
        &self,
        emulator: Emulator,
        packs: bool,
        runner: Option<&Runner>,
        crew: &Crew,
    ) -> Result<Option<Row>> {
        let _slot = self.session.slots()?.take()?;
        let started = Instant::now();
        let target = emulator.target();
        let verified = verify::verify(self.session, &self.plan.series, emulator, Depth::Quick, runner);
        if self.tree.host.is_native() {
            crew.publish(
                target,
                verified.as_ref().map(Verified::clone).map_err(|error| format!("{error:#}")),
            );
        }
        let verified = verified?;
        if !packs {
            return Ok(None);
        }
        let epoch = self.plan.series.pins.epoch;
        let source = self.prepared.source.path();
        let before = process::thread_time();
        let tarball = package::pack(self.session, &verified, source, &self.prepared.key, epoch)?;
        crew.span.lock().unwrap_or_else(PoisonError::into_inner).packing += process::thread_time() - before;
        let seconds = started.elapsed().as_secs_f64();
        let summary = tarball.record().emulator.summary();
        self.session.progress.detail(&format!("  {}: {summary}", target.emulator()));
        Ok(Some(Row { tarball, up_to_date: false, seconds }))
    }
}

/// The emulators of this machine that run those of other hosts, as they become ready.
struct Crew {
    members: Mutex<BTreeMap<&'static str, Option<Result<Verified, String>>>>,
    changed: Condvar,
    first_error: Mutex<Option<Error>>,
    span: Mutex<Span>,
}

impl Crew {
    fn new(wanted: &[Target]) -> Self {
        Self {
            members: Mutex::new(wanted.iter().map(|target| (target.name, None)).collect()),
            changed: Condvar::new(),
            first_error: Mutex::new(None),
            span: Mutex::default(),
        }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<Result<Verified, String>>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are to be made.
    fn wanted(&self) -> Vec<Target> {
        self.members().keys().filter_map(|name| Target::named(name).ok()).collect()
    }

    /// Tells those who wait that one is ready, or will never be.
    fn publish(&self, target: Target, outcome: Result<Verified, String>) {
        if let Some(member) = self.members().get_mut(target.name) {
            member.get_or_insert(outcome);
        }
        self.changed.notify_all();
    }

    /// Tells those who wait that no more will be ready.
    fn give_up(&self, reason: &str) {
        for member in self.members().values_mut() {
            member.get_or_insert_with(|| Err(reason.to_owned()));
        }
        self.changed.notify_all();
    }

    /// What runs programs of this host, once it is ready; none for this machine's own host, and none where
    /// it failed, which the native tree reports.
    fn runner(&self, host: &Host) -> Option<Runner> {
        let target = host.as_target().ok().filter(|_| !host.is_native())?;
        let mut members = self.members();
        loop {
            match members.get(target.name)? {
                Some(Ok(verified)) => return Some(Runner::new(verified, host)),
                Some(Err(_)) => return None,
                None => members = self.changed.wait(members).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Ends all that is running for other hosts; only the first error counts, the others follow from it.
    fn halt(&self, error: Error, host: &Host) -> Error {
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(error);
            interrupt::halt();
        }
        anyhow!("{} was stopped", host.platform)
    }

    fn first_error(&self) -> Option<Error> {
        self.first_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
