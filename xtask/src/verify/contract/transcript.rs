//! What `exec.c` prints of its cases, a line each, natively and emulated.

use crate::process::{ended, output_within};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Lines of a difference that an error shows.
const SHOWN: usize = 5;

/// The result of comparing two transcripts.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Cases that are the same.
    pub same: usize,
    /// Cases that a limit leaves out: `alpha_: its C library ...`.
    pub left_out: Vec<String>,
}

/// Runs all cases in `folder`, which is removed again; they have `timeout` long.
pub fn run(mut command: Command, folder: &Path, timeout: Duration) -> Result<String> {
    command.arg("--run").arg(folder);
    let result = output_within(timeout, &mut command)?;
    let said = String::from_utf8_lossy(&result.stdout).into_owned();
    if !result.status.success() {
        let complaint = String::from_utf8_lossy(&result.stderr);
        let last = said.lines().next_back().unwrap_or_default();
        bail!("the guest {}: {}; its last line: {last}", ended(result.status), complaint.trim());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(said)
}

/// The same lines in the same order, but for cases for which `limit` has a reason. Fewer lines than `least` prove
/// nothing.
pub fn compare<'a>(
    least: usize,
    expected: &'a str,
    seen: &'a str,
    limit: impl Fn(&str) -> Option<&'a str>,
) -> Result<Comparison> {
    ensure!(
        expected.lines().count() >= least,
        "the guest's native transcript is too short to prove anything"
    );
    let (listed, printed) = (expected.lines().count(), seen.lines().count());
    ensure!(listed == printed, "the guest printed {printed} lines, natively {listed}");
    let mut differences = Vec::new();
    let mut left_out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut same = 0;
    for (expected, seen) in expected.lines().zip(seen.lines()) {
        let name = expected.split(':').next().unwrap_or_default();
        if let Some(reason) = limit(name) {
            left_out.entry(reason).or_default().push(name);
        } else if expected == seen {
            same += 1;
        } else {
            differences.push(format!("  natively: {expected}\n  emulated: {seen}"));
        }
    }
    ensure!(
        differences.is_empty(),
        "{} lines differ from the native run:\n{}",
        differences.len(),
        differences[..differences.len().min(SHOWN)].join("\n")
    );
    let left_out = left_out.into_iter().map(|(reason, names)| format!("{}: {reason}", names.join(" ")));
    Ok(Comparison { same, left_out: left_out.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_other_line_a_missing_and_an_added_one_are_differences() {
        let lines: Vec<String> = (0..150).map(|n| format!("case_{n}: argv=[x]")).collect();
        let whole = lines.join("\n");
        assert_eq!(compare(100, &whole, &whole, |_| None).expect("the same").same, 150);
        let other = whole.replace("case_7:", "case_7: EACCES");
        let error = compare(100, &whole, &other, |_| None).expect_err("another line");
        assert!(error.to_string().contains("natively: case_7: argv"), "{error}");
        assert!(compare(100, &whole, &lines[..149].join("\n"), |_| None).is_err());
        assert!(compare(100, &whole, &format!("{whole}\nmore"), |_| None).is_err());
        assert!(compare(1, "", "", |_| None).is_err(), "an empty transcript proves nothing");
    }

    #[test]
    fn what_a_limit_leaves_out_is_told_with_its_reason() {
        let lines: Vec<String> = (0..150).map(|n| format!("case_{n}: argv=[x]")).collect();
        let whole = lines.join("\n");
        let other = whole.replace("case_7:", "case_7: EACCES");
        let compared =
            compare(100, &whole, &other, |name| (name == "case_7").then_some("a reason")).expect("left out");
        assert_eq!((compared.same, compared.left_out), (149, vec!["case_7: a reason".to_owned()]));
    }
}
