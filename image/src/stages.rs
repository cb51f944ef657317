//! The stages that an image goes through. Each is a type that only the stage before can make: nothing is unpacked that
//! was not checked, and nothing is run that was not unpacked whole.

use crate::choose::{WrongPlatform, choose};
use crate::digest::Digest;
use crate::document::{Config, Descriptor, Document, Manifest, Run};
use crate::layer::{LeftOut, Owners, Unpacking};
use crate::layout::{Found, Layout};
use crate::limits::Limits;
use crate::names;
use crate::platform::Platform;
use crate::registry::{Access, Registry};
use crate::root::{self, Root};
use crate::source::Source;
use crate::store::Store;
use anyarch_client::progress::{Progress, count};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// How deep an index may list others.
const MAX_NESTING: usize = 3;

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

/// An image whose manifest and config are here and were checked.
pub struct Resolved<'a> {
    images: &'a Images,
    origin: Origin<'a>,
    name: String,
    asked: Option<Platform>,
    digest: Digest,
    manifest: Manifest,
    config: Config,
    platform: Platform,
}

/// An image whose layers are here, too, and were checked.
pub struct Pulled<'a> {
    images: &'a Images,
    name: String,
    digest: Digest,
    manifest: Manifest,
    config: Config,
    platform: Platform,
}

/// Where blobs come from.
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
    /// [`WrongPlatform`] when it is not there for the platform; else when it is not there, is no image, or cannot be had.
    pub fn resolve<'a>(&'a self, source: &'a Source, platform: Option<&Platform>) -> Result<Resolved<'a>> {
        let name = source.to_string();
        let origin = match source {
            Source::Registry(reference) => {
                Origin::Registry(Registry::new(reference, &self.options.access, &self.progress)?)
            }
            Source::Files { path, .. } => {
                let layout = Layout::open(path, self.store.folder(), &self.options.limits)?;
                Origin::Layout { layout, files: BTreeMap::new() }
            }
        };
        let mut finding = Finding { images: self, origin, name: &name, wanted: platform };
        let (digest, manifest, listed) = finding.find(source)?;
        let Finding { origin, .. } = finding;
        let config = self.document(&origin, &manifest.config.digest).context("its config")?;
        let config = Config::read(&config).context("its config")?;
        ensure!(
            config.diff_ids().len() == manifest.layers.len(),
            "refused: {name} has {}, and its config speaks of {}",
            count(manifest.layers.len(), "layer"),
            config.diff_ids().len()
        );
        let platform_found = suitable(&name, &config, listed.as_ref(), platform)?;
        Ok(Resolved {
            images: self,
            origin,
            name,
            asked: platform.cloned(),
            digest,
            manifest,
            config,
            platform: platform_found,
        })
    }

    /// The roots that were unpacked, and can be removed.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn roots(&self) -> Result<Vec<root::Listed>> {
        root::list(&self.store)
    }

    /// A document by its digest: of the cache, else of where the image is. What came is kept.
    fn document(&self, origin: &Origin<'_>, digest: &Digest) -> Result<Vec<u8>> {
        if let Some(bytes) = self.store.document(digest) {
            return Ok(bytes);
        }
        let bytes = match origin {
            Origin::Registry(registry) => registry.blob_document(digest)?,
            Origin::Layout { layout, files } => layout.document(digest, files)?,
        };
        self.store.keep(&bytes)?;
        Ok(bytes)
    }
}

/// The search for a manifest.
struct Finding<'a, 'b> {
    images: &'a Images,
    origin: Origin<'a>,
    name: &'b str,
    wanted: Option<&'b Platform>,
}

/// A manifest, and the platform that an index has it for.
type FoundManifest = (Digest, Manifest, Option<Platform>);

impl Finding<'_, '_> {
    fn find(&mut self, source: &Source) -> Result<FoundManifest> {
        let store = &self.images.store;
        match (&mut self.origin, source) {
            (Origin::Registry(registry), Source::Registry(reference)) => {
                let known = match reference.digest() {
                    Some(digest) => Some(digest.clone()),
                    None if self.images.options.ask == Ask::Once => {
                        names::known(store, self.name, self.wanted)?
                    }
                    None => None,
                };
                let bytes = match known.and_then(|digest| store.document(&digest)) {
                    Some(bytes) => bytes,
                    None => {
                        let bytes = registry.document(&reference.wanted())?;
                        store.keep(&bytes)?;
                        bytes
                    }
                };
                self.read(&bytes, None, 0)
            }
            (Origin::Layout { layout, files }, Source::Files { name, .. }) => {
                match layout.find(name.as_deref())? {
                    Found::Listed(all) => self.choose(&all, 0),
                    Found::Saved { manifest, files: saved } => {
                        *files = saved;
                        let bytes = serde_json::to_vec(&manifest).context("cannot encode a manifest")?;
                        Ok((store.keep(&bytes)?, manifest, None))
                    }
                }
            }
            _ => bail!("an image has two places"),
        }
    }

    fn choose(&self, all: &[Descriptor], depth: usize) -> Result<FoundManifest> {
        ensure!(depth < MAX_NESTING, "refused: {} leads from index to index", self.name);
        let one = choose(self.name, all, self.wanted)?;
        let bytes = match self.images.store.document(&one.digest) {
            Some(bytes) => bytes,
            None => {
                let bytes = match &self.origin {
                    Origin::Registry(registry) => registry.document(&one.digest.to_string())?,
                    Origin::Layout { layout, files } => layout.document(&one.digest, files)?,
                };
                self.images.store.keep(&bytes)?;
                bytes
            }
        };
        self.read(&bytes, one.platform.as_ref().map(Platform::from), depth + 1)
    }

    fn read(&self, bytes: &[u8], listed: Option<Platform>, depth: usize) -> Result<FoundManifest> {
        match Document::read(bytes).with_context(|| format!("{} cannot be used", self.name))? {
            Document::Index(all) => self.choose(&all, depth),
            Document::Manifest(manifest) => Ok((Digest::of(bytes), manifest, listed)),
        }
    }
}

/// The platform of an image, which must be the wanted one. Configs often leave the variant out that an index has.
fn suitable(
    image: &str,
    config: &Config,
    listed: Option<&Platform>,
    wanted: Option<&Platform>,
) -> Result<Platform, WrongPlatform> {
    let own = config.platform();
    let is_processor =
        |one: &Platform, other: &Platform| (&one.os, &one.architecture) == (&other.os, &other.architecture);
    let fits = match (&own, listed, wanted) {
        (Some(own), Some(listed), _) => is_processor(own, listed),
        (Some(own), None, Some(wanted)) => wanted.suits(own).is_some(),
        _ => true,
    };
    if !fits {
        let wanted = wanted.or(listed).cloned().unwrap_or_else(Platform::native);
        return Err(WrongPlatform { image: image.to_owned(), wanted, available: own.into_iter().collect() });
    }
    Ok(listed.cloned().or(own).or(wanted.cloned()).unwrap_or_else(Platform::native))
}

impl<'a> Resolved<'a> {
    /// The digest of the image's manifest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What the image is made for.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Gets the layers that the cache does not have, and checks each. Waits for another run that gets the same.
    ///
    /// # Errors
    /// When one cannot be had, is not what the manifest says, or the cache cannot be written. What is here stays for
    /// the next run.
    pub fn pull(self) -> Result<Pulled<'a>> {
        let store = &self.images.store;
        let number = self.manifest.layers.len();
        for (at, layer) in self.manifest.layers.iter().enumerate() {
            if store.has(layer) {
                continue;
            }
            let Some(growing) = store.grow(layer, &self.images.progress)? else { continue };
            let what = format!("layer {} of {number} ({})", at + 1, layer.digest.short());
            let step = self.images.progress.step(format!("pull {}: {what}", self.name));
            match &self.origin {
                Origin::Registry(registry) => registry.blob(layer, &what, growing, &step)?,
                Origin::Layout { layout, files } => {
                    let from = layout.blob(&layer.digest, files)?;
                    growing
                        .fill(from, layer)
                        .with_context(|| format!("{what} of {} cannot be used", self.name))?;
                }
            }
            step.done("checked");
        }
        if matches!(self.origin, Origin::Registry(_)) {
            names::keep(store, &self.name, self.asked.as_ref(), &self.digest)?;
        }
        Ok(Pulled {
            images: self.images,
            name: self.name,
            digest: self.digest,
            manifest: self.manifest,
            config: self.config,
            platform: self.platform,
        })
    }
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
        let about = root::About {
            name: self.name.clone(),
            digest: self.digest.clone(),
            platform: self.platform.to_string(),
        };
        root::get(store, &about, &owners, progress, |folder| {
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
