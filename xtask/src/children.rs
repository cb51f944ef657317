//! Children that run, each the leader of a process group: they are all ended when the run is interrupted, or when
//! something failed and nothing else shall go on.

use anyarch_client::interrupt;
use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long children may take to end by themselves. ninja removes the outputs it was writing.
const GRACE: Duration = Duration::from_secs(5);

/// Process groups of running children, by their leader.
static CHILDREN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
static HALTED: AtomicBool = AtomicBool::new(false);

fn children() -> MutexGuard<'static, BTreeSet<i32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has every child ended when the run is interrupted, before it goes itself. To be called once a process.
pub fn end_when_interrupted() -> Result<()> {
    interrupt::install(end_children)
}

/// Stops every running child and starts no more: something failed, and the rest waits for the next run.
pub fn halt() {
    if !HALTED.swap(true, Ordering::SeqCst) {
        end_children();
    }
}

/// Whether [`halt`] was called.
pub fn halted() -> bool {
    HALTED.load(Ordering::SeqCst)
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

/// A child process that is stopped if the run is interrupted. Drop it after the child was waited for.
#[derive(Debug)]
pub struct RegisteredChild(i32);

impl RegisteredChild {
    /// Notes a child that leads its own process group.
    pub fn new(pid: u32) -> Self {
        let pid = pid.cast_signed();
        children().insert(pid);
        Self(pid)
    }
}

impl Drop for RegisteredChild {
    fn drop(&mut self) {
        children().remove(&self.0);
    }
}
