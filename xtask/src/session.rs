//! What every stage is handed: the folders, the screen, and how much may run at once.

use crate::slots::Slots;
use crate::workspace::Workspace;
use anyarch_client::progress::Progress;
use anyhow::Result;
use std::ops::Deref;
use std::path::Path;

/// One run of the driver.
#[derive(Debug, Clone)]
pub struct Session {
    /// Where things are.
    pub workspace: Workspace,
    /// What people see.
    pub progress: Progress,
    /// How many jobs may run at a time.
    pub jobs: usize,
    /// Whether stdout gets JSON.
    pub json: bool,
    /// Whether only the caches may be used.
    pub offline: bool,
}

/// A run that compiles or packs. Only commands that do so get one.
#[derive(Debug)]
pub struct BuildSession {
    /// What every command is told.
    pub session: Session,
    /// The slots of its jobs.
    pub slots: Slots,
    /// Whether a failure leaves the others going.
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

    /// The same run with build trees and output in folders of their own below `folder`: nothing of what is
    /// there already is used but the cache.
    pub fn apart(&self, folder: &Path) -> Result<Self> {
        let workspace =
            Workspace { trees: folder.join("trees"), out: folder.join("out"), ..self.workspace.clone() };
        Self::new(Session { workspace, ..self.session.clone() }, self.keep_going)
    }
}
