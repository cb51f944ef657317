//! Carries out a plan, step by step. Whatever step ends it, and however: the same command, run again, goes on.

use crate::format::Registration;
use crate::place::{Cause, Circumstances};
use crate::step::Step;
use crate::table::Table;
use crate::tiny::{self, Runs};
use anyarch_client::files;
use anyarch_client::progress::Progress;
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result, anyhow, bail};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a plan is carried out. The caller holds the table's lock.
#[derive(Debug)]
pub struct Act<'a> {
    /// The table.
    pub table: &'a Table,
    /// What stands around it.
    pub circumstances: &'a Circumstances,
    /// Where each step is told, with `-v`.
    pub progress: &'a Progress,
}

impl Act<'_> {
    /// Does all of it.
    ///
    /// # Errors
    /// At the first step that fails; the error says which, and what is left of it.
    pub fn carry_out(&self, steps: &[Step]) -> Result<()> {
        for step in steps {
            self.progress.detail(&step.to_string());
            self.act(step).with_context(|| format!("cannot {step}"))?;
        }
        Ok(())
    }

    fn act(&self, step: &Step) -> Result<()> {
        match step {
            Step::Mount => self.circumstances.open().map(drop),
            Step::Try { target, emulator } => match tiny::by_emulator(target, emulator)? {
                Runs::Not(why) => bail!("{} does not run on this machine: {why}", emulator.display()),
                Runs::Natively | Runs::Emulated => Ok(()),
            },
            Step::Link { at, to } => link(at, to),
            Step::Register(registration) => self.register(registration),
            Step::Unregister { name, .. } => Ok(self.table.remove(name)?),
            Step::Check { target, name } => self.check(target, name),
            Step::Write { path, text } => files::write_file(path, text.as_bytes()).with_context(|| {
                format!(
                    "until the next boot it is registered; {} must be writable to keep it",
                    path.display()
                )
            }),
            Step::Delete(path) => files::remove(path),
            Step::Call { program, arguments } => call(program, arguments),
        }
    }

    fn register(&self, registration: &Registration) -> Result<()> {
        match self.table.register(registration) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(anyhow!(error)
                    .context(format!("this kernel does not take the flags {}", registration.flags)))
            }
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                Err(Cause::ReadOnly.obstacle(self.circumstances.linux).into())
            }
            done => Ok(done?),
        }
    }

    /// The kernel runs a guest, by an emulator. If it does not, those that were there before count again.
    fn check(&self, target: &Target, name: &str) -> Result<()> {
        let why = match tiny::by_kernel(target)? {
            Runs::Emulated => return Ok(()),
            Runs::Natively => "it is not an emulator that ran it".to_owned(),
            Runs::Not(why) => why,
        };
        self.table.remove(name).with_context(|| format!("cannot take {name} out again"))?;
        bail!("it does not, and so {name} is not registered: {why}")
    }
}

/// Makes a link that is there at every moment, even if another one was.
fn link(at: &Path, to: &Path) -> Result<()> {
    if fs::read_link(at).is_ok_and(|leads| leads == to) {
        return Ok(());
    }
    files::create_parent(at)?;
    let mut name = at.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    files::remove(&new)?;
    symlink(to, &new)?;
    Ok(fs::rename(&new, at)?)
}

fn call(program: &Path, arguments: &[String]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("it ended with {}: {}", output.status, said.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_takes_the_place_of_another_one_and_of_what_a_killed_run_left() {
        let home = tempfile::tempdir().expect("a folder");
        let at = home.path().join("below/qemu-arm-execve");
        link(&at, Path::new("/old")).expect("made");
        fs::write(home.path().join("below/qemu-arm-execve.new"), "").expect("written");
        link(&at, Path::new("/new")).expect("made");
        assert_eq!(fs::read_link(&at).expect("a link"), Path::new("/new"));
        assert_eq!(fs::read_dir(home.path().join("below")).expect("a folder").count(), 1);
    }

    #[test]
    fn a_program_that_fails_is_told_with_what_it_said() {
        let shell = Path::new("/bin/sh");
        let error = call(shell, &["-c", "echo no >&2; exit 2"].map(str::to_owned)).expect_err("failed");
        assert!(error.to_string().ends_with("exit status: 2: no"), "{error}");
        call(shell, &["-c", "exit 0"].map(str::to_owned)).expect("done");
    }
}
