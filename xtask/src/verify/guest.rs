//! A guest program really run: Debian's static busybox of the target's architecture, whose shell runs
//! a script that starts children in every usual way, all under `--execve self`.

use super::{Outcome, RELEASE, Start, TIMEOUT, tiny};
use crate::apt::{self, Apt};
use crate::facts::targets::Debian;
use crate::process::{ended, output_within};
use crate::session::Session;
use anyarch_client::files::{self, TempFolder};
use anyarch_client::lock::Lock;
use anyhow::{Context as _, Result, bail, ensure};
use object::{Object as _, ObjectSegment as _};
use std::fs;
use std::path::{Path, PathBuf};

/// The script that the guest's shell runs.
pub fn script(session: &Session) -> PathBuf {
    session.workspace.root.join("guests/children.sh")
}

/// Runs the script and compares what it prints. Targets that Debian has no programs for run the small
/// guest alone.
pub fn check(session: &Session, start: Start<'_>) -> Result<Outcome> {
    let tiny = tiny::check_children(session, start)?;
    let Some(debian) = start.emulator.target().debian else { return Ok(Outcome::Passed(tiny)) };
    let Some(busybox) = busybox(session, debian)? else {
        let reason =
            format!("busybox-static of Debian {} is not in the cache, and --offline is set", debian.arch);
        return Ok(Outcome::NotRun(reason));
    };
    if start.emulator.host().elf.bits == 32 && end(&busybox)? > 1 << 32 {
        let arch = debian.arch;
        return Ok(Outcome::Passed(format!(
            "{tiny}; busybox of Debian {arch} lies beyond 4 GiB, where no 32-bit host has memory"
        )));
    }
    let home = TempFolder::new(&session.workspace.trees)?;
    let shell = home.path().join("busybox");
    fs::copy(&busybox, &shell).context("cannot copy busybox")?;
    let mut command = start.command();
    command
        .args(["-r", RELEASE, "--execve", "self"])
        .arg(&shell)
        .arg("sh")
        .arg(script(session))
        .current_dir(home.path())
        .env("KEPT", "a value")
        .env("PATH", "/nowhere");
    let result = output_within(TIMEOUT, &mut command)?;
    let said = String::from_utf8_lossy(&result.stdout);
    let complaints = String::from_utf8_lossy(&result.stderr);
    let complaints = complaints.trim();
    ensure!(result.status.success(), "the guest's shell {}: {said}{complaints}", ended(result.status));
    compare(&said, &expected())?;
    ensure!(complaints.is_empty(), "the guest reports errors: {complaints}");
    Ok(Outcome::Passed(format!("{tiny}; busybox of Debian {} ran a script with children", debian.arch)))
}

/// The address behind the last byte of a program that has one place in memory.
fn end(program: &Path) -> Result<u64> {
    let what = || format!("cannot read {}", program.display());
    let bytes = fs::read(program).with_context(what)?;
    let file = object::File::parse(&*bytes).with_context(what)?;
    Ok(file.segments().map(|segment| segment.address() + segment.size()).max().unwrap_or_default())
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
    ensure!(
        said.lines().count() == expected.len(),
        "the guest's script printed more than it should:\n{said}"
    );
    Ok(())
}

/// The busybox of an architecture, unpacked in the cache. None if only the cache may be used and it is
/// not there.
fn busybox(session: &Session, debian: Debian) -> Result<Option<PathBuf>> {
    let top =
        session.workspace.cache.join("guests").join(format!("busybox-{}-{}", debian.suite, debian.arch));
    let _lock = Lock::acquire(&top, &session.progress)?;
    if !top.is_dir() {
        if session.offline {
            return Ok(None);
        }
        let apt = Apt::open(session, debian.suite, debian.arch)
            .context("cannot download the guest program; --offline skips this check")?;
        let got = apt.download(&["busybox-static".to_owned()])?;
        files::publish_dir(&top, |folder| {
            got.iter().try_for_each(|(_, deb)| apt::unpack(deb, folder))?;
            program(folder).map(drop)
        })?;
    }
    program(&top).map(Some)
}

/// Debian moved programs from `/bin` to `/usr/bin`.
fn program(folder: &Path) -> Result<PathBuf> {
    let places = ["bin/busybox", "usr/bin/busybox"].map(|place| folder.join(place));
    places.into_iter().find(|path| path.is_file()).context("the package contains no busybox")
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn a_program_ends_behind_its_last_segment() {
        // Of the small guest for mips64el, the only one: 0x400000 and what the file has of it.
        let text = include_str!("../../../guests/tiny/bytes/mips64el.hex");
        let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
        let bytes = HEXLOWER.decode(digits.as_bytes());
        let home = tempfile::tempdir().expect("a folder");
        let program = home.path().join("tiny");
        fs::write(&program, bytes.expect("hex")).expect("written");
        let end = end(&program).expect("read");
        assert!((0x40_0000..0x50_0000).contains(&end), "{end:#x}");
        assert!(super::end(&home.path().join("nothing")).is_err());
    }

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
