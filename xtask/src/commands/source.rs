//! `source`: the first two stages, for work on them.

use super::show;
use crate::facts::{Series, series};
use crate::patch;
use crate::session::Session;
use crate::source;
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Download, verify, unpack and patch the pinned QEMU source
///
/// Sources are tried in this order: --source, the cache, upstream's git at the pinned tag, upstream's
/// tarball, Debian's source package with this machine's apt settings. The first that is available is used. It
/// must match the hashes pinned in `patches/<series>/series.toml`.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// QEMU source to use: a tarball, an unpacked tree, a git checkout or a git URL
    #[arg(long, value_name = "TREE|TARBALL|URL")]
    pub source: Option<String>,
}

/// Gets and patches the source, and says where it is and where it came from.
pub fn run(session: &Session, arguments: &SourceArgs) -> Result<()> {
    let series = Series::read(&session.workspace.root.join("patches"), &arguments.series)?;
    let tree = patched(session, &series, arguments.source.as_deref())?;
    let result = json!({
        "tag": series.pins.tag,
        "tree": tree.path(),
        "origin": tree.origin(),
        "patches": series.patches.iter().map(|patch| &patch.name).collect::<Vec<_>>(),
    });
    show(session, &result, || format!("{}\n", tree.path().display()))?;
    session.progress.say(&format!("source: QEMU {} from {}", series.pins.version, tree.origin()));
    Ok(())
}

/// The patched tree of a series. A source that the user gave is checked even if the tree exists.
pub fn patched(session: &Session, series: &Series, given: Option<&str>) -> Result<patch::PatchedTree> {
    let given = given.map(|given| source::obtain(session, series, Some(given))).transpose()?;
    patch::apply(session, series, || match given {
        Some(source) => Ok(source),
        None => source::obtain(session, series, None),
    })
}

/// The tree of a series without our patches.
pub fn upstream(session: &Session, series: &Series) -> Result<patch::UpstreamTree> {
    patch::upstream(session, series, || source::obtain(session, series, None))
}
