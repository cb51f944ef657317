//! Work on files of many owners, by a process of its own: this program again, in a user namespace where they are mapped.
//! Such a process ends with whoever started it.

use crate::rootfs::fill::{self, Filling};
use crate::run::closed::Facts;
use crate::run::handover::{self, SELF};
use crate::run::ids::Ids;
use crate::run::mapper::Mapper;
use crate::text::Text;
use anyarch_client::files;
use anyhow::{Context as _, Result, anyhow, bail};
use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The word of the command line for this stage.
pub const STAGE: &str = "__rootfs";

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub enum Work {
    /// Fill a new folder.
    Fill(Filling),
    /// Take away what only the making of a system needed.
    Settle(Text),
    /// Remove a folder with all in it.
    Remove(Text),
}

/// Does something where these ids are mapped.
///
/// # Errors
/// When it fails.
pub fn ask(ids: &Ids, work: &Work) -> Result<()> {
    let plan = handover::write(&(ids, work))?;
    let mut command = next(STAGE);
    command.arg(handover::inherit(&plan)?).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let ended = command.output().context("cannot start this program again; is /proc mounted?")?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(anyhow!("{}", said.trim().trim_start_matches("error: ")))
}

/// A stage of this program that ends when this thread does.
#[allow(unsafe_code, reason = "std has no safe way to bind a child to its parent before it begins")]
pub fn next(stage: &str) -> Command {
    let parent = getpid();
    let bind = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        match getppid() == Some(parent) {
            true => Ok(()),
            false => Err(io::Error::other("whoever started it has ended")),
        }
    };
    let mut command = handover::next(SELF, stage);
    // SAFETY: between fork and exec, these make system calls, and take no memory where they succeed.
    unsafe { command.pre_exec(bind) };
    command
}

/// The stage.
///
/// # Errors
/// When the work fails.
pub fn run(plan: &OsStr) -> Result<ExitCode> {
    let (mut ids, work): (Ids, Work) = handover::read(&handover::take(plan)?)?;
    let mapper = Mapper::start(&ids)?;
    match unshare(CloneFlags::CLONE_NEWUSER) {
        Ok(()) => mapper.map(&mut ids)?,
        // Root has all ids here, too.
        Err(_) if matches!(ids, Ids::Same { .. }) => {}
        Err(error) => bail!(
            "this machine refuses user namespaces: {}",
            Facts::of_this_machine().cause(Errno::from_raw_os_error(error as i32))
        ),
    }
    match &work {
        Work::Fill(filling) => fill::fill(filling)?,
        Work::Settle(root) => fill::settle(root.path())?,
        Work::Remove(folder) => remove(folder.path())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes a folder, in which somebody who is ending may still write.
fn remove(folder: &Path) -> Result<()> {
    let mut tries = 0;
    loop {
        match files::remove(folder) {
            Err(_) if tries < 20 => std::thread::sleep(std::time::Duration::from_millis(100)),
            ended => return ended,
        }
        tries += 1;
    }
}
