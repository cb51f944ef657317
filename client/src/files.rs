//! Files and folders that appear whole or not at all. They are made under another name beside their own, with a lock
//! that says that their maker lives; what a killed run left has none, and the next run sweeps it.

use crate::error::Usage;
use crate::interrupt::Temporary;
use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Serialize, de::DeserializeOwned};
use std::ffi::OsStr;
use std::fs::{self, File, FileType};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// Creates the folder that `path` stands in.
pub fn create_parent(path: &Path) -> Result<()> {
    let parent = path.parent().ok_or_else(|| anyhow!("{} has no folder", path.display()))?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))
}

/// Checks that something can be put into a folder, or below the one that it will be made in, so that an error is told
/// before the work and not after it. Tries it, since rights are not all that can be missing.
///
/// # Errors
/// When nothing can be; `advice` ends the message with what to do then. [`Usage`] if a file stands in the way.
pub fn is_writable(folder: &Path, advice: &str) -> Result<()> {
    // A link that leads nowhere is there, too.
    let there = folder.ancestors().find(|one| fs::symlink_metadata(one).is_ok()).unwrap_or(folder);
    if !there.is_dir() {
        bail!(Usage(format!("{} is not a folder; {advice}", there.display())));
    }
    let tried = partial_file(there, "", 0o600)
        .with_context(|| format!("cannot write below {}; {advice}", there.display()))?;
    let _noted = Temporary::note(tried.path());
    tried.close().with_context(|| format!("cannot remove anything below {}", there.display()))
}

/// Removes a file, or a folder with all in it, also where folders in it may not be written. It is no error if nothing
/// is there.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                open_up(path);
                fs::remove_dir_all(path)
            }
            _ => Err(error),
        }),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

/// Lets the owner into a folder and all below it. What cannot be changed stays for the removal to tell of.
fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // The kind of the entry itself: no link is followed.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Makes the folder `path` by `fill`, which gets an empty folder beside it that takes its name at the
/// end. The caller holds the lock of `path`, so what an earlier run left half done is removed.
///
/// # Errors
/// When `fill` fails or the folder cannot be put in place. Nothing of the new folder is left then.
pub fn publish_dir(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let partial = partial_name(path);
    remove(&partial)?;
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    if let Err(error) = fill(&partial) {
        let _ = remove(&partial);
        return Err(error);
    }
    // What stands there could not be used, or nobody would make it anew.
    remove(path)?;
    fs::rename(&partial, path).with_context(|| format!("cannot put {} in place", path.display()))
}

/// The path beside `path` under which [`publish_dir`] makes it.
pub fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Writes a file atomically, with mode 0644 (less the umask). Its folder is made if need be.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_file_with(path, |file| file.write_all(bytes).map_err(Into::into))
}

/// Writes a file that appears whole, by `fill`. A private name is used on the way, so two writers of
/// the same file do no harm: the last one stays.
///
/// # Errors
/// When `fill` fails or the file cannot be put in place. An old file stays as it is then.
pub fn write_file_with(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    create_parent(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let what = || format!("cannot write {}", path.display());
    sweep(folder);
    let mut file = partial_file(folder, "", 0o644).with_context(what)?;
    let _noted = Temporary::note(file.path());
    fill(file.as_file_mut()).with_context(what)?;
    file.as_file().sync_all().with_context(what)?;
    let file = file.persist(path).map_err(|e| e.error).with_context(what)?;
    // It is in place; a child of another thread that is about to begin must not go on holding it.
    let _ = file.unlock();
    Ok(())
}

/// A temporary folder. It is removed when this value is dropped, on interruption, or, if the process was
/// killed, by a later run.
#[derive(Debug)]
pub struct TempFolder {
    folder: TempDir,
    _noted: Temporary,
    // Dropped after the folder: a folder that has lost its lock is nobody's.
    _lock: NamedTempFile,
    _lock_noted: Temporary,
}

impl TempFolder {
    /// Makes a new, empty folder in `folder`, which is made as well.
    pub fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        sweep(folder);
        let what = || format!("cannot make a folder in {}", folder.display());
        let lock = partial_file(folder, LOCK, 0o600).with_context(what)?;
        let lock_noted = Temporary::note(lock.path());
        let path = lock.path().with_extension("");
        let name = path.file_name().unwrap_or_default();
        let folder =
            tempfile::Builder::new().prefix(name).rand_bytes(0).tempdir_in(folder).with_context(what)?;
        Ok(Self { _noted: Temporary::note(folder.path()), folder, _lock: lock, _lock_noted: lock_noted })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Renames the folder and keeps it.
    pub fn keep(self, path: &Path) -> Result<()> {
        let folder = self.folder.keep();
        fs::rename(&folder, path)
            .with_context(|| format!("cannot keep {} as {}", folder.display(), path.display()))
    }
}

/// What names of files and folders on the way begin with, before the number of the process. That is for
/// people: in another container the same number is somebody else's, or nobody's.
pub(crate) const SCRATCH: &str = ".partial-";
/// What is put to the name of a folder on the way for that of its lock. A file is its own.
const LOCK: &str = ".lock";

/// A new file on the way, whose lock is held until it is closed: so long, no sweep takes it.
fn partial_file(folder: &Path, end: &str, mode: u32) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new()
            .prefix(&format!("{SCRATCH}{}-", std::process::id()))
            .suffix(end)
            .permissions(fs::Permissions::from_mode(mode))
            .tempfile_in(folder)?;
        match file.as_file().lock() {
            Ok(()) if is_still(file.as_file(), file.path()) => return Ok(file),
            // A sweep was faster, and took it for a killed run's.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // On a disk without locks nobody has one, no sweep either, and so nothing is swept.
            Err(_) => return Ok(file),
        }
    }
}

/// Removes what killed processes left in a folder: that whose lock nobody holds. The kernel lets go of a
/// lock when its process ends, and knows of those in other containers and on other machines.
///
/// Nobody is told: it was never anything.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(SCRATCH.as_bytes())
            && let Ok(kind) = entry.file_type()
        {
            // What can't be removed is in nobody's way.
            let _ = sweep_one(&entry.path(), kind);
        }
    }
}

fn sweep_one(path: &Path, kind: FileType) -> Result<()> {
    let mut lock = path.as_os_str().to_owned();
    if kind.is_dir() {
        lock.push(LOCK);
    } else if !kind.is_file() {
        return Ok(());
    }
    let lock = Path::new(&lock);
    // A folder without its lock is left by an older driver, or was gone between two looks. Who makes a folder
    // makes the lock first, and under a name that is not there yet: so nobody can come in between.
    let file = File::options().write(true).create(kind.is_dir()).truncate(false).open(lock)?;
    // Whoever had the lock before may have put the file in its place, or removed it.
    if file.try_lock().is_err() || !is_still(&file, lock) {
        return Ok(());
    }
    if lock.extension() == Some(OsStr::new(&LOCK[1..])) {
        remove(&lock.with_extension(""))?;
    }
    remove(lock)
}

/// Whether the file still stands under this name.
pub(crate) fn is_still(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// Reads a JSON file that [`write_json`] wrote. `None` if it is missing, cut or of another shape: every such file can
/// be made anew.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a value as pretty JSON to a file that appears whole.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).context("cannot encode JSON")?;
    text.push(b'\n');
    write_file(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_only_when_it_was_filled_without_an_error() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("tree");
        let failed = publish_dir(&path, |folder| {
            fs::write(folder.join("half"), "x")?;
            anyhow::bail!("stopped")
        });
        assert!(failed.is_err());
        assert!(!path.exists() && !partial_name(&path).exists());

        // What a killed run left behind does not show up in the next one.
        fs::create_dir(partial_name(&path)).expect("a leftover");
        fs::write(partial_name(&path).join("stale"), "x").expect("a leftover");
        publish_dir(&path, |folder| Ok(fs::write(folder.join("whole"), "x")?)).expect("published");
        let names: Vec<_> = fs::read_dir(&path).expect("a folder").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["whole"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("file");
        write_file(&path, b"old").expect("written");
        assert!(write_file_with(&path, |_| anyhow::bail!("stopped")).is_err());
        assert_eq!(fs::read(&path).expect("readable"), b"old");
        assert_eq!(fs::read_dir(home.path()).expect("a folder").count(), 1);
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// In a container that shares the folder, the number of a living process says nothing, and that of a dead
    /// one may be somebody's.
    #[test]
    fn what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not() {
        let home = tempfile::tempdir().expect("a folder");
        let (one, other) = (TempFolder::new(home.path()), TempFolder::new(home.path()));
        let (one, other) = (one.expect("made"), other.expect("made"));
        let dead = ["-file", "-with-lock.lock", "-older", "-with-lock"];
        let dead = dead.map(|name| home.path().join(format!("{SCRATCH}{}{name}", std::process::id())));
        fs::write(&dead[0], "").expect("written");
        fs::write(&dead[1], "").expect("written");
        for folder in &dead[2..] {
            fs::create_dir(folder).expect("made");
            fs::write(folder.join("in it"), "").expect("written");
        }
        write_file_with(&home.path().join("file"), |file| {
            let before = names(home.path());
            sweep(home.path());
            file.write_all(b"whole")?;
            assert_eq!(names(home.path()), before, "each of them is somebody's");
            Ok(())
        })
        .expect("written");
        assert!(one.path().is_dir() && other.path().is_dir());
        for path in dead {
            assert!(!path.exists(), "{}", path.display());
        }
        other.keep(&home.path().join("kept")).expect("kept");
        drop(one);
        assert_eq!(names(home.path()), ["file", "kept"], "no lock lies about");
    }

    #[test]
    fn whoever_sweeps_while_others_begin_takes_nothing_of_theirs() {
        let home = tempfile::tempdir().expect("a folder");
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !ended.load(std::sync::atomic::Ordering::SeqCst) {
                        sweep(home.path());
                    }
                });
            }
            for round in 0..300 {
                let scratch = TempFolder::new(home.path()).expect("made");
                fs::write(scratch.path().join("in it"), "").expect("its folder is there");
                write_file(&home.path().join("file"), round.to_string().as_bytes()).expect("written");
                assert!(scratch.path().join("in it").exists(), "round {round}");
            }
            ended.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        assert_eq!(names(home.path()), ["file"]);
    }
}
