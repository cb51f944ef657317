//! Claims: a folder is marked as ours, and held by all who work in it, so that nobody empties it meanwhile.

use crate::error::Usage;
use crate::files;
use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::path::Path;

/// The file that marks a folder as a cache, <https://bford.info/cachedir/>. Ours can be made anew, so
/// backups may pass them over, and only folders with it are ever cleaned.
const TAG: &str = "CACHEDIR.TAG";
/// What such a file begins with, and who wrote it.
const TAG_TEXT: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by anyarch's `cargo xtask`; `cargo xtask clean` empties it.\n";

/// A claim on a folder of ours, as long as this value lives: it keeps those away who would empty the folder, or, if it
/// was claimed [`alone`], everybody.
#[derive(Debug)]
pub struct FolderLock {
    _tag: File,
}

/// Claims a folder together with others: makes it ours, and keeps it from being emptied. Waits where somebody is just
/// emptying it.
///
/// # Errors
/// [`Usage`] when the folder holds things that are not ours; else when it cannot be made or locked.
pub fn shared(folder: &Path) -> Result<FolderLock> {
    loop {
        make_ours(folder)?;
        let tag = folder.join(TAG);
        let Ok(file) = File::open(&tag) else { continue };
        file.lock_shared().with_context(|| format!("cannot lock {}", tag.display()))?;
        if files::is_still(&file, &tag) {
            return Ok(FolderLock { _tag: file });
        }
    }
}

/// Claims a folder for oneself, in order to empty it.
///
/// # Errors
/// When anybody else has a claim on the folder, or as for [`shared`].
pub fn alone(folder: &Path) -> Result<FolderLock> {
    loop {
        make_ours(folder)?;
        let tag = folder.join(TAG);
        let Ok(file) = File::open(&tag) else { continue };
        match file.try_lock() {
            Ok(()) if files::is_still(&file, &tag) => return Ok(FolderLock { _tag: file }),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another run is using {}; try again when it has finished", folder.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", tag.display()));
            }
        }
    }
}

/// Makes a folder ours: a new or an empty one, or one that is ours already.
fn make_ours(folder: &Path) -> Result<()> {
    if is_ours(folder) {
        return Ok(());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    // Another run may be about to claim the same folder: its tag, still under its own name, is no stranger.
    let strange = |name: &OsStr| !name.as_encoded_bytes().starts_with(files::SCRATCH.as_bytes());
    if entries.flatten().any(|entry| strange(&entry.file_name())) && !is_ours(folder) {
        let text = format!("{} contains other files: choose a folder that is new or empty", folder.display());
        return Err(Usage(text).into());
    }
    files::write_file(&folder.join(TAG), TAG_TEXT.as_bytes())
}

/// Whether a folder is marked as ours: [`shared`] and [`alone`] do so.
pub fn is_ours(folder: &Path) -> bool {
    fs::read_to_string(folder.join(TAG)).is_ok_and(|text| text == TAG_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_not_claimed() {
        let home = tempfile::tempdir().expect("a folder");
        shared(&home.path().join("new")).expect("new");
        shared(&home.path().join("new")).expect("ours");
        assert!(is_ours(&home.path().join("new")) && !is_ours(home.path()));
        let error = shared(home.path()).expect_err("it holds something");
        assert!(error.is::<Usage>(), "{error:#}");
    }

    #[test]
    fn a_folder_in_use_is_not_had_alone_and_one_that_was_emptied_is_claimed_anew() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("cache");
        let (one, other) = (shared(&folder).expect("ours"), shared(&folder).expect("several work in it"));
        let error = alone(&folder).expect_err("somebody works in it").to_string();
        assert!(error.contains("another run is using"), "{error}");
        drop((one, other));
        let mine = alone(&folder).expect("nobody works in it");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| shared(&folder).map(drop));
            std::thread::sleep(std::time::Duration::from_millis(50));
            files::remove(&folder).expect("emptied");
            drop(mine);
            waiting.join().expect("no panic").expect("made again");
        });
        assert!(is_ours(&folder), "what was locked before has no name any more");
    }

    #[test]
    fn a_new_folder_can_be_claimed_by_several_runs_at_once() {
        let home = tempfile::tempdir().expect("a folder");
        for round in 0..50 {
            let folder = home.path().join(round.to_string());
            let start = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                let claims: Vec<_> =
                    (0..8).map(|_| scope.spawn(|| (start.wait(), shared(&folder)).1)).collect();
                for outcome in claims {
                    outcome.join().expect("no panic").expect("claimed");
                }
            });
        }
    }
}
