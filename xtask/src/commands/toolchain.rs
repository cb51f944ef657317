//! `toolchain`: the third stage, for work on it.

use super::show;
use crate::cli::ToolchainArgs;
use crate::facts::{Host, Series};
use crate::session::Session;
use crate::{store, toolchain};
use anyhow::Result;
use serde_json::json;

/// Prepares a host's toolchain and says what is in it.
pub fn run(session: &Session, arguments: &ToolchainArgs) -> Result<()> {
    let root = &session.workspace.root;
    let hosts = Host::all(&root.join("toolchains"))?;
    let host = Host::named(&arguments.host, &hosts)?;
    let series = Series::read(&root.join("patches"), &arguments.series)?;
    if arguments.refresh {
        for kind in ["apt", "sysroots", "tools", "python"] {
            store::remove(&session.workspace.cache.join(kind))?;
        }
    }
    let made = toolchain::prepare(session, host, &series)?;
    let result = json!({
        "host": host.platform,
        "cc": made.cc,
        "compiler": made.cc_version,
        "sysroot": made.sysroot.path(),
        "python": made.python,
        "tools": made.tools.path(),
        "packages": made.sysroot.packages(),
    });
    show(session, &result, || {
        let packages = made.sysroot.packages().iter().map(|package| format!("  {}\n", package.file));
        format!(
            "host      {}\ncompiler  {}\nsysroot   {}\n{}python    {}\ntools     {}\n",
            host.platform,
            made.cc_version,
            made.sysroot.path().display(),
            packages.collect::<String>(),
            made.python.display(),
            made.tools.path().display(),
        )
    })
}
