//! Servers that cut, stall, lie or are gone, mirrors and proxies.

use super::machine::{ARCHIVE, DOWNLOADERS, Machine, RELEASE, SHELLS, by_each, mirror, own_mirror};
use crate::driver::releases::{FakeRelease, Key};
use crate::driver::scratch;
use crate::driver::server::{ALWAYS, Wrong};
use std::fs;
use std::time::Duration;

#[test]
fn every_shell_installs_by_every_downloader_and_then_there_is_nothing_to_do() {
    for shell in SHELLS {
        for downloader in DOWNLOADERS {
            let (release, server) = mirror();
            let machine = Machine::new(shell, downloader);
            machine.has_installed(&machine.install(&server.url()), &release);
            assert_eq!(server.got(), ["SHA256SUMS", ARCHIVE].map(|name| format!("/{RELEASE}/{name}")));

            let again = machine.install(&server.url());
            machine.has_installed(&again, &release);
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
        machine.has_installed(&machine.install(&server.url()), &release);
        let ranges: Vec<Option<String>> = server.asked(ARCHIVE).into_iter().map(|one| one.range).collect();
        let [None, Some(second), Some(third)] = ranges.as_slice() else { panic!("{ranges:?}") };
        assert_eq!((second.as_str(), third.as_str()), ("bytes=90000-", "bytes=180000-"));
    });
}

#[test]
fn a_mirror_may_lead_elsewhere_and_there_a_broken_transfer_goes_on() {
    by_each(|machine| {
        let (release, server) = mirror();
        let (_same, other) = mirror();
        server.wrong("SHA256SUMS", Wrong::Redirect(format!("{}/{RELEASE}/SHA256SUMS", other.url())), ALWAYS);
        server.wrong(ARCHIVE, Wrong::Redirect(format!("{}/{RELEASE}/{ARCHIVE}?a=b", other.url())), ALWAYS);
        other.wrong(ARCHIVE, Wrong::Cut(90_000), 1);
        machine.has_installed(&machine.install(&server.url()), &release);
        let ranges: Vec<Option<String>> = other.asked(ARCHIVE).into_iter().map(|one| one.range).collect();
        assert_eq!(ranges, [None, Some("bytes=90000-".to_owned())]);
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
            machine.has_installed(&machine.install(&server.url()), &release);
            fs::remove_dir_all(machine.prefix()).unwrap();
        }
        let (release, server) = mirror();
        server.wrong("SHA256SUMS", Wrong::Cut(100), 2).wrong("SHA256SUMS", Wrong::Status(503, None), 2);
        machine.has_installed(&machine.install(&server.url()), &release);
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
        (Wrong::Bytes, (1, 1), "has the wrong content"),
        // A client that trusts the length has a part; one that asks for the rest gets a refusal.
        (Wrong::Length(1000), (1, 6), ""),
        (Wrong::Endless, (1, 1), "is longer than 33554432 bytes"),
        (Wrong::Redirect("/nowhere".to_owned()), (1, 1), "the server says 404"),
        (Wrong::Redirect(format!("/{RELEASE}/{ARCHIVE}")), (5, 200), "tried 5 times"),
        (Wrong::Redirect("ftp://127.0.0.1:1/x".to_owned()), (1, 5), ""),
    ]
}

#[test]
fn what_a_server_does_wrong_for_ever_installs_nothing_and_ends() {
    by_each(|machine| {
        let (_release, server) = mirror();
        for (wrong, (least, most), said) in hopeless() {
            server.mend();
            server.wrong(ARCHIVE, wrong.clone(), ALWAYS);
            machine.has_nothing(&machine.install(&server.url()), 1, &[said, "every mirror failed"]);
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
            machine.has_installed(&machine.run(&server.url(), &pair), &release);
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
            machine.has_installed(&machine.run(&server.url(), &pair), &release);
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
        let said = format!("{}/{RELEASE}/SHA256SUMS lists no emulator of release {RELEASE}", server.url());
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);

        // A right signature of another release's is no better.
        fs::remove_dir_all(machine.prefix()).unwrap();
        machine.link("ssh-keygen", "ssh-keygen");
        machine.environment.push(("ANYARCH_KEY".into(), key.public()));
        machine.has_nothing(&machine.install(&server.url()), 1, &[&said, "every mirror failed"]);
    });
}

#[test]
fn a_transfer_that_stalls_or_crawls_is_given_up() {
    by_each(|mut machine| {
        machine.environment.push(("ANYARCH_TIMEOUT".into(), "1".into()));
        let (release, server) = mirror();
        server.wrong(ARCHIVE, Wrong::Stall(120_000), 1);
        machine.has_installed(&machine.install(&server.url()), &release);
        assert_eq!(server.asked(ARCHIVE).len(), 2);

        fs::remove_dir_all(machine.prefix()).unwrap();
        server.mend();
        server.wrong(ARCHIVE, Wrong::Dribble(10, Duration::from_millis(50)), ALWAYS);
        let ended = machine.install(&server.url());
        machine.has_nothing(&ended, 1, &["slower than 1000 bytes per second for 1 s", "tried 5 times"]);
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
        machine.has_nothing(&machine.install(&folder), 1, &["has the wrong content"]);
        fs::remove_file(release.folder().join(ARCHIVE)).unwrap();
        machine.has_nothing(&machine.install(&folder), 1, &["No such file", ARCHIVE]);
        machine.has_nothing(
            &machine.install("/nowhere"),
            1,
            &["/nowhere/1.2.3-1/SHA256SUMS", "every mirror failed"],
        );
    }
}

#[test]
fn mirrors_come_from_the_environment_as_well_and_through_proxies() {
    by_each(|mut machine| {
        let (release, server) = mirror();
        machine.environment.push(("ANYARCH_FROM".into(), format!("/nowhere {}", server.url())));
        let arguments = ["--release", RELEASE, "--target", "aarch64", "--host", "amd64"];
        machine.has_installed(&machine.plain(&arguments), &release);

        fs::remove_dir_all(machine.prefix()).unwrap();
        machine.environment.push(("http_proxy".into(), server.url()));
        machine.has_installed(&machine.install("http://mirror.invalid"), &release);
        assert_eq!(server.asked(ARCHIVE)[1].proxied.as_deref(), Some("mirror.invalid"));
    });
}
