//! A released emulator from a mirror, checked before a byte of it is used, and installed whole or not at all.

use crate::error::{Usage, nearest};
use crate::files;
use crate::install::{self, PrefixLock};
use crate::interrupt;
use crate::progress::Progress;
use crate::transfer::{ExpectedFile, Mirrors};
use anyarch_manifest::layout::{self, PROGRAM};
use anyarch_manifest::{Archive, ArchiveFormat, Artifact, Bundle, Manifest, Program};
use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The most bytes that an archive may have, whatever the manifest says: nobody may have signed that. Ours have 2 MB, and 10 MB
/// those of all emulators.
/// `dist/install.sh` has this limit, too.
pub const MAX_ARCHIVE: u64 = 32 << 20;

/// The most bytes that all files in an archive may have together, whatever the manifest says. Those of ours have 8 MB,
/// and 112 MB those of all emulators.
/// `dist/install.sh` has this limit, too.
pub const MAX_UNPACKED: u64 = 256 << 20;

/// An emulator, or the users' program, that is installed. Only this module makes one.
#[derive(Debug, Clone, Serialize)]
pub struct Installed {
    target: String,
    host: String,
    release: String,
    path: PathBuf,
    size: u64,
    sha256: String,
    archive: String,
    archive_size: u64,
    state: State,
}

impl Installed {
    /// Target, by QEMU's name; [`PROGRAM`] for the users' program.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Host, by Docker's platform name without `linux/`: `amd64`, `arm/v7`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The release that it is from.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The SHA-256 of its bytes, in lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The name of the archive that holds it.
    pub fn archive(&self) -> &str {
        &self.archive
    }

    /// The archive's size in bytes.
    pub fn archive_size(&self) -> u64 {
        self.archive_size
    }

    /// Whether it was installed now or was up to date.
    pub fn state(&self) -> State {
        self.state
    }
}

/// What a run had to do for an emulator to be in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The emulator was there already; nothing was downloaded.
    UpToDate,
    /// The emulator was downloaded and put in place.
    Installed,
}

impl State {
    /// The state in words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::UpToDate => "up to date",
            Self::Installed => "installed",
        }
    }
}

/// A selection by name: all, or only some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameFilter {
    /// All names that the release has.
    All,
    /// All names, and the users' program, which is no emulator.
    AllAndProgram,
    /// These targets by QEMU's names, or hosts by Docker's.
    Only(Vec<String>),
}

impl NameFilter {
    /// What is asked for by its name.
    pub fn by_name(&self) -> impl Iterator<Item = &str> {
        let (names, program) = match self {
            Self::All => (&[][..], None),
            Self::AllAndProgram => (&[][..], Some(PROGRAM)),
            Self::Only(names) => (&names[..], None),
        };
        names.iter().map(String::as_str).chain(program)
    }
}

/// The emulators of a release that are asked for: each of these targets for each of these hosts. Who asks for
/// [`PROGRAM`] by name gets the users' program; all targets are only emulators.
///
/// # Errors
/// [`Usage`] when the release lacks one; the message lists what it has.
pub fn select(manifest: &Manifest, targets: &NameFilter, hosts: &NameFilter) -> Result<Vec<Artifact>> {
    let there = sorted(manifest.artifacts.iter().map(|one| one.host.as_str()));
    let hosts: Vec<&str> = match hosts {
        NameFilter::All | NameFilter::AllAndProgram => there.clone(),
        NameFilter::Only(names) => names.iter().map(String::as_str).collect(),
    };
    let mut chosen = Vec::new();
    for host in hosts {
        let of_host: Vec<&Artifact> = manifest.artifacts.iter().filter(|one| one.host == host).collect();
        if of_host.is_empty() && manifest.program(host).is_none() {
            bail!(lacks(manifest, &format!("anything for {host}"), host, "it has emulators for", &there));
        }
        if !matches!(targets, NameFilter::Only(_)) {
            chosen.extend(of_host.iter().copied().cloned());
        }
        for target in targets.by_name() {
            let program = (target == PROGRAM).then(|| manifest.program(host)).flatten();
            let emulator = of_host.iter().find(|one| one.target == target).copied().cloned();
            let found = emulator.or_else(|| program.map(Program::as_artifact));
            chosen.push(found.ok_or_else(|| no_target(manifest, target, host))?);
        }
    }
    Ok(chosen)
}

fn no_target(manifest: &Manifest, target: &str, host: &str) -> Usage {
    if target == PROGRAM {
        return no_program(manifest, host);
    }
    let all = || manifest.artifacts.iter();
    let targets = sorted(all().filter(|one| one.host == host).map(|one| one.target.as_str()));
    let hosts = sorted(all().filter(|one| one.target == target).map(|one| one.host.as_str()));
    let what = format!("qemu-{target} for {host}");
    let mut error = lacks(manifest, &what, target, &format!("for {host} it has"), &targets);
    if !hosts.is_empty() {
        error.0.push_str(&format!("\n  qemu-{target} it has for: {}", hosts.join(" ")));
    }
    error
}

/// Some hosts have no program, and the first releases have none at all.
fn no_program(manifest: &Manifest, host: &str) -> Usage {
    let hosts = sorted(manifest.programs.iter().map(|one| one.host.as_str()));
    let hosts = if hosts.is_empty() { "no host".to_owned() } else { hosts.join(" ") };
    Usage(format!("release {} has {PROGRAM} for {hosts}, not for {host}", manifest.release))
}

fn lacks(manifest: &Manifest, what: &str, name: &str, of: &str, known: &[&str]) -> Usage {
    let hint = nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Usage(format!("release {} does not have {what}{hint}\n  {of}: {}", manifest.release, known.join(" ")))
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The folders that an emulator goes through.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// Where archives are kept until their emulator is in place. The caller holds a claim on it ([`crate::claim`]).
    pub cache: &'a Path,
    /// Where the emulator goes: it gets `bin/` and `share/doc/`.
    pub prefix: &'a Path,
}

/// Downloads, verifies and installs one emulator below a prefix, unless it is up to date. Waits for other
/// runs that install there.
///
/// # Errors
/// When no mirror gives its archive, the archive is not what the manifest says or holds what it must not, or a folder
/// cannot be written. No half of an emulator stands in the place then, and none with the texts of another.
pub fn fetch_emulator(
    progress: &Progress,
    mirrors: &Mirrors,
    manifest: &Manifest,
    artifact: &Artifact,
    folders: Folders<'_>,
) -> Result<Installed> {
    let Folders { cache, prefix } = folders;
    let archive = artifact.archive(ArchiveFormat::TarXz).with_context(|| {
        format!("there is no .tar.xz of {} for {}", layout::program(&artifact.target), artifact.host)
    })?;
    is_modest(archive.file.as_str(), archive.size, MAX_ARCHIVE)?;
    is_modest(&format!("{} unpacked", archive.file), artifact.unpacked_size, MAX_UNPACKED)?;
    let installed = |state| describe(manifest, artifact, archive, prefix, state);
    if install::is_current(prefix, artifact)? {
        install::sweep(prefix);
        return Ok(installed(State::UpToDate));
    }
    are_writable(folders)?;
    let _lock = PrefixLock::acquire(prefix, progress)?;
    // Another run may have been faster.
    if install::is_current(prefix, artifact)? {
        return Ok(installed(State::UpToDate));
    }
    let downloaded = mirrors.download(
        progress,
        cache,
        ExpectedFile {
            release: manifest.release.as_str(),
            name: archive.file.as_str(),
            size: archive.size,
            sha256: archive.sha256.as_str(),
        },
    )?;
    install::install(prefix, artifact, &downloaded.file)
        .with_context(|| format!("{} was not installed into {}", archive.file, prefix.display()))?;
    downloaded.discard()?;
    Ok(installed(State::Installed))
}

/// Whether there is room for what comes: told before anything is downloaded.
fn are_writable(Folders { cache, prefix }: Folders<'_>) -> Result<()> {
    files::is_writable(prefix, "pass --prefix DIR with a folder that you can write to")?;
    files::is_writable(cache, "set ANYARCH_CACHE to a folder that you can write to")
}

/// Downloads, verifies and installs emulators of one host below a prefix, one after the other as the results are asked for;
/// those that can be had for less in the archive of all emulators come from that.
///
/// # Errors
/// When the prefix cannot be written; in the results as [`fetch_emulator`].
pub fn fetch_emulators<'a>(
    progress: &'a Progress,
    mirrors: &'a Mirrors,
    manifest: &'a Manifest,
    artifacts: &'a [Artifact],
    folders: Folders<'a>,
) -> Result<impl Iterator<Item = (&'a Artifact, Result<Installed>)>> {
    let mut together = fetch_together(progress, mirrors, manifest, artifacts, folders)?;
    Ok(artifacts.iter().map(move |artifact| {
        let found = together.iter().position(|one| one.target == artifact.target);
        let installed = match found {
            Some(at) => Ok(together.swap_remove(at)),
            None => fetch_emulator(progress, mirrors, manifest, artifact, folders),
        };
        (artifact, installed)
    }))
}

/// Installs emulators from the archive of all emulators of their host, where that is less to download than what is missing
/// of them. Gives those that it installed; all others are left to [`fetch_emulator`], as they are when the archive cannot
/// be had: then a line says why.
///
/// # Errors
/// When the prefix cannot be written.
fn fetch_together(
    progress: &Progress,
    mirrors: &Mirrors,
    manifest: &Manifest,
    artifacts: &[Artifact],
    folders: Folders<'_>,
) -> Result<Vec<Installed>> {
    let Folders { cache, prefix } = folders;
    let Some(bundle) = artifacts.first().and_then(|one| manifest.bundle(&one.host)) else {
        return Ok(Vec::new());
    };
    let Some(archive) = bundle.archive(ArchiveFormat::TarXz) else { return Ok(Vec::new()) };
    if !is_less(prefix, bundle, archive, artifacts) {
        return Ok(Vec::new());
    }
    are_writable(folders)?;
    let _lock = PrefixLock::acquire(prefix, progress)?;
    // Another run may have been faster.
    let missing = missing(prefix, bundle, artifacts);
    let done = is_modest(archive.file.as_str(), archive.size, MAX_ARCHIVE)
        .and_then(|()| is_modest(&format!("{} unpacked", archive.file), bundle.unpacked_size, MAX_UNPACKED))
        .and_then(|()| {
            let release = manifest.release.as_str();
            let (name, sha256) = (archive.file.as_str(), archive.sha256.as_str());
            mirrors.download(progress, cache, ExpectedFile { release, name, size: archive.size, sha256 })
        })
        .and_then(|downloaded| {
            install::install_from(prefix, bundle, &missing, &downloaded.file)
                .with_context(|| format!("{} was not installed into {}", archive.file, prefix.display()))?;
            downloaded.discard()
        });
    if let Err(error) = done {
        interrupt::wait_if_interrupted();
        progress.say(&format!("warning: {error:#}; each emulator is fetched on its own"));
        return Ok(Vec::new());
    }
    let installed = |one: &&Artifact| describe(manifest, one, archive, prefix, State::Installed);
    Ok(missing.iter().map(installed).collect())
}

/// Those in the archive that are not up to date.
fn missing<'a>(prefix: &Path, bundle: &Bundle, artifacts: &'a [Artifact]) -> Vec<&'a Artifact> {
    let is_missing = |one: &&Artifact| {
        bundle.targets.contains(&one.target) && !install::is_current(prefix, one).unwrap_or_default()
    };
    artifacts.iter().filter(|one| one.host == bundle.host).filter(is_missing).collect()
}

/// Whether one archive is less to download than those of what is missing.
fn is_less(prefix: &Path, bundle: &Bundle, archive: &Archive, artifacts: &[Artifact]) -> bool {
    let own = missing(prefix, bundle, artifacts);
    let sizes = own.iter().filter_map(|one| one.archive(ArchiveFormat::TarXz)).map(|one| one.size);
    sizes.fold(0, u64::saturating_add) > archive.size
}

/// Refuses what would fill a disk.
fn is_modest(what: &str, size: u64, most: u64) -> Result<()> {
    ensure!(
        size <= most,
        "refused: the manifest says that {what} has {size} bytes, and the limit is {most}\n  \
         pass another mirror with --from, and --key so that only a signed manifest is accepted"
    );
    Ok(())
}

fn describe(
    manifest: &Manifest,
    artifact: &Artifact,
    archive: &Archive,
    prefix: &Path,
    state: State,
) -> Installed {
    Installed {
        target: artifact.target.clone(),
        host: artifact.host.clone(),
        release: manifest.release.to_string(),
        path: install::emulator_path(prefix, &artifact.target),
        size: artifact.emulator.size,
        sha256: artifact.emulator.sha256.to_string(),
        archive: archive.file.to_string(),
        archive_size: archive.size,
        state,
    }
}
