//! What the driver knows of each target: its registers, and where guest programs come from. Their names, and how their
//! programs begin, stand in the manifest's crate, since users' programs have a use for these.

use super::unknown;
use anyarch_client::error::Usage;
use anyarch_manifest::{layout, target};
use anyhow::{Context as _, Result};

/// One target of QEMU's linux-user emulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// QEMU's name: the emulator is `qemu-<name>`.
    pub name: &'static str,
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

const fn plain(name: &'static str, bits: u8) -> Target {
    Target { name, bits, debian: None, compiler: None }
}

const fn debian(name: &'static str, bits: u8, suite: &'static str, arch: &'static str) -> Target {
    Target { name, bits, debian: Some(Debian { arch, suite }), compiler: None }
}

impl Target {
    const fn with_gcc(mut self, triple: &'static str, packages: &'static str) -> Self {
        self.compiler = Some(Compiler { triple, packages });
        self
    }
}

/// Every target of every series, in QEMU's order.
pub const TARGETS: &[Target] = &[
    debian("aarch64", 64, "bookworm", "arm64")
        .with_gcc("aarch64-linux-gnu", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    plain("aarch64_be", 64),
    plain("alpha", 64).with_gcc("alpha-linux-gnu", "gcc-alpha-linux-gnu libc6.1-dev-alpha-cross"),
    debian("arm", 32, "bookworm", "armhf")
        .with_gcc("arm-linux-gnueabihf", "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"),
    plain("armeb", 32),
    plain("cris", 32),
    plain("hexagon", 32),
    plain("hppa", 64).with_gcc("hppa-linux-gnu", "gcc-hppa-linux-gnu libc6-dev-hppa-cross"),
    debian("i386", 32, "bookworm", "i386")
        .with_gcc("i686-linux-gnu", "gcc-i686-linux-gnu libc6-dev-i386-cross"),
    plain("loongarch64", 64),
    plain("m68k", 32).with_gcc("m68k-linux-gnu", "gcc-m68k-linux-gnu libc6-dev-m68k-cross"),
    plain("microblaze", 32),
    plain("microblazeel", 32),
    plain("mips", 32).with_gcc("mips-linux-gnu", "gcc-mips-linux-gnu libc6-dev-mips-cross"),
    plain("mips64", 64).with_gcc("mips64-linux-gnuabi64", "gcc-mips64-linux-gnuabi64 libc6-dev-mips64-cross"),
    debian("mips64el", 64, "bookworm", "mips64el")
        .with_gcc("mips64el-linux-gnuabi64", "gcc-mips64el-linux-gnuabi64 libc6-dev-mips64el-cross"),
    debian("mipsel", 32, "bookworm", "mipsel")
        .with_gcc("mipsel-linux-gnu", "gcc-mipsel-linux-gnu libc6-dev-mipsel-cross"),
    plain("mipsn32", 64)
        .with_gcc("mips64-linux-gnuabin32", "gcc-mips64-linux-gnuabin32 libc6-dev-mipsn32-cross"),
    plain("mipsn32el", 64)
        .with_gcc("mips64el-linux-gnuabin32", "gcc-mips64el-linux-gnuabin32 libc6-dev-mipsn32el-cross"),
    plain("nios2", 32),
    plain("or1k", 32),
    plain("ppc", 32).with_gcc("powerpc-linux-gnu", "gcc-powerpc-linux-gnu libc6-dev-powerpc-cross"),
    plain("ppc64", 64).with_gcc("powerpc64-linux-gnu", "gcc-powerpc64-linux-gnu libc6-dev-ppc64-cross"),
    debian("ppc64le", 64, "bookworm", "ppc64el")
        .with_gcc("powerpc64le-linux-gnu", "gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross"),
    plain("riscv32", 32),
    debian("riscv64", 64, "trixie", "riscv64")
        .with_gcc("riscv64-linux-gnu", "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross"),
    debian("s390x", 64, "bookworm", "s390x")
        .with_gcc("s390x-linux-gnu", "gcc-s390x-linux-gnu libc6-dev-s390x-cross"),
    plain("sh4", 32).with_gcc("sh4-linux-gnu", "gcc-sh4-linux-gnu libc6-dev-sh4-cross"),
    plain("sh4eb", 32),
    plain("sparc", 32),
    plain("sparc32plus", 64),
    plain("sparc64", 64).with_gcc("sparc64-linux-gnu", "gcc-sparc64-linux-gnu libc6-dev-sparc64-cross"),
    debian("x86_64", 64, "bookworm", "amd64").with_gcc("x86_64-linux-gnu", "gcc libc6-dev"),
    plain("xtensa", 32),
    plain("xtensaeb", 32),
];

impl Target {
    /// The target that goes by `name`, QEMU's or another's; `linux/arm64` is understood as well.
    pub fn named(name: &str) -> Result<Self, Usage> {
        target::Target::find(name)
            .and_then(|found| TARGETS.iter().find(|target| target.name == found.name))
            .copied()
            .ok_or_else(|| unknown("target", name, TARGETS.iter().map(|target| target.name)))
    }

    /// What users' programs know of it, too.
    ///
    /// # Errors
    /// When they do not; a test sees to it that they do.
    pub fn known(&self) -> Result<&'static target::Target> {
        target::Target::find(self.name).with_context(|| format!("the manifest's crate lacks {}", self.name))
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

    #[test]
    fn the_driver_knows_every_target_that_there_is() {
        let names: Vec<&str> = target::TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), names);
        assert!(names.iter().all(|name| Target::named(name).expect("known").name == *name));
    }

    #[test]
    fn debian_is_the_same_to_builders_and_to_users() {
        use anyarch_manifest::debian;
        for target in TARGETS {
            let Some(own) = target.debian else { continue };
            let users = debian::Debian::of(target.name).expect(target.name);
            assert_eq!((own.arch, own.suite), (users.architecture, users.usual_suite()), "{}", target.name);
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
    fn a_misspelt_target_is_answered_with_the_nearest_one() {
        let error = Target::named("aarhc64").expect_err("unknown").to_string();
        assert!(error.contains("did you mean `aarch64`?"), "{error}");
        let error = Target::named("riscv46").expect_err("unknown").to_string();
        assert!(error.contains("did you mean `riscv64`?"), "{error}");
    }
}
