//! The page of a release: what it says is what the manifest says, everyone can read it, and it asks for nothing.

mod browsed;
mod browser;
mod markup;
mod newcomer;

use crate::driver::checkout;
use anyarch_manifest::Manifest;
use data_encoding::HEXLOWER;
use scraper::{ElementRef, Html, Selector};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use xtask::facts::targets::TARGETS;
use xtask::release::changes::Changelog;
use xtask::release::page as writer;
use xtask::release::peers::Peers;
use xtask::release::speed::Speed;

const BASE: &str = "https://downloads.example/anyarch";
const HOSTS: [&str; 10] =
    ["amd64", "arm64", "arm/v7", "arm/v6", "386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64"];
/// What somebody would write who wants to get through.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror='alert(2)'> & {{ 7 * 7 }}";

fn sha(seed: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(seed))
}

fn artifact(target: &str, host: &str, size: u64) -> Value {
    let file = format!("qemu-{target}-10.2.2-1-linux-{}.tar.xz", host.replace('/', "-"));
    json!({
        "target": target, "host": host, "unpacked_size": size * 4,
        "emulator": { "size": size * 3, "sha256": sha(&format!("{file} emulator")) },
        "archives": [{ "file": file, "format": "tar.xz", "size": size, "sha256": sha(&file) }],
        "verified": [
            { "name": "elf", "outcome": "passed", "detail": "static PIE, full RELRO, no executable stack" },
            { "name": "version", "outcome": "passed", "detail": format!("qemu-{target} version 10.2.2 (anyarch-10.2.2-1)") },
            { "name": "start", "outcome": "passed", "detail": "20 starts of 20 natively" },
            { "name": "guest", "outcome": "passed", "detail": "a program without a C library started children" },
        ],
    })
}

/// The users' program for a host.
fn program(host: &str) -> Value {
    let file = format!("anyarch-10.2.2-1-linux-{host}.tar.xz");
    json!({
        "host": host, "unpacked_size": 5_000_000, "program": { "size": 4_000_000, "sha256": sha("program") },
        "archives": [{ "file": file, "format": "tar.xz", "size": 1_633_124, "sha256": sha(&file) }],
        "verified": [{ "name": "install", "outcome": "passed", "detail": HOSTILE }],
        "build": {
            "target": "x86_64-unknown-linux-musl", "rustc": "rustc 1", "rustflags": [], "compiler": "gcc",
            "linker": "ld", "sysroot": [],
        },
    })
}

/// A manifest with these emulators.
fn release(artifacts: &[Value]) -> Value {
    let mut value: Value =
        serde_json::from_slice(&fs::read(checkout().join("manifest/tests/old/1.json")).unwrap()).unwrap();
    let mut builds = serde_json::Map::new();
    for one in artifacts {
        let mut build = value["builds"]["arm/v7"].clone();
        build["triple"] = json!(format!("{}-linux-gnu", one["host"].as_str().unwrap().replace('/', "")));
        builds.insert(one["host"].as_str().unwrap().to_owned(), build);
    }
    value["builds"] = Value::Object(builds);
    value["artifacts"] = json!(artifacts);
    value["documents"] = json!([
        { "kind": "source", "file": "anyarch-10.2.2-1-source.tar", "size": 41_000_000, "sha256": sha("source") },
        { "kind": "sbom", "file": "anyarch-10.2.2-1.cdx.json", "size": 51_234, "sha256": sha("sbom") },
        { "kind": "installer", "file": "install.sh", "size": 6_123, "sha256": sha("installer") },
    ]);
    value
}

/// Three targets on three hosts: one pair missing, one check not run, a second packing, hostile words.
fn small() -> Value {
    let mut all = Vec::new();
    for (number, target) in ["aarch64", "arm", "i386"].iter().enumerate() {
        for host in ["amd64", "arm64", "arm/v7"] {
            if (*target, host) != ("i386", "arm/v7") {
                all.push(artifact(target, host, 1_234_567 + number as u64 * 100_000));
            }
        }
    }
    let mut value = release(&all);
    let artifacts = value["artifacts"].as_array_mut().unwrap();
    artifacts[1]["verified"][3]["outcome"] = json!("not-run");
    artifacts[1]["verified"][3]["detail"] = json!(HOSTILE);
    let zstd = "qemu-aarch64-10.2.2-1-linux-amd64.tar.zst";
    let second = json!({ "file": zstd, "format": "tar.zst", "size": 1_700_000, "sha256": sha(zstd) });
    artifacts[0]["archives"].as_array_mut().unwrap().push(second);
    value["builds"]["amd64"]["compiler"] = json!(HOSTILE);
    value["source"]["patches"][0]["name"] = json!(HOSTILE);
    value["changes"] = json!({
        "date": "2026-11-21",
        "summary": "The `first` of [many](docs/x.md).",
        "kinds": [{ "kind": "Added", "items": [HOSTILE] }, { "kind": "Fixed", "items": ["One.", "Two."] }],
    });
    value
}

/// Every target on every host, but the few that are not made.
fn whole() -> Value {
    let mut all = Vec::new();
    let series_has = |name: &&str| !["cris", "nios2"].contains(name);
    for (row, target) in TARGETS.iter().map(|target| target.name).filter(series_has).enumerate() {
        for (column, host) in HOSTS.iter().enumerate() {
            if target == "hexagon" && *host == "386" {
                continue;
            }
            let mut one = artifact(
                target,
                host,
                900_000 + (row as u64 * 7_919 + column as u64 * 13_007) * 37 % 660_000,
            );
            if ["mips64le", "loong64"].contains(host) && row % 5 == 2 {
                one["verified"][3]["outcome"] = json!("not-run");
                one["verified"][3]["detail"] = json!("no guest program of this target is there to be had");
            }
            all.push(one);
        }
    }
    let mut value = release(&all);
    value["programs"] = json!([program("amd64"), program("arm64")]);
    value["changes"] = changes("Unreleased");
    value
}

/// What our own changelog says.
fn changes(release: &str) -> Value {
    let mut changes =
        serde_json::to_value(Changelog::read(&checkout()).unwrap().of(release).unwrap()).unwrap();
    changes["date"] = json!("2026-11-28");
    changes
}

fn manifest(value: &Value) -> Manifest {
    Manifest::read(value.to_string().as_bytes()).unwrap()
}

fn page(value: &Value, base: Option<&str>) -> String {
    page_with(value, &Speed::read(&checkout()).unwrap(), base)
}

/// The same with other figures of speed.
fn page_with(value: &Value, speed: &Speed, base: Option<&str>) -> String {
    writer::html(&manifest(value), &Peers::read(&checkout()).unwrap(), speed, base, None).unwrap()
}

fn all<'a>(document: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    document.select(&Selector::parse(selector).unwrap()).collect()
}

/// The text of the only element that fits.
fn text(document: &Html, selector: &str) -> String {
    let found = all(document, selector);
    assert_eq!(found.len(), 1, "{selector}");
    words(found[0])
}

fn words(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}
