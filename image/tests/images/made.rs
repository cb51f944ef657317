//! Images made here: layers member by member, as an attacker would write them, too.

use anyarch_image::Digest;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// A layer's tar stream.
pub struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// A member with names that go in unchecked.
    pub fn raw(
        mut self,
        kind: EntryType,
        name: &str,
        link: &str,
        mode: u32,
        owner: u64,
        body: &[u8],
    ) -> Self {
        let mut header = Header::new_gnu();
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_000_000_000);
        header.set_size(body.len() as u64);
        header.set_cksum();
        self.0.append(&header, body).unwrap();
        self
    }

    pub fn file(self, name: &str, body: &str) -> Self {
        self.raw(EntryType::Regular, name, "", 0o644, 0, body.as_bytes())
    }

    pub fn folder(self, name: &str) -> Self {
        self.raw(EntryType::Directory, name, "", 0o755, 0, b"")
    }

    pub fn symlink(self, name: &str, link: &str) -> Self {
        self.raw(EntryType::Symlink, name, link, 0o777, 0, b"")
    }

    pub fn hard_link(self, name: &str, link: &str) -> Self {
        self.raw(EntryType::Link, name, link, 0o644, 0, b"")
    }

    /// What the next member has besides.
    pub fn said(self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        let length =
            (1..).map(|digits| rest + digits).find(|all| all.to_string().len() + rest == *all).unwrap();
        let record = [format!("{length} {key}=").as_bytes(), value, b"\n"].concat();
        self.raw(EntryType::XHeader, "said", "", 0o644, 0, &record)
    }

    pub fn tar(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// How a layer is packed.
#[derive(Clone, Copy)]
pub enum Packed {
    Plain,
    Gzip,
    Zstd,
}

/// Images with all of their blobs.
#[derive(Default, Clone)]
pub struct Made {
    pub blobs: BTreeMap<String, Vec<u8>>,
}

impl Made {
    pub fn blob(&mut self, bytes: Vec<u8>, kind: &str) -> Value {
        let digest = Digest::of(&bytes).to_string();
        let descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        self.blobs.insert(digest, bytes);
        descriptor
    }

    pub fn layer(&mut self, tar: &[u8], packed: Packed) -> Value {
        let (bytes, end) = match packed {
            Packed::Plain => (tar.to_vec(), ""),
            Packed::Gzip => (gzip(tar), "+gzip"),
            Packed::Zstd => (zstd::encode_all(tar, 3).unwrap(), "+zstd"),
        };
        self.blob(bytes, &format!("application/vnd.oci.image.layer.v1.tar{end}"))
    }

    /// An image of these layers; gives the descriptor of its manifest.
    pub fn image(&mut self, platform: &str, layers: &[(Vec<u8>, Packed)]) -> Value {
        let diffs: Vec<String> = layers.iter().map(|(tar, _)| Digest::of(tar).to_string()).collect();
        let layers = layers.iter().map(|(tar, packed)| self.layer(tar, *packed)).collect();
        self.image_of(platform, layers, diffs)
    }

    /// An image whose layers and digests need not fit.
    pub fn image_of(&mut self, platform: &str, layers: Vec<Value>, diffs: Vec<String>) -> Value {
        let mut parts = platform.split('/');
        let mut config = json!({"os": parts.next(), "architecture": parts.next(),
            "config": {"Entrypoint": ["/entry"], "Cmd": ["word"], "Env": ["PATH=/bin", "A=b"], "User": "1000", "WorkingDir": "/w"},
            "rootfs": {"type": "layers", "diff_ids": diffs}});
        if let Some(variant) = parts.next() {
            config["variant"] = json!(variant);
        }
        let config = self.blob(config.to_string().into_bytes(), "application/vnd.oci.image.config.v1+json");
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
        let mut descriptor = self.blob(manifest.to_string().into_bytes(), kind);
        let mut parts = platform.split('/');
        descriptor["platform"] = json!({"os": parts.next(), "architecture": parts.next()});
        if let Some(variant) = parts.next() {
            descriptor["platform"]["variant"] = json!(variant);
        }
        descriptor
    }

    pub fn index(&mut self, manifests: &[Value]) -> Value {
        let kind = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
        self.blob(index.to_string().into_bytes(), kind)
    }

    /// Writes all as an OCI layout whose index lists these.
    pub fn layout(&self, folder: &Path, manifests: &[Value]) {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        for (digest, bytes) in &self.blobs {
            fs::write(folder.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
        }
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        fs::write(folder.join("index.json"), index.to_string()).unwrap();
    }
}

/// A small image with a file of this text.
pub fn small(made: &mut Made, platform: &str, text: &str) -> Value {
    let tar = Layer::new().folder("etc/").file("etc/name", text).tar();
    made.image(platform, &[(tar, Packed::Gzip)])
}
