//! The execve contract: the guest `exec.c` does the same under `--execve self` as natively, line for
//! line, and `contract.sh` finds nothing wrong. Needs a compiler for the target.

use super::{Outcome, PATIENCE, alone};
use crate::compile::Emulator;
use crate::exit::Lacks;
use crate::facts::{Series, Target};
use crate::process::{capture, ended, output_within};
use crate::session::Session;
use crate::store::Scratch;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a difference that an error shows.
const SHOWN: usize = 5;

/// Compiles the guest for the target and for this machine, and compares; with `upstream`, the same
/// emulator without our patches, also the system calls of both.
pub fn check(session: &Session, _: &Series, emulator: &Emulator, upstream: Option<&Path>) -> Result<Outcome> {
    let cross = match compiler(emulator.target()) {
        Ok(cross) => cross,
        Err(lacks) => return Ok(Outcome::NotRun(lacks.to_string().replace("\n  ", "; "))),
    };
    let home = Scratch::new(&session.workspace.trees)?;
    let source = session.workspace.root.join("guests/exec");
    let program = source.join("exec.c");
    let guest = compile(&cross, &program, &home.path().join("guest"))?;
    let native = compile(&which::which("gcc")?, &program, &home.path().join("native"))?;

    let folder = home.path().join("cases");
    let expected = transcript(alone(&native), &folder)?;
    let mut emulated = alone(emulator.path());
    emulated.args(["--execve", "self"]).arg(&guest);
    let seen = transcript(emulated, &folder)?;
    compare(&expected, &seen)?;

    let mut script = alone(Path::new("sh"));
    script
        .arg(source.join("contract.sh"))
        .args([emulator.path(), &guest, &native])
        .args(upstream)
        .env("TMPDIR", home.path());
    if !emulator.facts().profile.is_static() {
        let root = home.path().join("root");
        super::sanitized::copy_libraries(emulator.path(), &root)?;
        script.env("CONTRACT_ROOT", root);
    }
    let result = output_within(PATIENCE, &mut script)?;
    let tap = Tap::read(&String::from_utf8_lossy(&result.stdout));
    ensure!(tap.failed.is_empty(), "contract.sh: {}", tap.failed.join("\n  "));
    ensure!(result.status.success() && tap.passed > 0, "contract.sh {}", ended(result.status));
    let skipped =
        if tap.skipped.is_empty() { String::new() } else { format!("; not run: {}", tap.skipped.join(", ")) };
    Ok(Outcome::Passed(format!(
        "{} cases as natively, {} checks of contract.sh{skipped}",
        expected.lines().count(),
        tap.passed
    )))
}

/// The C compiler for a target's programs.
pub fn compiler(target: Target) -> Result<PathBuf, Lacks> {
    let Some(debian) = target.debian else {
        return Err(Lacks { what: format!("a C library for {}", target.name), command: None });
    };
    let name = format!("{}-gcc", debian.triple);
    which::which(&name).map_err(|_| {
        let package = format!("gcc-{}", debian.triple.replace('_', "-"));
        Lacks::new(
            format!("a C compiler for the guest ({name})"),
            format!("apt-get install {package} libc6-dev-{}-cross", debian.arch),
        )
    })
}

/// Compiles a guest program.
pub fn compile(cc: &Path, source: &Path, to: &Path) -> Result<PathBuf> {
    let mut command = Command::new(cc);
    command.args(["-static", "-O1", "-pthread", "-o"]).arg(to).arg(source);
    capture(command).context("the guest does not compile")?;
    Ok(to.to_owned())
}

/// What `exec.c` prints of all its cases.
fn transcript(mut command: Command, folder: &Path) -> Result<String> {
    command.arg("--run").arg(folder);
    let result = output_within(PATIENCE, &mut command)?;
    let said = String::from_utf8_lossy(&result.stdout).into_owned();
    if !result.status.success() {
        let complaint = String::from_utf8_lossy(&result.stderr);
        bail!("the guest {}: {}", ended(result.status), complaint.trim());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(said)
}

fn compare(expected: &str, seen: &str) -> Result<()> {
    ensure!(expected.lines().count() > 100, "the guest's native transcript is too short to prove anything");
    let differences: Vec<String> = expected
        .lines()
        .zip(seen.lines())
        .filter(|(expected, seen)| expected != seen)
        .map(|(expected, seen)| format!("  natively: {expected}\n  emulated: {seen}"))
        .collect();
    let (expected, seen) = (expected.lines().count(), seen.lines().count());
    ensure!(
        differences.is_empty(),
        "{} lines differ from the native run:\n{}",
        differences.len(),
        differences[..differences.len().min(SHOWN)].join("\n")
    );
    ensure!(expected == seen, "the guest printed {seen} lines, natively {expected}");
    Ok(())
}

/// What a script in the Test Anything Protocol printed.
#[derive(Debug, Default)]
struct Tap {
    passed: usize,
    skipped: Vec<String>,
    failed: Vec<String>,
}

impl Tap {
    fn read(text: &str) -> Self {
        let mut tap = Self::default();
        for line in text.lines() {
            if line.starts_with("not ok ") {
                tap.failed.push(line.to_owned());
            } else if line.starts_with("ok ") && line.contains("# SKIP") {
                tap.skipped.push(line.splitn(3, ' ').nth(2).unwrap_or(line).replace(" # SKIP ", ": "));
            } else if line.starts_with("ok ") {
                tap.passed += 1;
            } else if let (Some(last), true) = (tap.failed.last_mut(), line.starts_with("# ")) {
                last.push_str(&format!(" {line}"));
            }
        }
        tap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_other_line_a_missing_and_an_added_one_are_differences() {
        let lines: Vec<String> = (0..150).map(|n| format!("case_{n}: argv=[x]")).collect();
        let whole = lines.join("\n");
        compare(&whole, &whole).expect("the same");
        let error = compare(&whole, &whole.replace("case_7:", "case_7: EACCES")).expect_err("another line");
        assert!(error.to_string().contains("natively: case_7: argv"), "{error}");
        assert!(compare(&whole, &lines[..149].join("\n")).is_err());
        assert!(compare(&whole, &format!("{whole}\nmore")).is_err());
        assert!(compare("", "").is_err(), "an empty transcript proves nothing");
    }

    #[test]
    fn failures_and_skips_are_read_from_tap() {
        let tap = Tap::read("ok 1 one\nnot ok 2 two\n# wanted x\nok 3 three # SKIP no strace\n1..3\n");
        assert_eq!(
            (tap.passed, tap.skipped, tap.failed),
            (1, vec!["three: no strace".into()], vec!["not ok 2 two # wanted x".into()])
        );
    }
}
