//! What was linked into the emulators of a release, as a CycloneDX document (<https://cyclonedx.org/docs/1.5/json/>):
//! every emulator, QEMU with our patches, and the libraries that a look into each emulator found.

use super::Release;
use super::manifest::document;
use crate::compile::Library;
use crate::package::{Record, Tarball};
use crate::program::{Linked, Packed};
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_manifest::layout::PROGRAM;
use anyarch_manifest::{Document, DocumentKind};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What QEMU says of itself as a whole, in its `LICENSE`; parts of it are under licences that go with it.
const QEMU_LICENSE: &str = "GPL-2.0-only";

/// The users' program's own.
const PROGRAM_LICENSE: &str = "MIT OR Apache-2.0";

/// Writes `anyarch-<release>.cdx.json`.
pub fn write(release: &Release, folder: &Path) -> Result<Document> {
    for tarball in &release.tarballs {
        let (target, host) = (tarball.target().name, tarball.host());
        ensure!(
            !tarball.record().linked.is_empty(),
            "the record of qemu-{target} for {host} does not list the linked libraries, and its build \
             said why: build it again, with a network"
        );
    }
    let path = folder.join(format!("anyarch-{}.cdx.json", release.series.release()));
    files::write_json(&path, &bom(release)?)?;
    document(DocumentKind::Sbom, &path)
}

fn bom(release: &Release) -> Result<Value> {
    let qemu = qemu(release);
    let mut libraries = BTreeMap::new();
    for record in release.tarballs.iter().map(Tarball::record) {
        for library in &record.linked {
            let name = reference(&record.host, library);
            libraries.insert(name.clone(), describe(&name, &record.host, library));
        }
    }
    let emulators = release.tarballs.iter().map(Tarball::record).map(|record| emulator(release, record));
    let (crates, programs, others) = programs(release);
    let components: Vec<Value> = [qemu.clone()]
        .into_iter()
        .chain(libraries.into_values())
        .chain(crates)
        .chain(emulators)
        .chain(programs)
        .collect();
    let dependencies: Vec<Value> =
        release.tarballs.iter().map(Tarball::record).map(needs).chain(others).collect();
    let name = format!("anyarch {}", release.series.release());
    // The same release has the same number, and another one another.
    let serial = hash::sha256(&serde_json::to_vec(&(&components, &dependencies))?);
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": uuid(&serial),
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "anyarch",
                "name": "anyarch",
                "version": release.series.release(),
                "description": format!("{name}: QEMU's user-mode emulators, static, with --execve"),
            },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// A number of the form that RFC 9562 calls version 8: our own choice of its bits.
fn uuid(digits: &str) -> String {
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..32]
    )
}

fn qemu(release: &Release) -> Value {
    let pins = &release.series.pins;
    let patches: Vec<Value> = release
        .series
        .patches
        .iter()
        .map(|patch| json!({ "type": "unofficial", "diff": { "url": format!("patches/{}", patch.name) } }))
        .collect();
    json!({
        "type": "application",
        "bom-ref": "qemu",
        "name": "qemu",
        "version": pins.version,
        "licenses": [{ "expression": QEMU_LICENSE }],
        "purl": format!("pkg:generic/qemu@{}?vcs_url=git%2B{}%40{}", pins.version, escaped(&pins.git.url), pins.tag),
        "pedigree": { "patches": patches },
        "externalReferences": [{ "type": "vcs", "url": pins.git.url }],
    })
}

/// Names a library in the document: the same archive for another host is another file.
fn reference(host: &str, library: &Library) -> String {
    format!("{host}/{}", library.archive)
}

fn describe(reference: &str, host: &str, library: &Library) -> Value {
    json!({
        "type": "library",
        "bom-ref": reference,
        "name": library.name,
        "version": library.version,
        "licenses": [{ "expression": library.license }],
        "purl": purl(&library.package, &library.version, None),
        "properties": [
            { "name": "anyarch:host", "value": host },
            { "name": "anyarch:package", "value": library.package },
            { "name": "anyarch:source-package", "value": library.source },
            { "name": "anyarch:copyright-sha256", "value": library.copyright_sha256 },
        ],
    })
}

fn emulator(release: &Release, record: &Record) -> Value {
    json!({
        "type": "application",
        "bom-ref": emulator_reference(record),
        "name": format!("qemu-{}", record.target),
        "version": release.series.release(),
        "hashes": [{ "alg": "SHA-256", "content": record.emulator.sha256 }],
        "licenses": [{ "expression": QEMU_LICENSE }],
        "properties": [{ "name": "anyarch:host", "value": record.host }],
    })
}

/// What is linked into the users' programs, these themselves, and which needs what.
fn programs(release: &Release) -> (Vec<Value>, Vec<Value>, Vec<Value>) {
    let mut linked = BTreeMap::new();
    let (mut programs, mut needs) = (Vec::new(), Vec::new());
    for record in release.programs.iter().map(Packed::record) {
        let reference = format!("{}/{PROGRAM}", record.host);
        for one in &record.linked {
            linked.insert(one.purl.clone(), crate_of(one));
        }
        programs.push(json!({
            "type": "application",
            "bom-ref": reference,
            "name": PROGRAM,
            "version": release.series.release(),
            "hashes": [{ "alg": "SHA-256", "content": record.program.sha256 }],
            "licenses": [{ "expression": PROGRAM_LICENSE }],
            "properties": [
                { "name": "anyarch:host", "value": record.host },
                { "name": "anyarch:rustc", "value": record.facts.rustc },
            ],
        }));
        let all: Vec<&str> = record.linked.iter().map(|one| one.purl.as_str()).collect();
        needs.push(json!({ "ref": reference, "dependsOn": all }));
    }
    (linked.into_values().collect(), programs, needs)
}

fn crate_of(linked: &Linked) -> Value {
    json!({
        "type": "library",
        "bom-ref": linked.purl,
        "name": linked.name,
        "version": linked.version,
        "licenses": [{ "expression": linked.license }],
        "purl": linked.purl,
    })
}

fn emulator_reference(record: &Record) -> String {
    format!("{}/qemu-{}", record.host, record.target)
}

fn needs(record: &Record) -> Value {
    let libraries = record.linked.iter().map(|library| reference(&record.host, library));
    let all: Vec<String> = ["qemu".to_owned()].into_iter().chain(libraries).collect();
    json!({ "ref": emulator_reference(record), "dependsOn": all })
}

/// The URL of the Debian package in a file: `libc6-dev_2.36-9+deb12u10_armhf.deb`, where an epoch's colon is `%3a`.
pub fn purl_of_file(file: &str) -> Option<String> {
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (name, version, arch) = (parts.next()?, parts.next()?, parts.next()?);
    let version = version.replace("%3a", ":").replace("%3A", ":");
    parts.next().is_none().then(|| purl(name, &version, Some(arch)))
}

/// A package URL (<https://github.com/package-url/purl-spec>).
fn purl(name: &str, version: &str, arch: Option<&str>) -> String {
    let arch = arch.map(|arch| format!("?arch={arch}")).unwrap_or_default();
    format!("pkg:deb/debian/{}@{}{arch}", escaped(name), escaped(version))
}

/// Percent-encoded but for letters, digits and `.`, `_`, `~`, `-`.
fn escaped(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'~' | b'-' => (b as char).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packages_file_tells_its_url() {
        let of = purl_of_file;
        assert_eq!(
            of("zlib1g-dev_1%3a1.2.13.dfsg-1_armhf.deb").as_deref(),
            Some("pkg:deb/debian/zlib1g-dev@1%3A1.2.13.dfsg-1?arch=armhf")
        );
        assert_eq!(
            of("libc6-dev_2.36-9+deb12u10_amd64.deb").as_deref(),
            Some("pkg:deb/debian/libc6-dev@2.36-9%2Bdeb12u10?arch=amd64")
        );
        assert_eq!(of("libc6-dev.deb"), None);
        assert_eq!(of("a_b_c_d.deb"), None);
    }

    #[test]
    fn a_serial_number_has_the_form_of_its_rfc() {
        let number = uuid(&hash::sha256(b"x"));
        assert_eq!(number.len(), "urn:uuid:".len() + 36);
        assert_eq!((&number[23..24], &number[28..29]), ("8", "8"), "{number}");
    }
}
