//! The jobs of the workflow that publishes: a release joined, its packages made, both signed and put up once.

use super::inputs;
use super::machine::{Machine, workflow};
use crate::driver::foreign::TARGET;
use crate::driver::releases::{FakeRelease, Key};
use crate::driver::{checkout, files, mkdir, run, scratch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use xtask::facts::{Host, Series};
use xtask::release::sums;

/// All files of a GitHub release are in one folder, and there are no more than so many of them.
const GITHUBS_LIMIT: usize = 1000;

/// All its steps, with what the jobs that build handed on.
pub fn all_steps(artifacts: &Path, with_program: bool) {
    let workflow = workflow("release.yml");
    let jobs = &workflow["jobs"];
    assert_eq!(jobs["build"]["uses"], "$/.github/workflows/build.yml");
    let home = scratch();
    let key = Key::make(home.path(), "release_key", "ed25519");
    let mut joiner = Machine::new(&workflow, &jobs["join"], known(&key));
    for step in jobs["join"]["steps"].as_array().unwrap() {
        joiner.step(step, artifacts);
        if step["uses"].as_str().is_some_and(|action| action.starts_with("actions/checkout@")) {
            narrow(&joiner.workspace(), with_program);
        }
    }
    assert_eq!(jobs["join"]["outputs"]["release"], "${{ steps.join.outputs.release }}");
    let release = joiner.outputs["release"].clone();
    let page = fs::read_to_string(joiner.workspace().join(format!("joined/{release}/index.html"))).unwrap();
    let page = page.replace("&#x2f;", "/");
    assert!(page.contains(&format!("--key {}", key.fingerprint())), "the page does not say who signs it");
    packaged(&workflow, artifacts, &release, &key, None);
    let uploaded = published(&workflow, artifacts, &release, &key);
    for name in ["index.html", "install.sh", &format!("qemu-{TARGET}-10.2.2-1-linux-arm64.tar.zst")] {
        assert!(uploaded[0].contains(&name.to_owned()), "{name}: {uploaded:?}");
    }
}

/// What all jobs know.
fn known(key: &Key) -> BTreeMap<String, String> {
    let public = fs::read_to_string(key.public()).unwrap();
    let more = [
        ("github.server_url", "https://github.com"),
        ("github.repository", "anyarch/anyarch"),
        ("github.repository_owner", "anyarch"),
        ("vars.RELEASE_PUBLIC_KEY", public.trim_end()),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    inputs().into_iter().chain(more).collect()
}

/// The job that makes packages, and holds no secret. `cargo` is what stands for it, where that is given.
fn packaged(workflow: &Value, artifacts: &Path, release: &str, key: &Key, cargo: Option<&Path>) {
    let job = &workflow["jobs"]["packages"];
    assert_eq!(job["needs"], "join");
    let mut known = known(key);
    known.insert("needs.join.outputs.release".to_owned(), release.to_owned());
    let mut packer = Machine::new(workflow, job, known);
    if let Some(folder) = cargo {
        packer.find_first(folder);
    }
    job["steps"].as_array().unwrap().iter().for_each(|step| packer.step(step, artifacts));
}

/// The job that signs and publishes; gives what it uploaded: of the release, and of its packages.
fn published(workflow: &Value, artifacts: &Path, release: &str, key: &Key) -> [Vec<String>; 2] {
    let home = scratch();
    let (mut publisher, calls) = publisher(workflow, home.path(), release, key);
    for step in workflow["jobs"]["publish"]["steps"].as_array().unwrap() {
        publisher.step(step, artifacts);
        assert!(!publisher.temp().join("key").exists(), "the key is still there after {step}");
    }
    let calls = fs::read_to_string(calls).unwrap();
    let packages = &format!("{release}-packages");
    let mut order: Vec<String> = calls.lines().map(verb_and_name).collect();
    order.dedup();
    let steps =
        [packages, release].map(|name| ["view", "create", "upload"].map(|verb| format!("{verb} {name}")));
    let drafts = steps.concat();
    let published = [packages, release].map(|name| format!("edit {name}"));
    assert_eq!(order, [drafts, published.to_vec()].concat(), "drafts until all is there: {calls}");
    let last: Vec<&str> = calls.lines().rev().take(2).collect();
    assert!(last[0].ends_with(" --latest") && last[1].ends_with(" --latest=false"), "{calls}");
    [release, packages.as_str()]
        .map(|name| signed(&publisher.workspace().join("joined").join(name), name, &calls, key))
}

/// What `gh release` was told to do with which release.
fn verb_and_name(call: &str) -> String {
    call.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ")
}

/// Checks that a folder is signed as `--sign` does it, and that all of it was uploaded; gives the names.
fn signed(folder: &Path, name: &str, calls: &str, key: &Key) -> Vec<String> {
    // An ed25519 key's signature of the same text is the same each time.
    let home = scratch();
    let again = mkdir(&home.path().join("again")).join("SHA256SUMS");
    fs::copy(folder.join("SHA256SUMS"), &again).unwrap();
    let ours = sums::sign(&again, &key.path).unwrap();
    assert_eq!(fs::read(folder.join("SHA256SUMS.sig")).unwrap(), fs::read(ours).unwrap(), "as --sign does");
    let begin = format!("release upload {name} ");
    let uploaded = calls.lines().filter_map(|line| line.strip_prefix(&begin));
    let mut uploaded: Vec<String> = uploaded
        .flat_map(|line| line.split(' '))
        .filter(|word| *word != "--clobber")
        .map(str::to_owned)
        .collect();
    uploaded.sort();
    assert!(uploaded.iter().all(|name| folder.join(name).is_file()), "{uploaded:?}");
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let mut expected: Vec<&str> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    expected.extend(["SHA256SUMS", "SHA256SUMS.sig", "anyarch.pub"]);
    expected.sort_unstable();
    assert_eq!(uploaded, expected, "{name}");
    assert!(!files(folder).iter().any(|path| path.ends_with("key")));
    uploaded
}

/// The machine that publishes, where GitHub's own program is one that writes down how it was called.
fn publisher(workflow: &Value, home: &Path, release: &str, key: &Key) -> (Machine, PathBuf) {
    let mut known = known(key);
    let mut know = |name: &str, value: &str| known.insert(name.to_owned(), value.to_owned());
    know("needs.join.outputs.release", release);
    know("github.token", "token");
    know("secrets.RELEASE_KEY", fs::read_to_string(&key.path).unwrap().trim_end());
    let mut machine = Machine::new(workflow, &workflow["jobs"]["publish"], known);
    let calls = home.join("calls");
    let script = format!("#!/bin/sh\necho \"$*\" >> '{}'\n[ \"$2\" != view ]\n", calls.display());
    program(home, "gh", &script);
    machine.find_first(home);
    machine.environment.insert("GITHUB_SHA".to_owned(), "sha".to_owned());
    (machine, calls)
}

fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Makes the whole matrix as small as what was built, so that the release is complete, and the changes those of a release.
fn narrow(workspace: &Path, with_program: bool) {
    for entry in fs::read_dir(workspace.join("toolchains")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".toml") && !["amd64.toml", "arm64.toml", "tools.toml"].contains(&name.as_str()) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    for host in ["amd64", "arm64"].iter().filter(|_| !with_program) {
        let file = workspace.join(format!("toolchains/{host}.toml"));
        let text = fs::read_to_string(&file).unwrap();
        let (before, rest) = text.split_once("[rust]\n").unwrap();
        let after = rest.find("\n[").map_or("", |at| &rest[at..]);
        fs::write(&file, format!("without_rust = \"not built\"\n{before}{after}")).unwrap();
    }
    let file = workspace.join("patches/10.2/series.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("targets = [").unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    fs::write(&file, format!("{before}targets = [\"{TARGET}\"]{after}")).unwrap();
    let file = workspace.join("CHANGELOG.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("## [Unreleased]").unwrap();
    let released = rest.find("\n## [").unwrap();
    fs::write(&file, format!("{before}{}", &rest[released..])).unwrap();
    // What is corresponding source is what git knows.
    let folder = workspace.to_str().unwrap();
    run("git", &["-C", folder, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qam", "x"]);
}

#[test]
fn a_finished_release_gets_packages_and_both_are_signed_and_put_up() {
    let home = scratch();
    let key = Key::make(home.path(), "release_key", "ed25519");
    let artifacts = home.path().join("artifacts");
    let release = FakeRelease::make(&artifacts.join("unsigned"), "9.9.9-1").with_program(&["amd64", "arm64"]);
    fs::copy(key.public(), release.folder().join("anyarch.pub")).unwrap();
    // The driver of these tests, which is compiled already.
    let cargo =
        format!("#!/bin/sh\n[ \"$1\" = xtask ] && shift && exec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_xtask"));
    program(mkdir(&home.path().join("bin")), "cargo", &cargo);
    let workflow = workflow("release.yml");
    packaged(&workflow, &artifacts, "9.9.9-1", &key, Some(&home.path().join("bin")));
    let trees = Machine::target().join("anyarch");
    assert!(
        fs::read_dir(&trees).is_err() || trees.join("CACHEDIR.TAG").is_file(),
        "no build could begin there"
    );
    let [files, packages] = published(&workflow, &artifacts, "9.9.9-1", &key);
    assert!(
        files.contains(&"release.json".to_owned()) && !files.iter().any(|name| packages_only(name)),
        "{files:?}"
    );
    for name in [
        "anyarch_9.9.9-1_amd64.deb",
        "anyarch-9.9.9-1.aarch64.rpm",
        // Alpine has the same name for every machine, and this folder has no folders.
        "anyarch-qemu-user-9.9.9-r1.x86_64.apk",
        "anyarch-qemu-user-9.9.9-r1.armv7.apk",
        "flake.nix",
        "anyarch.rb",
    ] {
        assert!(packages.contains(&name.to_owned()), "{name}: {packages:?}");
    }
    let shown = fs::read_to_string(artifacts.join("packages/flake.nix")).unwrap();
    assert!(shown.contains("https://github.com/anyarch/anyarch/releases/download"), "{shown}");
}

fn packages_only(name: &str) -> bool {
    [".deb", ".rpm", ".apk", ".whl", ".nix", ".rb"].iter().any(|end| name.ends_with(end))
}

#[test]
fn neither_a_release_nor_its_packages_are_more_files_than_github_takes() {
    let hosts = Host::all(&checkout().join("toolchains")).unwrap();
    for name in Series::names(&checkout().join("patches")).unwrap() {
        let targets = Series::read(&checkout().join("patches"), &name).unwrap().pins.build.targets.len();
        let of = |files: &dyn Fn(&Host) -> usize| hosts.iter().map(files).sum::<usize>();
        // Each emulator and program by xz and by zstd, an archive of all, and a dozen that describe and vouch.
        let release = of(&|host| 2 * targets + 2 * usize::from(host.rust.is_some()) + 1) + 12;
        let installed = |host: &Host| 2 + usize::from(host.rust.is_some());
        let wheels = |host: &Host| if host.packages.wheel.is_empty() { 0 } else { targets };
        let packages = of(&|host| {
            let formats = 2 + usize::from(host.packages.apk.is_some());
            formats * installed(host) + wheels(host)
        }) + 5;
        assert!(release <= GITHUBS_LIMIT && packages <= GITHUBS_LIMIT, "{name}: {release}, {packages}");
    }
}
