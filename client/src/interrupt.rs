//! Ctrl-C, SIGTERM and SIGHUP: end what runs, remove what is on its way, then go. What is done stays for the next run.

use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

/// How often a run that waits for its end looks whether it has come.
const LOOK: Duration = Duration::from_secs(5);

/// Files and folders that nobody shall find.
static TEMPORARY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether the run was interrupted. A child that fails from then on failed because of that.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Leaves the end of an interrupted run to the handler, which may still be ending children: what failed
/// meanwhile failed because of that. Returns at once if the run was not interrupted, else never.
pub fn wait_if_interrupted() {
    while interrupted() {
        sleep(LOOK);
    }
}

/// Installs the handler, once a process. Its first interruption calls `end`, which ends what else runs, then removes
/// every path that a [`Temporary`] notes, and exits with 130.
///
/// # Errors
/// When there is a handler already, or the system has none.
pub fn install(mut end: impl FnMut() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(move || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            return; // The first one is still at it.
        }
        end();
        for path in temporary().iter() {
            // What can't be removed now, the next run sweeps.
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        let _ = writeln!(stderr(), "\ninterrupted; run the same command again to continue");
        // 128 + SIGINT, as shells report it.
        std::process::exit(130);
    })
    .context("cannot handle Ctrl-C")
}

fn temporary() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a path removed if the run is interrupted. Drop it when the path is complete or gone.
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
