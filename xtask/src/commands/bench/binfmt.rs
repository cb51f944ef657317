//! Programs that run while an emulator is registered in binfmt_misc, with the F flag, and where nobody else is
//! disturbed by that.

use crate::error::Missing;
use crate::process::{capture, ended, output};
use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the C helpers end with when the machine can't do what they are for.
const LACKING: i32 = 3;

/// How a format is registered on this machine.
pub struct Binfmt {
    helper: PathBuf,
    folder: PathBuf,
    mode: &'static str,
    /// Where that is: a namespace of our own, or the machine.
    pub registered: &'static str,
}

impl Binfmt {
    /// A binfmt_misc of our own where the kernel has that, else the machine's. `home` is a folder for its files.
    ///
    /// It is tried: `probe`, a program and its arguments, must succeed under `registration`.
    pub fn find(helper: &Path, home: &Path, registration: &str, probe: &[&OsStr]) -> Result<Self> {
        let folder = home.join("binfmt_misc");
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut said = String::new();
        for (mode, registered) in [
            ("own", "in a user namespace of its own"),
            ("machine", "on this machine, for the time of a round"),
        ] {
            let binfmt = Self { helper: helper.to_owned(), folder: folder.clone(), mode, registered };
            let tried = output(binfmt.command(registration).args(probe))?;
            match tried.status.code() {
                Some(0) => return Ok(binfmt),
                Some(LACKING) => {
                    said.push_str(&format!("\n  {}", String::from_utf8_lossy(&tried.stderr).trim()));
                }
                _ => bail!(
                    "a program for the target under binfmt_misc: {}\n{}",
                    ended(tried.status),
                    String::from_utf8_lossy(&tried.stderr)
                ),
            }
        }
        let what = format!("binfmt_misc (Linux 6.7 and user namespaces, or root){said}");
        Err(Missing { what, command: None }.into())
    }

    /// The beginning of a command: what runs the program and arguments that are added. If `registration` is empty,
    /// nothing is registered.
    pub fn command(&self, registration: &str) -> Command {
        let mut command = Command::new(&self.helper);
        command.arg(self.mode).arg(&self.folder).arg(registration);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}

/// Compiles one of this machine's own helpers.
pub fn compile_helper(source: &Path, to: &Path) -> Result<()> {
    let native =
        which::which("gcc").map_err(|_| Missing::new("a C compiler", "apt-get install gcc libc6-dev"))?;
    compile(&native, &["-static"], source, to)
}

/// Compiles a program of one file.
pub fn compile(compiler: &Path, options: &[&str], source: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new(compiler);
    command.args(options).arg("-O2").arg("-o").arg(to).arg(source);
    capture(command).with_context(|| format!("{} does not compile", source.display()))?;
    Ok(())
}

/// What is written to `register`: programs whose ELF header is like this one's, F flag.
pub fn registration(program: &Path, emulator: &Path) -> Result<String> {
    // e_ident without ABI and padding, e_type, e_machine.
    const HEADER: usize = 20;
    const E_TYPE: usize = 16;
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let header = bytes.get(..HEADER).context("a program without ELF header")?;
    let is_big_endian = header[5] == 2;
    let mask = |at: usize| match at {
        0..=6 | 18.. => 0xff,
        // Programs at a fixed place (2) and at any (3).
        E_TYPE | 17 if (at == E_TYPE) != is_big_endian => 0xfe,
        E_TYPE | 17 => 0xff,
        _ => 0,
    };
    let hex =
        |bytes: &mut dyn Iterator<Item = u8>| bytes.map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let emulator = emulator.to_str().filter(|path| !path.contains(':'));
    let emulator = emulator.context("binfmt_misc takes no emulator with a colon in its name")?;
    Ok(format!(
        ":anyarch-{}:M::{}:{}:{emulator}:F",
        std::process::id(),
        hex(&mut header.iter().copied()),
        hex(&mut (0..HEADER).map(mask)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_registered_by_class_byte_order_and_machine() {
        let home = tempfile::tempdir().expect("a folder");
        let program = home.path().join("program");
        let mut header = b"\x7fELF\x01\x02\x01\x03".to_vec();
        header.extend([0; 8]);
        header.extend([0, 3, 0, 22]); // Big-endian, at any place, s390.
        fs::write(&program, &header).expect("written");
        let text = registration(&program, Path::new("/e/qemu")).expect("a registration");
        let fields: Vec<&str> = text.split(':').collect();
        assert_eq!((fields[2], fields[3], fields[6], fields[7]), ("M", "", "/e/qemu", "F"));
        assert!(fields[4].ends_with(r"\x00\x03\x00\x16"), "{text}");
        let ident = r"\xff\xff\xff\xff\xff\xff\xff";
        let ignored = r"\x00".repeat(9);
        assert_eq!(fields[5], format!(r"{ident}{ignored}\xff\xfe\xff\xff"));
        assert!(registration(&program, Path::new("/e:/qemu")).is_err());
    }
}
