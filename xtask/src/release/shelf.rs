//! What lies beside all releases: a page that lists them, and the newest once more as `latest/`, which `install.sh` and
//! `anyarch` follow.

use super::page::changed::Changed;
use super::page::{NO_BASE, STYLE, policy_of, what_is_there};
use super::sums::KEY;
use crate::template;
use anyarch_client::files;
use anyarch_client::index::LATEST;
use anyarch_client::signature;
use anyarch_manifest::{DocumentKind, FILE, Manifest, SIGNATURE, SUMS, is_newer};
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// The page's name.
const PAGE: &str = "index.html";
const TEMPLATE: &str = include_str!("../../../dist/releases.html.jinja");

/// A release in a line of the page.
#[derive(Debug, Serialize)]
struct Line<'a> {
    release: String,
    version: String,
    emulators: usize,
    targets: usize,
    hosts: usize,
    /// The fingerprint of the key that signed it.
    signer: Option<String>,
    changes: Option<Changed<'a>>,
}

#[derive(Debug, Serialize)]
struct Shelf<'a> {
    policy: String,
    style: &'static str,
    base: &'a str,
    knows_base: bool,
    newest: &'a Line<'a>,
    releases: &'a [Line<'a>],
}

/// Writes `index.html` and `latest/` into a folder of releases. `base` is the folder's address, if it is known. Gives the
/// folder of the newest release.
///
/// # Errors
/// When there is no release, one cannot be read, or the folder cannot be written.
pub fn write(folder: &Path, base: Option<&str>) -> Result<PathBuf> {
    let mut found = releases(folder)?;
    found.sort_by(|(_, one), (_, other)| match is_newer(one.release.as_str(), other.release.as_str()) {
        true => std::cmp::Ordering::Less,
        false => std::cmp::Ordering::Greater,
    });
    ensure!(!found.is_empty(), "there is no release in {}", folder.display());
    let lines: Vec<Line<'_>> =
        found.iter().map(|(place, manifest)| line(place, manifest)).collect::<Result<_>>()?;
    let shelf = Shelf {
        policy: policy_of(&[STYLE], &[]),
        style: STYLE,
        base: base.unwrap_or(NO_BASE),
        knows_base: base.is_some(),
        newest: &lines[0],
        releases: &lines,
    };
    let page = template::render("releases.html", TEMPLATE, &shelf)?;
    let (newest, manifest) = found.swap_remove(0);
    files::publish_dir(&folder.join(LATEST), |new| copy(&newest, &manifest, new))?;
    files::write_file(&folder.join(PAGE), page.as_bytes())?;
    Ok(newest)
}

/// The releases in a folder, each in a folder of its own name.
fn releases(folder: &Path) -> Result<Vec<(PathBuf, Manifest)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let place = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let Ok(text) = fs::read(place.join(FILE)) else { continue };
        let manifest = Manifest::read(&text).with_context(|| format!("cannot read {}", place.display()))?;
        if place.file_name().is_some_and(|name| name == manifest.release.as_str()) {
            found.push((place, manifest));
        }
    }
    Ok(found)
}

fn line<'a>(place: &Path, manifest: &'a Manifest) -> Result<Line<'a>> {
    let signature = place.join(SIGNATURE);
    let signer = fs::read(&signature).ok().map(|text| signature::signed_by(&text)).transpose();
    let signer = signer.with_context(|| format!("{} is damaged", signature.display()))?;
    let (targets, hosts) = what_is_there(manifest);
    Ok(Line {
        release: manifest.release.to_string(),
        version: manifest.source.version.clone(),
        emulators: manifest.artifacts.len(),
        targets,
        hosts,
        signer,
        changes: manifest.changes.as_ref().map(Changed::of),
    })
}

/// What vouches for a release, and its installer, which knows the release. All else has the release in its name, and lies
/// in its own folder.
fn copy(newest: &Path, manifest: &Manifest, new: &Path) -> Result<()> {
    let installer = manifest.documents.iter().filter(|one| one.kind == DocumentKind::Installer);
    let names = [FILE, SUMS, SIGNATURE, KEY].into_iter().chain(installer.map(|one| one.file.as_str()));
    for name in names {
        if newest.join(name).exists() {
            fs::copy(newest.join(name), new.join(name)).with_context(|| format!("cannot copy {name}"))?;
        }
    }
    // A name of a release is a word, with nothing in it that markup could take for something else.
    let release = &manifest.release;
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>anyarch {release}</title>\n\
         <meta http-equiv=\"refresh\" content=\"0; url=../{release}/\">\n\
         <p>The newest release is <a href=\"../{release}/\">{release}</a>.</p></html>\n"
    );
    files::write_file(&new.join(PAGE), page.as_bytes())
}
