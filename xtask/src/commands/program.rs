//! `program`: the users' program `anyarch`, from the checkout to archives.

use super::{runner, show};
use crate::facts::hosts::Rust;
use crate::facts::{Host, Series, series};
use crate::package::{self, record_path};
use crate::plan::{Plan, Profile, Request};
use crate::program::{self, Facts, Key, Packed};
use crate::session::BuildSession;
use crate::toolchain::{RustToolchain, ToolchainOptions};
use crate::verify::Runner;
use anyarch_client::error::Usage;
use anyarch_client::progress::{count, human_bytes};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;
use std::path::Path;
use std::time::Instant;

/// Build, verify and package `anyarch`, the program for users, static for each host
///
/// Writes `dist/<release>/anyarch-<release>-linux-<host>.tar.xz`. The program of another host is run in this machine's
/// own emulator of that host, which is built first. What is up to date is not built again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask program
  cargo xtask program --host arm64,s390x
  cargo xtask program --host all --keep-going")]
pub struct Program {
    /// Hosts, by Docker's platform names; `native` for this machine, `all` for every host that Rust makes programs for
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',', default_value = "native")]
    pub hosts: Vec<String>,
    /// The QEMU series whose release it belongs to, and whose emulators run it
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// How this machine's emulators of other hosts are compiled.
    #[command(flatten)]
    pub tooling: ToolchainOptions,
}

/// One row of the result.
struct Row {
    packed: Packed,
    up_to_date: bool,
    seconds: f64,
}

/// Makes the programs, and says where they are.
pub fn run(session: &BuildSession, arguments: &Program) -> Result<()> {
    let root = &session.workspace.root;
    let series = Series::read(&root.join("patches"), &arguments.series)?;
    package::is_writable(session, &series.release())?;
    let known = Host::all(&root.join("toolchains"))?;
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (host, rust) in selected(session, &arguments.hosts, &known)? {
        match make(session, arguments, &series, host, rust) {
            Ok(row) => rows.push(row),
            Err(error) if session.keep_going => {
                session.progress.say(&format!("failed: anyarch for {}: {error:#}", host.platform));
                failed.push((host.platform.clone(), error));
            }
            Err(error) => return Err(error),
        }
    }
    write_sums(session, &series)?;
    let programs: Vec<_> = rows.iter().map(Row::json).collect();
    let lost: Vec<&str> = failed.iter().map(|(host, _)| host.as_str()).collect();
    let result = json!({ "release": series.release(), "programs": programs, "failed": lost });
    show(session, &result, || rows.iter().map(Row::text).collect())?;
    for row in &rows {
        let record = row.packed.record();
        for (check, reason) in record.program.not_run() {
            session.progress.say(&format!("not run: {check} of anyarch for {}: {reason}", record.host));
        }
    }
    match failed.pop() {
        Some((host, error)) => Err(error.context(format!("anyarch for {host} failed"))),
        None => Ok(()),
    }
}

/// The hosts that are asked for, this machine's own first. Hosts without Rust are told of, or refused by name.
pub fn selected<'a>(
    session: &BuildSession,
    names: &[String],
    known: &'a [Host],
) -> Result<Vec<(&'a Host, &'a Rust)>> {
    let mut hosts: Vec<(&Host, &Rust)> = Vec::new();
    for name in names {
        let named: Vec<&Host> =
            if name == "all" { known.iter().collect() } else { vec![Host::named(name, known)?] };
        for host in named {
            let Some(rust) = &host.rust else {
                let why = host.without_rust.as_deref().unwrap_or("nobody said how");
                if name != "all" {
                    bail!(Usage(format!("there is no anyarch for {}: {why}", host.platform)));
                }
                session.progress.say(&format!("not possible: anyarch for {}: {why}", host.platform));
                continue;
            };
            if !hosts.iter().any(|(seen, _)| seen.platform == host.platform) {
                hosts.push((host, rust));
            }
        }
    }
    hosts.sort_by_key(|(host, _)| !host.is_native());
    Ok(hosts)
}

fn make(
    session: &BuildSession,
    arguments: &Program,
    series: &Series,
    host: &Host,
    rust: &Rust,
) -> Result<Row> {
    let started = Instant::now();
    let root = &session.workspace.root;
    let toolchain = RustToolchain::prepare(session, host, rust)?;
    let key = Key::new(root, &Facts::gather(root, series, host, rust, &toolchain)?, host, series)?;
    let place = session.workspace.out.join(series.release());
    let place = place.join(program::file_name(&series.release(), &host.platform));
    let runner = Runners { session, arguments, host };
    if let Some(packed) = ready(session, &place, series, &key, &runner) {
        return Ok(Row { packed, up_to_date: true, seconds: 0.0 });
    }
    let compiled = program::compile(session, series, host, rust, &toolchain)?;
    let runner = runner.find()?.map(|runner| runner.on(rust.cpu.as_deref()));
    let step = session.progress.step(format!("{:<8} verify and pack anyarch", host.platform));
    let proven = program::prove(session, compiled, runner.as_ref())?;
    let packed = program::pack(session, &proven, &key, series.pins.epoch)?;
    step.done("done");
    Ok(Row { packed, up_to_date: false, seconds: started.elapsed().as_secs_f64() })
}

/// The archive that is there, if it was made with this key and proven by all that this machine can do.
fn ready(
    session: &BuildSession,
    place: &Path,
    series: &Series,
    key: &Key,
    runner: &Runners<'_>,
) -> Option<Packed> {
    if !record_path(place).is_file() {
        return None;
    }
    let found = program::found(place, &session.workspace.root, series)?;
    let proven = session.offline || !runner.are_there() || !found.record().program.is_incomplete();
    (proven && key.is_of(found.record())).then_some(found)
}

/// Who runs the programs of a host on this machine.
struct Runners<'a> {
    session: &'a BuildSession,
    arguments: &'a Program,
    host: &'a Host,
}

impl Runners<'_> {
    /// The plan of the emulators that run the host's programs; none for this machine's own, or where there are none.
    fn plan(&self) -> Option<Plan> {
        let request = Request {
            targets: vec!["arm".to_owned()],
            hosts: vec![self.host.platform.clone()],
            series: self.arguments.series.clone(),
            profile: Profile::Release,
            tooling: self.arguments.tooling.clone(),
        };
        Plan::make(&self.session.workspace, &request).ok().filter(|plan| plan.runs(self.host))
    }

    fn are_there(&self) -> bool {
        self.host.is_native() || self.plan().is_some()
    }

    fn find(&self) -> Result<Option<Runner>> {
        let Some(plan) = self.plan() else { return Ok(None) };
        let tree = plan.trees().first().context("a plan without a tree")?;
        runner::of(self.session, &plan, tree)
            .with_context(|| format!("there is no emulator to run anyarch for {} in", self.host.platform))
    }
}

/// Sums of all that lies in the release's folder and is of this checkout.
fn write_sums(session: &BuildSession, series: &Series) -> Result<()> {
    let root = &session.workspace.root;
    let folder = session.workspace.out.join(series.release());
    let mut listed = Vec::new();
    for path in package::tarballs(&folder)? {
        let emulator = package::found(&path, series, Profile::Release);
        let sha256 = match &emulator {
            Some(tarball) => Some(tarball.record().sha256.clone()),
            None => program::found(&path, root, series).map(|packed| packed.record().sha256.clone()),
        };
        listed.extend(sha256.map(|sha256| package::listed(&path, &sha256)));
    }
    if listed.is_empty() {
        return Ok(());
    }
    let (_, others) = package::write_sums(session, &series.release(), &listed)?;
    if !others.is_empty() {
        let several = count(others.len(), "archive");
        session
            .progress
            .say(&format!("note: not in SHA256SUMS, {several} of other inputs: {}", others.join(" ")));
    }
    Ok(())
}

impl Row {
    fn json(&self) -> serde_json::Value {
        json!({
            "host": self.packed.record().host,
            "path": self.packed.path(),
            "sha256": self.packed.record().sha256,
            "size": self.packed.record().size,
            "program": self.packed.record().program,
            "facts": self.packed.record().facts,
            "up_to_date": self.up_to_date,
            "seconds": self.seconds,
        })
    }

    fn text(&self) -> String {
        let record = self.packed.record();
        let time = if self.up_to_date { "-".to_owned() } else { format!("{:.1} s", self.seconds) };
        format!(
            "{:<8} {:>8} {:>8} {:>8}  {}\n         {}\n",
            record.host,
            human_bytes(record.program.size),
            human_bytes(record.size),
            time,
            record.program.summary(),
            self.packed.path().display()
        )
    }
}
