//! `release.json`: what the release says of itself, from the records of its tarballs and the series' pins.

use super::Release;
use crate::compile::BuildInfo;
use crate::facts::{Series, series};
use crate::package::{Record, Tarball};
use crate::program::{Facts, Packed};
use crate::verify::{Check, Outcome};
use anyarch_client::hash;
use anyarch_manifest as format;
use anyhow::{Context as _, Result};
use format::{
    Archive, ArchiveFormat, Artifact, Build, Bundle, Changes, Document, DocumentKind, Manifest, Patch,
    Pinned, Sha256, Source,
};
use std::fs;
use std::path::Path;

/// The manifest of a release. `more` are archives beside those of the emulators, then beside those of the users' program,
/// one for each, or none.
pub fn describe(
    release: &Release,
    more: &[Archive],
    bundles: Vec<Bundle>,
    documents: Vec<Document>,
    changes: Option<Changes>,
) -> Result<Manifest> {
    let mut artifacts = Vec::new();
    for (at, tarball) in release.tarballs.iter().enumerate() {
        artifacts.push(artifact(tarball, release.unpacked[at], more.get(at))?);
    }
    let mut programs = Vec::new();
    for (at, packed) in release.programs.iter().enumerate() {
        programs.push(program(packed, more.get(release.tarballs.len() + at))?);
    }
    let builds = release.tarballs.iter().map(Tarball::record);
    let builds = builds.map(|record| Ok((record.host.clone(), build(&record.build_info)?)));
    Ok(Manifest {
        format: format::FORMAT,
        release: release.series.release().try_into()?,
        source: source(&release.series)?,
        builds: builds.collect::<Result<_>>()?,
        artifacts,
        programs,
        bundles,
        documents,
        changes,
    })
}

/// What the manifest says of a file that lies in the release's folder.
pub fn document(kind: DocumentKind, path: &Path) -> Result<Document> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    Ok(Document { kind, file: name.try_into()?, size, sha256: hash(&hash::sha256_file(path)?)? })
}

fn hash(text: &str) -> Result<Sha256> {
    Ok(text.to_owned().try_into()?)
}

fn pinned<'a>(files: impl IntoIterator<Item = (&'a String, &'a String)>) -> Result<Vec<Pinned>> {
    files.into_iter().map(|(name, sha256)| Ok(Pinned { name: name.clone(), sha256: hash(sha256)? })).collect()
}

fn source(series: &Series) -> Result<Source> {
    let pins = &series.pins;
    let official = pins.tarball.url.rsplit('/').next().unwrap_or_default().to_owned();
    let official = pins.tarball.sha256.as_ref().map(|sha256| (&official, sha256));
    let debian = pins.debian.as_ref().map(|debian| (&debian.file, &debian.sha256));
    Ok(Source {
        series: pins.series.clone(),
        version: pins.version.clone(),
        tag: pins.tag.clone(),
        repository: pins.git.url.clone(),
        commit: pins.git.commit.clone(),
        tarballs: pinned(official.into_iter().chain(debian))?,
        epoch: pins.epoch,
        patches: series.patches.iter().map(patch).collect::<Result<_>>()?,
    })
}

fn patch(patch: &series::Patch) -> Result<Patch> {
    let topic = Some(patch.topic.name().to_owned());
    Ok(Patch { name: patch.name.clone(), sha256: hash(&patch.sha256)?, topic })
}

fn build(build_info: &BuildInfo) -> Result<Build> {
    let header = build_info.header.iter().map(|(name, hash)| format!("-include {name} (sha256 {hash})"));
    let script = build_info.link_script.iter().map(|(name, hash)| format!("-T {name} (sha256 {hash})"));
    Ok(Build {
        triple: build_info.triple.clone(),
        compiler: build_info.compiler.clone(),
        compiler_options: build_info.compiler_options.clone(),
        linker: build_info.linker.clone(),
        configure: build_info.configure.clone(),
        cflags: build_info.cflags.iter().cloned().chain(header).collect(),
        ldflags: build_info.ldflags.iter().cloned().chain(script).collect(),
        sysroot: pinned(build_info.sysroot.iter().map(|(name, sha256)| (name, sha256)))?,
    })
}

/// An archive by xz, and another of the same content, if there is one.
pub fn archives(path: &Path, size: u64, sha256: &str, more: Option<&Archive>) -> Result<Vec<Archive>> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let packed =
        Archive { file: file.try_into()?, format: ArchiveFormat::TarXz, size, sha256: hash(sha256)? };
    Ok([packed].into_iter().chain(more.cloned()).collect())
}

fn program(packed: &Packed, more: Option<&Archive>) -> Result<format::Program> {
    let record = packed.record();
    let Facts { target, rustc, rustflags, compiler, linker, sysroot, .. } = &record.facts;
    Ok(format::Program {
        host: record.host.clone(),
        program: format::Emulator { size: record.program.size, sha256: hash(&record.program.sha256)? },
        unpacked_size: packed.unpacked(),
        archives: archives(packed.path(), record.size, &record.sha256, more)?,
        verified: record.program.checks.iter().map(check).collect(),
        build: format::ProgramBuild {
            target: target.clone(),
            rustc: rustc.clone(),
            rustflags: rustflags.clone(),
            compiler: compiler.clone(),
            linker: linker.clone(),
            sysroot: pinned(sysroot.iter().map(|(name, sha256)| (name, sha256)))?,
        },
    })
}

fn artifact(tarball: &Tarball, unpacked_size: u64, more: Option<&Archive>) -> Result<Artifact> {
    let record: &Record = tarball.record();
    Ok(Artifact {
        target: record.target.clone(),
        host: record.host.clone(),
        emulator: format::Emulator { size: record.emulator.size, sha256: hash(&record.emulator.sha256)? },
        unpacked_size,
        archives: archives(tarball.path(), record.size, &record.sha256, more)?,
        verified: record.emulator.checks.iter().map(check).collect(),
    })
}

fn check(check: &Check) -> format::Check {
    let (outcome, detail) = match &check.outcome {
        Outcome::Passed(seen) => (format::Outcome::Passed, seen),
        Outcome::NotRun(reason) => (format::Outcome::NotRun, reason),
    };
    format::Check { name: check.name.clone(), outcome, detail: detail.clone() }
}
