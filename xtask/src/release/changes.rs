//! `CHANGELOG.md`: the day of each release, and what changed since the one before. It is the only place that says either.

use anyarch_manifest::{Changes, KindOfChange};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// The file's name, in the checkout.
pub const FILE: &str = "CHANGELOG.md";
/// What a heading says that is of no release yet.
const UNRELEASED: &str = "Unreleased";

/// All releases that the checkout knows of.
#[derive(Debug, Default)]
pub struct Changelog {
    /// Each with the releases that it is of: those of one revision have the same.
    entries: Vec<(Vec<String>, Changes)>,
}

impl Changelog {
    /// Reads the changelog of a checkout; none is one without entries.
    ///
    /// # Errors
    /// When it is not of the form that it says it has.
    pub fn read(root: &Path) -> Result<Self> {
        match fs::read_to_string(root.join(FILE)) {
            Ok(text) => parse(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {FILE}")),
        }
    }

    /// The date and the changes of a release.
    pub fn of(&self, release: &str) -> Option<&Changes> {
        self.entries
            .iter()
            .find(|(names, _)| names.iter().any(|name| name == release))
            .map(|(_, changes)| changes)
    }

    /// Whether a release can be published: it is in the changelog, and all changes are of a release.
    ///
    /// # Errors
    /// When it cannot, with what to write.
    pub fn is_complete_for(&self, release: &str) -> Result<()> {
        let has_more = self.of(UNRELEASED).is_some_and(|changes| !changes.kinds.is_empty());
        ensure!(
            self.of(release).is_some() && !has_more,
            "{FILE} does not say what changed in {release}\n  \
             write `## [{release}] - <date>` below `## [{UNRELEASED}]`, above the changes"
        );
        Ok(())
    }
}

fn parse(text: &str) -> Result<Changelog> {
    let mut log = Changelog::default();
    for (number, line) in text.lines().enumerate() {
        take(&mut log, line).with_context(|| format!("line {} of {FILE}", number + 1))?;
    }
    Ok(log)
}

/// Takes a line: a heading of a release or of a kind, the begin of a change, more of it, or a text of the release.
fn take(log: &mut Changelog, line: &str) -> Result<()> {
    if let Some(heading) = line.strip_prefix("## ") {
        log.entries.push(begun(heading)?);
        return Ok(());
    }
    let Some((_, changes)) = log.entries.last_mut() else { return Ok(()) };
    if let Some(kind) = line.strip_prefix("### ") {
        changes.kinds.push(KindOfChange { kind: kind.to_owned(), items: Vec::new() });
    } else if let Some(item) = line.strip_prefix("* ") {
        let kind = changes.kinds.last_mut().context("a change stands below a heading such as `### Fixed`")?;
        kind.items.push(item.to_owned());
    } else if let Some(kind) = changes.kinds.last_mut() {
        more(kind.items.last_mut(), line)?;
    } else {
        more(Some(&mut changes.summary), line)?;
    }
    Ok(())
}

fn more(of: Option<&mut String>, line: &str) -> Result<()> {
    match of {
        _ if line.trim().is_empty() => {}
        Some(text) if text.is_empty() => text.push_str(line.trim()),
        Some(text) => *text = format!("{text} {}", line.trim()),
        None => bail!("a change begins with `* `"),
    }
    Ok(())
}

/// `[10.2.2-1], [10.0.13-1] - 2026-11-21`, or `[Unreleased]`.
fn begun(heading: &str) -> Result<(Vec<String>, Changes)> {
    let (names, date) = heading.split_once(" - ").unwrap_or((heading, ""));
    let name = |text: &str| text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).map(str::to_owned);
    let names: Option<Vec<String>> = names.split(", ").map(name).collect();
    let names = names.context("a heading has names in brackets")?;
    ensure!(is_day(date) || names == [UNRELEASED], "a release has a date, as in ` - 2026-11-21`");
    Ok((names, Changes { date: date.to_owned(), summary: String::new(), kinds: Vec::new() }))
}

fn is_day(text: &str) -> bool {
    let is_digit_or_dash =
        |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(is_digit_or_dash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Series;
    use crate::facts::series::DEFAULT;

    const LOG: &str = "# Changelog\n\nAll of it.\n\n## [Unreleased]\n\n## [2.0-1], [1.0-1] - 2026-11-21\n\nThe first,\nof two.\n\n\
                       ### Added\n\n* One `thing`\n  in two lines.\n* Another.\n\n### Fixed\n\n* It.\n\n## [0.9-1] - 2026-01-02\n";

    #[test]
    fn releases_of_one_revision_have_their_date_and_changes() {
        let log = parse(LOG).expect("a changelog");
        let changes = log.of("1.0-1").expect("known");
        assert_eq!((changes.date.as_str(), changes.summary.as_str()), ("2026-11-21", "The first, of two."));
        assert_eq!(log.of("2.0-1"), Some(changes));
        assert_eq!(changes.kinds[0].items, ["One `thing` in two lines.", "Another."]);
        assert_eq!((changes.kinds[1].kind.as_str(), changes.kinds.len()), ("Fixed", 2));
        assert!(log.of("0.9-1").is_some_and(|changes| changes.kinds.is_empty()) && log.of("3.0-1").is_none());
        log.is_complete_for("2.0-1").expect("nothing is unreleased");
        for (release, text) in [
            ("3.0-1", LOG.to_owned()),
            ("2.0-1", LOG.replace("[Unreleased]\n", "[Unreleased]\n### Added\n* More.\n")),
        ] {
            let error = parse(&text).expect("a changelog").is_complete_for(release).expect_err(release);
            assert!(error.to_string().contains(&format!("write `## [{release}] - <date>`")), "{error}");
        }
    }

    #[test]
    fn what_is_no_changelog_is_told_by_its_line() {
        for (text, line) in [
            ("## [1.0-1]\n", "line 1"),
            ("## [1.0-1] - soon\n", "line 1"),
            ("## 1.0-1 - 2026-11-21\n", "line 1"),
            ("## [1.0-1] - 2026-11-21\n* x\n", "line 2"),
            ("## [1.0-1] - 2026-11-21\n### Added\nx\n", "line 3"),
        ] {
            assert!(parse(text).expect_err(text).to_string().contains(line), "{text}");
        }
    }

    #[test]
    fn every_release_of_a_series_has_a_date_and_changes_or_is_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let log = Changelog::read(&root).expect("a changelog");
        let mut dated = Vec::new();
        for name in Series::names(&root.join("patches")).expect("series") {
            let release = Series::read(&root.join("patches"), &name).expect("a series").release();
            match log.of(&release) {
                Some(changes) => {
                    assert!(!changes.kinds.is_empty(), "{release}");
                    dated.push(name);
                }
                // A series that was added since.
                None => assert!(log.is_complete_for(&release).is_err(), "{release}"),
            }
        }
        assert!(dated.contains(&DEFAULT.to_owned()), "{dated:?}");
    }
}
