//! The emulator of a target: the one that is named, else one that is installed, else one that is fetched.

use crate::releases::{self, Place};
use crate::session::Session;
use crate::text::Text;
use anyarch_client::claim;
use anyarch_client::error::Usage;
use anyarch_client::fetch::{self, Folders, NameFilter};
use anyarch_client::machine;
use anyarch_manifest::layout;
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An emulator that can run a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emulator {
    /// The file.
    pub path: Text,
    /// Its target, by QEMU's name.
    pub target: String,
    /// Whether it can keep what it has translated (`--tb-cache`).
    pub keeps_translations: bool,
}

/// Finds the emulator of a target, or fetches it into the cache.
///
/// # Errors
/// When the one that is named is none of ours, or there is none and none can be fetched.
pub fn find(session: &Session, target: &Target, named: Option<&Path>, place: &Place) -> Result<Emulator> {
    if let Some(path) = named {
        let path = std::path::absolute(path)?;
        let known =
            look(&path, target).map_err(|why| Usage(format!("--emulator {}: {why}", path.display())))?;
        return Ok(known);
    }
    let mut others = Vec::new();
    for path in candidates(session, target).into_iter().filter(|path| path.is_file()) {
        match look(&path, target) {
            Ok(found) => return Ok(found),
            Err(why) => others.push(format!("\n  {}: {why}", path.display())),
        }
    }
    fetched(session, target, place).with_context(|| {
        let program = layout::program(target.name);
        format!(
            "there is no {program} in ~/.local/bin, PATH, /usr/libexec/anyarch or the cache, and none could be fetched{}\n  \
             to fix it: anyarch install --target {target} --from URL, or pass --emulator FILE",
            others.concat()
        )
    })
}

/// Where emulators are looked for: what a user installed, what is in `PATH` or beside this program, what a package
/// installed, what was fetched.
fn candidates(session: &Session, target: &Target) -> Vec<PathBuf> {
    let program = layout::program(target.name);
    let home = env::home_dir().map(|home| home.join(".local").join(layout::emulator(target.name)));
    let path = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    let cached = prefix(session).join(layout::emulator(target.name));
    let own = env::current_exe().ok().and_then(|path| Some(path.parent()?.join(&program)));
    let packaged = Path::new(layout::PACKAGED).join(&program);
    let named = path.into_iter().map(|folder| folder.join(&program));
    home.into_iter().chain(named).chain(own).chain([packaged, cached]).collect()
}

/// Where emulators go that nobody installed.
fn prefix(session: &Session) -> PathBuf {
    session.cache.join("emulators")
}

/// Asks an emulator whether it is one of ours; the error says what else it is.
fn look(path: &Path, target: &Target) -> Result<Emulator, String> {
    let says_version = |options: &[&str]| {
        let mut command = Command::new(path);
        command.args(options).arg("--version").stdin(Stdio::null()).env_clear();
        command.output().map_err(|error| error.to_string())
    };
    let found = |keeps_translations| Emulator {
        path: path.into(),
        target: target.name.to_owned(),
        keeps_translations,
    };
    let says = says_version(&["--execve", "off", "--tb-cache", "off"])?;
    let program = layout::program(target.name);
    let is_of_target = |said: &[u8]| String::from_utf8_lossy(said).starts_with(&format!("{program} "));
    if says.status.success() {
        return match is_of_target(&says.stdout) {
            true => Ok(found(true)),
            false => Err(format!("it is not {program}")),
        };
    }
    let says = says_version(&["--execve", "off"])?;
    match says.status.success() && is_of_target(&says.stdout) {
        true => Ok(found(false)),
        false => Err("it does not know --execve, so it is none of anyarch's".to_owned()),
    }
}

/// Fetches the newest, or the one that is asked for.
fn fetched(session: &Session, target: &Target, place: &Place) -> Result<Emulator> {
    let host = machine::native()?;
    let _in_use =
        claim::shared(&session.cache).context("set ANYARCH_CACHE to a folder that you can write to")?;
    let release = releases::open(session, place)?;
    let only = |name: &str| NameFilter::Only(vec![name.to_owned()]);
    let chosen = fetch::select(&release.index.manifest, &only(target.name), &only(host))?;
    let prefix = prefix(session);
    let folders = Folders { cache: &session.cache, prefix: &prefix };
    let Some(artifact) = chosen.first() else { bail!("the release has none") };
    let manifest = &release.index.manifest;
    let installed = fetch::fetch_emulator(&session.progress, &release.mirrors, manifest, artifact, folders)?;
    look(installed.path(), target).map_err(|why| anyhow::anyhow!("{}: {why}", installed.path().display()))
}
