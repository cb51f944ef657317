//! What is emulated: QEMU's linux-user targets, the names that others use for them, and how their programs begin.
//!
//! The one table of these. The driver builds emulators by it, and users' programs find, run and register them by it.

use std::fmt;

/// One target of QEMU's linux-user emulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// QEMU's name: the emulator is `qemu-<name>`.
    pub name: &'static str,
    /// Names that Debian, Docker, the kernel or toolchains use. Unique over the whole table.
    pub aliases: &'static [&'static str],
    /// Docker's names of the platforms whose programs it runs, without `linux/`; none where Docker has no name.
    pub platforms: &'static [&'static str],
    /// How its programs begin.
    pub elf: Elf,
}

/// What an ELF header says of a target's programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elf {
    /// The width of addresses in the file, 32 or 64.
    pub bits: u8,
    /// The order of bytes.
    pub order: Order,
    /// `e_machine`, by the number that `elf.h` gives it.
    pub machine: u16,
    /// Whether `EF_MIPS_ABI2` must be set in `e_flags` (n32) or must not be (o32); `None` where it means nothing.
    pub abi2: Option<bool>,
}

/// The order of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The lowest byte first.
    Little,
    /// The highest byte first.
    Big,
}

const fn target(
    name: &'static str,
    aliases: &'static [&'static str],
    platforms: &'static [&'static str],
    bits: u8,
    order: Order,
    machine: u16,
) -> Target {
    Target { name, aliases, platforms, elf: Elf { bits, order, machine, abi2: None } }
}

impl Target {
    const fn with_abi2(mut self, is_set: bool) -> Self {
        self.elf.abi2 = Some(is_set);
        self
    }
}

use Order::{Big, Little};

/// Every target of every series, in QEMU's order.
#[rustfmt::skip] // A row a target.
pub const TARGETS: &[Target] = &[
    target("aarch64", &["arm64", "arm64v8", "arm64/v8"], &["arm64"], 64, Little, 183),
    target("aarch64_be", &["arm64be"], &[], 64, Big, 183),
    target("alpha", &[], &[], 64, Little, 0x9026),
    target("arm", &["armhf", "armv7", "armv7l", "arm/v7", "arm32v7", "armel", "arm/v6"], &["arm/v7", "arm/v6"], 32, Little, 40),
    target("armeb", &["armv7b"], &[], 32, Big, 40),
    target("cris", &[], &[], 32, Little, 76),
    target("hexagon", &[], &[], 32, Little, 164),
    target("hppa", &["parisc"], &[], 32, Big, 15),
    target("i386", &["386", "i486", "i586", "i686", "x86"], &["386"], 32, Little, 3),
    target("loongarch64", &["loong64"], &["loong64"], 64, Little, 258),
    target("m68k", &[], &[], 32, Big, 4),
    target("microblaze", &[], &[], 32, Big, 189),
    target("microblazeel", &[], &[], 32, Little, 189),
    target("mips", &[], &["mips"], 32, Big, 8).with_abi2(false),
    target("mips64", &[], &["mips64"], 64, Big, 8),
    target("mips64el", &["mips64le"], &["mips64le"], 64, Little, 8),
    target("mipsel", &["mipsle"], &["mipsle"], 32, Little, 8).with_abi2(false),
    target("mipsn32", &[], &[], 32, Big, 8).with_abi2(true),
    target("mipsn32el", &[], &[], 32, Little, 8).with_abi2(true),
    target("nios2", &[], &[], 32, Little, 113),
    target("or1k", &["openrisc"], &[], 32, Big, 92),
    target("ppc", &["powerpc"], &[], 32, Big, 20),
    target("ppc64", &["powerpc64"], &["ppc64"], 64, Big, 21),
    target("ppc64le", &["ppc64el", "powerpc64le"], &["ppc64le"], 64, Little, 21),
    target("riscv32", &[], &[], 32, Little, 243),
    target("riscv64", &["rv64"], &["riscv64"], 64, Little, 243),
    target("s390x", &[], &["s390x"], 64, Big, 22),
    target("sh4", &[], &[], 32, Little, 42),
    target("sh4eb", &[], &[], 32, Big, 42),
    target("sparc", &[], &[], 32, Big, 2),
    target("sparc32plus", &[], &[], 32, Big, 18),
    target("sparc64", &[], &[], 64, Big, 43),
    target("x86_64", &["amd64", "x64"], &["amd64"], 64, Little, 62),
    target("xtensa", &[], &[], 32, Little, 94),
    target("xtensaeb", &[], &[], 32, Big, 94),
];

impl Target {
    /// The target that goes by `name`, QEMU's or another's, in any case; `linux/arm64` is understood as well.
    pub fn find(name: &str) -> Option<&'static Self> {
        let lower = name.to_ascii_lowercase();
        let wanted = lower.strip_prefix("linux/").unwrap_or(&lower);
        TARGETS.iter().find(|target| target.name == wanted || target.aliases.contains(&wanted))
    }
}

impl fmt::Display for Target {
    /// QEMU's name.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_means_one_target() {
        let mut seen = BTreeSet::new();
        for target in TARGETS {
            for name in std::iter::once(&target.name).chain(target.aliases) {
                assert!(seen.insert(*name), "{name} stands twice");
                assert_eq!(Target::find(name), Some(target));
            }
            for platform in target.platforms {
                assert_eq!(Target::find(&format!("linux/{platform}")), Some(target));
            }
        }
    }

    #[test]
    fn names_are_understood_as_people_write_them() {
        for (written, name) in [("ARM64", "aarch64"), ("linux/arm/v7", "arm"), ("ppc64el", "ppc64le")] {
            assert_eq!(Target::find(written).map(|target| target.name), Some(name));
        }
        assert_eq!(Target::find("arm46"), None);
    }

    #[test]
    fn no_two_targets_programs_begin_alike() {
        for (number, one) in TARGETS.iter().enumerate() {
            assert!(TARGETS[..number].iter().all(|other| other.elf != one.elf), "{one}");
        }
    }
}
