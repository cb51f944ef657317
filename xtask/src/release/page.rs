//! The release's page, `index.html`: one file that asks nobody for anything, rendered from the manifest. Reading it
//! needs no JavaScript; the chooser does.
//!
//! The template is `dist/index.html.jinja`, with `dist/index.css` and `dist/index.js` put into it. The page's
//! Content-Security-Policy names these two by their hashes and allows nothing else: should a text of the manifest
//! ever get through as markup, a browser would neither run it nor load what it asks for.

pub mod changed;
mod chart;

use super::peers::Peers;
use super::speed::{Measurement, Speed, chart::Chart};
use crate::template;
use anyarch_client::error::Usage;
use anyarch_manifest::target::Target;
use anyarch_manifest::{
    Archive, ArchiveFormat, Artifact, Document, DocumentKind, Manifest, Outcome, Pinned, Program,
};
use anyhow::Result;
use changed::Changed;
use data_encoding::BASE64;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// The file's name in the folder of a release.
pub const FILE: &str = "index.html";

const TEMPLATE: &str = include_str!("../../../dist/index.html.jinja");
pub(super) const STYLE: &str = include_str!("../../../dist/index.css");
const SCRIPT: &str = include_str!("../../../dist/index.js");

/// What stands in commands where nobody told the address of the releases.
pub(super) const NO_BASE: &str = "BASE_URL";
/// These hosts' columns come first: most people want one of them.
const FIRST_HOSTS: [&str; 2] = ["amd64", "arm64"];
/// What the chooser begins with, if it is there.
const FIRST_TARGET: &str = "aarch64";

/// The page of a release. `base` is the address that releases lie below; without it the page's script looks where it was
/// loaded from, and a reader without JavaScript is told to fill it in.
///
/// # Errors
/// When `base` is no address that can stand in a shell command as it is.
pub fn html(
    manifest: &Manifest,
    peers: &Peers,
    speed: &Speed,
    base: Option<&str>,
    signer: Option<&str>,
) -> Result<String> {
    let programs: Vec<Artifact> = manifest.programs.iter().map(Program::as_artifact).collect();
    let page =
        Page { signer, ..Page::new(manifest, &programs, peers, speed, base.map(checked_base).transpose()?) };
    template::render(FILE, TEMPLATE, &page)
}

/// An address that a shell, curl and the driver take for one word, without the slash at its end.
pub fn checked_base(base: &str) -> Result<&str, Usage> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/:@%+=,".contains(c);
    let is_address = ["https://", "http://", "file:///"].iter().any(|scheme| base.starts_with(scheme));
    if is_address && base.chars().all(plain) {
        return Ok(base.trim_end_matches('/'));
    }
    Err(Usage(format!(
        "`{base}` cannot be used in the page's commands: pass an address that begins with https://, http:// or \
             file:///, with special characters as %XX"
    )))
}

/// A source for the policy: a text that stands in the page itself, known by its hash.
fn policy_hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(&Sha256::digest(text)))
}

/// What the template is filled with.
#[derive(Debug, Serialize)]
struct Page<'a> {
    policy: String,
    style: &'static str,
    script: &'static str,
    release: &'a str,
    base: &'a str,
    knows_base: bool,
    /// The fingerprint of the key that signs the release, for `--key` in commands.
    signer: Option<&'a str>,
    source: &'a anyarch_manifest::Source,
    /// Upstream's address, if a link to it can do no harm.
    upstream: Option<&'a str>,
    hosts: Vec<&'a str>,
    rows: Vec<Row<'a>>,
    programs: Vec<Cell<'a>>,
    emulators: usize,
    least: String,
    most: String,
    passed: usize,
    not_run: usize,
    first_target: &'a str,
    chart: Option<chart::Chart<'a>>,
    speed: Option<Chart<'a>>,
    documents: Vec<Paper<'a>>,
    builds: Vec<Made<'a>>,
    changes: Option<Changed<'a>>,
}

/// A target in the matrix.
#[derive(Debug, Serialize)]
struct Row<'a> {
    target: &'a str,
    /// Docker's names of the platforms whose programs it runs, where these are not called as the target.
    platforms: String,
    /// One for each host, in the order of the columns.
    cells: Vec<Option<Cell<'a>>>,
    passed: usize,
    not_run: usize,
}

/// An emulator in the matrix; or the users' program for a host.
#[derive(Debug, Serialize)]
struct Cell<'a> {
    host: &'a str,
    file: &'a str,
    megabytes: String,
    archives: Vec<Packed<'a>>,
    unpacked: String,
    emulator: &'a str,
    checks: Vec<Check<'a>>,
    passed: usize,
    not_run: usize,
}

/// A download.
#[derive(Debug, Serialize)]
struct Packed<'a> {
    file: &'a str,
    size: String,
    sha256: &'a str,
}

#[derive(Debug, Serialize)]
struct Check<'a> {
    name: &'a str,
    passed: bool,
    detail: &'a str,
}

/// A file that is no emulator. Those that vouch for the manifest cannot have their hash in it.
#[derive(Debug, Serialize)]
struct Paper<'a> {
    file: String,
    what: &'static str,
    size: Option<String>,
    sha256: Option<&'a str>,
}

/// How the emulators of a host were built.
#[derive(Debug, Serialize)]
struct Made<'a> {
    host: &'a str,
    triple: &'a str,
    compiler: &'a str,
    linker: &'a str,
    sysroot: &'a [Pinned],
}

impl<'a> Page<'a> {
    fn new(
        manifest: &'a Manifest,
        programs: &'a [Artifact],
        peers: &'a Peers,
        speed: &'a Speed,
        base: Option<&'a str>,
    ) -> Self {
        let hosts = hosts(manifest);
        let rows = rows(manifest, &hosts);
        let sizes = || manifest.artifacts.iter().filter_map(download).map(|archive| archive.size);
        let upstream = Some(manifest.source.repository.as_str());
        let is_there = rows.iter().any(|row| row.target == FIRST_TARGET);
        Self {
            policy: policy(),
            style: STYLE,
            script: SCRIPT,
            release: manifest.release.as_str(),
            base: base.unwrap_or(NO_BASE),
            knows_base: base.is_some(),
            signer: None,
            source: &manifest.source,
            upstream: upstream.filter(|address| address.starts_with("https://")),
            emulators: manifest.artifacts.len(),
            least: megabytes(sizes().min().unwrap_or_default()),
            most: megabytes(sizes().max().unwrap_or_default()),
            passed: rows.iter().map(|row| row.passed).sum(),
            not_run: rows.iter().map(|row| row.not_run).sum(),
            first_target: if is_there { FIRST_TARGET } else { "" },
            chart: chart::Chart::new(manifest, peers),
            speed: Chart::new(&fitting(speed, manifest)),
            documents: papers(manifest),
            builds: builds(manifest, &hosts),
            changes: manifest.changes.as_ref().map(Changed::of),
            hosts,
            rows,
            programs: programs.iter().filter_map(cell).collect(),
        }
    }
}

fn policy() -> String {
    policy_of(&[STYLE], &[SCRIPT])
}

/// Nothing but the page's own styles and scripts, and an empty icon, so that browsers do not ask the server for one.
pub(super) fn policy_of(styles: &[&str], scripts: &[&str]) -> String {
    let hashes = |texts: &[&str]| match texts {
        [] => "'none'".to_owned(),
        texts => texts.iter().map(|text| policy_hash(text)).collect::<Vec<_>>().join(" "),
    };
    format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hashes(styles),
        hashes(scripts)
    )
}

/// How many targets a release has, and how many hosts.
pub(super) fn what_is_there(manifest: &Manifest) -> (usize, usize) {
    let targets: BTreeSet<&str> = manifest.artifacts.iter().map(|one| one.target.as_str()).collect();
    (targets.len(), hosts(manifest).len())
}

/// All hosts, the columns in their order.
fn hosts(manifest: &Manifest) -> Vec<&str> {
    let all: BTreeSet<&str> = manifest.artifacts.iter().map(|one| one.host.as_str()).collect();
    let mut hosts: Vec<&str> = FIRST_HOSTS.into_iter().filter_map(|first| all.get(first).copied()).collect();
    hosts.extend(all.iter().filter(|host| !FIRST_HOSTS.contains(host)));
    hosts
}

/// What was measured of this release's targets and series: another series is not as fast.
fn fitting<'a>(speed: &'a Speed, manifest: &Manifest) -> Vec<&'a Measurement> {
    let has = |target: &str| manifest.artifacts.iter().any(|one| one.target == target);
    let release = series(manifest.release.as_str());
    let fits = |one: &&Measurement| has(&one.target) && series(&one.release) == release;
    speed.measurements.iter().filter(fits).collect()
}

/// `10.2` of `10.2.2-1`.
fn series(release: &str) -> &str {
    let end = release.match_indices('.').nth(1).map(|(at, _)| at);
    &release[..end.unwrap_or(release.len())]
}

fn rows<'a>(manifest: &'a Manifest, hosts: &[&'a str]) -> Vec<Row<'a>> {
    let targets: BTreeSet<&str> = manifest.artifacts.iter().map(|one| one.target.as_str()).collect();
    let row = |target: &'a str| {
        let cell = |host: &&'a str| manifest.artifact(target, host).and_then(cell);
        let cells: Vec<Option<Cell<'a>>> = hosts.iter().map(cell).collect();
        let sum = |what: fn(&Cell<'a>) -> usize| cells.iter().flatten().map(what).sum();
        let platforms = Target::find(target).map_or(&[][..], |known| known.platforms);
        let others: Vec<&str> = platforms.iter().copied().filter(|name| *name != target).collect();
        let platforms = others.join(" ");
        Row { target, platforms, passed: sum(|cell| cell.passed), not_run: sum(|cell| cell.not_run), cells }
    };
    targets.into_iter().map(row).collect()
}

/// What most people download of an emulator. A manifest that was read has it always.
fn download(artifact: &Artifact) -> Option<&Archive> {
    artifact.archive(ArchiveFormat::TarXz)
}

fn cell(artifact: &Artifact) -> Option<Cell<'_>> {
    let archive = download(artifact)?;
    let checks: Vec<Check<'_>> = artifact
        .verified
        .iter()
        .map(|check| Check {
            name: &check.name,
            passed: check.outcome == Outcome::Passed,
            detail: &check.detail,
        })
        .collect();
    let passed = checks.iter().filter(|check| check.passed).count();
    Some(Cell {
        host: &artifact.host,
        file: archive.file.as_str(),
        megabytes: megabytes(archive.size),
        archives: artifact.archives.iter().map(Packed::of).collect(),
        unpacked: bytes(artifact.unpacked_size),
        emulator: artifact.emulator.sha256.as_str(),
        not_run: checks.len() - passed,
        passed,
        checks,
    })
}

impl<'a> Packed<'a> {
    fn of(archive: &'a Archive) -> Self {
        Self { file: archive.file.as_str(), size: bytes(archive.size), sha256: archive.sha256.as_str() }
    }
}

/// The manifest's documents, then the files that speak of all others.
fn papers(manifest: &Manifest) -> Vec<Paper<'_>> {
    let bundles = manifest.bundles.iter().filter_map(|bundle| {
        let archive = bundle.archive(ArchiveFormat::TarXz)?;
        Some(Paper {
            file: archive.file.to_string(),
            what: "All emulators for a host in one archive",
            size: Some(bytes(archive.size)),
            sha256: Some(archive.sha256.as_str()),
        })
    });
    let known = manifest.documents.iter().map(|document| Paper {
        file: document.file.to_string(),
        what: what(document),
        size: Some(bytes(document.size)),
        sha256: Some(document.sha256.as_str()),
    });
    let mut papers: Vec<Paper<'_>> = bundles.chain(known).collect();
    let others = [
        (
            format!("anyarch-{}.intoto.json", manifest.release),
            "Provenance: who built this, from what, as in-toto and SLSA say it",
        ),
        (anyarch_manifest::FILE.to_owned(), "All that this page says, and more, as data"),
        (anyarch_manifest::SUMS.to_owned(), "The hash of every file here"),
    ];
    for (file, what) in others {
        if !papers.iter().any(|paper| paper.file == file) {
            papers.push(Paper { file, what, size: None, sha256: None });
        }
    }
    papers
}

fn what(document: &Document) -> &'static str {
    match document.kind {
        DocumentKind::Source => "Corresponding source: QEMU's, our patches, the driver that builds them",
        DocumentKind::Sbom => {
            "Bill of materials: what was linked, with versions and licences, as CycloneDX says it"
        }
        DocumentKind::Installer => "Installs emulators, and anyarch, where there is no Rust: POSIX sh",
        DocumentKind::Unknown => "",
    }
}

fn builds<'a>(manifest: &'a Manifest, hosts: &[&'a str]) -> Vec<Made<'a>> {
    let made = |host: &&'a str| {
        let build = manifest.builds.get(*host)?;
        Some(Made {
            host,
            triple: &build.triple,
            compiler: &build.compiler,
            linker: &build.linker,
            sysroot: &build.sysroot,
        })
    };
    hosts.iter().filter_map(made).collect()
}

/// Millions of bytes, as the matrix and the chart have them: `1.56`.
fn megabytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1e6)
}

/// Bytes in groups of three digits: `1 558 284`, with spaces that do not break.
fn bytes(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_558_284, "1 558 284")] {
            assert_eq!(bytes(number), text.replace(' ', "\u{202f}"));
        }
    }

    #[test]
    fn a_base_is_one_word_for_a_shell() {
        assert_eq!(checked_base("https://x.example/a/").expect("taken"), "https://x.example/a");
        assert_eq!(checked_base("file:///srv/releases").expect("taken"), "file:///srv/releases");
        for bad in [
            "",
            "x.example",
            "/srv",
            "javascript:alert(1)",
            "https://x/$(reboot)",
            "https://x/a b",
            "https://x/'",
        ] {
            assert!(checked_base(bad).is_err(), "{bad}");
        }
    }
}
