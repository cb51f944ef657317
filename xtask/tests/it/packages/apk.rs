//! Packages for Alpine: what apk compares, who signed them, and apk itself where it is.

use super::{Stage, as_root, installed, root_with_shell, succeed};
use crate::driver::{mkdir, run, wants};
use anyarch_client::hash;
use flate2::bufread::GzDecoder;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

/// The gzip streams of a file: their packed and their unpacked bytes.
fn streams(mut rest: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let mut decoder = GzDecoder::new(rest);
        let mut plain = Vec::new();
        decoder.read_to_end(&mut plain).unwrap();
        let left = decoder.into_inner();
        all.push((rest[..rest.len() - left.len()].to_vec(), plain));
        rest = left;
    }
    all
}

#[test]
fn alpines_packages_hold_what_apk_compares_and_are_signed_by_the_key_that_is_given() {
    if let Some(why) = wants::lacks(&["openssl"], "openssl") {
        return wants::not_run(&why);
    }
    let stage = Stage::new();
    let home = stage.home.path();
    let key = home.join("jo.rsa");
    let key = key.to_str().unwrap();
    run("openssl", &["genrsa", "-out", key, "2048"]);
    run("openssl", &["rsa", "-in", key, "-pubout", "-out", &format!("{key}.pub")]);
    let words = ["--format", "apk", "--host", "amd64"];
    let (unsigned, _) = stage.make("unsigned", &words);
    let (signed, _) = stage.make("signed", &[&words[..], &["--apk-key", key]].concat());
    let at = "apk/x86_64/anyarch-binfmt-9.9.9-r1.apk";
    let without = streams(&fs::read(unsigned.join(at)).unwrap());
    let with = streams(&fs::read(signed.join(at)).unwrap());
    assert_eq!((without.len(), with.len()), (2, 3));
    assert_eq!(with[1..], without[..]);

    // The signature is of the stream that describes the package.
    let mut archive = tar::Archive::new(with[0].1.as_slice());
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap(), Path::new(".SIGN.RSA.jo.rsa.pub"));
    let mut signature = Vec::new();
    entry.read_to_end(&mut signature).unwrap();
    fs::write(home.join("signature"), signature).unwrap();
    fs::write(home.join("control"), &with[1].0).unwrap();
    let [signature, control] = ["signature", "control"].map(|name| home.join(name).display().to_string());
    run("openssl", &["dgst", "-sha1", "-verify", &format!("{key}.pub"), "-signature", &signature, &control]);

    // Others read all streams as one archive.
    let listed = run("tar", &["-tzf", signed.join(at).to_str().unwrap()]);
    let names: Vec<&str> = listed.lines().collect();
    let first =
        [".SIGN.RSA.jo.rsa.pub", ".PKGINFO", ".post-install", ".post-upgrade", ".pre-deinstall", "usr/"];
    assert_eq!(names[..6], first);
    let info = run("tar", &["-xzOf", signed.join(at).to_str().unwrap(), ".PKGINFO"]);
    for line in [
        "pkgname = anyarch-binfmt",
        "pkgver = 9.9.9-r1",
        "arch = x86_64",
        "depend = anyarch-qemu-user=9.9.9-r1",
        &format!("datahash = {}", hash::sha256(&with[2].0)),
    ] {
        assert!(info.lines().any(|one| one == line), "{line}: {info}");
    }

    // Each file has the hash that apk compares it with.
    let emulators = streams(&fs::read(unsigned.join("apk/x86_64/anyarch-qemu-user-9.9.9-r1.apk")).unwrap());
    let mut hashes = BTreeMap::new();
    for entry in tar::Archive::new(emulators[1].1.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let Ok(Some(records)) = entry.pax_extensions() else { continue };
        let record = records.flatten().find(|one| one.key() == Ok("APK-TOOLS.checksum.SHA1")).unwrap();
        let record = record.value().unwrap().to_owned();
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        hashes.insert(path, (record, bytes));
    }
    let (record, bytes) = &hashes["usr/libexec/anyarch/qemu-riscv64"];
    assert_eq!(*bytes, stage.emulator("riscv64", "amd64"));
    fs::write(home.join("emulator"), bytes).unwrap();
    assert!(run("sha1sum", &[home.join("emulator").to_str().unwrap()]).starts_with(record));

    if which::which("apk").is_err() {
        return wants::partly_not_run("missing on this machine: apk, which Debian does not have");
    }
    let root = root_with_shell(home);
    let before = installed(&root).len();
    let keys = root.join("etc/apk/keys");
    fs::copy(format!("{key}.pub"), mkdir(&keys).join("jo.rsa.pub")).unwrap();
    let apk = |words: &[&str]| {
        let mut command = as_root("apk");
        command.arg("--root").arg(&root).args(["--no-network", "--arch", "x86_64"]).args(words);
        succeed(&mut command)
    };
    let paths = fs::read_dir(signed.join("apk/x86_64")).unwrap().map(|entry| entry.unwrap().path());
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    apk(&[&["--initdb", "add"], &paths[..]].concat());
    let files = installed(&root);
    for name in ["usr/bin/anyarch 755", "usr/libexec/anyarch/qemu-aarch64-execve@ qemu-aarch64"] {
        assert!(files.iter().any(|file| file == name), "{name}: {files:#?}");
    }
    // What it lists was changed since it was installed.
    assert_eq!(apk(&["audit", "--packages"]), "");
    apk(&["del", "anyarch", "anyarch-qemu-user", "anyarch-binfmt"]);
    assert_eq!(installed(&root).len(), before, "{:#?}", installed(&root));
}
