//! `status`: which programs run here, and who has registered what.

use crate::session::Session;
use anyarch_binfmt::status::{self, StatusArgs};
use anyhow::Result;

/// Looks, tries and shows.
pub fn run(session: &Session, arguments: &StatusArgs) -> Result<()> {
    status::run(&session.setting(), arguments)
}
