//! Where emulators keep what they have translated from one run to the next: a folder for each root and emulator, in the
//! user's cache. A note beside each says whose it is.

use crate::run::emulator::Emulator;
use crate::run::root::Source;
use crate::text::Text;
use anyarch_client::files;
use anyhow::{Context as _, Result};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// What a folder of translations is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The root; of an image, its manifest.
    pub root: Text,
    /// The name of the image.
    pub image: Option<String>,
    /// The emulator.
    pub emulator: Text,
}

/// A folder of translations.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// The folder.
    pub folder: Text,
    /// What it is for, if that is known.
    #[serde(flatten)]
    pub about: Option<About>,
    /// How many bytes are in it.
    pub size: u64,
}

/// The folder of all of them.
fn home(cache: &Path) -> PathBuf {
    cache.join("tb")
}

/// The folder for a root and an emulator. An emulator that is replaced gets another, and so does a root.
///
/// # Errors
/// When the emulator or the root is not there.
pub fn folder(cache: &Path, root: &Source, emulator: &Emulator) -> Result<PathBuf> {
    let mut hash = Sha256::new();
    let mut files = vec![emulator.path.path()];
    match root {
        // Whoever pulls it once more writes the same manifest to a new file.
        Source::Image { about, .. } => hash.update(about.digest.hex()),
        Source::Folder(_) | Source::Archive { .. } => files.push(root.path()),
    }
    for path in files {
        let meta = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(meta.dev().to_le_bytes());
        hash.update(meta.ino().to_le_bytes());
    }
    let meta = fs::metadata(emulator.path.path()).context("the emulator is gone")?;
    hash.update(meta.len().to_le_bytes());
    hash.update(meta.mtime().to_le_bytes());
    Ok(home(cache).join(&HEXLOWER.encode(&hash.finalize())[..16]))
}

/// Makes a folder as emulators want it, for its user alone, with a note of what it is for.
///
/// # Errors
/// When it cannot be made.
pub fn make(folder: &Path, root: &Source, emulator: &Emulator) -> Result<()> {
    let what = || format!("cannot make {}", folder.display());
    DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(what)?;
    let image = match root {
        Source::Image { about, .. } => Some(about.name.clone()),
        Source::Folder(_) | Source::Archive { .. } => None,
    };
    let about = About { root: root.path().into(), image, emulator: emulator.path.clone() };
    let note = folder.with_extension("json");
    if files::read_json::<About>(&note).as_ref() != Some(&about) {
        files::write_json(&note, &about)?;
    }
    Ok(())
}

/// All folders of a cache.
pub fn all(cache: &Path) -> Vec<Kept> {
    let mut all: Vec<Kept> = fs::read_dir(home(cache))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let folder = entry.path();
            folder.is_dir().then(|| Kept {
                about: files::read_json(&folder.with_extension("json")),
                size: size(&folder),
                folder: folder.into(),
            })
        })
        .collect();
    all.sort_by(|one, other| one.folder.cmp(&other.folder));
    all
}

/// The bytes of the files in a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|meta| meta.len())
        .sum()
}

/// Removes a folder with its note. Who uses it goes on with what it has mapped.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(kept: &Kept) -> Result<()> {
    files::remove(kept.folder.path())?;
    files::remove(&kept.folder.path().with_extension("json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_root_and_emulator_has_a_folder_of_its_own_that_is_listed_and_removed() {
        let cache = tempfile::tempdir().expect("a folder");
        let file = cache.path().join("qemu");
        fs::write(&file, "1").expect("written");
        let emulator =
            Emulator { path: file.clone().into(), target: "arm".to_owned(), keeps_translations: true };
        let roots = ["/usr", "/etc"].map(|path| Source::Folder(path.into()));
        let of = |root: &Source| folder(cache.path(), root, &emulator).expect("a folder");
        assert_ne!(of(&roots[0]), of(&roots[1]));
        let before = of(&roots[0]);
        make(&before, &roots[0], &emulator).expect("made");
        assert_eq!(fs::metadata(&before).expect("made").mode() & 0o777, 0o700);
        fs::write(before.join("x"), "12345").expect("written");
        fs::write(&file, "another").expect("written");
        assert_ne!(of(&roots[0]), before, "another emulator");
        let image = |manifest: &str, text: &[u8]| Source::Image {
            cache: "/".into(),
            manifest: manifest.into(),
            about: anyarch_image::About {
                name: "it".to_owned(),
                digest: anyarch_image::Digest::of(text),
                platform: "linux/arm".to_owned(),
            },
        };
        assert_eq!(of(&image("/etc", b"1")), of(&image("/usr", b"1")), "an image, wherever it is kept");
        assert_ne!(of(&image("/etc", b"1")), of(&image("/etc", b"2")));
        let all_kept = all(cache.path());
        assert_eq!((all_kept.len(), all_kept[0].size), (1, 5));
        assert_eq!(all_kept[0].about.as_ref().expect("a note").root, "/usr".into());
        remove(&all_kept[0]).expect("removed");
        assert!(all(cache.path()).is_empty() && !before.with_extension("json").exists());
    }
}
