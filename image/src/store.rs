//! Blobs in the cache, by the digest of their content: `<cache>/images/blobs/sha256/<hex>`. They appear there by a
//! rename, when they are whole and their digest is right; until then they grow under `pulling/`, where the next run
//! goes on. One run at a time works on a blob.

use crate::digest::Digest;
use crate::document::{Descriptor, MAX_BYTES};
use crate::hashed::Hashed;
use anyarch_client::lock::Lock;
use anyarch_client::progress::Progress;
use anyarch_client::{files, hash};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The images' part of a cache.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A blob that is not there yet, and that no other run works on as long as this value lives.
#[derive(Debug)]
pub struct Growing {
    /// What is there of it, perhaps of an earlier run. Whoever fills it checks the whole.
    pub file: File,
    path: PathBuf,
    place: PathBuf,
    _lock: Lock,
}

impl Store {
    /// The store in a cache folder; makes its folders. Nobody else may enter it: programs of images keep their
    /// set-user-ID bits, and what is only meant for containers must not be run outside of them.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn open(cache: &Path) -> Result<Self> {
        let folder = cache.join("images");
        let cannot = || format!("cannot create {}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(cannot)?;
        let meta = fs::metadata(&folder).with_context(cannot)?;
        if meta.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).with_context(cannot)?;
        }
        for part in ["blobs/sha256", "pulling", "names", "roots"] {
            fs::create_dir_all(folder.join(part)).with_context(cannot)?;
        }
        Ok(Self { folder })
    }

    /// The folder of the store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a blob is, or would be.
    pub fn place(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// Whether a blob is there. Its digest was checked when it came, and is checked again when it is read.
    pub fn has(&self, blob: &Descriptor) -> bool {
        fs::metadata(self.place(&blob.digest)).is_ok_and(|meta| meta.is_file() && meta.len() == blob.size)
    }

    /// Opens a blob to read it. The caller checks its digest on the way ([`Store::forget`] it if it is wrong).
    ///
    /// # Errors
    /// When it is not there.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        File::open(self.place(digest)).with_context(|| format!("the cache has no blob {digest}"))
    }

    /// Whether a blob is there and has other bytes than its digest says. A disk that cannot be read has not changed them.
    pub fn has_changed(&self, digest: &Digest) -> bool {
        hash::sha256_file(&self.place(digest)).is_ok_and(|found| found != digest.hex())
    }

    /// Removes a blob whose content has changed in the cache, so that the next run gets it anew.
    pub fn forget(&self, digest: &Digest) {
        // It is found out again if it stays.
        let _ = files::remove(&self.place(digest));
    }

    /// Reads a document that the store has, and checks it. `None` if the store does not have it, or has lost a part.
    pub fn document(&self, digest: &Digest) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.place(digest)).ok()?.take(MAX_BYTES + 1).read_to_end(&mut bytes).ok()?;
        if Digest::of(&bytes) == *digest {
            return Some(bytes);
        }
        self.forget(digest);
        None
    }

    /// Keeps a document; gives its digest.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        files::write_file_with(&self.place(&digest), |file| Ok(file.write_all(bytes)?))?;
        Ok(digest)
    }

    /// Begins to get a blob, or goes on with one. Waits for another run that gets the same; `None` if that has it now.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn grow(&self, blob: &Descriptor, progress: &Progress) -> Result<Option<Growing>> {
        let path = self.folder.join("pulling").join(blob.digest.hex());
        let lock = Lock::acquire(&path, progress)?;
        if self.has(blob) {
            return Ok(None);
        }
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some(Growing { file, path, place: self.place(&blob.digest), _lock: lock }))
    }
}

impl Growing {
    /// Puts the blob, which is whole and was checked, in its place.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep(self) -> Result<()> {
        let cannot = || format!("cannot keep {}", self.place.display());
        // After a power failure, a name may be there without its bytes.
        self.file.sync_all().with_context(cannot)?;
        fs::rename(&self.path, &self.place).with_context(cannot)
    }

    /// Fills it from a reader and checks it.
    ///
    /// # Errors
    /// When the bytes are not those of the blob, or cannot be kept. Nothing is left of it then.
    pub fn fill(mut self, mut from: impl io::Read, blob: &Descriptor) -> Result<()> {
        let filled = self.file.set_len(0).map_err(Into::into).and_then(|()| self.copy(&mut from, blob));
        if filled.is_err() {
            let _ = files::remove(&self.path);
        }
        filled?;
        self.keep()
    }

    fn copy(&mut self, from: &mut impl io::Read, blob: &Descriptor) -> Result<()> {
        let mut hashed = Hashed::new(from.take(blob.size.saturating_add(1)));
        let size = io::copy(&mut hashed, &mut self.file).context("it cannot be copied into the cache")?;
        ensure!(
            size == blob.size,
            "wrong size: {} has other than the {} bytes that its manifest says",
            blob.digest,
            blob.size
        );
        let found = hashed.digest();
        if found != blob.digest {
            bail!("wrong content: its digest is\n    {found}\n  and the manifest has\n    {}", blob.digest);
        }
        Ok(())
    }
}
