//! What every stage gets: the folders, progress output, options, and how many jobs may run at once.

use crate::slots::Slots;
use crate::workspace::Workspace;
use anyarch_client::progress::Progress;
use anyhow::Result;
use std::ops::Deref;
use std::path::Path;

/// One run of `cargo xtask`: folders, options and progress output.
#[derive(Debug, Clone)]
pub struct Session {
    /// The folders of this run.
    pub workspace: Workspace,
    /// Progress output.
    pub progress: Progress,
    /// How many jobs may run at a time.
    pub jobs: usize,
    /// Whether results are printed as JSON (`--json`).
    pub json: bool,
    /// Whether the network must not be used (`--offline`).
    pub offline: bool,
}

/// A run that compiles or packs. Only commands that do so get one.
#[derive(Debug)]
pub struct BuildSession {
    /// What every command is told.
    pub session: Session,
    /// The slots of its jobs.
    pub slots: Slots,
    /// Whether to continue with the others after a failure (`--keep-going`).
    pub keep_going: bool,
}

impl Deref for BuildSession {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.session
    }
}

impl BuildSession {
    /// A run that builds, with as many slots as it may have jobs.
    pub fn new(session: Session, keep_going: bool) -> Result<Self> {
        let slots = Slots::new(&session.workspace.trees, session.jobs)?;
        Ok(Self { session, slots, keep_going })
    }

    /// A session with build trees and output in new folders below `folder`. Only the cache is shared with this one.
    pub fn isolated(&self, folder: &Path) -> Result<Self> {
        let workspace =
            Workspace { trees: folder.join("trees"), out: folder.join("out"), ..self.workspace.clone() };
        Self::new(Session { workspace, ..self.session.clone() }, self.keep_going)
    }
}
