//! `register`: from now on the kernel runs a target's programs by an emulator. The library says how.

use crate::session::Session;
use anyarch_binfmt::register::{self, Register};
use anyhow::Result;

/// Registers.
pub fn run(session: &Session, arguments: &Register) -> Result<()> {
    register::run(&session.setting(), arguments)
}
