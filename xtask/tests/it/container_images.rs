//! Images of a release as people get them: the same bytes each time, taken by a real registry and by the engines that pull,
//! and none of a release that is not what it says of itself.

use crate::driver::releases::FakeRelease;
use crate::driver::{Ended, refused, run, scratch, wants};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NAME: &str = "9.9.9-1";

/// A release, and a folder for images.
struct Stage {
    home: TempDir,
    release: FakeRelease,
}

impl Stage {
    fn new() -> Self {
        let home = scratch();
        let release = release(&home.path().join("mirror"));
        Self { home, release }
    }

    fn command(&self, out: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["image", "--release", self.release.folder().to_str().unwrap(), "--out"]);
        command.arg(self.home.path().join(out)).args(words);
        // Logins of nobody.
        command.env("HOME", self.home.path()).env_remove("DOCKER_CONFIG").env_remove("XDG_RUNTIME_DIR");
        command
    }

    fn run(&self, out: &str, words: &[&str]) -> Ended {
        Ended::of(&mut self.command(out, words))
    }

    /// Makes images, and gives the folder that they are in.
    fn make(&self, out: &str, words: &[&str]) -> PathBuf {
        let ended = self.run(out, words);
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        self.home.path().join(out).join(format!("{NAME}-images"))
    }
}

/// A release with the users' program for two of its hosts, and what vouches for it.
fn release(mirror: &Path) -> FakeRelease {
    let release = FakeRelease::make(mirror, NAME).with_program(&["amd64", "arm/v7"]);
    for (name, text) in [("cdx", "{\"bomFormat\":\"CycloneDX\"}"), ("intoto", "{\"_type\":\"x\"}")] {
        fs::write(release.folder().join(format!("anyarch-{NAME}.{name}.json")), text).unwrap();
    }
    release.sum();
    release
}

fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let bytes = fs::read(layout.join("blobs/sha256").join(&digest["sha256:".len()..])).unwrap();
    assert_eq!(format!("sha256:{}", anyarch_client::hash::sha256(&bytes)), digest);
    assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
    bytes
}

fn document(layout: &Path, descriptor: &Value) -> Value {
    serde_json::from_slice(&blob(layout, descriptor)).unwrap()
}

/// The images of a layout by their tags.
fn tags(layout: &Path) -> BTreeMap<String, Value> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let named = |one: &Value| {
        let name = one["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
        (name.to_owned(), one.clone())
    };
    index["manifests"].as_array().unwrap().iter().map(named).collect()
}

/// The names of all files in an image for a host, with their modes.
fn files(layout: &Path, manifest: &Value) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let packed = blob(layout, layer);
        let mut bytes = Vec::new();
        match layer["mediaType"].as_str().unwrap().rsplit('+').next().unwrap() {
            "zstd" => zstd::Decoder::new(packed.as_slice()).unwrap().read_to_end(&mut bytes).unwrap(),
            kind => panic!("{kind}"),
        };
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(
                (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()),
                (0, 0, 1_700_000_000)
            );
            if header.entry_type().is_file() {
                found.insert(entry.path().unwrap().display().to_string(), header.mode().unwrap());
            }
        }
    }
    found
}

#[test]
fn every_image_holds_what_its_name_says_for_every_host_that_has_it() {
    let stage = Stage::new();
    let layout = stage.make("out", &[]).join("layout");
    let tags = tags(&layout);
    let expected: [(&str, &[&str], &[&str]); 6] = [
        ("latest", &["amd64", "arm/v7"], &["usr/bin/anyarch", "usr/bin/qemu-aarch64"]),
        ("register", &["amd64", "arm/v7"], &["usr/bin/anyarch"]),
        ("emulators", &["amd64", "arm64", "arm/v7"], &["usr/bin/qemu-aarch64"]),
        ("buildkit", &["amd64", "arm64", "arm/v7"], &["buildkit-qemu-aarch64"]),
        ("aarch64", &["amd64", "arm/v7"], &["usr/bin/anyarch", "usr/bin/qemu-aarch64"]),
        ("arm", &["arm/v7"], &["usr/bin/anyarch", "usr/bin/qemu-arm"]),
    ];
    for (tag, hosts, programs) in expected {
        let stays = if tag == "latest" { NAME.to_owned() } else { format!("{tag}-{NAME}") };
        assert_eq!(tags[tag]["digest"], tags[&stays]["digest"], "{tag}");
        let index = document(&layout, &tags[tag]);
        assert_eq!(index["annotations"]["org.opencontainers.image.version"], NAME);
        let images = index["manifests"].as_array().unwrap();
        let platforms: Vec<String> = images
            .iter()
            .map(|image| {
                let platform = &image["platform"];
                let variant =
                    platform["variant"].as_str().map(|variant| format!("/{variant}")).unwrap_or_default();
                format!("{}{variant}", platform["architecture"].as_str().unwrap())
            })
            .collect();
        assert_eq!(platforms, hosts, "{tag}");
        for image in images {
            let manifest = document(&layout, image);
            let found = files(&layout, &manifest);
            for program in programs {
                assert_eq!(found.get(*program), Some(&0o755), "{tag}: {found:?}");
            }
            assert!(found.keys().any(|name| name.contains("share/doc/anyarch/")), "no licence: {found:?}");
            let config = document(&layout, &manifest["config"]);
            let entry =
                if programs[0] == "usr/bin/anyarch" { json!(["/usr/bin/anyarch"]) } else { Value::Null };
            assert_eq!(config["config"]["Entrypoint"], entry, "{tag}");
            assert_eq!(config["architecture"], image["platform"]["architecture"]);
        }
        // What vouches for the image is attached to its index.
        let fallback = &tags[&tags[tag]["digest"].as_str().unwrap().replace(':', "-")];
        let attached = document(&layout, fallback);
        let kinds: Vec<&str> = attached["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let manifest = document(&layout, one);
                assert_eq!(manifest["subject"]["digest"], tags[tag]["digest"]);
                assert!(!blob(&layout, &manifest["layers"][0]).is_empty());
                one["artifactType"].as_str().unwrap()
            })
            .collect();
        assert_eq!(kinds, ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json"]);
    }
}

#[test]
fn the_same_release_makes_the_same_bytes_in_another_folder() {
    let stage = Stage::new();
    let sums = |folder: &Path| {
        let script = "cd \"$0\" && find . -type f | sort | xargs sha256sum";
        run("sh", &["-c", script, folder.to_str().unwrap()])
    };
    for compression in ["zstd", "gzip"] {
        let words = ["--variant", "arm64,latest,emulators", "--load", "all", "--compression", compression];
        let first = stage.make(&format!("{compression}-1"), &words);
        let second = stage.make(&format!("{compression}-2/below"), &words);
        assert!(sums(&first).lines().count() > 20);
        assert_eq!(sums(&first), sums(&second), "{compression}");
    }
}

#[test]
fn a_release_that_is_not_what_it_says_makes_no_image() {
    let other: refused::Case = (
        |release| fs::write(release.folder().join(format!("anyarch-{NAME}.cdx.json")), "{}").unwrap(),
        1,
        "is not what SHA256SUMS says",
    );
    refused::makes_nothing(release, &[other], |release, out| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["image", "--variant", "latest", "--release"]).arg(release.folder());
        Ended::of(command.arg("--out").arg(out))
    });
    let stage = Stage::new();
    stage.run("out", &["--variant", "arm46"]).failed(2, &["did you mean `arm64`?"]);
    stage.run("out", &["--variant", "s390x"]).failed(2, &["makes no image `s390x`"]);
    stage.run("out", &["--load", "s390x"]).failed(2, &["nothing for s390x", "amd64 arm64 arm/v7"]);
    stage.run("out", &["--push", "localhost:1/a:tag"]).failed(2, &["makes the tags itself"]);
}

/// Debian's registry; it ends when this is dropped.
struct Registry(Child, u16);

impl Registry {
    fn start(home: &Path, more: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n{more}",
            home.join("registry").display()
        );
        fs::write(home.join("registry.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(home.join("registry.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self(command.spawn().unwrap(), port);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the registry does not start");
            thread::sleep(Duration::from_millis(20));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_registry_takes_them_and_others_get_them_back_for_each_platform() {
    if let Some(why) = wants::lacks(&["docker-registry", "skopeo"], "docker-registry skopeo") {
        return wants::not_run(&why);
    }
    let stage = Stage::new();
    let home = stage.home.path();
    let registry = Registry::start(home, "");
    let to = format!("localhost:{}/team/anyarch", registry.1);
    let layout = stage.make("out", &["--push", &to]).join("layout");
    let tags = tags(&layout);
    // Once more: nothing is wrong with what is there.
    stage.make("out", &["--push", &to]);
    let image = format!("docker://{to}");
    let digest = |tag: &str, more: &[&str]| {
        let name = format!("{image}:{tag}");
        let words = [&["inspect", "--tls-verify=false"][..], more, &[&name]].concat();
        let said: Value = serde_json::from_str(&run("skopeo", &words)).unwrap();
        said
    };
    for (tag, one) in &tags {
        let bytes = run("skopeo", &["inspect", "--tls-verify=false", "--raw", &format!("{image}:{tag}")]);
        assert_eq!(
            format!("sha256:{}", anyarch_client::hash::sha256(bytes.as_bytes())),
            one["digest"],
            "{tag}"
        );
    }
    for (architecture, variant) in [("amd64", ""), ("arm", "v7")] {
        let platform =
            ["--override-os", "linux", "--override-arch", architecture, "--override-variant", variant];
        let words = [&platform[..], &["copy", "--src-tls-verify=false"]].concat();
        let (from, into) = (format!("{image}:aarch64"), home.join(format!("copied-{architecture}")));
        let into = format!("oci:{}:x", into.display());
        run("skopeo", &[&words[..], &[&from, &into]].concat());
    }
    let labels = digest("register", &["--override-arch=amd64", "--override-os=linux"]);
    assert_eq!(labels["Labels"]["org.opencontainers.image.version"], NAME);
    assert!(home.join("copied-arm/index.json").is_file() && home.join("copied-amd64/index.json").is_file());
}

#[test]
fn a_registry_that_wants_a_login_gets_that_of_dockers_config_and_no_other() {
    if let Some(why) = wants::lacks(&["docker-registry"], "docker-registry") {
        return wants::not_run(&why);
    }
    let stage = Stage::new();
    let home = stage.home.path();
    // What `htpasswd -nbB me secret` may print.
    fs::write(home.join("htpasswd"), "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n")
        .unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: x, path: {}}}}}\n", home.join("htpasswd").display());
    let registry = Registry::start(home, &auth);
    let to = format!("localhost:{}/anyarch", registry.1);
    let words = ["--variant", "register", "--push", &to];
    stage.run("out", &words).failed(1, &["docker login"]);
    let login = |secret: &str| {
        let auth = data_encoding::BASE64.encode(format!("me:{secret}").as_bytes());
        let config = json!({"auths": {format!("localhost:{}", registry.1): {"auth": auth}}});
        let folder = home.join("docker");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        Ended::of(stage.command("out", &words).env("DOCKER_CONFIG", folder))
    };
    login("wrong").failed(1, &["docker login"]);
    let good = login("secret");
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(!good.stderr.contains("secret"), "{good:?}");
}

/// A registry that answers everything in one way, or is not there.
fn answers(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut buffer = [0; 1 << 16];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(answer);
        }
    });
    port
}

#[test]
fn a_registry_that_is_down_asks_to_wait_or_takes_other_bytes_is_told() {
    let stage = Stage::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let busy = answers(
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    // It says to have every blob, and of a manifest that it has another one.
    let liar = answers(
        b"HTTP/1.1 201 Created\r\nDocker-Content-Digest: sha256:0000000000000000000000000000000000000000000000000000000000000000\r\n\
          Content-Length: 0\r\nConnection: close\r\n\r\n",
    );
    for (port, words) in [
        (closed, vec!["cannot be reached"]),
        (busy, vec!["429", "3600"]),
        (liar, vec!["it has other bytes than were sent"]),
    ] {
        let to = format!("localhost:{port}/anyarch");
        stage.run("out", &["--variant", "register", "--push", &to]).failed(1, &words);
    }
}
