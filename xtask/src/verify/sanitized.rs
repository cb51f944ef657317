//! What an emulator with sanitizers needs that others do not: it is dynamic.

use crate::process::{self, capture};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;
use xshell::cmd;

/// Copies the libraries that a dynamic program needs below `root`, each to where it is found on this
/// machine, so that the program starts where `root` is the root directory.
pub fn copy_libraries(program: &Path, root: &Path) -> Result<()> {
    let shell = process::shell()?;
    let said = capture(cmd!(shell, "ldd {program}"))?;
    for library in said.lines().filter_map(named) {
        let to = root.join(library.strip_prefix("/").unwrap_or(library));
        anyarch_client::files::create_parent(&to)?;
        fs::copy(library, &to).with_context(|| format!("cannot copy {}", library.display()))?;
    }
    Ok(())
}

/// Reads `libm.so.6 => /lib/libm.so.6 (0x7f...)` and `/lib64/ld.so (0x7f...)`.
fn named(line: &str) -> Option<&Path> {
    let words = line.split_once("=> ").map_or(line, |(_, found)| found);
    let path = Path::new(words.split_whitespace().next()?);
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_read_but_not_what_has_no_file() {
        let said = "\tlinux-vdso.so.1 (0x00007f57b1473000)\n\
                    \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f57b1441000)\n\
                    \tlibgone.so => not found\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f29ada25000)\n";
        let found: Vec<&Path> = said.lines().filter_map(named).collect();
        let expected = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(found, expected.map(Path::new));
    }
}
