//! Stage 5: proof. An emulator that fails a check is an error; a check that can't be run is reported
//! as not run, with the reason. Only what went through here can be packed.

mod contract;
mod cross;
pub mod elf;
mod guest;
mod leaks;
pub mod ltp;
mod partial;
mod sanitized;
pub mod tcg;
mod tiny;

pub use contract::compiler;
pub use guest::script;
pub use partial::partial;

use crate::compile::{Emulator, UpstreamEmulator, pkgversion, report_path};
use crate::error::Missing;
use crate::facts::{Host, Series, Target};
use crate::patch::UpstreamTree;
use crate::process::{ended, output_within};
use crate::session::Session;
use anyarch_client::files;
use anyarch_client::hash;
use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
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
    /// SHA-256 of the emulator that was checked, lower-case hex.
    pub sha256: String,
    /// Size of that emulator in bytes.
    pub size: u64,
    /// Every check, in order.
    pub checks: Vec<Check>,
    /// Every test of QEMU's own, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcg: Option<tcg::Table>,
    /// Every case of the Linux Test Project, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ltp: Option<ltp::Table>,
}

/// One check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// What was checked: `elf`, `version`, `start`, `guest`, `contract`, `leaks`, `tb-cache`, `linux`, `ltp`, `tcg`.
    pub name: String,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The outcome of a check that did not fail.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It passed; the text says what was seen.
    Passed(String),
    /// It was not run; the text says why.
    NotRun(String),
}

impl Outcome {
    /// A check that wants something which this machine lacks.
    fn lacks(missing: &Missing) -> Self {
        Self::NotRun(missing.to_string().replace("\n  ", "; "))
    }
}

impl Report {
    /// Whether a check was not run that a machine may be able to run the next time.
    pub fn is_incomplete(&self) -> bool {
        self.not_run().next().is_some()
    }

    /// The checks that were not run, each with the reason.
    pub fn not_run(&self) -> impl Iterator<Item = (&str, &str)> {
        self.checks.iter().filter_map(|check| match &check.outcome {
            Outcome::NotRun(reason) => Some((check.name.as_str(), reason.as_str())),
            Outcome::Passed(_) => None,
        })
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

/// How thoroughly an emulator is checked.
#[derive(Debug, Clone, Copy)]
pub enum Depth<'a> {
    /// The checks of every build, which take a second or two: ELF header, version, many starts, a guest with children.
    Quick,
    /// What Linux promises to programs as well, where there is a compiler for the target's programs.
    Linux,
    /// The system calls' tests of the Linux Test Project as well.
    Ltp {
        /// Upstream's emulator.
        reference: Reference<'a>,
        /// The folder of LTP's source.
        suite: &'a Path,
    },
    /// The execve contract as well, where there is a compiler for the target's programs.
    Whole {
        /// What only a comparison with upstream's emulator shows, if there is one.
        reference: Option<Reference<'a>>,
        /// With a cache of translations, too, for so long, if that is asked for.
        cached: Option<Duration>,
    },
}

/// The emulator without our patches that an emulator is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Upstream's emulator of the same target.
    pub emulator: &'a UpstreamEmulator,
    /// Whether the system calls of both are compared.
    pub traced: bool,
    /// The source tree whose own tests shall be run by both, if they shall.
    pub tests: Option<&'a UpstreamTree>,
}

/// A verified emulator of this machine that runs programs of another host: those of ours that are to be
/// verified, too.
#[derive(Debug, Clone)]
pub struct Runner {
    emulator: PathBuf,
    cpu: Option<String>,
}

impl Runner {
    /// `verified` is for this machine and emulates what `host` is.
    pub fn new(verified: &Verified, host: &Host) -> Self {
        Self::of(verified.emulator.path(), host)
    }

    fn of(emulator: &Path, host: &Host) -> Self {
        Self { emulator: emulator.to_owned(), cpu: host.proof.cpu.clone() }
    }

    /// The same with another processor, if one is named.
    #[must_use]
    pub fn on(self, cpu: Option<&str>) -> Self {
        Self { cpu: cpu.map(str::to_owned).or(self.cpu), ..self }
    }

    /// A command for a program of the other host, with nothing of the user's environment.
    pub fn command(&self, emulator: &Path) -> Command {
        let mut command = alone(&self.emulator);
        // The emulator starts itself for its guest's children: to the runner, programs of the runner's.
        command.args(["--execve", "self"]);
        if let Some(cpu) = &self.cpu {
            command.args(["-cpu", cpu]);
        }
        command.arg(emulator);
        command
    }
}

/// How an emulator is started here.
#[derive(Debug, Clone, Copy)]
struct Start<'a> {
    emulator: &'a Emulator,
    runner: Option<&'a Runner>,
}

impl Start<'_> {
    /// A command for a guest of the emulator, with nothing of the user's environment.
    fn command(&self) -> Command {
        let emulator = self.emulator.path();
        self.runner.map_or_else(|| alone(emulator), |runner| runner.command(emulator))
    }
}

/// Checks an emulator; one for another host needs a runner.
pub fn verify(
    session: &Session,
    series: &Series,
    emulator: Emulator,
    depth: Depth<'_>,
    runner: Option<&Runner>,
) -> Result<Verified> {
    let name = emulator.target().emulator();
    let report = kept(&report_path(emulator.path()), || {
        check(session, series, Start { emulator: &emulator, runner }, depth)
            .with_context(|| format!("{name} for {} failed verification", emulator.host().platform))
    })?;
    Ok(Verified { emulator, report })
}

/// Keeps the report of checks that pass. An earlier one goes first: it would still vouch if they fail.
fn kept(place: &Path, check: impl FnOnce() -> Result<Report>) -> Result<Report> {
    files::remove(place)?;
    let report = check()?;
    files::write_json(place, &report)?;
    Ok(report)
}

fn check(session: &Session, series: &Series, start: Start<'_>, depth: Depth<'_>) -> Result<Report> {
    let emulator = start.emulator;
    let bytes =
        fs::read(emulator.path()).with_context(|| format!("cannot read {}", emulator.path().display()))?;
    let header = elf::check(&bytes, &emulator.host().elf, emulator.build_info().profile)?;
    let mut report = Report {
        sha256: hash::sha256(&bytes),
        size: bytes.len() as u64,
        checks: vec![Check { name: "elf".into(), outcome: Outcome::Passed(header) }],
        tcg: None,
        ltp: None,
    };
    // Several megabytes, and the checks take a while.
    drop(bytes);
    report.run("version", start, || version(series, start))?;
    report.run("start", start, || tiny::check_start(session, start))?;
    report.run("guest", start, || guest::check(session, start))?;
    if !emulator.host().is_native() {
        return Ok(report);
    }
    if let Depth::Linux = depth {
        report.run("linux", start, || contract::linux::check(session, emulator))?;
    }
    if let Depth::Ltp { reference, suite } = depth {
        let table = &mut None;
        report.run("ltp", start, || {
            let (outcome, seen) = ltp::check(session, suite, emulator, reference)?;
            *table = seen;
            Ok(outcome)
        })?;
        report.ltp = table.take();
    }
    let Depth::Whole { reference, cached } = depth else { return Ok(report) };
    let traced = reference.filter(|reference| reference.traced);
    let upstream = traced.map(|reference| reference.emulator.path());
    report.run("contract", start, || contract::check(session, emulator, upstream))?;
    report.run("leaks", start, || leaks::check(session, series, emulator))?;
    if let Some(time) = cached {
        report.run("tb-cache", start, || contract::cached::check(session, emulator, time))?;
    }
    if let Some((reference, tests)) = reference.and_then(|reference| Some((reference, reference.tests?))) {
        let mut table = None;
        report.run("tcg", start, || {
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
    fn run(&mut self, name: &str, of: Start<'_>, check: impl FnOnce() -> Result<Outcome>) -> Result<()> {
        let host = of.emulator.host();
        let outcome = if host.is_native() || of.runner.is_some() {
            check().with_context(|| format!("the check `{name}` failed"))?
        } else {
            Outcome::NotRun(format!("this machine cannot run programs for {}", host.platform))
        };
        self.checks.push(Check { name: name.into(), outcome });
        Ok(())
    }
}

/// `--version` says the version and the release that were asked for.
fn version(series: &Series, start: Start<'_>) -> Result<Outcome> {
    says_version(series, start.emulator.target(), start.command()).map(Outcome::Passed)
}

/// What an emulator that is run by `command` says with `--version`, if that is right.
fn says_version(series: &Series, target: Target, mut command: Command) -> Result<String> {
    let expected = format!("{} version {} ({})", target.emulator(), series.pins.version, pkgversion(series));
    let program = command.get_program().to_string_lossy().into_owned();
    command.arg("--version");
    let result = output_within(TIMEOUT, &mut command)?;
    if !result.status.success() {
        let said = String::from_utf8_lossy(&result.stderr);
        bail!("`{program} --version` {}: {}", ended(result.status), said.trim());
    }
    let said = String::from_utf8_lossy(&result.stdout).lines().next().unwrap_or_default().to_owned();
    ensure!(said == expected, "it says `{said}`, not `{expected}`");
    Ok(said)
}

/// A kernel release that no kernel has. It is given to the first program alone, so a child that
/// reports it ran in the emulator, with the first one's settings.
const RELEASE: &str = "6.6.6-anyarch";

/// An emulator that hangs must not hang a build: no check takes a tenth of this.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// A command for a guest, with nothing of the user's environment: `QEMU_*` would be options.
pub fn alone(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Hash of the checks themselves. If it changes, emulators are verified again.
pub fn suite_key(session: &Session) -> Result<String> {
    let script = fs::read(script(session)).context("cannot read the guest script")?;
    hash::short_key(&(SUITE, hash::sha256(&script), tiny::key()?))
}

/// Counted up when a check of this module changes.
const SUITE: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::hosts::Proof;

    #[test]
    fn a_report_lasts_until_the_next_checks_begin() {
        let home = tempfile::tempdir().expect("a folder");
        let place = home.path().join("qemu-arm.json");
        let report = || Report { sha256: String::new(), size: 1, checks: Vec::new(), tcg: None, ltp: None };
        kept(&place, || Ok(report())).expect("kept");
        assert!(place.is_file());
        kept(&place, || bail!("it does not start")).expect_err("told");
        assert!(!place.exists(), "nothing vouches for what failed");
        kept(&place, || Ok(report())).expect("kept again");
        assert!(place.is_file());
    }

    #[test]
    fn emulators_for_other_hosts_are_proven_on_the_processor_that_their_host_names() {
        let toolchains = Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains");
        let hosts = Host::all(&toolchains).expect("all files read");
        let shown = |name: &str| {
            let host = Host::named(name, &hosts).expect("a host");
            crate::process::show(&Runner::of(Path::new("/runner"), host).command(Path::new("/emulator")))
        };
        assert_eq!(shown("arm/v6"), "/runner --execve self -cpu arm1176 /emulator");
        let old = hosts.iter().filter(|host| host.proof.cpu.is_some());
        assert!(old.clone().count() > 5, "most hosts name one");
        for host in old {
            let cpu = host.proof.cpu.as_deref().unwrap_or_default();
            assert!(shown(&host.platform).contains(&format!(" -cpu {cpu} ")), "{}", host.platform);
        }
        let host = Host::named("386", &hosts).expect("a host");
        let newer = Runner::of(Path::new("/runner"), host).on(Some("coreduo"));
        let newer = crate::process::show(&newer.command(Path::new("/anyarch")));
        assert_eq!(newer, "/runner --execve self -cpu coreduo /anyarch");
        let any = Host { proof: Proof::default(), ..hosts[0].clone() };
        let plain = Runner::of(Path::new("/runner"), &any).command(Path::new("/emulator"));
        assert_eq!(crate::process::show(&plain), "/runner --execve self /emulator");
    }
}
