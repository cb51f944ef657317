//! `doctor`: what this machine can do for foreign programs. It tries, where trying changes nothing.

use crate::commands::run::owner;
use crate::ended::Missing;
use crate::run::closed::Facts;
use crate::run::handover::{self, SELF};
use crate::run::ids::{self, Ids};
use crate::run::mapper::Mapper;
use crate::session::Session;
use anyarch_client::files;
use anyarch_client::record;
use anyhow::{Result, bail};
use clap::Args;
use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::{ExitCode, Stdio};

/// The word of the command line for the process that tries to make a namespace.
pub const STAGE: &str = "__try";

/// Try what `run` needs of this machine, and say how to get what is missing
#[derive(Debug, Args)]
pub struct Doctor;

/// What was found out about one thing.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// It works.
    Ok,
    /// Something works less well without it.
    Less,
    /// `run` needs it.
    Missing,
}

/// Tries everything. Exit code 3 if a thing is missing that `run` needs.
pub fn run(session: &Session) -> Result<()> {
    let findings = [namespaces()?, ids()?, emulators(), cache(session), registered()];
    session.show(&findings, || findings.iter().map(line).collect())?;
    match findings.iter().find(|finding| finding.state == State::Missing) {
        Some(finding) => Err(Missing(format!("{}: {}", finding.what, finding.detail)).into()),
        None => Ok(()),
    }
}

fn line(finding: &Finding) -> String {
    let state = match finding.state {
        State::Ok => "ok",
        State::Less => "note",
        State::Missing => "missing",
    };
    format!(
        "{state:<8} {:<18} {}\n",
        finding.what,
        finding.detail.replace("\n  ", "\n                            ")
    )
}

/// Whether a namespace can be made and used, and with how many ids.
fn attempt(ids: &Ids) -> Result<Result<usize, String>> {
    let plan = handover::write(ids)?;
    let mut child = handover::next(SELF, STAGE);
    child.arg(handover::inherit(&plan)?).stdin(Stdio::null()).stderr(Stdio::null());
    let said = String::from_utf8_lossy(&child.output()?.stdout).trim().to_owned();
    Ok(match said.strip_prefix("ids ") {
        Some(number) => Ok(number.parse().unwrap_or(1)),
        None => Err(said),
    })
}

/// The process that tries: it has a namespace afterwards, and ends.
///
/// # Errors
/// When it cannot even try.
pub fn stage(plan: &std::ffi::OsStr) -> Result<ExitCode> {
    let mut ids: Ids = handover::read(&handover::take(plan)?)?;
    let mapper = Mapper::start(&ids)?;
    let facts = Facts::of_this_machine();
    if let Err(error) = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS) {
        bail!(told(&facts.cause(Errno::from_raw_os_error(error as i32)))?);
    }
    mapper.map(&mut ids)?;
    if crate::run::mounts::separate().is_err() {
        bail!(told(&facts.cause(Errno::ACCESS))?);
    }
    let map = fs::read_to_string("/proc/self/uid_map")?;
    let count = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<usize>().ok());
    crate::session::print(&format!("ids {}\n", count.sum::<usize>()))?;
    Ok(ExitCode::SUCCESS)
}

/// Tells the parent why it did not work.
fn told(cause: &str) -> Result<&'static str> {
    crate::session::print(cause)?;
    Ok("the parent knows why")
}

fn namespaces() -> Result<Finding> {
    let one = match ids::choose(&owner()) {
        Ids::Granted { users, groups } => Ids::One {
            user: users.first().map(|own| own.outside).unwrap_or_default(),
            group: groups.first().map(|own| own.outside).unwrap_or_default(),
            why: String::new(),
        },
        other => other,
    };
    let is_root = rustix::process::geteuid().is_root();
    let (state, detail) = match attempt(&one)? {
        Ok(_) => (State::Ok, "made one".to_owned()),
        Err(cause) if is_root => (State::Less, format!("closed: {cause}")),
        Err(cause) => (State::Missing, cause),
    };
    Ok(Finding { what: "user namespaces", state, detail })
}

fn ids() -> Result<Finding> {
    let ids = ids::choose(&owner());
    let (state, detail) = match &ids {
        Ids::One { why, .. } => {
            (State::Less, format!("one, so apt and others that change users fail: {why}"))
        }
        _ => match attempt(&ids)? {
            Ok(number) if number > 1 => (State::Ok, format!("{number}")),
            Ok(_) => {
                (State::Less, "one: newuidmap failed; is it set-user-ID? apt-get install uidmap".to_owned())
            }
            Err(_) => (State::Less, "unknown, without a user namespace".to_owned()),
        },
    };
    Ok(Finding { what: "users and groups", state, detail })
}

fn emulators() -> Finding {
    let found = super::prefix(None).map(|prefix| record::all(&prefix)).unwrap_or_default();
    let names: Vec<String> =
        found.iter().map(|one| format!("{} {}", one.record.target, one.record.release)).collect();
    let (state, detail) = match names.is_empty() {
        true => (State::Less, "none in ~/.local: anyarch install --target TARGET".to_owned()),
        false => (State::Ok, names.join(", ")),
    };
    Finding { what: "emulators", state, detail }
}

fn cache(session: &Session) -> Finding {
    let (state, detail) = match files::is_writable(&session.cache, "set ANYARCH_CACHE to another folder") {
        Ok(()) => (State::Ok, session.cache.display().to_string()),
        Err(error) => (State::Less, format!("nothing is kept for the next run: {error:#}")),
    };
    Finding { what: "cache", state, detail }
}

/// What is registered with the kernel. `run` needs nothing there.
fn registered() -> Finding {
    let folder = Path::new("/proc/sys/fs/binfmt_misc");
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| !["register", "status"].contains(&name.as_str())).collect();
    names.sort();
    let detail = match (folder.join("status").exists(), names.is_empty()) {
        (false, _) => "not mounted here; `run` does without".to_owned(),
        (true, true) => "nothing is registered; `run` does without".to_owned(),
        (true, false) => names.join(" "),
    };
    Finding { what: "binfmt_misc", state: State::Ok, detail }
}
