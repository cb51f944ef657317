//! Maps the ids of a user namespace. Only a process outside of it may map more than one, so one is started before the
//! namespace is made, and waits there.

use crate::run::handover::{self, SELF};
use crate::run::ids::{self, Ids, Range};
use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _, stdin};
use std::process::{Child, Command, ExitCode, Stdio};

/// The word of the command line for the process that waits outside.
pub const STAGE: &str = "__map";

/// A process that waits outside, if one is needed.
#[derive(Debug)]
pub struct Mapper(Option<Child>);

impl Mapper {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(ids: &Ids) -> Result<Self> {
        if matches!(ids, Ids::One { .. }) {
            return Ok(Self(None));
        }
        let plan = handover::write(ids)?;
        let mut command = handover::next(SELF, STAGE);
        command
            .arg(handover::inherit(&plan)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Ok(Self(Some(command.spawn().context("cannot start a process that maps ids")?)))
    }

    /// Has the ids of this process's new user namespace mapped; where what was granted cannot be had, one id.
    ///
    /// # Errors
    /// When not even that is allowed.
    pub fn map(mut self, ids: &mut Ids) -> Result<()> {
        if let Some(child) = self.0.take() {
            let (is_done, said) = begin(child).context("cannot wait for newuidmap")?;
            if is_done {
                return Ok(());
            }
            let Ids::Granted { users, groups } = ids else { bail!("cannot map the ids: {said}") };
            let outside = |ranges: &[Range]| ranges.first().map(|own| own.outside).unwrap_or_default();
            let why = format!("newuidmap failed: {said}");
            *ids = Ids::One { user: outside(users), group: outside(groups), why };
        }
        let Ids::One { user, group, .. } = ids else { return Ok(()) };
        let write = |name: &str, text: String| {
            fs::write(format!("/proc/self/{name}"), text)
                .with_context(|| format!("cannot write /proc/self/{name}"))
        };
        // What newuidmap did before it failed stays.
        let is_empty =
            |name: &str| fs::read_to_string(format!("/proc/self/{name}")).is_ok_and(|map| map.is_empty());
        if is_empty("uid_map") {
            write("uid_map", format!("0 {user} 1\n"))?;
        }
        if is_empty("gid_map") {
            write("setgroups", "deny".to_owned())?;
            write("gid_map", format!("0 {group} 1\n"))?;
        }
        Ok(())
    }
}

/// Tells a child to begin; gives whether it succeeded, and what it said.
fn begin(mut child: Child) -> std::io::Result<(bool, String)> {
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"begin")?;
    }
    let output = child.wait_with_output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")))
}

/// The process that waits outside: maps the ids of its parent when that has its namespace.
///
/// # Errors
/// When they cannot be mapped.
pub fn run(plan: &OsStr) -> Result<ExitCode> {
    let ids: Ids = handover::read(&handover::take(plan)?)?;
    let mut word = Vec::new();
    stdin().read_to_end(&mut word).context("nobody says when to begin")?;
    if word.is_empty() {
        return Ok(ExitCode::SUCCESS); // The parent has ended, or does without.
    }
    let parent = rustix::process::getppid().context("the parent has ended")?.as_raw_nonzero().to_string();
    match &ids {
        Ids::Granted { users, groups } => {
            by_program("newuidmap", &parent, users)?;
            by_program("newgidmap", &parent, groups)?;
        }
        Ids::Same { users, groups } => {
            for (name, ranges) in [("uid_map", users), ("gid_map", groups)] {
                let path = format!("/proc/{parent}/{name}");
                fs::write(&path, ids::map(ranges)).with_context(|| format!("cannot write {path}"))?;
            }
        }
        Ids::One { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn by_program(program: &str, parent: &str, ranges: &[Range]) -> Result<()> {
    let numbers = ranges.iter().flat_map(|one| [one.inside, one.outside, one.count]);
    let status = Command::new(program).arg(parent).args(numbers.map(|number| number.to_string())).status();
    let status = status.with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} failed");
    }
    Ok(())
}
