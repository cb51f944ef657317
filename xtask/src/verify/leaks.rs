//! A guest that fails to exec 10,000 times, in every way that there is: the emulator must not grow. An
//! emulator with AddressSanitizer is asked for every single byte that it lost.

use super::contract::{Linkage, compile, compiler};
use super::{Outcome, TIMEOUT, alone};
use crate::compile::Emulator;
use crate::facts::Series;
use crate::plan::Profile;
use crate::process::{self, capture, ended, output_within};
use crate::session::Session;
use anyarch_client::files::TempFolder;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use xshell::cmd;

/// As many as the contract asks for.
const FAILURES: &str = "10000";

/// Compiles the guest, runs it, and reads what it says of itself.
pub fn check(session: &Session, _: &Series, emulator: &Emulator) -> Result<Outcome> {
    let cross = match compiler(emulator.target()) {
        Ok(cross) => cross,
        Err(missing) => return Ok(Outcome::lacks(&missing)),
    };
    let home = TempFolder::new(&session.workspace.trees)?;
    let guests = session.workspace.root.join("guests");
    let guest = compile(&cross, &guests.join("exec/fail.c"), &home.path().join("fail"), Linkage::Statically)?;
    let folder = home.path().join("files");
    fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut command = alone(emulator.path());
    let sanitized = emulator.build_info().profile == Profile::Sanitized;
    if sanitized {
        watch(&mut command, &guests.join("fuzz/leaks.c"), home.path())?;
    }
    command.args(["--execve", "self"]).arg(&guest).arg(FAILURES).arg(&folder);
    let result = output_within(TIMEOUT, &mut command)?;
    let said = String::from_utf8_lossy(&result.stdout).trim().to_owned();
    let complaints = String::from_utf8_lossy(&result.stderr).trim().to_owned();
    ensure!(said.contains("failures: "), "the guest {}: {said}{complaints}", ended(result.status));
    if sanitized {
        // The sanitizer keeps what was freed, so the process may grow.
        ensure!(complaints.is_empty() && said.ends_with("+0 descriptors"), "{said}\n{complaints}");
        return Ok(Outcome::Passed(format!("{FAILURES} failures, LeakSanitizer found nothing")));
    }
    if !result.status.success() {
        bail!("the emulator grows: {said}{complaints}");
    }
    Ok(Outcome::Passed(said))
}

/// Has LeakSanitizer look when the emulator ends, which it would not do by itself: see `leaks.c`.
fn watch(command: &mut Command, source: &Path, home: &Path) -> Result<()> {
    let gcc = which::which("gcc")?;
    let library = home.join("leaks.so");
    let shell = process::shell()?;
    capture(cmd!(shell, "{gcc} -O1 -shared -fPIC -o {library} {source}"))
        .context("leaks.c does not compile")?;
    // The sanitizer insists on being first.
    let sanitizer = PathBuf::from(capture(cmd!(shell, "{gcc} -print-file-name=libasan.so"))?.trim());
    command.env("LD_PRELOAD", format!("{} {}", sanitizer.display(), library.display()));
    command.env("ASAN_OPTIONS", "detect_leaks=1");
    command.args(["-U", "LD_PRELOAD"]);
    Ok(())
}
