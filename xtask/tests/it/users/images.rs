//! Images as roots: of a real registry and of files; what they say of their program, who owns their files, and that no
//! run changes them.

use super::{Guest, program};
use crate::driver::{Ended, run, wants};
use anyarch_client::{hash, http};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tar::{Builder, EntryType, Header};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image of this machine's own programs: one tells the target, the others are bound.
fn layer() -> Vec<u8> {
    let mut layer = Builder::new(Vec::new());
    let mut add = |kind: EntryType, name: &str, mode: u32, owner: u64, body: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner + 1);
        header.set_size(body.len() as u64);
        layer.append_data(&mut header, name, body).unwrap();
    };
    for name in ["usr", "etc", "proc", "sys", "dev", "tmp", "sbin"] {
        add(EntryType::Directory, name, 0o755, 0, b"");
    }
    add(EntryType::Directory, "srv", 0o700, 7, b"");
    add(EntryType::Regular, "sbin/init", 0o755, 0, &fs::read("/usr/bin/env").unwrap());
    add(EntryType::Regular, "etc/passwd", 0o644, 0, b"root:x:0:0::/root:/bin/sh\nann:x:7:8::/srv:/bin/sh\n");
    for name in ["bin", "lib", "lib64"] {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        layer.append_link(&mut header, name, Path::new("usr").join(name)).unwrap();
    }
    layer.into_inner().unwrap()
}

/// An OCI layout with one image, for an architecture as Go names it.
struct Layout {
    folder: PathBuf,
    manifest: Value,
}

impl Layout {
    fn make(folder: PathBuf, architecture: &str) -> Self {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let keep = |kind: &str, bytes: &[u8]| {
            let hash = hash::sha256(bytes);
            fs::write(blobs.join(&hash), bytes).unwrap();
            json!({ "mediaType": kind, "digest": format!("sha256:{hash}"), "size": bytes.len() })
        };
        let layer = keep(LAYER, &layer());
        let config = json!({
            "os": "linux",
            "architecture": architecture,
            "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
            "config": {
                "Entrypoint": ["/bin/sh", "-ec"],
                "Cmd": ["id -u; pwd; echo $SAYS; stat -c %u:%g .; ls; touch new; ls"],
                "Env": ["SAYS=so"], "User": "ann", "WorkingDir": "/srv"
            },
        });
        let config = keep(CONFIG, config.to_string().as_bytes());
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
        let manifest = keep(MANIFEST, manifest.to_string().as_bytes());
        fs::write(folder.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string()).unwrap();
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        fs::write(folder.join("index.json"), index.to_string()).unwrap();
        Self { folder, manifest }
    }

    /// Pushes the image as `it:1`.
    fn push(&self, port: u16) {
        let client = http::local_client(Duration::from_secs(10)).unwrap();
        let base = format!("http://127.0.0.1:{port}/v2/it");
        let own = self.manifest["digest"].as_str().unwrap();
        for entry in fs::read_dir(self.folder.join("blobs/sha256")).unwrap() {
            let path = entry.unwrap().path();
            let digest = format!("sha256:{}", path.file_name().unwrap().to_str().unwrap());
            if digest == own {
                continue;
            }
            let begun = client.post(format!("{base}/blobs/uploads/")).send().unwrap();
            let place = begun.headers()["location"].to_str().unwrap().to_owned();
            let join = if place.contains('?') { '&' } else { '?' };
            let put = client.put(format!("{place}{join}digest={digest}")).body(fs::read(path).unwrap());
            assert!(put.send().unwrap().status().is_success(), "{digest}");
        }
        let manifest = fs::read(self.folder.join("blobs/sha256").join(&own["sha256:".len()..])).unwrap();
        let put = client.put(format!("{base}/manifests/1")).header("Content-Type", MANIFEST).body(manifest);
        assert!(put.send().unwrap().status().is_success(), "the manifest");
    }
}

/// This machine, as Go names it.
fn own() -> &'static str {
    anyarch_client::machine::native().unwrap()
}

/// Debian's registry; it ends when this is dropped.
struct Registry(Child);

impl Registry {
    fn start(home: &Path) -> (Self, u16) {
        Self::start_with(home, "")
    }

    /// The same with more settings of its server.
    fn start_with(home: &Path, more: &str) -> (Self, u16) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"{more}}}\n",
            home.join("registry").display()
        );
        fs::write(home.join("registry.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(home.join("registry.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the registry does not start");
            thread::sleep(Duration::from_millis(20));
        }
        (registry, port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What an ordinary user gets of `anyarch`, with all ids that are granted.
fn anyarch(guest: &Guest, words: &[&str]) -> Ended {
    Ended::of(guest.somebody.command_with_ids(program()).args(words))
}

#[test]
fn an_image_of_a_registry_runs_as_it_says_and_is_never_changed() {
    if let Some(why) = wants::lacks(&["docker-registry", "newuidmap"], "docker-registry uidmap") {
        return wants::not_run(&why);
    }
    let guest = Guest::new();
    let home = guest.somebody.home.path();
    let layout = Layout::make(home.join("layout"), own());
    let (registry, port) = Registry::start(home);
    layout.push(port);
    let image = format!("localhost:{port}/it:1");
    let start = ["run", "--bind", "/usr:/usr:ro", &image];
    let first = anyarch(&guest, &start);
    assert_eq!((first.code, first.stdout.as_str()), (Some(0), "7\n/srv\nso\n7:8\nnew\n"), "{first:?}");
    // Neither the registry nor what was changed is there any more.
    drop(registry);
    let second = anyarch(&guest, &start);
    assert_eq!((second.code, second.stdout, second.stderr.as_str()), (Some(0), first.stdout, ""));
    let words = ["run", "--user", "root", "--workdir", "/", "--read-only", "--bind", "/usr:/usr:ro", &image];
    let fixed = anyarch(&guest, &[&words[..], &["--", "id -u; touch /etc/x || echo no"]].concat());
    assert_eq!((fixed.code, fixed.stdout.as_str()), (Some(0), "0\nno\n"), "{fixed:?}");
    anyarch(&guest, &["run", "--pull", "always", &image]).failed(125, &["no folder or archive", "localhost"]);
    let listed = anyarch(&guest, &["cache", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let one = &listed["images"][0];
    assert_eq!((&one["name"], &one["digest"]), (&image.as_str().into(), &layout.manifest["digest"]));
    let cleaned = anyarch(&guest, &["cache", "clean"]);
    assert!(cleaned.code == Some(0) && cleaned.stdout.contains("1 image"), "{cleaned:?}");
    assert!(!home.join(".cache/anyarch/images").exists(), "files of other owners are left");
}

#[test]
fn an_image_in_files_runs_with_one_id_too_and_what_it_is_not_is_told() {
    let guest = Guest::new();
    let home = guest.somebody.home.path();
    let layout = Layout::make(home.join("layout"), own()).folder;
    let liar = Layout::make(home.join("liar"), if own() == "s390x" { "riscv64" } else { "s390x" });
    let (target, emulator) = (if own() == "s390x" { "riscv64" } else { "s390x" }, home.join("emulator"));
    fs::write(&emulator, format!("#!/bin/sh\necho qemu-{target} version 1\n")).unwrap();
    fs::set_permissions(&emulator, Permissions::from_mode(0o755)).unwrap();
    run("tar", &["-C", layout.to_str().unwrap(), "-czf", home.join("saved.tgz").to_str().unwrap(), "."]);
    let anyarch = |words: &[&str]| Ended::of(guest.with_one_id().arg("run").args(words));
    for image in ["oci:layout", "./layout", "layout", "saved.tgz", layout.to_str().unwrap()] {
        let words = ["--user", "root", "--bind", "/usr:/usr:ro", image, "echo $SAYS; pwd; id -u"];
        let ended = anyarch(&words);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "so\n/srv\n0\n"), "{image}: {ended:?}");
    }
    let lies = anyarch(&["--emulator", emulator.to_str().unwrap(), liar.folder.to_str().unwrap()]);
    lies.failed(125, &["by its own words, and its programs are for"]);
    let platform = format!("linux/{target}");
    anyarch(&["--platform", &platform, "oci:layout"]).failed(125, &[&platform, &format!("linux/{}", own())]);
    anyarch(&["--platform", "x y", "oci:layout"]).failed(2, &["is not a platform"]);
    anyarch(&["--platform", "linux/arm64", "root"]).failed(2, &["--platform is for images"]);
    anyarch(&["/no/such"]).failed(2, &["No such file", "the name of an image"]);
    anyarch(&["No/Such"]).failed(2, &["no folder or archive No/Such", "is not the name of an image"]);
    anyarch(&["localhost:1/no"]).failed(125, &["no folder or archive", "the image localhost:1/no:latest"]);
    anyarch(&["oci:no-such"]).failed(125, &["no-such"]);
}

#[test]
fn a_registry_is_asked_over_https_and_over_http_only_if_that_is_said() {
    if let Some(why) = wants::lacks(&["docker-registry", "openssl"], "docker-registry openssl") {
        return wants::not_run(&why);
    }
    let guest = Guest::new();
    let home = guest.somebody.home.path();
    let layout = Layout::make(home.join("layout"), own());
    let (registry, port) = Registry::start(home);
    layout.push(port);
    drop(registry);
    let at = |name: &str| home.join(name).display().to_string();
    let (key, certificate) = (at("key"), at("certificate"));
    let who = ["-subj", "/CN=registry", "-addext", "subjectAltName=DNS:registry.test", "-days", "2"];
    let kind = ["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &certificate];
    run("openssl", &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"][..], &who, &kind].concat());
    let hosts = at("hosts");
    fs::write(&hosts, "127.0.0.1 localhost registry.test\n").unwrap();
    let words = |image: &str, options: &[&str]| {
        let start = ["run", "--user", "root", "--bind", "/usr:/usr:ro", "--pull", "always"];
        let words = [&start[..], options, &[image, "echo $SAYS"]].concat();
        // By a name that is none of a machine's own, so that it is like any other registry.
        let named = "mount --bind \"$1\" /etc/hosts; shift; exec \"$@\"";
        let mut command = guest.somebody.command(Path::new("unshare"));
        command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", named, "sh", &hosts]);
        command.arg(program()).args(words);
        command
    };
    let tls = format!(", tls: {{certificate: {certificate}, key: {key}}}");
    let (registry, port) = Registry::start_with(home, &tls);
    let image = format!("registry.test:{port}/it:1");
    let trusted = Ended::of(words(&image, &[]).env("SSL_CERT_FILE", &certificate));
    assert_eq!((trusted.code, trusted.stdout.as_str()), (Some(0), "so\n"), "{trusted:?}");
    Ended::of(&mut words(&image, &[])).failed(125, &["cannot be reached", "certificate"]);
    drop(registry);
    let (registry, port) = Registry::start(home);
    let image = format!("registry.test:{port}/it:1");
    Ended::of(&mut words(&image, &[])).failed(125, &["cannot be reached"]);
    let plain = Ended::of(&mut words(&image, &["--plain-http"]));
    assert_eq!((plain.code, plain.stdout.as_str()), (Some(0), "so\n"), "{plain:?}");
    drop(registry);
    Ended::of(&mut words("./layout", &["--plain-http"]))
        .failed(2, &["--plain-http is for images of a registry"]);
}

#[test]
fn changes_of_an_image_are_kept_under_a_name_and_its_entry_point_gives_way() {
    if let Some(why) = wants::lacks(&["newuidmap"], "uidmap") {
        return wants::not_run(&why);
    }
    let guest = Guest::new();
    let home = guest.somebody.home.path();
    Layout::make(home.join("layout"), own());
    let keep = |name: &str, root: &str, script: &str| {
        let start = ["run", "--bind", "/usr:/usr:ro", "--keep", name, "--user", "root", "--workdir", "/"];
        anyarch(&guest, &[&start[..], &["--entrypoint", "sh", root, "-ec", script]].concat())
    };
    let script = "cat srv/x 2> /dev/null || echo new; echo kept > srv/x; chown 9:9 srv/x; stat -c %u srv/x";
    let said = |ended: &Ended| (ended.code, ended.stdout.clone());
    assert_eq!(said(&keep("web", "./layout", script)), (Some(0), "new\n9\n".to_owned()));
    assert_eq!(said(&keep("web", "./layout", script)), (Some(0), "kept\n9\n".to_owned()));
    assert_eq!(said(&keep("other", "./layout", script)), (Some(0), "new\n9\n".to_owned()));
    // A folder stays as it is, too.
    assert_eq!(said(&keep("folder", "root", "touch x; ls x")), (Some(0), "x\n".to_owned()));
    assert!(!guest.root.join("x").exists());
    keep("web", "root", "true").failed(2, &["--keep web: these are changes of", "anyarch kept remove web"]);
    keep("../x", "root", "true").failed(2, &["is no name for changes"]);
    assert_eq!(anyarch(&guest, &["cache", "clean"]).code, Some(0));
    assert_eq!(said(&keep("web", "./layout", "cat srv/x")), (Some(0), "kept\n".to_owned()));
    let listed = anyarch(&guest, &["kept", "list"]).stdout;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    for name in ["folder", "other", "web"] {
        assert_eq!(anyarch(&guest, &["kept", "remove", name]).stdout, format!("removed {name}\n"));
    }
    assert_eq!(fs::read_dir(home.join(".local/share/anyarch/kept")).unwrap().count(), 0);
    anyarch(&guest, &["kept", "remove", "web"]).failed(2, &["there are no changes of the name web"]);
}
