//! A series as a git repository: the source, and each patch as a commit that says its topic.

use super::message::with_topic;
use super::refresh::{OPENED, base};
use crate::facts::topics::TOPICS;
use crate::facts::{Series, Topic};
use crate::git;
use crate::process::{self, capture};
use crate::session::Session;
use crate::source::PinnedSource;
use anyarch_client::error::Usage;
use anyarch_client::files::{self, TempFolder};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes `folder` a git repository with the source as its first commit and every patch of these topics as
/// one more; gives their number.
pub fn open(
    session: &Session,
    series: &Series,
    source: &PinnedSource,
    topics: &[Topic],
    folder: &Path,
) -> Result<usize> {
    let topics = in_order(topics)?;
    let empty = !folder.exists() || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if !empty {
        return Err(Usage(format!("{} is not empty: name a new folder", folder.display())).into());
    }
    let mails = TempFolder::new(&session.workspace.trees)?;
    let patches = mails_of(series, &topics, mails.path())?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    source.unpack(series, folder)?;
    let shell = process::shell()?;
    let at = |arguments: &[&str]| committer(git::git(&shell).arg("-C").arg(folder).args(arguments).into());
    capture(at(&["init", "--quiet", "--initial-branch=anyarch"]))?;
    capture(at(&["config", OPENED, &Topic::names(&topics)]))?;
    capture(at(&["add", "--all", "--force", "."]))?;
    capture(at(&["commit", "--quiet", "--message", &format!("QEMU {}, as pinned", series.pins.version)]))?;
    capture(at(&["tag", &base(series)]))?;
    if !patches.is_empty() {
        let mut am = at(&["am", "--quiet", "--keep-non-patch", "--whitespace=nowarn"]);
        am.args(&patches);
        capture(am).with_context(|| {
            format!(
                "continue in {}: resolve the conflict, `git am --continue`, then `patch refresh`",
                folder.display()
            )
        })?;
    }
    Ok(patches.len())
}

/// The topics that are asked for, in the order of application; none means all.
fn in_order(asked: &[Topic]) -> Result<Vec<Topic>> {
    if asked.is_empty() {
        return Ok(TOPICS.to_vec());
    }
    let topics: Vec<Topic> = TOPICS.into_iter().filter(|topic| asked.contains(topic)).collect();
    for topic in &topics {
        if !topic.needs().iter().all(|need| topics.contains(need)) {
            let with = Topic::names(&topic.with_needs());
            let text = format!("{topic} requires {}", Topic::names(topic.needs()));
            return Err(Usage(format!("{text}: pass --topic {}", with.replace(' ', ","))).into());
        }
    }
    Ok(topics)
}

/// The patches with their topics in them, as files in `folder`.
pub(super) fn mails_of(series: &Series, topics: &[Topic], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut mails = Vec::new();
    for (number, patch) in series.patches_of(topics).into_iter().enumerate() {
        let bytes = fs::read(&patch.path).with_context(|| format!("cannot read {}", patch.path.display()))?;
        let mail = with_topic(&bytes, patch.topic)
            .with_context(|| format!("cannot make a commit of {}", patch.path.display()))?;
        let path = folder.join(format!("{number:04}.patch"));
        files::write_file(&path, &mail)?;
        mails.push(path);
    }
    Ok(mails)
}

/// Gives the repository somebody to commit as, should the user have set nothing up.
pub(super) fn committer(mut command: Command) -> Command {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_opened_with_what_it_is_built_on() {
        assert_eq!(in_order(&[]).expect("all"), TOPICS);
        assert_eq!(in_order(&[Topic::Fixes]).expect("alone"), [Topic::Fixes]);
        let both = in_order(&[Topic::Fast, Topic::Execve]).expect("both");
        assert_eq!(both, [Topic::Execve, Topic::Fast]);
        let error = in_order(&[Topic::Fast]).expect_err("refused").to_string();
        assert_eq!(error, "fast requires execve: pass --topic execve,fast");
    }
}
