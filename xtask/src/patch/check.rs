//! Checks that all patches apply, and that each topic applies with only the topics that it requires.

use super::apply::{apply_one, moved_hunks, touched};
use super::complete;
use crate::facts::series::Patch;
use crate::facts::topics::TOPICS;
use crate::facts::{Series, Topic};
use crate::session::Session;
use crate::source::PinnedSource;
use anyarch_client::files::{self, TempFolder};
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// The result of [`check`].
#[derive(Debug, Serialize)]
pub struct Report {
    /// Every patch, one after the other.
    pub patches: Vec<PatchCheck>,
    /// Every topic that has patches, with no others but those that it is built on.
    pub topics: Vec<TopicCheck>,
}

/// The result for a patch that applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PatchCheck {
    /// The patch's name below `patches/`.
    pub patch: String,
    /// Hunks that apply, but not at the lines they say.
    pub moved: Vec<String>,
}

/// The result for a topic that applies without the topics that it does not require.
#[derive(Debug, Serialize)]
pub struct TopicCheck {
    /// The topic.
    pub topic: Topic,
    /// The topics that it is built on, and whose patches were there.
    pub after: Vec<Topic>,
    /// Its patches.
    pub patches: Vec<PatchCheck>,
}

/// Applies every patch to a fresh copy of the source, and each topic to one with no others but those that it
/// is built on. Fuzz is an error, a hunk that moved is told.
pub fn check(session: &Session, series: &Series, source: &PinnedSource) -> Result<Report> {
    let home = TempFolder::new(&session.workspace.trees.join(&series.pins.series))?;
    source.unpack(series, home.path())?;
    complete(series, home.path())?;
    let all: Vec<&Patch> = series.patches.iter().collect();
    let mut chains = Vec::new();
    for topic in TOPICS {
        let chain = series.patches_of(&topic.with_needs());
        if chain.iter().any(|patch| patch.topic == topic) {
            // What the series itself begins with will have been seen to apply.
            let is_start = chain.iter().zip(&all).all(|(one, other)| one.name == other.name);
            let copy = (!is_start).then(|| copy(session, home.path(), &chain)).transpose()?;
            chains.push((topic, chain, copy));
        }
    }
    let patches = apply_all(&all, home.path())?;
    let alone = |(topic, chain, copy): (Topic, Vec<&Patch>, Option<TempFolder>)| -> Result<TopicCheck> {
        let seen = match copy {
            Some(copy) => apply_all(&chain, copy.path()).with_context(|| stands_on_others(topic))?,
            None => patches[..chain.len()].to_vec(),
        };
        let of_topic = chain.iter().zip(seen).filter(|(patch, _)| patch.topic == topic);
        let patches = of_topic.map(|(_, checked)| checked).collect();
        Ok(TopicCheck { topic, after: topic.needs().to_vec(), patches })
    };
    let topics = chains.into_iter().map(alone).collect::<Result<_>>()?;
    Ok(Report { patches, topics })
}

/// The files of a tree that these patches are about: all that decides whether they apply.
fn copy(session: &Session, tree: &Path, patches: &[&Patch]) -> Result<TempFolder> {
    let copy = TempFolder::new(&session.workspace.trees)?;
    for patch in patches {
        for file in touched(patch, tree)? {
            let (from, to) = (tree.join(&file), copy.path().join(&file));
            if from.exists() && !to.exists() {
                files::create_parent(&to)?;
                fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            }
        }
    }
    Ok(copy)
}

fn stands_on_others(topic: Topic) -> String {
    let with = match topic.needs() {
        [] => "by itself".to_owned(),
        needs => format!("with {} alone", Topic::names(needs)),
    };
    format!(
        "the topic {topic} does not apply {with}: it must not depend on patches of other topics\n\
         to see it: cargo xtask patch open FOLDER --topic {}",
        Topic::names(&topic.with_needs()).replace(' ', ",")
    )
}

/// Applies patches one after the other.
fn apply_all(patches: &[&Patch], tree: &Path) -> Result<Vec<PatchCheck>> {
    let mut checked = Vec::new();
    for patch in patches {
        let moved = moved_hunks(patch, tree)?;
        apply_one(patch, tree)?;
        checked.push(PatchCheck { patch: patch.name.clone(), moved });
    }
    Ok(checked)
}
