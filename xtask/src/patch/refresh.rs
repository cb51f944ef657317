//! The commits of an opened series as patches again, each in the folder of its topic.

use super::commit_groups::{Commit, CommitGroup, group_commits};
use super::message::{topic_of, without_topic};
use crate::facts::series::COMMON;
use crate::facts::topics::TOPICS;
use crate::facts::{Series, Topic};
use crate::git;
use crate::process::{self, capture};
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::files::{self, TempFolder};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use xshell::{Cmd, Shell};

/// The setting of a repository that says which topics it was opened for.
pub const OPENED: &str = "anyarch.topics";

/// The tag at the commit before the patches.
pub fn base(series: &Series) -> String {
    format!("anyarch-base-{}", series.pins.tag)
}

/// Writes the commits of a folder made by [`super::open()`] back as patches, by topic, the common ones and the
/// series' own; gives their names. Topics that were not opened stay as they are.
pub fn refresh(session: &Session, series: &Series, folder: &Path) -> Result<Vec<String>> {
    let work = Work { folder, base: base(series), shell: process::shell()? };
    work.ready(series)?;
    let opened = work.opened()?;
    let commits = work.commits()?;
    let groups = group_commits(&commits, &opened, |file| work.has(file)).or_else(|error| {
        let base = &work.base;
        work.wrong(&format!("cannot be turned into patches: {error:#}\nto fix it: git rebase -i {base}"))
    })?;
    // All of them before the first is put in place: what fails changes nothing.
    let made = TempFolder::new(&session.workspace.trees)?;
    let new = work.patches(&groups, &series.pins.series, made.path())?;
    let patches = session.workspace.root.join("patches");
    let mut names = Vec::new();
    for topic in opened {
        for home in [COMMON, series.pins.series.as_str()] {
            let name = Path::new(home).join(topic.name());
            let files = new.get(&name).map_or(&[][..], Vec::as_slice);
            replace(series, &patches.join(&name), files)?;
            names.extend(files.iter().map(|file| name.join(file_name(file)).display().to_string()));
        }
    }
    Ok(names)
}

fn file_name(path: &Path) -> PathBuf {
    path.file_name().unwrap_or_default().into()
}

/// Puts `new` into the place of the series' patches in a folder; an empty folder goes.
fn replace(series: &Series, folder: &Path, new: &[PathBuf]) -> Result<()> {
    for path in new {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let place = folder.join(file_name(path));
        let patch = without_topic(&bytes).with_context(|| format!("cannot make {}", place.display()))?;
        files::write_file(&place, &patch)?;
    }
    let old = series.patches.iter().filter(|old| old.path.parent() == Some(folder));
    for gone in old.filter(|old| !new.iter().any(|new| new.file_name() == old.path.file_name())) {
        files::remove(&gone.path)?;
    }
    if new.is_empty() && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()) {
        files::remove(folder)?;
    }
    Ok(())
}

/// A repository made by [`super::open()`].
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
                return self.wrong("is in the middle of a `git am` or `git rebase`: finish that first");
            }
        }
        let dirty = capture(self.git(&["status", "--porcelain"]))?;
        if !dirty.trim().is_empty() {
            return self.wrong(&format!("has changes that are not committed:\n{dirty}"));
        }
        let merges = capture(self.git(&["rev-list", "--merges", &format!("{}..HEAD", self.base)]))?;
        if let Some(merge) = merges.lines().next() {
            return self.wrong(&format!(
                "has a merge commit, {merge}: make the history linear with git rebase {}",
                self.base
            ));
        }
        Ok(())
    }

    /// The topics that it holds. One from before there were topics holds all of them.
    fn opened(&self) -> Result<Vec<Topic>> {
        let names = capture(self.git(&["config", "--default", "", "--get", OPENED]))?;
        let topics: Vec<Topic> = names
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, Usage>>()
            .with_context(|| format!("the setting {OPENED} of {} is invalid", self.folder.display()))?;
        Ok(if topics.is_empty() { TOPICS.to_vec() } else { topics })
    }

    fn commits(&self) -> Result<Vec<Commit>> {
        let ids = capture(self.git(&["rev-list", "--reverse", &format!("{}..HEAD", self.base)]))?;
        ids.lines().map(|id| self.commit(id)).collect()
    }

    fn commit(&self, id: &str) -> Result<Commit> {
        let message = capture(self.git(&["log", "-1", "--format=%B", id]))?;
        let topic = topic_of(&message).or_else(|error| {
            self.wrong(&format!("cannot be turned into patches: commit {id} has a wrong topic: {error}"))
        })?;
        let listed = capture(self.git(&["diff-tree", "--no-commit-id", "--name-only", "-r", "-z", id]))?;
        let files = listed.split_terminator('\0').map(str::to_owned).collect();
        let subject = message.lines().next().unwrap_or_default().to_owned();
        Ok(Commit { id: id.to_owned(), subject, topic, files })
    }

    /// Whether QEMU has this file.
    fn has(&self, file: &str) -> bool {
        capture(self.git(&["cat-file", "-e", &format!("{}:{file}", self.base)])).is_ok()
    }

    /// The patches of all parts, in folders below `into` that are named as those below `patches/`.
    fn patches(
        &self,
        groups: &[CommitGroup],
        series: &str,
        into: &Path,
    ) -> Result<BTreeMap<PathBuf, Vec<PathBuf>>> {
        let mut start = &self.base;
        let mut all = BTreeMap::new();
        for group in groups {
            let home = if group.is_common { COMMON } else { series };
            let name = Path::new(home).join(group.topic.name());
            let files = self.format(&format!("{start}..{}", group.end), &into.join(&name))?;
            all.insert(name, files);
            start = &group.end;
        }
        Ok(all)
    }

    /// The patches of these commits, in order.
    fn format(&self, range: &str, into: &Path) -> Result<Vec<PathBuf>> {
        let format = self.git(&["format-patch", "--quiet", "--no-numbered", "--zero-commit"]);
        let format = format.args(["--no-signature", "--no-renames", "--full-index", "--output-directory"]);
        capture(format.arg(into).arg(range))?;
        let mut files = Vec::new();
        for entry in fs::read_dir(into).context("cannot list the new patches")? {
            files.push(entry.context("cannot list the new patches")?.path());
        }
        files.sort();
        Ok(files)
    }
}
