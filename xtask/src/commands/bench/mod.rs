//! `bench`: figures as ratios of two runs on this machine, one after the other.

mod binfmt;
mod bytes;
mod cold;
mod emulator;
mod exec;
mod idle;
mod matrix;
mod program;
mod rounds;
mod sizes;
mod speed;
mod trees;
mod warm;

use super::show;
use crate::compile::{BuildInfo, Jobs, configure_command, ninja_command};
use crate::facts::{Target, series};
use crate::patch::{self, PatchedTree};
use crate::plan::{Plan, Profile, Request};
use crate::process::LoggedCommand;
use crate::session::{BuildSession, Session};
use crate::toolchain::{self, Toolchain, ToolchainOptions};
use anyarch_client::files::TempFolder;
use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use emulator::EmulatorOptions;
use exec::{ExecDetails, ExecOptions};
use serde::Serialize;
use serde_json::Value;
use speed::{SpeedDetails, SpeedOptions};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Run benchmarks: build time, memory, the cost of an exec, speed, sizes of archives
///
/// Every figure is a ratio of two runs on this machine, one after the other. Results go to stdout. Published
/// results are in `docs/benchmarks.md`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure
    #[arg(value_enum, required = true)]
    pub what: Vec<Measure>,
    /// Options of what runs an emulator.
    #[command(flatten)]
    pub emulator: EmulatorOptions,
    /// Options of `bench exec`.
    #[command(flatten)]
    pub exec: ExecOptions,
    /// Options of `bench speed`.
    #[command(flatten)]
    pub speed: SpeedOptions,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// A cold build of one target, compared with a bare `configure && ninja` with the same flags
    Cold,
    /// All targets in one build tree, compared with a tree per target (three are built, the rest is extrapolated)
    Trees,
    /// The same command again, when everything is up to date
    Idle,
    /// All targets for this host and two others at once: how busy the processors are
    Matrix,
    /// A clean build of all targets with a warm ccache, compared with a cold one
    Ccache,
    /// The plan of every target on every host
    Plan,
    /// Starting child processes with --execve, compared with binfmt_misc (F flag)
    Exec,
    /// Programs of a foreign root file system, compared with another emulator under binfmt_misc (F flag)
    Speed,
    /// Sizes of the archives in the output folder, compared with Debian's emulators packed by xz -9e
    Sizes,
    /// How much each size optimization saves: the emulator is built without it
    Bytes,
    /// The archives of anyarch in the output folder, and how long it takes to start
    Program,
}

/// The target that stands for one.
const ONE: &str = "aarch64";

/// One figure.
#[derive(Debug, Serialize)]
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    /// What it shall keep to.
    #[serde(flatten)]
    limit: Limit,
    /// The measured numbers behind it.
    from: String,
    /// More of them, as data.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// Where a figure shall lie.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
        }
    }
}

/// The measurements behind a figure, of the measures that keep them.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Details {
    Exec(ExecDetails),
    Speed(SpeedDetails),
}

/// Measures what was asked for and prints the figures.
pub fn run(session: &BuildSession, arguments: &Bench) -> Result<()> {
    let mut figures = Vec::new();
    for measure in &arguments.what {
        let usual = ToolchainOptions::default();
        let bench = || Setting::new(session, &usual);
        figures.extend(match measure {
            Measure::Cold => cold::measure(&bench()?)?,
            Measure::Trees => trees::measure(&bench()?)?,
            Measure::Idle => idle::measure(&bench()?)?,
            Measure::Matrix => matrix::measure(&bench()?)?,
            Measure::Ccache => warm::ccache(&bench()?)?,
            Measure::Plan => warm::plan(&bench()?)?,
            Measure::Exec => {
                let bench = Setting::new(session, &arguments.emulator.tooling)?;
                exec::measure(&bench, &arguments.emulator, &arguments.exec)?
            }
            Measure::Speed => speed::measure(session, &arguments.emulator, &arguments.speed)?,
            Measure::Sizes => sizes::measure(session)?,
            Measure::Bytes => bytes::measure(&bench()?)?,
            Measure::Program => program::measure(session)?,
        });
    }
    show(session, &figures, || {
        let line = |figure: &Figure| {
            format!(
                "{:<64} {:>7.3} {:<3} ({}) {}\n",
                figure.what, figure.value, figure.unit, figure.limit, figure.from
            )
        };
        figures.iter().map(line).collect()
    })
}

/// Everything downloaded and ready, and a folder that vanishes afterwards.
struct Setting<'a> {
    session: &'a BuildSession,
    home: TempFolder,
    tooling: ToolchainOptions,
    toolchain: Toolchain,
}

impl<'a> Setting<'a> {
    fn new(session: &'a BuildSession, tooling: &ToolchainOptions) -> Result<Self> {
        let home = TempFolder::new(&session.workspace.trees)?;
        let tooling = tooling.clone();
        let plan = plan_with(session, &[ONE], &tooling)?;
        super::source::patched(session, plan.series(), None)?;
        let toolchain = toolchain::prepare(session, plan.trees()[0].host(), plan.series(), plan.tooling())?;
        Ok(Self { session, home, tooling, toolchain })
    }

    /// This very driver, with build trees and output in `folder`; gives its JSON and the seconds it took.
    fn driver(&self, folder: &Path, options: &[&str]) -> Result<(Value, f64)> {
        self.driver_in(folder, options, &[])
    }

    /// The same with variables.
    fn driver_in(
        &self,
        folder: &Path,
        options: &[&str],
        environment: &[(&str, &OsStr)],
    ) -> Result<(Value, f64)> {
        let started = Instant::now();
        let mut command = Command::new(std::env::current_exe().context("this driver has no path")?);
        command.args(["build", "--json", "--jobs", &self.session.jobs.to_string()]).args(options);
        command.env_remove("ANYARCH_LAUNCHER").envs(environment.iter().copied());
        command.arg("--root").arg(&self.session.workspace.root);
        command.arg("--build-dir").arg(folder).arg("--out").arg(folder.join("out"));
        let log = self.session.workspace.log("bench-driver");
        let mut json = String::new();
        let mut inside = false;
        // Its messages come before and after its result.
        LoggedCommand::new(command, &log).run(&self.session.progress, |line| {
            inside |= line == "{";
            if inside {
                json.push_str(line);
            }
            inside &= line != "}";
        })?;
        let seconds = started.elapsed().as_secs_f64();
        Ok((serde_json::from_str(&json).context("the driver's result cannot be read")?, seconds))
    }

    /// `configure && ninja`, as a person would type it, in a folder beside the source.
    fn bare(
        &self,
        tree: &PatchedTree,
        name: &str,
        plan: &Plan,
        configured: &[Target],
        built: &[Target],
    ) -> Result<f64> {
        let build_info = BuildInfo::configured_for(configured, plan, &plan.trees()[0], &self.toolchain);
        let outputs: Vec<String> = built.iter().map(Target::emulator).collect();
        let (folder, seconds) = self.made(tree, name, plan, &build_info, &outputs)?;
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        Ok(seconds)
    }

    /// The same with these facts; gives the folder, and the seconds it took.
    fn made(
        &self,
        tree: &PatchedTree,
        name: &str,
        plan: &Plan,
        build_info: &BuildInfo,
        outputs: &[String],
    ) -> Result<(PathBuf, f64)> {
        let folder = tree.path().with_file_name(name);
        let step = self.session.progress.step(format!("bare build of {name}"));
        let log = self.session.workspace.log("bench-bare");
        let started = Instant::now();
        let configure = configure_command(&folder, plan, build_info, tree, &self.toolchain)?;
        LoggedCommand::new(configure, &log).run(&self.session.progress, |_| ())?;
        let ninja = ninja_command(&folder, &self.toolchain, Jobs::Own(self.session.jobs), outputs);
        LoggedCommand::new(ninja, &log).run(&self.session.progress, |_| ())?;
        step.done("built");
        Ok((folder, started.elapsed().as_secs_f64()))
    }

    /// The patched tree in our own folder, which a run of the driver has made there.
    fn tree(&self, plan: &Plan) -> Result<PatchedTree> {
        let mut workspace = self.session.workspace.clone();
        workspace.trees = self.home.path().to_owned();
        let path = patch::tree_path_in(&workspace, plan.series())?;
        patch::found(&path).with_context(|| format!("{} was not made", path.display()))
    }

    /// Has the driver unpack and patch the source in our own folder.
    fn source(&self) -> Result<()> {
        let mut command = Command::new(std::env::current_exe().context("this driver has no path")?);
        command.arg("source").arg("--root").arg(&self.session.workspace.root);
        command.arg("--build-dir").arg(self.home.path());
        let log = self.session.workspace.log("bench-driver");
        LoggedCommand::new(command, &log).run(&self.session.progress, |_| ())
    }

    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.home.path().join(name);
        ensure!(!folder.exists(), "{} is there already", folder.display());
        Ok(folder)
    }
}

fn plan_for(session: &Session, targets: &[&str]) -> Result<Plan> {
    plan_with(session, targets, &ToolchainOptions::default())
}

fn plan_with(session: &Session, targets: &[&str], tooling: &ToolchainOptions) -> Result<Plan> {
    let request = Request {
        targets: targets.iter().map(|name| (*name).to_owned()).collect(),
        hosts: vec!["native".to_owned()],
        series: series::DEFAULT.to_owned(),
        profile: Profile::Release,
        tooling: tooling.clone(),
    };
    Plan::make(&session.workspace, &request)
}

fn least(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(f64::INFINITY, f64::min)
}

fn seconds(all: &[f64]) -> String {
    all.iter().map(|one| format!("{one:.1}")).collect::<Vec<_>>().join(", ")
}
