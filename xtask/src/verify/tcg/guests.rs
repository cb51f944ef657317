//! The tests' programs, compiled by the rules of the source tree.

use crate::facts::Target;
use crate::patch::UpstreamTree;
use crate::process::{ended, output};
use crate::session::Session;
use crate::verify::alone;
use crate::verify::cross::Tools;
use anyarch_client::files;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A target's tests, compiled in a folder that every lane has a copy of.
#[derive(Debug)]
pub struct Guests {
    /// The folder that holds the makefiles' settings, and one folder a lane.
    home: PathBuf,
    make: PathBuf,
    /// The rules that run tests, `run-linux-test` and its like, in the makefiles' order.
    pub runners: Vec<String>,
    /// Programs that did not compile, with the compiler's words.
    pub failed: BTreeMap<String, String>,
}

/// Where the tests are compiled.
const BUILT: &str = "built";
/// What the list of rules is asked by, and how the answer begins.
const LIST: &str = "anyarch-list";

impl Guests {
    /// Compiles all tests of a target in `home`, an empty folder.
    pub fn build(
        session: &Session,
        tests: &UpstreamTree,
        target: Target,
        tools: &Tools,
        home: &Path,
    ) -> Result<Self> {
        let built = home.join(BUILT);
        fs::create_dir(&built).with_context(|| format!("cannot create {}", built.display()))?;
        let write = |path: PathBuf, text: String| files::write_file(&path, text.as_bytes());
        write(
            home.join("config-host.mak"),
            format!("SRC_PATH={}\nPYTHON=python3 -B\n", tests.path().display()),
        )?;
        write(built.join("config-target.mak"), settings(target, tools))?;
        let rules = tests.path().join("tests/tcg/Makefile.target");
        ensure!(rules.is_file(), "the source has no tests/tcg");
        symlink(&rules, built.join("Makefile")).context("cannot link the tests' makefile")?;

        let mut guests = Self {
            home: home.to_owned(),
            make: tools.make.clone(),
            runners: Vec::new(),
            failed: BTreeMap::new(),
        };
        let mut all = guests.make(BUILT);
        // One that does not compile is no reason to leave out the others; each one's words stay together.
        all.args(["--keep-going", "--output-sync=target"]).arg(format!("-j{}", session.jobs)).arg("all");
        let log = session.workspace.log(&format!("tcg-{}", target.name));
        let said = output(&mut all)?;
        files::write_file(&log, &[said.stdout, said.stderr.clone()].concat())?;
        guests.failed = failed(&String::from_utf8_lossy(&said.stderr));
        ensure!(
            said.status.success() || !guests.failed.is_empty(),
            "make {}; full log: {}",
            ended(said.status),
            log.display()
        );
        guests.runners = guests.list()?;
        ensure!(!guests.runners.is_empty(), "tests/tcg has no tests for {}", target.name);
        Ok(guests)
    }

    /// `make` in a folder below the home, with nothing of the user's environment.
    pub fn make(&self, folder: &str) -> Command {
        let mut command = alone(&self.make);
        command.current_dir(self.home.join(folder)).arg("--no-print-directory");
        // The source's scripts are run where they lie, and must leave nothing there.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// The names of all rules that run a test.
    fn list(&self) -> Result<Vec<String>> {
        let mut command = self.make(BUILT);
        command.arg(format!("--eval={LIST}: ; $(info {LIST} $(RUN_TESTS))")).arg(LIST);
        let said = crate::process::capture(command)?;
        let names = said.lines().find_map(|line| line.strip_prefix(LIST)).unwrap_or_default();
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }

    /// A copy of all that was compiled, in which one lane's results won't meet another's.
    pub fn copy(&self, name: &str) -> Result<()> {
        let (from, to) = (self.home.join(BUILT), self.home.join(name));
        fs::create_dir(&to).with_context(|| format!("cannot create {}", to.display()))?;
        for entry in fs::read_dir(&from).with_context(|| format!("cannot list {}", from.display()))? {
            copy(&entry.with_context(|| format!("cannot list {}", from.display()))?, &to)?;
        }
        Ok(())
    }
}

/// A copy has the time of the original, or make would take some programs for outdated.
fn copy(entry: &fs::DirEntry, to: &Path) -> Result<()> {
    let (from, to) = (entry.path(), to.join(entry.file_name()));
    let what = || format!("cannot copy {}", from.display());
    if entry.file_type().with_context(what)?.is_symlink() {
        return symlink(fs::read_link(&from).with_context(what)?, &to).with_context(what);
    }
    fs::copy(&from, &to).with_context(what)?;
    let time = fs::metadata(&from).and_then(|meta| meta.modified()).with_context(what)?;
    let file = fs::File::open(&to).with_context(what)?;
    file.set_modified(time).with_context(what)
}

/// What QEMU's configure would write of a target whose compiler it found.
fn settings(target: Target, tools: &Tools) -> String {
    let mut text = format!(
        "TARGET_NAME={0}\nTARGET={0}-linux-user\nCC={1}\nEXTRA_CFLAGS={2}\nBUILD_STATIC=y\n",
        target.name,
        tools.cc.display(),
        tools.cflags
    );
    if let Some(gdb) = &tools.gdb {
        // Its name in older series, and in newer ones.
        for name in ["HAVE_GDB_BIN", "GDB"] {
            text.push_str(&format!("{name}={}\n", gdb.display()));
        }
    }
    text
}

/// The targets of make that could not be made, with the last error before each.
fn failed(said: &str) -> BTreeMap<String, String> {
    let mut failed = BTreeMap::new();
    let mut reason = String::new();
    for line in said.lines() {
        if let Some(name) = failed_target(line) {
            let reason = std::mem::take(&mut reason);
            failed.insert(name.to_owned(), if reason.is_empty() { line.to_owned() } else { reason });
        } else if let Some((_, words)) = line.split_once("rror: ")
            && reason.is_empty()
        {
            reason = words.to_owned();
        }
    }
    failed
}

/// Reads `make: *** [Makefile:127: test-mmx] Error 1` and `make: *** No rule to make target 'x', ...`.
fn failed_target(line: &str) -> Option<&str> {
    let words = line.split_once("*** ")?.1;
    if let Some(rest) = words.strip_prefix("No rule to make target '") {
        return rest.split('\'').next();
    }
    let (place, error) = words.strip_prefix('[')?.split_once(']')?;
    error.starts_with(" Error").then(|| place.rsplit(": ").next())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_compile_is_read_from_makes_words() {
        let said = "\
/s/tests/tcg/i386/test-3dnow.c:15:3: warning: nothing
/s/tests/tcg/i386/test-3dnow.c:16:3: error: unknown register name 'mm0'
/s/tests/tcg/i386/test-3dnow.c:17:3: error: another
make: *** [Makefile:127: test-3dnow] Error 1
cc1: error: bad value 'armv9' for '-march='
make: *** [/s/tests/tcg/x/Makefile.target:9: sub/foo] Error 1
make: *** No rule to make target 'bar', needed by 'all'.
make: Target 'all' not remade because of errors.
";
        let failed = failed(said);
        assert_eq!(failed.len(), 3, "{failed:?}");
        assert_eq!(failed["test-3dnow"], "unknown register name 'mm0'");
        assert_eq!(failed["sub/foo"], "bad value 'armv9' for '-march='");
        assert!(failed["bar"].contains("No rule"), "{failed:?}");
    }

    #[test]
    fn an_interrupted_make_is_not_taken_for_tests_that_do_not_compile() {
        assert!(failed("make: *** wait: No child processes.  Stop.\n").is_empty());
        assert!(failed("make: *** [Makefile:127: sha1] Terminated\n").is_empty());
    }
}
