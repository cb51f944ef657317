//! A guest program really run: Debian's static busybox of the target's architecture, whose shell runs
//! a script that starts children in every usual way, all under `--execve self`.

use super::Outcome;
use crate::apt::{self, Apt};
use crate::compile::Emulator;
use crate::facts::Series;
use crate::facts::targets::Debian;
use crate::process::{ended, output};
use crate::session::Session;
use crate::store::{self, Lock};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel release that no kernel has. It is given to the first program alone, so a child that
/// reports it ran in the emulator, with the first one's settings.
const RELEASE: &str = "6.6.6-anyarch";

/// The script that the guest's shell runs.
pub fn script(session: &Session) -> PathBuf {
    session.workspace.root.join("guests/children.sh")
}

/// Runs the script and compares what it prints.
pub fn check(session: &Session, _: &Series, emulator: &Emulator) -> Result<Outcome> {
    let Some(debian) = emulator.target().debian else {
        return Ok(Outcome::NotRun("no guest program for this target is at hand".into()));
    };
    let busybox = match busybox(session, debian) {
        Ok(busybox) => busybox,
        Err(error) => {
            return Ok(Outcome::NotRun(format!(
                "busybox-static of Debian {} is not to be had: {error}",
                debian.arch
            )));
        }
    };
    let home =
        tempfile::tempdir_in(&session.workspace.trees).context("cannot make a folder for the guest")?;
    let shell = home.path().join("busybox");
    fs::copy(&busybox, &shell).context("cannot copy busybox")?;
    let mut command = Command::new(emulator.path());
    command
        .args(["-r", RELEASE, "--execve", "self"])
        .arg(&shell)
        .arg("sh")
        .arg(script(session))
        .current_dir(home.path())
        .env_clear()
        .env("KEPT", "a value")
        .env("PATH", "/nowhere");
    let result = output(&mut command)?;
    let said = String::from_utf8_lossy(&result.stdout);
    let complaints = String::from_utf8_lossy(&result.stderr);
    let complaints = complaints.trim();
    ensure!(result.status.success(), "the guest's shell {}: {said}{complaints}", ended(result.status));
    compare(&said, &expected())?;
    ensure!(complaints.is_empty(), "the guest complains: {complaints}");
    Ok(Outcome::Passed(format!("busybox of Debian {} ran a script with children", debian.arch)))
}

/// What the script prints, line by line: the promises that it tests.
fn expected() -> Vec<String> {
    let lines = [
        "a child runs in the emulator, with its settings: {RELEASE}",
        "a pipeline of children: 3",
        "an exit status: 42",
        "argv[0] as given: sh",
        "the environment as given: KEPT=a value",
        "an empty environment: 0 variables, {RELEASE}",
        "a script by its first line: one argument [a b] {RELEASE}",
        "a background job: done",
        "a replaced shell: {RELEASE}",
        "a missing program: 127",
        "a file that is not executable: 126",
        "a folder: 126",
    ];
    lines.iter().map(|line| line.replace("{RELEASE}", RELEASE)).collect()
}

fn compare(said: &str, expected: &[String]) -> Result<()> {
    for (number, line) in expected.iter().enumerate() {
        match said.lines().nth(number) {
            Some(seen) if seen == line => {}
            Some(seen) => bail!("line {} of the guest's script is\n  `{seen}`, not\n  `{line}`", number + 1),
            None => bail!("the guest's script ended before\n  `{line}`"),
        }
    }
    ensure!(said.lines().count() == expected.len(), "the guest's script says more than it should:\n{said}");
    Ok(())
}

/// The busybox of an architecture, unpacked in the cache.
fn busybox(session: &Session, debian: Debian) -> Result<PathBuf> {
    let top =
        session.workspace.cache.join("guests").join(format!("busybox-{}-{}", debian.suite, debian.arch));
    let _lock = Lock::acquire(&top, &session.progress)?;
    if !top.is_dir() {
        if session.offline {
            bail!("it is not in the cache, and --offline forbids to get it");
        }
        let apt = Apt::open(session, debian.suite, debian.arch)?;
        let got = apt.download(&["busybox-static".to_owned()])?;
        store::publish_dir(&top, |folder| {
            got.iter().try_for_each(|(_, deb)| apt::unpack(deb, folder))?;
            program(folder).map(drop)
        })?;
    }
    program(&top)
}

/// Debian moved programs from `/bin` to `/usr/bin`.
fn program(folder: &Path) -> Result<PathBuf> {
    let places = ["bin/busybox", "usr/bin/busybox"].map(|place| folder.join(place));
    places.into_iter().find(|path| path.is_file()).context("the package holds no busybox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_changed_or_added_line_is_a_failure() {
        let lines = expected();
        let whole = lines.join("\n") + "\n";
        compare(&whole, &lines).expect("the same");
        let native = whole.replace(RELEASE, "6.1.0-21-amd64");
        assert!(compare(&native, &lines).is_err(), "a child of the kernel must not pass for one of ours");
        let cut = lines[..lines.len() - 1].join("\n");
        assert!(compare(&cut, &lines).is_err());
        assert!(compare(&(whole + "more\n"), &lines).is_err());
    }
}
