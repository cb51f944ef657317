//! Upkeep of the patches: do they apply, and carrying edits of a tree back into the series.

use super::{apply_one, complete, git_outside_repositories};
use crate::exit::Usage;
use crate::facts::Series;
use crate::facts::series::{COMMON, Patch};
use crate::process::{capture, output};
use crate::session::Session;
use crate::source::{PinnedSource, git};
use crate::store::{self, Scratch};
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use xshell::{Cmd, Shell};

/// What [`check`] found of one patch.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The patch's file name.
    pub patch: String,
    /// Hunks that apply, but not at the lines they say.
    pub moved: Vec<String>,
}

/// Applies every patch to a fresh copy of the source. Fuzz is an error, a hunk that moved is told.
pub fn check(session: &Session, series: &Series, source: &PinnedSource) -> Result<Vec<Checked>> {
    let home = Scratch::new(&session.workspace.trees.join(&series.pins.series))?;
    source.unpack(series, home.path())?;
    complete(series, home.path())?;
    let mut checked = Vec::new();
    for patch in &series.patches {
        let mut dry = git_outside_repositories(home.path())?;
        dry.args(["apply", "--check", "--verbose"]).arg(&patch.path);
        let said = String::from_utf8_lossy(&output(&mut dry)?.stderr).into_owned();
        let moved = said.lines().filter(|line| line.contains("succeeded at")).map(str::to_owned).collect();
        apply_one(patch, home.path())?;
        checked.push(Checked { patch: patch.name.clone(), moved });
    }
    Ok(checked)
}

/// The tag at the commit before the patches.
fn base(series: &Series) -> String {
    format!("anyarch-base-{}", series.pins.tag)
}

/// Makes `folder` a git repository with the source as its first commit and every patch as one more.
pub fn open(series: &Series, source: &PinnedSource, folder: &Path) -> Result<()> {
    let empty = !folder.exists() || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if !empty {
        return Err(Usage(format!("{} is not empty: name a new folder", folder.display())).into());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    source.unpack(series, folder)?;
    let shell = Shell::new().context("no current folder")?;
    let at = |arguments: &[&str]| committer(git::git(&shell).arg("-C").arg(folder).args(arguments).into());
    capture(at(&["init", "--quiet", "--initial-branch=anyarch"]))?;
    capture(at(&["add", "--all", "--force", "."]))?;
    capture(at(&["commit", "--quiet", "--message", &format!("QEMU {}, as pinned", series.pins.version)]))?;
    capture(at(&["tag", &base(series)]))?;
    if !series.patches.is_empty() {
        let mut am = at(&["am", "--quiet", "--keep-non-patch", "--whitespace=nowarn"]);
        am.args(series.patches.iter().map(|patch| &patch.path));
        capture(am).with_context(|| {
            format!(
                "go on in {}: mend the conflict, `git am --continue`, then `patch refresh`",
                folder.display()
            )
        })?;
    }
    Ok(())
}

/// Gives the repository somebody to commit as, should the user have set nothing up.
fn committer(mut command: Command) -> Command {
    for (name, value) in [
        ("GIT_AUTHOR_NAME", "anyarch"),
        ("GIT_AUTHOR_EMAIL", "anyarch@localhost"),
        ("GIT_COMMITTER_NAME", "anyarch"),
        ("GIT_COMMITTER_EMAIL", "anyarch@localhost"),
    ] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command
}

/// Writes the commits of a folder made by [`open`] back as patches, the common ones and the series'
/// own; gives their names.
pub fn refresh(session: &Session, series: &Series, folder: &Path) -> Result<Vec<String>> {
    let work = Work { folder, base: base(series), shell: Shell::new().context("no current folder")? };
    work.ready(series)?;
    let first_own = work.end_of_common()?;
    let patches = session.workspace.root.join("patches");
    let mut names = Vec::new();
    for (home, range) in [
        (COMMON, format!("{}..{first_own}", work.base)),
        (series.pins.series.as_str(), format!("{first_own}..HEAD")),
    ] {
        let made = Scratch::new(&session.workspace.trees)?;
        work.format(&range, made.path())?;
        let old = series.patches.iter().filter(|old| old.path.parent() == Some(&patches.join(home)));
        names.extend(replace(old, made.path(), &patches.join(home))?);
    }
    Ok(names)
}

/// Puts the patches in `made` into the place of the old ones; gives their names below `patches/`.
fn replace<'a>(old: impl Iterator<Item = &'a Patch>, made: &Path, home: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(made).context("cannot list the new patches")? {
        files.push(entry?.file_name());
    }
    files.sort();
    for file in &files {
        let path = made.join(file);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        store::write_file(&home.join(file), &bytes)?;
    }
    for gone in old.filter(|old| old.path.file_name().is_none_or(|name| !files.contains(&name.to_owned()))) {
        store::remove(&gone.path)?;
    }
    let folder = home.file_name().unwrap_or_default().to_string_lossy();
    Ok(files.iter().map(|file| format!("{folder}/{}", file.to_string_lossy())).collect())
}

/// A repository made by [`open`].
struct Work<'a> {
    folder: &'a Path,
    base: String,
    shell: Shell,
}

impl Work<'_> {
    fn git(&self, arguments: &[&str]) -> Cmd<'_> {
        git::git(&self.shell).arg("-C").arg(self.folder).args(arguments)
    }

    fn wrong<T>(&self, text: &str) -> Result<T> {
        Err(Usage(format!("{} {text}", self.folder.display())).into())
    }

    /// An error unless all work there is committed.
    fn ready(&self, series: &Series) -> Result<()> {
        if capture(self.git(&["merge-base", "--is-ancestor", &self.base, "HEAD"])).is_err() {
            let version = &series.pins.version;
            return self.wrong(&format!("was not made by `cargo xtask patch open` for QEMU {version}"));
        }
        for under_way in ["rebase-apply", "rebase-merge"] {
            let path = capture(self.git(&["rev-parse", "--git-path", under_way]))?;
            if self.folder.join(path.trim()).exists() {
                return self.wrong("is in the middle of a `git am` or `git rebase`: end that first");
            }
        }
        let dirty = capture(self.git(&["status", "--porcelain"]))?;
        if !dirty.trim().is_empty() {
            return self.wrong(&format!("has changes that are not committed:\n{dirty}"));
        }
        Ok(())
    }

    /// The last of the commits that belong to every series: those at the beginning that touch nothing
    /// of QEMU's. What they made is theirs to change, or the series would drift apart.
    fn end_of_common(&self) -> Result<String> {
        let mut end = self.base.clone();
        let mut ours = BTreeSet::new();
        let mut is_common = true;
        let commits = capture(self.git(&["rev-list", "--reverse", &format!("{}..HEAD", self.base)]))?;
        for commit in commits.lines() {
            let listed =
                capture(self.git(&["diff-tree", "--no-commit-id", "--name-only", "-r", "-z", commit]))?;
            let files: Vec<&str> = listed.split_terminator('\0').collect();
            is_common = is_common && files.iter().all(|file| !self.has(file));
            if is_common {
                commit.clone_into(&mut end);
                ours.extend(files.into_iter().map(str::to_owned));
            } else if let Some(file) = files.into_iter().find(|file| ours.contains(*file)) {
                return self.wrong(&format!(
                    "changes {file} in commit {commit}, after the series' own commits began\n\
                     that file is common to all series: `git rebase -i {}` and move the change forward",
                    self.base
                ));
            }
        }
        Ok(end)
    }

    /// Whether QEMU has this file.
    fn has(&self, file: &str) -> bool {
        capture(self.git(&["cat-file", "-e", &format!("{}:{file}", self.base)])).is_ok()
    }

    fn format(&self, range: &str, into: &Path) -> Result<()> {
        let format = self.git(&["format-patch", "--quiet", "--no-numbered", "--zero-commit"]);
        let format = format.args(["--no-signature", "--no-renames", "--full-index", "--output-directory"]);
        capture(format.arg(into).arg(range)).map(drop)
    }
}
