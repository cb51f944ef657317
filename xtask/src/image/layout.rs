//! The documents of images: configs, manifests, an index over all hosts for each image, and what is attached to it.

use super::layer::Layer;
use super::variant::Variant;
use crate::released::About;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_manifest::Manifest;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The annotation that names an image in a layout.
const NAME: &str = "org.opencontainers.image.ref.name";

/// An OCI layout that is being written. Its documents are JSON of our own and not oci-spec's types: those keep
/// annotations in a hash map, whose order is another one in each run.
#[derive(Debug)]
pub struct Layout<'a> {
    folder: PathBuf,
    manifest: &'a Manifest,
    named: Vec<Value>,
}

/// An image for one host.
#[derive(Debug, Clone)]
pub struct ForHost {
    /// The host, by Docker's platform name.
    pub host: String,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// Its config.
    pub config: Vec<u8>,
    descriptor: Value,
}

impl<'a> Layout<'a> {
    /// An empty one in an empty folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(folder: &Path, manifest: &'a Manifest) -> Result<Self> {
        let layout = Self { folder: folder.to_owned(), manifest, named: Vec::new() };
        std::fs::create_dir_all(layout.blobs()).context("cannot make a folder of blobs")?;
        files::write_file(&folder.join("oci-layout"), b"{\"imageLayoutVersion\":\"1.0.0\"}")?;
        Ok(layout)
    }

    /// The folder of its blobs.
    pub fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    /// Writes config and manifest of an image for a host.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn image(&self, variant: &Variant, host: &str, layers: Vec<Layer>) -> Result<ForHost> {
        let platform = platform(host);
        let config = config(self.manifest, variant, &platform, &layers)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(CONFIG, &config)?,
            "layers": layers.iter().map(|layer| json!({
                "mediaType": layer.media_type,
                "digest": format!("sha256:{}", layer.sha256),
                "size": layer.size,
            })).collect::<Vec<_>>(),
            "annotations": annotations(self.manifest, variant),
        });
        let mut descriptor = self.blob(MANIFEST, &serde_json::to_vec(&manifest)?)?;
        descriptor["platform"] = platform;
        Ok(ForHost { host: host.to_owned(), layers, config, descriptor })
    }

    /// Writes the index of an image over its hosts, under all its tags, and attaches what is known about the release.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn index(&mut self, variant: &Variant, images: &[ForHost], about: &[About]) -> Result<()> {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": images.iter().map(|image| &image.descriptor).collect::<Vec<_>>(),
            "annotations": annotations(self.manifest, variant),
        });
        let index = self.blob(INDEX, &serde_json::to_vec(&index)?)?;
        for tag in variant.tags(self.manifest.release.as_str()) {
            self.name(index.clone(), &tag);
        }
        let attached = about.iter().map(|one| self.attached(&index, one)).collect::<Result<Vec<_>>>()?;
        if !attached.is_empty() {
            let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": attached });
            let list = self.blob(INDEX, &serde_json::to_vec(&list)?)?;
            let tag = index["digest"].as_str().unwrap_or_default().replace(':', "-");
            self.name(list, &tag);
        }
        Ok(())
    }

    /// Writes the list of all images.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<()> {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.named });
        files::write_file(&self.folder.join("index.json"), &serde_json::to_vec(&index)?)
    }

    fn name(&mut self, mut descriptor: Value, tag: &str) {
        descriptor["annotations"] = json!({ NAME: tag });
        self.named.push(descriptor);
    }

    /// A manifest that holds a document about another one.
    fn attached(&self, subject: &Value, about: &About) -> Result<Value> {
        let annotations = json!({ "org.opencontainers.image.created": created(self.manifest.source.epoch) });
        let mut layer = self.blob(about.media_type, &about.bytes)?;
        layer["annotations"] = json!({ "org.opencontainers.image.title": about.name });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": about.media_type,
            "config": self.blob(EMPTY, b"{}")?,
            "layers": [layer],
            "subject": subject,
            "annotations": annotations,
        });
        let mut descriptor = self.blob(MANIFEST, &serde_json::to_vec(&manifest)?)?;
        descriptor["artifactType"] = about.media_type.into();
        descriptor["annotations"] = annotations;
        Ok(descriptor)
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let sha256 = hash::sha256(bytes);
        files::write_file(&self.blobs().join(&sha256), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{sha256}"), "size": bytes.len() }))
    }
}

fn config(manifest: &Manifest, variant: &Variant, platform: &Value, layers: &[Layer]) -> Result<Vec<u8>> {
    let created = created(manifest.source.epoch);
    let mut run = json!({ "Labels": annotations(manifest, variant) });
    if variant.has_program() {
        run["Env"] = json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
        run["Entrypoint"] = json!(["/usr/bin/anyarch"]);
        // What a peer's image does when nothing is said.
        run["Cmd"] = json!(["--status"]);
    }
    let mut config = json!({ "created": created, "config": run });
    for (key, value) in platform.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let diff_ids = layers.iter().map(|layer| format!("sha256:{}", layer.diff_id)).collect::<Vec<_>>();
    config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
    config["history"] =
        layers.iter().map(|_| json!({ "created": created, "created_by": "cargo xtask image" })).collect();
    Ok(serde_json::to_vec(&config)?)
}

fn annotations(manifest: &Manifest, variant: &Variant) -> Value {
    json!({
        "org.opencontainers.image.created": created(manifest.source.epoch),
        "org.opencontainers.image.title": format!("anyarch:{}", variant.tag()),
        "org.opencontainers.image.description": variant.description(),
        "org.opencontainers.image.version": manifest.release.as_str(),
        "org.opencontainers.image.licenses":
            if *variant == Variant::Register { "MIT OR Apache-2.0" } else { "GPL-2.0-only" },
    })
}

/// `linux/arm/v7` as OCI writes it.
fn platform(host: &str) -> Value {
    let (architecture, variant) = host.split_once('/').map_or((host, None), |(one, two)| (one, Some(two)));
    let mut platform = json!({ "architecture": architecture, "os": "linux" });
    if let Some(variant) = variant {
        platform["variant"] = variant.into();
    }
    platform
}

/// Seconds since 1970 as RFC 3339 writes them, in UTC.
fn created(epoch: u64) -> String {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(epoch)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_date_writes_them() {
        for (epoch, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(created(epoch), text);
        }
    }

    #[test]
    fn a_host_is_a_platform() {
        assert_eq!(platform("arm/v7"), json!({"architecture": "arm", "os": "linux", "variant": "v7"}));
        assert_eq!(platform("amd64"), json!({"architecture": "amd64", "os": "linux"}));
    }
}
