//! Stage 2: the series' patches on pinned source, and their upkeep. A tree with a part of the patches is of
//! another type than one with all of them, so that nothing built from it is packed.

mod apply;
mod carry;
mod check;
mod commit_groups;
mod message;
mod open;
mod partial;
mod refresh;

pub use carry::{Carried, Outcome, carry};
pub use check::{PatchCheck, Report, TopicCheck, check};
pub use open::open;
pub use partial::{PartialTree, PatchTrial, each};
pub use refresh::refresh;

use apply::apply_one;

use crate::facts::Series;
use crate::facts::series::Patch;
use crate::session::Session;
use crate::source::PinnedSource;
use crate::workspace::Workspace;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::lock::Lock;
use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Counted up when a tree is made in another way from the same ingredients.
const RECIPE: u32 = 1;
/// What a patched tree says of itself.
const NOTE: &str = ".anyarch.json";

/// Pinned source, unpacked and ready for a build. By itself it doesn't say whether our patches are in it.
#[derive(Debug, Clone)]
pub struct SourceTree {
    path: PathBuf,
    note: Note,
}

/// Pinned source with all patches of its series applied. Only this module makes one.
#[derive(Debug, Clone)]
pub struct PatchedTree(SourceTree);

/// The same source without our patches: what the patched one is compared with. Only this module makes
/// one, and nothing that is built from it can be packed.
#[derive(Debug, Clone)]
pub struct UpstreamTree(SourceTree);

impl Deref for PatchedTree {
    type Target = SourceTree;
    fn deref(&self) -> &SourceTree {
        &self.0
    }
}

impl Deref for UpstreamTree {
    type Target = SourceTree;
    fn deref(&self) -> &SourceTree {
        &self.0
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
struct Note {
    /// Where the source came from.
    origin: String,
    /// Names, sizes and times of its files when it was made.
    fingerprint: String,
}

impl SourceTree {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the source came from and what it was checked by, for people.
    pub fn origin(&self) -> &str {
        &self.note.origin
    }

    /// Fails if a file was changed, added or removed since the tree was made: what is compiled must be what is pinned.
    pub fn ensure_unchanged(&self) -> Result<()> {
        if fingerprint(&self.path)? == self.note.fingerprint {
            return Ok(());
        }
        bail!(
            "{} was edited, so it is no longer the pinned source\n\
             to restore it: cargo xtask clean trees\n\
             to work on QEMU: cargo xtask patch open FOLDER, then cargo xtask patch refresh FOLDER",
            self.path.display()
        )
    }
}

/// Stands for the names, sizes and times of all files below a folder, but for what builds leave there.
fn fingerprint(tree: &Path) -> Result<String> {
    let mut files = Vec::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        let listed = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in listed {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let meta = entry.metadata().with_context(|| format!("cannot read {}", entry.path().display()))?;
            let path = entry.path();
            let name = path.strip_prefix(tree).unwrap_or(&path).to_owned();
            if meta.is_dir() {
                folders.push(path);
            } else if !LEFT_BY_BUILDS.iter().any(|left| name == Path::new(left)) {
                files.push((
                    name.into_os_string().into_encoded_bytes(),
                    meta.len(),
                    meta.mtime(),
                    meta.mtime_nsec(),
                ));
            }
        }
    }
    files.sort();
    hash::short_key(&files)
}

/// The note itself, and what meson makes.
const LEFT_BY_BUILDS: [&str; 2] = [NOTE, "subprojects/.wraplock"];

/// What a tree is made of, whichever provider it came from.
#[derive(Debug, Serialize)]
struct Ingredients<'a> {
    recipe: u32,
    tag: &'a str,
    /// The commit, and the hashes of both tarballs: another pin, another tree.
    pins: [Option<&'a str>; 3],
    tree: &'a crate::facts::series::Tree,
    patches: Vec<&'a str>,
}

/// The key of the series' patched tree.
pub fn key(series: &Series) -> Result<String> {
    key_with(series, &series.patches)
}

/// The key of the series' tree without patches.
pub fn upstream_key(series: &Series) -> Result<String> {
    key_with(series, &[])
}

fn key_with(series: &Series, patches: &[Patch]) -> Result<String> {
    let pins = &series.pins;
    let debian = pins.debian.as_ref().map(|debian| debian.sha256.as_str());
    hash::short_key(&Ingredients {
        recipe: RECIPE,
        tag: &series.pins.tag,
        pins: [pins.git.commit.as_deref(), pins.tarball.sha256.as_deref(), debian],
        tree: &series.pins.tree,
        patches: patches.iter().map(|patch| patch.sha256.as_str()).collect(),
    })
}

/// The name of every source tree, in a folder named by its key that also holds its build trees: compilers
/// see the same path whatever the key, so their caches hold beyond a change of a patch.
const SOURCE: &str = "source";

/// Path of the series' patched tree, whether it exists or not.
pub fn tree_path(session: &Session, series: &Series) -> Result<PathBuf> {
    tree_path_in(&session.workspace, series)
}

/// Path of the series' patched tree in any workspace.
pub fn tree_path_in(workspace: &Workspace, series: &Series) -> Result<PathBuf> {
    Ok(workspace.trees.join(&series.pins.series).join(key(series)?).join(SOURCE))
}

/// The patched tree, if it has been made.
pub fn ready(session: &Session, series: &Series) -> Result<Option<PatchedTree>> {
    Ok(found(&tree_path(session, series)?))
}

/// The patched tree in this very folder, if it is one.
pub(crate) fn found(path: &Path) -> Option<PatchedTree> {
    made(path).map(PatchedTree)
}

fn made(path: &Path) -> Option<SourceTree> {
    files::read_json(&path.join(NOTE)).map(|note| SourceTree { path: path.to_owned(), note })
}

/// The patched tree of a series: the one that is there, else made from `source`.
pub fn apply(
    session: &Session,
    series: &Series,
    source: impl FnOnce() -> Result<PinnedSource>,
) -> Result<PatchedTree> {
    make(session, series, &tree_path(session, series)?, &series.patches, source).map(PatchedTree)
}

/// The tree of a series without our patches: the one that is there, else made from `source`.
pub fn upstream(
    session: &Session,
    series: &Series,
    source: impl FnOnce() -> Result<PinnedSource>,
) -> Result<UpstreamTree> {
    let home = session.workspace.trees.join(&series.pins.series);
    let path = home.join(format!("upstream-{}", upstream_key(series)?)).join(SOURCE);
    make(session, series, &path, &[], source).map(UpstreamTree)
}

fn make(
    session: &Session,
    series: &Series,
    path: &Path,
    patches: &[Patch],
    source: impl FnOnce() -> Result<PinnedSource>,
) -> Result<SourceTree> {
    let _lock = Lock::acquire(path, &session.progress)?;
    if let Some(tree) = made(path) {
        return Ok(tree);
    }
    let source = source()?;
    let what = if patches.is_empty() { "unpack unpatched" } else { "unpack and patch" };
    let step = session.progress.step(format!("{what} QEMU {}", series.pins.version));
    let mut note = Note { origin: source.origin().to_owned(), fingerprint: String::new() };
    files::publish_dir(path, |tree| {
        source.unpack(series, tree)?;
        complete(series, tree)?;
        for patch in patches {
            apply_one(patch, tree)?;
        }
        note.fingerprint = fingerprint(tree)?;
        files::write_json(&tree.join(NOTE), &note)
    })?;
    let with = if patches.is_empty() { String::new() } else { format!("{} patches, ", patches.len()) };
    step.done(&format!("{with}source from {}", note.origin));
    Ok(SourceTree { path: path.to_owned(), note })
}

/// Makes the files that repacked sources lack and that no emulator is made from.
fn complete(series: &Series, tree: &Path) -> Result<()> {
    let version = fs::read_to_string(tree.join("VERSION")).context("the source has no VERSION file")?;
    ensure!(
        version.trim() == series.pins.version,
        "the source says that it is QEMU {}, not {}",
        version.trim(),
        series.pins.version
    );
    for file in &series.pins.tree.placeholders {
        let file = tree.join(file);
        if !file.exists() {
            files::write_file(&file, b"")?;
        }
    }
    Ok(())
}
