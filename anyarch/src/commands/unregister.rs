//! `unregister`: undoes `register`.

use crate::session::Session;
use anyarch_binfmt::unregister::{self, Unregister};
use anyhow::Result;

/// Undoes registrations.
pub fn run(session: &Session, arguments: &Unregister) -> Result<()> {
    unregister::run(&session.setting(), arguments)
}
