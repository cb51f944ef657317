//! The compilers for the tests' programs: Debian's cross compilers, with the options that QEMU's own
//! configure gives for each target.

use crate::exit::Lacks;
use crate::facts::Target;
use std::path::PathBuf;

/// A target, the GNU triple of its compiler, Debian's package of its C library, and options.
type Cross = (&'static str, &'static str, &'static str, &'static str);

/// Every target that Debian has a C library for and QEMU has tests for.
const CROSS: [Cross; 19] = [
    ("aarch64", "aarch64-linux-gnu", "libc6-dev-arm64-cross", ""),
    ("alpha", "alpha-linux-gnu", "libc6.1-dev-alpha-cross", ""),
    ("arm", "arm-linux-gnueabihf", "libc6-dev-armhf-cross", ""),
    ("hppa", "hppa-linux-gnu", "libc6-dev-hppa-cross", ""),
    ("i386", "i686-linux-gnu", "libc6-dev-i386-cross", "-m32"),
    ("m68k", "m68k-linux-gnu", "libc6-dev-m68k-cross", ""),
    ("mips", "mips-linux-gnu", "libc6-dev-mips-cross", ""),
    ("mips64", "mips64-linux-gnuabi64", "libc6-dev-mips64-cross", ""),
    ("mips64el", "mips64el-linux-gnuabi64", "libc6-dev-mips64el-cross", ""),
    ("mipsel", "mipsel-linux-gnu", "libc6-dev-mipsel-cross", ""),
    ("mipsn32", "mips64-linux-gnuabin32", "libc6-dev-mipsn32-cross", ""),
    ("mipsn32el", "mips64el-linux-gnuabin32", "libc6-dev-mipsn32el-cross", ""),
    ("ppc", "powerpc-linux-gnu", "libc6-dev-powerpc-cross", "-m32 -mbig-endian"),
    ("ppc64", "powerpc64-linux-gnu", "libc6-dev-ppc64-cross", "-m64 -mbig-endian"),
    ("ppc64le", "powerpc64le-linux-gnu", "libc6-dev-ppc64el-cross", "-m64 -mlittle-endian"),
    ("riscv64", "riscv64-linux-gnu", "libc6-dev-riscv64-cross", ""),
    ("s390x", "s390x-linux-gnu", "libc6-dev-s390x-cross", ""),
    ("sh4", "sh4-linux-gnu", "libc6-dev-sh4-cross", ""),
    ("sparc64", "sparc64-linux-gnu", "libc6-dev-sparc64-cross", "-m64 -mcpu=ultrasparc"),
];
/// On x86-64 this is the machine's own compiler.
const X86_64: Cross = ("x86_64", "x86_64-linux-gnu", "libc6-dev-amd64-cross", "-m64 -mcx16");

/// What compiles and runs a target's tests.
#[derive(Debug)]
pub struct Tools {
    /// The C compiler.
    pub cc: PathBuf,
    /// Options that it always gets, separated by blanks.
    pub cflags: &'static str,
    /// The makefiles' interpreter.
    pub make: PathBuf,
    /// The debugger that some tests are about, if this machine has one for every target.
    pub gdb: Option<PathBuf>,
}

/// The tools for a target, or what is missing.
pub fn find(target: Target) -> Result<Tools, Lacks> {
    let known = CROSS.iter().chain([&X86_64]).find(|cross| cross.0 == target.name);
    let Some((_, triple, libc, cflags)) = known else {
        let what = format!("a compiler with a C library for {}'s programs", target.name);
        return Err(Lacks { what, command: None });
    };
    let name = format!("{triple}-gcc");
    let cc = which::which(&name).map_err(|_| {
        let package = format!("gcc-{}", triple.replace('_', "-"));
        Lacks::new(
            format!("a C compiler for the tests ({name})"),
            format!("apt-get install {package} {libc}"),
        )
    })?;
    let make = which::which("make").map_err(|_| Lacks::new("make", "apt-get install make"))?;
    Ok(Tools { cc, cflags, make, gdb: which::which("gdb-multiarch").ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_known_by_qemus_names_of_targets() {
        for (name, ..) in CROSS.iter().chain([&X86_64]) {
            assert_eq!(Target::named(name).expect("known").name, *name);
        }
    }

    #[test]
    fn a_target_without_a_c_library_is_told() {
        let lacks = find(Target::named("xtensa").expect("known")).expect_err("none");
        assert!(lacks.to_string().contains("xtensa") && lacks.command.is_none(), "{lacks}");
    }
}
