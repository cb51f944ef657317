//! Where a system is made: in `DIR.partial/root`, beside `DIR`, whose name it takes when it is whole. What a run that was
//! killed left there is known by a file, which a living one holds a lock on.

use anyarch_client::error::Usage;
use anyarch_client::files;
use anyhow::{Context as _, Result, bail};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// The file that says whose the folder is.
const TAG: &str = "anyarch-rootfs";
/// What it says.
const TEXT: &str = "Here `anyarch rootfs` makes a system. The same command goes on, or begins anew.\n";

/// What helps where nothing can be made.
const ADVICE: &str = "name a new folder in a place where you can write";

/// The place of a system that is being made; nobody else makes one there as long as this value lives.
#[derive(Debug)]
pub struct Place {
    /// What it will be called.
    pub folder: PathBuf,
    partial: PathBuf,
    _tag: File,
}

impl Place {
    /// The place for a new folder, or an empty one. What a killed run left is given to `remove`.
    ///
    /// # Errors
    /// [`Usage`] when something is there already; else when another run is at it, or nothing can be written there.
    pub fn claim(folder: &Path, remove: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let folder = free(folder)?;
        let parent = folder.parent().context("a folder has a parent")?;
        files::is_writable(parent, ADVICE)?;
        let partial = files::partial_name(&folder);
        let what = || format!("cannot make {}", partial.display());
        fs::create_dir_all(parent).with_context(what)?;
        match fs::create_dir(&partial) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.with_context(what)?,
        }
        let tag = partial.join(TAG);
        let is_ours = fs::read(&tag).is_ok_and(|text| TEXT.as_bytes().starts_with(&text));
        if !is_ours && fs::read_dir(&partial).with_context(what)?.next().is_some() {
            bail!(Usage(format!("{} is in the way, and not of this program", partial.display())));
        }
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&tag)
            .with_context(|| format!("cannot write {}", tag.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another run is making {}", folder.display()),
            Err(TryLockError::Error(error)) => return Err(error).with_context(what),
        }
        file.write_all(TEXT.as_bytes()).with_context(what)?;
        let place = Self { folder, partial, _tag: file };
        if place.root().exists() {
            remove(&place.root())?;
        }
        Ok(place)
    }

    /// The folder of the system, as long as it is made.
    pub fn root(&self) -> PathBuf {
        self.partial.join("root")
    }

    /// A folder for files that are on their way to the system.
    pub fn make_root(&self) -> Result<PathBuf> {
        let root = self.root();
        fs::create_dir(&root).with_context(|| format!("cannot make {}", root.display()))?;
        Ok(root)
    }

    /// Gives the system its name: it is whole.
    ///
    /// # Errors
    /// When something has that name by now.
    pub fn finish(self) -> Result<()> {
        fs::rename(self.root(), &self.folder)
            .with_context(|| format!("cannot put {} in place", self.folder.display()))?;
        self.leave()
    }

    /// Removes what is left of the place, when the system is in it no more.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn leave(&self) -> Result<()> {
        files::remove(&self.partial)
    }
}

/// The folder by its absolute name, if it is free.
fn free(folder: &Path) -> Result<PathBuf> {
    let shown = folder.display();
    let Ok(there) = fs::canonicalize(folder) else {
        if fs::symlink_metadata(folder).is_ok() {
            bail!(Usage(format!("{shown} is a link that leads nowhere; {ADVICE}")));
        }
        let absolute = std::path::absolute(folder).with_context(|| format!("bad path {shown}"))?;
        return match absolute.file_name() {
            Some(_) => Ok(absolute),
            None => bail!(Usage(format!("{shown} has no name; {ADVICE}"))),
        };
    };
    if !there.is_dir() {
        bail!(Usage(format!("{shown} is not a folder; {ADVICE}")));
    }
    let mut entries = fs::read_dir(&there).with_context(|| format!("cannot list {shown}"))?;
    if entries.next().is_some() || there.file_name().is_none() {
        bail!(Usage(format!("{shown} is not empty; {ADVICE}")));
    }
    Ok(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_appears_whole_and_one_run_makes_it() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("new/arm64");
        let nothing = |path: &Path| -> Result<()> { bail!("{} was there", path.display()) };
        let place = Place::claim(&folder, nothing).expect("free");
        fs::write(place.make_root().expect("made").join("file"), "x").expect("written");
        let error = Place::claim(&folder, nothing).expect_err("somebody is at it").to_string();
        assert!(error.contains("another run is making"), "{error}");
        assert!(!folder.exists());
        // Killed: the next run removes what is there.
        drop(place);
        let place = Place::claim(&folder, |path| Ok(fs::remove_dir_all(path)?)).expect("free again");
        fs::write(place.make_root().expect("made").join("file"), "y").expect("written");
        place.finish().expect("finished");
        assert_eq!(fs::read_to_string(folder.join("file")).expect("there"), "y");
        assert_eq!(fs::read_dir(home.path().join("new")).expect("a folder").count(), 1);
    }

    #[test]
    fn what_is_there_already_is_not_touched() {
        let home = tempfile::tempdir().expect("a folder");
        let at = |name: &str| home.path().join(name);
        let claim = |name: &str| Place::claim(&at(name), |_| Ok(()));
        fs::write(at("file"), "").expect("written");
        fs::create_dir_all(at("full/x")).expect("made");
        fs::create_dir_all(at("other.partial/mine")).expect("made");
        std::os::unix::fs::symlink("/no/such", at("link")).expect("linked");
        for (name, said) in [
            ("file", "is not a folder"),
            ("full", "is not empty"),
            ("link", "leads nowhere"),
            ("other", "is in the way"),
            ("file/below", "is not a folder"),
        ] {
            let error = claim(name).expect_err(name);
            assert!(error.is::<Usage>() && error.to_string().contains(said), "{error:#}");
        }
        assert!(at("other.partial/mine").exists() && Place::claim(Path::new("/"), |_| Ok(())).is_err());
        fs::create_dir(at("empty")).expect("made");
        let place = claim("empty").expect("free");
        place.make_root().expect("made");
        place.finish().expect("finished");
    }
}
