//! Locks: one run at a time works on a path, and the others wait.

use crate::files;
use crate::progress::Progress;
use anyhow::{Context as _, Result};
use std::fs::{File, TryLockError};
use std::path::Path;

/// An exclusive lock on a path, held until it is dropped. The kernel releases it when the process
/// ends, however it ends. A child that inherits [`Lock::file`] holds it as well: a compiler that outlives a killed
/// run still keeps a second one waiting.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Locks the file `<path>.lock`, which is made if need be. Waits for another run, with a word to the user.
    ///
    /// # Errors
    /// When that file cannot be made or locked.
    pub fn acquire(path: &Path, progress: &Progress) -> Result<Self> {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let lock = path.with_file_name(format!("{file_name}.lock"));
        files::create_parent(&lock)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .with_context(|| format!("cannot open {}", lock.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.say(&format!("waiting for another run to finish with {}", path.display()));
                file.lock().with_context(|| format!("cannot lock {}", lock.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", lock.display()));
            }
        }
        Ok(Self(file))
    }

    /// The locked file, for a child that must keep the lock.
    pub fn file(&self) -> &File {
        &self.0
    }
}
