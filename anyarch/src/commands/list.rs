//! `list`: what is installed, of which release, and whether there is a newer one.

use super::prefix;
use crate::releases::{self, Place};
use crate::session::Session;
use anyarch_client::progress::human_bytes;
use anyarch_client::record::{self, Found};
use anyarch_manifest::is_newer;
use anyarch_manifest::target::Target;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// List the emulators that are installed, and this program, and whether there are newer ones
///
/// With --from or ANYARCH_FROM, it also says which release is the newest there.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    place: Place,
    /// Folder that they are installed in [default: ~/.local]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    prefix: Option<PathBuf>,
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    found: Found,
    /// A newer release that has it.
    newer: Option<String>,
    /// Docker's names of the platforms whose programs it runs.
    platforms: Vec<String>,
}

/// Lists them.
pub fn run(session: &Session, arguments: &List) -> Result<()> {
    let prefix = prefix(arguments.prefix.as_deref())?;
    let found = record::all(&prefix);
    let newest = match arguments.place.is_named() {
        true => Some(releases::open(session, &arguments.place)?.index.manifest),
        false => None,
    };
    let lines: Vec<Line> = found
        .into_iter()
        .map(|found| {
            let has = |manifest: &&anyarch_manifest::Manifest| {
                is_newer(manifest.release.as_str(), &found.record.release)
                    && releases::has(manifest, &found.record.target)
            };
            let newer = newest.as_ref().filter(has).map(|manifest| manifest.release.to_string());
            let target = Target::find(&found.record.target);
            let platforms = target.map_or(&[][..], |target| target.platforms);
            Line { platforms: platforms.iter().map(|name| format!("linux/{name}")).collect(), found, newer }
        })
        .collect();
    if lines.is_empty() {
        session.progress.say(&format!("no emulator is installed in {}", prefix.display()));
    }
    session.show(&lines, || lines.iter().map(text).collect())
}

fn text(line: &Line) -> String {
    let Found { record, path, size } = &line.found;
    let state = match (&line.newer, size) {
        (_, None) => "the emulator is gone: install it again, or remove it".to_owned(),
        (Some(newer), _) => format!("{newer} is newer: anyarch upgrade"),
        (None, _) => String::new(),
    };
    let size = size.map(human_bytes).unwrap_or_default();
    format!("{:<14} {:<10} {size:>9}  {}  {state}", record.target, record.release, path.display())
        .trim_end()
        .to_owned()
        + "\n"
}
