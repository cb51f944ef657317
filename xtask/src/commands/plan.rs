//! `plan`, and `--dry-run` of others: what would be done, beside what is done already.

use super::print as write_out;
use super::selection::Selection;
use super::show;
use crate::compile;
use crate::facts::hosts::Rust;
use crate::facts::{Host, Target};
use crate::package;
use crate::patch;
use crate::plan::{self, Plan, Request, TreePlan};
use crate::session::Session;
use anyarch_client::progress::count;
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Print the matrix of targets and hosts: what would be built, and what is built; changes nothing
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  cargo xtask plan
  cargo xtask plan --target all --host arm/v7 --qemu 7.2
  cargo xtask plan --format github")]
#[command(mut_arg("targets", |targets| targets.required(false).default_value("all")))]
#[command(mut_arg("hosts", |hosts| hosts.default_value("all")))]
pub struct PlanArgs {
    /// Targets, hosts, series, profile and toolchain.
    #[command(flatten)]
    pub selection: Selection,
    /// Output format: a table, JSON, or the matrix of a GitHub workflow, with one job per host
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people; with --json, data.
    #[default]
    Table,
    /// Everything, as JSON.
    Json,
    /// One line of JSON for a workflow's `matrix`.
    Github,
}

/// How far a pair has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Nothing is there.
    Planned,
    /// The emulator is compiled.
    Built,
    /// Its checks passed.
    Verified,
    /// Its tarball is in the release's folder, verified.
    Packaged,
}

impl State {
    const ALL: [Self; 4] = [Self::Planned, Self::Built, Self::Verified, Self::Packaged];

    fn mark(self) -> &'static str {
        match self {
            Self::Planned => ".",
            Self::Built => "b",
            Self::Verified => "v",
            Self::Packaged => "P",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Planned => "to do",
            Self::Built => "built",
            Self::Verified => "verified",
            Self::Packaged => "packaged",
        }
    }
}

/// A pair and how far it has come.
#[derive(Debug, Serialize)]
struct Pair {
    target: Target,
    host: String,
    tarball: String,
    state: State,
}

/// Prints the plan that was asked for.
pub fn run(session: &Session, arguments: &PlanArgs) -> Result<()> {
    print(session, &arguments.selection.request(), arguments.format)
}

/// Prints the plan for a request.
pub fn print(session: &Session, request: &Request, format: PlanFormat) -> Result<()> {
    let plan = Plan::make(&session.workspace, request)?;
    if format == PlanFormat::Github {
        return write_out(format!("{}\n", github(&plan)).as_bytes());
    }
    let pairs = pairs(session, &plan)?;
    if format == PlanFormat::Table {
        return show(session, &json!({ "plan": plan, "pairs": pairs }), || table(&plan, &pairs));
    }
    let text = serde_json::to_string_pretty(&json!({ "plan": plan, "pairs": pairs }))?;
    write_out(format!("{text}\n").as_bytes())
}

/// The jobs of a workflow, one a host, on one line as GitHub's `fromJSON` takes it for a `matrix`.
fn github(plan: &Plan) -> serde_json::Value {
    let job = |tree: &TreePlan| {
        let names: Vec<&str> = tree.targets().iter().map(|target| target.name).collect();
        json!({
            "host": tree.host().platform,
            "name": tree.host().file_name(),
            "runner": tree.host().runner,
            "targets": names.join(","),
            "packages": tree.host().compiler.packages.join(" "),
            "rust": tree.host().rust.as_ref().map(Rust::rustup).unwrap_or_default(),
        })
    };
    json!({ "include": plan.trees().iter().map(job).collect::<Vec<_>>() })
}

fn pairs(session: &Session, plan: &Plan) -> Result<Vec<Pair>> {
    let home = patch::tree_path(session, plan.series())?;
    let home = home.parent().context("a source tree without a folder")?;
    let folders = folders(home);
    let mut pairs = Vec::new();
    for tree in plan.trees() {
        let prefix = compile::tree_prefix(plan, tree.host());
        let is_of_host = |path: &&PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        };
        let places: Vec<&PathBuf> = folders.iter().filter(is_of_host).collect();
        for target in tree.targets() {
            pairs.push(Pair {
                target: *target,
                host: tree.host().platform.clone(),
                tarball: plan::tarball(target, plan.release(), tree.host()),
                state: state(session, plan, tree.host(), *target, &places),
            });
        }
    }
    Ok(pairs)
}

/// The folders in a folder; one that is not there holds none.
fn folders(home: &Path) -> Vec<PathBuf> {
    fs::read_dir(home).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// How far a pair has come, by what is on the disk: hashes are for `build` to compare.
fn state(session: &Session, plan: &Plan, host: &Host, target: Target, places: &[&PathBuf]) -> State {
    let tarball =
        session.workspace.out.join(plan.release()).join(plan::tarball(&target, plan.release(), host));
    let is_of_plan =
        |record: &package::Record| record.build_info.other_pin(plan.series(), plan.profile()).is_none();
    if tarball.is_file() && package::record(&tarball).as_ref().is_some_and(is_of_plan) {
        return State::Packaged;
    }
    let emulators = places.iter().map(|place| compile::stripped(place, plan.profile(), target));
    let best = emulators.filter(|emulator| emulator.is_file()).map(|emulator| {
        let proven = !compile::is_older(&compile::report_path(&emulator), &emulator);
        if proven { State::Verified } else { State::Built }
    });
    best.max_by_key(|state| State::ALL.iter().position(|one| one == state)).unwrap_or(State::Planned)
}

/// The matrix at a glance: a row a target, a column a host.
fn table(plan: &Plan, pairs: &[Pair]) -> String {
    let hosts: Vec<&str> = plan.trees().iter().map(|tree| tree.host().platform.as_str()).collect();
    let mut text = format!(
        "release {}: QEMU {} with {}, {} profile; {} for {}\n\n",
        plan.release(),
        plan.series().pins.tag,
        count(plan.series().patches.len(), "change"),
        plan.profile().name(),
        count(pairs.len(), "emulator"),
        count(hosts.len(), "host"),
    );
    let mut reasons: Vec<&str> = Vec::new();
    for none in plan.impossible() {
        if !reasons.contains(&none.reason.as_str()) {
            reasons.push(&none.reason);
        }
    }
    let mut targets: Vec<&str> = plan.series().pins.build.targets.iter().map(String::as_str).collect();
    for none in plan.impossible() {
        if !targets.contains(&none.target.as_str()) {
            targets.push(&none.target);
        }
    }
    let mut line = |first: &str, cells: Vec<&str>| {
        let mut row = format!("{first:<13}");
        for (host, cell) in hosts.iter().zip(cells) {
            let _ = write!(row, " {cell:<width$}", width = host.len().max(3));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    };
    line("target", hosts.clone());
    let digits: Vec<String> = (1..=reasons.len()).map(|number| number.to_string()).collect();
    for target in targets {
        let cell = |host: &&str| -> Option<&str> {
            let pair = pairs.iter().find(|pair| pair.target.name == target && pair.host == **host);
            let none = plan.impossible().iter().find(|none| none.target == target && none.host == **host);
            let reason = none.and_then(|none| reasons.iter().position(|reason| *reason == none.reason));
            pair.map(|pair| pair.state.mark()).or(reason.map(|number| digits[number].as_str()))
        };
        let cells: Vec<Option<&str>> = hosts.iter().map(cell).collect();
        if cells.iter().any(Option::is_some) {
            line(target, cells.into_iter().map(Option::unwrap_or_default).collect());
        }
    }
    text.push('\n');
    for state in State::ALL {
        let number = pairs.iter().filter(|pair| pair.state == state).count();
        let _ = writeln!(text, "{}  {}: {number}", state.mark(), state.meaning());
    }
    for (number, reason) in digits.iter().zip(&reasons) {
        let _ = writeln!(text, "{number}  not possible: {reason}");
    }
    // A host that nothing can be made for has no column.
    let without = plan.impossible().iter().filter(|none| !hosts.contains(&none.host.as_str()));
    let mut without: Vec<&str> = without.map(|none| none.host.as_str()).collect();
    without.dedup();
    if !without.is_empty() {
        let _ = writeln!(text, "nothing of this can be made for {}", without.join(", "));
    }
    if let Some((of, tree)) = plan.runners() {
        let names: Vec<&str> = tree.targets().iter().map(|target| target.name).collect();
        let host = &tree.host().platform;
        let whose =
            if plan.runs_its_own() { String::new() } else { format!(" of {}", of.series().pins.series) };
        let _ = writeln!(text, "run in {host}'s own{whose}: {}", names.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_column_a_host_and_a_reason_for_every_gap() {
        let plan =
            Plan::make(&plan::tests::workspace(), &plan::tests::request(&["all"], &["all"])).expect("a plan");
        let pair = |target: &Target, host: &Host| Pair {
            target: *target,
            host: host.platform.clone(),
            tarball: String::new(),
            state: State::Verified,
        };
        let pairs: Vec<Pair> = plan
            .trees()
            .iter()
            .flat_map(|tree| tree.targets().iter().map(|target| pair(target, tree.host())))
            .collect();
        let table = table(&plan, &pairs);
        let row = |name: &str| table.lines().find(|line| line.split_whitespace().next() == Some(name));
        let words: Vec<&str> = row("aarch64").expect("a row").split_whitespace().collect();
        assert_eq!(words.len(), 1 + plan.trees().len(), "{table}");
        let wide = plan.trees().iter().filter(|tree| tree.host().elf.bits == 64).count();
        assert_eq!(words.iter().filter(|word| **word == "v").count(), wide, "{table}");
        assert!(table.contains("not possible: QEMU 10.2 has no 64-bit targets on 32-bit hosts"), "{table}");
        assert!(table.contains("7.2 has them: --qemu 7.2"), "{table}");
        assert!(row("cris").is_some_and(|row| row.contains(" 1 ")), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    }

    #[test]
    fn every_job_of_the_workflow_names_its_host_and_runner() {
        let plan =
            Plan::make(&plan::tests::workspace(), &plan::tests::request(&["all"], &["all"])).expect("a plan");
        let jobs = github(&plan);
        let jobs = jobs["include"].as_array().expect("a list");
        assert_eq!(jobs.len(), plan.trees().len());
        for job in jobs {
            assert!(["host", "name", "runner", "targets"].iter().all(|key| job[key].is_string()), "{job}");
            let rust = job["rust"].as_str().expect("words, or none");
            assert_eq!(rust.is_empty(), job["host"] == "mips64le", "{job}");
        }
    }
}
