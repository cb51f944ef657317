//! `reproduce --target anyarch`: released archives of the users' program, built once more from scratch and compared byte
//! by byte.

use super::program::selected;
use super::show;
use crate::facts::hosts::Rust;
use crate::facts::{Host, Series};
use crate::package::contents;
use crate::program::{self, Facts, Key};
use crate::reproduce::{Difference, difference};
use crate::session::BuildSession;
use crate::toolchain::RustToolchain;
use anyarch_client::error::Usage;
use anyarch_client::files::TempFolder;
use anyarch_client::hash;
use anyarch_client::progress::count;
use anyarch_manifest::layout::PROGRAM;
use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What came of the program of one host.
#[derive(Debug, Serialize)]
struct Row {
    target: &'static str,
    host: String,
    archive: PathBuf,
    /// SHA-256 of the released archive, lower-case hex.
    released: String,
    /// SHA-256 of the rebuilt archive, lower-case hex; none if it was not built.
    rebuilt: Option<String>,
    outcome: &'static str,
    /// What it would have been made from and with here, where that is something else.
    facts: Vec<String>,
    /// Where the two are not the same.
    difference: Option<Difference>,
}

/// Rebuilds the programs of these hosts; what differs is told, and an error.
pub fn run(session: &BuildSession, folder: &Path, hosts: &[String], series: &str) -> Result<()> {
    let root = &session.workspace.root;
    let series = Series::read(&root.join("patches"), series)?;
    let known = Host::all(&root.join("toolchains"))?;
    let mut rows = Vec::new();
    for (host, rust) in selected(session, hosts, &known)? {
        let name = program::file_name(&series.release(), &host.platform);
        let path = folder.join(&name);
        ensure!(path.is_file(), Usage(format!("{} has no {name}", folder.display())));
        rows.push(rebuild(session, &series, host, rust, path)?);
    }
    show(session, &rows, || rows.iter().map(Row::text).collect())?;
    let others = rows.iter().filter(|row| row.outcome != "reproduced").count();
    if others > 0 {
        bail!("{others} of {} not reproduced", count(rows.len(), "archive"));
    }
    Ok(())
}

fn rebuild(
    session: &BuildSession,
    series: &Series,
    host: &Host,
    rust: &Rust,
    archive: PathBuf,
) -> Result<Row> {
    let released = contents::read::<Facts>(&archive, PROGRAM)
        .with_context(|| format!("cannot compare {} with", archive.display()))?
        .build_info;
    let mut row = Row {
        target: PROGRAM,
        host: host.platform.clone(),
        released: hash::sha256_file(&archive)?,
        archive,
        rebuilt: None,
        outcome: "other-facts",
        facts: Vec::new(),
        difference: None,
    };
    let toolchain = RustToolchain::prepare(session, host, rust)?;
    let here = Facts::gather(&session.workspace.root, series, host, rust, &toolchain)?;
    row.facts = differing(&released, &here)?;
    if !row.facts.is_empty() {
        return Ok(row);
    }
    let scratch = TempFolder::new(&session.workspace.trees)?;
    let isolated = session.isolated(scratch.path())?;
    let compiled = program::compile(&isolated, series, host, rust, &toolchain)?;
    // Whether it runs was proven when it was released; the bytes are what is compared.
    let proven = program::prove(&isolated, compiled, None)?;
    let key = Key::new(&session.workspace.root, &here, host, series)?;
    let packed = program::pack(&isolated, &proven, &key, series.pins.epoch)?;
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    row.difference = difference(&read(&row.archive)?, &read(packed.path())?, None)?;
    row.rebuilt = Some(packed.record().sha256.clone());
    row.outcome = if row.difference.is_none() { "reproduced" } else { "differs" };
    Ok(row)
}

/// The facts that are not the same, each with both values.
fn differing(released: &Facts, here: &Facts) -> Result<Vec<String>> {
    let [old, new] = [released, here].map(serde_json::to_value);
    let (Value::Object(old), Value::Object(new)) = (old?, new?) else { return Ok(Vec::new()) };
    let odd = old.iter().filter(|(name, value)| new.get(*name) != Some(value));
    Ok(odd
        .map(|(name, value)| format!("{name}: {value} | {}", new.get(name).unwrap_or(&Value::Null)))
        .collect())
}

impl Row {
    fn text(&self) -> String {
        let mut text = format!("{:<14} {:<8} {}\n", self.target, self.host, self.outcome);
        let found = self.difference.iter().map(ToString::to_string);
        for line in self.facts.iter().cloned().chain(found) {
            text.push_str(&format!("  {}\n", line.replace('\n', "\n  ")));
        }
        text
    }
}
