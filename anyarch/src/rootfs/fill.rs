//! The files of a new system, as far as they are there before its own programs run: those of its packages, unpacked as if
//! they were hostile, and what dpkg and apt need to begin with.

use crate::run::handover;
use crate::run::place::{self, Kind};
use crate::run::target;
use crate::text::Text;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_image::{Limits, Owners, Unpacking};
use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Mode, OFlags, symlinkat, unlinkat};
use rustix::process::umask;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where packages lie while dpkg installs them, and apt has its own.
pub const ARCHIVES: &str = "/var/cache/apt/archives";

/// Has scripts of packages start no service: nobody asked for one, and none would live on.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Folders that are links into `/usr` on every architecture.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];

/// What is unpacked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Filling {
    /// The new folder.
    pub root: Text,
    /// dpkg's name of what it is for.
    pub architecture: String,
    /// The packages.
    pub packages: Vec<Packed>,
    /// Files besides them, with their content.
    pub files: Vec<(String, String)>,
}

/// A package in the cache.
#[derive(Debug, Serialize, Deserialize)]
pub struct Packed {
    /// Its file.
    pub place: Text,
    /// The name that its file has in the system.
    pub name: String,
    /// Its SHA-256: the cache may have changed.
    pub sha256: String,
}

/// Other folders that are links into `/usr`, where their libraries are for processors of several widths.
fn links(architecture: &str) -> &'static [&'static str] {
    match architecture {
        "amd64" => &["lib32", "lib64", "libx32"],
        "i386" => &["lib64", "libx32"],
        "loong64" | "mipsel" => &["lib32", "lib64"],
        "mips64el" => &["lib32", "lib64", "libo32"],
        "ppc64el" => &["lib64"],
        "s390x" => &["lib32"],
        _ => &[],
    }
}

/// Fills a new folder. Where this runs, ids are mapped as they will be in the system.
///
/// # Errors
/// When a package is not what it should be, or there is no room for it.
pub fn fill(filling: &Filling) -> Result<()> {
    umask(Mode::from_raw_mode(0o022));
    let root = filling.root.path();
    for name in MERGED.iter().chain(links(&filling.architecture)) {
        let what = || format!("cannot make /{name}");
        fs::create_dir_all(root.join("usr").join(name)).with_context(what)?;
        std::os::unix::fs::symlink(Path::new("usr").join(name), root.join(name)).with_context(what)?;
    }
    let limits = Limits::default();
    let mut unpacking = Unpacking::of_packages(root, Owners::possible(), &limits)?;
    let mut copies = Vec::new();
    for packed in &filling.packages {
        let what = || format!("cannot unpack {}", packed.name);
        let bytes = read(packed).with_context(what)?;
        let stream = super::deb::files(&bytes).with_context(what)?;
        unpacking.layer(stream, bytes.len() as u64).with_context(what)?;
        copies.push((packed, bytes));
    }
    unpacking.finish()?;
    let opened = target::open(root)?;
    for (packed, bytes) in copies {
        write(&opened, &Path::new(ARCHIVES).join(&packed.name), &bytes, 0o644)?;
    }
    for (path, text) in &filling.files {
        write(&opened, Path::new(path), text.as_bytes(), 0o644)?;
    }
    for path in ["/var/lib/dpkg/status", "/var/lib/dpkg/available"] {
        write(&opened, Path::new(path), b"", 0o644)?;
    }
    write(&opened, Path::new(POLICY), b"#!/bin/sh\nexit 101\n", 0o755)?;
    link(&opened, "usr/bin", "awk", "mawk")?;
    link(&opened, "etc", "localtime", "/usr/share/zoneinfo/UTC")
}

/// Takes away what only the making of the system needed.
///
/// # Errors
/// When it cannot be removed.
pub fn settle(root: &Path) -> Result<()> {
    let opened = target::open(root)?;
    let inside = |path: &str| path.trim_start_matches('/').to_owned();
    let folder = target::within(&opened, "usr/sbin", OFlags::PATH | OFlags::DIRECTORY)
        .context("the system has lost /usr/sbin")?;
    match unlinkat(folder, "policy-rc.d", rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot remove {POLICY}")),
    }
    let archives = target::within(&opened, inside(ARCHIVES), OFlags::RDONLY | OFlags::DIRECTORY)
        .with_context(|| format!("the system has lost {ARCHIVES}"))?;
    let entries = fs::read_dir(handover::name(&archives)).context("cannot list the packages")?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|kind| kind == "deb") {
            files::remove(&path)?;
        }
    }
    Ok(())
}

/// A package's bytes, checked.
fn read(packed: &Packed) -> Result<Vec<u8>> {
    let bytes = fs::read(packed.place.path())?;
    ensure!(hash::sha256(&bytes) == packed.sha256, "it has changed in the cache: run the same command again");
    Ok(bytes)
}

/// Writes a file of the system, with links as they lead there.
fn write(root: &OwnedFd, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let what = || format!("cannot write {} of the system", path.display());
    let place = place::open(root, path, Kind::File)?;
    let place: PathBuf = handover::name(&place);
    let mut file = File::options().write(true).truncate(true).open(&place).with_context(what)?;
    file.write_all(bytes).with_context(what)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).with_context(what)
}

/// Makes a link in a folder of the system, unless something has its name.
fn link(root: &OwnedFd, folder: &str, name: &str, to: &str) -> Result<()> {
    let what = || format!("cannot make /{folder}/{name}");
    let opened = place::open(root, Path::new(folder), Kind::Folder)?;
    match symlinkat(to, opened, name) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error).with_context(what),
    }
}

/// Packages that dpkg has, with their states; of a whole system, all are `install ok installed`.
///
/// # Errors
/// When dpkg's list cannot be read.
pub fn states(root: &Path) -> Result<Vec<(String, String)>> {
    let opened = target::open(root)?;
    let list = target::within(&opened, "var/lib/dpkg/status", OFlags::RDONLY | OFlags::NONBLOCK);
    let mut text = String::new();
    File::from(list.context("dpkg has no list")?)
        .read_to_string(&mut text)
        .context("dpkg's list is no text")?;
    let state = |stanza: super::control::Stanza<'_>| {
        Some((stanza.get("Package")?.to_owned(), stanza.get("Status")?.to_owned()))
    };
    Ok(super::control::stanzas(&text).filter_map(state).collect())
}
