//! What the header of an emulator must say: the host's machine, static, stripped, hardened.

use crate::facts::hosts::{Elf, Endian};
use crate::plan::Profile;
use anyhow::{Context as _, Result, ensure};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, FileKind, elf};

/// Checks the bytes of an emulator against what its host expects, and says what was seen.
pub fn check(bytes: &[u8], expected: &Elf, profile: Profile) -> Result<String> {
    let seen = match FileKind::parse(bytes).context("it is not an ELF file")? {
        FileKind::Elf32 => read::<elf::FileHeader32<Endianness>>(bytes, 32),
        FileKind::Elf64 => read::<elf::FileHeader64<Endianness>>(bytes, 64),
        other => anyhow::bail!("it is not an ELF file but {other:?}"),
    }
    .context("its ELF header cannot be read")?;
    compare(&seen, expected, profile)?;
    if !profile.is_static() {
        return Ok(format!("{} {}-bit, dynamic", expected.machine, seen.bits));
    }
    let kind = if seen.is_pie { "static PIE, full RELRO" } else { "static" };
    Ok(format!("{} {}-bit {kind}, no executable stack", expected.machine, seen.bits))
}

/// What a header says, as far as anybody asks.
#[derive(Debug)]
struct Seen {
    machine: elf::Machine,
    bits: u8,
    is_big_endian: bool,
    is_pie: bool,
    has_interpreter: bool,
    needs_libraries: bool,
    has_symbols: bool,
    has_relro: bool,
    binds_now: bool,
    stack_is_executable: bool,
}

fn read<H: FileHeader<Endian = Endianness>>(bytes: &[u8], bits: u8) -> Result<Seen> {
    let header = H::parse(bytes)?;
    let endian = header.endian()?;
    let mut seen = Seen {
        machine: header.e_machine(endian),
        bits,
        is_big_endian: header.is_big_endian(),
        is_pie: header.e_type(endian) == elf::ET_DYN,
        has_interpreter: false,
        needs_libraries: false,
        has_symbols: false,
        has_relro: false,
        binds_now: false,
        stack_is_executable: true, // Unless the file says otherwise.
    };
    for segment in header.program_headers(endian, bytes)? {
        match segment.p_type(endian) {
            elf::PT_INTERP => seen.has_interpreter = true,
            elf::PT_GNU_RELRO => seen.has_relro = true,
            elf::PT_GNU_STACK => seen.stack_is_executable = segment.p_flags(endian).0 & elf::PF_X.0 != 0,
            _ => {}
        }
        for entry in segment.dynamic(endian, bytes)?.unwrap_or_default() {
            let value: u64 = entry.d_val(endian).into();
            match entry.d_tag(endian) {
                elf::DT_NEEDED => seen.needs_libraries = true,
                elf::DT_BIND_NOW => seen.binds_now = true,
                elf::DT_FLAGS if value & elf::DF_BIND_NOW.0 != 0 => seen.binds_now = true,
                elf::DT_FLAGS_1 if value & elf::DF_1_NOW.0 != 0 => seen.binds_now = true,
                _ => {}
            }
        }
    }
    let sections = header.sections(endian, bytes)?;
    seen.has_symbols = sections.iter().any(|section| section.sh_type(endian) == elf::SHT_SYMTAB);
    Ok(seen)
}

fn compare(seen: &Seen, expected: &Elf, profile: Profile) -> Result<()> {
    let machine = machine(&expected.machine)?;
    ensure!(
        seen.machine == machine,
        "it is for ELF machine {}, not {} ({})",
        seen.machine.0,
        expected.machine,
        machine.0
    );
    ensure!(seen.bits == expected.bits, "it is {}-bit, not {}-bit", seen.bits, expected.bits);
    ensure!(seen.is_big_endian == (expected.endian == Endian::Big), "it has the wrong byte order");
    if !profile.is_static() {
        return Ok(());
    }
    ensure!(!seen.has_interpreter, "it is not static: it names a program interpreter");
    ensure!(!seen.needs_libraries, "it is not static: it needs shared libraries");
    ensure!(
        seen.is_pie == expected.pie,
        "it is {}PIE, against the host's policy",
        if seen.is_pie { "" } else { "not " }
    );
    ensure!(!seen.stack_is_executable, "its stack is executable");
    if expected.pie {
        ensure!(seen.has_relro && seen.binds_now, "its relocations stay writable (no full RELRO)");
    }
    ensure!(!seen.has_symbols || profile == Profile::Dev, "it is not stripped");
    Ok(())
}

/// The number of a machine in ELF headers, by the name in `toolchains/`.
pub fn machine(name: &str) -> Result<elf::Machine> {
    Ok(match name {
        "x86_64" => elf::EM_X86_64,
        "aarch64" => elf::EM_AARCH64,
        "arm" => elf::EM_ARM,
        "i386" => elf::EM_386,
        "powerpc64" => elf::EM_PPC64,
        "s390x" => elf::EM_S390,
        "riscv64" => elf::EM_RISCV,
        "mips" => elf::EM_MIPS,
        "loongarch64" => elf::EM_LOONGARCH,
        _ => anyhow::bail!("no ELF machine is known by the name {name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn policy(pie: bool) -> Elf {
        Elf { machine: "x86_64".into(), bits: 64, endian: Endian::Little, pie, xz_filter: None }
    }

    /// Compiles an empty program with these options; `None` where there is no compiler for x86-64.
    fn program(options: &[&str]) -> Option<Vec<u8>> {
        let home = tempfile::tempdir().ok()?;
        let source = home.path().join("a.c");
        let file = home.path().join("a");
        std::fs::write(&source, "int main(void) { return 0; }\n").ok()?;
        let status = Command::new("gcc").args(options).arg("-o").arg(&file).arg(&source).status().ok()?;
        status.success().then(|| std::fs::read(file).ok()).flatten()
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_fault_of_a_real_file_is_found() {
        const GOOD: [&str; 4] = ["-static-pie", "-s", "-Wl,-z,relro", "-Wl,-z,now"];
        let good = program(&GOOD).expect("gcc");
        let said = check(&good, &policy(true), Profile::Release).expect("fit");
        assert!(said.contains("static PIE"), "{said}");
        let faults: [(&[&str], &str); 5] = [
            (&["-static-pie", "-Wl,-z,relro", "-Wl,-z,now"], "not stripped"),
            (&["-s", "-Wl,-z,relro", "-Wl,-z,now"], "program interpreter"),
            (&["-static", "-s"], "not PIE"),
            (&["-static-pie", "-s", "-Wl,-z,norelro", "-Wl,-z,now"], "RELRO"),
            (&["-static-pie", "-s", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,execstack"], "executable"),
        ];
        for (options, reason) in faults {
            let error =
                check(&program(options).expect("gcc"), &policy(true), Profile::Release).expect_err(reason);
            assert!(format!("{error:#}").contains(reason), "{error:#}");
        }
        let arm = Elf { machine: "aarch64".into(), ..policy(true) };
        assert!(check(&good, &arm, Profile::Release).is_err());
        assert!(check(&good[..100], &policy(true), Profile::Release).is_err());
        assert!(check(b"#!/bin/sh\n", &policy(true), Profile::Release).is_err());
    }
}
