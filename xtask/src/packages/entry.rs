//! What a package installs, one thing at a time.

use anyhow::Result;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A file or a symbolic link that a package installs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, with no slash at the beginning.
    pub path: String,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A program of the release's.
    Program(PathBuf),
    /// A text of the release's.
    Text(PathBuf),
    /// A text that is written for this package.
    Written(Vec<u8>),
    /// A script of the package's own.
    Script(Vec<u8>),
    /// A link, and where it leads.
    Link(String),
    /// A folder.
    Folder,
}

impl Entry {
    /// Its permissions.
    pub fn mode(&self) -> u32 {
        match self.kind {
            Kind::Program(_) | Kind::Script(_) | Kind::Folder => 0o755,
            Kind::Text(_) | Kind::Written(_) => 0o644,
            Kind::Link(_) => 0o777,
        }
    }

    /// Its bytes. Folders and links have none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match &self.kind {
            Kind::Program(from) | Kind::Text(from) => super::read(from),
            Kind::Written(bytes) | Kind::Script(bytes) => Ok(bytes.clone()),
            Kind::Link(_) | Kind::Folder => Ok(Vec::new()),
        }
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        !matches!(self.kind, Kind::Link(_) | Kind::Folder)
    }

    /// The last part of its path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether it is the text of a licence.
    pub fn is_licence(&self) -> bool {
        ["COPYING", "LICENSE"].iter().any(|begin| self.file_name().starts_with(begin))
    }
}

/// The same entries sorted by their paths, with every folder that is above one.
pub fn with_folders(entries: &[Entry]) -> Vec<Entry> {
    let above = entries.iter().flat_map(|entry| Path::new(&entry.path).ancestors().skip(1));
    let folders: BTreeSet<&Path> = above.filter(|folder| !folder.as_os_str().is_empty()).collect();
    let folders = folders.into_iter().map(|folder| folder.display().to_string());
    let mut all: Vec<Entry> = folders.map(|path| Entry { path, kind: Kind::Folder }).collect();
    all.extend(entries.iter().cloned());
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_go_before_what_is_in_them_and_come_once() {
        let entry = |path: &str| Entry { path: path.to_owned(), kind: Kind::Written(Vec::new()) };
        let all = with_folders(&[entry("usr/share/b"), entry("usr/bin/a")]);
        let paths: Vec<&str> = all.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["usr", "usr/bin", "usr/bin/a", "usr/share", "usr/share/b"]);
        assert_eq!(all.iter().filter(|entry| entry.kind == Kind::Folder).count(), 3);
    }
}
