//! `source`: the first two stages, for work on them.

use super::show;
use crate::facts::{Series, series};
use crate::patch;
use crate::session::Session;
use crate::source;
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Get the pinned QEMU source, check it, unpack and patch it
///
/// Tried in this order: --source, the cache, upstream's git at the pinned tag, upstream's tarball,
/// Debian's source package through this machine's own apt settings. The first that answers is
/// taken, checked against the pins in `patches/<series>/series.toml`, and named.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Take it from here: a tarball, an unpacked tree, a git checkout or URL
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

/// The patched tree of a series. What the user gave is checked even when the tree is there.
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
