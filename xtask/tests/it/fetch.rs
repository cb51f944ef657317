//! `fetch` as people use it: from mirrors that are right, wrong, slow or gone, onto machines that have no room, no rights
//! or are switched off in the middle. Whatever happens, an emulator is there whole or not at all.

mod stage;

mod machine;
mod together;
mod transfers;
mod trust;

use crate::driver::releases::FakeRelease;
use crate::driver::server::{ALWAYS, Server, Wrong};
use crate::driver::{files, mkdir, run};
use serde_json::{Value, json};
use stage::{NAME, Stage};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

#[test]
fn only_what_is_asked_for_is_downloaded_and_the_emulator_runs() {
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    let printed = stage.succeed(&["--target", "arm64", "--host", "linux/amd64", "--from", &server.url()]);
    let archive = stage.release.archive("aarch64", "amd64");
    assert_eq!(server.got(), ["SHA256SUMS", "release.json", &archive].map(|name| format!("/{NAME}/{name}")));

    let emulator = stage.prefix.join("bin/qemu-aarch64");
    for words in ["aarch64", "amd64", NAME, "200.1 kB", "installed", emulator.to_str().unwrap()] {
        assert!(printed.contains(words), "no {words} in {printed}");
    }
    assert_eq!(run(emulator.to_str().unwrap(), &["--version"]), "qemu-aarch64 version 9.9.9\n");
    assert_eq!(fs::metadata(&emulator).unwrap().permissions().mode() & 0o7777, 0o755);
    stage.holds(&["aarch64"]);
    assert_eq!(stage.kept(), Vec::<PathBuf>::new(), "an archive that has served is not kept");
}

#[test]
fn what_is_up_to_date_is_not_downloaded_and_what_is_damaged_is() {
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    let fetch = || {
        server.mend();
        let printed = stage.succeed(&["--json", "--from", &server.url()]);
        let printed: Value = serde_json::from_str(&printed).unwrap();
        let state = printed["emulators"][0]["state"].as_str().unwrap().to_owned();
        (state, !server.asked(".tar.xz").is_empty())
    };
    let (installed, up_to_date) = (("installed".to_owned(), true), ("up-to-date".to_owned(), false));
    assert_eq!(fetch(), installed);
    assert_eq!(fetch(), up_to_date);

    let emulator = stage.prefix.join("bin/qemu-aarch64");
    let mut bytes = fs::read(&emulator).unwrap();
    bytes[150_000] ^= 1;
    fs::write(&emulator, bytes).unwrap();
    assert_eq!(fetch(), installed, "another byte");
    fs::set_permissions(&emulator, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(fetch(), installed, "it cannot be run");
    fs::remove_dir_all(stage.prefix.join("share")).unwrap();
    assert_eq!(fetch(), installed, "no texts");
    assert_eq!(fetch(), up_to_date);
    stage.holds(&["aarch64"]);
}

#[test]
fn the_next_release_replaces_the_last_one_with_all_its_texts() {
    let stage = Stage::new();
    stage.succeed(&["--from", stage.base()]);
    let docs = stage.prefix.join("share/doc/anyarch/qemu-aarch64");
    fs::write(docs.join("of-the-last-one"), "").unwrap();
    let next = FakeRelease::make(&stage.release.base, "9.9.9-2");
    // Whoever runs the old one goes on with it.
    let mut old = fs::File::open(stage.prefix.join("bin/qemu-aarch64")).unwrap();
    stage.succeed(&["--from", stage.base(), "--release", "9.9.9-2"]);
    assert_eq!(fs::read(stage.prefix.join("bin/qemu-aarch64")).unwrap(), next.emulator("aarch64", "amd64"));
    let mut bytes = Vec::new();
    old.read_to_end(&mut bytes).unwrap();
    assert!(bytes == stage.release.emulator("aarch64", "amd64"));
    assert!(!docs.join("of-the-last-one").exists());
    stage.holds_files(&["aarch64"]);
}

#[test]
fn lists_all_and_aliases_are_understood_and_hosts_do_not_mix() {
    let stage = Stage::new();
    stage.succeed(&["--target", "rv64,arm64,aarch64", "--from", stage.base()]);
    stage.holds(&["aarch64", "riscv64"]);

    let stage = Stage::new();
    let json = stage.succeed(&["--target", "all", "--host", "all", "--json", "--from", stage.base()]);
    let printed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(printed["release"], NAME);
    assert_eq!(printed["signed_by"], Value::Null);
    let rows = printed["emulators"].as_array().unwrap();
    assert_eq!(rows.len(), crate::driver::releases::PAIRS.len());
    for row in rows {
        let (target, host) = (row["target"].as_str().unwrap(), row["host"].as_str().unwrap());
        let place = stage.prefix.join(host.replace('/', "-")).join("bin").join(format!("qemu-{target}"));
        assert_eq!(row["path"], json!(place));
        assert_eq!(fs::read(place).unwrap(), stage.release.emulator(target, host));
        assert_eq!(row["sha256"], json!(anyarch_client::hash::sha256(&stage.release.emulator(target, host))));
        let archive = stage.release.folder().join(row["archive"].as_str().unwrap());
        assert_eq!(row["archive_size"], json!(fs::metadata(archive).unwrap().len()));
    }
}

#[test]
fn what_the_release_has_not_is_wrong_use_and_what_it_has_is_listed() {
    let stage = Stage::new();
    let from = stage.base();
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--target", "aarhc64"], &["no target `aarhc64`", "did you mean `aarch64`?"]),
        (&["--host", "adm64"], &["no host `adm64`", "did you mean `amd64`?"]),
        (
            &["--target", "riscv32"],
            &["does not have qemu-riscv32 for amd64", "did you mean `riscv64`?", "aarch64 riscv64"],
        ),
        (&["--target", "arm"], &["for amd64 it has: aarch64 riscv64", "qemu-arm it has for: arm/v7"]),
        (
            &["--host", "s390x"],
            &["does not have anything for s390x", "it has emulators for: amd64 arm/v7 arm64"],
        ),
        (&["--release", "../9.9.9-1"], &["`../9.9.9-1` is not the name of a release"]),
    ];
    for (arguments, said) in cases {
        let server = Server::of(&stage.release.base);
        stage.fetch(arguments, &["--from", &server.url()]).failed(2, said);
        assert_eq!(server.asked(".tar.xz"), []);
        stage.holds_nothing();
    }
    stage
        .fetch(&["--release", "9.9.8-1"], &["--from", from])
        .failed(1, &["no mirror could deliver the manifest of release 9.9.8-1", "9.9.8-1/SHA256SUMS"]);
    stage
        .fetch(&["--from", "/no/such"], &[])
        .failed(2, &["`/no/such` is not a mirror", "there is no such folder"]);
    stage.fetch(&["--from", "ftp://127.0.0.1"], &[]).failed(2, &["http://, https:// or file://"]);
    stage.fetch(&["--from", from, "--key", "/no/such"], &[]).failed(2, &["cannot read a key from /no/such"]);
    let prefix = stage.home.path().join("a-file");
    fs::write(&prefix, "").unwrap();
    stage
        .run(&[
            "--target",
            "aarch64",
            "--host",
            "amd64",
            "--release",
            NAME,
            "--from",
            from,
            "--prefix",
            prefix.to_str().unwrap(),
        ])
        .failed(2, &["a-file is not a folder"]);
}

#[test]
fn mirrors_come_from_the_command_line_the_environment_or_the_checkout() {
    let mut stage = Stage::new();
    stage.fetch(&[], &[]).failed(2, &["no mirror to fetch from", "--from URL", "ANYARCH_FROM"]);
    let server = Server::of(&stage.release.base);
    let several = format!("http://127.0.0.1:1  {}", server.url());
    stage.driver.environment.push(("ANYARCH_FROM".into(), several));
    stage.succeed(&[]);
    assert_eq!(server.asked(".tar.xz").len(), 1);
    stage.driver.environment.pop();

    // What this checkout has built itself, by its own name.
    let own =
        xtask::facts::Series::read(&crate::driver::checkout().join("patches"), "10.2").unwrap().release();
    let built = FakeRelease::make(&stage.driver.out, &own);
    let prefix = stage.home.path().join("own");
    let arguments = ["--target", "aarch64", "--host", "amd64", "--prefix", prefix.to_str().unwrap()];
    assert_eq!(stage.run(&arguments).code, Some(0));
    assert_eq!(fs::read(prefix.join("bin/qemu-aarch64")).unwrap(), built.emulator("aarch64", "amd64"));
}

#[test]
fn a_folder_or_a_file_address_is_a_mirror_too() {
    let home = crate::driver::scratch();
    let base = home.path().join("my mirror");
    FakeRelease::make(&base, NAME);
    let address = format!("file://{}", base.display().to_string().replace(' ', "%20"));
    for from in [base.to_str().unwrap(), &address] {
        let stage = Stage::new();
        stage.succeed(&["--from", from]);
        stage.holds(&["aarch64"]);
    }
    // One that is gone, as a disk that is not mounted, does not matter as long as there are others.
    let stage = Stage::new();
    let ended = stage.fetch(&["--from", "/no/such", "--from", base.to_str().unwrap()], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("`/no/such` is not a mirror: there is no such folder"), "{}", ended.stderr);
    stage.holds(&["aarch64"]);
    let gone = ["--from", "/no/such", "--from", "file:///nor/that"];
    Stage::new().fetch(&gone, &[]).failed(2, &["`/no/such` is not a mirror", "`/nor/that` is not a mirror"]);

    let stage = Stage::new();
    stage.succeed(&["--offline", "--from", "http://127.0.0.1:1", "--from", &address]);
    stage.holds(&["aarch64"]);
    let stage = Stage::new();
    stage
        .fetch(&["--offline", "--from", "http://127.0.0.1:1"], &[])
        .failed(1, &["--offline is set", "--from DIR"]);
}

#[test]
fn home_is_where_emulators_go_when_no_prefix_is_said() {
    let mut stage = Stage::new();
    let home = mkdir(&stage.home.path().join("user")).to_owned();
    stage.driver.environment.push(("HOME".into(), home.display().to_string()));
    let from = stage.base().to_owned();
    let ended = stage.run(&["--target", "aarch64", "--host", "amd64", "--release", NAME, "--from", &from]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(files(&home).contains(&PathBuf::from(".local/bin/qemu-aarch64")));
}

#[test]
fn one_that_fails_stops_the_run_unless_it_shall_go_on() {
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    let archive = stage.release.archive("aarch64", "amd64");
    server.wrong(&archive, Wrong::Status(404, None), ALWAYS);
    let arguments = ["--target", "aarch64,riscv64", "--from", &server.url()];
    stage.fetch(&arguments, &[]).failed(1, &["no mirror could deliver", &archive, "404 Not Found"]);
    stage.holds_nothing();
    let ended = stage.fetch(&arguments, &["--keep-going"]);
    ended.failed(1, &["failed: qemu-aarch64 for amd64", "1 emulator not fetched: qemu-aarch64 for amd64"]);
    assert!(ended.stdout.contains("riscv64") && !ended.stdout.contains("aarch64"), "{}", ended.stdout);
    stage.holds(&["riscv64"]);
}

#[test]
fn proxies_of_the_environment_are_used() {
    let stage = |name: &str, value: &str| {
        let mut stage = Stage::new();
        stage.driver.environment.retain(|(name, _)| name != "NO_PROXY");
        stage.driver.environment.push((name.into(), value.into()));
        stage
    };
    // Nobody resolves that name, so whoever gets there was led by the proxy.
    let lower = stage("http_proxy", "");
    let proxy = Server::of(&lower.release.base);
    let mut through = stage("http_proxy", &proxy.url());
    through.succeed(&["--from", "http://mirror.invalid/"]);
    through.holds(&["aarch64"]);
    assert!(proxy.requests().iter().all(|one| one.proxied.as_deref() == Some("mirror.invalid")));
    assert_eq!(proxy.requests().len(), 3);

    proxy.mend();
    through.driver.environment.push(("no_proxy".into(), "mirror.invalid".into()));
    through
        .fetch(&["--from", "http://mirror.invalid/"], &[])
        .failed(1, &["http://mirror.invalid: it cannot be reached"]);
    assert_eq!(proxy.requests(), []);

    // What goes on inside is encrypted; that it was asked for the way there is all that can be seen.
    let tls = stage("HTTPS_PROXY", &proxy.url());
    tls.fetch(&["--from", "https://mirror.invalid/"], &[])
        .failed(1, &["https://mirror.invalid: it cannot be reached"]);
    let asked = proxy.requests();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("CONNECT", "mirror.invalid:443"));
}

#[test]
fn a_mirror_may_lead_to_another_address() {
    let stage = Stage::new();
    let (first, second) = (Server::of(Path::new("/nowhere")), Server::of(&stage.release.base));
    for name in ["SHA256SUMS", "release.json", &stage.release.archive("aarch64", "amd64")] {
        first.wrong(name, Wrong::Redirect(format!("{}/{NAME}/{name}", second.url())), 1);
    }
    stage.succeed(&["--from", &first.url()]);
    stage.holds(&["aarch64"]);
    first.wrong("", Wrong::Redirect(format!("{}/round", first.url())), ALWAYS);
    let ended = Stage::new().fetch(&["--from", &first.url()], &[]);
    ended.failed(1, &["it redirects too often"]);
}
