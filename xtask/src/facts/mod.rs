//! Facts as data: which targets, hosts and series there are. Nothing here touches the network or
//! starts a program; files are read once and checked as they are read.

pub mod hosts;
pub mod machine;
pub mod series;
pub mod targets;

pub use hosts::Host;
pub use machine::native;
pub use series::Series;
pub use targets::Target;

use crate::exit::Usage;
use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;

/// Reads a TOML data file; an error names the file, the line and the field.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not what it should be", path.display()))
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

/// What somebody may have meant by a name that is not among the known ones.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let alike = known.iter().map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate));
    let near = alike.filter(|(likeness, _)| *likeness > 0.7);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}
