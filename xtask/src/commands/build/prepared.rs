//! A host's source and toolchain, ready to compile, and which of its tarballs are there already.

use crate::commands::source;
use crate::compile::BuildTree;
use crate::error::{INSTALL, Missing};
use crate::facts::Target;
use crate::package::{self, Tarball};
use crate::patch::PatchedTree;
use crate::plan::{Plan, TreePlan};
use crate::session::{BuildSession, Session};
use crate::toolchain::{self, CompilerSource, Compilers, Toolchain};
use crate::verify;
use anyhow::Result;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// A host's source and toolchain, ready to compile.
pub struct Prepared {
    /// The source with our patches.
    pub source: PatchedTree,
    /// The toolchain that compiles it.
    pub toolchain: Toolchain,
    /// What the tarballs of this host are made from and by.
    pub key: package::Key,
}

impl Prepared {
    /// Prepares source and toolchain; `given` is the user's `--source`.
    pub fn new(session: &BuildSession, plan: &Plan, tree: &TreePlan, given: Option<&str>) -> Result<Self> {
        all(session, plan, &[tree], given)?.remove(0)
    }

    /// The tarball of a target, if it is up to date.
    pub fn find(&self, session: &Session, plan: &Plan, tree: &TreePlan, target: Target) -> Option<Tarball> {
        let runs_here = tree.host().is_native() || plan.runs(tree.host());
        package::ready(session, plan, target, tree.host(), runs_here, &self.key)
    }

    /// The host's build tree, configured.
    pub fn open<'a>(&self, session: &'a BuildSession, plan: &Plan, tree: &TreePlan) -> Result<BuildTree<'a>> {
        BuildTree::open(session, plan, tree, &self.source, &self.toolchain)
    }
}

/// Prepares the source and the toolchain of each host. With `--keep-going`, an error of one host does not
/// stop the others.
pub fn all(
    session: &BuildSession,
    plan: &Plan,
    trees: &[&TreePlan],
    given: Option<&str>,
) -> Result<Vec<Result<Prepared>>> {
    // Before any download, and once for all hosts.
    toolchain::can_call(plan.tooling())?;
    if !session.keep_going {
        have_compilers(plan, trees)?;
    }
    let toolchain = |tree: &&TreePlan| -> Result<Toolchain> {
        toolchain::prepare(session, tree.host(), plan.series(), plan.tooling())
    };
    let (source, toolchains) = rayon::join(
        || source::patched(session, plan.series(), given),
        || trees.par_iter().map(toolchain).collect::<Vec<Result<Toolchain>>>(),
    );
    let source = source?;
    let suite_key = verify::suite_key(session)?;
    let ready = |(tree, toolchain): (&&TreePlan, Result<Toolchain>)| -> Result<Prepared> {
        let toolchain = toolchain?;
        let key = package::Key::new(plan, tree, &toolchain, &suite_key)?;
        Ok(Prepared { key, toolchain, source: source.clone() })
    };
    Ok(trees.iter().zip(toolchains).map(ready).collect())
}

/// Before any download: the compilers that are missing for any of the hosts, with one command for all, or what calls
/// them and can't.
fn have_compilers(plan: &Plan, trees: &[&TreePlan]) -> Result<()> {
    if plan.tooling().toolchain == CompilerSource::Container {
        return Ok(());
    }
    let lacking =
        |tree: &&TreePlan| Some((tree.host().platform.clone(), Compilers::find(tree.host()).err()?));
    let mut missing: Vec<(String, Missing)> = trees.iter().filter_map(lacking).collect();
    if missing.is_empty() {
        return trees.iter().try_for_each(|tree| toolchain::find(tree.host(), plan.tooling()).map(drop));
    }
    if missing.len() == 1 {
        // One host alone says it best itself.
        return Err(missing.remove(0).1.into());
    }
    let commands = missing.iter().filter_map(|(_, missing)| missing.command.as_deref());
    let packages: BTreeSet<&str> =
        commands.filter_map(|command| command.strip_prefix(INSTALL)).flat_map(|all| all.split(' ')).collect();
    let hosts: Vec<&str> = missing.iter().map(|(host, _)| host.as_str()).collect();
    let what = format!("a C compiler for each of {}", hosts.join(", "));
    let packages: Vec<&str> = packages.into_iter().collect();
    Err(Missing::new(what, format!("{INSTALL}{}", packages.join(" "))).into())
}
