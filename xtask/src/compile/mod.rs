//! Stage 4: emulators from a patched tree. One build tree a series, host and profile holds all its
//! targets, since they share most of their objects.

mod build_info;
mod commands;
mod linked;
mod partial;

pub use build_info::{BuildInfo, key, pkgversion};
pub use commands::{Jobs, configure_command, ninja_command};
pub use linked::Library;
pub use partial::{PartialBuild, PartialEmulator};

use crate::facts::{Host, Target};
use crate::patch::{self, PatchedTree, SourceTree, UpstreamTree};
use crate::plan::{Plan, Profile, TreePlan};
use crate::process::{LoggedCommand, capture, output};
use crate::session::BuildSession;
use crate::toolchain::{Toolchain, refuse_blanks};
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::interrupt::interrupted;
use anyarch_client::lock::Lock;
use anyarch_client::progress::Step;
use anyhow::{Context as _, Error, Result, anyhow};
use build_info::RECIPE;
use linked::Libraries;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

/// A build tree that is configured, and locked for this run.
#[derive(Debug)]
pub struct BuildTree<'a> {
    session: &'a BuildSession,
    path: PathBuf,
    host: Host,
    toolchain: Toolchain,
    build_info: BuildInfo,
    lock: Lock,
    /// What its emulators may be linked with, once somebody asked.
    libraries: OnceLock<Libraries>,
}

/// A linked and stripped emulator that has not been verified.
#[derive(Debug, Clone)]
pub struct Emulator {
    target: Target,
    host: Host,
    path: PathBuf,
    build_info: BuildInfo,
    libraries: Vec<Library>,
}

impl Emulator {
    /// Target: what it emulates.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Host: what it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Source, patches, compiler, options and libraries that it was built with.
    pub fn build_info(&self) -> &BuildInfo {
        &self.build_info
    }

    /// The libraries that it was linked with, sorted by name; empty if that is not known.
    pub fn libraries(&self) -> &[Library] {
        &self.libraries
    }
}

/// An emulator without our patches. It is what ours is compared with, never a release: packages are
/// made from a verified [`Emulator`], and no way leads from here to one.
///
/// ```
/// # use xtask::{compile::Emulator, facts::Series, session::Session, verify::{Depth, verify}};
/// fn prove(session: &Session, series: &Series, ours: Emulator) {
///     let _ = verify(session, series, ours, Depth::Quick, None);
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use xtask::{compile::UpstreamEmulator, facts::Series, session::Session, verify::{Depth, verify}};
/// fn prove(session: &Session, series: &Series, upstream: UpstreamEmulator) {
///     let _ = verify(session, series, upstream, Depth::Quick, None);
/// }
/// ```
#[derive(Debug, Clone)]
pub struct UpstreamEmulator(Emulator);

impl UpstreamEmulator {
    /// Target: what it emulates.
    pub fn target(&self) -> Target {
        self.0.target
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl<'a> BuildTree<'a> {
    /// Path of the build tree with this key, beside the source, whether it exists or not.
    pub fn tree_path(
        source: &Path,
        plan: &Plan,
        tree: &TreePlan,
        toolchain: &Toolchain,
        key: &str,
    ) -> PathBuf {
        let name = format!("{}{key}{}", tree_prefix(plan, tree.host()), toolchain.suffix());
        source.with_file_name(name)
    }

    /// The configured tree: as it is, else made.
    pub fn open(
        session: &'a BuildSession,
        plan: &Plan,
        tree: &TreePlan,
        source: &PatchedTree,
        toolchain: &Toolchain,
    ) -> Result<Self> {
        let key = key(plan, tree, toolchain)?;
        let path = Self::tree_path(source.path(), plan, tree, toolchain, &key);
        Self::at(path, BuildInfo::gather(plan, tree, toolchain), session, plan, tree, source, toolchain)
    }

    /// The configured tree for upstream's emulators.
    fn open_upstream(
        session: &'a BuildSession,
        plan: &Plan,
        tree: &TreePlan,
        source: &UpstreamTree,
        toolchain: &Toolchain,
    ) -> Result<Self> {
        let build_info = BuildInfo::gather(plan, tree, toolchain).without_patches();
        let source_key = patch::upstream_key(plan.series())?;
        let key = hash::short_key(&(RECIPE, &build_info, source_key, toolchain.key()?))?;
        let path = Self::tree_path(source.path(), plan, tree, toolchain, &key);
        Self::at(path, build_info, session, plan, tree, source, toolchain)
    }

    fn at(
        path: PathBuf,
        build_info: BuildInfo,
        session: &'a BuildSession,
        plan: &Plan,
        tree: &TreePlan,
        source: &SourceTree,
        toolchain: &Toolchain,
    ) -> Result<Self> {
        refuse_blanks(&path, "the folder of build trees", "pass `--build-dir` with a path without them")?;
        let opened = Self {
            lock: Lock::acquire(&path, &session.progress)?,
            session,
            host: tree.host().clone(),
            toolchain: toolchain.clone(),
            build_info,
            path,
            libraries: OnceLock::new(),
        };
        if !opened.path.join(CONFIGURED).is_file() {
            opened.configure(plan, source)?;
        }
        Ok(opened)
    }

    fn configure(&self, plan: &Plan, source: &SourceTree) -> Result<()> {
        let _slot = self.session.slots.take()?;
        let step = self
            .session
            .progress
            .step(format!("configure {} for {}", self.build_info.tag, self.host.platform));
        files::remove(&self.path)?;
        let configure = configure_command(&self.path, plan, &self.build_info, source, &self.toolchain)?;
        let log = self.log("configure");
        LoggedCommand::new(configure, &log)
            .holding(&self.lock)
            .run(&self.session.progress, |_| ())
            .with_context(|| format!("QEMU's configure failed for {}", self.host.platform))?;
        files::write_file(&self.path.join(CONFIGURED), b"")?;
        step.done("configured");
        Ok(())
    }

    /// An emulator as the linker made it, with its symbols, once it is compiled.
    pub fn linked(&self, target: Target) -> PathBuf {
        self.path.join(target.emulator())
    }

    fn log(&self, step: &str) -> PathBuf {
        self.session.workspace.log(&format!("{step}-{}", file_name(&self.path)))
    }

    /// Compiles and strips the emulators of these targets.
    pub fn compile(&self, targets: &[Target], source: &PatchedTree) -> Result<Compiled> {
        self.make(targets, source)
    }

    fn make(&self, targets: &[Target], source: &SourceTree) -> Result<Compiled> {
        source.ensure_unchanged()?;
        let _slot = self.session.slots.take()?;
        let names: Vec<String> = targets.iter().map(Target::emulator).collect();
        let whose = if self.build_info.patches.is_empty() { " without patches" } else { "" };
        let what = match &names[..] {
            [one] => one.clone(),
            many => format!("{} emulators", many.len()),
        };
        let step = self.session.progress.step(format!("{:<8} compile {what}{whose}", self.host.platform));
        let outcome = self.ninja(&names, &step);
        let compiled = match outcome {
            Ok(()) => targets.iter().map(|target| (*target, None)).collect(),
            Err(_) if self.session.keep_going && !interrupted() => self.sort_out(targets)?,
            Err(error) => return Err(error),
        };
        let mut all = Compiled::default();
        for (target, failed) in compiled {
            match failed.map_or_else(|| self.strip(target), Err) {
                Ok(emulator) => all.emulators.push(emulator),
                Err(error) => all.failed.push((target, error)),
            }
        }
        step.done(&all.outcome());
        Ok(all)
    }

    fn ninja(&self, names: &[String], step: &Step<'_>) -> Result<()> {
        let started = Instant::now();
        let mut words = names.to_vec();
        if self.session.keep_going {
            words.splice(0..0, ["-k".to_owned(), "0".to_owned()]);
        }
        let ninja = ninja_command(&self.path, &self.toolchain, Jobs::Shared(&self.session.slots), &words);
        let mut complaints = Complaints::default();
        let ended = LoggedCommand::new(ninja, &self.log("compile")).holding(&self.lock).run(
            &self.session.progress,
            |line| {
                complaints.read(line);
                self.watch(line, step, started);
            },
        );
        ended.with_context(|| {
            format!("the emulators for {} did not compile{}", self.host.platform, complaints.lines.concat())
        })
    }

    /// After ninja has gone on over a failure: which emulators are whole, and what each of the others says.
    fn sort_out(&self, targets: &[Target]) -> Result<Vec<(Target, Option<Error>)>> {
        let mut sorted = Vec::new();
        for target in targets {
            // A dry run would not tell: the file with the version is made anew each time, and found the same.
            let mut again = ninja_command(&self.path, &self.toolchain, Jobs::Own(1), &[target.emulator()]);
            let said = output(&mut again)?;
            let failed = (!said.status.success()).then(|| {
                let mut complaints = Complaints::default();
                String::from_utf8_lossy(&said.stdout).lines().for_each(|line| complaints.read(line));
                anyhow!(
                    "it did not compile{}\nfull log: {}",
                    complaints.lines.concat(),
                    self.log("compile").display()
                )
            });
            sorted.push((*target, failed));
        }
        Ok(sorted)
    }

    /// Follows ninja's output: how far it is, and which emulators are linked.
    fn watch(&self, line: &str, step: &Step<'_>, started: Instant) {
        let Some((done, total, what)) = ninja_line(line) else { return };
        step.count(done, total, subject(what));
        if let Some(name) = what.strip_prefix("Linking target qemu-") {
            let seconds = started.elapsed().as_secs_f64();
            self.session
                .progress
                .say(&format!("  qemu-{name} for {} linked after {seconds:.0} s", self.host.platform));
        }
    }

    /// What ships, beside the tree's own file so that ninja has nothing to redo: without symbols, but
    /// for profiles whose users want them.
    fn strip(&self, target: Target) -> Result<Emulator> {
        let linked = self.linked(target);
        let path = stripped(&self.path, self.build_info.profile, target);
        if path != linked && is_older(&path, &linked) {
            files::create_parent(&path)?;
            let partial = files::partial_name(&path);
            let mut strip = Command::new(&self.toolchain.compilers.strip);
            strip.arg("--strip-all").arg("-o").arg(&partial).arg(&linked);
            capture(self.toolchain.place.command(strip))?;
            fs::rename(&partial, &path).with_context(|| format!("cannot put {} in place", path.display()))?;
        }
        let libraries = self.libraries_of(target);
        Ok(Emulator { target, host: self.host.clone(), path, build_info: self.build_info.clone(), libraries })
    }

    /// What an emulator was linked with; kept beside it. That it can't be found out is told, and no reason to
    /// do without the emulator.
    fn libraries_of(&self, target: Target) -> Vec<Library> {
        if !self.build_info.profile.is_static() {
            return Vec::new();
        }
        let linked = self.linked(target);
        let kept = self.path.join("libraries").join(format!("{}.json", target.emulator()));
        let known = (!is_older(&kept, &linked)).then(|| files::read_json(&kept)).flatten();
        let found = known.map_or_else(|| self.find_libraries(&linked, &kept), Ok);
        found.unwrap_or_else(|error| {
            self.session.progress.say(&format!(
                "note: what {} for {} was linked with is not known: {error:#}",
                target.emulator(),
                self.host.platform
            ));
            Vec::new()
        })
    }

    fn find_libraries(&self, linked: &Path, kept: &Path) -> Result<Vec<Library>> {
        let all = match self.libraries.get() {
            Some(all) => all,
            None => {
                let read = Libraries::read(&self.toolchain)?;
                self.libraries.get_or_init(|| read)
            }
        };
        let bytes = fs::read(linked).with_context(|| format!("cannot read {}", linked.display()))?;
        let found = all.of(&bytes, self.session, &self.toolchain, &self.host.sysroot)?;
        files::write_json(kept, &found)?;
        Ok(found)
    }
}

/// The first lines of what failed, which may be far from the end where the others went on.
#[derive(Debug, Default)]
struct Complaints {
    lines: Vec<String>,
    inside: bool,
    /// The line before was a head.
    after_head: bool,
}

impl Complaints {
    /// As many as fit a screen.
    const MAX_LINES: usize = 12;

    /// Reads a line of ninja's: after `FAILED:` come the command and what it said, to the next step.
    fn read(&mut self, line: &str) {
        let is_head = line.starts_with("FAILED: ");
        self.inside = is_head || self.inside && ninja_line(line).is_none();
        // The command is long, and stands in the log.
        let is_command = std::mem::replace(&mut self.after_head, is_head);
        if self.inside && !is_command && self.lines.len() < Self::MAX_LINES {
            self.lines.push(format!("\n  | {line}"));
        }
    }
}

/// The result of compiling.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The emulators, stripped.
    pub emulators: Vec<Emulator>,
    /// Emulators that failed to compile, with `--keep-going`.
    pub failed: Vec<(Target, Error)>,
}

impl Compiled {
    /// What came of it, for people.
    fn outcome(&self) -> String {
        let failed = self.failed.len();
        let all = self.emulators.len() + failed;
        if failed == 0 { "compiled".to_owned() } else { format!("{failed} of {all} failed") }
    }

    /// All of them, or the first error.
    pub fn all(self) -> Result<Vec<Emulator>> {
        match self.failed.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(self.emulators),
        }
    }
}

/// Compiles the emulators of a plan's host from source without our patches, in a tree of their own:
/// the same options, compiler and libraries, so that only the patches make a difference.
pub fn upstream(
    session: &BuildSession,
    plan: &Plan,
    tree: &TreePlan,
    source: &UpstreamTree,
    toolchain: &Toolchain,
) -> Result<Vec<UpstreamEmulator>> {
    let build = BuildTree::open_upstream(session, plan, tree, source, toolchain)?;
    let emulators = build.make(tree.targets(), source)?.all()?;
    Ok(emulators.into_iter().map(UpstreamEmulator).collect())
}

/// Path of the emulator that is shipped, in a build tree. Profiles other than `release` keep the symbols.
pub fn stripped(tree: &Path, profile: Profile, target: Target) -> PathBuf {
    match profile {
        Profile::Dev | Profile::Sanitized => tree.join(target.emulator()),
        Profile::Release => tree.join("stripped").join(target.emulator()),
    }
}

/// Path of the report of an emulator's checks; the file exists if they passed.
pub fn report_path(emulator: &Path) -> PathBuf {
    emulator.with_extension("json")
}

/// Start of the names of a host's build trees.
pub fn tree_prefix(plan: &Plan, host: &Host) -> String {
    format!("{}-{}-", host.file_name(), plan.profile().name())
}

/// The file that says that a tree is configured.
const CONFIGURED: &str = "anyarch-configured";

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether `path` is missing or older than `than`.
pub fn is_older(path: &Path, than: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    match (time(path), time(than)) {
        (Some(path), Some(than)) => path < than,
        _ => true,
    }
}

/// What ninja is at, short: the file that is compiled or linked, or the kind of work.
fn subject(what: &str) -> &str {
    let is_file = what.starts_with("Compiling") || what.starts_with("Linking");
    let word = if is_file { what.rsplit(['/', ' ']).next() } else { what.split(' ').next() };
    word.unwrap_or(what)
}

/// Reads `[12/440] Compiling ...`.
fn ninja_line(line: &str) -> Option<(u64, u64, &str)> {
    let (count, what) = line.strip_prefix('[')?.split_once("] ")?;
    let (done, total) = count.split_once('/')?;
    Some((done.parse().ok()?, total.parse().ok()?, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_however_far_the_others_went_on() {
        let mut complaints = Complaints::default();
        let said = "[1/9] Compiling a\nFAILED: [code=1] b.o\ngcc -c b.c\nb.c:1: error: no\n[2/9] Compiling c\nc is fine\n";
        said.lines().for_each(|line| complaints.read(line));
        (0..100).for_each(|number| complaints.read(&format!("[{number}/100] Compiling d")));
        assert_eq!(complaints.lines, ["\n  | FAILED: [code=1] b.o", "\n  | b.c:1: error: no"]);
    }

    #[test]
    fn emulators_that_did_not_compile_are_counted() {
        let mut compiled = Compiled::default();
        assert_eq!(compiled.outcome(), "compiled");
        let target = Target::named("arm").expect("a target");
        compiled.failed.push((target, anyhow!("broken")));
        assert_eq!(compiled.outcome(), "1 of 1 failed");
    }

    #[test]
    fn ninjas_lines_tell_how_far_it_is() {
        assert_eq!(
            ninja_line("[12/440] Linking target qemu-arm"),
            Some((12, 440, "Linking target qemu-arm"))
        );
        assert_eq!(ninja_line("warning: [12/440] nothing"), None);
        assert_eq!(ninja_line("[ 12/x] y"), None);
        assert_eq!(subject("Compiling C object libx.a.p/util_x.c.o"), "util_x.c.o");
        assert_eq!(subject("Generating trace with a custom command (wrapped by meson)"), "Generating");
    }
}
