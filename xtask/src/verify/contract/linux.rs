//! Linux as a program expects it: the guest `linux.c` prints the same lines as natively, however it is linked, with
//! interception and without.

use super::guests::{Compilers, Pair};
use super::limits::Limits;
use super::{Part, emulated, kernel, transcript};
use crate::compile::Emulator;
use crate::session::Session;
use crate::verify::contract::Linkage;
use crate::verify::{Outcome, TIMEOUT, alone};
use anyarch_client::files::TempFolder;
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// How programs are linked: it decides where they lie in memory. gcc's options.
const KINDS: [&str; 4] = ["-static", "-static-pie", "-pie", "-no-pie"];

/// The least number of cases.
const CASES: usize = 8;

/// Compiles the guest in every way, runs it natively and emulated, and compares.
pub fn check(session: &Session, emulator: &Emulator) -> Result<Outcome> {
    let compilers = match Compilers::find(emulator.target()) {
        Ok(compilers) => compilers,
        Err(missing) => return Ok(Outcome::lacks(&missing)),
    };
    let home = TempFolder::new(&session.workspace.trees)?;
    let suite = session.workspace.root.join("guests/linux");
    let limits = Limits::read(&suite, emulator.target(), &kernel())?;
    let mut part = Part::default();
    let mut left_out = BTreeSet::new();
    for kind in KINDS {
        let Some(pair) = compilers.linked(&suite.join("linux.c"), home.path(), kind)? else {
            part.not_run.push(format!("{kind}: the target's C library has no such programs"));
            continue;
        };
        let cases = home.path().join(format!("cases{kind}"));
        let expected = transcript::run(alone(&pair.native), &cases, TIMEOUT)?;
        for with in [false, true] {
            let seen = transcript::run(command(emulator.path(), &pair, with), &cases, TIMEOUT)?;
            let reason = |case: &str| limits.case(case, Linkage::Statically);
            let compared = transcript::compare(CASES, &expected, &seen, reason)
                .with_context(|| format!("{kind}, {} interception", if with { "with" } else { "without" }))?;
            part.passed.push(format!("{} cases {kind}", compared.same));
            left_out.extend(compared.left_out);
        }
    }
    part.passed.dedup();
    part.not_run.extend(left_out);
    Ok(part.into())
}

fn command(emulator: &Path, pair: &Pair, with_interception: bool) -> Command {
    if with_interception {
        return emulated(emulator, &pair.guest);
    }
    let mut command = alone(emulator);
    if let Some(prefix) = &pair.guest.prefix {
        command.arg("-L").arg(prefix);
    }
    command.arg(&pair.guest.program);
    command
}
