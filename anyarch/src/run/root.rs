//! What a root is run from: a folder, an archive that is unpacked in memory, or an image of the cache. The one place that
//! knows; what is run there by default comes with it.

use crate::run::tarball::{self, Packing};
use crate::run::target;
use crate::text::Text;
use anyarch_client::error::Usage;
use anyarch_image::{About, Platform};
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result, bail};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Where the files of a root come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A folder, which is used as it is.
    Folder(Text),
    /// An archive, whose files are gone afterwards.
    Archive {
        /// The file.
        path: Text,
        /// How it is packed.
        packing: Packing,
    },
    /// An image of the cache, which is unpacked there and stays as it is.
    Image {
        /// The cache.
        cache: Text,
        /// The image's manifest in the cache.
        manifest: Text,
        /// Which image.
        about: About,
    },
}

impl Source {
    /// The folder or file. It is there as long as the root can be run.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Archive { path, .. } | Self::Image { manifest: path, .. } => {
                path.path()
            }
        }
    }
}

/// What is run in a root if nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// What stands before each command.
    pub entrypoint: Vec<Text>,
    /// The command, if none is given.
    pub command: Vec<Text>,
    /// Variables.
    pub environment: Vec<(Text, Text)>,
    /// The user.
    pub user: Option<String>,
    /// The folder that it begins in.
    pub workdir: Option<Text>,
}

/// A root that can be run.
#[derive(Debug)]
pub struct Root {
    /// Its files.
    pub source: Source,
    /// What is run there.
    pub defaults: Defaults,
}

impl Root {
    /// The root that a word of the command line names.
    ///
    /// # Errors
    /// [`Usage`] when it names none.
    pub fn named(word: &Path) -> Result<Self> {
        let path = fs::canonicalize(word).map_err(|error| {
            Usage(format!(
                "{}: {error}\n  pass the folder or the tar archive of a root file system, or the name of an image; \
                 `anyarch run --help` has examples",
                word.display()
            ))
        })?;
        let meta = fs::metadata(&path).with_context(|| format!("cannot look at {}", path.display()))?;
        let (source, shell) = if meta.is_dir() {
            let shell = shell(&path)?;
            (Source::Folder(path.into()), shell)
        } else if meta.is_file() {
            let packing = tarball::packing(&path)?;
            (Source::Archive { path: path.into(), packing }, "/bin/sh")
        } else {
            bail!(Usage(format!("{} is neither a folder nor a file", path.display())));
        };
        let defaults = Defaults { command: vec![shell.into()], ..Defaults::default() };
        Ok(Self { source, defaults })
    }

    /// The target that its programs are of.
    ///
    /// # Errors
    /// [`Usage`] when they are of two, or of none that is known.
    pub fn target(&self) -> Result<&'static Target> {
        match &self.source {
            Source::Folder(path) => target::of_root(&target::open(path.path())?, path.path()),
            Source::Archive { path, packing } => tarball::target(path.path(), *packing),
            Source::Image { about, .. } => of_platform(about),
        }
    }
}

/// The target of an image, by what it says that it is made for.
fn of_platform(about: &About) -> Result<&'static Target> {
    let target = about.platform.parse::<Platform>().ok().and_then(|platform| platform.target());
    target.ok_or_else(|| {
        let About { name, platform, .. } = about;
        Usage(format!("{name} is for {platform}, and there is no emulator for that")).into()
    })
}

/// The shell that people would like best.
fn shell(root: &Path) -> Result<&'static str> {
    let folder = target::open(root)?;
    let has = |name| target::within(&folder, name, OFlags::PATH).is_ok();
    Ok(if has("bin/bash") { "/bin/bash" } else { "/bin/sh" })
}
