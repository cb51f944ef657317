//! What compiles the programs of others' suites, QEMU's `tests/tcg` and LTP: the compilers of `facts/targets.rs`, with
//! the options that QEMU's own configure gives for each target.

use crate::error::Missing;
use crate::facts::Target;
use crate::verify::compiler;
use std::path::PathBuf;

/// Options that these compilers need besides, by target.
const OPTIONS: [(&str, &str); 6] = [
    ("i386", "-m32"),
    ("ppc", "-m32 -mbig-endian"),
    ("ppc64", "-m64 -mbig-endian"),
    ("ppc64le", "-m64 -mlittle-endian"),
    ("sparc64", "-m64 -mcpu=ultrasparc"),
    ("x86_64", "-m64 -mcx16"),
];

/// The programs that compile and run a target's tests.
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
pub fn find(target: Target) -> Result<Tools, Missing> {
    let cc = compiler(target)?;
    let options = OPTIONS.iter().find(|(name, _)| *name == target.name);
    let cflags = options.map_or("", |(_, options)| options);
    let make = which::which("make").map_err(|_| Missing::new("make", "apt-get install make"))?;
    Ok(Tools { cc, cflags, make, gdb: which::which("gdb-multiarch").ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_known_by_qemus_names_of_targets() {
        for (name, _) in OPTIONS {
            let target = Target::named(name).expect("known");
            assert!(target.name == name && target.compiler.is_some(), "{name}");
        }
    }

    #[test]
    fn a_target_without_a_c_library_is_told() {
        let missing = find(Target::named("xtensa").expect("known")).expect_err("none");
        assert!(missing.to_string().contains("xtensa") && missing.command.is_none(), "{missing}");
    }
}
