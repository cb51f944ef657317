//! Patch by patch on one tree, to try each commit of a series on its own.

use super::apply::apply_one;
use super::{Note, SOURCE, SourceTree, complete, fingerprint};
use crate::facts::Series;
use crate::facts::series::Patch;
use crate::session::Session;
use crate::source::PinnedSource;
use anyarch_client::files::TempFolder;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::fs;
use std::ops::Deref;
use std::time::Instant;

/// Pinned source with the first of its series' patches, none to all. It vanishes with this value. Only this
/// module makes one, and nothing that is built from it can be packed: a [`super::PatchedTree`] does not come of
/// it, not even with the last patch, and no note in the folder makes it pass for one.
#[derive(Debug)]
pub struct PartialTree {
    tree: SourceTree,
    _home: TempFolder,
}

impl Deref for PartialTree {
    type Target = SourceTree;
    fn deref(&self) -> &SourceTree {
        &self.tree
    }
}

impl PartialTree {
    /// The source without a patch, in a folder that has room for a build tree beside it.
    pub fn unpatched(session: &Session, series: &Series, source: &PinnedSource) -> Result<Self> {
        let home = TempFolder::new(&session.workspace.trees.join(&series.pins.series))?;
        let path = home.path().join(SOURCE);
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        source.unpack(series, &path)?;
        complete(series, &path)?;
        let note = Note { origin: source.origin().to_owned(), fingerprint: fingerprint(&path)? };
        Ok(Self { tree: SourceTree { path, note }, _home: home })
    }

    /// Applies the next patch.
    pub fn add(&mut self, patch: &Patch) -> Result<()> {
        self.tree.ensure_unchanged()?;
        apply_one(patch, &self.tree.path)?;
        self.tree.note.fingerprint = fingerprint(&self.tree.path)?;
        Ok(())
    }
}

/// The result for a patch after which the emulator compiles and works.
#[derive(Debug, PartialEq, Serialize)]
pub struct PatchTrial {
    /// The patch's name below `patches/`; none for the pinned source.
    pub patch: Option<String>,
    /// What happened, for the error message.
    pub seen: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Tries the source without a patch, then after each; ends with the first that fails, by name. `add` applies a
/// patch, `attempt` says what it saw, and `tell` hears of each that works.
pub fn each<S>(
    state: &mut S,
    patches: &[Patch],
    mut add: impl FnMut(&mut S, &Patch) -> Result<()>,
    mut attempt: impl FnMut(&mut S) -> Result<String>,
    mut tell: impl FnMut(&PatchTrial) -> Result<()>,
) -> Result<Vec<PatchTrial>> {
    let mut all = Vec::new();
    for patch in std::iter::once(None).chain(patches.iter().map(Some)) {
        let started = Instant::now();
        let added = patch.map_or(Ok(()), |patch| add(state, patch));
        let seen =
            added.and_then(|()| attempt(state)).with_context(|| fault(patch, all.len(), patches.len()))?;
        let patch = patch.map(|patch| patch.name.clone());
        let tried = PatchTrial { patch, seen, seconds: started.elapsed().as_secs_f64() };
        tell(&tried)?;
        all.push(tried);
    }
    Ok(all)
}

fn fault(patch: Option<&Patch>, number: usize, all: usize) -> String {
    match patch {
        Some(patch) => {
            let name = &patch.name;
            format!(
                "{name} is the first patch that fails, number {number} of {all}; all patches before it pass"
            )
        }
        None => "the pinned source fails here without any patch, so no patch can be tested".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Topic;
    use anyhow::bail;
    use std::path::PathBuf;

    fn patches() -> Vec<Patch> {
        let named = |number: u32| Patch {
            name: format!("10.2/execve/{number:04}-x.patch"),
            topic: Topic::Execve,
            sha256: String::new(),
            path: PathBuf::new(),
        };
        (1..=4).map(named).collect()
    }

    /// Walks over patches of which one is broken in this way; gives what was told of and what came of it.
    fn walk(broken_add: usize, broken_attempt: usize) -> (Vec<Option<String>>, Result<Vec<PatchTrial>>) {
        let mut told = Vec::new();
        let result = each(
            &mut 0,
            &patches(),
            |number, _| {
                *number += 1;
                if *number == broken_add { bail!("it does not apply") } else { Ok(()) }
            },
            |number| {
                if *number == broken_attempt { bail!("it does not compile") } else { Ok(number.to_string()) }
            },
            |tried| {
                told.push(tried.patch.clone());
                Ok(())
            },
        );
        (told, result)
    }

    #[test]
    fn every_patch_is_tried_with_those_before_it_and_the_bare_source_first() {
        let (told, all) = walk(99, 99);
        let all = all.expect("all fine");
        assert_eq!(all.iter().map(|one| one.seen.as_str()).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
        assert_eq!(told.len(), 5);
        assert_eq!(told[0], None);
        assert_eq!(told[4].as_deref(), Some("10.2/execve/0004-x.patch"));
    }

    #[test]
    fn a_broken_commit_in_the_middle_is_named_though_a_later_one_may_mend_it() {
        for (add, attempt, reason) in [(3, 99, "it does not apply"), (99, 3, "it does not compile")] {
            let (told, result) = walk(add, attempt);
            let error = format!("{:#}", result.expect_err("refused"));
            assert!(
                error.starts_with("10.2/execve/0003-x.patch is the first patch that fails, number 3 of 4")
            );
            assert!(error.ends_with(reason), "{error}");
            assert_eq!(told.len(), 3, "the source and two patches");
        }
        let (told, result) = walk(99, 0);
        let error = format!("{:#}", result.expect_err("refused"));
        assert!(told.is_empty() && error.starts_with("the pinned source fails here"), "{error}");
    }
}
