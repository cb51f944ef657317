//! How the kernel recognizes a target's programs: the bytes that their files begin with, and which bits of these count.
//! And the line that tells it.

use anyarch_manifest::target::{Order, Target};
use std::path::Path;

/// Where things stand in an ELF header: `elf.h` and the gABI.
const CLASS: usize = 4;
const DATA: usize = 5;
const VERSION: usize = 6;
const OS_ABI: usize = 7;
const TYPE: usize = 16;
const MACHINE: usize = 18;
/// Where `e_flags` stands in a file of 32 bits.
const FLAGS_OF_32: usize = 36;
/// The least that the kernel compares: up to the machine.
const SHORT: usize = MACHINE + 2;
/// `EF_MIPS_ABI2`: addresses have 32 bits, registers 64.
const ABI2: u32 = 0x20;

/// A file format: a file is of it when, at each place, its byte and `magic`'s are the same in the bits of `mask`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The first bytes of a file. Bits that do not count are zero.
    pub magic: Vec<u8>,
    /// The bits that count. As long as `magic`.
    pub mask: Vec<u8>,
}

impl Format {
    /// The format of a target's programs. It takes those at a fixed place (`ET_EXEC`) and at any (`ET_DYN`), and the
    /// OS ABIs 0 (System V) to 3 (GNU).
    ///
    /// What counts as ABI version and padding is not looked at: the kernel does not either with its own programs,
    /// MIPS programs have versions up to 5, and `AppImage`s have letters there.
    pub fn of(target: &Target) -> Self {
        let elf = target.elf;
        let length = if elf.abi2.is_some() { FLAGS_OF_32 + 4 } else { SHORT };
        let mut format = Self { magic: vec![0; length], mask: vec![0; length] };
        format.expect(0, b"\x7fELF", &[0xff; 4]);
        format.expect(CLASS, &[if elf.bits == 64 { 2 } else { 1 }], &[0xff]);
        format.expect(DATA, &[if elf.order == Order::Big { 2 } else { 1 }], &[0xff]);
        format.expect(VERSION, &[1], &[0xff]);
        format.expect(OS_ABI, &[0], &[0xfc]);
        let (half, word) = match elf.order {
            Order::Little => (u16::to_le_bytes as fn(u16) -> [u8; 2], u32::to_le_bytes as fn(u32) -> [u8; 4]),
            Order::Big => (u16::to_be_bytes as _, u32::to_be_bytes as _),
        };
        // 2 and 3.
        format.expect(TYPE, &half(2), &half(0xfffe));
        format.expect(MACHINE, &half(elf.machine), &[0xff; 2]);
        if let Some(is_set) = elf.abi2 {
            format.expect(FLAGS_OF_32, &word(if is_set { ABI2 } else { 0 }), &word(ABI2));
        }
        format
    }

    fn expect(&mut self, at: usize, magic: &[u8], mask: &[u8]) {
        self.magic[at..at + magic.len()].copy_from_slice(magic);
        self.mask[at..at + mask.len()].copy_from_slice(mask);
    }

    /// Whether a file that begins so is of this format.
    pub fn matches(&self, file: &[u8]) -> bool {
        let mut bytes = self.magic.iter().zip(&self.mask).zip(file);
        file.len() >= self.magic.len() && bytes.all(|((magic, mask), byte)| (magic ^ byte) & mask == 0)
    }
}

/// What is told to the kernel: programs of a format are for an interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name, which is that of a file in the kernel's folder.
    pub name: String,
    /// The programs.
    pub format: Format,
    /// The emulator: an absolute path without colon or line end, which [`crate::emulator`] sees to.
    pub interpreter: String,
    /// One letter each: `FP`.
    pub flags: String,
}

impl Registration {
    /// The line of the kernel's `register`, of `/etc/binfmt.d`, without an end.
    pub fn line(&self) -> String {
        let Self { name, format, interpreter, flags } = self;
        format!(":{name}:M::{}:{}:{interpreter}:{flags}", escaped(&format.magic), escaped(&format.mask))
    }
}

/// Bytes as the kernel and `update-binfmts` read them: `\x7f\x45`.
pub fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Whether a path can stand in a line.
pub fn can_be_told(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| path.is_absolute() && !text.contains([':', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;
    use anyarch_manifest::target::TARGETS;

    /// The headers that programs of a target have: at a fixed place and at any, with all OS ABIs, and with an
    /// `AppImage`'s letters or a version of the ABI where the padding is.
    fn headers(target: &Target) -> Vec<Vec<u8>> {
        let (program, mut all) = (tiny::program(target).expect(target.name), Vec::new());
        for kind in [2, 3] {
            for abi in [0, 3] {
                for padding in [*b"\0\0\0", *b"AI\x02", *b"\x05\0\0"] {
                    let mut header = program[..64].to_vec();
                    header[TYPE + usize::from(target.elf.order == Order::Big)] = kind;
                    header[OS_ABI] = abi;
                    header[8..11].copy_from_slice(&padding);
                    all.push(header);
                }
            }
        }
        all
    }

    #[test]
    fn each_format_takes_its_own_programs_and_no_others() {
        for target in TARGETS {
            for header in headers(target) {
                let takers = TARGETS.iter().filter(|other| Format::of(other).matches(&header));
                assert_eq!(takers.map(|taker| taker.name).collect::<Vec<_>>(), [target.name]);
            }
        }
    }

    #[test]
    fn what_is_no_program_is_of_no_format() {
        let program = tiny::program(&TARGETS[0]).expect("a program");
        for (at, byte, what) in [
            (TYPE, 1, "an object file"),
            (TYPE, 4, "a core"),
            (OS_ABI, 9, "a program of FreeBSD"),
            (VERSION, 2, "another version of ELF"),
            (0, 0, "no ELF file"),
        ] {
            let mut other = program.clone();
            other[at] = byte;
            assert!(TARGETS.iter().all(|target| !Format::of(target).matches(&other)), "{what}");
        }
        assert!(!Format::of(&TARGETS[0]).matches(&program[..SHORT - 1]), "a file that is cut off");
    }

    #[test]
    fn the_documented_line_is_the_one_that_is_registered() {
        let format = Format::of(Target::find("arm64").expect("known"));
        let page = include_str!("../../docs/execve.md");
        // Its shell turns these two into bytes that need no escape.
        let documented = |bytes: &[u8]| escaped(bytes).replace("\\x45\\x4c\\x46", "ELF");
        assert!(page.contains(&format!("elf='{}'", documented(&format.magic))));
        assert!(page.contains(&format!("mask='{}'", escaped(&format.mask))));
    }

    #[test]
    fn a_registration_is_one_line_that_the_kernel_reads() {
        let format = Format { magic: vec![0x7f, b':'], mask: vec![0xff, 0xf0] };
        let (name, interpreter, flags) = ("anyarch-x".to_owned(), "/e/qemu-x".to_owned(), "FP".to_owned());
        let line = Registration { name, format, interpreter, flags }.line();
        assert_eq!(line, r":anyarch-x:M::\x7f\x3a:\xff\xf0:/e/qemu-x:FP");
        for (path, is_told) in [("/a/qemu", true), ("qemu", false), ("/a:b/qemu", false), ("/a\nb", false)] {
            assert_eq!(can_be_told(Path::new(path)).is_some(), is_told, "{path}");
        }
    }
}
