//! `install`: released emulators from a mirror, for this machine.

use super::prefix;
use crate::names;
use crate::releases::{self, Place, Release};
use crate::session::Session;
use anyarch_client::claim;
use anyarch_client::error::Usage;
use anyarch_client::fetch::{self, Folders, Installed, NameFilter};
use anyarch_client::progress::human_bytes;
use anyarch_client::{interrupt, machine, record};
use anyarch_manifest::is_newer;
use anyarch_manifest::layout::{self, PROGRAM};
use anyhow::{Context as _, Result};
use clap::Args;
use std::path::{Path, PathBuf};

/// Install released emulators; every file is verified before it is used
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  anyarch install --target arm64 --from https://example.org/anyarch --key anyarch.pub
  anyarch install --target all --from /mnt/mirror --prefix /usr/local
  anyarch install --target arm64 --release 10.2.2-1 --from /mnt/mirror
  anyarch install --target anyarch --from https://example.org/anyarch --key anyarch.pub")]
pub struct Install {
    /// Targets, by any usual name; `all` for every target of the release; `anyarch` for this program itself
    #[arg(short, long = "target", value_name = "TARGET", value_delimiter = ',', required = true)]
    targets: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Folder to install into: it gets `bin/` and `share/doc/` [default: ~/.local]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    prefix: Option<PathBuf>,
}

/// Installs what is asked for, and says where it is.
pub fn run(session: &Session, arguments: &Install) -> Result<()> {
    let targets = named(&arguments.targets)?;
    let prefix = prefix(arguments.prefix.as_deref())?;
    let release = releases::open(session, &arguments.place)?;
    let done = install(session, &release, &targets, &prefix)?;
    session.show(&done, || table(&done))
}

/// Installs emulators of a release below a prefix, and records where they came from.
///
/// # Errors
/// As [`fetch::fetch_emulators`], and when the release lacks one.
pub fn install(
    session: &Session,
    release: &Release,
    targets: &NameFilter,
    prefix: &Path,
) -> Result<Vec<Installed>> {
    interrupt::install(|| ())?;
    let _in_use = claim::shared(&session.cache)
        .context("cannot use the cache folder; set ANYARCH_CACHE to another one")?;
    let host = NameFilter::Only(vec![machine::native()?.to_owned()]);
    let manifest = &release.index.manifest;
    let before = record::all(prefix);
    let chosen = fetch::select(manifest, targets, &host)?;
    let folders = Folders { cache: &session.cache, prefix };
    for artifact in &chosen {
        let old = before.iter().find(|found| found.record.target == artifact.target && found.size.is_some());
        if let Some(old) = old.filter(|old| is_newer(&old.record.release, manifest.release.as_str())) {
            session.progress.say(&format!(
                "downgrade: {} {} takes the place of {}, which is newer",
                layout::program(&artifact.target),
                manifest.release,
                old.record.release
            ));
        }
    }
    let progress = &session.progress;
    let mut done = Vec::new();
    for (_, installed) in fetch::fetch_emulators(progress, &release.mirrors, manifest, &chosen, folders)? {
        let installed = installed?;
        record::write(prefix, &installed, &release.from)?;
        done.push(installed);
    }
    Ok(done)
}

/// Targets by any name; this program by its own.
///
/// # Errors
/// [`Usage`] for one that is not known.
pub fn named(words: &[String]) -> Result<NameFilter, Usage> {
    if words.iter().any(|name| name == "all") {
        let with_program = words.iter().any(|name| name == PROGRAM);
        return Ok(if with_program { NameFilter::AllAndProgram } else { NameFilter::All });
    }
    let mut once: Vec<String> = Vec::new();
    for name in words {
        let name = if name == PROGRAM { PROGRAM } else { names::target(name)?.name };
        if !once.iter().any(|known| known == name) {
            once.push(name.to_owned());
        }
    }
    Ok(NameFilter::Only(once))
}

/// What was installed, a line each.
pub fn table(done: &[Installed]) -> String {
    let line = |one: &Installed| {
        format!(
            "{:<14} {:<10} {:>9}  {:<10}  {}\n",
            one.target(),
            one.release(),
            human_bytes(one.size()),
            one.state().words(),
            one.path().display()
        )
    };
    done.iter().map(line).collect()
}
