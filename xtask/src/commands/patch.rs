//! `patch check`, `patch open`, `patch refresh`.

use super::show;
use crate::cli::{Patch, SourceArgs};
use crate::facts::Series;
use crate::session::Session;
use crate::{patch, source, store};
use anyhow::Result;

/// Keeps the patches of a series in shape.
pub fn run(session: &Session, command: &Patch) -> Result<()> {
    match command {
        Patch::Check(arguments) => check(session, arguments),
        Patch::Open { folder, source } => {
            let series = read(session, &source.series)?;
            store::is_writable(folder, "name a new folder in one of yours")?;
            let pinned = source::obtain(session, &series, source.source.as_deref())?;
            patch::open(&series, &pinned, folder)?;
            session.progress.say(&format!(
                "{}: {} patches as commits; edit, commit or rebase, then: cargo xtask patch refresh {}",
                folder.display(),
                series.patches.len(),
                folder.display()
            ));
            Ok(())
        }
        Patch::Refresh { folder, series } => {
            let names = patch::refresh(session, &read(session, series)?, folder)?;
            show(session, &names, || names.iter().map(|name| format!("{name}\n")).collect())
        }
    }
}

fn read(session: &Session, series: &str) -> Result<Series> {
    Series::read(&session.workspace.root.join("patches"), series)
}

fn check(session: &Session, arguments: &SourceArgs) -> Result<()> {
    let series = read(session, &arguments.series)?;
    let pinned = source::obtain(session, &series, arguments.source.as_deref())?;
    let checked = patch::check(session, &series, &pinned)?;
    show(session, &checked, || {
        let line = |patch: &patch::Checked| match patch.moved.len() {
            0 => format!("{}: applies\n", patch.patch),
            n => format!("{}: applies, {n} hunks moved\n  {}\n", patch.patch, patch.moved.join("\n  ")),
        };
        checked.iter().map(line).collect()
    })
}
