//! Which programs are run, with which arguments: LTP's own list, but for those of `guests/ltp/left_out.toml`.

use crate::facts::read_toml;
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::path::Path;

/// A line of LTP's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// LTP's name of it.
    pub name: String,
    /// The name of the program's file.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// `guests/ltp/left_out.toml`: the reasons are for its readers.
#[derive(Debug, Deserialize)]
struct LeftOut {
    left_out: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    cases: Vec<String>,
}

/// Reads the list of LTP's source in `suite`; `root` is the checkout with the cases to leave out.
pub fn read(suite: &Path, root: &Path) -> Result<Vec<Case>> {
    let path = suite.join("runtest/syscalls");
    let text = fs::read_to_string(&path).with_context(|| {
        format!("{} is not the source of LTP: it has no runtest/syscalls", suite.display())
    })?;
    let left_out: LeftOut = read_toml(&root.join("guests/ltp/left_out.toml"))?;
    let left_out: Vec<&String> = left_out.left_out.iter().flat_map(|group| &group.cases).collect();
    let mut cases = parse(&text);
    ensure!(!cases.is_empty(), "{} has no cases", path.display());
    cases.retain(|case| !left_out.contains(&&case.name));
    Ok(cases)
}

/// `name program arguments`, a line each. What only a shell can read (a few lines with quotes and pipes) is left out.
fn parse(text: &str) -> Vec<Case> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let plain = lines.filter(|line| !line.contains(['"', '\'', '$', '`', ';', '|', '&', '<', '>', '*']));
    let case = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some(Case { name: words.next()?, program: words.next()?, arguments: words.collect() })
    };
    plain.filter_map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_a_program_and_its_arguments() {
        let cases = parse(
            "# DESCRIPTION: all\n\nabort01 abort01\nfcntl14_64 fcntl14 -v 64\nodd sh -c 'x; y'\nalone\n",
        );
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["abort01", "fcntl14_64"]);
        assert_eq!(
            (cases[1].program.as_str(), &cases[1].arguments[..]),
            ("fcntl14", &["-v".into(), "64".into()][..])
        );
    }
}
