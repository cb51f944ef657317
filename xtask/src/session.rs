//! What every stage is handed: the folders, the screen, and how much may run at once.

use crate::progress::Progress;
use crate::workspace::Workspace;

/// One run of the driver.
#[derive(Debug)]
pub struct Session {
    /// Where things are.
    pub workspace: Workspace,
    /// What people see.
    pub progress: Progress,
    /// Compilers at a time.
    pub jobs: usize,
    /// Whether stdout gets JSON.
    pub json: bool,
    /// Whether only the caches may be used.
    pub offline: bool,
}
