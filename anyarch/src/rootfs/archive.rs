//! An archive of Debian on a mirror: its suites, checked by their signatures, and its packages, checked by their hashes.

use crate::rootfs::packages::Package;
use crate::rootfs::release::{File, Release};
use crate::rootfs::signed::Verifier;
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::files::{self, TempFolder};
use anyarch_client::mirror::Mirror;
use anyarch_client::transfer::{ExpectedFile, Mirrors, RetryPolicy};
use anyarch_client::xz::{self, MemoryLimit};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::io::{BufReader, Read as _};
use std::path::PathBuf;

/// Where Debian is to be had.
pub const PUBLIC: &str = "http://deb.debian.org/debian";

/// The most bytes of an `InRelease`; that of sid has 300 kB.
const MAX_RELEASE: u64 = 4 << 20;
/// The most bytes of a list of packages, unpacked; that of sid has 60 MB.
const MAX_INDEX: u64 = 512 << 20;
/// The most bytes of one package. Those of a small system have a few.
const MAX_PACKAGE: u64 = 256 << 20;
/// What the lists are packed with takes 9 MiB.
const MEMORY: MemoryLimit = MemoryLimit { bytes: 128 << 20, advice: "take another mirror: --mirror URL" };

/// An archive.
pub struct Archive<'a> {
    /// Where progress is told, and the cache.
    pub session: &'a Session,
    /// Its address, as sources.list will have it.
    pub address: String,
    mirrors: Mirrors,
}

impl<'a> Archive<'a> {
    /// The archive at an address. It is not asked yet.
    ///
    /// # Errors
    /// [`Usage`] when the address is none.
    pub fn new(session: &'a Session, address: &str) -> Result<Self> {
        let address = address.trim_end_matches('/').to_owned();
        if !address.contains("://") || address.contains(char::is_whitespace) {
            let text = format!("--mirror {address}: pass an http://, https:// or file:// address");
            return Err(Usage(text).into());
        }
        let mirror = Mirror::named(&address).map_err(Usage::from)?;
        Ok(Self { session, address, mirrors: Mirrors::new(vec![mirror], RetryPolicy::default())? })
    }

    /// Another archive, if its address can be one.
    pub fn beside(&self, address: &str) -> Option<Self> {
        Self::new(self.session, address).ok()
    }

    /// A small file of a suite. Nothing vouches for it.
    fn small(&self, suite: &str, name: &str) -> Result<Vec<u8>> {
        let folder = format!("dists/{suite}");
        self.mirrors
            .try_each(&self.session.progress, &format!("{folder}/{name}"), |from| {
                self.mirrors.download_small(&self.session.progress, from, &folder, name, MAX_RELEASE)
            })
            .map_err(|error| error.context(format!("{} does not give {suite}", self.address)))
    }

    /// Whether there is such a suite, as far as the mirror says.
    pub fn has(&self, suite: &str) -> bool {
        self.small(suite, "InRelease").is_ok()
    }

    /// A suite, whose signature is checked.
    ///
    /// # Errors
    /// When the mirror does not have it, or it is not signed by one of the keys.
    pub fn suite(&self, suite: &str, verifier: &Verifier) -> Result<Release> {
        let message = self.small(suite, "InRelease")?;
        let what = || format!("the suite {suite} of {} cannot be trusted", self.address);
        let folder = TempFolder::new(&self.cache())?;
        let message = String::from_utf8(message).context("its InRelease is no text").with_context(what)?;
        let text = verifier.check(&message, folder.path()).with_context(what)?;
        Release::read(&text, suite).with_context(what)
    }

    /// A list of packages of a suite.
    ///
    /// # Errors
    /// When the mirror does not give it as the suite's `Release` says.
    pub fn index(&self, suite: &str, release: &Release, file: &File) -> Result<String> {
        let (below, name) = file.path.rsplit_once('/').context("a list is in a folder")?;
        let folder = format!("dists/{suite}/{below}");
        ensure!(file.size <= MAX_INDEX, "{} is bigger than any list of packages", file.path);
        let File { size, sha256, .. } = file;
        let named = ExpectedFile { release: &folder, name, size: *size, sha256 };
        let hashed = format!("{folder}/by-hash/SHA256");
        let by_hash = ExpectedFile { release: &hashed, name: sha256, ..named };
        let step = self.session.progress.step(format!("download {name} of {suite}"));
        let download =
            |wanted| self.mirrors.download_in(&self.session.progress, &step, &self.cache(), wanted);
        let got = match release.has_hashes.then(|| download(by_hash)) {
            Some(Ok(got)) => got,
            // Not every mirror has them.
            _ => download(named)?,
        };
        step.done("checked");
        let mut text = String::new();
        let what = || format!("cannot unpack {}", file.path);
        let stream = xz::Decoder::new(BufReader::new(&got.file), MEMORY).with_context(what)?;
        stream.take(MAX_INDEX).read_to_string(&mut text).with_context(what)?;
        Ok(text)
    }

    /// Downloads packages, as far as the cache does not have them. Gives the place of each.
    ///
    /// # Errors
    /// When the mirror does not give one as the list says.
    pub fn packages(&self, all: &[Package]) -> Result<Vec<PathBuf>> {
        let step = self.session.progress.step(format!("download {} packages", all.len()));
        let mut places = Vec::new();
        for (number, package) in all.iter().enumerate() {
            let (folder, name) = &package.file;
            step.count(number as u64, all.len() as u64, name);
            ensure!(package.size <= MAX_PACKAGE, "{name} is bigger than packages of a small system are");
            let wanted = ExpectedFile { release: folder, name, size: package.size, sha256: &package.sha256 };
            let got = self.mirrors.download_in(&self.session.progress, &step, &self.cache(), wanted)?;
            places.push(got.path().to_owned());
        }
        step.done("checked");
        Ok(places)
    }

    /// The folder of what was downloaded.
    fn cache(&self) -> PathBuf {
        folder(self.session)
    }
}

/// The part of the cache that packages are in.
pub fn folder(session: &Session) -> PathBuf {
    session.cache.join("debian")
}

/// How many bytes are kept there.
pub fn size(session: &Session) -> u64 {
    let entries = fs::read_dir(folder(session).join("fetch")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

/// Removes what is kept there. Whoever does has claimed the cache alone.
///
/// # Errors
/// When it cannot be removed.
pub fn clean(session: &Session) -> Result<()> {
    files::remove(&folder(session))
}
