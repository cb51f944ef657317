//! The registry that most registries are made of, as Debian ships it: images pushed, and pulled back.

use crate::made::{Layer, Made, Packed, small};
use crate::places::{Place, read};
use crate::wants;
use anyarch_client::http;
use serde_json::Value;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running registry; it ends when this is dropped.
struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    fn start(place: &Place) -> Self {
        // Free now; nobody else is likely to take it at once.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            place.path("registry").display()
        );
        fs::write(place.path("registry.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(place.path("registry.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { child: command.spawn().unwrap(), port };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the registry does not start");
            thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    fn name(&self, image: &str) -> String {
        format!("localhost:{}/{image}", self.port)
    }

    /// Pushes all blobs, and the documents under these names, the inner ones first.
    fn push(&self, made: &Made, documents: &[(&str, &Value)]) {
        let client = http::local_client(Duration::from_secs(10)).unwrap();
        let base = format!("http://127.0.0.1:{}/v2/team/it", self.port);
        let is_document = |digest: &String| documents.iter().any(|(_, one)| one["digest"] == digest.as_str());
        for (digest, bytes) in made.blobs.iter().filter(|(digest, _)| !is_document(digest)) {
            let begun = client.post(format!("{base}/blobs/uploads/")).send().unwrap();
            let place = begun.headers()["location"].to_str().unwrap().to_owned();
            let join = if place.contains('?') { '&' } else { '?' };
            let put = client.put(format!("{place}{join}digest={digest}")).body(bytes.clone()).send().unwrap();
            assert!(put.status().is_success(), "{}", put.text().unwrap());
        }
        for (name, one) in documents {
            let bytes = made.blobs[one["digest"].as_str().unwrap()].clone();
            let kind = one["mediaType"].as_str().unwrap();
            let put = client.put(format!("{base}/manifests/{name}")).header("Content-Type", kind).body(bytes);
            let put = put.send().unwrap();
            assert!(put.status().is_success(), "{}", put.text().unwrap());
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_image_for_several_platforms_comes_back_from_a_real_registry() {
    if !wants::needs("docker-registry", "docker-registry") {
        return;
    }
    let place = Place::new();
    let registry = Registry::start(&place);
    let mut made = Made::default();
    let base = Layer::new().folder("etc/").file("etc/name", "arm64").file("etc/gone", "").tar();
    let upper = Layer::new().file("etc/.wh.gone", "").file("etc/more", "more").tar();
    let arm64 = made.image("linux/arm64/v8", &[(base, Packed::Gzip), (upper, Packed::Zstd)]);
    let riscv64 = small(&mut made, "linux/riscv64", "riscv64");
    let index = made.index(&[arm64.clone(), riscv64.clone()]);
    let digest = |one: &Value| one["digest"].as_str().unwrap().to_owned();
    let (first, second) = (digest(&arm64), digest(&riscv64));
    registry.push(&made, &[(&first, &arm64), (&second, &riscv64), ("1.0", &index)]);

    let root = place.root(&registry.name("team/it:1.0"), Some("aarch64")).unwrap();
    assert_eq!((read(&root, "etc/name"), read(&root, "etc/more")), ("arm64".to_owned(), "more".to_owned()));
    assert!(!root.path().join("etc/gone").exists());
    assert_eq!(root.about().digest.to_string(), first);
    let pinned = place.root(&registry.name(&format!("team/it@{second}")), None).unwrap();
    assert_eq!(read(&pinned, "etc/name"), "riscv64");
    let error = place.root(&registry.name("team/it:1.0"), Some("linux/386")).expect_err("not there");
    assert!(error.contains("but for linux/arm64/v8, linux/riscv64"), "{error}");
    let error = place.root(&registry.name("team/it:2.0"), None).expect_err("no such tag");
    assert!(error.contains("manifest unknown"), "{error}");
    let error = place.root(&registry.name("team/other"), None).expect_err("no such repository");
    assert!(error.contains("404"), "{error}");
    place.assert_clean(2);
}
