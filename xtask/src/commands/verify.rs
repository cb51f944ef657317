//! `verify`: as far as the proof, with more proof than a build takes the time for.

use super::build::{Prepared, tell_what_was_not_run};
use super::{reproduce, show, source};
use crate::cli::Verify;
use crate::compile::{self, Compiled, Emulator, UpstreamEmulator};
use crate::exit::Lacks;
use crate::facts::Target;
use crate::patch::UpstreamTree;
use crate::plan::{Plan, TreePlan};
use crate::session::Session;
use crate::toolchain;
use crate::verify::{self, Depth, Reference, Report, Runner};
use anyhow::{Context as _, Error, Result};
use rayon::prelude::*;
use serde::Serialize;

/// What one emulator was found to be.
#[derive(Debug, Serialize)]
struct Row {
    target: Target,
    host: String,
    report: Report,
}

/// Checks the emulators that were asked for. Those that hold are listed also when others do not.
pub fn run(session: &Session, arguments: &Verify) -> Result<()> {
    if let Some(folder) = &arguments.reproduce {
        return reproduce::run(session, &arguments.selection, folder);
    }
    if arguments.upstream {
        which::which("strace").map_err(|_| Lacks::new("strace", "apt-get install strace"))?;
    }
    let plan = Plan::make(&session.workspace, &arguments.selection.request())?;
    // Once for all hosts.
    toolchain::can_call(&plan.tooling)?;
    let (mut rows, mut errors): (Vec<Row>, Vec<Error>) = (Vec::new(), Vec::new());
    for tree in &plan.trees {
        let checked = check(session, &plan, tree, arguments)
            .with_context(|| format!("nothing for {} could be verified", tree.host.platform));
        let checked = match checked {
            Err(error) if session.keep_going => vec![Err(error)],
            checked => checked?,
        };
        for one in checked {
            match one {
                Ok(row) => rows.push(row),
                Err(error) => errors.push(error),
            }
        }
    }
    show(session, &rows, || rows.iter().map(line).collect())?;
    for row in &rows {
        tell_what_was_not_run(session, row.target, &row.host, &row.report);
    }
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    for error in errors {
        session.progress.say(&format!("error: {error:#}"));
    }
    Err(first)
}

fn line(row: &Row) -> String {
    let mut text = format!("{:<14} {:<8} {}\n", row.target.name, row.host, row.report.summary());
    if let Some(tcg) = &row.report.tcg {
        text.push_str(&format!("  tests/tcg: {}\n{}", tcg.summary(), tcg.notable()));
    }
    text
}

/// Compiles and checks the emulators of a host.
fn check(session: &Session, plan: &Plan, tree: &TreePlan, arguments: &Verify) -> Result<Vec<Result<Row>>> {
    let prepared = Prepared::new(session, plan, tree, None)?;
    let runner = runner(session, plan, tree)?;
    let compares = (arguments.upstream || arguments.tcg) && tree.host.is_native();
    let upstream = compares.then(|| Upstream::make(session, plan, tree, &prepared)).transpose()?;
    let build = prepared.open(session, plan, tree)?;
    let Compiled { emulators, failed } = build.compile(&tree.targets, &prepared.source)?;
    let one = |emulator: Emulator| -> Result<Row> {
        let target = emulator.target();
        let reference = upstream.as_ref().map(|upstream| upstream.of(target, arguments)).transpose()?;
        let depth = Depth::Whole(reference);
        let verified = verify::verify(session, &plan.series, emulator, depth, runner.as_ref())?;
        let host = tree.host.platform.clone();
        Ok(Row { target, host, report: verified.report().clone() })
    };
    // QEMU's tests run three at a time for each target, and some of them mind a busy machine.
    let at_once = if arguments.tcg { 1 } else { session.jobs };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(at_once).build()?;
    let mut rows: Vec<Result<Row>> = pool.install(|| emulators.into_par_iter().map(one).collect());
    rows.extend(failed.into_iter().map(|(_, error)| Err(error)));
    Ok(rows)
}

/// The emulator of this machine that runs those of a tree for another host.
pub fn runner(session: &Session, plan: &Plan, tree: &TreePlan) -> Result<Option<Runner>> {
    let Some((plan, own)) = plan.runners().filter(|_| !tree.host.is_native()) else { return Ok(None) };
    let wanted = tree.host.as_target()?;
    if !own.targets.contains(&wanted) {
        return Ok(None);
    }
    let prepared = Prepared::new(session, plan, own, None)?;
    let compiled = prepared.open(session, plan, own)?.compile(&[wanted], &prepared.source)?;
    let emulator = compiled.all()?.into_iter().next().context("no emulator was compiled")?;
    let verified = verify::verify(session, &plan.series, emulator, Depth::Quick, None)?;
    Ok(Some(Runner::new(&verified, &tree.host)))
}

/// What the emulators of a host are compared with.
struct Upstream {
    source: UpstreamTree,
    emulators: Vec<UpstreamEmulator>,
}

impl Upstream {
    fn make(session: &Session, plan: &Plan, tree: &TreePlan, prepared: &Prepared) -> Result<Self> {
        let source = source::upstream(session, &plan.series)?;
        let emulators = compile::upstream(session, plan, tree, &source, &prepared.toolchain)?;
        Ok(Self { source, emulators })
    }

    fn of(&self, target: Target, arguments: &Verify) -> Result<Reference<'_>> {
        let emulator = self.emulators.iter().find(|one| one.target() == target);
        Ok(Reference {
            emulator: emulator.with_context(|| format!("{} was not compiled", target.emulator()))?,
            traced: arguments.upstream,
            tests: arguments.tcg.then_some(&self.source),
        })
    }
}
