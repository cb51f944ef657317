//! Ctrl-C, SIGTERM and SIGHUP: end every child, then go, leaving what is done for the next run.

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long children may take to end by themselves. ninja removes the outputs it was writing.
const GRACE: Duration = Duration::from_secs(5);

/// Process groups of running children, by their leader.
static CHILDREN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
/// Files and folders that nobody shall find.
static TEMPORARY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static HALTED: AtomicBool = AtomicBool::new(false);

fn children() -> MutexGuard<'static, BTreeSet<i32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the run is being ended. A child that fails now failed because of that.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Ends every running child, and has none begun any more: something failed, and all else waits for a run
/// in which it does not.
pub fn halt() {
    if !HALTED.swap(true, Ordering::SeqCst) {
        end_children();
    }
}

/// Whether [`halt`] was called.
pub fn halted() -> bool {
    HALTED.load(Ordering::SeqCst)
}

/// Leaves the end of an interrupted run to the handler, which is still ending children: what failed
/// meanwhile failed because of that.
pub fn give_way() {
    while interrupted() {
        sleep(GRACE);
    }
}

/// Installs the handler, once a process.
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            return; // The first one is still at it.
        }
        end_children();
        for path in temporary().iter() {
            // What can't be removed now, the next run sweeps.
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        let _ = writeln!(stderr(), "\ninterrupted; the same command goes on from here");
        // 128 + SIGINT, as shells report it.
        std::process::exit(130);
    })
    .context("cannot handle Ctrl-C")
}

/// Ends every child's whole process group: first politely, then not.
fn end_children() {
    let groups: Vec<Pid> = children().iter().filter_map(|pid| Pid::from_raw(*pid)).collect();
    for group in &groups {
        let _ = kill_process_group(*group, Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && groups.iter().any(|g| test_kill_process_group(*g).is_ok()) {
        sleep(Duration::from_millis(20));
    }
    for group in &groups {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

fn temporary() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A note that a path is to be removed should the run be interrupted; dropped when it is in place or
/// gone.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// Notes a path.
    pub fn note(path: &Path) -> Self {
        temporary().insert(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        temporary().remove(&self.0);
    }
}

/// A child's entry in the list; dropped when it was waited for.
#[derive(Debug)]
pub struct Registered(i32);

impl Registered {
    /// Notes a child that leads its own process group.
    pub fn new(pid: u32) -> Self {
        let pid = pid.cast_signed();
        children().insert(pid);
        Self(pid)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        children().remove(&self.0);
    }
}
