//! Archives that `docker load` and `podman load` take, of any age: one image, for one host.

use super::layer::{Layer, header};
use super::layout::ForHost;
use anyarch_client::{files, hash};
use anyhow::{Context as _, Result};
use flate2::GzBuilder;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use tar::{Builder, EntryType};

/// Writes an archive that is loaded as `name` (`anyarch:latest`), from layers in `blobs`.
///
/// # Errors
/// When a layer cannot be read or the archive cannot be written.
pub fn write(path: &Path, name: &str, image: &ForHost, blobs: &Path, epoch: u64) -> Result<()> {
    files::write_file_with(path, |file| {
        let packed = GzBuilder::new().mtime(0).operating_system(255).write(file, flate2::Compression::new(6));
        let mut archive = Builder::new(packed);
        let config = format!("{}.json", hash::sha256(&image.config));
        let layers: Vec<String> =
            image.layers.iter().map(|layer| format!("{}/layer.tar", layer.diff_id)).collect();
        let list = json!([{ "Config": config, "RepoTags": [name], "Layers": layers }]);
        let mut put = |name: &str, size: u64, bytes: &mut dyn Read| {
            archive.append_data(&mut header(EntryType::Regular, 0o644, size, epoch), name, bytes)
        };
        put(&config, image.config.len() as u64, &mut image.config.as_slice())?;
        for (layer, name) in image.layers.iter().zip(&layers) {
            let size = io::copy(&mut unpacked(layer, blobs)?, &mut io::sink())?;
            put(name, size, &mut unpacked(layer, blobs)?)?;
        }
        let list = serde_json::to_vec(&list)?;
        put("manifest.json", list.len() as u64, &mut list.as_slice())?;
        archive.into_inner()?.finish()?;
        Ok(())
    })
}

/// The tar archive of a layer.
fn unpacked(layer: &Layer, blobs: &Path) -> Result<Box<dyn Read>> {
    let path = blobs.join(&layer.sha256);
    let file = BufReader::new(File::open(&path).with_context(|| format!("cannot read {}", path.display()))?);
    Ok(if layer.media_type.ends_with("zstd") {
        Box::new(zstd::Decoder::with_buffer(file)?)
    } else {
        Box::new(flate2::bufread::GzDecoder::new(file))
    })
}
