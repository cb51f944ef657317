//! Keys, sums and archives that are not what they should be.

use super::machine::{ARCHIVE, Machine, PAIRED, RELEASE, SHELLS, own_mirror};
use crate::driver::releases::{FakeRelease, Key, Member, tar};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use tar::{EntryType, Header};
use xz2::write::XzEncoder;

#[test]
fn only_what_the_key_has_signed_is_installed() {
    for shell in SHELLS {
        let (home, release, server) = own_mirror();
        let key = Key::make(&home.path().join("keys"), "ours", "ed25519");
        let other = Key::make(&home.path().join("keys"), "theirs", "ecdsa");
        let both = home.path().join("keys/both");
        let text = |key: &Key| fs::read_to_string(key.public()).unwrap();
        fs::write(&both, format!("# Ours, and the one before.\n{}\n{}", text(&other), text(&key))).unwrap();
        let mut machine = Machine::new(shell, "curl");
        machine.link("ssh-keygen", "ssh-keygen");
        let with = |machine: &Machine, key: &str| {
            machine.run(&server.url(), &["--target", "aarch64", "--host", "amd64", "--key", key])
        };

        machine.has_nothing(&with(&machine, &key.public()), 1, &["is not signed", "every mirror failed"]);
        other.sign(&release);
        machine.has_nothing(&with(&machine, &key.public()), 1, &["SHA256SUMS is not signed by the key in"]);
        key.sign_as("file", &release);
        machine.has_nothing(&with(&machine, &key.public()), 1, &["SHA256SUMS is not signed by the key in"]);
        key.sign(&release);
        let sums = release.folder().join("SHA256SUMS");
        let signed = fs::read_to_string(&sums).unwrap();
        fs::write(&sums, format!("{signed}{:064x}  more\n", 1)).unwrap();
        machine.has_nothing(&with(&machine, &key.public()), 1, &["SHA256SUMS is not signed by the key in"]);
        assert_eq!(server.asked(ARCHIVE), [], "an archive was asked for before the signature was right");

        fs::write(&sums, signed).unwrap();
        let ended = with(&machine, &key.public());
        machine.has_installed(&ended, &release);
        assert!(!ended.stderr.contains("no --key"), "{}", ended.stderr);
        machine.has_installed(&with(&machine, both.to_str().unwrap()), &release);
        // A fingerprint stands for the key, which the signature holds.
        machine.has_installed(&with(&machine, &key.fingerprint()), &release);

        fs::remove_dir_all(machine.prefix()).unwrap();
        let theirs = with(&machine, &other.fingerprint());
        machine.has_nothing(&theirs, 1, &["SHA256SUMS is not signed by the key in SHA256:"]);
        machine.environment.push(("ANYARCH_KEY".into(), other.public()));
        machine.has_nothing(&machine.install(&server.url()), 1, &["SHA256SUMS is not signed by the key in"]);
        machine.has_installed(&with(&machine, &key.public()), &release);
    }
}

#[test]
fn a_key_that_is_none_and_a_machine_without_ssh_keygen_are_told_apart() {
    let (home, release, server) = own_mirror();
    let key = Key::make(home.path(), "key", "ed25519");
    key.sign(&release);
    let with = |machine: &Machine, key: &str| {
        machine.run(&server.url(), &["--target", "aarch64", "--host", "amd64", "--key", key])
    };
    let machine = Machine::usual();
    machine.has_nothing(&with(&machine, &key.public()), 3, &["ssh-keygen", "openssh"]);
    machine.has("ssh-keygen", "echo 'unknown option -- Y' >&2; exit 1");
    machine.has_nothing(&with(&machine, &key.public()), 3, &["too old", "openssh"]);
    machine.lacks("ssh-keygen").link("ssh-keygen", "ssh-keygen");
    machine.has_nothing(&with(&machine, key.path.to_str().unwrap()), 2, &["contains no OpenSSH public key"]);
    machine.has_nothing(&with(&machine, "/nowhere"), 2, &["cannot read the key /nowhere"]);
    machine.has_nothing(&with(&machine, "SHA256:.*"), 2, &["is no fingerprint of a key"]);
}

/// A right archive's members, and what an attacker makes of them.
fn hostile(release: &FakeRelease) -> Vec<(&'static str, Vec<Member>)> {
    let right = release.members("aarch64", "amd64");
    let with = |member: Member| {
        let mut members = right.clone();
        members.push(member);
        members
    };
    let doc = |name: &str| format!("share/doc/anyarch/qemu-aarch64/{name}");
    let without = |name: &str| right.iter().filter(|one| one.name != name).cloned().collect::<Vec<_>>();
    let emulator_as = |kind, link| {
        let mut members = without("bin/qemu-aarch64");
        members.insert(1, Member::special("bin/qemu-aarch64", kind, link));
        members
    };
    vec![
        ("another program", with(Member::file("bin/ls", 0o755, b"#!"))),
        ("another emulator", with(Member::file("bin/qemu-arm", 0o755, b"#!"))),
        ("a file beside the folders", with(Member::file("README", 0o644, b"hello"))),
        ("another folder", with(Member::folder("lib/"))),
        ("a hidden text", with(Member::file(&doc(".installed"), 0o644, b"0 0"))),
        ("a folder among the texts", with(Member::folder(&doc("more/")))),
        ("a way up", with(Member::file("bin/../../../qemu-aarch64", 0o755, b"#!"))),
        ("a way up from the texts", with(Member::file(&doc("../../../../x"), 0o644, b"x"))),
        ("an absolute name", with(Member::file("/tmp/anyarch-install-test", 0o644, b"x"))),
        ("a name with a space", with(Member::file(&doc("a b"), 0o644, b"x"))),
        ("a name of two lines", with(Member::file(&doc("a\nbin/qemu-aarch64"), 0o644, b"x"))),
        ("the emulator twice", with(Member::file("bin/qemu-aarch64", 0o755, b"#!"))),
        ("a symbolic link", with(Member::special(&doc("link"), EntryType::Symlink, "/etc/passwd"))),
        ("a hard link", with(Member::special(&doc("link"), EntryType::Link, "bin/qemu-aarch64"))),
        (
            "a hard link to a file outside",
            with(Member::special(&doc("link"), EntryType::Link, "/etc/passwd")),
        ),
        ("a character device", with(Member::special(&doc("null"), EntryType::Char, ""))),
        ("a block device", with(Member::special(&doc("disk"), EntryType::Block, ""))),
        ("a pipe", with(Member::special(&doc("pipe"), EntryType::Fifo, ""))),
        ("an emulator that is a link", emulator_as(EntryType::Symlink, "/bin/sh")),
        ("an emulator that is a folder", emulator_as(EntryType::Directory, "")),
        ("no emulator", without("bin/qemu-aarch64")),
    ]
}

#[test]
fn an_archive_that_holds_what_it_must_not_is_not_unpacked() {
    for (shell, downloader) in PAIRED {
        let (_home, mut release, server) = own_mirror();
        let machine = Machine::new(shell, downloader);
        for (what, members) in hostile(&release) {
            release.repack("aarch64", "amd64", &tar(&members));
            let ended = machine.install(&server.url());
            machine.has_nothing(
                &ended,
                1,
                &["contains files that do not belong there, so it is not unpacked"],
            );
            assert!(!Path::new("/tmp/anyarch-install-test").exists(), "{what}");
        }
        release.repack("aarch64", "amd64", b"no tar at all, whatever its name says");
        let ended = machine.install(&server.url());
        machine.has_nothing(&ended, 1, &[ARCHIVE]);
        // Vouched for, and packed in no way that its name says.
        fs::write(release.folder().join(ARCHIVE), "no xz").unwrap();
        release.sum();
        machine.has_nothing(&machine.install(&server.url()), 1, &[ARCHIVE]);
    }
}

#[test]
fn an_archive_that_unpacks_to_far_too_much_is_not_unpacked() {
    let (_home, release, server) = own_mirror();
    let mut packed = XzEncoder::new(Vec::new(), 0);
    let zeros = vec![0; 1 << 20];
    for _ in 0..257 {
        packed.write_all(&zeros).unwrap();
    }
    fs::write(release.folder().join(ARCHIVE), packed.finish().unwrap()).unwrap();
    release.sum();
    // bash is `sh` on some machines, and something else by its own name.
    for shell in [SHELLS[0], &["bash"]] {
        let machine = Machine::new(shell, "curl");
        machine.has_nothing(&machine.install(&server.url()), 1, &["unpacks to more than 268435456 bytes"]);
    }
}

/// A right archive, but that its emulator ends with a hole which makes it this long. GNU's tar lists it as a file.
fn with_a_hole(release: &FakeRelease, length: u64) -> Vec<u8> {
    let mut members = release.members("aarch64", "amd64");
    members[1].kind = EntryType::GNUSparse;
    let content = members[1].content.len() as u64;
    let mut packed = tar(&members);
    // Behind the block of the folder `bin/`.
    let header = Header::from_byte_slice(&packed[512..1024]);
    let mut header = header.clone();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(length);
    gnu.sparse[0].set_offset(0);
    gnu.sparse[0].set_length(content);
    gnu.sparse[1].set_offset(length);
    gnu.sparse[1].set_length(0);
    header.set_cksum();
    packed[512..1024].copy_from_slice(header.as_bytes());
    packed
}

#[test]
fn a_file_with_holes_does_not_get_past_the_limits() {
    for (shell, downloader) in PAIRED {
        let (_home, mut release, server) = own_mirror();
        let packed = with_a_hole(&release, 1 << 32);
        release.repack("aarch64", "amd64", &packed);
        let machine = Machine::new(shell, downloader);
        // Busybox's tar does not know such members.
        let said = if shell[0] == "busybox" { ARCHIVE } else { "longer than the whole archive" };
        machine.has_nothing(&machine.install(&server.url()), 1, &[said]);
    }
}

#[test]
fn sums_that_are_none_are_refused() {
    let (_home, release, server) = own_mirror();
    let sums = release.folder().join("SHA256SUMS");
    let right = fs::read_to_string(&sums).unwrap();
    let machine = Machine::usual();
    for wrong in [
        String::new(),
        "<html>sign in first</html>\n".to_owned(),
        right.trim_end().to_owned(),
        right.replace("  qemu", "  ../qemu"),
        right.replace("  qemu", " *qemu"),
        right.to_uppercase(),
        format!("{right}{}  {ARCHIVE}\n", "0".repeat(64)),
    ] {
        fs::write(&sums, &wrong).unwrap();
        machine.has_nothing(
            &machine.install(&server.url()),
            1,
            &["SHA256SUMS is truncated or not a list of hashes"],
        );
    }
    fs::write(&sums, right.replace(RELEASE, "1.2.3-2")).unwrap();
    machine.has_nothing(&machine.install(&server.url()), 1, &["lists no emulator of release 1.2.3-1"]);
}
