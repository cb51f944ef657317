//! Which folder each commit of an opened series belongs to.

use crate::facts::Topic;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;

/// A commit after the pinned source.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its hash.
    pub id: String,
    /// The first line of its message.
    pub subject: String,
    /// Topic that its message names.
    pub topic: Option<Topic>,
    /// Files that it changes.
    pub files: Vec<String>,
}

impl Commit {
    fn shown(&self) -> String {
        format!("commit {} (\"{}\")", self.id.get(..12).unwrap_or(&self.id), self.subject)
    }
}

/// Consecutive commits whose patches belong in one folder.
#[derive(Debug, PartialEq, Eq)]
pub struct CommitGroup {
    /// Topic of these commits.
    pub topic: Topic,
    /// Whether they go to `patches/common/`, for every series.
    pub is_common: bool,
    /// Hash of the last of these commits.
    pub end: String,
}

/// Sorts the commits by topic and, in each, those at its beginning that touch nothing of QEMU's or of the
/// series' own: they are common to all series. What common commits made is theirs to change, or the series
/// would drift apart. `opened` are the topics that the repository holds.
pub fn group_commits(
    commits: &[Commit],
    opened: &[Topic],
    in_qemu: impl Fn(&str) -> bool,
) -> Result<Vec<CommitGroup>> {
    let mut groups: Vec<CommitGroup> = Vec::new();
    let (mut common, mut own) = (BTreeSet::new(), BTreeSet::new());
    for commit in commits {
        let last = groups.last();
        let topic = topic(commit, last.map(|group| group.topic), opened)?;
        let begins = last.is_none_or(|last| last.topic != topic);
        let may_be_common = begins || last.is_some_and(|last| last.is_common);
        let is_common =
            may_be_common && commit.files.iter().all(|file| !in_qemu(file) && !own.contains(file));
        if is_common {
            common.extend(&commit.files);
        } else if let Some(file) = commit.files.iter().find(|file| common.contains(file)) {
            bail!(
                "{file} is common to all series, and {} changes it after the series' own commits of {topic} began: \
                 move the change to the earlier commits, which change no file of QEMU's",
                commit.shown()
            );
        } else {
            own.extend(&commit.files);
        }
        match groups.last_mut().filter(|last| last.topic == topic && last.is_common == is_common) {
            Some(last) => last.end.clone_from(&commit.id),
            None => groups.push(CommitGroup { topic, is_common, end: commit.id.clone() }),
        }
    }
    Ok(groups)
}

/// The topic of a commit: what it says, else that of the one before.
fn topic(commit: &Commit, before: Option<Topic>, opened: &[Topic]) -> Result<Topic> {
    let the_only_one = match opened {
        [one] => Some(*one),
        _ => None,
    };
    let topic = commit.topic.or(before).or(the_only_one).with_context(|| {
        format!(
            "{} has no topic: end its message with a line `Topic: NAME`, one of {}; \
             later commits without one have the same topic",
            commit.shown(),
            Topic::names(opened)
        )
    })?;
    if !opened.contains(&topic) {
        bail!(
            "{} has the topic {topic}, but this folder was opened only for {}",
            commit.shown(),
            Topic::names(opened)
        );
    }
    if let Some(before) = before.filter(|before| *before > topic) {
        bail!(
            "{} has the topic {topic} and comes after one of {before}; the order is {}: move it earlier",
            commit.shown(),
            Topic::names(opened)
        );
    }
    Ok(topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::topics::TOPICS;

    /// `id topic file,file`; a topic of `-` is none.
    fn commits(text: &str) -> Vec<Commit> {
        let read = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            Commit {
                id: words[0].to_owned(),
                subject: format!("change {}", words[0]),
                topic: (words[1] != "-").then(|| words[1].parse().expect("a topic")),
                files: words[2].split(',').map(str::to_owned).collect(),
            }
        };
        text.lines().filter(|line| !line.trim().is_empty()).map(read).collect()
    }

    /// The folders with the last commit of each, in files of QEMU's that have big letters.
    fn sorted_in(text: &str, opened: &[Topic]) -> Result<String> {
        let is_big = |file: &str| file.starts_with(char::is_uppercase);
        let name = |group: CommitGroup| {
            format!("{}/{}:{}", if group.is_common { "common" } else { "own" }, group.topic, group.end)
        };
        Ok(group_commits(&commits(text), opened, is_big)?.into_iter().map(name).collect::<Vec<_>>().join(" "))
    }

    fn sorted(text: &str) -> Result<String> {
        sorted_in(text, &TOPICS)
    }

    #[test]
    fn commits_go_to_their_topic_and_those_at_its_beginning_that_only_add_files_are_common() {
        let whole = "
            1 execve a
            2 - b,a
            3 execve A
            4 - c
            5 fixes B
            6 - C
            7 fast d
            8 fast A,B";
        let folders = "common/execve:2 own/execve:4 own/fixes:6 common/fast:7 own/fast:8";
        assert_eq!(sorted(whole).expect("sorted"), folders);
        assert_eq!(sorted("").expect("sorted"), "");
        assert_eq!(sorted("1 fast A").expect("sorted"), "own/fast:1");
    }

    #[test]
    fn a_common_file_changes_only_in_common_commits_of_its_own_or_a_later_topic() {
        assert_eq!(
            sorted("1 execve a\n2 execve A\n3 fixes a").expect("sorted"),
            "common/execve:1 own/execve:2 common/fixes:3"
        );
        for own in [
            "1 execve a\n2 execve A\n3 execve a",
            "1 execve a\n2 fixes B,a",
            "1 execve a\n2 fixes B\n3 fixes a",
        ] {
            let error = sorted(own).expect_err("refused").to_string();
            assert!(
                error.contains("a is common to all series") && error.contains("move the change"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_changes_a_file_that_the_series_made_is_its_own() {
        assert_eq!(
            sorted("1 execve A,t\n2 fixes t").expect("sorted"),
            "own/execve:1 own/fixes:2",
            "other series have no such file"
        );
    }

    #[test]
    fn topics_out_of_order_unsaid_or_not_opened_are_refused_with_the_commit() {
        let cases = [
            (
                "1 fixes A\n2 execve B",
                "commit 2 (\"change 2\") has the topic execve and comes after one of fixes",
            ),
            ("1 execve A\n2 fixes B\n3 execve A", "commit 3"),
            ("1 - A", "commit 1 (\"change 1\") has no topic"),
        ];
        for (text, reason) in cases {
            let error = sorted(text).expect_err("refused").to_string();
            assert!(error.contains(reason) && error.contains("execve fixes fast"), "{error}");
        }
        assert_eq!(sorted_in("1 - A", &[Topic::Fixes]).expect("the only one"), "own/fixes:1");
        let error = sorted_in("1 fast A", &[Topic::Fixes]).expect_err("refused").to_string();
        assert!(error.contains("opened only for fixes"), "{error}");
    }
}
