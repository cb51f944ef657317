//! An emulator and its texts below a prefix: there whole, or not at all.

use super::archive;
use crate::exit::Usage;
use crate::progress::Progress;
use crate::store::{self, Scratch};
use anyarch_manifest::Artifact;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::fs::{Access, access};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where the emulator of a target stands.
pub fn place(prefix: &Path, target: &str) -> PathBuf {
    prefix.join(archive::emulator(target))
}

/// Whether this very emulator is there, and can be run, with its texts.
pub fn is_current(prefix: &Path, artifact: &Artifact) -> Result<bool> {
    let place = place(prefix, &artifact.target);
    let Ok(meta) = fs::metadata(&place) else { return Ok(false) };
    Ok(meta.is_file()
        && meta.permissions().mode() & 0o111 != 0
        && meta.len() == artifact.emulator.size
        && prefix.join(archive::docs(&artifact.target)).is_dir()
        && store::sha256_file(&place)? == artifact.emulator.sha256.as_str())
}

/// Says before anything is downloaded that nothing can be installed.
pub fn is_writable(prefix: &Path) -> Result<()> {
    let there = prefix.ancestors().find(|folder| folder.exists()).unwrap_or(prefix);
    if !there.is_dir() {
        bail!(Usage(format!("{} is no folder; say another --prefix", there.display())));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from).with_context(|| {
        format!("cannot write below {}; say --prefix DIR with a folder of yours", there.display())
    })
}

/// Unpacks a checked archive and puts what is in it in place. The caller holds a [`PrefixLock`].
pub fn install(prefix: &Path, artifact: &Artifact, archive: &File) -> Result<()> {
    let target = artifact.target.as_str();
    // In the prefix itself, so that everything gets its place by a rename.
    let scratch = Scratch::new(prefix)?;
    let new = scratch.path().join("new");
    fs::create_dir(&new).with_context(|| format!("cannot create {}", new.display()))?;
    archive::unpack_xz(archive, &new, target, artifact.unpacked_size)?;
    let found = store::sha256_file(&new.join(archive::emulator(target)))?;
    let wanted = artifact.emulator.sha256.as_str();
    ensure!(
        found == wanted,
        "the emulator in it is not the one of the release\n  its sha256 is   {found}\n  the release has {wanted}"
    );
    let docs = Swap::new(&new, prefix, &archive::docs(target), &scratch.path().join("old"))?;
    if let Err(error) = put_emulator(&new.join(archive::emulator(target)), &place(prefix, target)) {
        docs.undo();
        return Err(error);
    }
    Ok(())
}

/// Whatever ran the old one goes on with it.
fn put_emulator(from: &Path, to: &Path) -> Result<()> {
    let cannot = || format!("cannot put {} in place", to.display());
    store::create_parent(to)?;
    match fs::rename(from, to) {
        // `bin` may be a link to another disk.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => store::write_file_with(to, |file| {
            let mut source = File::open(from).with_context(cannot)?;
            io::copy(&mut source, file)?;
            Ok(file.set_permissions(fs::Permissions::from_mode(0o755))?)
        }),
        renamed => renamed.with_context(cannot),
    }
}

/// A folder in another's place, until all is done.
struct Swap {
    new: PathBuf,
    place: PathBuf,
    old: PathBuf,
}

impl Swap {
    fn new(from: &Path, prefix: &Path, name: &str, old: &Path) -> Result<Self> {
        let swap = Self { new: from.join(name), place: prefix.join(name), old: old.to_owned() };
        let cannot = || format!("cannot put {} in place", swap.place.display());
        store::create_parent(&swap.place)?;
        match fs::rename(&swap.place, &swap.old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.with_context(cannot)?,
        }
        if let Err(error) = fs::rename(&swap.new, &swap.place) {
            let _ = fs::rename(&swap.old, &swap.place);
            return Err(error).with_context(cannot);
        }
        Ok(swap)
    }

    /// Puts the old one back; if even that fails, the next run finds no texts and installs anew.
    fn undo(self) {
        let _ = fs::rename(&self.place, &self.new);
        let _ = fs::rename(&self.old, &self.place);
    }
}

/// Keeps other runs out of a prefix. The folder itself is locked, so that no file of a lock lies about in it.
#[derive(Debug)]
pub struct PrefixLock(#[allow(dead_code, reason = "it is held, not looked at")] File);

impl PrefixLock {
    /// Makes the prefix and waits for other runs.
    pub fn acquire(prefix: &Path, progress: &Progress) -> Result<Self> {
        let cannot = || format!("cannot lock {}", prefix.display());
        fs::create_dir_all(prefix).with_context(|| format!("cannot create {}", prefix.display()))?;
        let folder = File::open(prefix).with_context(cannot)?;
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.say(&format!("waiting for another run that installs into {}", prefix.display()));
                folder.lock().with_context(cannot)?;
            }
            Err(TryLockError::Error(error)) => return Err(anyhow!(error).context(cannot())),
        }
        Ok(Self(folder))
    }
}
