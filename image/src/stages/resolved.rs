//! The first stage: which image is meant. Its manifest and config are here then, and were checked.

use super::{Ask, Images, Origin, Pulled};
use crate::choose::{WrongPlatform, choose};
use crate::digest::Digest;
use crate::document::{Config, Descriptor, Document, Manifest};
use crate::layout::{Found, Layout};
use crate::names;
use crate::platform::Platform;
use crate::registry::Registry;
use crate::source::Source;
use anyarch_client::progress::count;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;

/// How deep an index may list others.
const MAX_NESTING: usize = 3;

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

/// [`Images::resolve`].
pub(super) fn resolve<'a>(
    images: &'a Images,
    source: &'a Source,
    platform: Option<&Platform>,
) -> Result<Resolved<'a>> {
    let name = source.to_string();
    let origin = match source {
        Source::Registry(reference) => {
            Origin::Registry(Registry::new(reference, &images.options.access, &images.progress)?)
        }
        Source::Files { path, .. } => {
            let layout = Layout::open(path, images.store.folder(), &images.options.limits)?;
            Origin::Layout { layout, files: BTreeMap::new() }
        }
    };
    let mut finding = Finding { images, origin, name: &name, wanted: platform };
    let (digest, manifest, listed) = finding.find(source)?;
    let Finding { origin, .. } = finding;
    let config = images.document(&manifest.config, |digest| origin.config(digest)).context("its config")?;
    let config = Config::read(&config).context("its config")?;
    ensure!(
        config.diff_ids().len() == manifest.layers.len(),
        "refused: {name} has {}, and its config speaks of {}",
        count(manifest.layers.len(), "layer"),
        config.diff_ids().len()
    );
    let platform_found = suitable(&name, &config, listed.as_ref(), platform)?;
    Ok(Resolved {
        images,
        origin,
        name,
        asked: platform.cloned(),
        digest,
        manifest,
        config,
        platform: platform_found,
    })
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
        let bytes = self.images.document(one, |digest| self.origin.manifest(digest))?;
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
