//! Stage 5: proof. An emulator that fails a check is an error; a check that can't be run is reported
//! as not run, with the reason. Only what went through here can be packed.

mod contract;
mod elf;
mod guest;
mod leaks;
mod sanitized;
pub mod tcg;

pub use contract::compiler;
pub use guest::script;

use crate::compile::{Emulator, UpstreamEmulator, pkgversion};
use crate::facts::{Series, Target};
use crate::patch::UpstreamTree;
use crate::process::{ended, output_within};
use crate::session::Session;
use crate::store;
use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// An emulator that passed every check that could be run. Only [`verify`] makes one.
#[derive(Debug, Clone)]
pub struct Verified {
    emulator: Emulator,
    report: Report,
}

impl Verified {
    /// The emulator.
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// What was checked.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// What was checked of one emulator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Of the very bytes that were checked.
    pub sha256: String,
    /// Their number.
    pub size: u64,
    /// Every check, in order.
    pub checks: Vec<Check>,
    /// Every test of QEMU's own, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcg: Option<tcg::Table>,
}

/// One check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// What was checked: `elf`, `version`, `guest`, `contract`, `tcg`.
    pub name: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a check that did not fail.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds; the text says what was seen.
    Passed(String),
    /// It was not tried; the text says why.
    NotRun(String),
}

impl Report {
    /// Whether a check was not run that this machine may be able to run the next time.
    pub fn is_incomplete(&self, emulator_of: Target) -> bool {
        let not_run = self.checks.iter().any(|check| matches!(check.outcome, Outcome::NotRun(_)));
        not_run && emulator_of.debian.is_some()
    }

    /// `elf, version, guest`, and what was not run.
    pub fn summary(&self) -> String {
        let named = |check: &Check| match &check.outcome {
            Outcome::Passed(_) => check.name.clone(),
            Outcome::NotRun(_) => format!("{} not run", check.name),
        };
        self.checks.iter().map(named).collect::<Vec<_>>().join(", ")
    }
}

/// How much is checked.
#[derive(Debug, Clone, Copy)]
pub enum Depth<'a> {
    /// What every build is checked by, in a second or two: header, version, a guest with children.
    Quick,
    /// The execve contract as well, where there is a compiler for the target's programs; and what only
    /// a comparison with upstream's emulator shows, if there is one.
    Whole(Option<Reference<'a>>),
}

/// What an emulator is compared with: the same without our patches.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Upstream's emulator of the same target.
    pub emulator: &'a UpstreamEmulator,
    /// Whether the system calls of both are compared.
    pub traced: bool,
    /// The source tree whose own tests shall be run by both, if they shall.
    pub tests: Option<&'a UpstreamTree>,
}

/// Checks an emulator.
pub fn verify(session: &Session, series: &Series, emulator: Emulator, depth: Depth<'_>) -> Result<Verified> {
    let name = emulator.target().emulator();
    let report = check(session, series, &emulator, depth)
        .with_context(|| format!("{name} for {} is not fit to ship", emulator.host().platform))?;
    Ok(Verified { emulator, report })
}

fn check(session: &Session, series: &Series, emulator: &Emulator, depth: Depth<'_>) -> Result<Report> {
    let bytes =
        fs::read(emulator.path()).with_context(|| format!("cannot read {}", emulator.path().display()))?;
    let header = elf::check(&bytes, &emulator.host().elf, emulator.facts().profile)?;
    let mut report = Report {
        sha256: store::sha256(&bytes),
        size: bytes.len() as u64,
        checks: vec![Check { name: "elf".into(), outcome: Outcome::Passed(header) }],
        tcg: None,
    };
    report.run("version", emulator, || version(series, emulator))?;
    report.run("guest", emulator, || guest::check(session, series, emulator))?;
    let Depth::Whole(reference) = depth else { return Ok(report) };
    let traced = reference.filter(|reference| reference.traced);
    let upstream = traced.map(|reference| reference.emulator.path());
    report.run("contract", emulator, || contract::check(session, emulator, upstream))?;
    report.run("leaks", emulator, || leaks::check(session, series, emulator))?;
    if let Some((reference, tests)) = reference.and_then(|reference| Some((reference, reference.tests?))) {
        let mut table = None;
        report.run("tcg", emulator, || {
            let (outcome, seen) = tcg::check(session, tests, emulator, reference)?;
            table = seen;
            Ok(outcome)
        })?;
        report.tcg = table;
    }
    Ok(report)
}

impl Report {
    /// Runs a check that runs the emulator, where that can be.
    fn run(&mut self, name: &str, of: &Emulator, check: impl FnOnce() -> Result<Outcome>) -> Result<()> {
        let outcome = if of.host().is_native() {
            check().with_context(|| format!("the check `{name}` failed"))?
        } else {
            Outcome::NotRun(format!("programs for {} do not run on this machine", of.host().platform))
        };
        self.checks.push(Check { name: name.into(), outcome });
        Ok(())
    }
}

/// `--version` says the version and the release that were asked for.
fn version(series: &Series, emulator: &Emulator) -> Result<Outcome> {
    let expected =
        format!("{} version {} ({})", emulator.target().emulator(), series.pins.version, pkgversion(series));
    let said = first_line(emulator.path(), "--version")?;
    ensure!(said == expected, "it says `{said}`, not `{expected}`");
    Ok(Outcome::Passed(said))
}

/// An emulator that hangs must not hang a build: no check takes a tenth of this.
const PATIENCE: Duration = Duration::from_secs(300);

/// A command for a guest, with nothing of the user's environment: `QEMU_*` would be options.
fn alone(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn first_line(program: &Path, option: &str) -> Result<String> {
    let mut command = alone(program);
    command.arg(option);
    let result = output_within(PATIENCE, &mut command)?;
    if !result.status.success() {
        bail!("`{} {option}` {}", program.display(), ended(result.status));
    }
    Ok(String::from_utf8_lossy(&result.stdout).lines().next().unwrap_or_default().to_owned())
}

/// Stands for the checks themselves: what was verified by other checks is verified again.
pub fn suite_key(session: &Session) -> Result<String> {
    let script = fs::read(script(session)).context("cannot read the guest script")?;
    store::short_key(&(SUITE, store::sha256(&script)))
}

/// Counted up when a check of this module changes.
const SUITE: u32 = 1;
