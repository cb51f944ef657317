//! `reproduce`: released archives, built once more from scratch and compared byte by byte.

use super::build::Prepared;
use super::selection::Selection;
use super::{reproduce_program, runner, show};
use crate::compile::BuildInfo;
use crate::facts::Target;
use crate::package;
use crate::plan::{self, Plan, TreePlan};
use crate::reproduce::{Difference, InputDifference, difference, input_differences};
use crate::session::{BuildSession, Session};
use crate::toolchain;
use crate::verify::{self, Depth};
use anyarch_client::error::Usage;
use anyarch_client::files::{self, TempFolder};
use anyarch_client::hash;
use anyarch_client::interrupt;
use anyarch_client::progress::count;
use anyarch_manifest::layout::PROGRAM;
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

/// Rebuild released emulators, or anyarch, from scratch and compare them with the release, byte by byte
///
/// Prints the first difference, if there is one. Nothing is built if source, patches, compiler or packages
/// differ from those that the archives were built with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask reproduce ~/Downloads/10.2.2-1 --target aarch64
  cargo xtask reproduce dist/10.2.2-1 --target all --host all
  cargo xtask reproduce dist/10.2.2-1 --target anyarch")]
pub struct Reproduce {
    /// The folder with the released archives
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Targets, hosts, series, profile and toolchain.
    #[command(flatten)]
    pub selection: Selection,
}

/// A released archive, as it lies in its folder.
struct Released {
    target: Target,
    path: PathBuf,
    sha256: String,
    /// What it says that it was made from and with.
    build_info: BuildInfo,
}

/// What came of one pair.
#[derive(Debug, Serialize)]
struct Row {
    target: Target,
    host: String,
    archive: PathBuf,
    /// SHA-256 of the released archive, lower-case hex.
    released: String,
    /// SHA-256 of the rebuilt archive, lower-case hex; none if it was not built.
    rebuilt: Option<String>,
    outcome: Outcome,
    /// What it would have been made from and with here, where that is something else.
    #[serde(rename = "facts")]
    inputs: Vec<InputDifference>,
    /// Where the two are not the same.
    difference: Option<Difference>,
    /// The folder with all that was rebuilt, which is only kept where it is not the same.
    kept: Option<PathBuf>,
}

/// What came of it, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// The same bytes.
    Reproduced,
    /// Other bytes.
    Differs,
    /// Not built, since it would be made from or with something else.
    #[serde(rename = "other-facts")]
    OtherInputs,
    /// Not built, since that is so for another one.
    NotBuilt,
}

/// Rebuilds the released pairs that were asked for; what differs is told, and an error.
pub fn run(session: &BuildSession, arguments: &Reproduce) -> Result<()> {
    let Reproduce { folder, selection } = arguments;
    if !selection.profile.is_static() {
        let name = selection.profile.name();
        bail!(Usage(format!("{name} emulators are never packaged, so there is none to reproduce")));
    }
    if selection.targets.iter().any(|name| name == PROGRAM) {
        ensure!(
            selection.targets.len() == 1,
            Usage(format!("{PROGRAM} is made otherwise than emulators: name it alone"))
        );
        return reproduce_program::run(session, folder, &selection.hosts, &selection.series);
    }
    let plan = Plan::make(&session.workspace, &selection.request())?;
    let released: Vec<(&TreePlan, Vec<Released>)> =
        plan.trees().iter().map(|tree| Ok((tree, all(&plan, tree, folder)?))).collect::<Result<_>>()?;
    let mut rows = Vec::new();
    for (tree, released) in &released {
        rows.extend(check_inputs(session, &plan, tree, released)?);
    }
    let made_otherwise = rows.iter().filter(|row| row.outcome == Outcome::OtherInputs).count();
    if made_otherwise == 0 {
        rows.clear();
        for (tree, released) in &released {
            rows.extend(rebuild(session, &plan, tree, released)?);
        }
    }
    show(session, &rows, || rows.iter().map(line).collect())?;
    let differing = rows.iter().filter(|row| row.outcome == Outcome::Differs).count();
    match (made_otherwise, differing) {
        (0, 0) => Ok(()),
        (0, _) => bail!("{differing} of {} not reproduced", count(rows.len(), "archive")),
        _ => bail!(
            "nothing was built: {made_otherwise} of {} would have other inputs here, as listed above",
            count(rows.len(), "archive")
        ),
    }
}

fn line(row: &Row) -> String {
    let what = match row.outcome {
        Outcome::Reproduced => "reproduced",
        Outcome::Differs => "differs",
        Outcome::OtherInputs => "other inputs (released | here)",
        Outcome::NotBuilt => "not built",
    };
    let mut text = format!("{:<14} {:<8} {what}\n", row.target.name, row.host);
    if let Some(rebuilt) = row.rebuilt.as_ref().filter(|_| row.outcome == Outcome::Differs) {
        text.push_str(&format!(
            "  released {}  {}\n  rebuilt  {rebuilt}",
            row.released,
            row.archive.display()
        ));
        text.push_str(&row.kept.as_ref().map(|kept| format!("  {}\n", kept.display())).unwrap_or_default());
    }
    let told =
        row.inputs.iter().map(ToString::to_string).chain(row.difference.iter().map(ToString::to_string));
    for one in told {
        text.push_str(&format!("  {}\n", one.replace('\n', "\n  ")));
    }
    text
}

/// The released archives of a tree's targets; each must be what its record says, where there is one.
fn all(plan: &Plan, tree: &TreePlan, folder: &Path) -> Result<Vec<Released>> {
    let one = |target: &Target| {
        let name = plan::tarball(target, plan.release(), tree.host());
        let path = folder.join(&name);
        if !path.is_file() {
            return Err(missing(folder, &name));
        }
        open(*target, path.clone()).with_context(|| format!("cannot compare {} with", path.display()))
    };
    tree.targets().iter().map(one).collect()
}

/// An archive is not there: what is, for people who took the wrong folder or release.
fn missing(folder: &Path, name: &str) -> anyhow::Error {
    let there = package::tarballs(folder).unwrap_or_default();
    let names: Vec<String> =
        there.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    let there = if names.is_empty() { "no archive at all".to_owned() } else { names.join("\n  ") };
    Usage(format!("{} has no {name}\n  it has: {there}", folder.display())).into()
}

fn open(target: Target, path: PathBuf) -> Result<Released> {
    let sha256 = hash::sha256_file(&path)?;
    let build_info = package::contents::read::<BuildInfo>(&path, target.name)?.build_info;
    if let Some(record) = package::record(&path) {
        ensure!(record.sha256 == sha256, "it does not match its record: copy both files again");
        ensure!(record.build_info == build_info, "its build.json does not match its record");
    }
    Ok(Released { target, path, sha256, build_info })
}

impl Released {
    fn row(&self, tree: &TreePlan, outcome: Outcome) -> Row {
        Row {
            target: self.target,
            host: tree.host().platform.clone(),
            archive: self.path.clone(),
            released: self.sha256.clone(),
            rebuilt: None,
            outcome,
            inputs: Vec::new(),
            difference: None,
            kept: None,
        }
    }
}

/// Compares what was released with what would be built; nothing is built yet.
fn check_inputs(session: &Session, plan: &Plan, tree: &TreePlan, released: &[Released]) -> Result<Vec<Row>> {
    let toolchain = toolchain::prepare(session, tree.host(), plan.series(), plan.tooling())?;
    let here = BuildInfo::gather(plan, tree, &toolchain);
    let row = |one: &Released| {
        let found = input_differences(&one.build_info, &here, tree.host());
        let outcome = if found.is_empty() { Outcome::NotBuilt } else { Outcome::OtherInputs };
        Row { inputs: found, ..one.row(tree, outcome) }
    };
    Ok(released.iter().map(row).collect())
}

/// Builds the pairs of a host in folders that nothing was built in before. They are removed, unless
/// something in them is to be looked at.
fn rebuild(session: &BuildSession, plan: &Plan, tree: &TreePlan, released: &[Released]) -> Result<Vec<Row>> {
    let scratch = TempFolder::new(&session.workspace.trees)?;
    let kept = session.workspace.trees.join(format!(
        "reproduced-{}-{}-{}",
        plan.release(),
        tree.host().file_name(),
        process::id()
    ));
    let mut rows = match rebuild_in(scratch.path(), session, plan, tree, released) {
        Ok(rows) => rows,
        // An interruption removes what was made.
        Err(error) if interrupt::interrupted() => return Err(error),
        Err(error) => {
            files::remove(&kept)?;
            scratch.keep(&kept)?;
            return Err(error.context(format!("the rebuild failed; its files are in {}", kept.display())));
        }
    };
    if rows.iter().any(|row| row.outcome == Outcome::Differs) {
        files::remove(&kept)?;
        scratch.keep(&kept)?;
        for row in rows.iter_mut().filter(|row| row.outcome == Outcome::Differs) {
            row.kept = Some(kept.clone());
        }
    }
    Ok(rows)
}

fn rebuild_in(
    folder: &Path,
    session: &BuildSession,
    plan: &Plan,
    tree: &TreePlan,
    released: &[Released],
) -> Result<Vec<Row>> {
    // Who runs the emulators of other hosts proves them; that is not what is compared.
    let runner = runner::of(session, plan, tree)?;
    let isolated = session.isolated(folder)?;
    let prepared = Prepared::new(&isolated, plan, tree, None)?;
    let build = prepared.open(&isolated, plan, tree)?;
    let emulators = build.compile(tree.targets(), &prepared.source)?.all()?;
    let mut rows = Vec::new();
    for (emulator, one) in emulators.into_iter().zip(released) {
        let target = emulator.target();
        ensure!(target == one.target, "{} was built instead of another one", target.emulator());
        let verified = verify::verify(&isolated, plan.series(), emulator, Depth::Quick, runner.as_ref())?;
        let tarball = package::pack(&isolated, &verified, &prepared.source, &prepared.key)?;
        rows.push(compare(tree, one, tarball.path(), &build.linked(target))?);
    }
    Ok(rows)
}

fn compare(tree: &TreePlan, released: &Released, rebuilt: &Path, linked: &Path) -> Result<Row> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (old, new) = (read(&released.path)?, read(rebuilt)?);
    let found = difference(&old, &new, Some(&read(linked)?))?;
    let outcome = if found.is_none() { Outcome::Reproduced } else { Outcome::Differs };
    Ok(Row { rebuilt: Some(hash::sha256(&new)), difference: found, ..released.row(tree, outcome) })
}
