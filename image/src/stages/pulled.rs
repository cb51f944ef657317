//! The second stage: all of an image is here, and was checked. The last one, its root, is made of it.

use super::Images;
use crate::digest::Digest;
use crate::document::{Config, Document, Manifest, Run};
use crate::layer::{LeftOut, Owners, Unpacking};
use crate::limits::Limits;
use crate::platform::Platform;
use crate::root::{self, About, Root};
use anyarch_client::progress::count;
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// An image whose layers are here, too, and were checked.
pub struct Pulled<'a> {
    pub(super) images: &'a Images,
    pub(super) name: String,
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
    pub(super) config: Config,
    pub(super) platform: Platform,
}

/// [`Images::pulled`].
pub(super) fn again<'a>(images: &'a Images, about: &About) -> Result<Pulled<'a>> {
    let read = |digest: &Digest| {
        let lost = || format!("the cache has lost {}: run the same command again", about.name);
        images.store.document(digest).with_context(lost)
    };
    let Document::Manifest(manifest) = Document::read(&read(&about.digest)?)? else {
        bail!("{} is an index", about.digest);
    };
    let config = Config::read(&read(&manifest.config.digest)?)?;
    let platform = about.platform.parse()?;
    Ok(Pulled { images, name: about.name.clone(), digest: about.digest.clone(), manifest, config, platform })
}

impl Pulled<'_> {
    /// The digest of the image's manifest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What the image is made for.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// What its root will be of. With it, [`Images::pulled`] finds the image again in the cache.
    pub fn about(&self) -> About {
        About { name: self.name.clone(), digest: self.digest.clone(), platform: self.platform.to_string() }
    }

    /// The file of its manifest, which is in the cache as long as the image is.
    pub fn file(&self) -> PathBuf {
        self.images.store.place(&self.digest)
    }

    /// What the image says about the program that is started in it.
    pub fn run(&self) -> Run {
        self.config.run()
    }

    /// The image unpacked in the cache: as an earlier run left it, or anew. Waits for another run that unpacks it.
    ///
    /// # Errors
    /// When a layer is not what manifest and config say, or holds what is refused; or the disk is full. Nothing is left
    /// of it then.
    pub fn root(&self, owners: Owners) -> Result<Root> {
        let Images { store, options, progress } = self.images;
        root::get(store, &self.about(), &owners, progress, |folder| {
            let step = progress.step(format!("unpack {}", self.name));
            let left_out = self.unpack(folder, owners.clone(), &options.limits, |at| {
                step.count(at as u64, self.manifest.layers.len() as u64, "layers");
            });
            let left_out = left_out.with_context(|| format!("{} was not unpacked", self.name))?;
            step.done(&told(&left_out));
            Ok(())
        })
    }

    fn unpack(
        &self,
        folder: &Path,
        owners: Owners,
        limits: &Limits,
        show: impl Fn(usize),
    ) -> Result<LeftOut> {
        let store = &self.images.store;
        let mut unpacking = Unpacking::new(folder, owners, limits)?;
        for (at, (layer, diff)) in self.manifest.layers.iter().zip(self.config.diff_ids()).enumerate() {
            show(at);
            let what = || format!("layer {} ({})", at + 1, layer.digest.short());
            let unpacked = unpacking.layer(store.open_blob(&layer.digest)?, layer.size);
            // What has changed need not even be an archive any more.
            if !unpacked.as_ref().is_ok_and(|found| found.packed == layer.digest)
                && store.has_changed(&layer.digest)
            {
                store.forget(&layer.digest);
                bail!(
                    "{} has changed in the cache, and was removed there: run the same command again",
                    what()
                );
            }
            let found = unpacked.with_context(what)?;
            ensure!(found.packed == layer.digest, "{} changes while it is read", what());
            ensure!(
                found.unpacked == *diff,
                "refused: {} unpacks to {}, and the image's config has {diff}",
                what(),
                found.unpacked
            );
        }
        unpacking.finish()
    }
}

/// What came of it, with what is missing.
fn told(left_out: &LeftOut) -> String {
    let mut text = "done".to_owned();
    if left_out.devices > 0 {
        let devices = count(usize::try_from(left_out.devices).unwrap_or(usize::MAX), "device file");
        text.push_str(&format!(", without {devices}"));
    }
    if left_out.xattrs > 0 {
        let xattrs = count(usize::try_from(left_out.xattrs).unwrap_or(usize::MAX), "attribute");
        text.push_str(&format!(", without {xattrs} that the disk does not take"));
    }
    text
}
