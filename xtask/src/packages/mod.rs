//! Last stage: packages of a release for others' package managers, made of its folder alone and without their tools.
//! The same release gives the same bytes, wherever they are made.
//!
//! dpkg, rpm and apk get the same three packages ([`contents`]); pip gets a wheel for each emulator; Nix and Homebrew
//! get a text each that takes the release's archives by their hashes.

mod apk;
mod binfmt;
mod compress;
mod contents;
mod deb;
mod entry;
mod format;
mod recipe;
mod rpm;
mod tree;
mod version;
mod wheel;

pub use format::Format;

use crate::facts::Host;
use crate::package;
use crate::released::{Released, Unpacked};
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::lock::Lock;
use anyarch_manifest::SUMS;
use anyhow::{Context as _, Result};
use contents::Package;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use version::Version;

/// What packages are made, and what they say.
#[derive(Debug, Clone)]
pub struct PackagesOptions {
    /// Which; none for all that can be made.
    pub formats: Vec<Format>,
    /// For which hosts.
    pub hosts: Vec<Host>,
    /// Who answers for them: `NAME <MAIL>`.
    pub maintainer: String,
    /// The address of the folder that the release's folder is served in. Recipes need it.
    pub base: Option<String>,
    /// RSA key, in PEM, that packages of Alpine are signed with; else they are unsigned.
    pub apk_key: Option<PathBuf>,
    /// Whether all files lie in one folder, for shelves that have no folders.
    pub flat: bool,
}

/// What every package says of itself.
#[derive(Debug, Clone)]
struct About {
    version: Version,
    /// The time of all files, and of the package: seconds since 1970, in the 32 bits that rpm has for it.
    epoch: u32,
    maintainer: String,
    homepage: Option<String>,
}

/// A package that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// Its format.
    pub format: Format,
    /// The host that it is for; none where it is for all of them.
    pub host: Option<String>,
    /// The file, below the folder of packages.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// Packages of a release, in a folder.
#[derive(Debug)]
pub struct Packages {
    /// The folder, with a folder for each format.
    pub folder: PathBuf,
    /// What is in it.
    pub made: Vec<Made>,
}

/// Makes packages of a release in `<out>/<release>-packages`, in the place of those that were there.
///
/// # Errors
/// [`Usage`] when a format is asked for that cannot be made of this release; else when the release is not what it says
/// of itself, or something cannot be written. Nothing of the packages is there then.
pub fn make(session: &Session, released: &Released, options: &PackagesOptions) -> Result<Packages> {
    let release = &released.manifest.release;
    let folder = session.workspace.out.join(format!("{release}-packages"));
    let about = About {
        version: Version::of(&released.manifest)?,
        epoch: u32::try_from(released.manifest.source.epoch)
            .context("no package can say the release's time, which is after the year 2106")?,
        maintainer: options.maintainer.clone(),
        homepage: options.base.clone(),
    };
    let formats = formats(session, options)?;
    // Beside what it makes: the folder for build trees is not this command's to begin.
    let _lock = Lock::acquire(&folder, &session.progress)?;
    let mut made = Vec::new();
    files::publish_dir(&folder, |new| {
        let place = Place { folder: new, flat: options.flat };
        for host in &options.hosts {
            let step = session.progress.step(format!("packages for {}", host.platform));
            let mine: Vec<Format> = formats.iter().copied().filter(|format| format.is_for(host)).collect();
            if mine.is_empty() {
                step.done("no format knows this machine");
                continue;
            }
            let unpacked = released.unpack(session, &host.platform, &session.workspace.out)?;
            made.extend(of_host(&mine, host, &unpacked, &about, options.apk_key.as_deref(), &place)?);
            step.done("packed");
        }
        for format in formats.iter().filter(|format| format.is_recipe()) {
            if let Some(base) = &options.base {
                made.extend(recipe::write(*format, &released.manifest, base, &options.hosts, &place)?);
            }
        }
        for format in &options.formats {
            if !made.iter().any(|one| one.format == *format) {
                let hosts: Vec<&str> = options.hosts.iter().map(|host| host.platform.as_str()).collect();
                let hosts = hosts.join(" ");
                return Err(Usage(format!("{format} has no name for any of these machines: {hosts}")).into());
            }
        }
        made.sort_by(|a, b| a.file.cmp(&b.file));
        let files = made.iter().map(|one| (one.file.to_str().unwrap_or_default(), one.sha256.as_str()));
        files::write_file(&new.join(SUMS), package::sums(files).as_bytes())
    })?;
    Ok(Packages { folder, made })
}

/// The formats that are asked for, else all that can be made.
fn formats(session: &Session, options: &PackagesOptions) -> Result<Vec<Format>> {
    let lacks_base = |format: &Format| format.is_recipe() && options.base.is_none();
    if let Some(format) = options.formats.iter().find(|format| lacks_base(format)) {
        let why = "it names the archives by their addresses: pass --base URL";
        return Err(Usage(format!("no {format} can be made: {why}")).into());
    }
    if !options.formats.is_empty() {
        return Ok(options.formats.clone());
    }
    let (left_out, formats): (Vec<Format>, Vec<Format>) = Format::ALL.into_iter().partition(lacks_base);
    if !left_out.is_empty() {
        let names: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        session.progress.say(&format!("without --base URL, not made: {}", names.join(" ")));
    }
    Ok(formats)
}

/// One package that is to be made.
enum Job {
    Deb(Package),
    Rpm(Package),
    Apk(Package),
    Wheel(String),
}

/// The packages for a host, in the folders of their formats below `new`. Several are packed at once.
fn of_host(
    formats: &[Format],
    host: &Host,
    unpacked: &Unpacked,
    about: &About,
    apk_key: Option<&Path>,
    place: &Place<'_>,
) -> Result<Vec<Made>> {
    let mut jobs = Vec::new();
    for format in formats {
        let packages = || contents::packages(unpacked, host, format.completions_of_zsh());
        match format {
            Format::Deb => jobs.extend(packages()?.into_iter().map(Job::Deb)),
            Format::Rpm => jobs.extend(packages()?.into_iter().map(Job::Rpm)),
            Format::Apk => jobs.extend(packages()?.into_iter().map(Job::Apk)),
            Format::Wheel => {
                jobs.extend(unpacked.targets().iter().map(|target| Job::Wheel((*target).to_owned())));
            }
            Format::Nix | Format::Homebrew => {}
        }
    }
    let write = |job: Job| -> Result<Made> {
        let (format, (name, bytes)) = match &job {
            Job::Deb(package) => (Format::Deb, deb::pack(package, host, about)?),
            Job::Rpm(package) => (Format::Rpm, rpm::pack(package, host, about)?),
            Job::Apk(package) => (Format::Apk, apk::pack(package, host, about, apk_key)?),
            Job::Wheel(target) => (Format::Wheel, wheel::pack(target, unpacked, host, about)?),
        };
        place.put(format, Some(host), &name, &bytes)
    };
    jobs.into_par_iter().map(write).collect()
}

/// Where packages are put.
struct Place<'a> {
    folder: &'a Path,
    flat: bool,
}

impl Place<'_> {
    /// Writes a package under its name, which may be in a folder of its machine.
    fn put(&self, format: Format, host: Option<&Host>, name: &str, bytes: &[u8]) -> Result<Made> {
        let file = if self.flat { flat(name).into() } else { Path::new(&format.to_string()).join(name) };
        files::write_file(&self.folder.join(&file), bytes)?;
        Ok(Made {
            format,
            host: host.map(|host| host.platform.clone()),
            file,
            size: bytes.len() as u64,
            sha256: hash::sha256(bytes),
        })
    }
}

/// `x86_64/a-1.apk` as `a-1.x86_64.apk`: Alpine's packages for two machines have one name.
fn flat(name: &str) -> String {
    let parts = name.split_once('/').and_then(|(machine, name)| Some((machine, name.rsplit_once('.')?)));
    parts.map_or_else(|| name.to_owned(), |(machine, (stem, kind))| format!("{stem}.{machine}.{kind}"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
