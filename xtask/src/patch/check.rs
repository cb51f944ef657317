//! Do the patches apply, and does each topic without those that it is not built on?

use super::apply::{apply_one, moved_hunks};
use super::complete;
use crate::facts::series::Patch;
use crate::facts::topics::TOPICS;
use crate::facts::{Series, Topic};
use crate::session::Session;
use crate::source::PinnedSource;
use crate::store::Scratch;
use anyhow::{Context as _, Result};
use serde::Serialize;

/// What [`check`] found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Every patch, one after the other.
    pub patches: Vec<Checked>,
    /// Every topic that has patches, with no others but those that it is built on.
    pub topics: Vec<Alone>,
}

/// One patch that applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The patch's name below `patches/`.
    pub patch: String,
    /// Hunks that apply, but not at the lines they say.
    pub moved: Vec<String>,
}

/// A topic that applies without the others.
#[derive(Debug, Serialize)]
pub struct Alone {
    /// The topic.
    pub topic: Topic,
    /// The topics that it is built on, and whose patches were there.
    pub after: Vec<Topic>,
    /// Its patches.
    pub patches: Vec<Checked>,
}

/// Applies every patch to a fresh copy of the source, and each topic to one of its own. Fuzz is an error, a
/// hunk that moved is told.
pub fn check(session: &Session, series: &Series, source: &PinnedSource) -> Result<Report> {
    let all: Vec<&Patch> = series.patches.iter().collect();
    let checked = on_fresh_source(session, series, source, &all)?;
    let mut topics = Vec::new();
    for topic in TOPICS {
        let chain = series.patches_of(&topic.with_needs());
        if !chain.iter().any(|patch| patch.topic == topic) {
            continue;
        }
        // What the series itself begins with has been seen to apply.
        let is_start = chain.iter().zip(&all).all(|(one, other)| one.name == other.name);
        let seen = if is_start {
            checked[..chain.len()].to_vec()
        } else {
            on_fresh_source(session, series, source, &chain).with_context(|| stands_on_others(topic))?
        };
        let of_topic = chain.iter().zip(seen).filter(|(patch, _)| patch.topic == topic);
        let patches = of_topic.map(|(_, checked)| checked).collect();
        topics.push(Alone { topic, after: topic.needs().to_vec(), patches });
    }
    Ok(Report { patches: checked, topics })
}

fn stands_on_others(topic: Topic) -> String {
    let with = match topic.needs() {
        [] => "by itself".to_owned(),
        needs => format!("with {} alone", Topic::names(needs)),
    };
    format!(
        "the topic {topic} does not apply {with}: it must not touch what patches of other topics made\n\
         to see it: cargo xtask patch open FOLDER --topic {}",
        Topic::names(&topic.with_needs()).replace(' ', ",")
    )
}

fn on_fresh_source(
    session: &Session,
    series: &Series,
    source: &PinnedSource,
    patches: &[&Patch],
) -> Result<Vec<Checked>> {
    let home = Scratch::new(&session.workspace.trees.join(&series.pins.series))?;
    source.unpack(series, home.path())?;
    complete(series, home.path())?;
    let mut checked = Vec::new();
    for patch in patches {
        let moved = moved_hunks(patch, home.path())?;
        apply_one(patch, home.path())?;
        checked.push(Checked { patch: patch.name.clone(), moved });
    }
    Ok(checked)
}
