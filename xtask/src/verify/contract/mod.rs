//! The execve contract: the guest `exec.c` does the same under `--execve self` as natively, line for
//! line, linked statically and dynamically, and `contract.sh` finds nothing wrong. Needs compilers.

pub mod cached;
mod guests;
mod limits;
pub mod linux;
mod tap;
mod transcript;

pub use guests::{Linkage, compile, compiler};

use super::{Outcome, TIMEOUT, alone};
use crate::compile::Emulator;
use crate::process::{ended, output_within};
use crate::session::Session;
use anyarch_client::files::TempFolder;
use anyhow::{Context as _, Result, anyhow, ensure};
use guests::{Compilers, Guest, Onlooker, Pair};
use limits::Limits;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;
use tap::Tap;

/// `exec.c` has some 400 cases.
const CASES: usize = 100;

/// Compiles the guest for the target and for this machine, and compares; with `upstream`, an unpatched
/// emulator of the same series and flags, the option is also shown to change nothing when it is off.
pub fn check(session: &Session, emulator: &Emulator, upstream: Option<&Path>) -> Result<Outcome> {
    let compilers = match Compilers::find(emulator.target()) {
        Ok(compilers) => compilers,
        Err(missing) => return Ok(Outcome::lacks(&missing)),
    };
    let home = TempFolder::new(&place(&session.workspace.trees))?;
    let source = session.workspace.root.join("guests/exec");
    let suite = Suite {
        emulator: emulator.path(),
        is_static: emulator.build_info().profile.is_static(),
        upstream,
        limits: Limits::read(&source, emulator.target(), &kernel())?,
        statically: compilers.pair(&source, home.path(), Linkage::Statically)?,
        dynamically: compilers.pair(&source, home.path(), Linkage::Dynamically)?,
        closed: compilers.onlooker(&source, home.path(), "closed")?,
        cache: compilers.onlooker(&source, home.path(), "cache")?,
        home: home.path(),
        source,
    };
    // None of the three keeps a processor busy by itself.
    let results = thread::scope(|scope| {
        let parts: [fn(&Suite<'_>) -> Result<Part>; 3] = [
            |suite| suite.same(Linkage::Statically),
            |suite| suite.same(Linkage::Dynamically),
            |suite| suite.script(),
        ];
        let suite = &suite;
        let running = parts.map(|part| scope.spawn(move || part(suite)));
        running.map(|part| part.join().unwrap_or_else(|_| Err(anyhow!("a thread of the check panicked"))))
    });
    let mut done = Part::default();
    for result in results {
        let part = result?;
        done.passed.extend(part.passed);
        done.not_run.extend(part.not_run);
    }
    Ok(done.into())
}

/// Where the guests run: beside the build trees, if other users get there. Some cases become another user, who
/// needs the target's libraries; of a checkout in root's own folder, nobody else sees anything.
fn place(trees: &Path) -> PathBuf {
    if everybody_enters(trees) { trees.to_owned() } else { env::temp_dir() }
}

/// Whether all users may go through a folder and those above it.
fn everybody_enters(folder: &Path) -> bool {
    let may_enter = |folder: &Path| fs::metadata(folder).is_ok_and(|found| found.mode() & 0o001 != 0);
    folder.ancestors().all(may_enter)
}

/// `6.1.0-21-amd64`
fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// What a part of the check found to hold, and what it could not try.
#[derive(Debug, Default)]
struct Part {
    passed: Vec<String>,
    not_run: Vec<String>,
}

impl From<Part> for Outcome {
    fn from(done: Part) -> Self {
        let reasons = done.not_run.join(", ");
        match (done.passed.is_empty(), done.not_run.is_empty()) {
            (true, _) => Self::NotRun(reasons),
            (false, true) => Self::Passed(done.passed.join("; ")),
            (false, false) => Self::Passed(format!("{}; not run: {reasons}", done.passed.join("; "))),
        }
    }
}

/// All that the parts of the check need.
struct Suite<'a> {
    emulator: &'a Path,
    is_static: bool,
    upstream: Option<&'a Path>,
    limits: Limits,
    statically: Pair,
    dynamically: Pair,
    closed: Onlooker,
    cache: Onlooker,
    home: &'a Path,
    source: PathBuf,
}

impl Suite<'_> {
    /// The guest does the same as natively.
    fn same(&self, linked: Linkage) -> Result<Part> {
        let mut part = Part::default();
        if let Some(reason) = self.limits.whole(linked) {
            part.not_run.push(format!("{linked}: {reason}"));
            return Ok(part);
        }
        let Pair { guest, native } = match linked {
            Linkage::Statically => &self.statically,
            Linkage::Dynamically => &self.dynamically,
        };
        // The same folder for both, since the guest prints it.
        let cases = self.home.join(format!("cases-{linked}"));
        let expected = transcript::run(alone(native), &cases, TIMEOUT)?;
        let seen = transcript::run(emulated(self.emulator, guest), &cases, self.timeout())?;
        let compared = transcript::compare(CASES, &expected, &seen, |case| self.limits.case(case, linked))
            .with_context(|| format!("{linked} linked guest"))?;
        part.passed.push(format!("{} cases {linked} linked as natively", compared.same));
        part.not_run.extend(compared.left_out);
        Ok(part)
    }

    /// `contract.sh`, which wants guests that need nothing but themselves.
    fn script(&self) -> Result<Part> {
        let mut part = Part::default();
        if let Some(reason) = self.limits.whole(Linkage::Statically) {
            part.not_run.push(format!("contract.sh: {reason}"));
            return Ok(part);
        }
        let Pair { guest, native } = &self.statically;
        let mut script = alone(Path::new("sh"));
        script
            .arg(self.source.join("contract.sh"))
            .args([self.emulator, &guest.program, native])
            .args(self.upstream)
            .env("CONTRACT_CLOSED", &self.closed.guest)
            .env("CONTRACT_CLOSED_NATIVE", &self.closed.native)
            .env("CONTRACT_CACHE", &self.cache.guest)
            .env("CONTRACT_CACHE_NATIVE", &self.cache.native)
            .env("TMPDIR", self.home);
        if !self.is_static {
            let root = self.home.join("libraries");
            super::sanitized::copy_libraries(self.emulator, &root)?;
            script.env("CONTRACT_ROOT", root);
        }
        let result = output_within(self.timeout(), &mut script)?;
        let tap = Tap::read(&String::from_utf8_lossy(&result.stdout));
        ensure!(tap.failed.is_empty(), "contract.sh: {}", tap.failed.join("\n  "));
        let complete = tap.planned == Some(tap.passed + tap.skipped.len());
        ensure!(
            result.status.success() && tap.passed > 0 && complete,
            "contract.sh {}: {}",
            ended(result.status),
            String::from_utf8_lossy(&result.stderr).trim()
        );
        part.passed.push(format!("{} checks of contract.sh", tap.passed));
        part.not_run.extend(tap.skipped);
        Ok(part)
    }

    /// An emulator that watches each access to memory, which is a dynamic one, takes several times as long.
    fn timeout(&self) -> Duration {
        if self.is_static { TIMEOUT } else { TIMEOUT * 6 }
    }
}

/// The guest under an emulator with interception.
fn emulated(emulator: &Path, guest: &Guest) -> Command {
    let mut command = alone(emulator);
    command.args(["--execve", "self"]);
    if let Some(prefix) = &guest.prefix {
        command.arg("-L").arg(prefix);
    }
    command.arg(&guest.program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn guests_run_where_other_users_get_to() {
        let home = tempfile::tempdir().expect("a folder");
        let trees = home.path().join("trees");
        fs::create_dir(&trees).expect("created");
        for (mode, expected) in [(0o711, trees.clone()), (0o700, env::temp_dir())] {
            fs::set_permissions(home.path(), fs::Permissions::from_mode(mode)).expect("set");
            assert_eq!(place(&trees), expected, "{mode:o}");
        }
    }
}
