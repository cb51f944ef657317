//! Which targets, hosts and series there are, as data. Nothing here touches the network or starts a program;
//! files are read once and checked as they are read.

pub mod hosts;
pub mod machine;
#[cfg(test)]
mod pages;
pub mod series;
pub mod targets;
pub mod topics;
pub mod version;

pub use hosts::Host;
pub use machine::native;
pub use series::Series;
pub use targets::Target;
pub use topics::Topic;

use anyarch_client::error::{Usage, nearest};
use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;

/// Reads a TOML data file; an error names the file, the line and the field.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is invalid", path.display()))
}

/// "There is no such thing; did you mean that one?", for a name among known ones.
fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Usage {
    let known: Vec<&str> = known.collect();
    let hint = match nearest(name, &known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "known are:".to_owned(),
    };
    let mut list = known.clone();
    list.sort_unstable();
    list.dedup();
    Usage(format!("there is no {kind} `{name}`; {hint}\n  all of them: {}", list.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The words of a page from `before` to the next full stop at a line's end.
    fn listed(page: &str, before: &str) -> BTreeSet<String> {
        let rest = page.split_once(&format!("\n{before}: ")).expect("it stands there").1;
        let list = rest.split_once(".\n").map_or(rest, |(list, _)| list);
        let list = list.split_once(". ").map_or(list, |(list, _)| list);
        list.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_docs_list_every_host_target_and_series_that_there_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = fs::read_to_string(root.join("docs/targets-and-hosts.md")).expect("a page");
        let patches = root.join("patches");
        let newest = Series::read(&patches, series::DEFAULT).expect("a series");
        let targets: BTreeSet<String> = newest.pins.build.targets.into_iter().collect();
        assert_eq!(listed(&page, "Targets"), targets);
        let hosts = Host::all(&root.join("toolchains")).expect("hosts");
        let hosts: BTreeSet<String> = hosts.into_iter().map(|host| host.platform).collect();
        assert_eq!(listed(&page, "Hosts"), hosts);
        for name in Series::names(&patches).expect("names") {
            let pins = Series::pins(&patches, &name).expect("pins");
            let told = page.contains(&format!("`--qemu {name}`")) || name == series::DEFAULT;
            assert!(told && page.contains(&pins.version), "{name}, {}", pins.version);
        }
    }
}
