//! What is emulated: QEMU's linux-user targets, the names that others use for them, and where a guest
//! program for each comes from.

use super::unknown;
use crate::exit::Usage;

/// One target of QEMU's linux-user emulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// QEMU's name: the emulator is `qemu-<name>`.
    pub name: &'static str,
    /// Names that Debian, Docker, the kernel or toolchains use.
    pub aliases: &'static [&'static str],
    /// The Debian architecture that runs on this target, with a suite that has it.
    pub debian: Option<Debian>,
}

/// A Debian architecture in a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debian {
    /// dpkg's name of the architecture.
    pub arch: &'static str,
    /// A suite that releases it: mips64el and mipsel end with bookworm, riscv64 begins with trixie.
    pub suite: &'static str,
    /// The GNU triple in the names of its cross compilers.
    pub triple: &'static str,
}

const fn plain(name: &'static str, aliases: &'static [&'static str]) -> Target {
    Target { name, aliases, debian: None }
}

const fn debian(
    name: &'static str,
    aliases: &'static [&'static str],
    suite: &'static str,
    arch: &'static str,
    triple: &'static str,
) -> Target {
    Target { name, aliases, debian: Some(Debian { arch, suite, triple }) }
}

/// Every target of every series, in QEMU's order. Aliases are unique over the whole table.
pub const TARGETS: &[Target] = &[
    debian("aarch64", &["arm64", "arm64v8", "arm64/v8"], "bookworm", "arm64", "aarch64-linux-gnu"),
    plain("aarch64_be", &["arm64be"]),
    plain("alpha", &[]),
    debian(
        "arm",
        &["armhf", "armv7", "armv7l", "arm/v7", "arm32v7", "armel", "arm/v6"],
        "bookworm",
        "armhf",
        "arm-linux-gnueabihf",
    ),
    plain("armeb", &["armv7b"]),
    plain("cris", &[]),
    plain("hexagon", &[]),
    plain("hppa", &["parisc"]),
    debian("i386", &["386", "i486", "i586", "i686", "x86"], "bookworm", "i386", "i686-linux-gnu"),
    plain("loongarch64", &["loong64"]),
    plain("m68k", &[]),
    plain("microblaze", &[]),
    plain("microblazeel", &[]),
    plain("mips", &[]),
    plain("mips64", &[]),
    debian("mips64el", &["mips64le"], "bookworm", "mips64el", "mips64el-linux-gnuabi64"),
    debian("mipsel", &["mipsle"], "bookworm", "mipsel", "mipsel-linux-gnu"),
    plain("mipsn32", &[]),
    plain("mipsn32el", &[]),
    plain("nios2", &[]),
    plain("or1k", &["openrisc"]),
    plain("ppc", &["powerpc"]),
    plain("ppc64", &["powerpc64"]),
    debian("ppc64le", &["ppc64el", "powerpc64le"], "bookworm", "ppc64el", "powerpc64le-linux-gnu"),
    plain("riscv32", &[]),
    debian("riscv64", &["rv64"], "trixie", "riscv64", "riscv64-linux-gnu"),
    debian("s390x", &[], "bookworm", "s390x", "s390x-linux-gnu"),
    plain("sh4", &[]),
    plain("sh4eb", &[]),
    plain("sparc", &[]),
    plain("sparc32plus", &[]),
    plain("sparc64", &[]),
    debian("x86_64", &["amd64", "x64"], "bookworm", "amd64", "x86_64-linux-gnu"),
    plain("xtensa", &[]),
    plain("xtensaeb", &[]),
];

impl Target {
    /// The target that goes by `name`, QEMU's or another's; `linux/arm64` is understood as well.
    pub fn named(name: &str) -> Result<Self, Usage> {
        let lower = name.to_ascii_lowercase();
        let wanted = lower.strip_prefix("linux/").unwrap_or(&lower);
        TARGETS
            .iter()
            .find(|target| target.name == wanted || target.aliases.contains(&wanted))
            .copied()
            .ok_or_else(|| unknown("target", name, TARGETS.iter().map(|target| target.name)))
    }

    /// The file name of its emulator.
    pub fn emulator(&self) -> String {
        format!("qemu-{}", self.name)
    }
}

impl serde::Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name)
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
                assert_eq!(Target::named(name).expect("known").name, target.name);
            }
        }
    }

    #[test]
    fn names_are_understood_as_people_write_them() {
        for (written, name) in [("ARM64", "aarch64"), ("linux/arm/v7", "arm"), ("ppc64el", "ppc64le")] {
            assert_eq!(Target::named(written).expect("known").name, name);
        }
    }

    #[test]
    fn a_misspelt_target_is_answered_with_the_nearest_one() {
        let error = Target::named("aarhc64").expect_err("unknown").to_string();
        assert!(error.contains("did you mean `aarch64`?"), "{error}");
        let error = Target::named("riscv46").expect_err("unknown").to_string();
        assert!(error.contains("did you mean `riscv64`?"), "{error}");
    }
}
