//! A source that no series pins yet: what it says of itself, for the pins that will be checked from then on.

use super::Given;
use crate::facts::series::Git;
use crate::facts::version::{numbers, tag_of};
use crate::git;
use crate::session::Session;
use crate::unpack;
use anyarch_client::error::Usage;
use anyarch_client::hash;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// The pins that can be read off a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpinned {
    /// `11.1.0`, as its file VERSION says.
    pub version: String,
    /// Upstream's tag of that version.
    pub tag: String,
    /// The time of the commit, or of VERSION in a tarball.
    pub epoch: u64,
    /// The commit, if it came by git.
    pub commit: Option<String>,
    /// SHA-256 of the tarball, if it is one.
    pub sha256: Option<String>,
}

/// The source that is meant: a tag or a commit of a repository; none means the newest release of the series.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// A tag.
    pub tag: Option<&'a str>,
    /// 40 hex digits.
    pub commit: Option<&'a str>,
}

/// Puts the source of a series to come into the cache and reads its pins. `git` is upstream's repository, for a
/// source that nobody gave.
pub fn look(
    session: &Session,
    series: &str,
    given: Option<&str>,
    wanted: &Wanted<'_>,
    git: &Git,
) -> Result<Unpinned> {
    let given = given.unwrap_or(&git.url);
    match Given::read(given).with_context(|| format!("cannot use --source {given}"))? {
        Given::Tarball(path) => in_tarball(session, series, path),
        Given::Git(url) => in_git(session, series, &url, wanted),
        Given::Folder(_) => {
            let what = format!(
                "{given} is no tarball and no git repository, so nothing of it can be pinned: pass one with --source"
            );
            Err(Usage(what).into())
        }
    }
}

fn in_git(session: &Session, series: &str, url: &str, wanted: &Wanted<'_>) -> Result<Unpinned> {
    let (reference, commit) = match (wanted.tag, wanted.commit) {
        (Some(tag), None) => at_tag(session, url, tag)?,
        (None, None) => at_tag(session, url, &newest(series, &git::tags(session, url)?, url)?)?,
        (None, Some(commit)) => (commit.to_owned(), commit.to_owned()),
        (Some(tag), Some(commit)) => (format!("refs/tags/{tag}"), commit.to_owned()),
    };
    let repository = git::fetch(session, url, &reference, &commit)
        .with_context(|| format!("{url} does not give the commit {commit}"))?;
    let (version, epoch) = git::file_and_time(&repository, &commit, VERSION)
        .with_context(|| format!("commit {commit} has no file VERSION: it is no source of QEMU"))?;
    let (version, tag) = of_series(&version, series)?;
    Ok(Unpinned { version, tag, epoch, commit: Some(commit), sha256: None })
}

fn at_tag(session: &Session, url: &str, tag: &str) -> Result<(String, String)> {
    let commit = git::commit_of_tag(session, url, tag)?
        .ok_or_else(|| Usage(format!("{url} has no tag {tag}: pass another --tag, or --commit")))?;
    Ok((format!("refs/tags/{tag}"), commit))
}

/// The tag of the series' newest point release.
fn newest(series: &str, tags: &[String], url: &str) -> Result<String> {
    let points = tags.iter().filter_map(|tag| {
        let version = tag.strip_prefix('v')?;
        let [.., point] = numbers::<3>(version)?;
        (tag_of(version, series).as_ref() == Some(tag)).then_some((point, tag))
    });
    let newest = points.max().map(|(_, tag)| tag.clone());
    let none = || Usage(format!("{url} has no tag of a release of {series}: pass --tag or --commit"));
    Ok(newest.ok_or_else(none)?)
}

fn in_tarball(session: &Session, series: &str, path: &Path) -> Result<Unpinned> {
    let step = session.progress.step(format!("read {}", path.display()));
    let (version, epoch) = unpack::file_and_time(path, VERSION)?;
    let (version, tag) = of_series(&version, series)?;
    let sha256 = hash::sha256_file(path)?;
    step.done(&version);
    Ok(Unpinned { version, tag, epoch, commit: None, sha256: Some(sha256) })
}

const VERSION: &str = "VERSION";

fn of_series(version: &str, series: &str) -> Result<(String, String)> {
    let version = version.trim();
    match tag_of(version, series) {
        Some(tag) => Ok((version.to_owned(), tag)),
        None => bail!("the source says that it is QEMU {version}, which is not of the series {series}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_of_the_series_is_meant_and_no_candidate() {
        let tags = ["v11.1.0-rc2", "v11.1.9", "v11.1.10", "v11.0.92", "v11.2.0", "stable"].map(str::to_owned);
        assert_eq!(newest("11.1", &tags, "x").expect("found"), "v11.1.10");
        let error = newest("11.3", &tags, "x").expect_err("none").to_string();
        assert_eq!(error, "x has no tag of a release of 11.3: pass --tag or --commit");
    }
}
