//! `plan`, and `--dry-run` of others.

use super::show;
use crate::plan::{Plan, Request};
use crate::session::Session;
use anyhow::Result;

/// Prints the plan for a request.
pub fn print(session: &Session, request: &Request) -> Result<()> {
    let plan = Plan::make(&session.workspace, request)?;
    show(session, &plan, || plan.table())
}
