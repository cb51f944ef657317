//! All emulators of a host from one archive, where that is less to download; from their own ones where it cannot be had.

use super::stage::{NAME, Stage};
use crate::driver::releases::{Member, packed_with, tar};
use crate::driver::server::{ALWAYS, Server, Wrong};
use std::fs;

const ALL: [&str; 2] = ["--target", "all"];

/// A release whose archive of all emulators for amd64 was changed.
fn stage(change: impl FnOnce(&mut Vec<Member>)) -> Stage {
    let mut stage = Stage::new();
    stage.release = stage.release.with_bundle("amd64", change);
    let bundle = &stage.release.manifest.bundles[0];
    let single: u64 = stage.release.manifest.artifacts[..2].iter().map(|one| one.archives[0].size).sum();
    assert!(bundle.archives[0].size < single, "it is smaller");
    stage
}

/// The archives that a server was asked for.
fn archives(server: &Server) -> Vec<String> {
    let got = server.got().into_iter().filter(|path| path.ends_with(".tar.xz"));
    got.map(|path| path.replace(&format!("/{NAME}/"), "")).collect()
}

fn bundle() -> String {
    format!("anyarch-all-{NAME}-linux-amd64.tar.xz")
}

#[test]
fn all_emulators_come_in_one_archive_and_one_alone_in_its_own() {
    let stage = stage(|_| ());
    let server = Server::of(&stage.release.base);
    let printed = stage.succeed(&[&ALL[..], &["--json", "--from", &server.url()]].concat());
    assert_eq!(archives(&server), [bundle()]);
    stage.holds(&["aarch64", "riscv64"]);
    assert!(stage.kept().is_empty(), "an archive that has served is not kept");
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    for row in printed["emulators"].as_array().unwrap() {
        assert_eq!((&row["archive"], &row["state"]), (&bundle().into(), &"installed".into()), "{row}");
    }
    // One that is missing is less by itself.
    fs::remove_file(stage.prefix.join("bin/qemu-riscv64")).unwrap();
    server.mend();
    stage.succeed(&[&ALL[..], &["--from", &server.url()]].concat());
    assert_eq!(archives(&server), [stage.release.archive("riscv64", "amd64")]);
    stage.holds(&["aarch64", "riscv64"]);
}

#[test]
fn where_it_cannot_be_had_or_is_not_right_each_emulator_comes_on_its_own() {
    let own = |stage: &Stage| ["aarch64", "riscv64"].map(|target| stage.release.archive(target, "amd64"));
    type Change = fn(&mut Vec<Member>);
    let cases: [(Change, &str); 4] = [
        (|all| all[1].content[100_000] ^= 1, "qemu-aarch64 in it is not that of the release"),
        (|all| all.push(Member::file("bin/sh", 0o755, b"x")), "refused: bin/sh does not belong there"),
        (|all| all.push(Member::file("../x", 0o755, b"x")), "refused: ../x leads elsewhere"),
        (|all| all.retain(|one| one.name != "bin/qemu-riscv64"), "it has no bin/qemu-riscv64"),
    ];
    for (change, said) in cases {
        let mut stage = Stage::new();
        stage.release = stage.release.with_bundle("amd64", change);
        let server = Server::of(&stage.release.base);
        let ended = stage.fetch(&ALL, &["--from", &server.url()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        for words in ["warning: ", said, "each emulator is fetched on its own"] {
            assert!(ended.stderr.contains(words), "{words}: {ended:?}");
        }
        assert_eq!(archives(&server)[1..], own(&stage));
        stage.holds(&["aarch64", "riscv64"]);
    }
    let stage = stage(|_| ());
    let server = Server::of(&stage.release.base);
    server.wrong(&bundle(), Wrong::Status(404, None), ALWAYS);
    let ended = stage.fetch(&ALL, &["--from", &server.url()]);
    assert!(ended.code == Some(0) && ended.stderr.contains("each emulator is fetched"), "{ended:?}");
    stage.holds(&["aarch64", "riscv64"]);
}

#[test]
fn one_that_takes_too_much_memory_or_room_is_refused() {
    for (spoil, said) in [("memory", "more than 64 MiB"), ("room", "bigger than the release says")] {
        let mut stage = Stage::new();
        let mut members = Vec::new();
        stage.release = stage.release.with_bundle("amd64", |all| members.clone_from(all));
        let packed = packed_with(if spoil == "memory" { 192 } else { 1 }, &tar(&members));
        let name = bundle();
        fs::write(stage.release.folder().join(&name), &packed).unwrap();
        let bundle = &mut stage.release.manifest.bundles[0];
        bundle.archives[0].size = packed.len() as u64;
        bundle.archives[0].sha256 = anyarch_client::hash::sha256(&packed).try_into().unwrap();
        if spoil == "room" {
            bundle.unpacked_size = 1000;
        }
        stage.release.write();
        let ended = stage.fetch(&ALL, &["--from", stage.base()]);
        assert!(ended.code == Some(0) && ended.stderr.contains(said), "{said}: {ended:?}");
        stage.holds(&["aarch64", "riscv64"]);
    }
}
