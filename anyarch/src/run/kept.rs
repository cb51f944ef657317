//! Changes that are kept from one run to the next, beside a root that stays as it is: `--keep NAME`. They are the user's
//! own, and lie where users' data does, not in the cache.

use crate::run::root::Source;
use crate::text::Text;
use anyarch_client::error::Usage;
use anyarch_client::files;
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// What changes are of, beside them.
const NOTE: &str = "changes.json";

/// Changes of a root, under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Their name.
    pub name: String,
    /// The folder that they lie in.
    pub folder: Text,
    /// The root: a folder, or the digest of an image.
    pub root: Text,
    /// The name of the image.
    pub image: Option<String>,
}

/// What stands in the note.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    root: Text,
    image: Option<String>,
}

/// Where all of them lie.
///
/// # Errors
/// [`Usage`] when the user has no home.
pub fn home() -> Result<PathBuf, Usage> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = named("XDG_DATA_HOME").or_else(|| Some(env::home_dir()?.join(".local/share")));
    data.filter(|path| path.is_absolute())
        .map(|path| path.join("anyarch/kept"))
        .ok_or_else(|| Usage("--keep: no home folder to keep changes in; set XDG_DATA_HOME".to_owned()))
}

/// The changes of a root under a name. They need not be there yet.
///
/// # Errors
/// [`Usage`] when they are of another root, or the name is none.
pub fn named(home: &Path, name: &str, root: &Source) -> Result<Kept, Usage> {
    let folder = folder(home, name)?;
    let (root, image) = match root {
        Source::Folder(path) => (path.clone(), None),
        Source::Image { about, .. } => (about.digest.to_string().into(), Some(about.name.clone())),
        Source::Archive { .. } => {
            return Err(Usage(
                "--keep: an archive is unpacked anew each time; unpack it into a folder".to_owned(),
            ));
        }
    };
    match files::read_json::<Note>(&folder.join(NOTE)) {
        Some(note) if note.root != root => Err(Usage(format!(
            "--keep {name}: these are changes of {}, not of {}\n  take another name, or remove them: anyarch kept remove {name}",
            note.image.unwrap_or_else(|| note.root.to_string()),
            image.unwrap_or_else(|| root.to_string()),
        ))),
        _ => Ok(Kept { name: name.to_owned(), folder: folder.into(), root, image }),
    }
}

/// The folder for a name.
fn folder(home: &Path, name: &str) -> Result<PathBuf, Usage> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !name.is_empty() && name.len() < 100 && !name.starts_with('.') && name.chars().all(is_plain) {
        true => Ok(home.join(name)),
        false => Err(Usage(format!(
            "`{}` is no name for changes: take letters, digits, `-`, `_`, `.`",
            Text::from(name)
        ))),
    }
}

/// Makes the folders for changes as far as they are not there, and keeps others from using them as long as the file lives.
///
/// # Errors
/// When they cannot be made, or another run uses them.
pub fn claim(kept: &Kept) -> Result<File> {
    let folder = kept.folder.path();
    for name in ["upper", "work"] {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let lock = alone(folder, &kept.name)?;
    let note = Note { root: kept.root.clone(), image: kept.image.clone() };
    if files::read_json::<Note>(&folder.join(NOTE)).as_ref() != Some(&note) {
        files::write_json(&folder.join(NOTE), &note)?;
    }
    Ok(lock)
}

/// All of them.
pub fn all(home: &Path) -> Vec<Kept> {
    let one = |folder: PathBuf| {
        let Note { root, image } = files::read_json(&folder.join(NOTE))?;
        let name = folder.file_name()?.to_str()?.to_owned();
        Some(Kept { name, folder: folder.into(), root, image })
    };
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    let mut all: Vec<Kept> = entries.filter_map(|entry| one(entry.path())).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// The changes of a name, which nobody uses as long as the file lives.
///
/// # Errors
/// [`Usage`] when there are none; else when a run uses them.
pub fn to_remove(home: &Path, name: &str) -> Result<(PathBuf, File)> {
    let folder = folder(home, name)?;
    if !folder.join(NOTE).exists() {
        bail!(Usage(format!("there are no changes of the name {name}: anyarch kept list")));
    }
    let lock = alone(&folder, name)?;
    Ok((folder, lock))
}

fn alone(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join("lock");
    let what = || format!("cannot lock {}", path.display());
    let file = File::options().create(true).truncate(false).write(true).open(&path).with_context(what)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another run uses the changes {name}: take another name, or wait")
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_of_one_root_and_one_run_uses_them() {
        let home = tempfile::tempdir().expect("a folder");
        let (one, other) = (Source::Folder("/srv/one".into()), Source::Folder("/srv/other".into()));
        let kept = named(home.path(), "web", &one).expect("new");
        let lock = claim(&kept).expect("made");
        let error = claim(&kept).expect_err("in use").to_string();
        assert!(error.contains("another run uses the changes web"), "{error}");
        assert!(to_remove(home.path(), "web").is_err());
        drop(lock);
        let error = named(home.path(), "web", &other).expect_err("of another").to_string();
        assert!(error.contains("changes of /srv/one, not of /srv/other"), "{error}");
        assert_eq!(all(home.path()), [kept]);
        let (folder, _lock) = to_remove(home.path(), "web").expect("there");
        assert!(folder.join("upper").is_dir());
        for odd in ["", "../x", ".hidden", "a/b", "a b"] {
            assert!(named(home.path(), odd, &one).is_err(), "{odd}");
        }
        assert!(to_remove(home.path(), "none").expect_err("none").is::<Usage>());
    }
}
