//! What images and packages are made of: a release's folder, in which every byte is checked as if it came from
//! strangers, by the very code that installs emulators for users.

mod unpacked;

pub use unpacked::{Member, Unpacked};

use crate::facts::Host;
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::fetch::{self, Folders, NameFilter};
use anyarch_client::files::TempFolder;
use anyarch_client::index;
use anyarch_client::mirrors;
use anyarch_client::signature;
use anyarch_client::transfer::Mirrors;
use anyarch_client::tries::RetryPolicy;
use anyarch_client::{hash, mirror};
use anyarch_manifest::layout::PROGRAM;
use anyarch_manifest::{FileName, Manifest, SUMS};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// A release whose manifest its sums vouch for. Only [`open`] makes one.
#[derive(Debug)]
pub struct Released {
    folder: PathBuf,
    mirrors: Mirrors,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// A document about a release, with what OCI calls its kind.
#[derive(Debug)]
pub struct About {
    /// The file's name.
    pub name: String,
    /// Its media type, which tells SBOM from provenance.
    pub media_type: &'static str,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Ends of the names of documents that are attached to images.
const ATTACHED: [(&str, &str); 2] =
    [(".cdx.json", "application/vnd.cyclonedx+json"), (".intoto.json", "application/vnd.in-toto+json")];

/// The most bytes of such a document.
const MAX_ABOUT: u64 = 16 << 20;

/// Reads the manifest of the release in a folder, as `cargo xtask release` makes it.
///
/// # Errors
/// When it is no such folder, or its sums, or the signature if a key is given, do not vouch for it.
pub fn open(session: &Session, folder: &Path, key: Option<&Path>) -> Result<Released> {
    let folder = fs::canonicalize(folder)
        .map_err(|error| Usage(format!("there is no release in {}: {error}", folder.display())))?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let release = FileName::try_from(name)
        .map_err(|error| Usage(format!("{error}: a release's folder is named as the release")))?;
    let base = folder.parent().unwrap_or(Path::new("/")).display().to_string();
    let keys = key.map(signature::signers).transpose()?.unwrap_or_default();
    let mirrors: Vec<mirror::Mirror> = mirrors::named(&session.progress, &[base])?;
    let mirrors = Mirrors::new(mirrors, RetryPolicy::default())?;
    let index = index::read(&session.progress, &mirrors, &release, &keys)?;
    Ok(Released { folder, mirrors, manifest: index.manifest })
}

impl Released {
    /// The hosts that it has emulators for, in the manifest's order.
    pub fn hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = Vec::new();
        for one in &self.manifest.artifacts {
            if !hosts.contains(&one.host.as_str()) {
                hosts.push(&one.host);
            }
        }
        hosts
    }

    /// The hosts that it has emulators for, of those that are asked for by any name; `all` is every one. What each is
    /// is read from `toolchains`.
    ///
    /// # Errors
    /// [`Usage`] for a host that is not known, or that the release has nothing for.
    pub fn hosts_named(&self, names: &[String], toolchains: &Path) -> Result<Vec<Host>> {
        let (there, known) = (self.hosts(), Host::all(toolchains)?);
        if names.iter().any(|name| name == "all") {
            return there.iter().map(|name| Ok(Host::named(name, &known)?.clone())).collect();
        }
        let mut chosen: Vec<Host> = Vec::new();
        for name in names {
            let host = Host::named(name, &known)?;
            if !there.contains(&host.platform.as_str()) {
                let (host, there) = (&host.platform, there.join(" "));
                bail!(Usage(format!("the release has nothing for {host}; it has: {there}")));
            }
            if chosen.iter().all(|one| one.platform != host.platform) {
                chosen.push(host.clone());
            }
        }
        Ok(chosen)
    }

    /// Unpacks the emulators of a host, and the users' program if there is one, into a folder of their own below
    /// `within`.
    ///
    /// # Errors
    /// When an archive is not what the manifest says, or holds what it must not.
    pub fn unpack(&self, session: &Session, host: &str, within: &Path) -> Result<Unpacked> {
        let room = TempFolder::new(within)?;
        let cache = TempFolder::new(room.path())?;
        let prefix = room.path().join("prefix");
        let hosts = NameFilter::Only(vec![host.to_owned()]);
        let mut chosen = fetch::select(&self.manifest, &NameFilter::All, &hosts)?;
        let targets = chosen.iter().map(|one| one.target.clone()).collect();
        let has_program = self.manifest.program(host).is_some();
        if has_program {
            let program = NameFilter::Only(vec![PROGRAM.to_owned()]);
            chosen.extend(fetch::select(&self.manifest, &program, &hosts)?);
        }
        for one in &chosen {
            let folders = Folders { cache: cache.path(), prefix: &prefix };
            fetch::fetch_emulator(&session.progress, &self.mirrors, &self.manifest, one, folders)?;
        }
        drop(cache);
        Ok(Unpacked { targets, has_program, prefix, _room: room })
    }

    /// The SBOM and the provenance, as far as the release has them.
    ///
    /// # Errors
    /// When one is not what the release's sums say.
    pub fn about(&self) -> Result<Vec<About>> {
        let sums = fs::read_to_string(self.folder.join(SUMS)).context("cannot read the release's sums")?;
        let mut found = Vec::new();
        for (sum, name) in sums.lines().filter_map(|line| line.split_once("  ")) {
            let kind = ATTACHED.iter().find(|(end, _)| name.ends_with(end));
            let (Some((_, media_type)), Ok(name)) = (kind, FileName::try_from(name.to_owned())) else {
                continue;
            };
            let path = self.folder.join(name.as_str());
            let size = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
            ensure!(size <= MAX_ABOUT, "refused: {} has {size} bytes", path.display());
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            ensure!(hash::sha256(&bytes) == sum, "{} is not what {SUMS} says", path.display());
            found.push(About { name: name.to_string(), media_type, bytes });
        }
        Ok(found)
    }
}
