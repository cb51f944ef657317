//! Translations that are shared or kept change nothing: the guest's cases, and mappings of code by chance, do with a
//! cache of translations what they do natively.

use super::guests::{Compilers, Guest, Linkage, Onlooker, Pair};
use super::limits::Limits;
use super::{CASES, emulated, kernel, place, transcript};
use crate::compile::Emulator;
use crate::process::output_within;
use crate::session::Session;
use crate::verify::{Outcome, TIMEOUT, alone};
use anyarch_client::files::TempFolder;
use anyhow::{Context as _, Result, ensure};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Calls of a run of `cache.c`'s mappings.
const CALLS: &str = "6000";

/// A value of `QEMU_TB_CACHE`.
#[derive(Debug, Clone)]
enum Mode {
    /// Shared by a tree of processes.
    Tree,
    /// Each block that is found is compared with a new translation.
    Paranoid,
    /// Kept in a folder, which holds what earlier runs left.
    Folder(PathBuf),
}

impl fmt::Display for Mode {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree => to.write_str("tree"),
            Self::Paranoid => to.write_str("paranoid"),
            Self::Folder(path) => write!(to, "{}", path.display()),
        }
    }
}

/// What is compared, and by whom.
struct Trial<'a> {
    emulator: &'a Path,
    limits: Limits,
    home: &'a Path,
}

impl Trial<'_> {
    fn emulated(&self, mode: &Mode, guest: &Guest) -> Command {
        let mut command = emulated(self.emulator, guest);
        command.env("QEMU_TB_CACHE", mode.to_string());
        command
    }

    /// Whether this emulator has a cache on this machine; if not, what it says.
    fn lacks(&self, guest: &Guest) -> Result<Option<String>> {
        let mut command = alone(self.emulator);
        command.args(["--execve", "self", "-d", "tb_cache"]).arg(&guest.program).args(["--exit", "0"]);
        let said = output_within(TIMEOUT, &mut command)?;
        let said = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        Ok((!said.contains("blocks translated")).then_some(said))
    }

    /// All cases, once more: how many are the same.
    fn cases(&self, pair: &Pair, linked: Linkage, modes: &[Mode]) -> Result<usize> {
        let folder = self.home.join("cases");
        let expected = transcript::run(alone(&pair.native), &folder, TIMEOUT)?;
        let mut same = 0;
        for mode in modes {
            let seen = transcript::run(self.emulated(mode, &pair.guest), &folder, TIMEOUT)?;
            let compared =
                transcript::compare(CASES, &expected, &seen, |case| self.limits.case(case, linked))
                    .with_context(|| format!("{linked} linked guest with --tb-cache {mode}"))?;
            same += compared.same;
        }
        Ok(same)
    }

    /// Mappings by one number after the other, for this long: how many numbers.
    fn mappings(&self, onlooker: &Onlooker, modes: &[Mode], time: Duration) -> Result<u32> {
        let guest = Guest { program: onlooker.guest.clone(), prefix: None };
        let (begun, first) = (Instant::now(), std::process::id());
        let mut tried = 0;
        while begun.elapsed() < time {
            let seed = first.wrapping_add(tried).to_string();
            let said = |mut command: Command| -> Result<String> {
                let ended = output_within(TIMEOUT, command.args(["mappings", &seed, CALLS]))?;
                let texts =
                    [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
                Ok(format!("{}: {}", ended.status, texts.concat()))
            };
            let expected = said(alone(&onlooker.native))?;
            for mode in modes {
                let seen = said(self.emulated(mode, &guest))?;
                ensure!(
                    seen == expected,
                    "`cache mappings {seed} {CALLS}` with --tb-cache {mode}:\n  natively: {expected}\n  emulated: {seen}"
                );
            }
            tried += 1;
        }
        Ok(tried)
    }
}

/// Runs the guest's cases with a cache that compares and with a folder, empty and filled, and mappings for `time`.
pub fn check(session: &Session, emulator: &Emulator, time: Duration) -> Result<Outcome> {
    let compilers = match Compilers::find(emulator.target()) {
        Ok(compilers) => compilers,
        Err(missing) => return Ok(Outcome::lacks(&missing)),
    };
    let home = TempFolder::new(&place(&session.workspace.trees))?;
    let source = session.workspace.root.join("guests/exec");
    let limits = Limits::read(&source, emulator.target(), &kernel())?;
    let trial = Trial { emulator: emulator.path(), limits, home: home.path() };
    if let Some(reason) = trial.limits.whole(Linkage::Statically) {
        return Ok(Outcome::NotRun(reason.to_owned()));
    }
    let statically = compilers.pair(&source, home.path(), Linkage::Statically)?;
    if let Some(said) = trial.lacks(&statically.guest)? {
        return Ok(Outcome::NotRun(format!("this emulator has no cache of translations here: {said}")));
    }
    let folder = || Mode::Folder(home.path().join("kept"));
    let modes = [Mode::Paranoid, folder(), folder()];
    let mut same = trial.cases(&statically, Linkage::Statically, &modes)?;
    if trial.limits.whole(Linkage::Dynamically).is_none() {
        let dynamically = compilers.pair(&source, home.path(), Linkage::Dynamically)?;
        same += trial.cases(&dynamically, Linkage::Dynamically, &modes)?;
    }
    let onlooker = compilers.onlooker(&source, home.path(), "cache")?;
    let tried = trial.mappings(&onlooker, &[Mode::Tree, Mode::Paranoid, folder()], time)?;
    Ok(Outcome::Passed(format!(
        "{same} cases as natively, compared and from a folder; mappings by {tried} numbers in {} s",
        time.as_secs()
    )))
}
