//! The small guest program of each target: some hundred bytes, static, without a C library. It writes the kernel's
//! release and its last argument; given a program, it starts that as its child. Its source is in `guests/tiny`.

use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result};
use data_encoding::HEXLOWER;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the file is made, in bytes: the largest page of any host or target. No page of it may lie across the
/// file's end: QEMU 7.2 reads such a one of 8 KiB on a host with 4 KiB into memory that is only writable, which Linux
/// does and no QEMU that it runs in.
const LENGTH: usize = 64 << 10;

/// A release of the kernel that no machine has. Every QEMU says it, if it is told so; the machine itself does not.
const RELEASE: &str = "6.6.6-anyarch";
/// What the program ends with when it starts no child, and one more for each program above it.
const LEAF: i32 = 41;
/// What it is given to say.
const WORD: &str = "hello";
/// How long it may take, on a machine that has much else to do: natively half a millisecond.
const LIMIT: Duration = Duration::from_secs(30);

const PROGRAMS: &[(&str, &str)] = &[
    ("aarch64", include_str!("../../guests/tiny/bytes/aarch64.hex")),
    ("aarch64_be", include_str!("../../guests/tiny/bytes/aarch64_be.hex")),
    ("alpha", include_str!("../../guests/tiny/bytes/alpha.hex")),
    ("arm", include_str!("../../guests/tiny/bytes/arm.hex")),
    ("armeb", include_str!("../../guests/tiny/bytes/armeb.hex")),
    ("cris", include_str!("../../guests/tiny/bytes/cris.hex")),
    ("hexagon", include_str!("../../guests/tiny/bytes/hexagon.hex")),
    ("hppa", include_str!("../../guests/tiny/bytes/hppa.hex")),
    ("i386", include_str!("../../guests/tiny/bytes/i386.hex")),
    ("loongarch64", include_str!("../../guests/tiny/bytes/loongarch64.hex")),
    ("m68k", include_str!("../../guests/tiny/bytes/m68k.hex")),
    ("microblaze", include_str!("../../guests/tiny/bytes/microblaze.hex")),
    ("microblazeel", include_str!("../../guests/tiny/bytes/microblazeel.hex")),
    ("mips", include_str!("../../guests/tiny/bytes/mips.hex")),
    ("mips64", include_str!("../../guests/tiny/bytes/mips64.hex")),
    ("mips64el", include_str!("../../guests/tiny/bytes/mips64el.hex")),
    ("mipsel", include_str!("../../guests/tiny/bytes/mipsel.hex")),
    ("mipsn32", include_str!("../../guests/tiny/bytes/mipsn32.hex")),
    ("mipsn32el", include_str!("../../guests/tiny/bytes/mipsn32el.hex")),
    ("nios2", include_str!("../../guests/tiny/bytes/nios2.hex")),
    ("or1k", include_str!("../../guests/tiny/bytes/or1k.hex")),
    ("ppc", include_str!("../../guests/tiny/bytes/ppc.hex")),
    ("ppc64", include_str!("../../guests/tiny/bytes/ppc64.hex")),
    ("ppc64le", include_str!("../../guests/tiny/bytes/ppc64le.hex")),
    ("riscv32", include_str!("../../guests/tiny/bytes/riscv32.hex")),
    ("riscv64", include_str!("../../guests/tiny/bytes/riscv64.hex")),
    ("s390x", include_str!("../../guests/tiny/bytes/s390x.hex")),
    ("sh4", include_str!("../../guests/tiny/bytes/sh4.hex")),
    ("sh4eb", include_str!("../../guests/tiny/bytes/sh4eb.hex")),
    ("sparc", include_str!("../../guests/tiny/bytes/sparc.hex")),
    ("sparc32plus", include_str!("../../guests/tiny/bytes/sparc32plus.hex")),
    ("sparc64", include_str!("../../guests/tiny/bytes/sparc64.hex")),
    ("x86_64", include_str!("../../guests/tiny/bytes/x86_64.hex")),
    ("xtensa", include_str!("../../guests/tiny/bytes/xtensa.hex")),
    ("xtensaeb", include_str!("../../guests/tiny/bytes/xtensaeb.hex")),
];

/// The bytes of a target's program.
///
/// # Errors
/// When there is none; tests see to it that there is one for each.
pub fn program(target: &Target) -> Result<Vec<u8>> {
    let (_, text) = PROGRAMS
        .iter()
        .find(|(name, _)| *name == target.name)
        .with_context(|| format!("there is no small program for {target}"))?;
    let mut bytes = bytes(text).with_context(|| format!("the small program for {target}"))?;
    bytes.resize(LENGTH, 0);
    Ok(bytes)
}

/// What a file of hex digits stands for; lines that begin with `#` are for people.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let digits: String =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
    HEXLOWER.decode(digits.as_bytes()).context("it contains something other than hex digits")
}

/// How a target's programs run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runs {
    /// By the machine itself.
    Natively,
    /// By an emulator.
    Emulated,
    /// Not, with the reason.
    Not(String),
}

/// Has the kernel start the program, and that a child, as any program is started.
///
/// # Errors
/// When there is no memory for the file, or no processes.
pub fn by_kernel(target: &Target) -> Result<Runs> {
    run(target, None)
}

/// Has an emulator start the program directly; the kernel, or the emulator, may then start the child or not.
///
/// # Errors
/// When there is no memory for the file, or no processes.
pub fn by_emulator(target: &Target, emulator: &Path) -> Result<Runs> {
    run(target, Some(emulator))
}

fn run(target: &Target, emulator: Option<&Path>) -> Result<Runs> {
    // Nothing is on a disk: it may be full, read-only or mounted with noexec. The emulator opens the file by this name.
    let file = memfd_create("anyarch-tiny", MemfdFlags::empty()).context("cannot make a file in memory")?;
    let mut file = File::from(file);
    file.write_all(&program(target)?).context("cannot write the small program into memory")?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let (mut command, children) = match emulator {
        Some(emulator) => (Command::new(emulator), 0),
        None => (Command::new(&path), 1),
    };
    if emulator.is_some() {
        command.arg(&path);
    }
    for _ in 0..children {
        command.arg(&path);
    }
    command.arg(WORD).env_clear().env("QEMU_UNAME", RELEASE);
    let output = match output(command) {
        Ok(Some(output)) => output,
        Ok(None) => return Ok(Runs::Not(format!("it did not end within {} s", LIMIT.as_secs()))),
        Err(error) => return Ok(Runs::Not(error.to_string())),
    };
    Ok(judge(&output, children))
}

/// What a run shows.
fn judge(output: &Output, children: i32) -> Runs {
    let said = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = said.lines().collect();
    let says = |line: &&str| line.strip_suffix(WORD).is_some_and(|rest| rest.ends_with(' '));
    let is_whole = lines.len() == 1 + children as usize && lines.iter().all(says);
    if output.status.code() != Some(LEAF + children) || !is_whole {
        let complaints = String::from_utf8_lossy(&output.stderr);
        let ended = output.status;
        return Runs::Not(format!("{ended}, with: {}", format!("{said}{complaints}").trim()));
    }
    if lines[0].starts_with(RELEASE) { Runs::Emulated } else { Runs::Natively }
}

/// What a program says, or nothing if it takes too long. It is ended then.
fn output(mut command: Command) -> io::Result<Option<Output>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let end = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(Duration::from_millis(2));
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut stdout)?;
    }
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_end(&mut stderr)?;
    }
    Ok(Some(Output { status, stdout, stderr }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyarch_manifest::target::TARGETS;
    use std::collections::BTreeSet;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    #[test]
    fn every_target_has_a_small_program() {
        let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(PROGRAMS.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(), names);
        for target in TARGETS {
            let program = program(target).expect(target.name);
            assert!(
                program.starts_with(b"\x7fELF") && program[4096..].iter().all(|byte| *byte == 0),
                "{target}"
            );
        }
    }

    #[test]
    fn only_hex_digits_and_remarks_are_read() {
        assert_eq!(bytes("# a remark\n7f 45\n4c46\n").expect("bytes"), b"\x7fELF");
        assert!(bytes("7f4").is_err() && bytes("nothing").is_err());
    }

    #[test]
    fn a_run_is_told_by_its_words_and_its_end() {
        let judged = |code: i32, said: &str| {
            let status = ExitStatus::from_raw(code << 8);
            judge(&Output { status, stdout: said.as_bytes().to_vec(), stderr: b"qemu: no".to_vec() }, 1)
        };
        let twice = |line: &str| format!("{line}\n{line}\n");
        assert_eq!(judged(42, &twice("6.6.6-anyarch hello")), Runs::Emulated);
        assert_eq!(judged(42, &twice("6.18.44 hello")), Runs::Natively);
        for (code, said) in [
            (41, twice("6.6.6-anyarch hello")),
            (42, "6.6.6-anyarch hello\n".to_owned()),
            (42, twice("6.6.6-anyarch")),
            (1, String::new()),
        ] {
            let Runs::Not(why) = judged(code, &said) else { unreachable!("{code} {said}") };
            assert!(why.contains("exit status") && why.ends_with("qemu: no"), "{why}");
        }
    }

    #[test]
    fn the_machine_runs_its_own_and_says_why_not_those_of_others() {
        let host = Target::find(std::env::consts::ARCH).expect("a target");
        assert_eq!(by_kernel(host).expect("run"), Runs::Natively);
        let missing = Path::new("/nowhere/qemu");
        assert!(
            matches!(by_emulator(host, missing).expect("run"), Runs::Not(why) if why.contains("No such"))
        );
    }
}
