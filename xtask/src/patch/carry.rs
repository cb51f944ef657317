//! The patches of one series on the source of another: each is tried, and what does not fit is left out.

use super::apply::touched;
use super::open::{committer, mails_of, open};
use crate::facts::Series;
use crate::facts::series::Patch;
use crate::facts::topics::TOPICS;
use crate::git;
use crate::process::{self, capture, output};
use crate::session::Session;
use crate::source::PinnedSource;
use anyarch_client::files::TempFolder;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// What came of a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Its name below `patches/`, in the series that it is of.
    pub patch: String,
    /// Whether the new source takes it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Whether a source takes a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It does, as it is or by a merge.
    Fits,
    /// It has all of it already, or the patch is empty.
    Upstream,
    /// It does not.
    LeftOut {
        /// The files that conflict.
        files: Vec<String>,
        /// Patches that were left out before and change one of these files: perhaps only they are missed.
        after: Vec<String>,
    },
}

/// Makes `folder` a repository with the source of the series `new` and what fits of the patches of `old`, each a
/// commit, as [`open`] makes it. With the source of `old`, patches are merged, and its commits are the branch `from`.
pub fn carry(
    session: &Session,
    (old, old_source): (&Series, Option<&PinnedSource>),
    (new, source): (&Series, &PinnedSource),
    folder: &Path,
) -> Result<Vec<Carried>> {
    let bare = Series { patches: Vec::new(), ..new.clone() };
    open(session, &bare, source, &[], folder)?;
    let scratch = TempFolder::new(&session.workspace.trees)?;
    let work = Work { folder };
    if let Some(old_source) = old_source {
        let from = scratch.path().join("from");
        open(session, old, old_source, &[], &from)?;
        work.git(&["fetch", "--quiet", "--no-tags"], &[&from], &["anyarch:from"])?;
    }
    let mails = mails_of(old, &TOPICS, &scratch.path().join("mails"))?;
    let patches = old.patches_of(&TOPICS);
    let step = session.progress.step(format!("try {} patches on QEMU {}", mails.len(), new.pins.version));
    let mut tried: Vec<Carried> = Vec::new();
    let mut missing: Vec<(&Patch, Vec<String>)> = Vec::new();
    for (patch, mail) in patches.into_iter().zip(&mails) {
        let mut outcome = work.attempt(patch, mail)?;
        if let Outcome::LeftOut { files, after } = &mut outcome {
            let same = |(_, theirs): &&(&Patch, Vec<String>)| files.iter().any(|file| theirs.contains(file));
            *after = missing.iter().filter(same).map(|(patch, _)| patch.name.clone()).collect();
            missing.push((patch, touched(patch, folder)?));
        }
        tried.push(Carried { patch: patch.name.clone(), outcome });
    }
    let fit = tried.iter().filter(|one| one.outcome == Outcome::Fits).count();
    step.done(&format!("{fit} fit"));
    Ok(tried)
}

/// The repository in which patches are tried.
struct Work<'a> {
    folder: &'a Path,
}

impl Work<'_> {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let shell = process::shell()?;
        Ok(committer(git::git(&shell).arg("-C").arg(self.folder).args(arguments).into()))
    }

    fn git(&self, before: &[&str], paths: &[&Path], after: &[&str]) -> Result<String> {
        let mut command = self.command(before)?;
        command.args(paths).args(after);
        capture(command)
    }

    fn head(&self) -> Result<String> {
        self.git(&["rev-parse", "HEAD"], &[], &[])
    }

    /// Makes a commit of a patch if it fits. If it does not, everything is as before.
    fn attempt(&self, patch: &Patch, mail: &Path) -> Result<Outcome> {
        let before = self.head()?;
        let mut am = self.command(&["am", "--quiet", "--3way", "--keep-non-patch", "--whitespace=nowarn"])?;
        am.arg(mail);
        let ended = output(&mut am)?;
        if ended.status.success() {
            return Ok(if self.head()? == before { Outcome::Upstream } else { Outcome::Fits });
        }
        let unmerged = self.git(&["diff", "--name-only", "--diff-filter=U", "-z"], &[], &[])?;
        let mut files: Vec<String> = unmerged.split_terminator('\0').map(str::to_owned).collect();
        self.git(&["am", "--abort"], &[], &[]).with_context(|| {
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            format!("git could not try {}: {}", patch.name, said.trim())
        })?;
        if files.is_empty() {
            // Nothing was merged, since git does not know what the patch was made for.
            let mut check = self.command(&["apply", "--check"])?;
            check.arg(mail);
            files = String::from_utf8_lossy(&output(&mut check)?.stderr).lines().filter_map(named).collect();
        }
        files.sort();
        files.dedup();
        Ok(Outcome::LeftOut { files, after: Vec::new() })
    }
}

/// The file in a message of git's about a patch that does not apply.
fn named(error: &str) -> Option<String> {
    let text = error.strip_prefix("error: ")?;
    if let Some(place) = text.strip_prefix("patch failed: ") {
        return place.rsplit_once(':').map(|(file, _)| file.to_owned());
    }
    let ends =
        [": No such file or directory", ": already exists in working directory", ": patch does not apply"];
    ends.into_iter().find_map(|end| text.strip_suffix(end)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_a_patch_fails_at_is_read_off_what_git_says() {
        for (said, file) in [
            ("error: patch failed: linux-user/main.c:12", Some("linux-user/main.c")),
            ("error: linux-user/main.c: patch does not apply", Some("linux-user/main.c")),
            ("error: tcg/mips/x.c: No such file or directory", Some("tcg/mips/x.c")),
            ("error: a.c: already exists in working directory", Some("a.c")),
            ("error: repository lacks the necessary blob to perform 3-way merge.", None),
            ("Applying: x", None),
        ] {
            assert_eq!(named(said).as_deref(), file, "{said}");
        }
    }
}
