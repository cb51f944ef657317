//! Stage 4: emulators from a patched tree. One build tree a series, host and profile holds all its
//! targets, since they share most of their objects.

use crate::facts::{Host, Series, Target};
use crate::patch::{PatchedTree, SourceTree, UpstreamTree};
use crate::plan::{Plan, Profile, TreePlan};
use crate::process::{Logged, capture};
use crate::progress::Step;
use crate::session::Session;
use crate::store::{self, Lock};
use crate::toolchain::{Toolchain, refuse_blanks};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A build tree that is configured, and locked for this run.
#[derive(Debug)]
pub struct BuildTree<'a> {
    session: &'a Session,
    path: PathBuf,
    host: Host,
    strip: PathBuf,
    facts: Facts,
    lock: Lock,
}

/// What an emulator was made from and with. It goes into the package, so it holds no path and no time.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Facts {
    /// `10.2.2-1`
    pub release: String,
    /// `v10.2.2`
    pub tag: String,
    /// The commit that the tag names, where that is known.
    pub commit: Option<String>,
    /// Our patches, by name and sha256.
    pub patches: Vec<(String, String)>,
    /// `release` or another.
    pub profile: Profile,
    /// The host's GNU triple.
    pub triple: String,
    /// What the C compiler says of itself.
    pub compiler: String,
    /// What the linker says of itself.
    pub linker: String,
    /// The static libraries' packages, by file name and sha256.
    pub sysroot: Vec<(String, String)>,
    /// Options of QEMU's configure, without paths.
    pub configure: Vec<String>,
    /// The compiler's options beyond QEMU's own.
    pub cflags: Vec<String>,
    /// The linker's.
    pub ldflags: Vec<String>,
}

/// A linked and stripped emulator that nobody has tried yet.
#[derive(Debug, Clone)]
pub struct Emulator {
    target: Target,
    host: Host,
    path: PathBuf,
    facts: Facts,
}

impl Emulator {
    /// What it emulates.
    pub fn target(&self) -> Target {
        self.target
    }

    /// What it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it was made from and with.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// An emulator without our patches. It is what ours is compared with, never a release: packages are
/// made from a verified [`Emulator`], and no way leads from here to one.
///
/// ```
/// # use xtask::{compile::Emulator, facts::Series, session::Session, verify::{Depth, verify}};
/// fn prove(session: &Session, series: &Series, ours: Emulator) {
///     let _ = verify(session, series, ours, Depth::Quick);
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use xtask::{compile::UpstreamEmulator, facts::Series, session::Session, verify::{Depth, verify}};
/// fn prove(session: &Session, series: &Series, upstream: UpstreamEmulator) {
///     let _ = verify(session, series, upstream, Depth::Quick);
/// }
/// ```
#[derive(Debug, Clone)]
pub struct UpstreamEmulator(Emulator);

impl UpstreamEmulator {
    /// What it emulates.
    pub fn target(&self) -> Target {
        self.0.target
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

/// Counted up when the same facts are turned into other bytes: another environment, another layout.
const RECIPE: u32 = 1;

/// Compiler options that make small files whose bytes do not depend on where they were built.
fn cflags(profile: Profile) -> Vec<String> {
    let mut flags = vec!["-ffunction-sections".into(), "-fdata-sections".into()];
    if profile == Profile::Sanitized {
        // A finding must end the emulator, or nobody notices it. With the sanitizers' checks in between,
        // gcc no longer proves what QEMU has it prove by inlining; this has QEMU assert it instead.
        let more = ["-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-D__NO_INLINE__"];
        flags.extend(more.map(str::to_owned));
    }
    flags
}

fn ldflags(series: &Series, host: &Host, profile: Profile) -> Vec<String> {
    let mut flags = vec!["-Wl,--gc-sections".into(), "-Wl,--build-id=none".into()];
    if series.pins.build.static_ldflags && profile.is_static() {
        flags.push(if host.elf.pie { "-static-pie".into() } else { "-static".into() });
    }
    flags
}

/// Where compiler and linker find headers and libraries.
fn sysroot_flags(profile: Profile, toolchain: &Toolchain) -> (String, String) {
    let root = toolchain.sysroot.path().display();
    let headers = format!("--sysroot={root}");
    if profile.is_static() {
        return (headers.clone(), headers);
    }
    // The sanitizers' libraries fit the machine's own C library. GLib still comes from the sysroot, as
    // an archive: of shared libraries, only the links are there. What GLib needs in turn is not told
    // for a dynamic build, so all of that is linked.
    let folder = format!("-L{root}/usr/lib/{}", toolchain.triple);
    (headers, format!("--sysroot=/ {folder} -Wl,--whole-archive -lpcre2-8 -Wl,--no-whole-archive"))
}

impl Facts {
    /// What the emulators of a tree are made from and with.
    pub fn gather(plan: &Plan, tree: &TreePlan, toolchain: &Toolchain) -> Self {
        let series = &plan.series;
        let targets: Vec<String> =
            tree.configured.iter().map(|target| format!("{}-linux-user", target.name)).collect();
        let mut configure = series.pins.build.configure.clone();
        configure.retain(|option| plan.profile.is_static() || option != "--static");
        configure.extend(plan.profile.configure().iter().map(|option| (*option).to_owned()));
        configure.push(if tree.host.elf.pie { "--enable-pie".into() } else { "--disable-pie".into() });
        configure.push(format!("{PKGVERSION}{}", pkgversion(series)));
        configure.push(format!("--target-list={}", targets.join(",")));
        Self {
            release: plan.release.clone(),
            tag: series.pins.tag.clone(),
            commit: series.pins.git.commit.clone(),
            patches: series.patches.iter().map(|patch| (patch.name.clone(), patch.sha256.clone())).collect(),
            profile: plan.profile,
            triple: tree.host.triple.clone(),
            compiler: toolchain.cc_version.clone(),
            linker: toolchain.ld_version.clone(),
            sysroot: toolchain
                .sysroot
                .packages()
                .iter()
                .map(|p| (p.file.clone(), p.sha256.clone()))
                .collect(),
            configure,
            cflags: cflags(plan.profile),
            ldflags: ldflags(series, &tree.host, plan.profile),
        }
    }

    /// The same without our patches and our name. All that decides about speed and behaviour stays.
    fn without_patches(self) -> Self {
        let ours = |option: &String| option.starts_with(PKGVERSION);
        let mut configure: Vec<String> = self.configure.into_iter().filter(|option| !ours(option)).collect();
        configure.push(format!("{PKGVERSION}{UPSTREAM}"));
        Self { release: format!("{}-{UPSTREAM}", self.tag), patches: Vec::new(), configure, ..self }
    }
}

/// The option that sets what `--version` says in parentheses.
const PKGVERSION: &str = "--with-pkgversion=";
/// What is built without our patches has this in its names.
const UPSTREAM: &str = "upstream";

/// What `--version` says in parentheses.
pub fn pkgversion(series: &Series) -> String {
    format!("anyarch-{}", series.release())
}

/// The key of the tree that a plan's host is built in: everything that goes into it.
pub fn key(plan: &Plan, tree: &TreePlan, toolchain: &Toolchain) -> Result<String> {
    let facts = Facts::gather(plan, tree, toolchain);
    store::short_key(&(RECIPE, &facts, crate::patch::key(&plan.series)?, toolchain.key()?))
}

impl<'a> BuildTree<'a> {
    /// Where the tree with this key is, or will be.
    pub fn place(session: &Session, plan: &Plan, tree: &TreePlan, key: &str) -> PathBuf {
        let name = format!("{}-{}-{key}", tree.host.file_name(), plan.profile.name());
        session.workspace.trees.join(&plan.series.pins.series).join(name)
    }

    /// The configured tree: as it is, else made.
    pub fn open(
        session: &'a Session,
        plan: &Plan,
        tree: &TreePlan,
        source: &PatchedTree,
        toolchain: &Toolchain,
    ) -> Result<Self> {
        let key = key(plan, tree, toolchain)?;
        let path = Self::place(session, plan, tree, &key);
        Self::at(path, Facts::gather(plan, tree, toolchain), session, plan, tree, source, toolchain)
    }

    /// The configured tree for upstream's emulators.
    fn open_upstream(
        session: &'a Session,
        plan: &Plan,
        tree: &TreePlan,
        source: &UpstreamTree,
        toolchain: &Toolchain,
    ) -> Result<Self> {
        let facts = Facts::gather(plan, tree, toolchain).without_patches();
        let source_key = crate::patch::upstream_key(&plan.series)?;
        let key = store::short_key(&(RECIPE, &facts, source_key, toolchain.key()?))?;
        let path = Self::place(session, plan, tree, &format!("{UPSTREAM}-{key}"));
        Self::at(path, facts, session, plan, tree, source, toolchain)
    }

    fn at(
        path: PathBuf,
        facts: Facts,
        session: &'a Session,
        plan: &Plan,
        tree: &TreePlan,
        source: &SourceTree,
        toolchain: &Toolchain,
    ) -> Result<Self> {
        refuse_blanks(&path, "the folder of build trees", "say `--build-dir` with one without")?;
        let opened = Self {
            lock: Lock::acquire(&path, &session.progress)?,
            session,
            host: tree.host.clone(),
            strip: toolchain.strip.clone(),
            facts,
            path,
        };
        if !opened.path.join(CONFIGURED).is_file() {
            opened.configure(plan, source, toolchain)?;
        }
        Ok(opened)
    }

    fn configure(&self, plan: &Plan, source: &SourceTree, toolchain: &Toolchain) -> Result<()> {
        let step =
            self.session.progress.step(format!("configure {} for {}", self.facts.tag, self.host.platform));
        store::remove(&self.path)?;
        let configure = configure_command(&self.path, plan, &self.facts, source, toolchain)?;
        let log = self.log("configure");
        Logged::new(configure, &log)
            .holding(&self.lock)
            .run(&self.session.progress, |_| ())
            .with_context(|| format!("QEMU's configure failed for {}", self.host.platform))?;
        store::write_file(&self.path.join(CONFIGURED), b"")?;
        step.done("configured");
        Ok(())
    }

    fn log(&self, step: &str) -> PathBuf {
        self.session.workspace.log(&format!("{step}-{}", file_name(&self.path)))
    }

    /// Compiles and strips the emulators of these targets.
    pub fn compile(
        &self,
        targets: &[Target],
        source: &PatchedTree,
        toolchain: &Toolchain,
    ) -> Result<Vec<Emulator>> {
        self.make(targets, source, toolchain)
    }

    fn make(&self, targets: &[Target], source: &SourceTree, toolchain: &Toolchain) -> Result<Vec<Emulator>> {
        source.unchanged()?;
        let names: Vec<String> = targets.iter().map(Target::emulator).collect();
        let whose = if self.facts.patches.is_empty() { " without patches" } else { "" };
        let what = match &names[..] {
            [one] => format!("compile {one}{whose}"),
            many => format!("compile {} emulators{whose}", many.len()),
        };
        let step = self.session.progress.step(what);
        let started = Instant::now();
        let ninja = ninja_command(&self.path, toolchain, self.session.jobs, &names);
        let log = self.log("compile");
        Logged::new(ninja, &log)
            .holding(&self.lock)
            .run(&self.session.progress, |line| self.watch(line, &step, started))
            .with_context(|| format!("the emulators for {} did not compile", self.host.platform))?;
        let emulators = targets.iter().map(|target| self.strip(*target)).collect::<Result<_>>()?;
        step.done("compiled");
        Ok(emulators)
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
        let linked = self.path.join(target.emulator());
        let stripped = self.path.join("stripped").join(target.emulator());
        let path = match self.facts.profile {
            Profile::Dev | Profile::Sanitized => linked,
            Profile::Release => {
                if is_older(&stripped, &linked) {
                    store::create_parent(&stripped)?;
                    let partial = store::partial_name(&stripped);
                    let mut strip = Command::new(&self.strip);
                    strip.arg("--strip-all").arg("-o").arg(&partial).arg(&linked);
                    capture(strip)?;
                    fs::rename(&partial, &stripped)
                        .with_context(|| format!("cannot put {} in place", stripped.display()))?;
                }
                stripped
            }
        };
        Ok(Emulator { target, host: self.host.clone(), path, facts: self.facts.clone() })
    }
}

/// Compiles the emulators of a plan's host from source without our patches, in a tree of their own:
/// the same options, compiler and libraries, so that only the patches make a difference.
pub fn upstream(
    session: &Session,
    plan: &Plan,
    tree: &TreePlan,
    source: &UpstreamTree,
    toolchain: &Toolchain,
) -> Result<Vec<UpstreamEmulator>> {
    let build = BuildTree::open_upstream(session, plan, tree, source, toolchain)?;
    let emulators = build.make(&tree.targets, source, toolchain)?;
    Ok(emulators.into_iter().map(UpstreamEmulator).collect())
}

/// QEMU's configure with all that we tell it, run in `folder`, a new one beside the source.
pub fn configure_command(
    folder: &Path,
    plan: &Plan,
    facts: &Facts,
    source: &SourceTree,
    toolchain: &Toolchain,
) -> Result<Command> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let beside = Path::new("..").join(file_name(source.path()));
    let (headers, libraries) = sysroot_flags(facts.profile, toolchain);
    // The source's name must not be in the emulators, seen from anywhere or from the build tree.
    let absolute = format!("-ffile-prefix-map={}=.", source.path().display());
    let relative = format!("-ffile-prefix-map={}=.", beside.display());
    let flags = |own: &[String], more: &[&str]| [own.join(" "), more.join(" ")].join(" ");
    let mut configure = Command::new(beside.join("configure"));
    toolchain.environment(&mut configure);
    configure
        .current_dir(folder)
        .env("SOURCE_DATE_EPOCH", plan.series.pins.epoch.to_string())
        .args(&facts.configure)
        .arg(format!("--ninja={}", toolchain.python.join("bin/ninja").display()))
        .arg(format!("--cc={}", toolchain.cc.display()))
        .arg(format!("--extra-cflags={}", flags(&facts.cflags, &[&headers, &absolute, &relative])))
        .arg(format!("--extra-ldflags={}", flags(&facts.ldflags, &[&libraries])));
    if plan.series.pins.build.python_option {
        configure.arg(format!("--python={}", toolchain.python.join("bin/python3").display()));
    }
    Ok(configure)
}

/// ninja for these outputs of the tree in `folder`.
pub fn ninja_command(folder: &Path, toolchain: &Toolchain, jobs: usize, outputs: &[String]) -> Command {
    let mut ninja = Command::new(toolchain.python.join("bin/ninja"));
    toolchain.environment(&mut ninja);
    ninja.current_dir(folder).env("NINJA_STATUS", "[%f/%t] ").arg(format!("-j{jobs}")).args(outputs);
    ninja
}

/// The file that says that a tree is configured.
const CONFIGURED: &str = "anyarch-configured";

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether `path` is missing or older than `than`.
fn is_older(path: &Path, than: &Path) -> bool {
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
