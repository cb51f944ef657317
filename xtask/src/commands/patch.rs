//! `patch check`, `patch open`, `patch refresh`.

use super::show;
use crate::cli::{Patch, SourceArgs};
use crate::facts::{Series, Topic};
use crate::session::Session;
use crate::{patch, source};
use anyhow::Result;

/// Keeps the patches of a series in shape.
pub fn run(session: &Session, command: &Patch) -> Result<()> {
    match command {
        Patch::Check(arguments) => check(session, arguments),
        Patch::Open { folder, topics, source } => {
            let series = read(session, &source.series)?;
            let pinned = source::obtain(session, &series, source.source.as_deref())?;
            let number = patch::open(session, &series, &pinned, topics, folder)?;
            session.progress.say(&format!(
                "{}: {} as commits; edit, commit or rebase, then: cargo xtask patch refresh {}",
                folder.display(),
                count_of_patches(number),
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
    let report = patch::check(session, &series, &pinned)?;
    show(session, &report, || {
        let patches = report.patches.iter().map(|one| format!("{}: {}\n", one.patch, applies(&one.moved)));
        patches.chain(report.topics.iter().map(topic)).collect()
    })
}

fn applies(moved: &[String]) -> String {
    match moved.len() {
        0 => "applies".to_owned(),
        n => format!("applies, {n} hunks moved\n  {}", moved.join("\n  ")),
    }
}

/// What a topic needs; hunks move when others are missing, and are no news.
fn topic(alone: &patch::Alone) -> String {
    let patches = count_of_patches(alone.patches.len());
    match &alone.after[..] {
        [] => format!("topic {}: {patches}, applies alone\n", alone.topic),
        after => format!("topic {}: {patches}, applies with {} alone\n", alone.topic, Topic::names(after)),
    }
}

fn count_of_patches(number: usize) -> String {
    match number {
        1 => "1 patch".to_owned(),
        number => format!("{number} patches"),
    }
}
