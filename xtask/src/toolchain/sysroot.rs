//! Folders of Debian packages that are unpacked and never installed: sysroots and build tools.

use crate::apt::{self, Apt, AptFile};
use crate::facts::hosts::Sysroot;
use crate::session::Session;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::lock::Lock;
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the list of what was unpacked stands.
const LIST: &str = "packages.json";

/// A package that was unpacked.
pub type Package = AptFile;

/// A folder of unpacked Debian packages, with the list of these packages.
#[derive(Debug, Clone)]
pub struct PackageRoot {
    path: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Serialize, Deserialize)]
struct List {
    packages: Vec<Package>,
}

impl PackageRoot {
    /// A host's libraries.
    pub fn sysroot(session: &Session, wanted: &Sysroot) -> Result<Self> {
        Self::prepare(session, "sysroots", &wanted.suite, &wanted.arch, &wanted.packages)
    }

    /// The folder `<cache>/<kind>/<suite>-<arch>-<key>` with these packages: as it is, else made. It
    /// keeps its packages until it is refreshed, so that a build does not change overnight.
    pub fn prepare(
        session: &Session,
        kind: &str,
        suite: &str,
        arch: &str,
        packages: &[String],
    ) -> Result<Self> {
        let top = Self::place(session, kind, suite, arch, packages)?;
        let _lock = Lock::acquire(&top, &session.progress)?;
        if let Some(root) = Self::read(&top) {
            return Ok(root);
        }
        if session.offline {
            bail!(
                "the {kind} folder for Debian {suite} {arch} is not in the cache, and --offline is set\n\
                 run `cargo xtask toolchain` once with a network"
            );
        }
        let apt = Apt::open(session, suite, arch)?;
        let got = apt.download(packages)?;
        files::publish_dir(&top, |partial| {
            let root = partial.join("root");
            fs::create_dir(&root).with_context(|| format!("cannot create {}", root.display()))?;
            for (item, deb) in &got {
                apt::unpack(deb, &root).with_context(|| format!("cannot unpack {}", item.file))?;
            }
            let packages = got.iter().map(|(item, _)| item.clone()).collect();
            files::write_json(&partial.join(LIST), &List { packages })
        })?;
        Self::read(&top).with_context(|| format!("{} cannot be read back", top.display()))
    }

    fn place(session: &Session, kind: &str, suite: &str, arch: &str, packages: &[String]) -> Result<PathBuf> {
        let key = hash::short_key(&(suite, arch, packages))?;
        Ok(session.workspace.cache.join(kind).join(format!("{suite}-{arch}-{key}")))
    }

    fn read(top: &Path) -> Option<Self> {
        let list: List = files::read_json(&top.join(LIST))?;
        Some(Self { path: top.join("root"), packages: list.packages })
    }

    /// The folder that the packages were unpacked to, as `/`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The packages in it.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }
}
