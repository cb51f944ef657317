//! The root file system, and how a load is run in it by each column.
//!
//! The C helpers `binfmt` and `root` make the namespace. In it `/tmp` is empty and in memory, and `/tmp/in` holds what
//! loads read: `hello.c`, `large.c`, `data`.

use super::column::Column;
use super::loads::Load;
use super::readings::Run;
use crate::commands::bench::binfmt::{Binfmt, compile_helper, registration};
use crate::commands::bench::emulator::{copy, mark};
use crate::facts::Target;
use crate::process::{ended, output_within};
use anyhow::{Context as _, Result, ensure};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One run may take this long.
const LIMIT: Duration = Duration::from_secs(1800);
/// Of the large C file.
const FUNCTIONS: u32 = 3000;
/// Bytes of what is packed.
const DATA: usize = 8_000_000;
/// Our emulator in the folder of files, and where the root has it. Registered, it intercepts by its name.
const OURS: &str = "ours-execve";
const OURS_INSIDE: &str = "/tmp/in/ours-execve";

/// The root file system and all that runs it.
pub struct System {
    root: PathBuf,
    files: PathBuf,
    helper: PathBuf,
    binfmt: Binfmt,
    /// What registers ours, and the peer's emulator.
    ours: String,
    peer: Option<String>,
}

impl System {
    /// Compiles the helpers and makes the files in `home`. Tries whether a program of `root` runs.
    pub fn prepare(
        target: Target,
        sources: &Path,
        home: &Path,
        root: PathBuf,
        emulator: &Path,
        peer: Option<&Path>,
    ) -> Result<Self> {
        let files = home.join("files");
        make_files(&files).with_context(|| format!("cannot write to {}", files.display()))?;
        let ours = registration(target, &copy(&files, emulator, OURS)?)?;
        let peer = peer.map(|peer| registration(target, &copy(home, peer, "peer")?)).transpose()?;
        let (helper, binfmt) = (home.join("root"), home.join("binfmt"));
        compile_helper(&sources.join("root.c"), &helper)?;
        mark(&helper)?;
        compile_helper(&sources.join("binfmt.c"), &binfmt)?;
        let probe = [
            helper.as_os_str(),
            OsStr::new("kept"),
            root.as_os_str(),
            files.as_os_str(),
            OsStr::new("/bin/true"),
        ];
        let binfmt = Binfmt::find(&binfmt, home, &ours, &probe)?;
        Ok(Self { root, files, helper, binfmt, ours, peer })
    }

    /// Where formats are registered.
    pub fn registered(&self) -> &'static str {
        self.binfmt.registered
    }

    /// Runs a load once.
    pub fn run(&self, column: Column, load: &Load) -> Result<Run> {
        let registration = match column {
            Column::Peer => self.peer.as_deref().context("there is no peer")?,
            Column::Registered => &self.ours,
            Column::Ours | Column::Kept | Column::Uncached | Column::Logged => "",
        };
        let mut command = self.binfmt.command(registration);
        command
            .arg(&self.helper)
            .arg(if load.changes { "changed" } else { "kept" })
            .arg(&self.root)
            .arg(&self.files);
        if let Some(options) = column.options() {
            command.arg(OURS_INSIDE).args(options);
        }
        command.args(["/bin/bash", "-ec", load.script]);
        command.envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/tmp"), ("LC_ALL", "C")]);
        let done = output_within(LIMIT, &mut command)?;
        let log = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "{}: {}\n{log}", column.name(), ended(done.status));
        Run::read(&String::from_utf8_lossy(&done.stdout), log)
    }
}

fn make_files(folder: &Path) -> std::io::Result<()> {
    fs::create_dir(folder)?;
    fs::write(
        folder.join("hello.c"),
        "#include <stdio.h>\nint main(void) { return puts(\"Hello\") < 0; }\n",
    )?;
    fs::write(folder.join("large.c"), (0..FUNCTIONS).map(function).collect::<String>())?;
    fs::write(folder.join("data"), data(DATA))
}

/// A C function with a branch, other than those of other numbers. gcc takes a millisecond for it, natively.
fn function(number: u32) -> String {
    let factor = number * 2 + 1;
    format!("int f{number}(int a)\n{{\n    return a > {number} ? a * {factor} : {number} - a;\n}}\n")
}

/// Words in an order that looks like chance, always the same: half packable.
fn data(size: usize) -> Vec<u8> {
    let mut state: u64 = 1;
    let mut bytes = Vec::with_capacity(size + 32);
    while bytes.len() < size {
        // Knuth's MMIX generator; its high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend(format!("word{} {:x}\n", state >> 54, state >> 44).bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_loads_are_always_the_same_and_as_big_as_they_say() {
        assert_eq!(data(1000), data(1000));
        assert_eq!(data(1001).len(), 1001);
        let home = tempfile::tempdir().expect("a folder");
        let files = home.path().join("files");
        make_files(&files).expect("files");
        let large = fs::read_to_string(files.join("large.c")).expect("a file");
        assert_eq!(large.matches("\nint f").count() + 1, FUNCTIONS as usize);
        assert_eq!(fs::metadata(files.join("data")).expect("data").len(), DATA as u64);
    }
}
