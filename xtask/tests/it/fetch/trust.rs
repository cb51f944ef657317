//! Nothing of a release is used that nobody vouches for, and of what is vouched for nothing that an archive of ours
//! would not hold.

use super::stage::{NAME, Stage};
use crate::driver::encrypted::Encrypted;
use crate::driver::releases::{Key, Member, packed_with, tar};
use crate::driver::run;
use crate::driver::server::{ALWAYS, Server, Wrong};
use serde_json::{Value, json};
use std::fs;
use tar::EntryType;

#[test]
fn a_manifest_that_is_cut_newer_or_contradicts_itself_is_refused() {
    type Edit = fn(&mut Value);
    let edits: [(Edit, &[&str]); 6] = [
        (|all| all["format"] = json!(2), &["its format is 2", "update anyarch"]),
        (
            |all| all["artifacts"][0]["archives"][0]["file"] = json!("../evil.tar.xz"),
            &["`../evil.tar.xz` is not the name"],
        ),
        (|all| all["artifacts"][0]["target"] = json!("../evil"), &["does not name a target and a host"]),
        (|all| all["artifacts"][0]["archives"][0]["sha256"] = json!("0"), &["is not a SHA-256"]),
        (|all| all["release"] = json!("9.9.8-1"), &["it belongs to release 9.9.8-1, not to 9.9.9-1"]),
        (|all| *all = json!({"format": 1, "release": "9.9.9-1\u{1b}[2J"}), &["is not the name of a file"]),
    ];
    for (edit, said) in edits {
        let stage = Stage::new();
        stage.release.edit(edit);
        let ended = stage.fetch(&["--from", stage.base()], &[]);
        ended.failed(1, &[&["release.json of ", "is rejected"], said].concat());
        assert!(!ended.stderr.contains('\u{1b}'), "it speaks to the terminal");
        stage.holds_nothing();
        assert!(stage.kept().is_empty());
    }
    let stage = Stage::new();
    let manifest = stage.release.folder().join("release.json");
    let whole = fs::read(&manifest).unwrap();
    fs::write(&manifest, &whole[..whole.len() / 2]).unwrap();
    stage.release.sum();
    stage.fetch(&["--from", stage.base()], &[]).failed(1, &["truncated or not a release manifest"]);
    stage.holds_nothing();
}

#[test]
fn a_release_without_an_emulator_is_refused_whatever_is_asked_for() {
    for (target, host) in [("aarch64", "amd64"), ("all", "amd64"), ("all", "all")] {
        let stage = Stage::new();
        stage.release.edit(|manifest| manifest["artifacts"] = json!([]));
        let arguments = ["--target", target, "--host", host, "--from", stage.base()];
        let ended = stage.fetch(&arguments, &[]);
        let said = ["release.json of ", "is rejected: it lists no emulators", "another mirror with --from"];
        ended.failed(1, &said);
        stage.holds_nothing();
        // Another mirror may have more of it.
        let better = Stage::new();
        let ended = stage.fetch(&[&arguments[..], &["--from", better.base()]].concat(), &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn a_manifest_with_fields_of_a_later_version_is_read() {
    let stage = Stage::new();
    stage.release.edit(|manifest| {
        manifest["weather"] = json!("fair");
        manifest["artifacts"][0]["colour"] = json!(["red"]);
        manifest["artifacts"][0]["archives"]
            .as_array_mut()
            .unwrap()
            .push(json!({"file": "x.tar.br", "format": "tar.br", "size": 1, "sha256": "0".repeat(64)}));
    });
    stage.succeed(&["--from", stage.base()]);
    stage.holds(&["aarch64"]);
}

#[test]
fn sums_that_do_not_vouch_for_the_manifest_are_refused_with_both_hashes() {
    let stage = Stage::new();
    let folder = stage.release.folder();
    let old = anyarch_client::hash::sha256_file(&folder.join("release.json")).unwrap();
    let mut text = stage.release.manifest.text();
    text.push('\n');
    fs::write(folder.join("release.json"), &text).unwrap();
    let new = anyarch_client::hash::sha256(text.as_bytes());
    stage.fetch(&["--from", stage.base()], &[]).failed(1, &["does not match SHA256SUMS", &old, &new]);
    stage.holds_nothing();

    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let without: String = sums
        .lines()
        .filter(|line| !line.ends_with(" release.json"))
        .map(|line| format!("{line}\n"))
        .collect();
    for (text, said) in [
        (without.as_str(), "SHA256SUMS does not list it"),
        (&sums[..sums.len() - 40], "is truncated or not in the format of sha256sum"),
        (
            "<html>Please log in to this network</html>\n",
            "line 1 is truncated or not in the format of sha256sum",
        ),
    ] {
        fs::write(folder.join("SHA256SUMS"), text).unwrap();
        stage.fetch(&["--from", stage.base()], &[]).failed(1, &[said]);
        stage.holds_nothing();
    }
}

#[test]
fn a_mirror_that_never_stops_sending_a_small_file_is_given_up() {
    let stage = Stage::new();
    for name in ["SHA256SUMS", "release.json"] {
        let server = Server::of(&stage.release.base);
        server.wrong(name, Wrong::Endless, ALWAYS);
        stage.fetch(&["--from", &server.url()], &[]).failed(1, &[name, "has more than 16.78 MB"]);
        assert_eq!(server.asked(name).len(), 1);
        stage.holds_nothing();
    }
}

#[test]
fn sizes_that_no_release_has_are_refused_before_the_download() {
    let (archive, unpacked) = (32 << 20, 256 << 20);
    let cases: [(u64, u64, &str); 4] = [
        (archive + 1, 1 << 20, "linux-amd64.tar.xz has 33554433 bytes"),
        (u64::MAX, 1 << 20, "linux-amd64.tar.xz has 18446744073709551615 bytes"),
        (1 << 20, unpacked + 1, "linux-amd64.tar.xz unpacked has 268435457 bytes"),
        // As much as that may be asked for, and then there is less.
        (archive, unpacked, "wrong size"),
    ];
    for (size, unpacked_size, said) in cases {
        let stage = Stage::new();
        stage.release.edit(|manifest| {
            manifest["artifacts"][0]["archives"][0]["size"] = json!(size);
            manifest["artifacts"][0]["unpacked_size"] = json!(unpacked_size);
        });
        let server = Server::of(&stage.release.base);
        stage.fetch(&["--from", &server.url()], &[]).failed(1, &[said]);
        assert_eq!(server.asked(".tar.xz").is_empty(), said != "wrong size", "{said}");
        stage.holds_nothing();
    }
}

#[test]
fn a_signature_of_any_usual_kind_is_checked_without_ssh_keygen() {
    let stage = Stage::new();
    let folder = stage.home.path().join("keys");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = Key::make(&folder, kind, kind);
        key.sign(&stage.release);
        let ended = stage.fetch(&["--from", stage.base(), "--key", &key.public(), "--json"], &[]);
        assert_eq!(ended.code, Some(0), "{kind}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!("release {NAME} is signed by {kind} (SHA256:")),
            "{}",
            ended.stderr
        );
        let printed: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(printed["signed_by"].as_str().unwrap().starts_with(kind), "{printed}");
        // Its fingerprint does as well: the signature holds the key.
        let ended = stage.fetch(&["--from", stage.base(), "--key", &key.fingerprint()], &[]);
        assert!(ended.code == Some(0) && ended.stderr.contains(&key.fingerprint()), "{ended:?}");
    }
    // Without a key the signature is not looked at, and people hear what that means.
    let ended = stage.fetch(&["--from", stage.base()], &[]);
    assert!(ended.stderr.contains("as the connection to the mirror"), "{}", ended.stderr);
}

#[test]
fn a_key_whose_signatures_cannot_be_checked_is_refused_before_anything_is_asked() {
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    for bits in ["384", "521"] {
        let path = stage.home.path().join(bits);
        let private = path.to_str().unwrap();
        run("ssh-keygen", &["-q", "-t", "ecdsa", "-b", bits, "-N", "", "-C", "mine", "-f", private]);
        let ended = stage.fetch(&["--from", &server.url(), "--key", &format!("{private}.pub")], &[]);
        ended.failed(2, &[&format!("a key of the type ecdsa-sha2-nistp{bits}"), "line 1 of", "ssh-ed25519"]);
    }
    assert_eq!(server.requests(), []);
    stage.holds_nothing();
}

#[test]
fn one_of_several_keys_will_do_and_the_environment_may_name_them() {
    let mut stage = Stage::new();
    let folder = stage.home.path().join("keys");
    let keys = ["one", "two"].map(|name| Key::make(&folder, name, "ed25519"));
    let both = folder.join("both");
    let lines = keys.iter().map(|key| fs::read_to_string(key.public()).unwrap());
    fs::write(&both, format!("# ours\n\n{}", lines.collect::<String>())).unwrap();
    keys[1].sign(&stage.release);
    stage.driver.environment.push(("ANYARCH_KEY".into(), both.display().to_string()));
    stage.succeed(&["--from", stage.base()]);
    stage.holds(&["aarch64"]);
    for (text, said) in [("", "there is no public key in"), ("# x\nssh-ed25519 AAAA\n", "line 2 of")] {
        fs::write(&both, text).unwrap();
        stage.fetch(&["--from", stage.base()], &[]).failed(2, &[said]);
    }
    stage
        .fetch(&["--from", stage.base(), "--key", keys[0].path.to_str().unwrap()], &[])
        .failed(2, &["line 1 of", "is not an OpenSSH public key"]);
    stage
        .fetch(&["--from", stage.base(), "--key", "SHA256:x"], &[])
        .failed(2, &["is no fingerprint of a key"]);
}

#[test]
fn a_signature_that_is_missing_of_another_key_text_or_purpose_is_refused() {
    type Spoil = fn(&Stage, &Key);
    let spoils: [(Spoil, &str); 6] = [
        (|_, _| (), "the release is not signed there, but --key was given"),
        (
            |stage, _| Key::make(stage.home.path(), "other", "ed25519").sign(&stage.release),
            "signed by another key: SHA256:",
        ),
        (|stage, key| key.sign_as("file", &stage.release), "its signature is for `file`, not for `anyarch`"),
        (
            |stage, key| {
                key.sign(&stage.release);
                fs::write(stage.release.folder().join("another"), "x").unwrap();
                stage.release.sum();
            },
            "does not match these checksums",
        ),
        (
            |stage, key| {
                key.sign(&stage.release);
                let path = stage.release.folder().join("SHA256SUMS.sig");
                let text = fs::read(&path).unwrap();
                fs::write(&path, &text[..text.len() / 2]).unwrap();
            },
            "its signature is truncated or not made by",
        ),
        (
            |stage, _| fs::write(stage.release.folder().join("SHA256SUMS.sig"), "").unwrap(),
            "its signature is truncated or not made by",
        ),
    ];
    for (spoil, said) in spoils {
        let stage = Stage::new();
        let key = Key::make(stage.home.path(), "mine", "ed25519");
        spoil(&stage, &key);
        let server = Server::of(&stage.release.base);
        stage.fetch(&["--from", &server.url(), "--key", &key.public()], &[]).failed(1, &[said]);
        stage.fetch(&["--from", &server.url(), "--key", &key.fingerprint()], &[]).failed(1, &[said]);
        assert!(server.asked("release.json").is_empty(), "{said}: nothing vouches for it");
        stage.holds_nothing();
    }
}

#[test]
fn a_mirror_without_the_signature_does_not_stop_one_that_has_it() {
    let stage = Stage::new();
    let key = Key::make(stage.home.path(), "mine", "ed25519");
    key.sign(&stage.release);
    let (first, second) = (Server::of(&stage.release.base), Server::of(&stage.release.base));
    first.wrong(".sig", Wrong::Status(404, None), ALWAYS);
    let ended = stage.fetch(&["--key", &key.public(), "--from", &first.url(), "--from", &second.url()], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("not signed there"), "{}", ended.stderr);
    assert_eq!(second.asked("release.json").len(), 1);
}

/// Archives that the manifest vouches for, and which no release of ours would have.
#[test]
fn an_archive_with_anything_else_than_an_emulator_and_its_texts_is_refused() {
    const DOCS: &str = "share/doc/anyarch/qemu-aarch64";
    let file = |name: &str| Member::file(name, 0o644, b"x");
    let special = |kind, name: &str, link: &str| Member::special(name, kind, link);
    let doc = |name: &str| format!("{DOCS}/{name}");
    let big = Member::file(&doc("big"), 0o644, &vec![b'x'; 1 << 16]);
    let cases: Vec<(Member, &str)> = vec![
        (file("bin/qemu-riscv64"), "bin/qemu-riscv64 does not belong there"),
        (file("bin/sh"), "bin/sh does not belong there"),
        (file("share/doc/anyarch/qemu-aarch64.txt"), "does not belong there"),
        (file("readme"), "readme does not belong there"),
        (Member::folder("etc/"), "etc/ does not belong there"),
        (Member::folder("share/doc/anyarch/qemu-arm/"), "does not belong there"),
        (Member::folder("bin/qemu-aarch64/"), "does not belong there"),
        (file("../evil"), "../evil leads elsewhere"),
        (file(&doc("../../../../../evil")), "leads elsewhere"),
        (file("/tmp/evil"), "/tmp/evil leads elsewhere"),
        (file("./bin/qemu-aarch64"), "./bin/qemu-aarch64 leads elsewhere"),
        (file(&doc("\u{1b}[2J/../x")), "\\x1b[2J/../x leads elsewhere"),
        (file("bin/qemu-aarch64"), "bin/qemu-aarch64 is in it twice"),
        (file(&doc("LICENSE")), "LICENSE is in it twice"),
        (Member::folder("bin/"), "bin/ is in it twice"),
        (Member::folder(&doc("LICENSE/")), "LICENSE/ is in it twice"),
        (
            Member::file(&doc("LICENSE/x"), 0o644, b""),
            "cannot unpack share/doc/anyarch/qemu-aarch64/LICENSE/x",
        ),
        (
            special(EntryType::Symlink, &doc("link"), "/etc/passwd"),
            "link is neither a file nor a folder (Symlink)",
        ),
        (special(EntryType::Link, &doc("link"), "bin/qemu-aarch64"), "neither a file nor a folder (Link)"),
        (special(EntryType::Char, &doc("null"), ""), "null is neither a file nor a folder (Char)"),
        (special(EntryType::Block, &doc("sda"), ""), "neither a file nor a folder (Block)"),
        (special(EntryType::Fifo, &doc("fifo"), ""), "neither a file nor a folder (Fifo)"),
        (special(EntryType::GNULongName, "././@LongLink", ""), "leads elsewhere"),
        (special(EntryType::XHeader, "pax", ""), "neither a file nor a folder (XHeader)"),
        (special(EntryType::GNUSparse, &doc("sparse"), ""), "neither a file nor a folder (GNUSparse)"),
        (big, "big it is bigger than the release says"),
    ];
    for (member, said) in cases {
        let mut stage = Stage::new();
        let mut members = stage.release.members("aarch64", "amd64");
        members.push(member);
        refused(&mut stage, &tar(&members), said);
    }
}

#[test]
fn an_archive_that_lacks_something_or_has_another_emulator_is_refused() {
    let whole = Stage::new().release.members("aarch64", "amd64");
    let without =
        |end: &str| -> Vec<Member> { whole.iter().filter(|one| !one.name.contains(end)).cloned().collect() };
    let mut other = whole.clone();
    other[1].content[100_000] ^= 1;
    let packed = tar(&whole);
    let mut bomb = packed[..packed.len() - 1024].to_vec();
    for number in 0..4096 {
        bomb.extend(&tar(&[Member::folder(&format!("share/doc/anyarch/qemu-aarch64/{number}/"))])[..512]);
    }
    let cases = [
        (tar(&without("bin/qemu")), "it has no bin/qemu-aarch64"),
        (tar(&without("share")), "it has no share/doc/anyarch/qemu-aarch64"),
        (tar(&[]), "it has no bin/qemu-aarch64"),
        (tar(&other), "qemu-aarch64 in it is not that of the release"),
        (packed[..100_000].to_vec(), "truncated"),
        (vec![b'x'; 4096], "truncated or not a tar archive"),
        (bomb, "is longer than the release says"),
    ];
    for (archive, said) in cases {
        refused(&mut Stage::new(), &archive, said);
    }
}

#[test]
fn an_archive_that_takes_too_much_memory_to_unpack_is_refused_as_such() {
    let mut stage = Stage::new();
    let right = tar(&stage.release.members("aarch64", "amd64"));
    stage.release.replace("aarch64", "amd64", &packed_with(192, &right));
    let ended = stage.fetch(&["--from", stage.base()], &[]);
    ended.failed(1, &["was not installed", "needs too much memory", "more than 64 MiB"]);
    assert!(!ended.stderr.contains("truncated"), "{}", ended.stderr);
    stage.holds_nothing();
    stage.release.replace("aarch64", "amd64", &packed_with(48, &right));
    stage.succeed(&["--from", stage.base()]);
    stage.holds(&["aarch64"]);
}

/// An archive with this tar stream is refused, and leaves nothing.
fn refused(stage: &mut Stage, tar: &[u8], said: &str) {
    stage.release.repack("aarch64", "amd64", tar);
    let archive = stage.release.archive("aarch64", "amd64");
    let ended = stage.fetch(&["--from", stage.base()], &[]);
    ended.failed(1, &[said, &format!("{archive} was not installed")]);
    assert!(!ended.stderr.contains('\u{1b}'), "{said}: it speaks to the terminal");
    stage.holds_nothing();
    let around = crate::driver::files(stage.home.path());
    assert!(!around.iter().any(|path| path.ends_with("evil")), "{around:?}");
}

#[test]
fn rights_in_an_archive_are_not_taken_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut stage = Stage::new();
    let mut members = stage.release.members("aarch64", "amd64");
    members.iter_mut().for_each(|member| member.mode = 0o6777);
    stage.release.repack("aarch64", "amd64", &tar(&members));
    stage.succeed(&["--from", stage.base()]);
    let mode = |name: &str| fs::metadata(stage.prefix.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("bin/qemu-aarch64"), 0o755);
    assert_eq!(mode("share/doc/anyarch/qemu-aarch64"), 0o755);
    assert_eq!(mode("share/doc/anyarch/qemu-aarch64/LICENSE"), 0o644);
}

#[test]
fn a_machine_without_certificates_takes_what_needs_none_and_says_what_helps() {
    let mut stage = Stage::new();
    for (name, value) in [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/nonexistent")] {
        stage.driver.environment.push((name.into(), value.into()));
    }
    stage.succeed(&["--from", stage.base()]);
    stage.holds(&["aarch64"]);
    fs::remove_dir_all(&stage.prefix).unwrap();
    let plain = Server::of(&stage.release.base);
    stage.succeed(&["--from", &plain.url()]);
    let encrypted = Encrypted::new();
    encrypted.serves(&stage.release.folder());
    fs::remove_dir_all(&stage.prefix).unwrap();
    stage
        .fetch(&["--from", &encrypted.url()], &[])
        .failed(1, &["no certificates of authorities", "SSL_CERT_FILE"]);
}
