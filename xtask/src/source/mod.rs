//! Stage 1: pinned source. Whatever it came from, it is checked against the series' pins before
//! anybody uses it, and it says where it came from.

mod tree;
mod unpinned;

pub use tree::content_id;
pub use unpinned::{Unpinned, Wanted, look};

use crate::apt::Apt;
use crate::download;
use crate::facts::Series;
use crate::git;
use crate::session::Session;
use crate::unpack::{self, Rules};
use anyarch_client::error::Usage;
use anyhow::{Context as _, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// QEMU's source as a series pins it. Only this module makes one, and only after the check.
#[derive(Debug, Clone)]
pub struct PinnedSource {
    form: Form,
    origin: String,
}

#[derive(Debug, Clone)]
enum Form {
    /// A tarball whose sha256 is a pinned one.
    Tarball(PathBuf),
    /// A commit or tree object in a repository of ours.
    Object { repository: PathBuf, id: String },
}

impl PinnedSource {
    /// Where the source came from and which pin it was checked against, as text for people.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Writes the source tree into an existing empty folder.
    pub fn unpack(&self, series: &Series, into: &Path) -> Result<()> {
        let leave_out = &series.pins.tree.leave_out;
        match &self.form {
            Form::Tarball(file) => unpack::tar_xz(file, into, Rules { strip_top: true, leave_out }),
            Form::Object { repository, id } => git::export(repository, id, into, leave_out),
        }
    }

    fn tarball(file: PathBuf, origin: impl Into<String>) -> Self {
        Self { form: Form::Tarball(file), origin: origin.into() }
    }
}

/// Gets the source of a series: what the user gave, else the cache, upstream's git, upstream's
/// tarball, the distribution's source package; the first that answers.
pub fn obtain(session: &Session, series: &Series, given: Option<&str>) -> Result<PinnedSource> {
    if let Some(given) = given {
        return from_user(session, series, given)
            .with_context(|| format!("cannot use --source {given} for QEMU {}", series.pins.version));
    }
    if let Some(source) = from_cache(session, series)? {
        return Ok(source);
    }
    if session.offline {
        bail!(
            "QEMU {} is not in the cache ({}), and --offline is set\n\
             run `cargo xtask source` once with a network, or pass a copy: --source qemu-{}.tar.xz",
            series.pins.version,
            session.workspace.cache.display(),
            series.pins.version
        );
    }
    from_network(session, series)
}

/// Path of a tarball with the source of a series: upstream's, if it is pinned and available, else Debian's.
/// Both are tried in that order whatever the cache has, so that everybody hands on the same one.
pub fn tarball(session: &Session, series: &Series) -> Result<PathBuf> {
    for (sha256, name) in tarballs(series) {
        if let Some(kept) = download::cached(&session.workspace, sha256, name)? {
            return Ok(kept);
        }
        let is_debian = series.pins.debian.as_ref().is_some_and(|debian| debian.file == name);
        let got = match (session.offline, is_debian) {
            (true, _) => continue,
            (false, true) => from_debian(session, series),
            (false, false) => from_tarball(session, series),
        };
        match got {
            Ok(PinnedSource { form: Form::Tarball(file), .. }) => return Ok(file),
            Ok(_) => {}
            Err(error) => {
                session.progress.say(&format!("source: {name} is not available: {}", reason(&error)));
            }
        }
    }
    bail!(
        "no tarball of QEMU {} is available, which every release includes; pass one once: \
         cargo xtask source --source qemu-{}.tar.xz",
        series.pins.version,
        series.pins.version
    )
}

type Provider = (&'static str, fn(&Session, &Series) -> Result<PinnedSource>);

fn from_network(session: &Session, series: &Series) -> Result<PinnedSource> {
    let providers: [Provider; 3] = [
        ("upstream's git", from_git),
        ("upstream's tarball", from_tarball),
        ("Debian's source package", from_debian),
    ];
    let mut failures = Vec::new();
    for (name, provider) in providers {
        let started = Instant::now();
        match provider(session, series) {
            Ok(source) => return Ok(source),
            Err(error) => {
                let seconds = started.elapsed().as_secs_f64();
                session
                    .progress
                    .say(&format!("source: {name} is not available ({seconds:.1} s): {}", reason(&error)));
                failures.push(format!("{name}: {error:#}"));
            }
        }
    }
    Err(anyhow!(
        "QEMU {} is not available from any source\n  {}\n\
         without a network, pass a copy that was downloaded elsewhere: --source qemu-{}.tar.xz (from {})",
        series.pins.version,
        failures.join("\n  "),
        series.pins.version,
        series.pins.tarball.url,
    ))
}

/// What went wrong, on one line; the whole chain is for the case that nobody answers.
fn reason(error: &anyhow::Error) -> String {
    let mut lines = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let line = text.lines().next().unwrap_or_default().to_owned();
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    lines.truncate(2);
    lines.join(": ")
}

fn from_cache(session: &Session, series: &Series) -> Result<Option<PinnedSource>> {
    let pins = &series.pins;
    for (sha256, name) in tarballs(series) {
        if let Some(file) = download::cached(&session.workspace, sha256, name)? {
            return Ok(Some(PinnedSource::tarball(file, format!("the cache: {name}, sha256 {sha256}"))));
        }
    }
    let Some(commit) = &pins.git.commit else { return Ok(None) };
    Ok(git::cached(session, commit)?.map(|repository| PinnedSource {
        form: Form::Object { repository, id: commit.clone() },
        origin: format!("the cache: git commit {commit}"),
    }))
}

/// The tarballs that a series pins: hash and file name.
fn tarballs(series: &Series) -> Vec<(&str, &str)> {
    let pins = &series.pins;
    let official = pins.tarball.url.rsplit('/').next().unwrap_or_default();
    let official = pins.tarball.sha256.as_deref().map(|sha256| (sha256, official));
    let debian = pins.debian.as_ref().map(|debian| (debian.sha256.as_str(), debian.file.as_str()));
    official.into_iter().chain(debian).collect()
}

/// The pin that a provider is checked by; without it, nothing of the provider's is used.
fn pin<'a, T>(pin: &'a Option<T>, name: &str, series: &Series) -> Result<&'a T> {
    let file = format!("patches/{}/series.toml", series.pins.series);
    pin.as_ref().with_context(|| format!("skipped: {file} pins no {name}"))
}

/// The pinned commit from a repository, by the series' tag.
fn at_tag(session: &Session, series: &Series, url: &str, shown: &str) -> Result<PinnedSource> {
    let pins = &series.pins;
    let commit = pin(&pins.git.commit, "git.commit", series)?;
    let repository = git::fetch(session, url, &format!("refs/tags/{}", pins.tag), commit)?;
    Ok(PinnedSource {
        form: Form::Object { repository, id: commit.to_owned() },
        origin: format!("git {shown} at {}, commit {commit}", pins.tag),
    })
}

fn from_git(session: &Session, series: &Series) -> Result<PinnedSource> {
    let url = &series.pins.git.url;
    at_tag(session, series, url, url)
}

fn from_tarball(session: &Session, series: &Series) -> Result<PinnedSource> {
    let url = &series.pins.tarball.url;
    let sha256 = pin(&series.pins.tarball.sha256, "tarball.sha256", series)?;
    let file = download::get(session, url, sha256)?;
    Ok(PinnedSource::tarball(file, format!("{url}, sha256 {sha256}")))
}

fn from_debian(session: &Session, series: &Series) -> Result<PinnedSource> {
    let pin = pin(&series.pins.debian, "debian", series)?;
    let apt = Apt::open(session, &pin.suite, "source")?;
    let file = apt.source_file(&pin.package, &pin.version, &pin.file, &pin.sha256)?;
    Ok(PinnedSource::tarball(
        file,
        format!(
            "Debian's source package {} {} ({}), sha256 {}",
            pin.package, pin.version, pin.file, pin.sha256
        ),
    ))
}

/// What a user may mean by a source.
enum Given<'a> {
    Tarball(&'a Path),
    /// Without a history.
    Folder(&'a Path),
    /// The URL or absolute path of a git repository.
    Git(String),
}

impl<'a> Given<'a> {
    fn read(given: &'a str) -> Result<Self> {
        if given.is_empty() || given.starts_with('-') {
            return Err(Usage("a source is a tarball, a folder or a git URL".into()).into());
        }
        let path = Path::new(given);
        if path.is_file() {
            return Ok(Self::Tarball(path));
        }
        if path.is_dir() && !path.join(".git").exists() && !path.join("HEAD").exists() {
            return Ok(Self::Folder(path));
        }
        if path.exists() {
            return Ok(Self::Git(std::path::absolute(path)?.display().to_string()));
        }
        if !given.contains("://") && !given.contains('@') {
            return Err(Usage("it is not a file, a folder or a git URL".into()).into());
        }
        Ok(Self::Git(given.to_owned()))
    }
}

fn from_user(session: &Session, series: &Series, given: &str) -> Result<PinnedSource> {
    match Given::read(given)? {
        Given::Tarball(path) => tarball_of_user(session, series, path),
        Given::Folder(path) => {
            let (repository, id) = tree::checked(session, series, path)?;
            Ok(PinnedSource {
                form: Form::Object { repository, id: id.clone() },
                origin: format!("the folder {given}, git tree {id}"),
            })
        }
        Given::Git(url) => at_tag(session, series, &url, given),
    }
}

fn tarball_of_user(session: &Session, series: &Series, path: &Path) -> Result<PinnedSource> {
    let found = anyarch_client::hash::sha256_file(path)?;
    let known = tarballs(series);
    let Some((sha256, name)) = known.iter().find(|(sha256, _)| *sha256 == found) else {
        let pinned: Vec<String> = known.iter().map(|(sha256, name)| format!("{sha256}  {name}")).collect();
        bail!(
            "its sha256 is not a pinned one, so it is not used: truncated, changed, or another version?\n  \
             its sha256 is {found}\n  pinned:       {}",
            pinned.join("\n                ")
        );
    };
    let file = download::add_file(&session.workspace, path, sha256, name)?;
    Ok(PinnedSource::tarball(file, format!("the file {}, sha256 {sha256}", path.display())))
}
