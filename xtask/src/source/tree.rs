//! Source from a plain folder: checked by the id that git gives its content.

use crate::facts::Series;
use crate::git::{git, init};
use crate::process::{self, capture};
use crate::session::Session;
use anyarch_client::files::TempFolder;
use anyarch_client::lock::Lock;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

/// Takes the content of `folder` into a repository of the cache and gives that repository and the
/// tree's id, if the series pins this id.
pub fn checked(session: &Session, series: &Series, folder: &Path) -> Result<(PathBuf, String)> {
    let debian = series.pins.debian.as_ref().and_then(|debian| debian.tree.as_ref());
    let pinned = [series.pins.tarball.tree.as_deref(), debian.map(String::as_str)];
    let home = session.workspace.cache.join("git");
    let scratch = TempFolder::new(&home)?;
    let step = session.progress.step(format!("read {}", folder.display()));
    let made = scratch.path().join("tree");
    let id = tree_id(&made, folder)?;
    if !pinned.contains(&Some(id.as_str())) {
        let known: Vec<&str> = pinned.iter().flatten().copied().collect();
        bail!(
            "its content is not the pinned one, so it is not used\n  \
             its git tree is {id}\n  pinned: {}\n\
             pass a git checkout at {} or a tarball instead: these have pins of their own",
            known.join(" "),
            series.pins.tag
        );
    }
    // By its id, it is the same whoever makes it.
    let repository = home.join(format!("tree-{id}"));
    let _lock = Lock::acquire(&repository, &session.progress)?;
    if !repository.is_dir() {
        std::fs::rename(&made, &repository)
            .with_context(|| format!("cannot put {} in place", repository.display()))?;
    }
    step.done("the pinned tree");
    Ok((repository, id))
}

/// The id that git gives a folder's content.
pub fn content_id(session: &Session, folder: &Path) -> Result<String> {
    let scratch = TempFolder::new(&session.workspace.trees)?;
    tree_id(&scratch.path().join("tree"), folder)
}

/// The id of the git tree with the folder's content, which `repository` (made here) then holds.
fn tree_id(repository: &Path, folder: &Path) -> Result<String> {
    let shell = process::shell()?;
    let folder = std::path::absolute(folder)?;
    init(&shell, repository)?;
    let at = |arguments: &[&str]| {
        git(&shell).arg("--git-dir").arg(repository).arg("--work-tree").arg(&folder).args(arguments)
    };
    let add = at(&["add", "--all", "--force", "."]);
    let _inside = shell.push_dir(&folder);
    capture(add)?;
    Ok(capture(at(&["write-tree"]))?.trim().to_owned())
}
