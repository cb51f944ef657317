//! Last stage: container images of a release, made of its folder alone, with no container engine. The same release gives
//! the same bytes, wherever they are made.

mod docker;
pub mod layer;
mod layout;
pub mod variant;

use crate::released::{Member, Released, Unpacked};
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::files;
use anyarch_client::lock::Lock;
use anyarch_manifest::layout::{self as place, PROGRAM};
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result};
use layer::{Compression, Layer};
use layout::{ForHost, Layout};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use variant::Variant;

/// What BuildKit puts before the name of an emulator.
const BUILDKIT: &str = "buildkit-";
/// Where programs and texts are in an image, before their places below a prefix.
const PREFIX: &str = "usr";

/// What images are made, and how.
#[derive(Debug, Clone)]
pub struct ImageOptions {
    /// Which; none for all.
    pub variants: Vec<Variant>,
    /// How layers are packed.
    pub compression: Compression,
    /// Hosts for which archives for `docker load` are written, too.
    pub load: Vec<String>,
}

/// An image that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// Its tag.
    pub tag: String,
    /// For each host, how many bytes are pulled.
    pub sizes: BTreeMap<String, u64>,
    /// Archives for `docker load`.
    pub archives: Vec<PathBuf>,
}

/// Images of a release, in a folder: `layout/`, and `docker/` with archives.
#[derive(Debug)]
pub struct Images {
    /// The OCI layout.
    pub layout: PathBuf,
    /// What is in it.
    pub made: Vec<Made>,
}

/// Makes images of a release in `<out>/<release>-images`, in the place of those that were there.
///
/// # Errors
/// [`Usage`] when an image is asked for that no host can have; else when the release is not what it says of itself, or
/// something cannot be written. Nothing of the images is there then.
pub fn make(session: &Session, released: &Released, options: &ImageOptions) -> Result<Images> {
    let folder = session.workspace.out.join(format!("{}-images", released.manifest.release));
    // Beside what it makes: the folder for build trees is not this command's to begin.
    let _lock = Lock::acquire(&folder, &session.progress)?;
    let variants =
        if options.variants.is_empty() { Variant::of(&released.manifest) } else { options.variants.clone() };
    let about = released.about()?;
    let mut made = Vec::new();
    files::publish_dir(&folder, |new| {
        let mut layout = Layout::new(&new.join("layout"), &released.manifest)?;
        let mut images: BTreeMap<&Variant, Vec<ForHost>> = BTreeMap::new();
        for host in released.hosts() {
            let step = session.progress.step(format!("images for {host}"));
            for (variant, image) in of_host(session, released, &layout, &variants, host, options.compression)?
            {
                images.entry(variant).or_default().push(image);
            }
            step.done("packed");
        }
        for variant in &variants {
            let of_variant = images.get(variant).ok_or_else(|| nowhere(released, variant))?;
            layout.index(variant, of_variant, &about)?;
            made.push(write_archives(released, variant, of_variant, &options.load, new, &folder)?);
        }
        layout.finish()
    })?;
    Ok(Images { layout: folder.join("layout"), made })
}

fn nowhere(released: &Released, variant: &Variant) -> Usage {
    let why = if variant.has_program() { "anyarch and what belongs into it" } else { "what belongs into it" };
    let release = &released.manifest.release;
    Usage(format!("release {release} makes no image `{}`: for no host does it have {why}", variant.tag()))
}

/// The images for a host, of those that are asked for and can be made.
fn of_host<'a>(
    session: &Session,
    released: &Released,
    layout: &Layout<'_>,
    variants: &'a [Variant],
    host: &str,
    compression: Compression,
) -> Result<Vec<(&'a Variant, ForHost)>> {
    let unpacked = released.unpack(session, host, &session.workspace.out)?;
    let blobs = layout.blobs();
    let pack = |members: &[Member]| layer::pack(members, compression, released.manifest.source.epoch, &blobs);
    let mut packed: BTreeMap<Vec<Member>, Layer> = BTreeMap::new();
    let mut images = Vec::new();
    for variant in variants {
        if variant.has_program() && !unpacked.has_program() {
            continue;
        }
        let Some(contents) = contents(variant, &unpacked)? else { continue };
        let mut layers = Vec::new();
        for members in contents {
            let layer = match packed.get(&members) {
                Some(layer) => layer.clone(),
                None => pack(&members)?,
            };
            packed.insert(members, layer.clone());
            layers.push(layer);
        }
        images.push((variant, layout.image(variant, host, layers)?));
    }
    Ok(images)
}

/// The files of each layer of an image; `None` if the host does not have them.
fn contents(variant: &Variant, unpacked: &Unpacked) -> Result<Option<Vec<Vec<Member>>>> {
    let targets = unpacked.targets();
    let of = |targets: &[&str]| -> Result<Vec<Member>> {
        Ok(targets.iter().map(|target| installed(unpacked, target)).collect::<Result<Vec<_>>>()?.concat())
    };
    Ok(Some(match variant {
        Variant::All => vec![of(&[PROGRAM])?, of(&targets)?],
        Variant::Register => vec![of(&[PROGRAM])?],
        Variant::Emulators => vec![of(&targets)?],
        Variant::Target(target) if targets.contains(&target.as_str()) => {
            vec![of(&[PROGRAM])?, of(&[target])?]
        }
        Variant::Target(_) => return Ok(None),
        Variant::Buildkit => {
            let known = |target: &&str| Target::find(target).is_some_and(|one| !one.platforms.is_empty());
            let targets: Vec<&str> = targets.into_iter().filter(known).collect();
            if targets.is_empty() {
                return Ok(None);
            }
            vec![of(&targets)?.into_iter().map(for_buildkit).collect()]
        }
    }))
}

/// What a release's archive installed for a target, or for the users' program, as it stands in an image.
fn installed(unpacked: &Unpacked, target: &str) -> Result<Vec<Member>> {
    let mut members = unpacked.docs(target, PREFIX)?;
    let name = format!("{PREFIX}/{}", place::emulator(target));
    members.push(Member { name, mode: 0o755, from: unpacked.program(target) });
    Ok(members)
}

/// Emulators lie at the root, as in the image of the same kind that there is: `COPY --from=... / /usr/bin/`.
fn for_buildkit(member: Member) -> Member {
    let programs = format!("{PREFIX}/{}/", place::BIN);
    let name = match member.name.strip_prefix(&programs) {
        Some(program) => format!("{BUILDKIT}{program}"),
        None => member.name,
    };
    Member { name, ..member }
}

fn write_archives(
    released: &Released,
    variant: &Variant,
    images: &[ForHost],
    load: &[String],
    new: &Path,
    folder: &Path,
) -> Result<Made> {
    let mut archives = Vec::new();
    for image in images.iter().filter(|image| load.contains(&image.host)) {
        let tag = variant.tag();
        let release = &released.manifest.release;
        let name = format!("docker/anyarch-{tag}-{release}-linux-{}.tar.gz", image.host.replace('/', "-"));
        let blobs = new.join("layout/blobs/sha256");
        docker::write(
            &new.join(&name),
            &format!("anyarch:{tag}"),
            image,
            &blobs,
            released.manifest.source.epoch,
        )?;
        archives.push(folder.join(name));
    }
    let size = |image: &ForHost| image.layers.iter().map(|layer| layer.size).sum::<u64>();
    let sizes = images.iter().map(|image| (image.host.clone(), size(image))).collect();
    Ok(Made { tag: variant.tag().to_owned(), sizes, archives })
}

/// Gives a blob its name. It may be read by others, as all of a layout.
fn keep(file: NamedTempFile, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .and_then(|()| file.as_file().sync_all())
        .context("cannot write a blob")?;
    file.persist(path).map(drop).with_context(|| format!("cannot keep {}", path.display()))
}
