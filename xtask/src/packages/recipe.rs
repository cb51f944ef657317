//! Texts by which Nix and Homebrew install the release's archives, known by their hashes: `dist/flake.nix.jinja` and
//! `dist/anyarch.rb.jinja`, filled in.

use super::{Format, Made, Place};
use crate::facts::Host;
use crate::template;
use anyarch_manifest::layout;
use anyarch_manifest::{ArchiveFormat, Artifact, Manifest, Program};
use anyhow::{Context as _, Result};
use serde::Serialize;

const FLAKE: &str = include_str!("../../../dist/flake.nix.jinja");
const FORMULA: &str = include_str!("../../../dist/anyarch.rb.jinja");

/// What a template is filled with.
#[derive(Debug, Serialize)]
struct Recipe<'a> {
    release: &'a str,
    base: &'a str,
    systems: Vec<System<'a>>,
}

/// A host.
#[derive(Debug, Serialize)]
struct System<'a> {
    name: &'a str,
    /// The users' program, if the release has it; then all emulators.
    archives: Vec<Download>,
}

/// An archive.
#[derive(Debug, Serialize)]
struct Download {
    /// `qemu-aarch64`
    name: String,
    file: String,
    sha256: String,
}

/// Writes a recipe for these hosts, as far as its program has a name for them; none if it has for none.
///
/// # Errors
/// When it cannot be written.
pub fn write(
    format: Format,
    manifest: &Manifest,
    base: &str,
    hosts: &[Host],
    place: &Place<'_>,
) -> Result<Option<Made>> {
    let is_nix = format == Format::Nix;
    let name =
        |host: &'_ Host| if is_nix { host.packages.nix.clone() } else { host.packages.homebrew.clone() };
    let named: Vec<(String, &Host)> = hosts.iter().filter_map(|host| Some((name(host)?, host))).collect();
    let mut systems = Vec::new();
    for (name, host) in &named {
        let program = manifest.program(&host.platform).map(Program::as_artifact);
        // Homebrew's formula is the program, with emulators beside it.
        if is_nix || program.is_some() {
            let emulators = manifest.artifacts.iter().filter(|one| one.host == host.platform);
            let archives = program.iter().chain(emulators).map(download).collect::<Result<_>>()?;
            systems.push(System { name, archives });
        }
    }
    if systems.is_empty() {
        return Ok(None);
    }
    let recipe = Recipe { release: manifest.release.as_str(), base, systems };
    let (file, text) = if is_nix { ("flake.nix", FLAKE) } else { ("anyarch.rb", FORMULA) };
    let filled = template::render(file, text, &recipe)?;
    place.put(format, None, file, format!("{filled}\n").as_bytes()).map(Some)
}

/// The archive that every release has.
fn download(artifact: &Artifact) -> Result<Download> {
    let archive = artifact.archive(ArchiveFormat::TarXz).context("an emulator without an archive")?;
    let name = layout::program(&artifact.target);
    Ok(Download { name, file: archive.file.to_string(), sha256: archive.sha256.to_string() })
}
