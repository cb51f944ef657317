//! What a reader takes and what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot go on has failed")]

use anyarch_manifest::{DocumentKind, Error, FORMAT, Manifest, Outcome};
use serde_json::{Value, json};

/// A manifest as the first version of this crate wrote it. It never changes.
const FIRST: &str = include_str!("old/1.json");

fn with(change: impl FnOnce(&mut Value)) -> Result<Manifest, Error> {
    let mut value: Value = serde_json::from_str(FIRST).unwrap();
    change(&mut value);
    Manifest::read(serde_json::to_string(&value).unwrap().as_bytes())
}

#[test]
fn a_file_of_the_first_format_is_read_and_written_again_the_same() {
    let manifest = Manifest::read(FIRST.as_bytes()).unwrap();
    assert_eq!(manifest.release.as_str(), "10.2.2-1");
    let artifact = manifest.artifact("aarch64", "arm/v7").unwrap();
    assert_eq!(artifact.archives[0].file.as_str(), "qemu-aarch64-10.2.2-1-linux-arm-v7.tar.xz");
    assert_eq!(artifact.verified[1].outcome, Outcome::NotRun);
    assert_eq!(manifest.text(), FIRST);
}

#[test]
fn a_patch_says_its_topic_since_it_has_one() {
    let before = Manifest::read(FIRST.as_bytes()).unwrap();
    assert!(before.source.patches.iter().all(|patch| patch.topic.is_none()));
    for topic in ["execve", "one of a later version"] {
        let manifest = with(|value| value["source"]["patches"][0]["topic"] = json!(topic)).unwrap();
        assert_eq!(manifest.source.patches[0].topic.as_deref(), Some(topic));
        assert!(manifest.text().contains(&format!("\"topic\": \"{topic}\"")), "written as it was read");
    }
}

#[test]
fn the_users_program_is_of_a_host_and_may_be_missing() {
    let first = Manifest::read(FIRST.as_bytes()).unwrap();
    assert!(first.programs.is_empty() && first.program("amd64").is_none());
    type Change = fn(&mut Value);
    let program = |change: Change| {
        with(|value| {
            let artifact = value["artifacts"][0].clone();
            let mut archives = artifact["archives"].clone();
            archives.as_array_mut().unwrap().truncate(1);
            archives[0]["file"] = json!("anyarch-10.2.2-1-linux-arm-v7.tar.xz");
            value["programs"] = json!([{
                "host": "arm/v7",
                "program": artifact["emulator"],
                "unpacked_size": artifact["unpacked_size"],
                "archives": archives,
                "verified": [],
                "build": {
                    "target": "armv7-unknown-linux-gnueabihf", "rustc": "rustc 1", "rustflags": [],
                    "compiler": "cc", "linker": "ld", "sysroot": [],
                },
            }]);
            change(value);
        })
    };
    let manifest = program(|_| ()).unwrap();
    let one = manifest.program("arm/v7").unwrap();
    assert_eq!(one.as_artifact().target, "anyarch");
    assert!(manifest.files().any(|(file, _)| file.as_str() == "anyarch-10.2.2-1-linux-arm-v7.tar.xz"));
    assert_eq!(Manifest::read(manifest.text().as_bytes()).unwrap(), manifest);
    let refused: [(Change, &str); 3] = [
        (|value| value["programs"][0]["host"] = json!("../x"), "does not name"),
        (|value| value["programs"][0]["archives"] = json!([]), "has no .tar.xz"),
        (|value| value["artifacts"][0]["target"] = json!("anyarch"), "is no emulator"),
    ];
    for (change, told) in refused {
        let error = program(change).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn the_archive_of_all_emulators_of_a_host_holds_those_that_the_release_has() {
    type Change = fn(&mut Value);
    let bundle = |change: Change| {
        with(|value| {
            let artifact = value["artifacts"][0].clone();
            let mut archive = artifact["archives"][0].clone();
            archive["file"] = json!("anyarch-all-10.2.2-1-linux-arm-v7.tar.xz");
            value["bundles"] = json!([{
                "host": "arm/v7", "targets": [artifact["target"]],
                "unpacked_size": artifact["unpacked_size"], "archives": [archive],
            }]);
            change(value);
        })
    };
    let manifest = bundle(|_| ()).unwrap();
    assert_eq!(manifest.bundle("arm/v7").unwrap().targets, ["aarch64"]);
    assert!(manifest.bundle("amd64").is_none());
    assert!(manifest.files().any(|(file, _)| file.as_str().starts_with("anyarch-all-")));
    assert_eq!(Manifest::read(manifest.text().as_bytes()).unwrap(), manifest);
    let refused: [(Change, &str); 5] = [
        (|value| value["bundles"][0]["targets"] = json!([]), "holds others"),
        (|value| value["bundles"][0]["targets"] = json!(["aarch64", "arm"]), "holds others"),
        (|value| value["bundles"][0]["host"] = json!("amd64"), "holds others"),
        (|value| value["bundles"][0]["archives"][0]["file"] = json!("../x"), "not the name of a file"),
        (
            |value| {
                let twice = value["bundles"][0].clone();
                value["bundles"].as_array_mut().unwrap().push(twice);
            },
            "listed twice",
        ),
    ];
    for (change, told) in refused {
        let error = bundle(change).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn what_later_versions_add_is_passed_over() {
    let manifest = with(|value| {
        value["speed"] = json!("fast");
        value["artifacts"][0]["archives"][0]["mirror"] = json!([1, 2]);
        value["documents"][0]["kind"] = json!("poem");
        let archive = value["artifacts"][0]["archives"][0].clone();
        let archives = value["artifacts"][0]["archives"].as_array_mut().unwrap();
        archives.push(archive);
        archives[1]["format"] = json!("tar.quantum");
        archives[1]["file"] = json!("x.tar.quantum");
    });
    assert_eq!(manifest.unwrap().documents[0].kind, DocumentKind::Unknown);
}

#[test]
fn a_newer_format_is_refused_by_its_number_whatever_else_it_says() {
    let error = Manifest::read(br#"{"format": 2, "release": {"so": "different"}}"#).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 2 }), "{error}");
    assert!(error.to_string().contains("update anyarch") && FORMAT == 1, "{error}");
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    for end in 0..FIRST.trim_end().len() {
        let error = Manifest::read(&FIRST.as_bytes()[..end]).unwrap_err();
        assert!(matches!(error, Error::Shape(_)), "{end}: {error}");
    }
}

#[test]
fn what_cannot_be_right_is_refused_with_the_reason() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 10] = [
        (|v| v["artifacts"][0]["archives"][0]["file"] = json!("../../etc/passwd"), "not the name of a file"),
        (|v| v["documents"][0]["file"] = json!("/etc/passwd"), "not the name of a file"),
        (|v| v["release"] = json!(".."), "not the name of a file"),
        (|v| v["artifacts"][0]["emulator"]["sha256"] = json!("12"), "not a SHA-256"),
        (|v| v["artifacts"][0]["target"] = json!("../x"), "does not name a target"),
        (|v| v["artifacts"][0]["host"] = json!("arm/../v7"), "does not name a target"),
        (|v| v["builds"] = json!({}), "the build of arm/v7 is missing"),
        (|v| v["artifacts"][0]["emulator"]["size"] = json!(99_999_999), "bigger than its archive"),
        (|v| v["artifacts"][0]["archives"] = json!([]), "has no .tar.xz"),
        (
            |v| {
                let twice = v["artifacts"][0].clone();
                v["artifacts"].as_array_mut().unwrap().push(twice);
            },
            "is listed twice",
        ),
    ];
    for (change, reason) in cases {
        let error = with(change).unwrap_err().to_string();
        assert!(error.contains(reason), "{error} does not say `{reason}`");
    }
}

#[cfg(feature = "schema")]
#[test]
fn the_schema_in_the_tree_is_that_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/release.schema.json");
    if std::env::var_os("ANYARCH_WRITE_SCHEMA").is_some() {
        std::fs::write(path, anyarch_manifest::schema()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == anyarch_manifest::schema(),
        "the types changed: run this test with ANYARCH_WRITE_SCHEMA=1, and count FORMAT up if old readers would go wrong"
    );
}
