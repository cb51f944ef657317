//! What is emulated: QEMU's linux-user targets, the names that others use for them, and where a guest
//! program for each comes from.

use super::unknown;
use anyarch_client::error::Usage;
use anyarch_manifest::layout;

/// One target of QEMU's linux-user emulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// QEMU's name: the emulator is `qemu-<name>`.
    pub name: &'static str,
    /// Names that Debian, Docker, the kernel or toolchains use.
    pub aliases: &'static [&'static str],
    /// The width of its registers as QEMU emulates them, 32 or 64: `TARGET_LONG_BITS` of the newest series.
    pub bits: u8,
    /// The Debian architecture that runs on this target, with a suite that has it.
    pub debian: Option<Debian>,
    /// Debian's C compiler for programs of this target, on other machines.
    pub compiler: Option<Compiler>,
}

/// A Debian architecture in a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debian {
    /// dpkg's name of the architecture.
    pub arch: &'static str,
    /// A suite that releases it: mips64el and mipsel end with bookworm, riscv64 begins with trixie.
    pub suite: &'static str,
}

/// A C compiler with a C library, static and dynamic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compiler {
    /// The GNU triple: the compiler is `<triple>-gcc`, and `/usr/<triple>` holds the library.
    pub triple: &'static str,
    /// Debian's packages.
    pub packages: &'static str,
}

const fn plain(name: &'static str, bits: u8, aliases: &'static [&'static str]) -> Target {
    Target { name, aliases, bits, debian: None, compiler: None }
}

const fn debian(
    name: &'static str,
    bits: u8,
    aliases: &'static [&'static str],
    suite: &'static str,
    arch: &'static str,
) -> Target {
    Target { name, aliases, bits, debian: Some(Debian { arch, suite }), compiler: None }
}

impl Target {
    const fn with_gcc(mut self, triple: &'static str, packages: &'static str) -> Self {
        self.compiler = Some(Compiler { triple, packages });
        self
    }
}

/// Every target of every series, in QEMU's order. Aliases are unique over the whole table.
pub const TARGETS: &[Target] = &[
    debian("aarch64", 64, &["arm64", "arm64v8", "arm64/v8"], "bookworm", "arm64")
        .with_gcc("aarch64-linux-gnu", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    plain("aarch64_be", 64, &["arm64be"]),
    plain("alpha", 64, &[]).with_gcc("alpha-linux-gnu", "gcc-alpha-linux-gnu libc6.1-dev-alpha-cross"),
    debian(
        "arm",
        32,
        &["armhf", "armv7", "armv7l", "arm/v7", "arm32v7", "armel", "arm/v6"],
        "bookworm",
        "armhf",
    )
    .with_gcc("arm-linux-gnueabihf", "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"),
    plain("armeb", 32, &["armv7b"]),
    plain("cris", 32, &[]),
    plain("hexagon", 32, &[]),
    plain("hppa", 64, &["parisc"]).with_gcc("hppa-linux-gnu", "gcc-hppa-linux-gnu libc6-dev-hppa-cross"),
    debian("i386", 32, &["386", "i486", "i586", "i686", "x86"], "bookworm", "i386")
        .with_gcc("i686-linux-gnu", "gcc-i686-linux-gnu libc6-dev-i386-cross"),
    plain("loongarch64", 64, &["loong64"]),
    plain("m68k", 32, &[]).with_gcc("m68k-linux-gnu", "gcc-m68k-linux-gnu libc6-dev-m68k-cross"),
    plain("microblaze", 32, &[]),
    plain("microblazeel", 32, &[]),
    plain("mips", 32, &[]).with_gcc("mips-linux-gnu", "gcc-mips-linux-gnu libc6-dev-mips-cross"),
    plain("mips64", 64, &[])
        .with_gcc("mips64-linux-gnuabi64", "gcc-mips64-linux-gnuabi64 libc6-dev-mips64-cross"),
    debian("mips64el", 64, &["mips64le"], "bookworm", "mips64el")
        .with_gcc("mips64el-linux-gnuabi64", "gcc-mips64el-linux-gnuabi64 libc6-dev-mips64el-cross"),
    debian("mipsel", 32, &["mipsle"], "bookworm", "mipsel")
        .with_gcc("mipsel-linux-gnu", "gcc-mipsel-linux-gnu libc6-dev-mipsel-cross"),
    plain("mipsn32", 64, &[])
        .with_gcc("mips64-linux-gnuabin32", "gcc-mips64-linux-gnuabin32 libc6-dev-mipsn32-cross"),
    plain("mipsn32el", 64, &[])
        .with_gcc("mips64el-linux-gnuabin32", "gcc-mips64el-linux-gnuabin32 libc6-dev-mipsn32el-cross"),
    plain("nios2", 32, &[]),
    plain("or1k", 32, &["openrisc"]),
    plain("ppc", 32, &["powerpc"])
        .with_gcc("powerpc-linux-gnu", "gcc-powerpc-linux-gnu libc6-dev-powerpc-cross"),
    plain("ppc64", 64, &["powerpc64"])
        .with_gcc("powerpc64-linux-gnu", "gcc-powerpc64-linux-gnu libc6-dev-ppc64-cross"),
    debian("ppc64le", 64, &["ppc64el", "powerpc64le"], "bookworm", "ppc64el")
        .with_gcc("powerpc64le-linux-gnu", "gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross"),
    plain("riscv32", 32, &[]),
    debian("riscv64", 64, &["rv64"], "trixie", "riscv64")
        .with_gcc("riscv64-linux-gnu", "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross"),
    debian("s390x", 64, &[], "bookworm", "s390x")
        .with_gcc("s390x-linux-gnu", "gcc-s390x-linux-gnu libc6-dev-s390x-cross"),
    plain("sh4", 32, &[]).with_gcc("sh4-linux-gnu", "gcc-sh4-linux-gnu libc6-dev-sh4-cross"),
    plain("sh4eb", 32, &[]),
    plain("sparc", 32, &[]),
    plain("sparc32plus", 64, &[]),
    plain("sparc64", 64, &[]).with_gcc("sparc64-linux-gnu", "gcc-sparc64-linux-gnu libc6-dev-sparc64-cross"),
    debian("x86_64", 64, &["amd64", "x64"], "bookworm", "amd64")
        .with_gcc("x86_64-linux-gnu", "gcc libc6-dev"),
    plain("xtensa", 32, &[]),
    plain("xtensaeb", 32, &[]),
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
        layout::program(self.name)
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
    fn what_debian_has_programs_of_debian_also_compiles() {
        for target in TARGETS {
            assert!(target.debian.is_none() || target.compiler.is_some(), "{}", target.name);
            let named = target.compiler.is_none_or(|gcc| {
                let gcc_of = format!("gcc-{} ", gcc.triple.replace('_', "-"));
                gcc.packages.starts_with(&gcc_of) || target.name == "x86_64"
            });
            assert!(named, "{}: {:?}", target.name, target.compiler);
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
