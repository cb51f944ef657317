//! The stages that an image goes through. Each is a type that only the stage before can make: nothing is unpacked that
//! was not checked, and nothing is run that was not unpacked whole.

mod pulled;
mod resolved;

pub use pulled::Pulled;
pub use resolved::Resolved;

use crate::digest::Digest;
use crate::document::Descriptor;
use crate::layout::Layout;
use crate::limits::Limits;
use crate::platform::Platform;
use crate::registry::{Access, Registry};
use crate::root::{self, About, Listed};
use crate::source::Source;
use crate::store::Store;
use anyarch_client::progress::Progress;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// When a registry is asked what a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ask {
    /// If the name was not pulled before: the second run needs no network.
    #[default]
    Once,
    /// Always: names may mean something newer.
    Always,
}

/// How images are got.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How registries are asked.
    pub access: Access,
    /// When they are.
    pub ask: Ask,
    /// How much is unpacked at most.
    pub limits: Limits,
}

/// The images of a cache.
#[derive(Debug)]
pub struct Images {
    store: Store,
    options: Options,
    progress: Progress,
}

/// Where documents and blobs come from.
enum Origin<'a> {
    Registry(Registry<'a>),
    Layout { layout: Layout, files: BTreeMap<Digest, String> },
}

impl Images {
    /// The images in a cache folder. The caller holds a claim on it ([`anyarch_client::claim`]).
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn open(cache: &Path, options: Options, progress: &Progress) -> Result<Self> {
        Ok(Self { store: Store::open(cache)?, options, progress: progress.clone() })
    }

    /// Finds out which image is meant, for which platform: the one that is named, else this machine's, else the only
    /// one that there is.
    ///
    /// # Errors
    /// [`WrongPlatform`](crate::WrongPlatform) when it is not there for the platform; else when it is not there, is no
    /// image, or cannot be had.
    pub fn resolve<'a>(&'a self, source: &'a Source, platform: Option<&Platform>) -> Result<Resolved<'a>> {
        resolved::resolve(self, source, platform)
    }

    /// An image that was pulled, with nothing asked of anybody: for a process that is to unpack what another one pulled.
    ///
    /// # Errors
    /// When the cache does not have it any more.
    pub fn pulled(&self, about: &About) -> Result<Pulled<'_>> {
        pulled::again(self, about)
    }

    /// The roots that were unpacked, and can be removed.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn roots(&self) -> Result<Vec<Listed>> {
        root::list(&self.store)
    }

    /// A document that another one names: of the cache, else by `get`. What came is kept.
    fn document(&self, blob: &Descriptor, get: impl FnOnce(&Digest) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let bytes = match self.store.document(&blob.digest) {
            Some(bytes) => bytes,
            None => {
                let bytes = get(&blob.digest)?;
                self.store.keep(&bytes)?;
                bytes
            }
        };
        let size = bytes.len();
        ensure!(
            size as u64 == blob.size,
            "wrong size: {} has {size} bytes, and shall have {}",
            blob.digest,
            blob.size
        );
        Ok(bytes)
    }
}

impl Origin<'_> {
    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>> {
        match self {
            Self::Registry(registry) => registry.document(&digest.to_string()),
            Self::Layout { layout, files } => layout.document(digest, files),
        }
    }

    fn config(&self, digest: &Digest) -> Result<Vec<u8>> {
        match self {
            Self::Registry(registry) => registry.blob_document(digest),
            Self::Layout { layout, files } => layout.document(digest, files),
        }
    }
}
