//! An emulator and its texts below a prefix: there whole, or not at all.

use crate::archive;
use crate::files::{self, TempFolder};
use crate::hash;
use crate::progress::Progress;
use anyarch_manifest::{Artifact, Bundle, layout};
use anyhow::{Context as _, Result, anyhow, ensure};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The path of a target's emulator below a prefix.
pub fn emulator_path(prefix: &Path, target: &str) -> PathBuf {
    prefix.join(layout::emulator(target))
}

/// Whether the emulator of this artifact is installed below a prefix: the same bytes, executable, with its texts.
///
/// # Errors
/// When there is an emulator that cannot be read.
pub fn is_current(prefix: &Path, artifact: &Artifact) -> Result<bool> {
    let place = emulator_path(prefix, &artifact.target);
    let Ok(meta) = fs::metadata(&place) else { return Ok(false) };
    Ok(meta.is_file()
        && meta.permissions().mode() & 0o111 != 0
        && meta.len() == artifact.emulator.size
        && prefix.join(layout::docs(&artifact.target)).is_dir()
        && hash::sha256_file(&place)? == artifact.emulator.sha256.as_str())
}

/// Removes what killed runs left below a prefix in which there is nothing else to do, if no other run is at work there.
pub fn sweep(prefix: &Path) {
    if let Ok(folder) = File::open(prefix)
        && folder.try_lock().is_ok()
    {
        files::sweep(prefix);
    }
}

/// Unpacks an archive whose hash was checked, and puts the emulator and its texts in place below the prefix, each by a
/// rename. The caller holds the [`PrefixLock`] of the prefix.
///
/// # Errors
/// When the archive is not what the artifact says, or the prefix cannot be written. The old emulator stays in place
/// with its texts, or, if the last rename failed, the new one stands there without any, and is installed anew next time.
pub fn install(prefix: &Path, artifact: &Artifact, archive: &File) -> Result<()> {
    let room = Room::new(prefix)?;
    archive::unpack_xz(archive, &room.new, &[&artifact.target], artifact.unpacked_size)?;
    room.put(prefix, artifact)
}

/// The same with the archive of all emulators of a host, of which those of `artifacts` are put in place.
///
/// # Errors
/// As [`install`]; of several, those that came before the fault are in place.
pub fn install_from(prefix: &Path, bundle: &Bundle, artifacts: &[&Artifact], archive: &File) -> Result<()> {
    let room = Room::new(prefix)?;
    let targets: Vec<&str> = bundle.targets.iter().map(String::as_str).collect();
    archive::unpack_xz(archive, &room.new, &targets, bundle.unpacked_size)?;
    artifacts.iter().try_for_each(|artifact| room.put(prefix, artifact))
}

/// A place for what was unpacked, in the prefix itself, so that everything gets its own place by a rename.
struct Room {
    scratch: TempFolder,
    new: PathBuf,
}

impl Room {
    fn new(prefix: &Path) -> Result<Self> {
        let scratch = TempFolder::new(prefix)?;
        let new = scratch.path().join("new");
        fs::create_dir(&new).with_context(|| format!("cannot create {}", new.display()))?;
        Ok(Self { scratch, new })
    }

    /// Checks an emulator that was unpacked, and puts it and its texts in place.
    fn put(&self, prefix: &Path, artifact: &Artifact) -> Result<()> {
        let target = artifact.target.as_str();
        let emulator = self.new.join(layout::emulator(target));
        let found = hash::sha256_file(&emulator)?;
        let wanted = artifact.emulator.sha256.as_str();
        ensure!(
            found == wanted,
            "{} in it is not that of the release\n  its sha256 is   {found}\n  the release has {wanted}",
            layout::program(target)
        );
        // Whoever is killed between these leaves no texts, so that the next run installs anew: an emulator with
        // those of another release would be taken for up to date.
        let docs = layout::docs(target);
        let old = self.scratch.path().join(format!("old-{target}"));
        let texts = Texts::put_away(prefix.join(&docs), old)?;
        if let Err(error) = put_emulator(&emulator, &emulator_path(prefix, target)) {
            texts.put_back();
            return Err(error);
        }
        texts.replace(&self.new.join(&docs))
    }
}

/// Whatever ran the old one goes on with it.
fn put_emulator(from: &Path, to: &Path) -> Result<()> {
    let cannot = || format!("cannot put {} in place", to.display());
    files::create_parent(to)?;
    match fs::rename(from, to) {
        // `bin` may be a link to another disk.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => files::write_file_with(to, |file| {
            let mut source = File::open(from).with_context(cannot)?;
            io::copy(&mut source, file)?;
            Ok(file.set_permissions(fs::Permissions::from_mode(0o755))?)
        }),
        renamed => renamed.with_context(cannot),
    }
}

/// The place of an emulator's texts, which stand nowhere while the emulator changes.
struct Texts {
    place: PathBuf,
    old: PathBuf,
}

impl Texts {
    /// Moves the old ones away, if there are any.
    fn put_away(place: PathBuf, old: PathBuf) -> Result<Self> {
        files::create_parent(&place)?;
        match fs::rename(&place, &old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.with_context(|| format!("cannot replace {}", place.display()))?,
        }
        Ok(Self { place, old })
    }

    /// Nothing has changed; if even this fails, the next run finds no texts and installs anew.
    fn put_back(self) {
        let _ = fs::rename(&self.old, &self.place);
    }

    fn replace(self, new: &Path) -> Result<()> {
        fs::rename(new, &self.place).with_context(|| format!("cannot put {} in place", self.place.display()))
    }
}

/// Keeps other runs out of a prefix. The folder itself is locked, so that no file of a lock lies about in it.
#[derive(Debug)]
pub struct PrefixLock {
    _folder: File,
}

impl PrefixLock {
    /// Makes the folder `prefix` if need be, and locks it. Waits for other runs, with a word to the user.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn acquire(prefix: &Path, progress: &Progress) -> Result<Self> {
        let cannot = || format!("cannot lock {}", prefix.display());
        fs::create_dir_all(prefix).with_context(|| format!("cannot create {}", prefix.display()))?;
        let folder = File::open(prefix).with_context(cannot)?;
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress
                    .say(&format!("waiting for another run to finish installing into {}", prefix.display()));
                folder.lock().with_context(cannot)?;
            }
            Err(TryLockError::Error(error)) => return Err(anyhow!(error).context(cannot())),
        }
        Ok(Self { _folder: folder })
    }
}
