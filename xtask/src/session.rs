//! What every stage is handed: the folders, the screen, and how much may run at once.

use crate::slots::Slots;
use crate::workspace::Workspace;
use anyarch_client::progress::Progress;
use anyhow::{Context as _, Result};
use std::path::Path;

/// One run of the driver.
#[derive(Debug)]
pub struct Session {
    /// Where things are.
    pub workspace: Workspace,
    /// What people see.
    pub progress: Progress,
    /// How many jobs may run at a time.
    pub jobs: usize,
    /// The slots of these jobs, for commands that run any.
    pub slots: Option<Slots>,
    /// Whether a failure leaves the others going.
    pub keep_going: bool,
    /// Whether stdout gets JSON.
    pub json: bool,
    /// Whether only the caches may be used.
    pub offline: bool,
}

impl Session {
    /// The same run with build trees and output in folders of their own below `folder`: nothing of what is
    /// there already is used but the cache.
    pub fn apart(&self, folder: &Path) -> Result<Self> {
        let workspace =
            Workspace { trees: folder.join("trees"), out: folder.join("out"), ..self.workspace.clone() };
        Ok(Self {
            slots: Some(Slots::new(&workspace.trees, self.jobs)?),
            workspace,
            progress: self.progress.clone(),
            jobs: self.jobs,
            keep_going: self.keep_going,
            json: self.json,
            offline: self.offline,
        })
    }

    /// The job slots.
    pub fn slots(&self) -> Result<&Slots> {
        self.slots.as_ref().context("this command has no job slots")
    }
}
