//! Transfers that go wrong: tried again where that helps, elsewhere where it does not, and continued at the byte where
//! they stood. Most of these call the client's library, to be less patient than people must be.

use super::stage::{NAME, Stage};
use crate::driver::Ended;
use crate::driver::encrypted::Encrypted;
use crate::driver::server::{ALWAYS, Server, Wrong};
use anyarch_client::mirror::Mirror;
use anyarch_client::progress::Progress;
use anyarch_client::transfer::{ExpectedFile, Mirrors, RetryPolicy};
use std::fs;
use std::io::Read as _;
use std::time::{Duration, Instant};

/// Pauses that a test can wait for.
fn hasty() -> RetryPolicy {
    RetryPolicy {
        pause: Duration::from_millis(2),
        stall: Duration::from_millis(400),
        slow: 1 << 20,
        slow_for: Duration::from_millis(100),
        ..RetryPolicy::default()
    }
}

/// Downloads qemu-aarch64 for amd64 from these mirrors; gives its bytes, or what is said.
fn download(stage: &Stage, servers: &[&Server], policy: RetryPolicy) -> Result<Vec<u8>, String> {
    let mirrors = servers.iter().map(|server| Mirror::named(&server.url()).unwrap()).collect();
    let mirrors = Mirrors::new(mirrors, policy).unwrap();
    let archive = &stage.release.manifest.artifacts[0].archives[0];
    let wanted = ExpectedFile {
        release: NAME,
        name: archive.file.as_str(),
        size: archive.size,
        sha256: archive.sha256.as_str(),
    };
    let cache = stage.driver.cache.as_ref().unwrap();
    fs::create_dir_all(cache).unwrap();
    let downloaded = mirrors.download(&Progress::new(0), cache, wanted);
    let mut downloaded = downloaded.map_err(|error| format!("{error:#}"))?;
    let mut bytes = Vec::new();
    downloaded.file.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

/// What is asked for in every test here.
fn whole(stage: &Stage) -> Vec<u8> {
    fs::read(stage.release.folder().join(stage.release.archive("aarch64", "amd64"))).unwrap()
}

/// The ranges that were asked for, in order.
fn ranges(server: &Server) -> Vec<Option<String>> {
    server.asked(".tar.xz").into_iter().map(|one| one.range).collect()
}

fn from(byte: usize) -> Option<String> {
    Some(format!("bytes={byte}-"))
}

#[test]
fn what_a_mirror_does_wrong_for_ever_is_told_after_as_many_tries_as_make_sense() {
    let cases: [(Wrong, usize, &[&str]); 16] = [
        (Wrong::Status(404, None), 1, &["it answers 404 Not Found"]),
        (Wrong::Status(403, None), 1, &["it answers 403 Forbidden"]),
        (Wrong::Status(204, None), 1, &["it answers 204"]),
        (Wrong::Status(429, None), 5, &["it answers 429 Too Many Requests (5 tries)"]),
        (Wrong::Status(429, Some(61)), 1, &["429", "asks to wait 61 s"]),
        (Wrong::Status(500, None), 5, &["it answers 500 Internal Server Error (5 tries)"]),
        (Wrong::Status(503, Some(0)), 5, &["it answers 503 Service Unavailable (5 tries)"]),
        (Wrong::Status(206, None), 1, &["it answers 206"]),
        (Wrong::Silence, 5, &["it does not answer", "(5 tries)"]),
        (Wrong::Cut(0), 5, &["the connection broke", "after 0 of", "(5 tries)"]),
        (Wrong::Stall(0), 5, &["the connection broke", "timed out", "after 0 of"]),
        (Wrong::CutChunk(0), 5, &["the connection broke", "after 0 of", "(5 tries)"]),
        (Wrong::Bytes, 2, &["wrong content", "its sha256 is", "the release has"]),
        (Wrong::Length(10), 1, &["wrong size", "has 10 bytes there"]),
        (Wrong::Length(10_000_000), 1, &["wrong size", "has 10000000 bytes there"]),
        (Wrong::Redirect("http://127.0.0.1:1/".into()), 1, &["it cannot be reached"]),
    ];
    for (wrong, tries, said) in cases {
        let stage = Stage::new();
        let server = Server::of(&stage.release.base);
        server.wrong(".tar.xz", wrong.clone(), ALWAYS);
        let error = download(&stage, &[&server], hasty()).unwrap_err();
        for words in [&[server.url().as_str(), "no mirror could deliver", "--from"], said].concat() {
            assert!(error.contains(words), "{wrong:?}: no `{words}` in {error}");
        }
        assert_eq!(server.asked(".tar.xz").len(), tries, "{wrong:?}: {error}");
        // A second run begins with what the first one left, and must not believe it.
        server.mend();
        assert!(download(&stage, &[&server], hasty()).unwrap() == whole(&stage), "{wrong:?}");
    }
}

#[test]
fn a_lie_is_told_with_both_hashes_and_the_name_of_the_liar() {
    let stage = Stage::new();
    let (liar, other) = (Server::of(&stage.release.base), Server::of(&stage.release.base));
    liar.wrong(".tar.xz", Wrong::Bytes, ALWAYS);
    other.wrong(".tar.xz", Wrong::Status(404, None), ALWAYS);
    let error = download(&stage, &[&liar, &other], hasty()).unwrap_err();
    let turned: Vec<u8> = whole(&stage).iter().map(|byte| byte ^ 0x55).collect();
    let hashes = format!(
        "its sha256 is   {}\n    the release has {}",
        anyarch_client::hash::sha256(&turned),
        anyarch_client::hash::sha256(&whole(&stage))
    );
    assert!(error.contains(&format!("{}: wrong content", liar.url())) && error.contains(&hashes), "{error}");
    assert!(error.contains(&format!("{}: it answers 404", other.url())), "{error}");
}

#[test]
fn what_passes_is_waited_for() {
    let troubles = [
        Wrong::Status(429, None),
        Wrong::Status(500, None),
        Wrong::Status(503, Some(0)),
        Wrong::Silence,
        Wrong::Cut(100),
        Wrong::Stall(100),
    ];
    for wrong in troubles {
        let stage = Stage::new();
        let server = Server::of(&stage.release.base);
        server.wrong(".tar.xz", wrong.clone(), 4);
        assert!(download(&stage, &[&server], hasty()).unwrap() == whole(&stage), "{wrong:?}");
        assert_eq!(server.asked(".tar.xz").len(), 5, "{wrong:?}");
    }
    // Bytes of another run or mirror may have been the reason, so there is a second chance for all of them.
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    server.wrong(".tar.xz", Wrong::Bytes, 1);
    assert!(download(&stage, &[&server], hasty()).unwrap() == whole(&stage));
    assert_eq!(ranges(&server), [None, None]);
}

#[test]
fn a_mirror_is_left_in_peace_for_the_time_that_it_asks_for() {
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    server.wrong(".tar.xz", Wrong::Status(429, Some(1)), 1);
    let started = Instant::now();
    download(&stage, &[&server], hasty()).unwrap();
    let took = started.elapsed();
    assert!((1.0..5.0).contains(&took.as_secs_f64()), "{took:?}");
}

#[test]
fn a_transfer_that_breaks_off_goes_on_at_that_byte() {
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    server.wrong(".tar.xz", Wrong::Cut(70_000), 1).wrong(".tar.xz", Wrong::Cut(50_000), 1);
    assert!(download(&stage, &[&server], hasty()).unwrap() == whole(&stage));
    assert_eq!(ranges(&server), [None, from(70_000), from(120_000)]);

    // The same from another mirror.
    let stage = Stage::new();
    let second = Server::of(&stage.release.base);
    server.mend();
    server.wrong(".tar.xz", Wrong::Cut(70_000), 1).wrong(".tar.xz", Wrong::Status(404, None), 1);
    assert!(download(&stage, &[&server, &second], hasty()).unwrap() == whole(&stage));
    assert_eq!(ranges(&second), [from(70_000)]);
}

#[test]
fn tries_that_bring_much_do_not_count_and_those_that_bring_the_same_again_do() {
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    let policy = || RetryPolicy { useful: 10_000, ..hasty() };
    server.wrong(".tar.xz", Wrong::Cut(10_000), 15);
    assert!(download(&stage, &[&server], policy()).unwrap() == whole(&stage));
    assert_eq!(ranges(&server).len(), 16);

    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    server.wrong(".tar.xz", Wrong::CutWhole(20_000), ALWAYS);
    let error = download(&stage, &[&server], policy()).unwrap_err();
    assert!(error.contains("(5 tries)"), "{error}");
}

#[test]
fn a_mirror_that_gives_no_parts_or_wrong_ones_gives_the_whole() {
    let stage = |wrong: Wrong| {
        let stage = Stage::new();
        let server = Server::of(&stage.release.base);
        server.wrong(".tar.xz", Wrong::Cut(70_000), 1).wrong(".tar.xz", wrong, 1);
        assert!(download(&stage, &[&server], hasty()).unwrap() == whole(&stage));
        ranges(&server)
    };
    assert_eq!(stage(Wrong::NoRanges), [None, from(70_000)]);
    assert_eq!(stage(Wrong::OtherRange(7)), [None, from(70_000), None]);
    assert_eq!(stage(Wrong::Status(416, None)), [None, from(70_000), None]);
}

#[test]
fn a_partial_file_that_is_too_big_or_of_something_else_is_not_built_upon() {
    for (bytes, asked) in [(vec![b'x'; 1 << 20], vec![None]), (vec![b'x'; 1000], vec![from(1000), None])] {
        let stage = Stage::new();
        let server = Server::of(&stage.release.base);
        fs::create_dir_all(stage.partial().parent().unwrap()).unwrap();
        fs::write(stage.partial(), bytes).unwrap();
        assert!(download(&stage, &[&server], hasty()).unwrap() == whole(&stage));
        assert_eq!(ranges(&server), asked);
    }
}

#[test]
fn a_body_without_an_end_is_cut_at_the_size_of_the_release() {
    let stage = Stage::new();
    let server = Server::of(&stage.release.base);
    server.wrong(".tar.xz", Wrong::Endless, ALWAYS);
    assert!(download(&stage, &[&server], hasty()).unwrap() == whole(&stage));
    assert_eq!(fs::metadata(stage.partial()).unwrap().len(), whole(&stage).len() as u64);
}

#[test]
fn a_slow_mirror_is_left_for_a_faster_one_and_borne_if_there_is_none() {
    let stage = Stage::new();
    let (slow, fast) = (Server::of(&stage.release.base), Server::of(&stage.release.base));
    slow.wrong(".tar.xz", Wrong::Dribble(1_000, Duration::from_millis(10)), ALWAYS);
    assert!(download(&stage, &[&slow, &fast], hasty()).unwrap() == whole(&stage));
    assert_eq!(ranges(&slow).len(), 1);
    let went_on = ranges(&fast)[0].clone().unwrap();
    assert!(went_on.starts_with("bytes=") && went_on != "bytes=0-", "what the slow one brought is used");

    let stage = Stage::new();
    slow.mend();
    slow.wrong(".tar.xz", Wrong::Dribble(4_000, Duration::from_millis(10)), ALWAYS);
    assert!(download(&stage, &[&slow], hasty()).unwrap() == whole(&stage));
    assert_eq!(ranges(&slow), [None]);
}

#[test]
fn a_slow_mirror_is_asked_again_when_no_faster_one_has_the_file() {
    for others in [Wrong::Status(404, None), Wrong::Bytes, Wrong::Silence] {
        let stage = Stage::new();
        let (slow, other) = (Server::of(&stage.release.base), Server::of(&stage.release.base));
        slow.wrong(".tar.xz", Wrong::Dribble(4_000, Duration::from_millis(10)), ALWAYS);
        other.wrong(".tar.xz", others.clone(), ALWAYS);
        assert!(download(&stage, &[&slow, &other], hasty()).unwrap() == whole(&stage), "{others:?}");
        assert_eq!(ranges(&slow).len(), 2, "{others:?}");
        assert!(!other.asked(".tar.xz").is_empty(), "{others:?}: it had its chance");
    }
    // One that is slow and wrong is not asked for ever.
    let stage = Stage::new();
    let (slow, other) = (Server::of(&stage.release.base), Server::of(&stage.release.base));
    slow.wrong(".tar.xz", Wrong::Dribble(4_000, Duration::from_millis(10)), 1);
    slow.wrong(".tar.xz", Wrong::Status(404, None), ALWAYS);
    other.wrong(".tar.xz", Wrong::Status(404, None), ALWAYS);
    let error = download(&stage, &[&slow, &other], hasty()).unwrap_err();
    assert!(error.contains("it is too slow") && error.matches("404 Not Found").count() == 2, "{error}");
    assert_eq!(ranges(&slow).len(), 2);
}

#[test]
fn mirrors_are_tried_in_order_and_useless_ones_only_once_a_run() {
    let stage = Stage::new();
    let (liar, lacking, right) =
        (Server::of(&stage.release.base), Server::of(&stage.release.base), Server::of(&stage.release.base));
    liar.wrong(".tar.xz", Wrong::Bytes, ALWAYS);
    lacking.wrong(&stage.release.archive("aarch64", "amd64"), Wrong::Status(404, None), ALWAYS);
    let urls = [&liar, &lacking, &right].map(Server::url);
    let mut arguments = vec!["--target", "aarch64,riscv64", "--from", "http://127.0.0.1:1"];
    arguments.extend(urls.iter().flat_map(|url| ["--from", url.as_str()]));
    let ended = stage.fetch(&arguments, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    stage.holds(&["aarch64", "riscv64"]);
    assert_eq!(
        ended.stderr.matches("http://127.0.0.1:1: it cannot be reached").count(),
        1,
        "{}",
        ended.stderr
    );
    assert_eq!(liar.asked(".tar.xz").len(), 2, "for the first emulator only");
    assert_eq!(lacking.asked(".tar.xz").len(), 2, "it has the second one");
    assert_eq!(right.asked(".tar.xz").len(), 1);
    for words in [format!("{}: wrong content", urls[0]), format!("{}: it answers 404", urls[1])] {
        assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    }
}

#[test]
fn a_small_file_that_breaks_off_is_tried_again_even_if_nobody_said_its_size() {
    let stage = Stage::new();
    let manifest = fs::read(stage.release.folder().join("release.json")).unwrap();
    for wrong in [Wrong::Cut(1000), Wrong::Stall(1000), Wrong::CutChunk(1000), Wrong::StallChunk(1000)] {
        let server = Server::of(&stage.release.base);
        server.wrong("release.json", wrong.clone(), 1);
        let mirrors = Mirrors::new(vec![Mirror::named(&server.url()).unwrap()], hasty()).unwrap();
        let progress = &Progress::new(0);
        let small = mirrors.try_each(progress, "it", |from| {
            mirrors.download_small(progress, from, NAME, "release.json", 1 << 20)
        });
        assert!(small.unwrap() == manifest, "{wrong:?}");
        assert_eq!(server.asked("release.json").len(), 2, "{wrong:?}");
    }
}

#[test]
fn the_index_is_tried_again_and_elsewhere_like_everything() {
    let stage = Stage::new();
    let (first, second) = (Server::of(&stage.release.base), Server::of(&stage.release.base));
    first.wrong("SHA256SUMS", Wrong::Status(503, None), 1).wrong("release.json", Wrong::Cut(1000), 1);
    stage.succeed(&["--from", &first.url()]);
    assert_eq!((first.asked("SHA256SUMS").len(), first.asked("release.json").len()), (2, 2));

    let stage = Stage::new();
    first.mend();
    first.wrong("release.json", Wrong::Bytes, ALWAYS);
    let ended = stage.fetch(&["--from", &first.url(), "--from", &second.url()], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("it does not match SHA256SUMS"), "{}", ended.stderr);
    assert!(first.asked(".tar.xz").is_empty(), "who lies once is not believed again");
    stage.holds(&["aarch64"]);
}

#[test]
fn a_dead_network_is_told_within_seconds() {
    let stage = Stage::new();
    let started = Instant::now();
    let ended = stage.fetch(&["--from", "http://127.0.0.1:1", "--from", "http://mirror.invalid"], &[]);
    ended.failed(
        1,
        &["http://127.0.0.1:1: it cannot be reached", "http://mirror.invalid: it cannot be reached"],
    );
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    stage.holds_nothing();
}

#[test]
fn a_mirror_on_https_is_believed_by_its_certificate_and_not_led_into_the_clear() {
    let stage = Stage::new();
    let (encrypted, clear) = (Encrypted::new(), Server::of(&stage.release.base));
    let folder = stage.release.folder();
    encrypted.serves(&folder);
    let fetch = |certificates: Option<String>, further: &[&str]| {
        let mut command = stage.command(&[&["--from", &encrypted.url()], further].concat());
        command.envs(certificates.map(|file| ("SSL_CERT_FILE", file)));
        Ended::of(&mut command)
    };
    fetch(None, &[]).failed(1, &[&encrypted.url(), "certificate"]);
    stage.holds_nothing();

    let archive = stage.release.archive("aarch64", "amd64");
    for name in ["SHA256SUMS", "release.json", archive.as_str()] {
        encrypted.leads(NAME, name, &clear);
        fetch(Some(encrypted.certificate()), &[]).failed(1, &[&encrypted.url()]);
        stage.holds_nothing();
        assert!(clear.got().is_empty(), "{name} was asked for in the clear");
        for scheme in ["http", "ftp"] {
            encrypted.leads_to(NAME, name, &format!("{scheme}://127.0.0.1:1/x"));
            let said = format!("it redirects from https to {scheme}");
            fetch(Some(encrypted.certificate()), &[]).failed(1, &[&encrypted.url(), &said]);
            stage.holds_nothing();
        }
        encrypted.serves(&folder);
    }
    let ended = fetch(Some(encrypted.certificate()), &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    stage.holds(&["aarch64"]);
}
