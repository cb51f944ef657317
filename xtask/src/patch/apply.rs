//! One patch on a tree, without fuzz.

use crate::facts::series::Patch;
use crate::git;
use crate::process::{self, capture, output};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// `git` for a folder that is no repository, wherever it lies.
fn git_outside_repositories(tree: &Path) -> Result<Command> {
    let shell = process::shell()?;
    let mut command = Command::from(git::git(&shell));
    command.current_dir(tree).env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree));
    Ok(command)
}

/// Hunks of a patch that fit a tree, but not at the lines they say.
pub fn moved_hunks(patch: &Patch, tree: &Path) -> Result<Vec<String>> {
    let mut dry = git_outside_repositories(tree)?;
    dry.args(["apply", "--check", "--verbose"]).arg(&patch.path);
    let said = String::from_utf8_lossy(&output(&mut dry)?.stderr).into_owned();
    Ok(said.lines().filter(|line| line.contains("succeeded at")).map(str::to_owned).collect())
}

/// The files that a patch changes, adds or removes.
pub fn touched(patch: &Patch, tree: &Path) -> Result<Vec<String>> {
    let mut ask = git_outside_repositories(tree)?;
    ask.args(["apply", "--numstat", "-z"]).arg(&patch.path);
    let said = capture(ask).with_context(|| format!("{} is not a patch", patch.path.display()))?;
    // Two numbers and a name each; renames, which would look another way, are written as two changes.
    let named = |record: &str| record.splitn(3, '\t').nth(2).map(str::to_owned);
    Ok(said.split_terminator('\0').filter_map(named).collect())
}

/// Changes a tree by a patch. If it does not apply, nothing is changed.
pub fn apply_one(patch: &Patch, tree: &Path) -> Result<()> {
    let mut command = git_outside_repositories(tree)?;
    command.args(["apply", "--whitespace=nowarn", "--verbose"]).arg(&patch.path);
    let result = output(&mut command)?;
    if result.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&result.stderr);
    let text = fs::read_to_string(&patch.path).unwrap_or_default();
    let places: Vec<String> = said.lines().filter_map(|line| failed_hunk(line, &text)).collect();
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error:")).collect();
    bail!(
        "{} does not apply{}\n  | {}\n\
         to fix it: cargo xtask patch open FOLDER, rebase there, cargo xtask patch refresh FOLDER",
        patch.name,
        places.iter().map(|place| format!("\n  at {place}")).collect::<String>(),
        errors.join("\n  | ")
    )
}

/// Turns git's `error: patch failed: FILE:LINE` into the file and the number of the hunk.
fn failed_hunk(error: &str, patch: &str) -> Option<String> {
    let (file, line) = error.strip_prefix("error: patch failed: ")?.rsplit_once(':')?;
    let mut in_file = false;
    let mut hunk = 0;
    for text in patch.lines() {
        if let Some(name) = text.strip_prefix("--- a/") {
            in_file = name == file;
            hunk = 0;
        } else if in_file && text.starts_with("@@ -") {
            hunk += 1;
            let start = text.trim_start_matches("@@ -").split([',', ' ']).next()?;
            if start == line {
                return Some(format!("{file}, hunk {hunk} (line {line})"));
            }
        }
    }
    Some(format!("{file}, line {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Topic;

    #[test]
    fn a_failed_hunk_is_named_by_file_and_number() {
        let patch = "--- a/linux-user/main.c\n+++ b/linux-user/main.c\n@@ -10,3 +10,4 @@ x\n a\n@@ -99,7 +100,8 @@ y\n b\n";
        let named = failed_hunk("error: patch failed: linux-user/main.c:99", patch);
        assert_eq!(named.as_deref(), Some("linux-user/main.c, hunk 2 (line 99)"));
        assert_eq!(failed_hunk("error: something else", patch), None);
    }

    #[test]
    fn a_patch_that_does_not_fit_names_file_and_hunk_and_changes_nothing() {
        let home = tempfile::tempdir().expect("a folder");
        let tree = home.path().join("tree");
        fs::create_dir(&tree).expect("created");
        fs::write(tree.join("a.c"), "one\ntwo\nthree\n").expect("written");
        let path = home.path().join("0001-x.patch");
        fs::write(&path, "--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,3 @@\n one\n-TWO\n+2\n three\n").expect("written");
        let patch = Patch { name: "0001-x.patch".into(), topic: Topic::Fixes, sha256: String::new(), path };
        let error = apply_one(&patch, &tree).expect_err("refused").to_string();
        assert!(error.contains("0001-x.patch does not apply"), "{error}");
        assert!(error.contains("a.c, hunk 1 (line 1)"), "{error}");
        assert_eq!(fs::read_to_string(tree.join("a.c")).expect("read"), "one\ntwo\nthree\n");
    }
}
