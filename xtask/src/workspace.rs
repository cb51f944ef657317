//! Where things are: the checkout with its data, the caches, the build trees, the releases.

use anyarch_client::error::Usage;
use anyhow::{Context as _, Result};
use std::env;
use std::path::{Path, PathBuf};

/// The folders that a run uses. All paths are absolute. Nothing is created here.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The checkout: `patches/`, `toolchains/`, `guests/` are read from here.
    pub root: PathBuf,
    /// Downloads, sysroots and the like, shared by all checkouts of this user.
    pub cache: PathBuf,
    /// Source and build trees of this checkout.
    pub trees: PathBuf,
    /// Releases: `<out>/<release>/*.tar.xz`.
    pub out: PathBuf,
}

impl Workspace {
    /// Finds the folders: what the command line says, else the environment, else the defaults.
    pub fn locate(root: Option<&Path>, trees: Option<&Path>, out: Option<&Path>) -> Result<Self> {
        let root = match root {
            Some(root) => root.to_owned(),
            None => checkout()?,
        };
        let root = root
            .canonicalize()
            .map_err(|error| Usage(format!("no checkout at {}: {error}", root.display())))?;
        if !root.join("patches").is_dir() {
            return Err(Usage(format!(
                "{} is not an anyarch checkout: it has no patches/ folder",
                root.display()
            ))
            .into());
        }
        let trees = match trees {
            Some(trees) => absolute(trees)?,
            None => target_dir(&root)?.join("anyarch"),
        };
        let out = match out {
            Some(out) => absolute(out)?,
            None => root.join("dist"),
        };
        Ok(Self { cache: cache_dir()?, root, trees, out })
    }

    /// Checked downloads, named by their sha256.
    pub fn downloads(&self) -> PathBuf {
        self.cache.join("downloads")
    }

    /// The log file of a step.
    pub fn log(&self, step: &str) -> PathBuf {
        self.trees.join("logs").join(format!("{step}.log"))
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("bad path {}", path.display()))
}

/// `cargo xtask` says where the package is; a binary that was copied elsewhere is run from a checkout.
fn checkout() -> Result<PathBuf> {
    if let Some(package) = env::var_os("CARGO_MANIFEST_DIR") {
        return Ok(PathBuf::from(package).join(".."));
    }
    let here = env::current_dir().context("the current folder is gone")?;
    here.ancestors()
        .find(|folder| folder.join("patches").is_dir() && folder.join("toolchains").is_dir())
        .map(Path::to_owned)
        .ok_or_else(|| Usage("run this inside an anyarch checkout, or pass `--root FOLDER`".into()).into())
}

/// Where cargo puts what it compiles.
pub fn target_dir(root: &Path) -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR").filter(|v| !v.is_empty()) {
        Some(folder) => absolute(Path::new(&folder)),
        None => Ok(root.join("target")),
    }
}

/// `$ANYARCH_CACHE`, else `$XDG_CACHE_HOME/anyarch`, else `~/.cache/anyarch`.
fn cache_dir() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set("ANYARCH_CACHE") {
        return absolute(Path::new(&folder));
    }
    if let Some(folder) = set("XDG_CACHE_HOME") {
        return absolute(&Path::new(&folder).join("anyarch"));
    }
    match env::home_dir() {
        Some(home) => absolute(&home.join(".cache/anyarch")),
        None => Err(Usage("no home folder: set ANYARCH_CACHE to a folder for downloads".into()).into()),
    }
}
