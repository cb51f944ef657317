//! `image`: container images of a release, and a registry that gets them.

use super::{ReleaseFolder, show};
use crate::image::layer::Compression;
use crate::image::variant::Variant;
use crate::image::{self, ImageOptions, Images};
use crate::released::Released;
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::machine;
use anyarch_client::progress::{count, human_bytes};
use anyarch_image::{Access, Credentials, Pushed, Reference};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;

/// Make container images of a release, and push them
///
/// Needs no container engine. Every archive of the release is checked as `fetch` does it. The same release gives the
/// same bytes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask image
  cargo xtask image --release dist/10.2.2-1 --variant latest,arm64,buildkit
  cargo xtask image --push ghcr.io/someone/anyarch")]
pub struct ImageArgs {
    /// Which release.
    #[command(flatten)]
    pub release: ReleaseFolder,
    /// Images to make: latest, register, emulators, buildkit, or targets by any name [default: all]
    #[arg(long = "variant", value_name = "IMAGE", value_delimiter = ',')]
    pub variants: Vec<String>,
    /// How layers are packed
    #[arg(long, value_enum, default_value = "zstd")]
    pub compression: Compression,
    /// Hosts for which archives for `docker load` are written, too; `all` for every one [default: this machine]
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub load: Vec<String>,
    /// Repository to push all images to, as tags: REGISTRY/NAME
    #[arg(long, value_name = "REF")]
    pub push: Option<String>,
    /// Ask the registry over plain HTTP; one on this machine always is
    #[arg(long, requires = "push")]
    pub plain_http: bool,
}

/// Makes the images, pushes them if that is asked for, and says how big they are.
pub fn run(session: &Session, arguments: &ImageArgs) -> Result<()> {
    let variants = Variant::named(&arguments.variants)?;
    let reference = arguments.push.as_deref().map(reference).transpose()?;
    if reference.is_some() && session.offline {
        bail!(Usage("--offline is set, and --push needs the network".to_owned()));
    }
    let released = arguments.release.open(session)?;
    let load = load(session, &arguments.load, &released)?;
    let options = ImageOptions { variants, compression: arguments.compression, load };
    let images = image::make(session, &released, &options)?;
    let pushed = match &reference {
        None => Vec::new(),
        Some(to) => {
            let plain_http = if arguments.plain_http { vec![to.registry().to_owned()] } else { Vec::new() };
            let access = Access { credentials: Credentials::of_user(), plain_http, ..Access::default() };
            anyarch_image::push(&images.layout, to, &access, &session.progress)?
        }
    };
    let result = json!({ "layout": images.layout, "images": images.made, "pushed": pushed });
    show(session, &result, || text(&images, &pushed))
}

fn reference(text: &str) -> Result<Reference> {
    let reference: Reference = text.parse().map_err(|error| Usage(format!("{error}")))?;
    if !reference.is_bare() {
        bail!(Usage(format!(
            "--push takes a repository, and makes the tags itself: leave out what follows the name in {text}"
        )));
    }
    Ok(reference)
}

/// Hosts for archives: those that are asked for, else this machine, of those that the release has.
fn load(session: &Session, names: &[String], released: &Released) -> Result<Vec<String>> {
    if names.is_empty() {
        return Ok(machine::native().map(|host| vec![host.to_owned()]).unwrap_or_default());
    }
    let hosts = released.hosts_named(names, &session.workspace.root.join("toolchains")).context("--load")?;
    Ok(hosts.into_iter().map(|host| host.platform).collect())
}

fn text(images: &Images, pushed: &[Pushed]) -> String {
    let mut text = String::new();
    for one in &images.made {
        let biggest = one.sizes.values().max().copied().unwrap_or_default();
        let hosts: Vec<&str> = one.sizes.keys().map(String::as_str).collect();
        text.push_str(&format!("{:<14} {:>9}  {}\n", one.tag, human_bytes(biggest), hosts.join(" ")));
        for archive in &one.archives {
            text.push_str(&format!("  {}\n", archive.display()));
        }
    }
    if !pushed.is_empty() {
        text.push_str(&format!("pushed {}\n", count(pushed.len(), "tag")));
    }
    text.push_str(&format!("{}\n", images.layout.display()));
    text
}
