//! Several runs at once, kills in every phase, a full disk, an ordinary user.

use crate::made::{Layer, Made, Packed};
use crate::places::{Place, read, tree};
use crate::server::{ALWAYS, Server, Wrong};
use crate::wants;
use anyarch_client::interrupt;
use anyarch_client::progress::Progress;
use anyarch_image::{Images, Owners, Source};
use rustix::process::{Pid, Signal, kill_process};
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// An image of two layers that take a while: many files, and many bytes.
fn image(made: &mut Made) -> serde_json::Value {
    let files =
        (0..300).fold(Layer::new(), |layer, n| layer.file(&format!("many/{}/{n}", n % 7), &n.to_string()));
    let big = Layer::new().file("big", &"0123456789abcdef".repeat(20_000)).file("etc/name", "it");
    made.image("linux/arm64", &[(files.tar(), Packed::Gzip), (big.tar(), Packed::Plain)])
}

/// This program again, as a process that pulls; without the words of libtest.
fn puller(name: &str, cache: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "robust::child_that_pulls", "--ignored", "--nocapture"]);
    command.env("ANYARCH_TEST_PULL", name).env("ANYARCH_TEST_CACHE", cache);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
#[ignore = "what other tests run as a process that can be killed"]
fn child_that_pulls() {
    let (Some(name), Some(cache)) = (env::var_os("ANYARCH_TEST_PULL"), env::var_os("ANYARCH_TEST_CACHE"))
    else {
        return;
    };
    interrupt::install(|| ()).unwrap();
    let options = Place::new().options;
    let images = Images::open(Path::new(&cache), options, &Progress::silent()).unwrap();
    let source = Source::named(name.to_str().unwrap()).unwrap();
    let pulled = images.resolve(&source, None).and_then(anyarch_image::Resolved::pull);
    match pulled.and_then(|one| one.root(Owners::possible())) {
        Ok(root) => assert_eq!(read(&root, "etc/name"), "it"),
        Err(error) => panic!("{error:#}"),
    }
}

fn ended(child: Child) -> (bool, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn two_runs_at_once_pull_an_image_once() {
    let place = Place::new();
    let mut made = Made::default();
    let image = image(&mut made);
    let server = Server::of(&made, &[("latest", &image)]);
    server.wrong("blobs/", Wrong::Dribble(60_000, Duration::from_millis(20)), ALWAYS);
    let runs: Vec<Child> =
        (0..3).map(|_| puller(&server.name("x"), &place.path("cache")).spawn().unwrap()).collect();
    for run in runs {
        let (good, said) = ended(run);
        assert!(good, "{said}");
    }
    for layer in made.blobs.iter().filter(|(_, bytes)| bytes.len() > 2000) {
        assert_eq!(server.asked(layer.0).len(), 1, "{}", layer.0);
    }
    place.assert_clean(1);
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_half_done() {
    let mut made = Made::default();
    let image = image(&mut made);
    let server = Server::of(&made, &[("latest", &image)]);
    server.wrong("blobs/", Wrong::Dribble(40_000, Duration::from_millis(8)), ALWAYS);
    let whole = {
        let place = Place::new();
        tree(&place.root(&server.name("x"), None).unwrap().path())
    };
    let place = Place::new();
    for round in 0..12 {
        let mut run = puller(&server.name("x"), &place.path("cache")).spawn().unwrap();
        thread::sleep(Duration::from_millis(10 + 17 * round));
        run.kill().unwrap();
        run.wait().unwrap();
        // What is in its place is whole.
        let blobs = fs::read_dir(place.path("cache/images/blobs/sha256")).into_iter().flatten().flatten();
        for blob in blobs.filter(|blob| !blob.file_name().to_string_lossy().starts_with('.')) {
            let name = format!("sha256:{}", blob.file_name().to_string_lossy());
            assert_eq!(fs::read(blob.path()).unwrap(), made.blobs[&name], "round {round}");
        }
        if place.path("cache/images/roots").exists() {
            for one in place.images().roots().unwrap() {
                assert_eq!(one.about.digest.to_string(), image["digest"]);
            }
        }
    }
    let root = place.root(&server.name("x"), None).unwrap();
    assert_eq!(tree(&root.path()), whole);
    place.assert_clean(1);
}

#[test]
fn an_interruption_ends_at_once_and_the_next_run_goes_on() {
    let mut made = Made::default();
    let image = image(&mut made);
    let big = made.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0.clone();
    let place = Place::new();
    let server = Server::of(&made, &[("latest", &image)]);
    server.wrong(&big, Wrong::Stall(100_000), 1);
    let mut run = puller(&server.name("x"), &place.path("cache")).spawn().unwrap();
    let part = place.path("cache/images/pulling").join(big.trim_start_matches("sha256:"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::metadata(&part).map_or(0, |meta| meta.len()) < 100_000 {
        assert!(Instant::now() < deadline, "the layer does not come");
        thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    place.assert_clean(0);
    let root = place.root(&server.name("x"), None).unwrap();
    assert_eq!(read(&root, "etc/name"), "it");
    let asked = server.asked(&big);
    assert_eq!(asked.last().unwrap().headers["range"], "bytes=100000-");
}

#[test]
fn a_full_disk_is_told_and_the_next_run_goes_on() {
    let place = Place::new();
    let mut made = Made::default();
    let image = image(&mut made);
    let server = Server::of(&made, &[("latest", &image)]);
    let small = place.path("small");
    fs::create_dir(&small).unwrap();
    // The layers fit into the one, and the tree does not; nothing fits into the other.
    for (size, phase) in [("700k", "was not unpacked"), ("200k", "cannot be kept in the cache")] {
        let program = env::current_exe().unwrap();
        let script = "mount -t tmpfs -o size=$1 tmpfs \"$2\" && shift 2 && exec \"$@\"";
        let mut run = Command::new("unshare");
        run.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", size])
            .arg(&small)
            .arg(program);
        run.args(["--exact", "robust::child_that_pulls", "--ignored", "--nocapture"]);
        run.env("ANYARCH_TEST_PULL", server.name("x")).env("ANYARCH_TEST_CACHE", small.join("cache"));
        let Ok(output) = run.output() else { return wants::not_run("this machine has no `unshare`") };
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if said.contains("unshare failed") || said.contains("mount:") {
            return wants::not_run("this machine has no namespaces for `unshare --user --mount`");
        }
        assert!(!output.status.success(), "{size}");
        assert!(said.contains("No space left on device") && said.contains(phase), "{size}: {said}");
    }
}

#[test]
fn an_ordinary_user_unpacks_and_removes_folders_that_may_not_be_written() {
    let place = Place::new();
    let mut made = Made::default();
    let layer = Layer::new()
        .file("etc/name", "it")
        .raw(tar::EntryType::Directory, "ro", "", 0o555, 0, b"")
        .raw(tar::EntryType::Regular, "ro/shadow", "", 0o000, 42, b"secret");
    let upper = Layer::new().file("ro/more", "").file("ro/.wh.shadow", "");
    let image = made.image("linux/arm64", &[(layer.tar(), Packed::Gzip), (upper.tar(), Packed::Gzip)]);
    made.layout(&place.path("layout"), &[image]);
    let cache = place.path("cache");
    fs::create_dir(&cache).unwrap();
    let program = env::current_exe().unwrap();
    let mut run = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&cache, Some(65534), Some(65534)).unwrap();
        fs::set_permissions(place.home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut run = Command::new("setpriv");
        run.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        run
    } else {
        Command::new(&program)
    };
    run.args(["--exact", "robust::child_that_unpacks_and_removes", "--ignored", "--nocapture"]);
    run.env("ANYARCH_TEST_PULL", place.path("layout")).env("ANYARCH_TEST_CACHE", &cache);
    let output = run.output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if said.contains("failed to execute") {
        return wants::not_run("an ordinary user may not enter the folder of this program");
    }
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    place.assert_clean(0);
}

#[test]
#[ignore = "what another test runs as another user"]
fn child_that_unpacks_and_removes() {
    let (Some(name), Some(cache)) = (env::var_os("ANYARCH_TEST_PULL"), env::var_os("ANYARCH_TEST_CACHE"))
    else {
        return;
    };
    let images = Images::open(Path::new(&cache), Place::new().options, &Progress::silent()).unwrap();
    let source = Source::named(name.to_str().unwrap()).unwrap();
    let root = images.resolve(&source, None).unwrap().pull().unwrap().root(Owners::possible()).unwrap();
    assert_eq!(tree(&root.path()), ["etc", "etc/name", "ro", "ro/more"]);
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(root.path().join("ro")).unwrap());
    assert_eq!(mode & 0o7777, 0o555);
    drop(root);
    images.roots().unwrap().remove(0).remove().unwrap();
}

#[test]
fn a_root_that_a_power_failure_may_have_hurt_is_unpacked_anew_and_a_settled_one_is_not() {
    let place = Place::new();
    let mut made = Made::default();
    let image = image(&mut made);
    made.layout(&place.path("layout"), &[image]);
    let root = || place.root(&place.path("layout").display().to_string(), None).unwrap();
    let first = root().path();
    let (hurt, about) = (first.join("etc/name"), first.with_file_name("image.json"));
    let other_run = |settled: bool| {
        let mut text: serde_json::Value = serde_json::from_slice(&fs::read(&about).unwrap()).unwrap();
        text["boot"] = "another".into();
        fs::write(&about, text.to_string()).unwrap();
        fs::write(&hurt, "").unwrap();
        if settled {
            fs::write(first.with_file_name("settled"), "").unwrap();
        }
    };
    other_run(false);
    assert_eq!(read(&root(), "etc/name"), "it");
    other_run(true);
    assert_eq!(read(&root(), "etc/name"), "", "whoever writes to a root changes it");
    place.assert_clean(1);
}

#[test]
fn a_cache_that_cannot_be_written_is_told() {
    let place = Place::new();
    fs::write(place.path("cache"), "a file").unwrap();
    let opened = Images::open(&place.path("cache"), place.options.clone(), &Progress::silent());
    let error = format!("{:#}", opened.expect_err("a file"));
    assert!(error.contains("cannot create") && error.contains("cache/images"), "{error}");
}
