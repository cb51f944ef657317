//! Images in files: an OCI layout in a folder, and archives of `docker save`, `podman save` or `skopeo copy`, packed
//! or not. Files in an archive are found by their names; nothing is unpacked for it.

use crate::decompress;
use crate::digest::Digest;
use crate::document::{Config, Descriptor, Document, MAX_BYTES, Manifest, json};
use crate::limits::Limits;
use crate::member::{self, Member};
use crate::reference::Reference;
use anyarch_client::answer::printable;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::fs::{Mode, OFlags, openat};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use tar::EntryType;

/// The file that says that a folder is an OCI layout.
const MARK: &str = "oci-layout";
/// The file that lists the images of a layout.
const INDEX: &str = "index.json";
/// The file that lists the images of an archive of `docker save`.
const DOCKER: &str = "manifest.json";

/// The most members of an archive of images.
const MAX_MEMBERS: usize = 100_000;

/// Annotations of a layout's index that have the name of an image.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// Images in a folder or an archive.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    files: Files,
}

#[derive(Debug)]
enum Files {
    Folder(File),
    Archive { file: File, members: BTreeMap<String, Place> },
}

/// Where a member of an archive lies.
#[derive(Debug, Clone)]
enum Place {
    Bytes {
        at: u64,
        size: u64,
    },
    /// Another member, as docker wrote layers that several images have.
    Link(String),
}

/// What is at a path, as far as images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An OCI layout, or an archive of images.
    Images,
    /// Something else: perhaps a root folder, or an archive of one.
    Other,
}

/// An image as `docker save` lists it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// An image that was found in a layout.
#[derive(Debug)]
pub enum Found {
    /// What its index lists, under this name or all.
    Listed(Vec<Descriptor>),
    /// An image of `docker save`, which has no manifest: one is made.
    Saved {
        /// The manifest that is made.
        manifest: Manifest,
        /// Where its blobs lie, by their digests.
        files: BTreeMap<Digest, String>,
    },
}

/// Says what lies at a path, without a look at more than its first members.
///
/// # Errors
/// When there is nothing, or it cannot be read.
pub fn kind(path: &Path, limits: &Limits) -> Result<Kind> {
    let meta = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if meta.is_dir() {
        let is_layout = path.join(MARK).is_file() && path.join(INDEX).is_file();
        return Ok(if is_layout { Kind::Images } else { Kind::Other });
    }
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    let stream = decompress::open(file, limits, meta.len()).with_context(cannot)?;
    let mut found = Kind::Other;
    // Layers may come before the lists. A root has none of these names at its top.
    let looked = member::each(stream, |member| {
        let name = member.shown();
        let name = name.trim_start_matches("./");
        if [MARK, INDEX, DOCKER].contains(&name) {
            found = Kind::Images;
            return Ok(false);
        }
        let top = name.split('/').next().unwrap_or_default();
        Ok(["", "blobs", "repositories"].contains(&top) || top.len() >= 64)
    });
    looked.with_context(cannot)?;
    Ok(found)
}

impl Layout {
    /// Opens a layout or an archive. One that is packed is unpacked into `scratch` for as long as this value lives.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub fn open(path: &Path, scratch: &Path, limits: &Limits) -> Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(cannot)?;
        let meta = file.metadata().with_context(cannot)?;
        let files = if meta.is_dir() {
            Files::Folder(file)
        } else {
            archive(file, scratch, limits).with_context(cannot)?
        };
        let layout = Self { path: path.to_owned(), files };
        let is_layout = layout.has(INDEX) || layout.has(DOCKER);
        ensure!(
            is_layout,
            "{} is neither an OCI layout nor an archive of images: it has no {INDEX}",
            path.display()
        );
        Ok(layout)
    }

    /// Finds the image with this name, or the only one.
    ///
    /// # Errors
    /// When there is none, or there are several and no name is given; the message lists them.
    pub fn find(&self, name: Option<&str>) -> Result<Found> {
        let found = if self.has(INDEX) { self.listed(name) } else { self.saved(name) };
        found.with_context(|| format!("no image was found in {}", self.path.display()))
    }

    fn listed(&self, name: Option<&str>) -> Result<Found> {
        let Document::Index(all) = Document::read(&self.small(INDEX)?).context(INDEX)? else {
            bail!("{INDEX} is no index");
        };
        let names = |one: &Descriptor| {
            NAMES.iter().filter_map(|key| one.annotations.get(*key).cloned()).collect::<Vec<_>>()
        };
        let Some(name) = name else {
            let mut named: Vec<String> = all.iter().filter_map(|one| names(one).into_iter().next()).collect();
            named.sort();
            named.dedup();
            ensure!(named.len() <= 1, "there are several: name one of {}", printable(&named.join(", ")));
            return Ok(Found::Listed(all));
        };
        let fits = |one: &Descriptor| names(one).iter().any(|known| is_named(known, name));
        let known: Vec<String> = all.iter().flat_map(names).collect();
        let found: Vec<Descriptor> = all.into_iter().filter(fits).collect();
        ensure!(!found.is_empty(), "none is called {name}; there is {}", list(&known));
        Ok(Found::Listed(found))
    }

    fn saved(&self, name: Option<&str>) -> Result<Found> {
        let all: Vec<Saved> = json(&self.small(DOCKER)?).context(DOCKER)?;
        let tags = |one: &Saved| one.repo_tags.clone().unwrap_or_default();
        let known: Vec<String> = all.iter().flat_map(&tags).collect();
        let mut found =
            all.iter().filter(|one| name.is_none_or(|name| tags(one).iter().any(|tag| is_named(tag, name))));
        let (Some(one), None) = (found.next(), found.next()) else {
            bail!("name one of these: {}", list(&known));
        };
        let bytes = self.small(&one.config)?;
        let config = Config::read(&bytes).with_context(|| printable(&one.config))?;
        let diffs = config.diff_ids();
        ensure!(
            diffs.len() == one.layers.len(),
            "its config has {} layers, and the list {}",
            diffs.len(),
            one.layers.len()
        );
        let digest = Digest::of(&bytes);
        let mut files = BTreeMap::from([(digest.clone(), one.config.clone())]);
        let blob = |digest: &Digest, size, kind: &str| Descriptor {
            media_type: kind.to_owned(),
            digest: digest.clone(),
            size,
            platform: None,
            annotations: BTreeMap::new(),
        };
        let mut layers = Vec::new();
        for (digest, path) in diffs.iter().zip(&one.layers) {
            let (_, size) = self.reader(path)?;
            layers.push(blob(digest, size, "application/vnd.oci.image.layer.v1.tar"));
            files.insert(digest.clone(), path.clone());
        }
        let config = blob(&digest, bytes.len() as u64, "application/vnd.oci.image.config.v1+json");
        Ok(Found::Saved { manifest: Manifest { schema_version: 2, config, layers }, files })
    }

    /// Reads the document that a digest names, and checks it. `files` has those with names of their own.
    ///
    /// # Errors
    /// When it is missing, too big, or other than its digest says.
    pub fn document(&self, digest: &Digest, files: &BTreeMap<Digest, String>) -> Result<Vec<u8>> {
        let bytes = self.small(&files.get(digest).cloned().unwrap_or_else(|| blob_path(digest)))?;
        let found = Digest::of(&bytes);
        ensure!(
            found == *digest,
            "wrong content in {}: the digest of {digest} is {found}",
            self.path.display()
        );
        Ok(bytes)
    }

    /// Opens a blob of an image. Nothing is checked yet.
    ///
    /// # Errors
    /// When it is not there.
    pub fn blob(&self, digest: &Digest, files: &BTreeMap<Digest, String>) -> Result<Box<dyn Read + '_>> {
        let path = files.get(digest).cloned().unwrap_or_else(|| blob_path(digest));
        Ok(self.reader(&path)?.0)
    }

    fn has(&self, name: &str) -> bool {
        self.reader(name).is_ok()
    }

    fn small(&self, name: &str) -> Result<Vec<u8>> {
        let (reader, size) = self.reader(name)?;
        let shown = printable(name);
        ensure!(size <= MAX_BYTES, "{shown} has {size} bytes, and the limit is {MAX_BYTES}");
        let mut bytes = Vec::new();
        reader.take(MAX_BYTES).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
        Ok(bytes)
    }

    /// A file of the layout with its size. Names are those of documents: none leads out of the layout.
    fn reader(&self, name: &str) -> Result<(Box<dyn Read + '_>, u64)> {
        let shown = printable(name);
        let plain = name.split('/').all(|part| !["", ".", ".."].contains(&part));
        ensure!(plain, "refused: the name {shown} leads elsewhere");
        match &self.files {
            Files::Folder(folder) => {
                let file = below(folder, name).with_context(|| format!("it has no {shown}"))?;
                let meta = file.metadata().with_context(|| format!("cannot read {shown}"))?;
                ensure!(meta.is_file(), "{shown} is no file");
                Ok((Box::new(file), meta.len()))
            }
            Files::Archive { file, members } => {
                let mut place = members.get(name);
                // One link, as docker wrote them: they do not lead to further ones.
                if let Some(Place::Link(to)) = place {
                    place = members.get(to);
                }
                let Some(Place::Bytes { at, size }) = place else { bail!("it has no {shown}") };
                Ok((Box::new(Part { file, at: *at, left: *size }), *size))
            }
        }
    }
}

/// A file below a folder, with no link on the way.
fn below(folder: &File, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut here = folder.try_clone()?;
    for part in name.split('/') {
        here = openat(&here, part, flags, Mode::empty())?.into();
    }
    Ok(here)
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Whether an image that goes by `known` is meant by `name`: by all of it, or its last part, as `latest`.
fn is_named(known: &str, name: &str) -> bool {
    let whole = |text: &str| text.parse::<Reference>().ok().map(|one| one.to_string());
    known == name || whole(known).is_some_and(|known| Some(known) == whole(name))
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none with a name".to_owned() } else { printable(&names.join(", ")) }
}

/// Finds the members of an archive. A packed one is unpacked first: blobs are read in another order than they lie in.
fn archive(mut file: File, scratch: &Path, limits: &Limits) -> Result<Files> {
    if decompress::is_packed(&mut file)? {
        let size = file.metadata()?.len();
        let mut plain = tempfile::tempfile_in(scratch).context("cannot unpack it into the cache")?;
        io::copy(&mut decompress::open(file, limits, size)?, &mut plain).context("cannot unpack it")?;
        file = plain;
    }
    file.seek(SeekFrom::Start(0))?;
    let mut found = BTreeMap::new();
    member::each(&file, |member| {
        ensure!(found.len() < MAX_MEMBERS, "refused: it has more than {MAX_MEMBERS} members");
        if let Some((name, place)) = place(member)? {
            let shown = printable(&name);
            ensure!(found.insert(name, place).is_none(), "refused: it has {shown} twice");
        }
        Ok(true)
    })?;
    ensure!(!found.is_empty(), "it is empty, or no tar archive");
    Ok(Files::Archive { file, members: found })
}

/// The name and the place of a file or link; nothing for the others.
fn place(member: &Member<'_, impl Read>) -> Result<Option<(String, Place)>> {
    let Ok(name) = std::str::from_utf8(&member.name) else { return Ok(None) };
    let name = name.strip_prefix("./").unwrap_or(name).to_owned();
    match member.kind {
        EntryType::Regular => Ok(Some((name, Place::Bytes { at: member.position(), size: member.size }))),
        EntryType::Symlink | EntryType::Link => {
            let link = std::str::from_utf8(&member.link)
                .map_err(|_| anyhow!("the link {} has a bad target", printable(&name)))?;
            let above = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let to = if member.kind == EntryType::Link { link.to_owned() } else { climb(above, link) };
            Ok(Some((name, Place::Link(to))))
        }
        _ => Ok(None),
    }
}

/// `../id/layer.tar` as seen from the folder `from`. It is only a name among the members, so it leads nowhere else.
fn climb(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// A part of a file, read without moving the file's position: several are read in turn.
struct Part<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_between_members_is_a_name_and_never_a_way_out() {
        for (from, link, expected) in [
            ("a", "../b/layer.tar", "b/layer.tar"),
            ("a/b", "c", "a/b/c"),
            ("a", "../../../etc/passwd", "etc/passwd"),
            ("", "/etc/passwd", "etc/passwd"),
        ] {
            assert_eq!(climb(from, link), expected);
        }
    }

    #[test]
    fn an_image_is_found_by_its_whole_name_and_by_what_docker_makes_of_it() {
        for (known, name, expected) in [
            ("latest", "latest", true),
            ("debian:bookworm", "docker.io/library/debian:bookworm", true),
            ("docker.io/library/debian:latest", "debian", true),
            ("debian:bookworm", "debian", false),
            ("1.0", "2.0", false),
        ] {
            assert_eq!(is_named(known, name), expected, "{known} {name}");
        }
    }
}
