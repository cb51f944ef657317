//! `series new`: the folder of a series to come, as far as a program can make it, and the list of what it cannot.

use super::super::show;
use super::draft::Draft;
use super::report::{Report, Seen};
use super::survey;
use crate::facts::series::COMMON;
use crate::facts::version::numbers;
use crate::facts::{Series, Target};
use crate::patch;
use crate::session::Session;
use crate::source::{self, PinnedSource, Unpinned, Wanted};
use crate::workspace::Workspace;
use anyarch_client::error::Usage;
use anyarch_client::files::{self, TempFolder};
use anyhow::{Context as _, Result};
use clap::Args;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// `series new`.
#[derive(Debug, Args)]
pub struct New {
    /// The new series: `11.2`
    name: String,
    /// The series whose patches are tried: one that is here, or `prepared/NAME`
    #[arg(long, value_name = "SERIES")]
    from: String,
    /// The new source: a tarball, a git checkout or a git URL [default: the git repository that --from pins]
    #[arg(long, value_name = "TARBALL|DIR|URL")]
    source: Option<String>,
    /// The tag of the new source [default: the newest release of the series]
    #[arg(long)]
    tag: Option<String>,
    /// The commit of the new source, 40 hex digits; then it needs no tag
    #[arg(long)]
    commit: Option<String>,
    /// Keep the git repository in which the patches were tried in this new folder, to go on there
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Try everything and print the report, but put nothing into `patches/`
    #[arg(long)]
    dry_run: bool,
}

/// Makes the series in a scratch folder and puts it into its place at the end.
pub fn run(session: &Session, arguments: &New) -> Result<()> {
    let New { name, from, source: given, .. } = arguments;
    let patches = session.workspace.root.join("patches");
    let place = patches.join(name);
    possible(arguments, &place)?;
    let model = Series::read_model(&patches, from)?;
    let wanted = Wanted { tag: arguments.tag.as_deref(), commit: arguments.commit.as_deref() };
    let found = source::look(session, name, given.as_deref(), &wanted, &model.pins.git)?;

    let scratch = TempFolder::new(&session.workspace.trees)?;
    let attempt = Attempt::new(session, arguments, &model, &found, scratch.path())?;
    let report = attempt.carry()?;
    if !arguments.dry_run {
        put(&attempt.folder, &place, &session.workspace.root)?;
    }
    show(session, &report, || report.text(arguments.dry_run))
}

/// An error if the command cannot do what is asked for, before anything is fetched.
fn possible(arguments: &New, place: &Path) -> Result<()> {
    let New { name, commit, work, dry_run, .. } = arguments;
    if numbers::<2>(name).is_none() {
        return Err(Usage(format!("`{name}` is no name of a series: two numbers, as 11.2")).into());
    }
    if place.exists() {
        let text = format!(
            "the series {name} is there: {}\nfor a point release, change its pins: docs/adding-a-series.md",
            place.display()
        );
        return Err(Usage(text).into());
    }
    let is_commit = |text: &String| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(commit) = commit.as_ref().filter(|commit| !is_commit(commit)) {
        return Err(Usage(format!("`{commit}` is no commit: 40 hex digits")).into());
    }
    if let Some(work) = work {
        files::is_writable(work, "name a new folder in a place where you can write")?;
    }
    match place.parent().filter(|_| !dry_run) {
        Some(patches) => files::is_writable(patches, "or pass --dry-run"),
        None => Ok(()),
    }
}

/// Renames the finished folder into its place. It is copied beside `patches/` first, as the scratch folder may be on
/// another disk.
fn put(finished: &Path, place: &Path, root: &Path) -> Result<()> {
    let stage = TempFolder::new(root)?;
    let copy = stage.path().join("series");
    copy_files(finished, &copy)?;
    fs::rename(&copy, place).with_context(|| format!("cannot put {} in place", place.display()))
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    let what = || format!("cannot copy {}", from.display());
    fs::create_dir_all(to).with_context(what)?;
    for entry in fs::read_dir(from).with_context(what)? {
        let entry = entry.with_context(what)?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy_files(&path, &copy)?,
            false => files::write_file(&copy, &fs::read(&path).with_context(what)?)?,
        }
    }
    Ok(())
}

/// A series that is being made, in a checkout of its own that has nothing but `patches/`.
struct Attempt<'a> {
    session: &'a Session,
    arguments: &'a New,
    model: &'a Series,
    found: &'a Unpinned,
    /// The model's `series.toml`.
    text: String,
    scratch: &'a Path,
    /// The series' folder there.
    folder: PathBuf,
    /// The repository in which the patches are tried.
    work: PathBuf,
}

impl<'a> Attempt<'a> {
    fn new(
        session: &'a Session,
        arguments: &'a New,
        model: &'a Series,
        found: &'a Unpinned,
        scratch: &'a Path,
    ) -> Result<Self> {
        let file = session.workspace.root.join("patches").join(&arguments.from).join(PINS);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let folder = scratch.join("patches").join(&arguments.name);
        let work = arguments.work.clone().unwrap_or_else(|| scratch.join("work"));
        Ok(Self { session, arguments, model, found, text, scratch, folder, work })
    }

    /// Writes the patches that fit, with the pins, and gives the report.
    fn carry(&self) -> Result<Report> {
        let Self { session, arguments: New { name, from, source: given, .. }, model, .. } = self;
        let patches = self.scratch.join("patches");
        self.write_pins(None, &[])?;
        let new = Series { pins: Series::pins(&patches, name)?, patches: Vec::new() };
        let source = source::obtain(session, &new, given.as_deref())?;
        let old_source = self.old_source();
        let carried = patch::carry(session, (model, old_source.as_ref()), (&new, &source), &self.work)?;
        let workspace = Workspace { root: self.scratch.to_owned(), ..session.workspace.clone() };
        patch::refresh(&Session { workspace, ..(*session).clone() }, &new, &self.work)?;

        let seen = self.seen(old_source.as_ref())?;
        let old = &model.pins.build.targets;
        if !seen.targets.is_empty() {
            let known =
                seen.targets.iter().filter(|name| Target::named(name).is_ok_and(|t| t.name == **name));
            self.write_pins(Some(&known.cloned().collect::<Vec<_>>()), &seen.gone(old))?;
        }
        let alone = self.alone(&patches, &source)?;
        Ok(Report::new(self.found, (name, from), model, carried, &seen, alone))
    }

    fn write_pins(&self, targets: Option<&[String]>, gone: &[String]) -> Result<()> {
        let draft =
            Draft { name: &self.arguments.name, model: &self.model.pins, found: self.found, targets, gone };
        files::write_file(&self.folder.join(PINS), draft.text(&self.text).as_bytes())
    }

    /// The model's source: of the cache, of the repository that was given, or of the network. Without it, patches are
    /// tried as they are.
    fn old_source(&self) -> Option<PinnedSource> {
        let Self { session, model, .. } = self;
        let cached = Session { offline: true, ..(*session).clone() };
        let given = self.arguments.source.as_deref().filter(|given| !Path::new(given).is_file());
        let from_given = || source::obtain(session, model, given);
        let got = source::obtain(&cached, model, None).or_else(|_| from_given());
        if got.is_err() {
            session.progress.say(&format!(
                "note: the source of QEMU {} is not available, so patches are tried without a merge",
                model.pins.version
            ));
        }
        got.ok()
    }

    fn seen(&self, old_source: Option<&PinnedSource>) -> Result<Seen> {
        let old = TempFolder::new(&self.session.workspace.trees)?;
        let processors_before = match old_source {
            Some(source) => {
                source.unpack(self.model, old.path())?;
                Some(survey::processors(old.path())?)
            }
            None => None,
        };
        Ok(Seen {
            targets: survey::targets(&self.work)?,
            processors: survey::processors(&self.work)?,
            processors_before,
            python: survey::python(&self.work, &self.python_lists()?)?,
        })
    }

    /// The texts of the lists of Python packages that a build has.
    fn python_lists(&self) -> Result<Vec<String>> {
        let folder = self.session.workspace.root.join("toolchains");
        let names: BTreeSet<PathBuf> = [PathBuf::from("python.txt")]
            .into_iter()
            .chain(self.model.pins.build.python_packages.clone())
            .collect();
        let read = |name: &PathBuf| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        names.iter().map(read).collect()
    }

    /// Why a topic does not apply without the others, if one does not; the common patches are those of the checkout.
    fn alone(&self, patches: &Path, source: &PinnedSource) -> Result<Option<String>> {
        let common = patches.join(COMMON);
        files::remove(&common)?;
        let here = self.session.workspace.root.join("patches").join(COMMON);
        symlink(&here, &common).with_context(|| format!("cannot link {}", here.display()))?;
        let whole = Series::read(patches, &self.arguments.name)?;
        let step = self.session.progress.step("try each topic without the others".to_owned());
        let checked = patch::check(self.session, &whole, source);
        step.done(if checked.is_ok() { "each applies" } else { "not each applies" });
        Ok(checked.err().map(|error| format!("{error:#}").lines().next().unwrap_or_default().to_owned()))
    }
}

/// The file with the pins of a series.
const PINS: &str = "series.toml";
