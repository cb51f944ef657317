//! `dist/install.sh`, which people without Rust run: under three shells, by three downloaders, from servers that do
//! wrong, on machines that lack things.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod driver;
#[path = "install/encrypted.rs"]
mod encrypted;
#[path = "install/machine.rs"]
mod machine;
#[path = "install/place.rs"]
mod place;

use driver::releases::{FakeRelease, Key, Member, tar};
use driver::server::{ALWAYS, Wrong};
use driver::{Ended, Somebody, checkout, mkdir, run, scratch};
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;
use machine::{DOWNLOADERS, Machine, PAIRED, RELEASE, SHELLS, left, mirror, own_mirror, program};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tar::{EntryType, Header};
use xtask::facts::Host;
use xtask::facts::targets::TARGETS;

const ARCHIVE: &str = "qemu-aarch64-1.2.3-1-linux-amd64.tar.xz";

/// Runs the same with each shell and downloader, side by side: much of the time is waiting.
fn by_each(check: impl Fn(Machine) + Sync) {
    thread::scope(|scope| {
        for (shell, downloader) in PAIRED {
            let check = &check;
            scope.spawn(move || check(Machine::new(shell, downloader)));
        }
    });
}

#[test]
fn every_shell_installs_by_every_downloader_and_then_there_is_nothing_to_do() {
    for shell in SHELLS {
        for downloader in DOWNLOADERS {
            let (release, server) = mirror();
            let machine = Machine::new(shell, downloader);
            machine.has_installed(&machine.install(&server.url()), release);
            assert_eq!(server.got(), ["SHA256SUMS", ARCHIVE].map(|name| format!("/{RELEASE}/{name}")));

            let again = machine.install(&server.url());
            machine.has_installed(&again, release);
            assert!(again.stderr.contains("is up to date"), "{}", again.stderr);
            assert_eq!(server.asked(ARCHIVE).len(), 1, "{shell:?} {downloader}");
        }
    }
}

#[test]
fn a_transfer_that_broke_goes_on_from_where_it_did() {
    by_each(|machine| {
        let (release, server) = mirror();
        server.wrong(ARCHIVE, Wrong::Cut(90_000), 2);
        machine.has_installed(&machine.install(&server.url()), release);
        let ranges: Vec<Option<String>> = server.asked(ARCHIVE).into_iter().map(|one| one.range).collect();
        let [None, Some(second), Some(third)] = ranges.as_slice() else { panic!("{ranges:?}") };
        assert_eq!((second.as_str(), third.as_str()), ("bytes=90000-", "bytes=180000-"));
    });
}

#[test]
fn a_download_ends_well_when_the_server_comes_to_its_senses() {
    let spells: [&[(Wrong, usize)]; 8] = [
        &[(Wrong::Status(500, None), 2), (Wrong::Status(429, Some(1)), 2)],
        &[(Wrong::Silence, 4)],
        &[(Wrong::Cut(50_000), 1), (Wrong::NoRanges, 1)],
        &[(Wrong::Cut(50_000), 1), (Wrong::OtherRange(7), 1)],
        &[(Wrong::Cut(50_000), 1), (Wrong::Bytes, 1)],
        &[(Wrong::Cut(50_000), 1), (Wrong::Status(416, None), 1)],
        // Much is announced, and all of it is there after all.
        &[(Wrong::Length(100_000_000), ALWAYS)],
        // More cuts than tries, but each brings something.
        &[(Wrong::Cut(70_000), ALWAYS)],
    ];
    by_each(|machine| {
        for spell in spells {
            let (release, server) = mirror();
            for (wrong, times) in spell {
                server.wrong(ARCHIVE, wrong.clone(), *times);
            }
            machine.has_installed(&machine.install(&server.url()), release);
            fs::remove_dir_all(machine.prefix()).unwrap();
        }
        let (release, server) = mirror();
        server.wrong("SHA256SUMS", Wrong::Cut(100), 2).wrong("SHA256SUMS", Wrong::Status(503, None), 2);
        machine.has_installed(&machine.install(&server.url()), release);
    });
}

/// What a server does wrong with an archive for ever, how often it is asked (at least and at most), and what is said.
fn hopeless() -> Vec<(Wrong, (usize, usize), &'static str)> {
    vec![
        (Wrong::Status(404, None), (1, 1), "the server says 404"),
        (Wrong::Status(403, None), (1, 1), "the server says 403"),
        (Wrong::Status(429, None), (5, 5), "the server says 429; tried 5 times"),
        (Wrong::Status(500, None), (5, 5), "the server says 500; tried 5 times"),
        (Wrong::Silence, (5, 5), "tried 5 times"),
        (Wrong::Cut(0), (5, 5), "tried 5 times"),
        (Wrong::Cut(1000), (5, 5), "tried 5 times"),
        (Wrong::Bytes, (1, 1), "has wrong bytes"),
        // A client that trusts the length has a part; one that asks for the rest gets a refusal.
        (Wrong::Length(1000), (1, 6), ""),
        (Wrong::Endless, (1, 1), "is longer than 33554432 bytes"),
        (Wrong::Redirect("/nowhere".to_owned()), (1, 1), "the server says 404"),
        (Wrong::Redirect(format!("/{RELEASE}/{ARCHIVE}")), (5, 200), "tried 5 times"),
    ]
}

#[test]
fn what_a_server_does_wrong_for_ever_installs_nothing_and_ends() {
    by_each(|machine| {
        let (_release, server) = mirror();
        for (wrong, (least, most), said) in hopeless() {
            server.mend();
            server.wrong(ARCHIVE, wrong.clone(), ALWAYS);
            machine.has_nothing(&machine.install(&server.url()), 1, &[said, "can't be had"]);
            let asked = server.asked(ARCHIVE).len();
            assert!((least..=most).contains(&asked), "{wrong:?}: asked {asked} times");
        }
    });
}

#[test]
fn the_next_mirror_gives_what_the_first_can_not() {
    by_each(|machine| {
        let (release, server) = mirror();
        let (_same, good) = mirror();
        for wrong in [
            Wrong::Status(404, None),
            Wrong::Status(500, None),
            Wrong::Bytes,
            Wrong::Length(1000),
            Wrong::Endless,
        ] {
            server.mend();
            good.mend();
            server.wrong(ARCHIVE, wrong.clone(), ALWAYS);
            let pair = ["--target", "aarch64", "--host", "amd64", "--from", &good.url()];
            machine.has_installed(&machine.run(&server.url(), &pair), release);
            assert_eq!(good.got(), [format!("/{RELEASE}/{ARCHIVE}")], "{wrong:?}");
            fs::remove_dir_all(machine.prefix()).unwrap();
        }
        // The sums of one mirror that can't be used; all else is asked of the other one first.
        for wrong in
            [Wrong::Status(404, None), Wrong::Bytes, Wrong::Endless, Wrong::Length(100), Wrong::Length(0)]
        {
            server.mend();
            good.mend();
            server.wrong("SHA256SUMS", wrong, ALWAYS);
            let pair = ["--target", "aarch64", "--host", "amd64", "--from", &good.url()];
            machine.has_installed(&machine.run(&server.url(), &pair), release);
            assert_eq!(server.asked(ARCHIVE), []);
            fs::remove_dir_all(machine.prefix()).unwrap();
        }
    });
}

#[test]
fn a_mirror_that_repeats_the_sums_of_another_release_is_passed_over() {
    by_each(|mut machine| {
        let (home, release, server) = own_mirror();
        let (_same, good) = mirror();
        let key = Key::make(&home.path().join("keys"), "ours", "ed25519");
        let older = FakeRelease::make(&home.path().join("mirror"), "1.2.2-1");
        key.sign(&older);
        for name in ["SHA256SUMS", "SHA256SUMS.sig"] {
            fs::copy(older.folder().join(name), release.folder().join(name)).unwrap();
        }
        let pair = ["--target", "aarch64", "--host", "amd64", "--from", &good.url()];
        let ended = machine.run(&server.url(), &pair);
        machine.has_installed(&ended, &release);
        let said = format!("{}/{RELEASE}/SHA256SUMS names no emulator of release {RELEASE}", server.url());
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);

        // A right signature of another release's is no better.
        fs::remove_dir_all(machine.prefix()).unwrap();
        machine.link("ssh-keygen", "ssh-keygen");
        machine.environment.push(("ANYARCH_KEY".into(), key.public()));
        machine.has_nothing(&machine.install(&server.url()), 1, &[&said, "can't be had"]);
    });
}

#[test]
fn a_transfer_that_stalls_or_crawls_is_given_up() {
    by_each(|mut machine| {
        machine.environment.push(("ANYARCH_TIMEOUT".into(), "1".into()));
        let (release, server) = mirror();
        server.wrong(ARCHIVE, Wrong::Stall(120_000), 1);
        machine.has_installed(&machine.install(&server.url()), release);
        assert_eq!(server.asked(ARCHIVE).len(), 2);

        fs::remove_dir_all(machine.prefix()).unwrap();
        server.mend();
        server.wrong(ARCHIVE, Wrong::Dribble(10, Duration::from_millis(50)), ALWAYS);
        let ended = machine.install(&server.url());
        machine.has_nothing(&ended, 1, &["less than 1000 bytes a second for 1 s", "tried 5 times"]);
    });
}

#[test]
fn folders_and_file_addresses_are_mirrors_and_need_no_downloader() {
    for shell in SHELLS {
        let home = scratch();
        let release = FakeRelease::make(&home.path().join("a mirror"), RELEASE);
        let folder = release.base.display().to_string();
        for from in [folder.clone(), format!("file://{folder}"), format!("file://localhost{folder}/")] {
            let machine = Machine::new(shell, "");
            machine.has_installed(&machine.install(&from), &release);
        }
        let machine = Machine::new(shell, "");
        std::os::unix::fs::symlink(&release.base, machine.home.path().join("here")).unwrap();
        machine.has_installed(&machine.install("here"), &release);

        fs::write(release.folder().join(ARCHIVE), "other bytes").unwrap();
        let machine = Machine::new(shell, "");
        machine.has_nothing(&machine.install(&folder), 1, &["has wrong bytes"]);
        fs::remove_file(release.folder().join(ARCHIVE)).unwrap();
        machine.has_nothing(&machine.install(&folder), 1, &["No such file", ARCHIVE]);
        machine.has_nothing(
            &machine.install("/nowhere"),
            1,
            &["/nowhere/1.2.3-1/SHA256SUMS", "can't be had"],
        );
    }
}

#[test]
fn mirrors_come_from_the_environment_as_well_and_through_proxies() {
    by_each(|mut machine| {
        let (release, server) = mirror();
        machine.environment.push(("ANYARCH_FROM".into(), format!("/nowhere {}", server.url())));
        let arguments = ["--release", RELEASE, "--target", "aarch64", "--host", "amd64"];
        machine.has_installed(&machine.plain(&arguments), release);

        fs::remove_dir_all(machine.prefix()).unwrap();
        machine.environment.push(("http_proxy".into(), server.url()));
        machine.has_installed(&machine.install("http://mirror.invalid"), release);
        assert_eq!(server.asked(ARCHIVE)[1].proxied.as_deref(), Some("mirror.invalid"));
    });
}

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

        machine.has_nothing(&with(&machine, &key.public()), 1, &["is not signed", "can't be had"]);
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

        fs::remove_dir_all(machine.prefix()).unwrap();
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
    machine.has_nothing(&with(&machine, key.path.to_str().unwrap()), 2, &["holds no OpenSSH public key"]);
    machine.has_nothing(&with(&machine, "/nowhere"), 2, &["cannot read the key /nowhere"]);
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
            machine.has_nothing(&ended, 1, &["holds what it must not, so it is not unpacked"]);
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
        let said = if shell[0] == "busybox" { ARCHIVE } else { "longer than the archive itself" };
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
        machine.has_nothing(&machine.install(&server.url()), 1, &["SHA256SUMS is cut, or no list of sums"]);
    }
    fs::write(&sums, right.replace(RELEASE, "1.2.3-2")).unwrap();
    machine.has_nothing(&machine.install(&server.url()), 1, &["names no emulator of release 1.2.3-1"]);
}

#[test]
fn wrong_use_is_told_with_what_there_is() {
    let (_release, server) = mirror();
    let from = server.url();
    let cases: [(&[&str], &[&str]); 14] = [
        (&["--target", "sparc"], &["has no sparc for amd64; it has", "aarch64 riscv64"]),
        (&["--target", "aarch64,arm"], &["has no arm for amd64"]),
        (
            &["--target", "aarch64", "--host", "s390x"],
            &["nothing for the host s390x; it has amd64 arm-v7 arm64"],
        ),
        (&["--target", "aarch64;reboot"], &["no target is named `aarch64;reboot`"]),
        (&["--target", "../x"], &["no target is named"]),
        (&["--target", "aarch64", "--host", "a b"], &["no host is named `a b`"]),
        (&[], &["--target"]),
        (&["--target", ""], &["--target"]),
        (&["--target"], &["--target wants a value"]),
        (&["--taget", "arm"], &["there is no option --taget"]),
        (&["--taget=arm"], &["there is no option --taget"]),
        (&["aarch64"], &["there is no option aarch64"]),
        (&["--target", "aarch64", "--release", "../x"], &["no release is named `../x`"]),
        (&["--target", "aarch64", "--from", "ftp://x"], &["--from takes http://"]),
    ];
    for shell in SHELLS {
        let machine = Machine::new(shell, "curl");
        machine.has("uname", "case $1 in -s) echo Linux ;; *) echo x86_64 ;; esac");
        for (arguments, said) in cases {
            let ended = machine.run(&from, arguments);
            machine.has_nothing(&ended, 2, said);
            assert!(ended.stderr.contains("--help"), "{}", ended.stderr);
        }
        assert_eq!(server.asked(ARCHIVE), []);
    }
}

#[test]
fn waits_that_are_no_whole_seconds_are_refused() {
    let (release, server) = mirror();
    for shell in SHELLS {
        let with = |name: &str, value: &str| {
            let mut machine = Machine::new(shell, "curl");
            machine.environment.push((name.into(), value.into()));
            machine
        };
        for name in ["ANYARCH_RETRY_DELAY", "ANYARCH_TIMEOUT"] {
            for value in ["08", "00", "1.5", "-1", "1s", "10000", "99999999999999999999"] {
                let machine = with(name, value);
                machine.has_nothing(&machine.install(&server.url()), 2, &[name, "whole seconds"]);
            }
            let machine = with(name, "9999");
            machine.has_installed(&machine.install(&server.url()), release);
        }
        let machine = with("ANYARCH_TIMEOUT", "0");
        machine.has_nothing(&machine.install(&server.url()), 2, &["ANYARCH_TIMEOUT", "from 1"]);
    }
}

#[test]
fn a_script_of_no_release_says_what_to_name_and_a_filled_in_one_needs_nothing() {
    let (release, server) = mirror();
    let mut machine = Machine::usual();
    machine.has_nothing(&machine.plain(&["--target", "arm"]), 2, &["name one with --release"]);
    machine.has_nothing(
        &machine.plain(&["--target", "arm", "--release", "1-1"]),
        2,
        &["name one with --from"],
    );

    let text = fs::read_to_string(&machine.script).unwrap();
    for line in ["RELEASE='@RELEASE@'", "BASE='@BASE@'"] {
        assert_eq!(text.lines().filter(|one| *one == line).count(), 1, "{line}");
    }
    let filled = text.replace("@RELEASE@", RELEASE).replace("@BASE@", &server.url());
    machine.script = machine.home.path().join("install.sh");
    fs::write(&machine.script, filled).unwrap();
    machine.has_installed(&machine.plain(&["--target", "arm64", "--host", "x86_64"]), release);
}

#[test]
fn several_targets_and_all_are_installed_at_once() {
    for shell in SHELLS {
        let (_release, server) = mirror();
        let machine = Machine::new(shell, "curl");
        for targets in ["arm64,rv64", "all", "arm64,aarch64,all,rv64"] {
            let prefix = format!("in {targets}");
            let arguments = ["--target", targets, "--host=linux/amd64", "--prefix", &prefix];
            let ended = machine.run(&server.url(), &arguments);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            let at = |name: &str| machine.home.path().join(&prefix).join("bin").join(name);
            let expected =
                [at("qemu-aarch64"), at("qemu-riscv64")].map(|path| format!("{}\n", path.display()));
            assert_eq!(ended.stdout, expected.concat());
            assert!(at("qemu-aarch64").is_file() && at("qemu-riscv64").is_file());
        }
    }
}

#[test]
fn an_emulator_for_this_machine_says_its_version() {
    for shell in SHELLS {
        let (release, server) = mirror();
        let machine = Machine::new(shell, "curl");
        machine.has("uname", "case $1 in -s) echo Linux ;; *) echo x86_64 ;; esac");
        machine.has("getconf", "echo 64");
        let ended = machine.run(&server.url(), &["--target", "aarch64"]);
        // The emulator is a script of /bin/sh.
        machine.has_installed(&ended, release);
        assert!(ended.stderr.contains("qemu-aarch64 version 1.2.3"), "{}", ended.stderr);
    }
}

/// What the functions of the script say when they are called: a line for each call.
fn called(machine: &Machine, calls: &str) -> Vec<String> {
    let text = fs::read_to_string(&machine.script).unwrap();
    let functions = text.strip_suffix("main \"$@\"\n").unwrap();
    let ended = Ended::of(machine.shell().arg("-c").arg(format!("{functions}\n{calls}")));
    assert_eq!(ended.stderr, "");
    ended.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn every_name_of_a_target_or_host_that_the_driver_knows_is_understood() {
    let hosts = Host::all(&checkout().join("toolchains")).unwrap();
    let mut calls = String::new();
    let mut expected = Vec::new();
    let mut expect = |function: &str, name: &str, answer: &str| {
        for written in [name.to_owned(), name.to_uppercase(), format!("linux/{name}")] {
            writeln!(calls, "{function} \"$(lower '{written}')\"").unwrap();
            expected.push(answer.to_owned());
        }
    };
    for target in TARGETS {
        for name in [&[target.name], target.aliases].concat() {
            expect("target_named", name, target.name);
        }
    }
    for host in &hosts {
        for name in host.aliases.iter().chain([&host.platform, &host.file_name()]) {
            expect("host_named", name, &host.file_name());
        }
    }
    for shell in SHELLS {
        assert_eq!(called(&Machine::new(shell, ""), &calls), expected);
    }
}

#[test]
fn the_machine_is_recognized_by_what_its_programs_are() {
    let machines = [
        ("x86_64", "64", "amd64"),
        ("x86_64", "32", "386"),
        ("x86_64", "", "amd64"),
        ("i686", "32", "386"),
        ("aarch64", "64", "arm64"),
        ("aarch64", "32", "arm-v7"),
        ("armv8l", "32", "arm-v7"),
        ("armv7l", "32", "arm-v7"),
        ("armv6l", "", "arm-v6"),
        ("ppc64le", "64", "ppc64le"),
        ("riscv64", "64", "riscv64"),
        ("s390x", "64", "s390x"),
        ("loongarch64", "64", "loong64"),
    ];
    for shell in SHELLS {
        let machine = Machine::new(shell, "");
        let is = |system: &str, name: &str, bits: &str| {
            machine.has("uname", &format!("case $1 in -s) echo {system} ;; *) echo {name} ;; esac"));
            machine.has("getconf", &format!("[ '{bits}' ] && echo {bits}"));
        };
        for (name, bits, host) in machines {
            is("Linux", name, bits);
            assert_eq!(called(&machine, "host_named native"), [host], "{name} {bits}");
        }
        if cfg!(target_endian = "little") {
            is("Linux", "mips64", "64");
            assert_eq!(called(&machine, "this_host"), ["mips64le"]);
        }
        is("Linux", "ia64", "64");
        machine.run("/nowhere", &["--target", "arm"]).failed(2, &["ia64", "--host"]);
        is("Darwin", "arm64", "64");
        machine.run("/nowhere", &["--target", "arm"]).failed(2, &["run on Linux", "Darwin", "--host"]);
    }
}

#[test]
fn another_release_takes_the_place_of_the_one_that_is_there() {
    let (home, _release, server) = own_mirror();
    let newer = FakeRelease::make(&home.path().join("mirror"), "1.2.4-1");
    let machine = Machine::usual();
    assert_eq!(machine.install(&server.url()).code, Some(0));
    let old_text = machine.prefix().join("share/doc/anyarch/qemu-aarch64/OLD");
    fs::write(&old_text, "of the release before").unwrap();

    // What fails leaves the old one as it was.
    let before = fs::read(machine.emulator("aarch64")).unwrap();
    let update = ["--target", "aarch64", "--host", "amd64", "--release", "1.2.4-1"];
    server.wrong(".tar.xz", Wrong::Bytes, 1);
    machine.run(&server.url(), &update).failed(1, &["has wrong bytes"]);
    assert!(fs::read(machine.emulator("aarch64")).unwrap() == before && old_text.exists());

    machine.has_installed(&machine.run(&server.url(), &update), &newer);
    // Somebody's other file under that name is no emulator of ours.
    fs::write(machine.emulator("aarch64"), "mine").unwrap();
    machine.has_installed(&machine.run(&server.url(), &update), &newer);
    fs::remove_file(machine.emulator("aarch64")).unwrap();
    mkdir(&machine.emulator("aarch64"));
    machine.run(&server.url(), &update).failed(1, &["is a folder"]);
}

#[test]
fn without_permission_nothing_is_installed_and_the_folder_is_named() {
    let (release, server) = mirror();
    let machine = Machine::usual();
    let somebody = Somebody::new();
    let theirs = somebody.home.path().join("closed");
    mkdir(&theirs);
    run("chmod", &["555", theirs.to_str().unwrap()]);
    let script = somebody.home.path().join("install.sh");
    fs::copy(&machine.script, &script).unwrap();
    let install = |prefix: &Path| {
        let mut command = somebody.command(&program("dash"));
        command.arg(&script).args(["--release", RELEASE, "--from", &server.url(), "--target", "arm64"]);
        command.args(["--host", "amd64", "--prefix"]).arg(prefix);
        Ended::of(&mut command)
    };
    install(&theirs).failed(1, &["cannot write to", "closed", "--prefix"]);
    install(&theirs.join("deeper")).failed(1, &["cannot make", "closed/deeper", "--prefix"]);
    assert_eq!(left(&theirs), Vec::<PathBuf>::new());

    let half = somebody.home.path().join("half");
    mkdir(&half.join("bin"));
    run("chmod", &["555", half.join("bin").to_str().unwrap()]);
    if driver::is_root() {
        run("chown", &["nobody", half.to_str().unwrap()]);
    }
    install(&half).failed(1, &["cannot write", "half/bin/qemu-aarch64"]);
    assert_eq!(left(&half), Vec::<PathBuf>::new(), "texts of what is not there");
    let free = somebody.home.path().join("free");
    assert_eq!(install(&free).code, Some(0));
    assert!(fs::read(free.join("bin/qemu-aarch64")).unwrap() == release.emulator("aarch64", "amd64"));
    run("chmod", &["755", theirs.to_str().unwrap()]);
}

#[test]
fn a_full_disk_is_named_and_nothing_stays() {
    let (_release, server) = mirror();
    for (shell, downloader) in PAIRED {
        // Room for part of the archive; for the archive, but not for what is in it.
        for room in ["100k", "300k"] {
            let machine = Machine::new(shell, downloader);
            let mut install = machine.command(&server.url(), &["--target", "aarch64", "--host", "amd64"]);
            install.args(["--prefix", "small"]);
            let inside = "mount -t tmpfs -o size=\"$1\" none small; shift
                code=0; \"$@\" || code=$?; find small -type f -o -name '.*'; exit $code";
            mkdir(&machine.home.path().join("small"));
            let mut command = Command::new(program("unshare"));
            machine.settle(&mut command);
            let path = format!("{}:/usr/bin:/bin", machine.home.path().join("programs").display());
            command.args(["--user", "--map-root-user", "--mount"]).env("PATH", path);
            command
                .args(["sh", "-ec", inside, "sh", room])
                .arg(install.get_program())
                .args(install.get_args());
            let ended = Ended::of(&mut command);
            ended.failed(1, &["cannot write", "disk"]);
            assert_eq!(ended.stdout, "");
        }
    }
}

fn start(command: &mut Command) -> std::process::Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn several_installs_at_once_do_not_harm_each_other() {
    for shell in SHELLS {
        let (release, server) = mirror();
        let machine = Machine::new(shell, "curl");
        let pair = ["--target", "aarch64", "--host", "amd64"];
        let running: Vec<_> = (0..4).map(|_| start(&mut machine.command(&server.url(), &pair))).collect();
        for one in running {
            let ended = one.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        machine.has_installed(&machine.install(&server.url()), release);
    }
}

#[test]
fn a_signal_ends_it_at_once_and_leaves_nothing() {
    by_each(|machine| {
        let (release, server) = mirror();
        for (signal, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
            server.mend();
            server.wrong(ARCHIVE, Wrong::Stall(50_000), 1);
            let pair = ["--target", "aarch64", "--host", "amd64"];
            let child = start(&mut machine.command(&server.url(), &pair));
            server.wait_for(ARCHIVE, 1);
            thread::sleep(Duration::from_millis(100));
            let since = Instant::now();
            run("kill", &["-s", signal, &child.id().to_string()]);
            let ended = child.wait_with_output().unwrap();
            assert_eq!(ended.status.code(), Some(code), "{}", String::from_utf8_lossy(&ended.stderr));
            assert!(since.elapsed() < Duration::from_secs(5), "{signal}: {:?}", since.elapsed());
            assert_eq!(left(&machine.prefix()), Vec::<PathBuf>::new(), "{signal}");
        }
        machine.has_installed(&machine.install(&server.url()), release);
    });
}

#[test]
fn one_that_is_killed_outright_leaves_no_emulator_and_the_next_one_installs_it() {
    by_each(|machine| {
        let (release, server) = mirror();
        server.wrong(ARCHIVE, Wrong::Stall(50_000), 1);
        let pair = ["--target", "aarch64", "--host", "amd64"];
        let mut child = start(&mut machine.command(&server.url(), &pair));
        server.wait_for(ARCHIVE, 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!machine.prefix().join("bin").exists() && !machine.prefix().join("share").exists());
        let work = left(&machine.prefix()).pop().unwrap();
        assert!(
            work.is_dir() && work.file_name().unwrap().to_str().unwrap().starts_with(".anyarch-install-")
        );

        assert_eq!(machine.install(&server.url()).code, Some(0));
        assert!(work.exists(), "it could be another machine's, at work");
        run("touch", &["-d", "2 days ago", work.to_str().unwrap()]);
        machine.has_installed(&machine.install(&server.url()), release);
        assert!(!work.exists(), "a day later it is litter");
    });
}

#[test]
fn what_the_machine_lacks_is_named_with_the_command_that_gets_it() {
    let (release, server) = mirror();
    let cases: [(&[&str], &[&str]); 4] = [
        (&["xz"], &["xz is missing", "apt-get install -y xz-utils"]),
        (&["curl"], &["neither curl nor wget", "apt-get install -y curl"]),
        (&["sha256sum"], &["SHA-256", "apt-get install -y coreutils"]),
        (&["tar"], &["tar is missing", "apt-get install -y tar"]),
    ];
    for (missing, said) in cases {
        let machine = Machine::usual();
        machine.has("apt-get", "exit 1");
        for name in missing {
            machine.lacks(name);
        }
        machine.has_nothing(&machine.install(&server.url()), 3, said);
    }
    for (manager, command) in
        [("apk", "apk add xz"), ("dnf", "dnf install -y xz"), ("pacman", "pacman -S xz")]
    {
        let machine = Machine::usual();
        machine.has(manager, "exit 1").lacks("xz");
        machine.has_nothing(&machine.install(&server.url()), 3, &[command]);
    }
    for other in ["shasum", "openssl"] {
        let machine = Machine::usual();
        machine.lacks("sha256sum").link(other, other);
        if other == "shasum" {
            machine.link("perl", "perl");
        }
        machine.has_installed(&machine.install(&server.url()), release);
    }
}

#[test]
fn zstd_unpacks_where_xz_is_missing_and_the_release_has_its_archives() {
    let (_home, release, server) = own_mirror();
    let machine = Machine::usual();
    machine.lacks("xz").link("zstd", "zstd");
    machine.has_nothing(&machine.install(&server.url()), 3, &["xz is missing"]);
    let packed = zstd::encode_all(tar(&release.members("aarch64", "amd64")).as_slice(), 0).unwrap();
    fs::write(release.folder().join(ARCHIVE.replace(".xz", ".zst")), packed).unwrap();
    release.sum();
    machine.has_installed(&machine.install(&server.url()), &release);
    assert_eq!(server.asked(".tar.xz"), []);
    // The same emulator by way of the other archive is up to date as well.
    machine.link("xz", "xz");
    let ended = machine.install(&server.url());
    assert!(ended.stderr.contains("is up to date"), "{}", ended.stderr);
}

#[test]
fn a_small_xz_that_can_not_unpack_a_real_archive_says_what_to_get() {
    let (_home, release, server) = own_mirror();
    let mut filters = Filters::new();
    filters.x86().lzma2(&LzmaOptions::new_preset(6).unwrap());
    let stream = Stream::new_stream_encoder(&filters, Check::Crc64).unwrap();
    let mut packed = XzEncoder::new_stream(Vec::new(), stream);
    packed.write_all(&tar(&release.members("aarch64", "amd64"))).unwrap();
    fs::write(release.folder().join(ARCHIVE), packed.finish().unwrap()).unwrap();
    release.sum();
    let machine = Machine::new(SHELLS[1], DOWNLOADERS[2]);
    machine.has("apk", "exit 1");
    machine.has_nothing(
        &machine.install(&server.url()),
        3,
        &["this xz can not unpack the archive", "apk add xz"],
    );
    machine.lacks("xz").link("xz", "xz");
    machine.has_installed(&machine.install(&server.url()), &release);
}

#[test]
fn a_script_that_arrives_cut_does_nothing_and_a_whole_one_on_a_pipe_installs() {
    let (release, _server) = mirror();
    let from = release.base.display().to_string();
    let text = fs::read(checkout().join("dist/install.sh")).unwrap();
    let piped = |machine: &Machine, script: &[u8]| {
        let mut command = machine.shell();
        command.args([
            "-s",
            "--",
            "--release",
            RELEASE,
            "--from",
            &from,
            "--target",
            "arm64",
            "--host",
            "amd64",
        ]);
        let mut child = start(command.stdin(Stdio::piped()));
        // A shell that has seen enough closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(script);
        let ended = child.wait_with_output().unwrap();
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: ended.status.code(), stdout: words(&ended.stdout), stderr: words(&ended.stderr) }
    };
    for shell in SHELLS {
        let machine = Machine::new(shell, "");
        let end = text.len() - "main \"$@\"\n".len();
        let last = end..text.len() - 1;
        for cut in (0..end).step_by(211).chain(last) {
            let ended = piped(&machine, &text[..cut]);
            assert_eq!(ended.stdout, "", "{shell:?} at {cut}");
            assert!(!machine.prefix().exists(), "{shell:?} at {cut}: {}", ended.stderr);
        }
        machine.has_installed(&piped(&machine, &text), release);
        fs::remove_dir_all(machine.prefix()).unwrap();
        // Only its last newline is missing.
        machine.has_installed(&piped(&machine, &text[..text.len() - 1]), release);
    }
}

#[test]
fn passwords_in_addresses_are_not_printed() {
    by_each(|machine| {
        let (release, server) = mirror();
        server.wrong(ARCHIVE, Wrong::Status(500, None), 1);
        let address = server.url().replace("http://", "http://me:secret@");
        let ended = machine.install(&address);
        machine.has_installed(&ended, release);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    });
}

#[test]
fn its_help_and_list_go_to_stdout_and_touch_nothing() {
    let (_release, server) = mirror();
    let manual = fs::read_to_string(checkout().join("docs/install.md")).unwrap();
    for shell in SHELLS {
        let machine = Machine::new(shell, "curl");
        let help = machine.plain(&["--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        for option in ["target", "host", "prefix", "release", "from", "key", "list"] {
            assert!(help.stdout.contains(&format!("  --{option}")), "{option}");
            assert!(manual.contains(&format!("| `--{option}")), "{option}");
        }
        let list = machine.run(&server.url(), &["--list"]);
        assert_eq!(
            list.stdout, "aarch64: amd64 arm-v7 arm64\narm: arm-v7\nriscv64: amd64\n",
            "{}",
            list.stderr
        );
        assert!(!machine.prefix().exists());
    }
}

#[test]
fn a_list_has_what_is_asked_for_or_says_what_there_is() {
    let (_release, server) = mirror();
    let all = "aarch64: amd64 arm-v7 arm64\narm: arm-v7\nriscv64: amd64\n";
    let lists: [(&[&str], &str); 7] = [
        (&["--target", "all"], all),
        (&["--target", ""], all),
        (&["--target", "arm64,aarch64"], "aarch64: amd64 arm-v7 arm64\n"),
        (&["--target", "rv64,arm"], "riscv64: amd64\narm: arm-v7\n"),
        (&["--host", "x86_64"], "aarch64: amd64\nriscv64: amd64\n"),
        (&["--host", "arm/v7", "--target", "all"], "aarch64: arm-v7\narm: arm-v7\n"),
        (&["--host", "arm64", "--target", "aarch64"], "aarch64: arm64\n"),
    ];
    let nothing: [(&[&str], &[&str]); 4] = [
        (&["--target", "sparc"], &["has no sparc; it has aarch64 arm riscv64"]),
        (&["--host", "s390x"], &["nothing for the host s390x; it has amd64 arm-v7 arm64"]),
        (&["--host", "arm64", "--target", "rv64"], &["has no riscv64 for arm64; it has aarch64"]),
        (&["--target", "a;b"], &["no target is named `a;b`"]),
    ];
    for shell in SHELLS {
        let machine = Machine::new(shell, "curl");
        for (arguments, list) in lists {
            let ended = machine.run(&server.url(), &[&["--list"], arguments].concat());
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            assert_eq!(ended.stdout, list, "{arguments:?}");
        }
        for (arguments, said) in nothing {
            let ended = machine.run(&server.url(), &[&["--list"], arguments].concat());
            machine.has_nothing(&ended, 2, said);
        }
    }
}

#[test]
fn shellcheck_finds_nothing() {
    let script = checkout().join("dist/install.sh");
    let ended = Ended::of(Command::new(program("shellcheck")).args(["--shell=sh"]).arg(script));
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}

#[test]
fn the_checks_by_hand_that_the_manual_shows_hold() {
    let (home, release, _server) = own_mirror();
    let key = Key::make(home.path(), "key", "ed25519");
    fs::copy(key.public(), release.folder().join("key.pub")).unwrap();
    key.sign(&release);
    let manual = fs::read_to_string(checkout().join("docs/install.md")).unwrap();
    let block = manual.split("```sh\n").find(|block| block.contains("ssh-keygen -Y verify -f")).unwrap();
    let commands = block.split("```").next().unwrap();
    let by_hand = || {
        let mut command = Command::new(program("dash"));
        Ended::of(command.args(["-ec", commands]).current_dir(release.folder()))
    };
    assert_eq!(by_hand().code, Some(0), "{}", by_hand().stderr);
    fs::write(release.folder().join(ARCHIVE), "other bytes").unwrap();
    by_hand().failed(1, &["did NOT match"]);
}
