//! The other way: all images of an OCI layout into a repository of a registry, by the names that they have in the layout.
//! Blobs go first, then what names them, and a tag last: whoever pulls a tag finds all of it.

use crate::digest::Digest;
use crate::document::{MAX_BYTES, json};
use crate::reference::Reference;
use crate::registry::{Access, Registry};
use anyarch_client::answer::{TransferError, printable};
use anyarch_client::error::Usage;
use anyarch_client::hash;
use anyarch_client::progress::{Progress, human_bytes};
use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Url;
use reqwest::blocking::{Body, Response};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The annotation that names an image in a layout.
const NAME: &str = "org.opencontainers.image.ref.name";
/// What begins the tag by which registries without a list of referrers have it: a digest with a dash for its colon.
const FALLBACK: &str = "sha256-";
/// What a registry says that keeps the list of referrers itself.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// What a registry says of the bytes that it took.
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The slowest connection on which a blob is not given up, in bytes a second.
const SLOWEST: u64 = 8 << 10;
/// The most documents that lie within one another: an index, a manifest.
const DEEPEST: u32 = 4;

/// A tag that was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The tag.
    pub tag: String,
    /// What it leads to.
    pub digest: String,
}

/// What a document of a layout names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linked {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// An index, a manifest, or what is attached to one.
#[derive(Deserialize)]
struct Linking {
    #[serde(default)]
    manifests: Vec<Linked>,
    config: Option<Linked>,
    #[serde(default)]
    layers: Vec<Linked>,
    subject: Option<Linked>,
}

/// Pushes every image of a layout that has a name. `to` is the repository; the names become tags.
///
/// # Errors
/// [`Usage`] when `to` has a tag or digest; else when the layout is not what its digests say, or the registry does not
/// take it. Nothing is tagged then whose parts are not there.
pub fn push(layout: &Path, to: &Reference, access: &Access, progress: &Progress) -> Result<Vec<Pushed>> {
    if !to.is_bare() {
        bail!(Usage(format!(
            "images are pushed under tags of their own: leave out what stands behind the name in {to}"
        )));
    }
    let registry = Registry::new(to, access, progress)?;
    let index = fs::read(layout.join("index.json"))
        .with_context(|| format!("{} is not an OCI layout", layout.display()))?;
    let Linking { manifests, .. } = json(&index)?;
    let mut pushing = Pushing { layout, registry, progress, there: BTreeSet::new(), keeps_referrers: true };
    let mut pushed = Vec::new();
    let (fallbacks, images): (Vec<&Linked>, Vec<&Linked>) =
        manifests.iter().partition(|one| one.name().is_some_and(|name| name.starts_with(FALLBACK)));
    for one in images {
        pushing.document(one, one.name(), 0)?;
        pushed.extend(one.name().map(|tag| Pushed { tag: tag.to_owned(), digest: one.digest.to_string() }));
    }
    for one in fallbacks {
        // Its parts make the registry's own list, where it keeps one.
        pushing.parts(&pushing.read(one)?, 0)?;
        if !pushing.keeps_referrers {
            pushing.document(one, one.name(), 0)?;
        }
    }
    Ok(pushed)
}

impl Linked {
    fn name(&self) -> Option<&str> {
        self.annotations.get(NAME).map(String::as_str)
    }
}

struct Pushing<'a> {
    layout: &'a Path,
    registry: Registry<'a>,
    progress: &'a Progress,
    there: BTreeSet<Digest>,
    keeps_referrers: bool,
}

impl Pushing<'_> {
    fn path(&self, digest: &Digest) -> PathBuf {
        self.layout.join("blobs/sha256").join(digest.hex())
    }

    /// A document of the layout, which must be what its name says.
    fn read(&self, one: &Linked) -> Result<Vec<u8>> {
        ensure!(one.size <= MAX_BYTES, "{} is bigger than registries take", one.digest);
        let bytes =
            fs::read(self.path(&one.digest)).with_context(|| format!("the layout lacks {}", one.digest))?;
        ensure!(Digest::of(&bytes) == one.digest, "{} in the layout has other content", one.digest);
        Ok(bytes)
    }

    /// Pushes what a document names.
    fn parts(&mut self, bytes: &[u8], depth: u32) -> Result<()> {
        ensure!(depth < DEEPEST, "refused: documents of the layout lie too deep in one another");
        let Linking { manifests, config, layers, .. } = json(bytes)?;
        for one in config.iter().chain(&layers) {
            self.blob(one)?;
        }
        manifests.iter().try_for_each(|one| self.document(one, None, depth + 1))
    }

    /// Pushes a document and all below it, as a tag if it has one.
    fn document(&mut self, one: &Linked, tag: Option<&str>, depth: u32) -> Result<()> {
        if tag.is_none() && self.there.contains(&one.digest) {
            return Ok(());
        }
        let bytes = self.read(one)?;
        if !self.there.contains(&one.digest) {
            self.parts(&bytes, depth)?;
        }
        let name = tag.map_or_else(|| one.digest.to_string(), str::to_owned);
        let response = self.ask(&name, || {
            let url = self.registry.address(&format!("manifests/{name}"))?;
            self.registry.exchange(&url, &|client, url| {
                Ok(client.put(url).header(CONTENT_TYPE, one.media_type.as_str()).body(bytes.clone()))
            })
        })?;
        self.took(&response, &one.digest, &name)?;
        let has_subject = json::<Linking>(&bytes)?.subject.is_some();
        if has_subject && !response.headers().contains_key(SUBJECT) {
            self.keeps_referrers = false;
        }
        self.there.insert(one.digest.clone());
        Ok(())
    }

    /// A registry that took something else than was sent is not believed.
    fn took(&self, response: &Response, digest: &Digest, what: &str) -> Result<()> {
        let said = response.headers().get(DIGEST).and_then(|value| value.to_str().ok());
        if let Some(other) = said.filter(|said| *said != digest.to_string()) {
            let why = format!("it has other bytes than were sent: {}, not {digest}", printable(other));
            return Err(self.registry.failed(what, TransferError::Useless(why)));
        }
        Ok(())
    }

    fn blob(&mut self, one: &Linked) -> Result<()> {
        if self.there.contains(&one.digest) {
            return Ok(());
        }
        let path = self.path(&one.digest);
        let found = hash::sha256_file(&path)?;
        ensure!(found == one.digest.hex(), "{} in the layout has other content", one.digest);
        let short = one.digest.short();
        let is_there = self.ask(short, || {
            let url = self.registry.address(&format!("blobs/{}", one.digest))?;
            match self.registry.exchange(&url, &|client, url| Ok(client.head(url))) {
                Ok(_) => Ok(true),
                Err(TransferError::Absent(_)) => Ok(false),
                Err(other) => Err(other),
            }
        })?;
        if !is_there {
            let step = self.progress.step(format!("push {short}, {}", human_bytes(one.size)));
            let response = self.ask(short, || self.upload(one, &path))?;
            self.took(&response, &one.digest, short)?;
            step.done("pushed");
        }
        self.there.insert(one.digest.clone());
        Ok(())
    }

    /// Sends a blob in one piece, in one try.
    fn upload(&self, one: &Linked, path: &Path) -> Result<Response, TransferError> {
        let begin = self.registry.address("blobs/uploads/")?;
        let begun =
            self.registry.exchange(&begin, &|client, url| Ok(client.post(url).header(CONTENT_LENGTH, 0)))?;
        let place = begun.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let place = place.and_then(|place| begin.join(place).ok());
        let mut place: Url =
            place.ok_or_else(|| TransferError::Useless("it does not say where a blob goes".to_owned()))?;
        if begin.scheme() == "https" && place.scheme() != "https" {
            return Err(TransferError::Useless("it sends from https to http".to_owned()));
        }
        place.query_pairs_mut().append_pair("digest", &one.digest.to_string());
        let time = self.registry.policy().stall + Duration::from_secs(one.size / SLOWEST);
        self.registry.exchange(&place, &|client, url| {
            let file = File::open(path).map_err(|error| TransferError::Ours(error.into()))?;
            Ok(client
                .put(url)
                .timeout(time)
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(Body::sized(file, one.size)))
        })
    }

    /// Asks until there is an answer, or more tries would not help.
    fn ask<T>(&self, what: &str, attempt: impl FnMut() -> Result<T, TransferError>) -> Result<T> {
        let who = self.registry.name();
        let answered = self.registry.policy().retry(self.progress, &who, what, attempt);
        answered
            .map_err(|trouble| self.registry.failed(what, trouble))
            .context("the images are not all pushed")
    }
}
