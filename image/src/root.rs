//! Unpacked roots in the cache: `<cache>/images/roots/<manifest>-<owners>/`, with the tree in `rootfs` and what it is
//! in `image.json`. A root appears by a rename, when all of it is there. It can be removed while nobody uses it.
//!
//! Its files are not forced to the disk one by one, which would take longer than all else. So after a start of the
//! machine a root is unpacked anew, unless it was used long enough after it was unpacked for the kernel to have written
//! it: then it is marked as settled.

use crate::digest::Digest;
use crate::layer::Owners;
use crate::store::Store;
use anyarch_client::files::{self, TempFolder};
use anyarch_client::lock::Lock;
use anyarch_client::progress::Progress;
use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The tree of an image in its folder.
const ROOTFS: &str = "rootfs";
/// A file that says that all of the tree is on the disk.
const SETTLED: &str = "settled";
/// After how long that is so. The kernel writes what has waited for half a minute, on a laptop for ten.
const SETTLES: Duration = Duration::from_secs(20 * 60);
/// Where the kernel says which run of the machine this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// What the tree is of. Whoever uses the tree holds a lock on this file.
const ABOUT: &str = "image.json";

/// What a root is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The image, as it was named when it was unpacked.
    pub name: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// What it is made for.
    pub platform: String,
}

/// `image.json`: what a root is of, and in which run of the machine it was unpacked.
#[derive(Serialize, Deserialize)]
struct Unpacked {
    #[serde(flatten)]
    about: About,
    boot: String,
}

/// A whole, unpacked root, which nobody removes as long as this value lives.
#[derive(Debug)]
pub struct Root {
    place: PathBuf,
    about: About,
    _use: File,
}

/// A root in the cache.
#[derive(Debug)]
pub struct Listed {
    place: PathBuf,
    /// What it is of.
    pub about: About,
}

impl Root {
    /// The folder that is `/` for the programs in it. Whoever writes to it changes it for later runs, too.
    pub fn path(&self) -> PathBuf {
        self.place.join(ROOTFS)
    }

    /// What it is of.
    pub fn about(&self) -> &About {
        &self.about
    }
}

impl Listed {
    /// Removes the root. The image's blobs stay.
    ///
    /// # Errors
    /// When somebody uses it, or it cannot be removed: files of other owners only by root or in the user namespace that
    /// they were unpacked in.
    pub fn remove(self) -> Result<()> {
        let shown = self.place.display();
        let Ok(file) = File::open(self.place.join(ABOUT)) else { return Ok(()) };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("{} is in use: {shown}", self.about.name),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {shown}"));
            }
        }
        let above = self.place.parent().unwrap_or(Path::new("."));
        let name = self.place.file_name().unwrap_or_default().to_string_lossy();
        let key = name.split_once('-').map_or("", |(_, key)| key);
        ensure!(
            Owners::possible().can_remove(key),
            "{shown} has files of many owners: remove it as root, or in the user namespace that it was unpacked in"
        );
        // Under a name of its own first: half a root is none, and what is left of it is swept.
        let scratch = TempFolder::new(above)?;
        let away = scratch.path().join("root");
        fs::rename(&self.place, &away).with_context(|| format!("cannot remove {shown}"))?;
        files::remove(&away)
    }
}

/// Lists the roots of a store.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(store: &Store) -> Result<Vec<Listed>> {
    let folder = store.folder().join("roots");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut all = Vec::new();
    for entry in entries.flatten() {
        if let Some(Unpacked { about, .. }) = files::read_json(&entry.path().join(ABOUT)) {
            all.push(Listed { place: entry.path(), about });
        }
    }
    all.sort_by(|one, other| one.place.cmp(&other.place));
    Ok(all)
}

/// The root of an image: the one that is there, else one that `fill` unpacks into an empty folder.
///
/// # Errors
/// When `fill` fails, or the cache cannot be written. Nothing is left of it then.
pub fn get(
    store: &Store,
    about: &About,
    owners: &Owners,
    progress: &Progress,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<Root> {
    let roots = store.folder().join("roots");
    let place = roots.join(format!("{}-{}", about.digest.hex(), owners.key()?));
    if let Some(root) = used(&place)? {
        return Ok(root);
    }
    let lock = Lock::acquire(&place, progress)?;
    if let Some(root) = used(&place)? {
        return Ok(root);
    }
    let scratch = TempFolder::new(&roots)?;
    let tree = scratch.path().join(ROOTFS);
    fs::create_dir(&tree).with_context(|| format!("cannot create {}", tree.display()))?;
    if let Err(error) = fill(&tree) {
        // Here, since folders that may not be written are among them.
        let _ = files::remove(&tree);
        return Err(error);
    }
    let unpacked = Unpacked { about: about.clone(), boot: boot() };
    files::write_json(&scratch.path().join(ABOUT), &unpacked)?;
    // What was there could not be used.
    files::remove(&place)?;
    scratch.keep(&place)?;
    let root = used(&place)?;
    drop(lock);
    root.with_context(|| format!("{} was removed at once", place.display()))
}

/// The root at a place, if it is there, with a lock against its removal.
fn used(place: &Path) -> Result<Option<Root>> {
    loop {
        let path = place.join(ABOUT);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        file.lock_shared().with_context(|| format!("cannot lock {}", path.display()))?;
        // Whoever had the lock may have removed it.
        let (ours, there) = (file.metadata(), fs::metadata(&path));
        let is_still = ours.is_ok_and(|ours| {
            there.is_ok_and(|there| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        });
        if !is_still {
            continue;
        }
        let read: Option<Unpacked> = files::read_json(&path);
        let Some(Unpacked { about, .. }) = read.filter(|read| is_settled(place, &read.boot, &file)) else {
            return Ok(None);
        };
        return Ok(Some(Root { place: place.to_owned(), about, _use: file }));
    }
}

/// Whether all of a root is there: it is on the disk, or has been in memory since it was unpacked.
fn is_settled(place: &Path, unpacked_in: &str, about: &File) -> bool {
    let mark = place.join(SETTLED);
    if mark.exists() {
        return true;
    }
    let is_same = unpacked_in == boot();
    let age = about.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
    if is_same && age.is_some_and(|age| age > SETTLES) {
        // Without the mark, it is unpacked once more than need be.
        let _ = files::write_file(&mark, b"");
    }
    is_same
}

/// Which run of the machine this is; the same where nobody knows.
fn boot() -> String {
    fs::read_to_string(BOOT).unwrap_or_default().trim().to_owned()
}
