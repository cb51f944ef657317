//! `patch check`, `patch open`, `patch refresh`.

mod each;

use super::{print, show};
use crate::cli::{CheckArgs, Patch};
use crate::facts::{Series, Topic};
use crate::session::Session;
use crate::{patch, source, store};
use anyhow::Result;
use serde::Serialize;

/// Keeps the patches of a series in shape.
pub fn run(session: &Session, command: &Patch) -> Result<()> {
    match command {
        Patch::Check(arguments) => check(session, arguments),
        Patch::Open { folder, topics, source } => {
            let series = read(session, &source.series)?;
            store::is_writable(folder, "name a new folder in one of yours")?;
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

/// What `patch check` found.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    report: patch::Report,
    /// What came of every patch as a commit, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    each: Option<Vec<patch::Tried>>,
}

fn check(session: &Session, arguments: &CheckArgs) -> Result<()> {
    let plan = arguments.each.then(|| each::Each::plan(session, arguments)).transpose()?;
    let series = read(session, &arguments.source.series)?;
    let pinned = source::obtain(session, &series, arguments.source.source.as_deref())?;
    let report = patch::check(session, &series, &pinned)?;
    if !session.json {
        print(text(&report).as_bytes())?;
    }
    let each = plan.map(|plan| plan.run(session, &pinned)).transpose()?;
    // People have read it by now.
    show(session, &Found { report, each }, String::new)
}

fn text(report: &patch::Report) -> String {
    let patches = report.patches.iter().map(|one| format!("{}: {}\n", one.patch, applies(&one.moved)));
    patches.chain(report.topics.iter().map(topic)).collect()
}

fn applies(moved: &[String]) -> String {
    match moved.len() {
        0 => "applies".to_owned(),
        n => format!("applies, {n} hunks moved\n  {}", moved.join("\n  ")),
    }
}

/// What a topic applies with. That hunks move when others are missing is no news.
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
