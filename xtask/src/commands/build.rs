//! `build`: the whole way. `package` is the same; `verify`, which ends before it, begins alike.

use super::{plan as plan_command, show, source};
use crate::cli::{Build, Selection};
use crate::compile::{self, BuildTree, Emulator};
use crate::exit::Usage;
use crate::facts::Target;
use crate::package::{self, Tarball};
use crate::patch::PatchedTree;
use crate::plan::{Plan, TreePlan};
use crate::progress::{count, human_bytes};
use crate::session::Session;
use crate::toolchain::{self, Toolchain};
use crate::verify::{self, Depth, Outcome, Report};
use anyhow::{Result, bail};
use rayon::prelude::*;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// Emulators that are verified and packed at a time.
const PACKERS: usize = 2;

/// One row of what came of a build.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    tarball: Tarball,
    /// Whether it was there already.
    up_to_date: bool,
    /// What verifying and packing it took; compiling is shared by all targets of a tree.
    seconds: f64,
}

/// What came of a build.
#[derive(Debug, Serialize)]
struct Built {
    release: String,
    folder: PathBuf,
    sums: PathBuf,
    seconds: f64,
    /// The driver's own, in bytes, without its children's.
    peak_memory: Option<u64>,
    tarballs: Vec<Row>,
}

/// `build`.
pub fn build(session: &Session, arguments: &Build) -> Result<()> {
    if arguments.dry_run {
        return plan_command::print(session, &arguments.selection.request());
    }
    pack_all(session, &arguments.selection, arguments.source.as_deref())
}

/// `package`.
pub fn package(session: &Session, selection: &Selection) -> Result<()> {
    pack_all(session, selection, None)
}

fn pack_all(session: &Session, selection: &Selection, given: Option<&str>) -> Result<()> {
    let started = Instant::now();
    if !selection.profile.is_static() {
        let name = selection.profile.name();
        bail!(Usage(format!("{name} emulators are never packed: cargo xtask verify --profile {name}")));
    }
    let plan = Plan::make(&session.workspace, &selection.request())?;
    let mut rows = Vec::new();
    for tree in &plan.trees {
        let ready = Prepared::new(session, &plan, tree, given)?;
        rows.extend(ready.pack(session, &plan, tree)?);
    }
    let listed = current(session, &plan, rows.iter().map(|row| &row.tarball))?;
    let (sums, others) = package::write_sums(session, &plan.release, &listed)?;
    if !others.is_empty() {
        session.progress.say(&format!(
            "note: not in SHA256SUMS, since they were made from something else: {}\n      \
             build them again, or remove them",
            others.join(" ")
        ));
    }
    let built = Built {
        folder: session.workspace.out.join(&plan.release),
        release: plan.release,
        sums,
        seconds: started.elapsed().as_secs_f64(),
        peak_memory: peak_memory(),
        tarballs: rows,
    };
    show(session, &built, || table(&built))?;
    for row in &built.tarballs {
        tell_what_was_not_run(session, row.tarball.target(), &row.tarball.record().emulator);
    }
    Ok(())
}

/// The tarballs that belong to this plan's release: those just made or found, and those of other
/// targets that earlier runs made from the very same.
fn current<'a>(
    session: &Session,
    plan: &Plan,
    known: impl Iterator<Item = &'a Tarball>,
) -> Result<Vec<Tarball>> {
    let mut listed: Vec<Tarball> = known.cloned().collect();
    for tree in &plan.trees {
        let prepared = Prepared::new(session, plan, tree, None)?;
        for target in &tree.configured {
            let is_known =
                listed.iter().any(|one| one.target() == *target && one.host() == tree.host.platform);
            if !is_known {
                listed.extend(prepared.find(session, plan, tree, *target));
            }
        }
    }
    Ok(listed)
}

/// A host's source and toolchain, ready to compile.
pub struct Prepared {
    /// The source with our patches.
    pub source: PatchedTree,
    /// What compiles it.
    pub toolchain: Toolchain,
    /// Where its build tree is or will be.
    place: PathBuf,
    key: String,
}

impl Prepared {
    /// Gets source and toolchain; `given` is where the user says that the source is.
    pub fn new(session: &Session, plan: &Plan, tree: &TreePlan, given: Option<&str>) -> Result<Self> {
        // Before any download: a missing compiler is told at once.
        toolchain::compilers(&tree.host)?;
        let (source, toolchain) = rayon::join(
            || source::patched(session, &plan.series, given),
            || toolchain::prepare(session, &tree.host, &plan.series),
        );
        let (source, toolchain) = (source?, toolchain?);
        let tree_key = compile::key(plan, tree, &toolchain)?;
        Ok(Self {
            place: BuildTree::place(session, plan, tree, &tree_key),
            key: package::key(&tree_key, &verify::suite_key(session)?, &tree.host, plan.series.pins.epoch)?,
            source,
            toolchain,
        })
    }

    fn find(&self, session: &Session, plan: &Plan, tree: &TreePlan, target: Target) -> Option<Tarball> {
        package::ready(session, &plan.release, target, &tree.host, &self.place, &self.key)
    }

    /// The tarballs of a host, making those that are not up to date.
    fn pack(&self, session: &Session, plan: &Plan, tree: &TreePlan) -> Result<Vec<Row>> {
        let found: Vec<Option<Tarball>> =
            tree.targets.iter().map(|target| self.find(session, plan, tree, *target)).collect();
        let missing = tree.targets.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<Target> = missing.map(|(target, _)| *target).collect();
        let mut made =
            if missing.is_empty() { Vec::new() } else { self.make(session, plan, tree, &missing)? };
        let old = found.into_iter().flatten().map(|tarball| Row { tarball, up_to_date: true, seconds: 0.0 });
        made.extend(old);
        made.sort_by_key(|row| tree.targets.iter().position(|target| *target == row.tarball.target()));
        Ok(made)
    }

    fn make(&self, session: &Session, plan: &Plan, tree: &TreePlan, targets: &[Target]) -> Result<Vec<Row>> {
        let build = BuildTree::open(session, plan, tree, &self.source, &self.toolchain)?;
        // Another run may have made some of them while this one waited for the tree.
        let (mut rows, mut missing) = (Vec::new(), Vec::new());
        for target in targets {
            match self.find(session, plan, tree, *target) {
                Some(tarball) => rows.push(Row { tarball, up_to_date: true, seconds: 0.0 }),
                None => missing.push(*target),
            }
        }
        if missing.is_empty() {
            return Ok(rows);
        }
        let emulators = build.compile(&missing, &self.source, &self.toolchain)?;
        let step = session.progress.step(format!(
            "verify and pack {} for {}",
            count(missing.len(), "emulator"),
            tree.host.platform
        ));
        // Each packer takes some 40 MB, so there are few of them, however many processors there are.
        let packers = rayon::ThreadPoolBuilder::new().num_threads(PACKERS.min(session.jobs)).build()?;
        let one = |emulator: Emulator| {
            let started = Instant::now();
            let verified = verify::verify(session, &plan.series, emulator, Depth::Quick)?;
            let tarball = package::pack(
                session,
                &verified,
                self.source.path(),
                &self.place,
                &self.key,
                plan.series.pins.epoch,
            )?;
            let seconds = started.elapsed().as_secs_f64();
            session.progress.detail(&format!(
                "  {}: {}",
                tarball.target().emulator(),
                tarball.record().emulator.summary()
            ));
            Ok(Row { tarball, up_to_date: false, seconds })
        };
        let made: Vec<Result<Row>> = packers.install(|| emulators.into_par_iter().map(one).collect());
        for row in made {
            rows.push(row?);
        }
        step.done("done");
        Ok(rows)
    }
}

fn table(built: &Built) -> String {
    let mut text = format!(
        "{:<12} {:<7} {:>8} {:>8} {:>7}  verified\n",
        "target", "host", "emulator", "tarball", "proof"
    );
    for row in &built.tarballs {
        let record = row.tarball.record();
        let time = if row.up_to_date { "-".to_owned() } else { format!("{:.1} s", row.seconds) };
        text.push_str(&format!(
            "{:<12} {:<7} {:>8} {:>8} {:>7}  {}\n",
            row.tarball.target().name,
            row.tarball.host(),
            human_bytes(record.emulator.size),
            human_bytes(record.size),
            time,
            record.emulator.summary()
        ));
    }
    let made = built.tarballs.iter().filter(|row| !row.up_to_date).count();
    text.push_str(&format!(
        "{}: {made} made, {} up to date, {:.1} s\n{}\n",
        count(built.tarballs.len(), "tarball"),
        built.tarballs.len() - made,
        built.seconds,
        built.folder.display(),
    ));
    text
}

/// The most memory that this process ever had, as the kernel counts it (`VmHWM`, in KiB there).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// One line for each check that was not run.
pub fn tell_what_was_not_run(session: &Session, target: Target, report: &Report) {
    for check in &report.checks {
        if let Outcome::NotRun(reason) = &check.outcome {
            session.progress.say(&format!("not run: {} of {}: {reason}", check.name, target.emulator()));
        }
    }
}
