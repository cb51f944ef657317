//! Proves the program: its ELF header, what it says of itself, and real actions of it. One for another host runs in this
//! machine's own emulator of that host. What can't be run is reported as not run, with the reason.

use super::cargo::Compiled;
use crate::facts::Host;
use crate::facts::hosts::Elf;
use crate::package::{Member, write_archive};
use crate::plan::Profile;
use crate::process::{ended, output_within};
use crate::session::Session;
use crate::verify::{self, Check, Outcome, Report, Runner, TIMEOUT};
use anyarch_client::files::{self, TempFolder};
use anyarch_client::hash;
use anyarch_manifest::{self as format, layout};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A program that passed every check that could be run. Only [`prove`] makes one.
#[derive(Debug, Clone)]
pub struct Proven {
    pub(super) compiled: Compiled,
    pub(super) report: Report,
}

/// Counted up when a check of this module changes.
pub(super) const SUITE: u32 = 1;

/// A target and a release that are installed from a folder made for it.
const TARGET: &str = "arm";
const RELEASE: &str = "0.0.0-1";

/// Checks a program; one for another host needs a runner.
pub fn prove(session: &Session, compiled: Compiled, runner: Option<&Runner>) -> Result<Proven> {
    let report = check(session, &compiled, runner)
        .with_context(|| format!("anyarch for {} failed verification", compiled.host.platform))?;
    Ok(Proven { compiled, report })
}

fn check(session: &Session, compiled: &Compiled, runner: Option<&Runner>) -> Result<Report> {
    let path = &compiled.path;
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let policy = Elf { pie: compiled.rust.pie, ..compiled.host.elf.clone() };
    let header = verify::elf::check(&bytes, &policy, Profile::Release)?;
    names_no_folder(session, &bytes)?;
    let mut report = Report {
        sha256: hash::sha256(&bytes),
        size: bytes.len() as u64,
        checks: vec![Check { name: "elf".into(), outcome: Outcome::Passed(header) }],
        tcg: None,
        ltp: None,
    };
    let home = TempFolder::new(&session.workspace.trees)?;
    let trial = Trial { program: path, runner, home: home.path() };
    let host = &compiled.host;
    type Action<'a> = (&'static str, &'a dyn Fn() -> Result<String>);
    let version = || trial.says_version(&compiled.facts.release);
    let install = || trial.installs(host);
    let actions: [Action<'_>; 3] =
        [("version", &version), ("list", &|| trial.lists()), ("install", &install)];
    for (name, action) in actions {
        let outcome = if host.is_native() || runner.is_some() {
            Outcome::Passed(action().with_context(|| format!("the check `{name}` failed"))?)
        } else {
            Outcome::NotRun(format!("this machine cannot run programs for {}", host.platform))
        };
        report.checks.push(Check { name: name.into(), outcome });
    }
    Ok(report)
}

/// The folders of who compiled it would be other bytes elsewhere.
fn names_no_folder(session: &Session, bytes: &[u8]) -> Result<()> {
    for folder in [&session.workspace.root, &session.workspace.trees, &session.workspace.cache] {
        let name = folder.to_string_lossy();
        let is_long = name.len() > "/build".len();
        let found = is_long && bytes.windows(name.len()).any(|part| part == name.as_bytes());
        ensure!(!found, "it names the folder {name} of this machine");
    }
    Ok(())
}

/// A program in a folder of its own.
struct Trial<'a> {
    program: &'a Path,
    runner: Option<&'a Runner>,
    home: &'a Path,
}

impl Trial<'_> {
    /// What it prints, if it ends well.
    fn said(&self, words: &[&str]) -> Result<String> {
        let mut command: Command = match self.runner {
            Some(runner) => runner.command(self.program),
            None => verify::alone(self.program),
        };
        command.args(words).env("HOME", self.home).env("ANYARCH_CACHE", self.home.join("cache"));
        let output = output_within(TIMEOUT, &mut command)?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            bail!("`anyarch {}` {}: {}", words.join(" "), ended(output.status), told.trim());
        }
        String::from_utf8(output.stdout).context("it prints something that is not UTF-8")
    }

    fn says_version(&self, release: &str) -> Result<String> {
        let said = self.said(&["--version"])?;
        let line = said.lines().next().unwrap_or_default().to_owned();
        ensure!(line == format!("anyarch {release}"), "it says `{line}`, not `anyarch {release}`");
        Ok(line)
    }

    /// Nothing is installed in a new folder, which it says in JSON.
    fn lists(&self) -> Result<String> {
        let prefix = self.home.join("empty").display().to_string();
        let said = self.said(&["list", "--json", "--prefix", &prefix])?;
        ensure!(said.trim() == "[]", "it lists {said}");
        Ok("an empty folder".to_owned())
    }

    /// It reads a manifest, compares hashes, unpacks an archive and puts a file in place.
    fn installs(&self, host: &Host) -> Result<String> {
        let base = self.home.join("releases");
        let content = write_release(&base, host)?;
        let (from, prefix) = (base.display().to_string(), self.home.join("prefix"));
        let shown = prefix.display().to_string();
        let words =
            ["install", "--target", TARGET, "--release", RELEASE, "--from", &from, "--prefix", &shown];
        self.said(&words)?;
        let placed = prefix.join(layout::emulator(TARGET));
        let found = fs::read(&placed).with_context(|| format!("it did not make {}", placed.display()))?;
        ensure!(found == content, "it installed other bytes than those of the release");
        Ok(format!("{} bytes from an archive", content.len()))
    }
}

/// A release with one archive, packed as those for the host are. Gives what is in the place of the emulator.
fn write_release(base: &Path, host: &Host) -> Result<Vec<u8>> {
    let folder = base.join(RELEASE);
    let content: Vec<u8> = (0..10_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    let text = |name: String, content: &[u8]| Member { name, mode: 0o644, content: content.to_vec() };
    let members = [
        Member { mode: 0o755, ..text(layout::emulator(TARGET), &content) },
        text(layout::build_facts(TARGET), b"{}\n"),
    ];
    let name = format!("qemu-{TARGET}-{RELEASE}-linux-{}.tar.xz", host.file_name());
    let archive = folder.join(&name);
    files::write_file_with(&archive, |file| write_archive(file, &members, host.elf.xz_filter, 0))?;
    let size = fs::metadata(&archive).with_context(|| format!("cannot read {}", archive.display()))?.len();
    let packed = format::Archive {
        file: name.clone().try_into()?,
        format: format::ArchiveFormat::TarXz,
        size,
        sha256: hash::sha256_file(&archive)?.try_into()?,
    };
    let manifest = manifest(host, &content, packed)?.text();
    files::write_file(&folder.join(format::FILE), manifest.as_bytes())?;
    let sums =
        [(name, hash::sha256_file(&archive)?), (format::FILE.into(), hash::sha256(manifest.as_bytes()))];
    let sums = crate::package::sums(sums.iter().map(|(name, sha256)| (name.as_str(), sha256.as_str())));
    files::write_file(&folder.join(format::SUMS), sums.as_bytes())?;
    Ok(content)
}

fn manifest(host: &Host, content: &[u8], packed: format::Archive) -> Result<format::Manifest> {
    let build = format::Build {
        triple: host.triple.clone(),
        compiler: String::new(),
        compiler_options: Vec::new(),
        linker: String::new(),
        configure: Vec::new(),
        cflags: Vec::new(),
        ldflags: Vec::new(),
        sysroot: Vec::new(),
    };
    let artifact = format::Artifact {
        target: TARGET.to_owned(),
        host: host.platform.clone(),
        emulator: format::Emulator { size: content.len() as u64, sha256: hash::sha256(content).try_into()? },
        unpacked_size: content.len() as u64 + 3,
        archives: vec![packed],
        verified: Vec::new(),
    };
    let source = format::Source {
        series: "0.0".to_owned(),
        version: "0.0.0".to_owned(),
        tag: "v0.0.0".to_owned(),
        repository: String::new(),
        commit: None,
        tarballs: Vec::new(),
        epoch: 0,
        patches: Vec::new(),
    };
    Ok(format::Manifest {
        format: format::FORMAT,
        release: RELEASE.to_owned().try_into()?,
        source,
        builds: BTreeMap::from([(host.platform.clone(), build)]),
        artifacts: vec![artifact],
        programs: Vec::new(),
        bundles: Vec::new(),
        documents: Vec::new(),
        changes: None,
    })
}
