//! The small guest program that every target has, without a C library and without a compiler here: its
//! bytes come from the crate that also proves registrations with it, its source and recipe from `guests/tiny`.

use super::{Outcome, RELEASE, Start, TIMEOUT};
use crate::facts::Target;
use crate::process::{ended, output_within};
use crate::session::Session;
use anyarch_binfmt::tiny;
use anyarch_client::files::TempFolder;
use anyarch_client::hash;
use anyarch_manifest::target;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// How often an emulator is started: one that its host's kernel or C library starts by luck alone would
/// show it.
const STARTS: usize = 20;
/// What the program ends with when it starts no child, and one more for each program above it.
const LEAF: i32 = 41;

/// What has an emulator run its guest's children.
const EXECVE: &[&str] = &["--execve", "self"];

/// The emulator starts its guest every time.
pub fn check_start(session: &Session, start: Start<'_>) -> Result<Outcome> {
    starts(session, start.emulator.target(), &|| start.command(), EXECVE)?;
    let how = if start.runner.is_some() { "in this machine's emulator of it" } else { "natively" };
    Ok(Outcome::Passed(format!("{STARTS} starts of {STARTS} {how}")))
}

/// An emulator that `command` runs starts its guest every time, given these options or none.
pub fn starts(
    session: &Session,
    target: Target,
    command: &dyn Fn() -> Command,
    options: &[&str],
) -> Result<()> {
    let home = home(session, target)?;
    for number in 1..=STARTS {
        run(command(), options, home.path(), &["./tiny", "hello"], 1, LEAF)
            .with_context(|| format!("start {number} of {STARTS}"))?;
    }
    Ok(())
}

/// A script whose interpreter starts a child, and a child that starts a child.
pub fn check_children(session: &Session, start: Start<'_>) -> Result<String> {
    children(session, start.emulator.target(), &|| start.command())
}

/// Like [`check_children`], for an emulator that `command` runs.
pub fn children(session: &Session, target: Target, command: &dyn Fn() -> Command) -> Result<String> {
    let home = home(session, target)?;
    let script = home.path().join("script");
    fs::write(&script, "#!./tiny ./tiny\n").context("cannot write a script")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).context("cannot write a script")?;
    let run = |words: &[&str], lines, code| run(command(), EXECVE, home.path(), words, lines, code);
    run(&["./script"], 2, LEAF + 1).context("a script with a child")?;
    run(&["./tiny", "./tiny", "./tiny", "last"], 3, LEAF + 2).context("a child of a child")?;
    // A file that is not there: errno 2, and one more from the program above.
    run(&["./tiny", "./missing", "last"], 1, 3).context("a missing program")?;
    Ok("a program without a C library started children".to_owned())
}

/// Runs the program with these words, and compares how many lines it prints and how it ends.
fn run(
    mut command: Command,
    options: &[&str],
    home: &Path,
    words: &[&str],
    lines: usize,
    code: i32,
) -> Result<()> {
    command.args(["-r", RELEASE]).args(options).args(words).current_dir(home);
    let result = output_within(TIMEOUT, &mut command)?;
    let said = String::from_utf8_lossy(&result.stdout);
    let complaints = String::from_utf8_lossy(&result.stderr);
    ensure!(
        result.status.code() == Some(code),
        "`{}` {}, not with exit code {code}: {said}{complaints}",
        words.join(" "),
        ended(result.status)
    );
    let last = words.last().copied().unwrap_or_default();
    let expected = format!("{RELEASE} {last}\n").repeat(lines);
    ensure!(said == expected, "`{}` says\n{said}, not\n{expected}", words.join(" "));
    ensure!(complaints.is_empty(), "`{}` complains: {complaints}", words.join(" "));
    Ok(())
}

/// A folder with the program.
fn home(session: &Session, target: Target) -> Result<TempFolder> {
    let home = TempFolder::new(&session.workspace.trees)?;
    let program = home.path().join("tiny");
    fs::write(&program, tiny::program(target.known()?)?).context("cannot write the guest program")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).context("cannot write it")?;
    Ok(home)
}

/// Hash of the guest programs of all targets.
pub fn key() -> Result<String> {
    let programs = target::TARGETS.iter().map(tiny::program);
    let hashes = programs.map(|program| Ok(hash::sha256(&program?))).collect::<Result<Vec<String>>>()?;
    hash::short_key(&hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Host;
    use crate::facts::hosts::Endian;
    use crate::verify::elf;
    use anyarch_manifest::target::Order;

    #[test]
    fn the_small_programs_machines_are_those_of_hosts_of_the_same_kind() {
        let toolchains = Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains");
        for host in Host::all(&toolchains).expect("hosts") {
            let known = host.as_target().expect("a target").known().expect("known").elf;
            let wanted = elf::machine(&host.elf.machine).expect("a machine").0;
            let is_big = host.elf.endian == Endian::Big;
            assert_eq!(
                (known.machine, known.bits, known.order == Order::Big),
                (wanted, host.elf.bits, is_big),
                "{}",
                host.platform
            );
        }
    }
}
