//! Emulators with a part of the patches, which show that each commit of a series compiles.

use super::{BuildInfo, BuildTree, Emulator, file_name};
use crate::facts::Target;
use crate::patch::PartialTree;
use crate::plan::{Plan, TreePlan};
use crate::session::BuildSession;
use crate::toolchain::Toolchain;
use anyhow::{Context as _, Result};
use std::path::Path;

/// A build tree for a growing number of patches; each time, ninja compiles what has changed.
#[derive(Debug)]
pub struct PartialBuild<'a>(BuildTree<'a>);

/// An emulator with a part of the patches. It shows that they work so far and is never a release: packages
/// are made from a verified [`Emulator`], and no way leads from here to one.
///
/// ```
/// # use xtask::{compile::PartialEmulator, facts::Series, session::Session, verify};
/// fn prove(session: &Session, series: &Series, part: &PartialEmulator) {
///     let _ = verify::partial(session, series, part);
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use xtask::{compile::PartialEmulator, facts::Series, session::Session, verify::{Depth, verify}};
/// fn prove(session: &Session, series: &Series, part: PartialEmulator) {
///     let _ = verify(session, series, part, Depth::Quick, None);
/// }
/// ```
#[derive(Debug)]
pub struct PartialEmulator(Emulator);

impl PartialEmulator {
    /// Target: what it emulates.
    pub fn target(&self) -> Target {
        self.0.target
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl<'a> PartialBuild<'a> {
    /// Configures a tree beside the source, for the targets of `tree`.
    pub fn open(
        session: &'a BuildSession,
        plan: &Plan,
        tree: &TreePlan,
        source: &PartialTree,
        toolchain: &Toolchain,
    ) -> Result<Self> {
        // Each patch may have meson run again, which takes longer the more targets there are.
        let build_info = BuildInfo::configured_for(tree.targets(), plan, tree, toolchain);
        // Its logs have this name, too, and outlive it.
        let path = source.path().with_file_name(format!("each-{}", plan.series().pins.series));
        BuildTree::at(path, build_info, session, plan, tree, source, toolchain).map(Self)
    }

    /// Compiles what the newest patch has changed.
    pub fn compile(&self, target: Target, source: &PartialTree) -> Result<PartialEmulator> {
        let made = self.0.make(&[target], source)?.all()?;
        let emulator = made.into_iter().next();
        let emulator = emulator.with_context(|| format!("{} made no emulator", file_name(&self.0.path)))?;
        Ok(PartialEmulator(emulator))
    }
}
