//! The small guest program that every target has, without a C library and without a compiler here: its
//! bytes stand in `guests/tiny/bytes`, its source and recipe beside them.

use super::{Outcome, RELEASE, Start, TIMEOUT};
use crate::facts::Target;
use crate::process::{ended, output_within};
use crate::session::Session;
use anyarch_client::files::TempFolder;
use anyarch_client::hash;
use anyhow::{Context as _, Result, ensure};
use data_encoding::HEXLOWER;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How often an emulator is started: one that its host's kernel or C library starts by luck alone would
/// show it.
const STARTS: usize = 20;
/// What the program ends with when it starts no child, and one more for each program above it.
const LEAF: i32 = 41;
/// How long the program's file is made, in bytes: the largest page of any host or target.
const LENGTH: u64 = 64 << 10;

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
    let file = folder(session).join(format!("{}.hex", target.name));
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let home = TempFolder::new(&session.workspace.trees)?;
    let program = home.path().join("tiny");
    let bytes = bytes(&text).with_context(|| format!("{} is invalid", file.display()))?;
    fs::write(&program, bytes).context("cannot write the guest program")?;
    // No page of it may lie across the file's end: QEMU 7.2 reads such a one of 8 KiB on a host with 4 KiB into
    // memory that is only writable, which Linux does and no QEMU that it runs in.
    File::options()
        .write(true)
        .open(&program)
        .and_then(|file| file.set_len(LENGTH))
        .context("cannot pad it")?;
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
    HEXLOWER.decode(digits.as_bytes()).context("it contains something other than hex digits")
}

/// Hash of the guest programs of all targets.
pub fn key(session: &Session) -> Result<String> {
    let folder = folder(session);
    let listed = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut hashes = Vec::new();
    for entry in listed {
        hashes.push(hash::sha256_file(&entry.context("cannot list the guest programs")?.path())?);
    }
    hashes.sort();
    hash::short_key(&hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Host;
    use crate::facts::hosts::Endian;
    use crate::facts::targets::TARGETS;
    use crate::verify::elf;

    #[test]
    fn every_target_has_a_small_program_for_its_machine() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/tiny/bytes");
        for target in TARGETS {
            let text = fs::read_to_string(folder.join(format!("{}.hex", target.name))).expect(target.name);
            let program = bytes(&text).expect(target.name);
            assert!(program.starts_with(b"\x7fELF") && program.len() < 4096, "{}", target.name);
            let (machine, bits, order) = expected(target);
            let header: [u8; 2] = [program[18], program[19]];
            let (is_big, seen) = match program[5] {
                1 => (false, u16::from_le_bytes(header)),
                _ => (true, u16::from_be_bytes(header)),
            };
            assert_eq!(
                (seen, 32 * program[4], is_big),
                (machine, bits, order == Endian::Big),
                "{}",
                target.name
            );
        }
    }

    #[test]
    fn the_small_programs_machines_are_those_of_hosts_of_the_same_kind() {
        let toolchains = Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains");
        for host in Host::all(&toolchains).expect("hosts") {
            let (machine, bits, order) = expected(&host.as_target().expect("a target"));
            let wanted = elf::machine(&host.elf.machine).expect("a machine").0;
            assert_eq!((machine, bits, order), (wanted, host.elf.bits, host.elf.endian), "{}", host.platform);
        }
    }

    /// The machine by ELF's number, the width and the byte order of a target's programs.
    fn expected(target: &Target) -> (u16, u8, Endian) {
        let machine = match target.name {
            "aarch64" | "aarch64_be" => 183,
            "alpha" => 0x9026,
            "arm" | "armeb" => 40,
            "cris" => 76,
            "hexagon" => 164,
            "hppa" => 15,
            "i386" => 3,
            "loongarch64" => 258,
            "m68k" => 4,
            "microblaze" | "microblazeel" => 189,
            "nios2" => 113,
            "or1k" => 92,
            "ppc" => 20,
            "ppc64" | "ppc64le" => 21,
            "riscv32" | "riscv64" => 243,
            "s390x" => 22,
            "sh4" | "sh4eb" => 42,
            "sparc" => 2,
            "sparc32plus" => 18,
            "sparc64" => 43,
            "x86_64" => 62,
            "xtensa" | "xtensaeb" => 94,
            mips if mips.starts_with("mips") => 8,
            other => unreachable!("a target that this test does not know: {other}"),
        };
        // Wide registers, narrow addresses.
        let is_narrow = ["hppa", "mipsn32", "mipsn32el", "sparc32plus"].contains(&target.name);
        let big = [
            "aarch64_be",
            "armeb",
            "hppa",
            "m68k",
            "microblaze",
            "mips",
            "mips64",
            "mipsn32",
            "or1k",
            "ppc",
            "ppc64",
            "s390x",
            "sh4eb",
            "sparc",
            "sparc32plus",
            "sparc64",
            "xtensaeb",
        ];
        let order = if big.contains(&target.name) { Endian::Big } else { Endian::Little };
        (machine, if is_narrow { 32 } else { target.bits }, order)
    }

    #[test]
    fn only_hex_digits_and_remarks_are_read() {
        assert_eq!(bytes("# a remark\n7f 45\n4c46\n").expect("bytes"), b"\x7fELF");
        assert!(bytes("7f4").is_err() && bytes("nothing").is_err());
    }
}
