//! `build`: from source to tarballs. `verify` begins the same way and does not pack.

mod compile_timer;
mod matrix;
mod prepared;
mod runners;

pub use prepared::Prepared;

use super::plan::PlanFormat;
use super::selection::Selection;
use super::{plan as plan_command, show};
use crate::facts::{Host, Target};
use crate::package::{self, Tarball};
use crate::plan::{Impossible, Plan};
use crate::program;
use crate::session::{BuildSession, Session};
use crate::verify::Report;
use anyarch_client::error::Usage;
use anyarch_client::progress::{count, human_bytes};
use anyhow::{Error, Result, bail};
use clap::Args;
use matrix::MatrixResult;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Build, verify and package emulators, from pinned source to tarballs
///
/// Writes `dist/<release>/qemu-<target>-<release>-linux-<host>.tar.xz` and prints a table of sizes and times.
/// Emulators that are up to date are not built again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask build --target aarch64
  cargo xtask build --target aarch64,riscv64,s390x -j 8
  cargo xtask build --target all
  cargo xtask build --target arm64 --source ~/qemu-10.2.2.tar.xz --offline")]
pub struct Build {
    /// Targets, hosts, series, profile and toolchain.
    #[command(flatten)]
    pub selection: Selection,
    /// QEMU source to use: a tarball, an unpacked tree, a git checkout or a git URL
    ///
    /// It must match the hashes that `patches/<series>/series.toml` pins.
    #[arg(long, value_name = "TREE|TARBALL|URL")]
    pub source: Option<String>,
    /// Print the plan and stop
    #[arg(long)]
    pub dry_run: bool,
}

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

/// A pair, or all pairs of a host, that came to nothing.
#[derive(Debug, Serialize)]
struct Failure {
    host: String,
    target: Option<Target>,
    #[serde(serialize_with = "as_text")]
    error: Error,
}

impl Failure {
    /// Tells the user at once: the others may take long.
    fn new(session: &Session, host: &Host, target: Option<Target>, error: Error) -> Self {
        let failure = Self { host: host.platform.clone(), target, error };
        session.progress.say(&format!("failed: {}: {:#}", failure.subject(), failure.error));
        failure
    }

    /// What failed, as people name it.
    fn subject(&self) -> String {
        let target = self.target.map_or_else(|| "all targets".to_owned(), |target| target.emulator());
        format!("{target} for {}", self.host)
    }
}

fn as_text<S: serde::Serializer>(error: &Error, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format!("{error:#}"))
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
    work: BuildTimes,
    tarballs: Vec<Row>,
    failed: Vec<Failure>,
    /// Pairs that `all` includes but that cannot be built.
    impossible: Vec<Impossible>,
}

/// How long a build took; all times are in seconds.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct BuildTimes {
    /// Time from the start of the first compilation to the end of the last, in seconds.
    pub compile_seconds: f64,
    /// Processor time of all programs that were run in that time, packing included, in seconds.
    pub compile_processor_seconds: f64,
    /// Processor time of all programs that were run, in seconds.
    pub processor_seconds: f64,
    /// Processor time of the driver itself, without packing, in seconds.
    pub own_processor_seconds: f64,
    /// Processor time of packing by xz, in seconds.
    pub packing_processor_seconds: f64,
}

/// `build --dry-run`.
pub fn dry_run(session: &Session, arguments: &Build) -> Result<()> {
    plan_command::print(session, &arguments.selection.request(), PlanFormat::Table)
}

/// `build`.
pub fn run(session: &BuildSession, arguments: &Build) -> Result<()> {
    let (selection, given) = (&arguments.selection, arguments.source.as_deref());
    let started = Instant::now();
    if !selection.profile.is_static() {
        let name = selection.profile.name();
        bail!(Usage(format!(
            "{name} emulators are never packaged; to build and verify them: cargo xtask verify --profile {name}"
        )));
    }
    let plan = Plan::make(&session.workspace, &selection.request())?;
    // Where all is up to date, nothing is written.
    if !package::all_exist(session, &plan) {
        package::is_writable(session, plan.release())?;
    }
    for line in gaps(plan.impossible()) {
        session.progress.say(&line);
    }
    let mut made = matrix::make(session, &plan, given)?;
    let targets = &plan.series().pins.build.targets;
    let place = |row: &Row| {
        let tree = plan.trees().iter().position(|tree| tree.host().platform == row.tarball.host());
        (tree, targets.iter().position(|name| *name == row.tarball.target().name))
    };
    made.rows.sort_by_key(place);
    let folder = session.workspace.out.join(plan.release());
    let current = current(&folder, &plan, &made)?;
    let mut listed: Vec<(String, String)> =
        current.iter().map(|one| package::listed(one.path(), &one.record().sha256)).collect();
    listed.extend(programs(session, &folder, &plan)?);
    let (sums, others) = package::write_sums(session, plan.release(), &listed)?;
    if !others.is_empty() {
        session.progress.say(&format!(
            "note: not in SHA256SUMS, because they were built from other inputs: {}\n      \
             build them again or remove them",
            others.join(" ")
        ));
    }
    let built = Built {
        folder,
        release: plan.release().to_owned(),
        sums,
        seconds: started.elapsed().as_secs_f64(),
        peak_memory: peak_memory(),
        work: made.work,
        tarballs: made.rows,
        failed: made.failed,
        impossible: plan.impossible().to_vec(),
    };
    show(session, &built, || table(&built))?;
    for row in &built.tarballs {
        tell_what_was_not_run(
            session,
            row.tarball.target(),
            row.tarball.host(),
            &row.tarball.record().emulator,
        );
    }
    report(built.failed)
}

/// One line for each reason why something is not made, with its targets and hosts.
fn gaps(impossible: &[Impossible]) -> Vec<String> {
    let mut reasons: Vec<&str> = impossible.iter().map(|none| none.reason.as_str()).collect();
    let mut told = BTreeSet::new();
    reasons.retain(|reason| told.insert(*reason));
    let line = |reason: &str| {
        let some = impossible.iter().filter(|none| none.reason == reason);
        let (mut targets, mut hosts): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for none in some {
            if !targets.contains(&none.target.as_str()) {
                targets.push(&none.target);
            }
            if !hosts.contains(&none.host.as_str()) {
                hosts.push(&none.host);
            }
        }
        format!("not possible: {} for {}: {reason}", targets.join(", "), hosts.join(", "))
    };
    reasons.into_iter().map(line).collect()
}

/// The command's own error: a failure that is no mere lack of compilers, if there is one. All were told.
fn report(mut failed: Vec<Failure>) -> Result<()> {
    failed.sort_by_key(|failure| crate::error::code(&failure.error) == 1);
    let Some(last) = failed.pop() else { return Ok(()) };
    let also = if failed.is_empty() { String::new() } else { format!(" (and {} more, above)", failed.len()) };
    let subject = format!("{} failed{also}", last.subject());
    Err(last.error.context(subject))
}

/// The tarballs that belong to this plan's release: those just made or found, and those that earlier runs
/// made from the very same, with the same toolchain as far as that is known now.
fn current(folder: &Path, plan: &Plan, made: &MatrixResult) -> Result<Vec<Tarball>> {
    let mut listed: Vec<Tarball> = made.rows.iter().map(|row| row.tarball.clone()).collect();
    for path in package::tarballs(folder)? {
        if listed.iter().any(|known| known.path() == path) {
            continue;
        }
        let same_key = |one: &Tarball| made.keys.get(one.host()).is_none_or(|key| key.is_of(one.record()));
        listed.extend(package::found(&path, plan.series(), plan.profile()).filter(same_key));
    }
    Ok(listed)
}

/// The users' programs that `program` made of this checkout, for the same sums.
fn programs(session: &Session, folder: &Path, plan: &Plan) -> Result<Vec<(String, String)>> {
    let all = program::archives(folder)?.into_iter();
    let ours = all.filter_map(|path| program::found(&path, &session.workspace.root, plan.series()));
    Ok(ours.map(|one| package::listed(one.path(), &one.record().sha256)).collect())
}

fn table(built: &Built) -> String {
    let mut text = format!(
        "{:<12} {:<8} {:>8} {:>8} {:>7}  verified\n",
        "target", "host", "emulator", "tarball", "proof"
    );
    for row in &built.tarballs {
        let record = row.tarball.record();
        let time = if row.up_to_date { "-".to_owned() } else { format!("{:.1} s", row.seconds) };
        text.push_str(&format!(
            "{:<12} {:<8} {:>8} {:>8} {:>7}  {}\n",
            row.tarball.target().name,
            row.tarball.host(),
            human_bytes(record.emulator.size),
            human_bytes(record.size),
            time,
            record.emulator.summary()
        ));
    }
    for failure in &built.failed {
        let error = format!("{:#}", failure.error);
        let why = error.lines().next().unwrap_or_default();
        let target = failure.target.map_or("all", |target| target.name);
        text.push_str(&format!("{target:<12} {:<8} FAILED: {why}\n", failure.host));
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
pub fn tell_what_was_not_run(session: &Session, target: Target, host: &str, report: &Report) {
    for (check, reason) in report.not_run() {
        session.progress.say(&format!("not run: {check} of {} for {host}: {reason}", target.emulator()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{request, workspace};

    #[test]
    fn what_can_not_be_made_is_told_once_a_reason_with_its_targets_and_hosts() {
        let plan = Plan::make(&workspace(), &request(&["x86_64", "s390x"], &["all"])).expect("a plan");
        let lines = gaps(plan.impossible());
        assert_eq!(lines.len(), 1 + plan.series().pins.left_out_hosts.len(), "{lines:?}");
        let mut narrow = Host::all(&workspace().root.join("toolchains")).expect("hosts");
        let has = |host: &Host| !plan.series().pins.left_out_hosts.contains_key(&host.platform);
        narrow.retain(|host| host.elf.bits == 32 && has(host));
        let narrow: Vec<&str> = narrow.iter().map(|host| host.platform.as_str()).collect();
        let told = format!("not possible: s390x, x86_64 for {}: QEMU 10.2 has no 64-bit", narrow.join(", "));
        assert!(lines[0].starts_with(&told), "{lines:?}");

        let plan = Plan::make(&workspace(), &request(&["all"], &["amd64"])).expect("a plan");
        let lines = gaps(plan.impossible());
        assert!(lines.iter().any(|line| line.starts_with("not possible: cris for amd64: ")), "{lines:?}");
        let plan = Plan::make(&workspace(), &request(&["x86_64"], &["amd64"])).expect("a plan");
        assert_eq!(gaps(plan.impossible()), Vec::<String>::new());
    }

    #[test]
    fn programs_read_what_can_not_be_made() {
        let plan = Plan::make(&workspace(), &request(&["x86_64"], &["all"])).expect("a plan");
        let built = Built {
            release: plan.release().to_owned(),
            folder: PathBuf::new(),
            sums: PathBuf::new(),
            seconds: 0.0,
            peak_memory: None,
            work: BuildTimes::default(),
            tarballs: Vec::new(),
            failed: Vec::new(),
            impossible: plan.impossible().to_vec(),
        };
        let json = serde_json::to_value(&built).expect("JSON");
        let first = &json["impossible"][0];
        assert_eq!((&first["target"], &first["host"]), (&"x86_64".into(), &"386".into()));
        assert!(first["reason"].as_str().is_some_and(|reason| reason.contains("--qemu 7.2")), "{json}");
    }
}
