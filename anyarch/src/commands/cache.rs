//! `cache`: what is kept from one run to the next: images, translations, and Debian's packages.

use super::run::owner;
use crate::rootfs::archive;
use crate::run::handover::{self, SELF};
use crate::run::translations::{self, Kept};
use crate::run::{ids, image};
use crate::session::Session;
use crate::text::Text;
use anyarch_client::claim;
use anyarch_client::progress::{count, human_bytes};
use anyarch_image::About;
use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde::Serialize;

/// List or remove images, translations and packages of Debian that are kept for the next run
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// List them: translations, how big, of which emulator, for which root; images, for which platform; packages
    List,
    /// Remove them; runs that use translations go on, and images stay as long as one is in use
    Clean {
        /// Only translations whose root or emulator is gone, no images and no packages
        #[arg(long)]
        unused: bool,
    },
}

/// What is in the cache.
#[derive(Debug, Serialize)]
struct Content {
    /// Folders of translations.
    translations: Vec<Kept>,
    /// Images that were unpacked.
    images: Vec<About>,
    /// The bytes of what `rootfs` downloaded.
    packages: u64,
}

/// Lists or removes them.
pub fn run(session: &Session, command: &Cache) -> Result<()> {
    let all = Content {
        translations: translations::all(&session.cache),
        images: image::unpacked(session)?,
        packages: archive::size(session),
    };
    match command {
        Cache::List => session.show(&all, || text(&all)),
        Cache::Clean { unused } => {
            let translations: Vec<Kept> =
                all.translations.into_iter().filter(|kept| !unused || is_unused(kept)).collect();
            translations.iter().try_for_each(translations::remove)?;
            let images = if *unused { Vec::new() } else { all.images };
            let packages = if *unused { 0 } else { all.packages };
            if !unused {
                remove_packages(session)?;
                remove_images(session)?;
            }
            let gone = Content { translations, images, packages };
            session.show(&gone, || {
                let size = gone.translations.iter().map(|kept| kept.size).sum();
                let folders = count(gone.translations.len(), "folder");
                let images = count(gone.images.len(), "image");
                let packages = human_bytes(gone.packages);
                format!(
                    "removed {folders} of translations, {}, {images} and {packages} of packages\n",
                    human_bytes(size)
                )
            })
        }
    }
}

/// Removes the packages of Debian.
fn remove_packages(session: &Session) -> Result<()> {
    if archive::size(session) == 0 {
        return Ok(());
    }
    let _claim = claim::alone(&session.cache)?;
    archive::clean(session)
}

/// Removes all images, by a process of its own: files of many owners can only be removed where these are mapped.
fn remove_images(session: &Session) -> Result<()> {
    if !image::folder(&session.cache).is_dir() {
        return Ok(());
    }
    let _claim = claim::alone(&session.cache)?;
    let plan = handover::write(&(Text::from(session.cache.as_path()), ids::choose(&owner())))?;
    let mut next = handover::next(SELF, image::STAGE);
    next.arg(handover::inherit(&plan)?);
    let ended = next.status().context("cannot start this program again; is /proc mounted?")?;
    if !ended.success() {
        bail!("images are left in {}", image::folder(&session.cache).display());
    }
    Ok(())
}

fn is_unused(kept: &Kept) -> bool {
    let is_gone =
        |about: &translations::About| !about.root.path().exists() || !about.emulator.path().exists();
    kept.about.as_ref().is_none_or(is_gone)
}

/// The content for people, a line each.
fn text(content: &Content) -> String {
    let translations = content.translations.iter().map(|kept| {
        let what = match &kept.about {
            Some(translations::About { root, image, emulator }) => {
                format!("{} by {emulator}", image.clone().unwrap_or_else(|| root.to_string()))
            }
            None => "unknown".to_owned(),
        };
        format!("translations  {:>9}  {}  {what}\n", human_bytes(kept.size), kept.folder)
    });
    let images = content
        .images
        .iter()
        .map(|About { name, digest, platform }| format!("image         {name}  {platform}  {digest}\n"));
    let packages = (content.packages > 0).then(|| {
        format!("packages      {:>9}  of Debian, as `rootfs` downloads them\n", human_bytes(content.packages))
    });
    translations.chain(images).chain(packages).collect()
}
