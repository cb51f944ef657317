//! A release as a stranger gets it: what it says of itself is true, and whoever trusts one file of it can check all
//! others.

use crate::driver::foreign::{TARGET, lacks_compilers, part};
use crate::driver::{Driver, Ended, exclusive, files, json, mkdir, run, scratch};
use anyarch_client::hash::sha256_file;
use anyarch_manifest::{ArchiveFormat, DocumentKind, Manifest, Outcome};
use cyclonedx_bom::prelude::{Bom, SpecVersion, Validate as _};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RELEASE: &str = "10.2.2-1";
const BASE: &str = "https://example.org/anyarch";

/// A signed release of three emulators, made as a maintainer makes it.
struct Published {
    home: tempfile::TempDir,
    driver: Driver,
    key: PathBuf,
    folder: PathBuf,
    manifest: Manifest,
}

impl Published {
    fn new() -> Self {
        let home = scratch();
        let mut driver = Driver::usual();
        driver.out = home.path().join("dist");
        let key = home.path().join("key");
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        let parts = part(home.path(), "parts");
        // Two for this machine, so that there is one archive of both.
        for own in [TARGET, "aarch64"].map(crate::driver::tarball) {
            for file in [own.clone(), PathBuf::from(own.to_str().unwrap().replace(".tar.xz", ".json"))] {
                fs::copy(&file, parts.join(file.file_name().unwrap())).unwrap();
            }
        }
        add_program(&parts);
        let mut published = Self { folder: driver.out.join(RELEASE), home, driver, key, manifest: empty() };
        published.release(&parts);
        published.manifest =
            Manifest::read(&fs::read(published.folder.join("release.json")).unwrap()).unwrap();
        published
    }

    fn release(&self, parts: &Path) -> Value {
        let key = self.key.to_str().unwrap();
        let arguments =
            ["release", "--json", "--zst", "--shelf", "--sign", key, "--base", BASE, parts.to_str().unwrap()];
        json(&self.driver, &arguments)
    }

    fn path(&self, name: &impl ToString) -> PathBuf {
        self.folder.join(name.to_string())
    }

    fn document(&self, kind: DocumentKind) -> PathBuf {
        let found = self.manifest.documents.iter().find(|document| document.kind == kind).unwrap();
        self.path(&found.file)
    }

    fn hashes(&self) -> BTreeMap<PathBuf, String> {
        files(&self.folder)
            .into_iter()
            .map(|path| (path.clone(), sha256_file(&self.folder.join(path)).unwrap()))
            .collect()
    }
}

/// The users' program for amd64, as `cargo xtask program` leaves it. That one is compiled by `program`; a script stands
/// for it here.
fn add_program(parts: &Path) {
    let name = format!("anyarch-{RELEASE}-linux-amd64");
    let tree = parts.join("tree");
    let docs = mkdir(&tree.join("share/doc/anyarch/anyarch")).to_owned();
    let script = format!("#!/bin/sh\necho anyarch {RELEASE}\n");
    let program = mkdir(&tree.join("bin")).join("anyarch");
    fs::write(&program, &script).unwrap();
    let facts = serde_json::json!({
        "release": RELEASE, "targets": [TARGET],
        "source": xtask::program::source(&crate::driver::checkout()).unwrap(),
        "target": "x86_64-unknown-linux-musl", "library": "rustup", "rustc": "rustc 1.95.0", "rustflags": [],
        "compiler": "12.2.0", "compiler_options": [], "linker": "2.40",
        "sysroot": [["linux-libc-dev_6.1.192-2_amd64.deb", "0".repeat(64)]],
    });
    fs::write(docs.join("build.json"), facts.to_string()).unwrap();
    fs::write(docs.join("LICENSE-MIT"), "MIT\n").unwrap();
    let archive = parts.join(format!("{name}.tar.xz"));
    run("tar", &["-C", tree.to_str().unwrap(), "-cJf", archive.to_str().unwrap(), "bin", "share"]);
    fs::remove_dir_all(&tree).unwrap();
    let record = serde_json::json!({
        "host": "amd64", "key": "", "sha256": sha256_file(&archive).unwrap(),
        "size": fs::metadata(&archive).unwrap().len(),
        "program": {
            "sha256": anyarch_client::hash::sha256(script.as_bytes()), "size": script.len(),
            "checks": [{ "name": "version", "passed": "anyarch" }],
        },
        "facts": facts,
        "linked": [{
            "name": "anyhow", "version": "1.0.104", "license": "MIT OR Apache-2.0",
            "purl": "pkg:cargo/anyhow@1.0.104",
        }],
    });
    fs::write(parts.join(format!("{name}.json")), record.to_string()).unwrap();
}

/// What stands for a manifest until there is one.
fn empty() -> Manifest {
    Manifest::read(include_bytes!("../../../manifest/tests/old/1.json")).unwrap()
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_release_is_what_it_says_and_can_be_checked_fetched_and_built_again() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    let published = Published::new();
    the_sums_vouch_for_every_file_and_the_signature_for_them(&published);
    the_manifest_is_true(&published);
    the_sbom_names_what_was_linked(&published);
    the_provenance_names_every_file(&published);
    the_source_is_what_it_was_built_from(&published);
    both_ways_install_the_same_emulator(&published);
    all_for_a_host_come_in_one(&published);
    whoever_asks_for_the_newest_finds_it(&published);
    a_second_time_gives_the_same_bytes(&published);
    a_build_leaves_a_whole_release_alone(&published);
}

fn the_sums_vouch_for_every_file_and_the_signature_for_them(published: &Published) {
    let folder = published.folder.to_str().unwrap();
    run("sh", &["-c", "cd \"$1\" && sha256sum --check --strict --quiet SHA256SUMS", "sh", folder]);
    let sums = fs::read_to_string(published.path(&"SHA256SUMS")).unwrap();
    let listed: Vec<&str> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    for path in files(&published.folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_record = name.contains("-linux-") && name.ends_with(".json");
        let is_own = name.starts_with("SHA256SUMS") || name == "anyarch.pub";
        assert_eq!(listed.contains(&name), !is_record && !is_own, "{name}");
    }
    let signers = published.home.path().join("signers");
    let public = fs::read_to_string(published.key.with_extension("pub")).unwrap();
    fs::write(&signers, format!("release {public}")).unwrap();
    let verify = |namespace: &str| {
        let script = "ssh-keygen -Y verify -f \"$1\" -I release -n \"$2\" -s \"$3/SHA256SUMS.sig\" < \"$3/SHA256SUMS\"";
        let words = ["-c", script, "sh", signers.to_str().unwrap(), namespace, folder];
        Command::new("sh").args(words).output().unwrap().status.success()
    };
    assert!(verify("anyarch") && !verify("other"));
}

fn the_manifest_is_true(published: &Published) {
    let manifest = &published.manifest;
    assert_eq!(manifest.release.as_str(), RELEASE);
    let pairs: Vec<(&str, &str)> =
        manifest.artifacts.iter().map(|one| (one.target.as_str(), one.host.as_str())).collect();
    assert_eq!(pairs, [("aarch64", "amd64"), (TARGET, "amd64"), (TARGET, "arm64"), (TARGET, "s390x")]);
    for one in &manifest.artifacts {
        let tree = published.home.path().join("unpacked").join(&one.target).join(one.host.replace('/', "-"));
        for archive in &one.archives {
            let path = published.path(&archive.file);
            assert_eq!(fs::metadata(&path).unwrap().len(), archive.size);
            assert_eq!(sha256_file(&path).unwrap(), archive.sha256.as_str());
        }
        let [xz, zst] =
            [ArchiveFormat::TarXz, ArchiveFormat::TarZst].map(|format| one.archive(format).unwrap());
        assert!(zst.size > xz.size, "xz packs better");
        let unpack = |program: &str, archive: &anyarch_manifest::Archive| {
            let output =
                Command::new(program).arg("-dc").arg(published.path(&archive.file)).output().unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        assert!(unpack("xz", xz) == unpack("zstd", zst), "the same archive");
        let xz = published.path(&xz.file);
        run("tar", &["-C", mkdir(&tree).to_str().unwrap(), "-xJf", xz.to_str().unwrap()]);
        let emulator = tree.join(format!("bin/qemu-{}", one.target));
        assert_eq!(sha256_file(&emulator).unwrap(), one.emulator.sha256.as_str());
        let sizes = files(&tree).iter().map(|path| fs::metadata(tree.join(path)).unwrap().len()).sum::<u64>();
        assert_eq!(sizes, one.unpacked_size);
        assert!(one.verified.iter().all(|check| check.outcome == Outcome::Passed), "{:?}", one.verified);
        assert!(manifest.builds[&one.host].compiler.contains("12.2.0"));
    }
    let series = xtask::facts::Series::read(&crate::driver::checkout().join("patches"), "10.2").unwrap();
    let patches: Vec<&str> = manifest.source.patches.iter().map(|patch| patch.name.as_str()).collect();
    assert_eq!(patches, series.patches.iter().map(|patch| patch.name.as_str()).collect::<Vec<_>>());
    assert_eq!(manifest.source.commit, series.pins.git.commit);
}

fn the_sbom_names_what_was_linked(published: &Published) {
    let text = fs::read(published.document(DocumentKind::Sbom)).unwrap();
    let bom = Bom::parse_from_json(text.as_slice()).unwrap();
    let checked = bom.validate_version(SpecVersion::V1_5);
    assert!(checked.passed(), "{checked:?}");
    let value: Value = serde_json::from_slice(&text).unwrap();
    let components = value["components"].as_array().unwrap();
    let needs = value["dependencies"].as_array().unwrap();
    let program = needs.iter().find(|one| one["ref"] == "amd64/anyarch").unwrap();
    assert_eq!(program["dependsOn"][0], "pkg:cargo/anyhow@1.0.104");
    assert!(components.iter().any(|one| one["purl"] == "pkg:cargo/anyhow@1.0.104"));
    for (host, arch) in [("amd64", "amd64"), ("arm64", "arm64"), ("s390x", "s390x")] {
        let packages = &published.manifest.builds[host].sysroot;
        let known = [("libc.a", "libc6-dev", "LGPL-2.1"), ("libglib-2.0.a", "libglib2.0-dev", "LGPL-2.1")];
        for (archive, package, license) in known {
            let reference = format!("{host}/{archive}");
            let found = components.iter().find(|one| one["bom-ref"] == reference.as_str());
            let found = found.unwrap_or_else(|| panic!("{reference} is not in {value}"));
            let version = found["version"].as_str().unwrap().replace(':', "%3a");
            let file = format!("{package}_{version}_{arch}.deb");
            assert!(packages.iter().any(|one| one.name == file), "{file} is not in the sysroot");
            assert!(found["licenses"][0]["expression"].as_str().unwrap().contains(license), "{found}");
        }
        let needs = value["dependencies"].as_array().unwrap();
        let emulator =
            needs.iter().find(|one| one["ref"] == format!("{host}/qemu-{TARGET}").as_str()).unwrap();
        let needs = emulator["dependsOn"].as_array().unwrap();
        assert!(needs.len() >= 4 && emulator.to_string().contains("/libgcc"), "{emulator}");
        // In the sysroot, and on the linker's command line, but not in the emulator.
        assert!(!needs.contains(&format!("{host}/libpcre2-8.a").into()), "{emulator}");
    }
}

fn the_provenance_names_every_file(published: &Published) {
    let path = published.path(&format!("anyarch-{RELEASE}.intoto.json"));
    let statement: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let subjects = statement["subject"].as_array().unwrap();
    for subject in subjects {
        let path = published.path(&subject["name"].as_str().unwrap());
        assert_eq!(sha256_file(&path).unwrap(), subject["digest"]["sha256"].as_str().unwrap());
    }
    // Four emulators and the program packed in two ways, two emulators in one, three documents, the manifest, the page.
    assert_eq!(subjects.len(), (4 + 1) * 2 + 1 + 3 + 2);
    let text = statement["predicate"].to_string();
    let commit = run("git", &["-C", crate::driver::checkout().to_str().unwrap(), "rev-parse", "HEAD"]);
    let qemu = published.manifest.source.commit.clone().unwrap();
    let package = "pkg:deb/debian/linux-libc-dev@6.1.192-2?arch=amd64";
    for word in [commit.trim(), &qemu, "pkg:deb/debian/libc6-dev@", package, "common/execve/0001-"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
}

/// The archive alone, with the cache of tools that every first build fills, gives the patched source.
fn the_source_is_what_it_was_built_from(published: &Published) {
    let folder = published.home.path().join("source");
    let archive = published.document(DocumentKind::Source);
    run("tar", &["-C", mkdir(&folder).to_str().unwrap(), "-xf", archive.to_str().unwrap()]);
    let top = folder.join(format!("anyarch-{RELEASE}"));
    let qemu = fs::read_dir(top.join("qemu")).unwrap().next().unwrap().unwrap().path();
    let mut driver = Driver::fresh(&published.home.path().join("exclusive"));
    driver.root = top.join("anyarch");
    let made = json(&driver, &["source", "--json", "--offline", "--source", qemu.to_str().unwrap()]);
    let usual = json(&Driver::usual(), &["source", "--json"]);
    let [made, usual] = [made, usual].map(|said| PathBuf::from(said["tree"].as_str().unwrap()));
    assert_eq!(made.parent().unwrap().file_name(), usual.parent().unwrap().file_name(), "the same key");
    run(
        "diff",
        &[
            "-r",
            "--no-dereference",
            "--exclude=.anyarch.json",
            made.to_str().unwrap(),
            usual.to_str().unwrap(),
        ],
    );
    assert!(top.join("anyarch/Cargo.lock").is_file() && top.join("anyarch/LICENSE-MIT").is_file());
}

fn both_ways_install_the_same_emulator(published: &Published) {
    let public = published.key.with_extension("pub");
    let (key, from) = (public.to_str().unwrap(), published.driver.out.to_str().unwrap());
    let [fetched, installed] = ["fetched", "installed"].map(|name| published.home.path().join(name));
    let arguments = ["fetch", "--target", TARGET, "--from", from, "--key", key, "--prefix"];
    published.driver.run(&[&arguments[..], &[fetched.to_str().unwrap()]].concat());
    let script = published.path(&"install.sh");
    assert!(fs::read_to_string(&script).unwrap().contains(&format!("BASE='{BASE}'")));
    let ended = Ended::of(Command::new("sh").arg(&script).args(&arguments[1..]).arg(&installed));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let expected = &published.manifest.artifact(TARGET, "amd64").unwrap().emulator.sha256;
    for prefix in [&fetched, &installed] {
        assert_eq!(sha256_file(&prefix.join(format!("bin/qemu-{TARGET}"))).unwrap(), expected.as_str());
        assert!(prefix.join(format!("share/doc/anyarch/qemu-{TARGET}/COPYING")).is_file());
    }
    let program = &published.manifest.program("amd64").unwrap().program.sha256;
    let arguments = ["fetch", "--target", "anyarch", "--from", from, "--key", key, "--prefix"];
    published.driver.succeed(&[&arguments[..], &[fetched.to_str().unwrap()]].concat());
    let ended = Ended::of(Command::new("sh").arg(&script).args(&arguments[1..]).arg(&installed));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("anyarch {RELEASE}\n")), "{}", ended.stderr);
    for prefix in [&fetched, &installed] {
        assert_eq!(sha256_file(&prefix.join("bin/anyarch")).unwrap(), program.as_str());
        assert!(prefix.join("share/doc/anyarch/anyarch/LICENSE-MIT").is_file());
    }
    let said = run(fetched.join(format!("bin/qemu-{TARGET}")).to_str().unwrap(), &["--version"]);
    assert!(said.contains(&format!("anyarch-{RELEASE}")), "{said}");
}

fn all_for_a_host_come_in_one(published: &Published) {
    let hosts: Vec<&str> = published.manifest.bundles.iter().map(|one| one.host.as_str()).collect();
    assert_eq!(hosts, ["amd64"], "those that have several");
    let from = published.driver.out.to_str().unwrap();
    let prefix = published.home.path().join("all");
    let arguments =
        ["fetch", "--json", "--target", "all", "--from", from, "--prefix", prefix.to_str().unwrap()];
    let fetched = json(&published.driver, &arguments);
    for row in fetched["emulators"].as_array().unwrap() {
        assert_eq!(row["archive"], format!("anyarch-all-{RELEASE}-linux-amd64.tar.xz"), "{row}");
        let target = row["target"].as_str().unwrap();
        let emulator = &published.manifest.artifact(target, "amd64").unwrap().emulator;
        let place = prefix.join(format!("bin/qemu-{target}"));
        assert_eq!(sha256_file(&place).unwrap(), emulator.sha256.as_str());
        assert!(prefix.join(format!("share/doc/anyarch/qemu-{target}/COPYING")).is_file());
    }
    let single = published.manifest.artifacts.iter().filter(|one| one.host == "amd64");
    let single: u64 = single.map(|one| one.archive(ArchiveFormat::TarXz).unwrap().size).sum();
    let together = published.manifest.bundles[0].archives[0].size;
    assert!(together * 10 < single * 9, "{together} {single}");
}

fn whoever_asks_for_the_newest_finds_it(published: &Published) {
    let out = &published.driver.out;
    let public = fs::read_to_string(published.key.with_extension("pub")).unwrap();
    let fingerprint = anyarch_client::signature::fingerprint_of(&public).unwrap();
    for page in [out.join("index.html"), published.path(&"index.html")] {
        let page = fs::read_to_string(page).unwrap().replace("&#x2f;", "/");
        assert!(page.contains(&format!("--key {fingerprint}")) && page.contains(RELEASE), "{page}");
    }
    let key = fs::read_to_string(published.path(&"anyarch.pub")).unwrap();
    assert_eq!(anyarch_client::signature::fingerprint_of(&key).unwrap(), fingerprint);
    let redirect = fs::read_to_string(out.join("latest/index.html")).unwrap();
    assert!(redirect.contains(&format!("url=../{RELEASE}/")), "{redirect}");
    // By the copy of the installer, and by the program for users; both believe the fingerprint.
    let from = out.to_str().unwrap();
    let prefix = published.home.path().join("newest");
    let words =
        ["--target", TARGET, "--from", from, "--key", &fingerprint, "--prefix", prefix.to_str().unwrap()];
    let mut installer = Command::new("sh");
    installer.arg(out.join("latest/install.sh"));
    let mut program = Command::new(crate::users::built());
    program.arg("install");
    for mut command in [installer, program] {
        let ended = Ended::of(command.args(words));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(prefix.join(format!("bin/qemu-{TARGET}")).exists());
        fs::remove_dir_all(&prefix).unwrap();
    }
    // An older one beside it is listed, and does not become the newest.
    let older = out.join("9.1.0-1");
    let text = fs::read_to_string(published.path(&"release.json")).unwrap();
    fs::write(mkdir(&older).join("release.json"), text.replace(RELEASE, "9.1.0-1")).unwrap();
    xtask::release::shelf::write(out, None).unwrap();
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.find(RELEASE) < page.find("9.1.0-1") && page.contains("nobody"), "{page}");
    assert!(fs::read_to_string(out.join("latest/index.html")).unwrap().contains(RELEASE));
    fs::remove_dir_all(older).unwrap();
}

fn a_second_time_gives_the_same_bytes(published: &Published) {
    let before = published.hashes();
    published.release(&published.home.path().join("parts"));
    assert_eq!(published.hashes(), before);
}

fn a_build_leaves_a_whole_release_alone(published: &Published) {
    let before = published.hashes();
    published.driver.succeed(&["build", "--target", TARGET]);
    assert_eq!(published.hashes(), before, "nothing changed, so all that vouches for it still does");
    let ended = published.driver.run(&["build", "--target", "arm"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the description of the release in this folder was removed"),
        "{}",
        ended.stderr
    );
    let stale = ["release.json", "SHA256SUMS.sig", &format!("anyarch-all-{RELEASE}-linux-amd64.tar.xz")];
    assert!(stale.iter().all(|name| !published.path(name).exists()), "{:?}", files(&published.folder));
}

#[test]
fn what_cannot_stand_in_a_page_or_a_script_is_no_address() {
    let home = scratch();
    let driver = Driver::fresh(home.path());
    for base in ["example.org", "https://x'; rm -rf /", "https://x y", "ftp://example.org"] {
        driver.run(&["release", "--base", base]).failed(2, &["--base"]);
    }
}

#[test]
fn a_key_that_is_none_is_told_before_anything_is_written() {
    let home = scratch();
    let driver = Driver::fresh(home.path());
    let ended = driver.run(&["release", "--sign", "/nowhere/key", home.path().to_str().unwrap()]);
    ended.failed(1, &["there is no key file /nowhere/key"]);
    assert!(!driver.out.exists());
}
