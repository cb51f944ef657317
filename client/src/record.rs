//! What is installed below a prefix: which emulators (and the users' program, under its own name), of which release,
//! from where. `install` leaves a record among the
//! texts of each; of those that others installed, the texts themselves say it.

use crate::fetch::Installed;
use crate::files;
use crate::install::{self, PrefixLock};
use crate::progress::Progress;
use anyarch_manifest::layout;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The record's name in the folder of texts.
const FILE: &str = "installed.json";

/// What was put where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Target, by QEMU's name; `anyarch` for the users' program.
    pub target: String,
    /// The release that it is from.
    pub release: String,
    /// Host, by Docker's platform name; unknown where others installed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The mirrors that it was asked of, without passwords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
}

/// An emulator below a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// What is known of it.
    #[serde(flatten)]
    pub record: Record,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes; none if only its texts are there.
    pub size: Option<u64>,
}

/// Writes down where an emulator came from.
///
/// # Errors
/// When the folder of its texts cannot be written.
pub fn write(prefix: &Path, installed: &Installed, from: &[String]) -> Result<()> {
    let record = Record {
        target: installed.target().to_owned(),
        release: installed.release().to_owned(),
        host: Some(installed.host().to_owned()),
        from: from.to_vec(),
    };
    files::write_json(&prefix.join(layout::docs(installed.target())).join(FILE), &record)
}

/// All emulators below a prefix, in the order of their names.
pub fn all(prefix: &Path) -> Vec<Found> {
    // The folder that holds a folder of texts for each.
    let texts = prefix.join(layout::docs(""));
    let folder = texts.parent().unwrap_or(prefix);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<Found> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let target = layout::packed_as(name.to_str()?)?.to_owned();
            let path = install::emulator_path(prefix, &target);
            let size = fs::metadata(&path).ok().filter(fs::Metadata::is_file).map(|meta| meta.len());
            Some(Found { record: read(&entry.path(), &target), path, size })
        })
        .collect();
    all.sort_by(|one, other| one.record.target.cmp(&other.record.target));
    all
}

/// The record of a target by its texts.
fn read(texts: &Path, target: &str) -> Record {
    /// Of the build's facts, what is asked here.
    #[derive(Deserialize)]
    struct Facts {
        release: String,
    }
    let known = files::read_json::<Record>(&texts.join(FILE)).filter(|record| record.target == target);
    known.unwrap_or_else(|| Record {
        target: target.to_owned(),
        release: files::read_json::<Facts>(&texts.join("build.json"))
            .map_or_else(|| "unknown".to_owned(), |facts| facts.release),
        host: None,
        from: Vec::new(),
    })
}

/// Removes an emulator with its texts, and folders that are empty then. Gives what was removed.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(progress: &Progress, prefix: &Path, found: &Found) -> Result<Vec<PathBuf>> {
    let _lock = PrefixLock::acquire(prefix, progress)?;
    let texts = prefix.join(layout::docs(&found.record.target));
    // The emulator first: texts without it are found and removed by the next run.
    let gone: Vec<PathBuf> = [found.path.clone(), texts].into_iter().filter(|path| path.exists()).collect();
    for path in &gone {
        files::remove(path)
            .with_context(|| format!("{} is not removed", layout::program(&found.record.target)))?;
    }
    for path in &gone {
        let above = path.ancestors().skip(1).take_while(|folder| *folder != prefix);
        // A folder with something else in it stays.
        for folder in above {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
    install::sweep(prefix);
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(facts: Option<&str>) -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a folder");
        let texts = home.path().join(layout::docs("arm"));
        fs::create_dir_all(&texts).expect("made");
        fs::create_dir_all(home.path().join("bin")).expect("made");
        fs::write(install::emulator_path(home.path(), "arm"), "12345").expect("written");
        if let Some(facts) = facts {
            fs::write(texts.join("build.json"), facts).expect("written");
        }
        home
    }

    #[test]
    fn what_is_installed_is_found_by_its_record_or_its_texts() {
        let home = prefix(Some(r#"{ "release": "1.2-3", "tag": "v1.2" }"#));
        let found = all(home.path());
        assert_eq!((found.len(), found[0].record.release.as_str(), found[0].size), (1, "1.2-3", Some(5)));
        let record = Record {
            target: "arm".to_owned(),
            release: "1.2-4".to_owned(),
            host: Some("amd64".to_owned()),
            from: vec!["/mirror".to_owned()],
        };
        files::write_json(&home.path().join(layout::docs("arm")).join(FILE), &record).expect("written");
        assert_eq!(all(home.path())[0].record, record);
        assert_eq!(all(prefix(None).path())[0].record.release, "unknown");
        assert!(all(Path::new("/no/such")).is_empty());
    }

    #[test]
    fn all_that_was_put_there_is_removed_and_nothing_else() {
        let home = prefix(None);
        fs::write(home.path().join("bin/other"), "").expect("written");
        let found = all(home.path());
        let gone = remove(&Progress::new(0), home.path(), &found[0]).expect("removed");
        assert_eq!(gone.len(), 2);
        assert!(all(home.path()).is_empty() && !home.path().join("share").exists());
        assert!(home.path().join("bin/other").exists());
    }
}
