//! `series check`: whether what is pinned is still the newest that upstream has.

use super::super::show;
use crate::facts::Series;
use crate::facts::version::{is_candidate, numbers};
use crate::git;
use crate::session::Session;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What upstream has.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct News {
    /// The series of this checkout, the oldest first.
    series: Vec<Known>,
    /// The newest point release of each series that is newer than all of them.
    not_here: Vec<String>,
}

/// A series of this checkout.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Known {
    series: String,
    pinned: String,
    /// Upstream's newest point release, if the repository has a tag of the series.
    newest: Option<String>,
    behind: bool,
}

/// Asks upstream, or the repository `from`, and prints the answer.
pub fn run(session: &Session, from: Option<&str>) -> Result<()> {
    let patches = session.workspace.root.join("patches");
    let mut pinned = Vec::new();
    let mut tags = BTreeMap::new();
    for name in Series::names(&patches)? {
        let pins = Series::pins(&patches, &name)?;
        let url = from.unwrap_or(&pins.git.url);
        if !tags.contains_key(url) {
            tags.insert(
                url.to_owned(),
                git::tags(session, url).with_context(|| format!("cannot ask {url}"))?,
            );
        }
        pinned.push((name, pins.version));
    }
    let tags: BTreeSet<String> = tags.into_values().flatten().collect();
    let news = compare(pinned, &tags);
    show(session, &news, || text(&news))
}

/// `[11, 0, 2]` of `v11.0.2`; nothing of release candidates.
fn of_tag(tag: &str) -> Option<[u32; 3]> {
    let version = tag.strip_prefix('v').filter(|version| !is_candidate(version));
    version.and_then(numbers)
}

fn compare(pinned: Vec<(String, String)>, tags: &BTreeSet<String>) -> News {
    let mut newest: BTreeMap<[u32; 2], u32> = BTreeMap::new();
    for [major, minor, point] in tags.iter().filter_map(|tag| of_tag(tag)) {
        let known = newest.entry([major, minor]).or_default();
        *known = point.max(*known);
    }
    let mut last = [0, 0];
    let mut series = Vec::new();
    for (name, version) in pinned {
        let number: Option<[u32; 2]> = numbers(&name);
        last = last.max(number.unwrap_or_default());
        let upstream = number.and_then(|number| newest.get(&number));
        let point = numbers(&version).map(|[_, _, point]| point);
        let behind = upstream.is_some_and(|newest| is_candidate(&version) || point < Some(*newest));
        let newest = upstream.map(|newest| format!("{name}.{newest}"));
        series.push(Known { series: name, pinned: version, newest, behind });
    }
    let newer = newest.into_iter().filter(|(series, _)| *series > last);
    let not_here = newer.map(|([major, minor], point)| format!("{major}.{minor}.{point}")).collect();
    News { series, not_here }
}

fn text(news: &News) -> String {
    let mut lines = String::new();
    for Known { series, pinned, newest, behind } in &news.series {
        let says = match newest {
            Some(newest) if *behind => format!("behind: upstream has {newest}"),
            Some(_) => "upstream's newest".to_owned(),
            None => "upstream has no tag of it".to_owned(),
        };
        lines.push_str(&format!("{series:<6} {pinned:<9} {says}\n"));
    }
    for version in &news.not_here {
        lines.push_str(&format!(
            "upstream has {version}, a series that is not here: docs/adding-a-series.md\n"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_at_a_candidate_is_behind_as_soon_as_there_is_a_release() {
        let tags = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let pinned = || vec![("11.1".to_owned(), "11.0.92".to_owned())];
        let before = compare(pinned(), &tags(&["v11.0.2", "v11.0.92", "v11.1.0-rc2"]));
        assert!(!before.series[0].behind && before.series[0].newest.is_none() && before.not_here.is_empty());
        let after = compare(pinned(), &tags(&["v11.0.2", "v11.1.0"]));
        assert!(after.series[0].behind && after.not_here.is_empty());
        assert_eq!(after.series[0].newest.as_deref(), Some("11.1.0"));
    }

    #[test]
    fn point_releases_and_newer_series_are_told_and_candidates_and_older_series_are_not() {
        let tags =
            ["v7.2.0", "v7.2.22", "v10.1.4", "v10.2.2", "v10.2.10", "v11.0.0", "v11.0.0-rc4", "v11.1.0-rc2"];
        let tags =
            ["v11.2.0", "v11.2.1", "v12.0.0", "stable"].into_iter().chain(tags).map(str::to_owned).collect();
        let pinned = [("7.2", "7.2.0"), ("10.2", "10.2.2"), ("11.0", "11.0.0"), ("11.1", "11.1.0")];
        let pinned = pinned.map(|(series, version)| (series.to_owned(), version.to_owned())).to_vec();
        let news = compare(pinned, &tags);
        let told = "\
7.2    7.2.0     behind: upstream has 7.2.22
10.2   10.2.2    behind: upstream has 10.2.10
11.0   11.0.0    upstream's newest
11.1   11.1.0    upstream has no tag of it
upstream has 11.2.1, a series that is not here: docs/adding-a-series.md
upstream has 12.0.0, a series that is not here: docs/adding-a-series.md
";
        assert_eq!(text(&news), told);
        assert_eq!(news.not_here, ["11.2.1", "12.0.0"]);
        assert!(news.series[1].behind && !news.series[2].behind && !news.series[3].behind);
    }
}
