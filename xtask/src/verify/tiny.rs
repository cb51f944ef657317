//! The small guest program that every target has, without a C library and without a compiler here: its
//! bytes stand in `guests/tiny/bytes`, its source and recipe beside them.

use super::guest::RELEASE;
use super::{Outcome, PATIENCE, Start};
use crate::process::{ended, output_within};
use crate::session::Session;
use crate::store::{self, Scratch};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// How often an emulator is started: one that its host's kernel or C library starts by luck alone would
/// show it.
const STARTS: usize = 20;
/// What the program ends with when it starts no child, and one more for each program above it.
const LEAF: i32 = 41;

/// The emulator starts its guest every time.
pub fn check_start(session: &Session, start: Start<'_>) -> Result<Outcome> {
    let home = home(session, start)?;
    for number in 1..=STARTS {
        run(start, home.path(), &["./tiny", "hello"], 1, LEAF)
            .with_context(|| format!("start {number} of {STARTS}"))?;
    }
    let how = if start.runner.is_some() { "in this machine's emulator of it" } else { "natively" };
    Ok(Outcome::Passed(format!("{STARTS} starts of {STARTS} {how}")))
}

/// A script whose interpreter starts a child, and a child that starts a child.
pub fn check_children(session: &Session, start: Start<'_>) -> Result<String> {
    let home = home(session, start)?;
    let script = home.path().join("script");
    fs::write(&script, "#!./tiny ./tiny\n").context("cannot write a script")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).context("cannot write a script")?;
    run(start, home.path(), &["./script"], 2, LEAF + 1).context("a script with a child")?;
    run(start, home.path(), &["./tiny", "./tiny", "./tiny", "last"], 3, LEAF + 2)
        .context("a child of a child")?;
    // A file that is not there: errno 2, and one more from the program above.
    run(start, home.path(), &["./tiny", "./missing", "last"], 1, 3).context("a missing program")?;
    Ok("a program without a C library started children".to_owned())
}

/// Runs the program with these words, and compares how many lines it prints and how it ends.
fn run(start: Start<'_>, home: &Path, words: &[&str], lines: usize, code: i32) -> Result<()> {
    let mut command = start.command();
    command.args(["-r", RELEASE, "--execve", "self"]).args(words).current_dir(home);
    let result = output_within(PATIENCE, &mut command)?;
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
fn home(session: &Session, start: Start<'_>) -> Result<Scratch> {
    let file = folder(session).join(format!("{}.hex", start.emulator.target().name));
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let home = Scratch::new(&session.workspace.trees)?;
    let program = home.path().join("tiny");
    let bytes = bytes(&text).with_context(|| format!("{} is not what it should be", file.display()))?;
    fs::write(&program, bytes).context("cannot write the guest program")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).context("cannot write it")?;
    Ok(home)
}

fn folder(session: &Session) -> PathBuf {
    session.workspace.root.join("guests/tiny/bytes")
}

/// What a file of hex digits stands for; lines that begin with `#` are for people.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let digits: String =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
    hex::decode(digits).context("it holds something else than hex digits")
}

/// Stands for the programs of all targets.
pub fn key(session: &Session) -> Result<String> {
    let folder = folder(session);
    let listed = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut hashes = Vec::new();
    for entry in listed {
        hashes.push(store::sha256_file(&entry.context("cannot list the guest programs")?.path())?);
    }
    hashes.sort();
    store::short_key(&hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::targets::TARGETS;

    #[test]
    fn every_target_has_a_small_program_for_its_machine() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/tiny/bytes");
        for target in TARGETS {
            let text = fs::read_to_string(folder.join(format!("{}.hex", target.name))).expect(target.name);
            let program = bytes(&text).expect(target.name);
            assert!(program.starts_with(b"\x7fELF") && program.len() < 4096, "{}", target.name);
        }
    }

    #[test]
    fn only_hex_digits_and_remarks_are_read() {
        assert_eq!(bytes("# a remark\n7f 45\n4c46\n").expect("bytes"), b"\x7fELF");
        assert!(bytes("7f4").is_err() && bytes("nothing").is_err());
    }
}
