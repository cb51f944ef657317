//! Programs that run while an emulator is registered in binfmt_misc, with the F flag, and where nobody else is
//! disturbed by that.

use super::emulator::MARK;
use crate::error::Missing;
use crate::facts::Target;
use crate::process::{capture, ended, output};
use anyarch_binfmt::format::{Format, Registration, can_be_told};
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

/// What is written to `register`: programs of a target that are not [marked](super::emulator::mark), F flag.
pub fn registration(target: Target, emulator: &Path) -> Result<String> {
    let interpreter =
        can_be_told(emulator).context("binfmt_misc takes no emulator with a colon in its name")?;
    let mut format = Format::of(target.known()?);
    format.mask[MARK as usize] = 0xff;
    let registration = Registration {
        name: format!("anyarch-{}", std::process::id()),
        format,
        interpreter: interpreter.to_owned(),
        flags: "F".to_owned(),
    };
    Ok(registration.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_is_registered_for_its_targets_programs_with_the_flag_f() {
        let target = Target::named("s390x").expect("known");
        let text = registration(target, Path::new("/e/qemu")).expect("a registration");
        let fields: Vec<&str> = text.split(':').collect();
        assert_eq!((fields[2], fields[3], fields[6], fields[7]), ("M", "", "/e/qemu", "F"));
        assert!(fields[4].ends_with(r"\x00\x02\x00\x16"), "{text}");
        assert!(registration(target, Path::new("/e:/qemu")).is_err());
        let masks: Vec<&str> = fields[5].split(r"\x").collect();
        assert_eq!(masks[1 + MARK as usize], "ff", "marked programs are none of them: {text}");
    }
}
