//! `clean`: removes build trees, releases, toolchains or downloads.

use super::show;
use crate::session::Session;
use anyarch_client::claim;
use anyarch_client::error::Usage;
use anyarch_client::files;
use anyarch_client::progress::human_bytes;
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Remove build trees, releases, toolchains or downloads
#[derive(Debug, Args)]
pub struct Clean {
    /// What to remove
    #[arg(value_enum, required = true)]
    pub kinds: Vec<Kind>,
    /// Print what would be removed and how big it is; remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// Source and build trees of this checkout
    Trees,
    /// Releases in dist/
    Releases,
    /// Sysroots, build tools and guests in the cache
    Toolchains,
    /// Downloads in the cache
    Downloads,
    /// All of these
    All,
}

#[derive(Debug, Serialize)]
struct Removed {
    path: PathBuf,
    bytes: u64,
}

/// Removes what was asked for, or tells what would go.
pub fn run(session: &Session, arguments: &Clean) -> Result<()> {
    let mut removed = Vec::new();
    let workspace = &session.workspace;
    for folder in [&workspace.cache, &workspace.trees] {
        if folder.is_dir() && !claim::is_ours(folder) {
            return Err(Usage(format!(
                "{} was not created by anyarch: nothing in it is removed",
                folder.display()
            ))
            .into());
        }
    }
    let mut alone = Vec::new();
    // Who works in a folder meets no gap in it. Releases are made out of the build trees.
    let cleans = |kinds: &[Kind]| kinds.iter().any(|kind| arguments.kinds.contains(kind));
    let of_cache = cleans(&[Kind::Toolchains, Kind::Downloads, Kind::All]);
    let of_trees = cleans(&[Kind::Trees, Kind::Releases, Kind::All]);
    for (folder, is_meant) in [(&workspace.cache, of_cache), (&workspace.trees, of_trees)] {
        if is_meant && folder.is_dir() && !arguments.dry_run {
            alone.push(claim::alone(folder).context("nothing was removed")?);
        }
    }
    for path in places(session, &arguments.kinds)? {
        if fs::symlink_metadata(&path).is_ok() {
            removed.push(Removed { bytes: size(&path)?, path: path.clone() });
            if !arguments.dry_run {
                files::remove(&path)?;
            }
        }
    }
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    show(session, &removed, || {
        let line = |one: &Removed| format!("{verb} {} ({})\n", one.path.display(), human_bytes(one.bytes));
        let total = removed.iter().map(|one| one.bytes).sum();
        removed.iter().map(line).collect::<String>() + &format!("{verb} {} in all\n", human_bytes(total))
    })
}

fn places(session: &Session, kinds: &[Kind]) -> Result<Vec<PathBuf>> {
    let workspace = &session.workspace;
    let has = |kind| kinds.contains(&kind) || kinds.contains(&Kind::All);
    let mut places = Vec::new();
    if has(Kind::Trees) {
        places.push(workspace.trees.clone());
    }
    if has(Kind::Releases) {
        places.extend(releases(&workspace.out)?);
    }
    if has(Kind::Toolchains) {
        let kinds = ["apt", "sysroots", "headers", "tools", "python", "guests"];
        places.extend(kinds.map(|kind| workspace.cache.join(kind)));
    }
    if has(Kind::Downloads) {
        places.extend(["downloads", "git", "fetch"].map(|kind| workspace.cache.join(kind)));
    }
    Ok(places)
}

/// The folders in `dist/` that hold checksums of ours; anything else there is somebody else's.
fn releases(out: &Path) -> Result<Vec<PathBuf>> {
    if !out.is_dir() {
        return Ok(Vec::new());
    }
    let listed = fs::read_dir(out).with_context(|| format!("cannot list {}", out.display()))?;
    let folders = listed.flatten().map(|entry| entry.path());
    Ok(folders.filter(|folder| folder.join(anyarch_manifest::SUMS).is_file()).collect())
}

/// Bytes of all files below a path; links are not followed.
fn size(path: &Path) -> Result<u64> {
    let meta = fs::symlink_metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    let mut total = 0;
    for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
        total += size(&entry.with_context(|| format!("cannot list {}", path.display()))?.path())?;
    }
    Ok(total)
}
