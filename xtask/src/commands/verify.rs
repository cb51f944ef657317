//! `verify`: compiles and verifies emulators, with more checks than `build` takes the time for.

use super::build::{Prepared, tell_what_was_not_run};
use super::selection::Selection;
use super::{runner, show, source};
use crate::compile::{self, Compiled, Emulator, UpstreamEmulator};
use crate::error::Missing;
use crate::facts::Target;
use crate::patch::UpstreamTree;
use crate::plan::{Plan, TreePlan};
use crate::session::BuildSession;
use crate::toolchain;
use crate::verify::{self, Depth, Reference, Report};
use anyarch_client::error::Usage;
use anyhow::{Context as _, Error, Result, bail};
use clap::Args;
use rayon::prelude::*;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Verify emulators: ELF header, --version, a guest program with children, the execve contract
///
/// Compiles emulators that are not up to date. Runs every check again, and more checks than `build` does: the
/// execve contract takes about 15 s per target and needs a C compiler for the target. Checks that this
/// machine cannot run are reported as not run, with the reason.
///
/// With --upstream, --tcg or --ltp, the same source is also compiled without our patches, in a separate tree that is
/// never packaged, and both emulators must behave the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask verify --target aarch64
  cargo xtask verify --target all --upstream
  cargo xtask verify --target aarch64 --tb-cache 1800
  cargo xtask verify --target aarch64,arm,s390x --linux
  cargo xtask verify --target aarch64 --ltp ltp-20260529
  cargo xtask verify --target aarch64,s390x --tcg --json")]
pub struct Verify {
    /// Targets, hosts, series, profile and toolchain.
    #[command(flatten)]
    pub selection: Selection,
    /// Compare with unpatched QEMU: with --execve off, the system calls must be the same
    ///
    /// Needs strace.
    #[arg(long)]
    pub upstream: bool,
    /// Run QEMU's own tests (tests/tcg) with and without our patches, --execve off and on
    ///
    /// A test that fails anywhere is run up to ten times by each emulator. The command fails if ours passes
    /// less often than unpatched QEMU by more than chance. Needs make and a C compiler for the target. Tests
    /// that need gdb are run if gdb-multiarch is installed. Plugins are not built and not tested.
    #[arg(long)]
    pub tcg: bool,
    /// Run the guest's cases with --tb-cache paranoid and in a folder, and map code by chance, for so many seconds
    ///
    /// All must do what it does natively. Half an hour is 1800.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    pub tb_cache: Option<u64>,
    /// Instead of the contract, compare what Linux promises to programs: memory, files, /proc, signals
    ///
    /// A guest prints a line for each case, natively and emulated. The cases stand in guests/linux; those that must
    /// differ, with the reason, in its limits.toml. Programs are linked in four ways, and run with --execve and
    /// without.
    #[arg(long, conflicts_with_all = ["upstream", "tcg", "tb_cache", "ltp"])]
    pub linux: bool,
    /// Instead of the contract, run the system calls' tests of the Linux Test Project, whose source is in this folder
    ///
    /// Its programs are compiled once for this machine and once for the target. Each case runs natively, in unpatched
    /// QEMU and in ours, in namespaces of its own. The command fails if one passes in unpatched QEMU and not in ours.
    /// It takes an hour or more.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["upstream", "tcg", "tb_cache"])]
    pub ltp: Option<PathBuf>,
    /// The old spelling of the command `reproduce`.
    #[arg(long, value_name = "DIR", hide = true)]
    pub reproduce: Option<PathBuf>,
}

/// What one emulator was found to be.
#[derive(Debug, Serialize)]
struct Row {
    target: Target,
    host: String,
    report: Report,
}

/// Verifies the requested emulators. Those that pass are listed even if others fail.
pub fn run(session: &BuildSession, arguments: &Verify) -> Result<()> {
    if let Some(folder) = &arguments.reproduce {
        let targets = arguments.selection.targets.join(",");
        bail!(Usage(format!(
            "`verify --reproduce` is a command of its own: cargo xtask reproduce {} --target {targets}",
            folder.display()
        )));
    }
    if arguments.upstream {
        which::which("strace").map_err(|_| Missing::new("strace", "apt-get install strace"))?;
    }
    let plan = Plan::make(&session.workspace, &arguments.selection.request())?;
    // Once for all hosts.
    toolchain::can_call(plan.tooling())?;
    let (mut rows, mut errors): (Vec<Row>, Vec<Error>) = (Vec::new(), Vec::new());
    for tree in plan.trees() {
        let checked = check(session, &plan, tree, arguments)
            .with_context(|| format!("nothing for {} could be verified", tree.host().platform));
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
    if let Some(ltp) = &row.report.ltp {
        text.push_str(&format!("  LTP: {}\n{}", ltp.summary(), ltp.notable()));
    }
    text
}

/// Compiles and checks the emulators of a host.
fn check(
    session: &BuildSession,
    plan: &Plan,
    tree: &TreePlan,
    arguments: &Verify,
) -> Result<Vec<Result<Row>>> {
    let prepared = Prepared::new(session, plan, tree, None)?;
    let runner = runner::of(session, plan, tree)?;
    let compares =
        (arguments.upstream || arguments.tcg || arguments.ltp.is_some()) && tree.host().is_native();
    let upstream = compares.then(|| Upstream::make(session, plan, tree, &prepared)).transpose()?;
    let build = prepared.open(session, plan, tree)?;
    let Compiled { emulators, failed } = build.compile(tree.targets(), &prepared.source)?;
    let one = |emulator: Emulator| -> Result<Row> {
        let target = emulator.target();
        let reference = upstream.as_ref().map(|upstream| upstream.of(target, arguments)).transpose()?;
        let cached = arguments.tb_cache.map(Duration::from_secs);
        let depth = match (&arguments.ltp, reference) {
            _ if arguments.linux => Depth::Linux,
            (Some(suite), Some(reference)) => Depth::Ltp { reference, suite },
            (_, reference) => Depth::Whole { reference, cached },
        };
        let verified = verify::verify(session, plan.series(), emulator, depth, runner.as_ref())?;
        let host = tree.host().platform.clone();
        Ok(Row { target, host, report: verified.report().clone() })
    };
    // QEMU's tests and LTP's run several at a time for each target, and some of them mind a busy machine.
    let at_once = if arguments.tcg || arguments.ltp.is_some() { 1 } else { session.jobs };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(at_once).build()?;
    let mut rows: Vec<Result<Row>> = pool.install(|| emulators.into_par_iter().map(one).collect());
    rows.extend(failed.into_iter().map(|(_, error)| Err(error)));
    Ok(rows)
}

/// What the emulators of a host are compared with.
struct Upstream {
    source: UpstreamTree,
    emulators: Vec<UpstreamEmulator>,
}

impl Upstream {
    fn make(session: &BuildSession, plan: &Plan, tree: &TreePlan, prepared: &Prepared) -> Result<Self> {
        let source = source::upstream(session, plan.series())?;
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
