//! `toolchain`: the third stage, for work on it.

use super::show;
use crate::facts::{Host, Series, series};
use crate::session::Session;
use crate::toolchain::ToolchainOptions;
use crate::toolchain::{self, Toolchain};
use anyarch_client::error::Usage;
use anyarch_client::files;
use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use std::fs;

/// Prepare a host's toolchain: sysroot, meson, ninja, bison, flex; no root needed
#[derive(Debug, Args)]
pub struct ToolchainArgs {
    /// The host
    #[arg(long, value_name = "HOST", default_value = "native")]
    pub host: String,
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Download the newest packages instead of using those in the cache
    #[arg(long)]
    pub refresh: bool,
    /// How compilers are run: on this machine or in a container, through a cache or a cluster.
    #[command(flatten)]
    pub tooling: ToolchainOptions,
}

/// Prepares a host's toolchain and says what is in it.
pub fn run(session: &Session, arguments: &ToolchainArgs) -> Result<()> {
    let root = &session.workspace.root;
    let hosts = Host::all(&root.join("toolchains"))?;
    let host = Host::named(&arguments.host, &hosts)?;
    let series = Series::read(&root.join("patches"), &arguments.series)?;
    let made = if arguments.refresh {
        refresh(session, || toolchain::prepare(session, host, &series, &arguments.tooling))?
    } else {
        toolchain::prepare(session, host, &series, &arguments.tooling)?
    };
    let result = json!({
        "host": host.platform,
        "cc": made.cc(),
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

/// What a refresh makes anew.
const KINDS: [&str; 4] = ["apt", "sysroots", "tools", "python"];

/// Sets aside what is in the cache, makes it anew, and puts the old back if that fails.
fn refresh(session: &Session, prepare: impl FnOnce() -> Result<Toolchain>) -> Result<Toolchain> {
    if session.offline {
        return Err(Usage("--refresh needs the network, but --offline is set".into()).into());
    }
    let place = |kind: &str| session.workspace.cache.join(kind);
    let aside = |kind: &str| session.workspace.cache.join(format!("{kind}.old"));
    for kind in KINDS.iter().filter(|kind| place(kind).exists()) {
        files::remove(&aside(kind))?;
        fs::rename(place(kind), aside(kind)).with_context(|| format!("cannot set {kind} aside"))?;
    }
    let made = prepare();
    for kind in KINDS {
        if made.is_err() && aside(kind).exists() {
            files::remove(&place(kind))?;
            fs::rename(aside(kind), place(kind))
                .with_context(|| format!("cannot put the old {kind} back"))?;
        }
        files::remove(&aside(kind))?;
    }
    made
}
