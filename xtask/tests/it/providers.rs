//! Every way that source can come in, with real QEMU source and real servers on loopback.

use crate::driver::{Data, Driver, Ended, json, mkdir, released, run, scratch, serve, wants};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use xtask::facts::Series;
use xtask::facts::series::DEFAULT;

/// Gets the source with these data, a cache that holds nothing; gives the tree and what was said of it.
fn obtain(home: &Path, data: &Data, more: &[&str]) -> (PathBuf, String) {
    let mut driver = Driver::fresh(home);
    driver.root = data.root.clone();
    let json = driver.succeed(&[&["source", "--json"], more].concat());
    let said: serde_json::Value = serde_json::from_str(&json).unwrap();
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    (PathBuf::from(text("tree")), text("origin"))
}

/// The patched trees are the same, but for the note that says where each came from, and for empty
/// folders, which git does not know.
fn same(one: &Path, other: &Path) {
    for tree in [one, other] {
        run("find", &[tree.to_str().unwrap(), "-type", "d", "-empty", "-delete"]);
    }
    let paths = [one.to_str().unwrap(), other.to_str().unwrap()];
    run("diff", &["-r", "--no-dereference", "--exclude=.anyarch.json", paths[0], paths[1]]);
}

/// A git server on loopback, ended with the test.
struct Daemon(Child, u16);

impl Daemon {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // The program itself: a `git daemon` that is killed leaves it running.
        let program = PathBuf::from(run("git", &["--exec-path"]).trim()).join("git-daemon");
        let child = Command::new(program)
            .args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", folder.display()))
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self(child, port);
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "git daemon does not answer");
            sleep(Duration::from_millis(50));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "real QEMU source; run by `cargo xtask test`"]
fn source_comes_from_git_the_distribution_and_a_users_folder_and_is_always_the_same() {
    sources(false);
}

#[test]
#[ignore = "real QEMU source; run by `cargo xtask test --long`"]
fn long_source_comes_from_every_provider_and_is_always_the_same() {
    sources(true);
}

/// Each way takes the processor for ten seconds: a short run tries those that are unlike each other.
fn sources(every: bool) {
    let home = scratch();
    let at = |name: &str| mkdir(&home.path().join(name)).to_owned();

    // The distribution, through the machine's own apt, when upstream does not answer.
    let data = Data::copy(&at("debian/root"));
    data.cut_off();
    let (reference, origin) = obtain(&at("debian"), &data, &[]);
    assert!(origin.starts_with("Debian's source package qemu 1:10.2.2+ds-1"), "{origin}");

    let pin = data.series.pins.debian.as_ref().unwrap();
    let tarball = home.path().join("debian/cache/downloads").join(&pin.sha256).join(&pin.file);

    if every {
        // The tarball over HTTP.
        let data = Data::copy(&at("http/root"));
        let server = serve("200 OK", fs::read(&tarball).unwrap());
        data.cut_off().pin("http://127.0.0.1:1", &server);
        data.pin(data.series.pins.tarball.sha256.as_ref().unwrap(), &pin.sha256);
        let (tree, origin) = obtain(&at("http"), &data, &[]);
        assert!(origin.starts_with(&server), "{origin}");
        same(&reference, &tree);
    }

    // git, over its own protocol, at a tag made from the same files.
    let work = at("git/qemu.git");
    run("tar", &["-C", work.to_str().unwrap(), "--strip-components=1", "-xf", tarball.to_str().unwrap()]);
    let git = |arguments: &[&str]| {
        let mut all = vec!["-C", work.to_str().unwrap(), "-c", "user.name=x", "-c", "user.email=x@localhost"];
        all.extend(["-c", "gc.auto=0", "-c", "core.autocrlf=false"]);
        all.extend(arguments);
        run("git", &all)
    };
    // Upstream's repository has wraps where tarballs have these, and no file that says so.
    for subproject in ["berkeley-softfloat-3", "berkeley-testfloat-3", "keycodemapdb"] {
        fs::remove_dir_all(work.join("subprojects").join(subproject)).unwrap();
    }
    git(&["init", "--quiet"]);
    git(&["add", "--all", "--force", "."]);
    git(&["commit", "--quiet", "--message", "v10.2.2"]);
    git(&["tag", "v10.2.2"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let daemon = Daemon::start(&at("git"));
    let data = Data::copy(&at("git/root"));
    data.cut_off().pin("git://127.0.0.1:1", &format!("git://127.0.0.1:{}", daemon.1));
    data.pin(data.series.pins.git.commit.as_ref().unwrap(), commit.trim());
    let (tree, origin) = obtain(&at("git"), &data, &[]);
    assert!(origin.starts_with("git git://127.0.0.1:") && origin.contains(commit.trim()), "{origin}");
    same(&reference, &tree);

    // QEMU's configure takes it, and the emulator is the one that is released, which the usual source gave.
    let released = &released("arm")["emulator"]["sha256"];
    let mut driver = Driver::warm(&home.path().join("git"));
    driver.root = data.root.clone();
    let built = json(&driver, &["build", "--json", "--offline", "--target", "arm"]);
    assert_eq!(built["tarballs"][0]["emulator"]["sha256"], *released);

    // The cache of that run, with the server gone.
    drop(daemon);
    if every {
        fs::remove_dir_all(home.path().join("git/trees")).unwrap();
        let (tree, origin) = obtain(&at("git"), &data, &["--offline"]);
        assert!(origin.starts_with("the cache: git commit"), "{origin}");
        same(&reference, &tree);
    }

    // What the user gives: a checkout, a plain folder, a tarball.
    if every {
        let (tree, origin) = obtain(&at("checkout"), &data, &["--source", work.to_str().unwrap()]);
        assert!(origin.contains("qemu.git at v10.2.2, commit"), "{origin}");
        same(&reference, &tree);
    }
    fs::remove_dir_all(work.join(".git")).unwrap();
    run("tar", &["-C", work.to_str().unwrap(), "--strip-components=1", "-xf", tarball.to_str().unwrap()]);
    let (tree, origin) = obtain(&at("folder"), &data, &["--source", work.to_str().unwrap()]);
    assert!(origin.contains("git tree 310b229c"), "{origin}");
    same(&reference, &tree);
    if every {
        let (tree, origin) = obtain(&at("file"), &data, &["--source", tarball.to_str().unwrap()]);
        assert!(origin.starts_with("the file"), "{origin}");
        same(&reference, &tree);
    }
    fs::write(work.join("linux-user/main.c"), "changed\n").unwrap();
    let mut driver = Driver::fresh(&at("folder"));
    driver.root = data.root.clone();
    driver.run(&["source", "--source", work.to_str().unwrap()]).failed(1, &["its git tree is"]);
}

/// A checkout of its own, and a driver for it.
struct Checkout {
    data: Data,
    driver: Driver,
}

impl Checkout {
    fn new(home: &Path) -> Self {
        let data = Data::copy(&home.join("root"));
        let driver = Driver { root: data.root.clone(), ..Driver::warm(home) };
        Self { data, driver }
    }

    fn apply(&self, name: &str) {
        let series = Series::read(&self.data.root.join("patches"), name).unwrap();
        let ended = self.driver.run(&["patch", "check", "--qemu", name]);
        if wants::lacks_source(name, &ended) {
            return;
        }
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let checked = ended.stdout;
        let (topics, patches): (Vec<&str>, Vec<&str>) =
            checked.lines().partition(|line| line.starts_with("topic "));
        assert_eq!(patches.len(), series.patches.len());
        assert!(patches.iter().all(|line| line.ends_with(": applies")), "{name}: {checked}");
        assert!(topics.iter().all(|line| line.contains(", applies ")), "{name}: {checked}");
        assert!(
            topics[0].starts_with("topic execve: ") && topics[1].starts_with("topic fixes: "),
            "{topics:?}"
        );
        assert!(topics[1].ends_with(", applies alone"), "{name}: {checked}");
    }

    fn survive_a_round_trip(&self, name: &str, home: &Path) {
        let series = Series::read(&self.data.root.join("patches"), name).unwrap();
        let work = home.join("work");
        self.driver.succeed(&["patch", "open", "--qemu", name, work.to_str().unwrap()]);
        self.driver.succeed(&["patch", "refresh", "--qemu", name, work.to_str().unwrap()]);
        run("diff", &["-r", &patches_of(&crate::driver::checkout()), &patches_of(&self.data.root)]);
        for patch in &series.patches {
            has_qemus_style(&work, &patch.path);
        }
        fs::remove_dir_all(work).unwrap();
    }
}

#[test]
#[ignore = "real QEMU source; run by `cargo xtask test`"]
fn the_patches_of_every_series_apply_without_fuzz_and_those_of_the_usual_one_survive_a_round_trip() {
    let home = scratch();
    let checkout = Checkout::new(home.path());
    for name in Series::names(&checkout.data.root.join("patches")).unwrap() {
        checkout.apply(&name);
    }
    checkout.survive_a_round_trip(DEFAULT, home.path());
}

#[test]
#[ignore = "real QEMU source; run by `cargo xtask test --long`"]
fn long_the_patches_of_every_series_survive_a_round_trip() {
    let home = scratch();
    let checkout = Checkout::new(home.path());
    for name in wants::series_with_source() {
        checkout.survive_a_round_trip(&name, home.path());
    }
}

fn patches_of(root: &Path) -> String {
    root.join("patches").to_str().unwrap().to_owned()
}

/// QEMU's own checker has nothing against a patch but two things: that a new file may want a maintainer, and that a
/// system call's number on the host (`__NR_fsopen`) begins as names of architectures do. That is how QEMU's own
/// linux-user asks what the machine's headers know.
fn has_qemus_style(tree: &Path, patch: &Path) {
    let mut checkpatch = Command::new("perl");
    checkpatch.current_dir(tree).args(["scripts/checkpatch.pl", "--no-tree", "--no-signoff"]).arg(patch);
    let said = Ended::of(&mut checkpatch).stdout;
    assert!(said.contains("total: 0 errors"), "{said}");
    let complaints =
        said.split("\n\n").filter(|part| part.starts_with("ERROR:") || part.starts_with("WARNING:"));
    let of_a_number = |part: &str| {
        let lines: Vec<&str> = part.lines().collect();
        lines[0].ends_with("architecture specific defines should be avoided")
            && lines[1].contains("FILE: linux-user/")
            && lines[2].contains("__NR_")
            && !lines[2].replace("__NR_", "").contains("__")
    };
    for part in complaints {
        assert!(part.contains("deleted file(s)") || of_a_number(part), "{}: {part}", patch.display());
    }
}
