//! The list of a suite's packages: which there are, what they need, and what their files must be.

use crate::rootfs::control::{Stanza, stanzas};
use anyarch_client::answer::printable;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;

/// All packages of a suite for one architecture.
#[derive(Debug)]
pub struct Index<'a> {
    by_name: BTreeMap<&'a str, Stanza<'a>>,
    /// Who else serves under a name.
    providers: BTreeMap<&'a str, Vec<&'a str>>,
}

/// A package as the list describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The folder of its file on a mirror, and the file's name there.
    pub file: (String, String),
    /// The size of its file in bytes.
    pub size: u64,
    /// The SHA-256 of its file, lower-case hex.
    pub sha256: String,
}

/// What a package needs: of each group, one package.
pub type Needs<'a> = Vec<Vec<&'a str>>;

impl<'a> Index<'a> {
    /// Reads the list.
    pub fn read(text: &'a str) -> Self {
        let (mut by_name, mut providers) = (BTreeMap::new(), BTreeMap::<&str, Vec<&str>>::new());
        for stanza in stanzas(text) {
            let Some(name) = stanza.get("Package") else { continue };
            for provided in groups(stanza.get("Provides")).into_iter().flatten() {
                providers.entry(provided).or_default().push(name);
            }
            by_name.insert(name, stanza);
        }
        Self { by_name, providers }
    }

    /// Whether there is a package of this name.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Packages that every system has: those that are essential or required.
    pub fn required(&self) -> impl Iterator<Item = &'a str> {
        let is_required = |stanza: &Stanza<'_>| {
            stanza.get("Essential") == Some("yes") || stanza.get("Priority") == Some("required")
        };
        self.by_name.iter().filter(move |(_, stanza)| is_required(stanza)).map(|(name, _)| *name)
    }

    /// Packages that serve under a name besides the one that has it.
    pub fn providers(&self, name: &str) -> &[&'a str] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }

    /// What a package needs in order to be installed.
    pub fn needs(&self, name: &str) -> Needs<'a> {
        let Some(stanza) = self.by_name.get(name) else { return Vec::new() };
        [groups(stanza.get("Pre-Depends")), groups(stanza.get("Depends"))].concat()
    }

    /// The package of a name.
    ///
    /// # Errors
    /// When there is none, or what is said of it makes no sense.
    pub fn package(&self, name: &str) -> Result<Package> {
        let stanza =
            self.by_name.get(name).with_context(|| format!("there is no package {}", printable(name)))?;
        let field = |field: &str| {
            stanza.get(field).with_context(|| format!("{field} is missing of {}", printable(name)))
        };
        let (folder, file) = field("Filename")?
            .rsplit_once('/')
            .with_context(|| format!("the file of {} has no folder", printable(name)))?;
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~_".contains(c))
        };
        ensure!(
            folder.split('/').chain([file]).all(is_plain),
            "the file of {} has a name that leads elsewhere",
            printable(name)
        );
        Ok(Package {
            name: name.to_owned(),
            version: field("Version")?.to_owned(),
            file: (folder.to_owned(), file.to_owned()),
            size: field("Size")?
                .parse()
                .with_context(|| format!("the size of {} is no number", printable(name)))?,
            sha256: hash(field("SHA256")?)
                .with_context(|| format!("the hash of {} is none", printable(name)))?,
        })
    }
}

fn hash(text: &str) -> Option<String> {
    let is_hex = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| text.to_owned())
}

/// `a (>= 1) | b, c:any`: groups of names. Versions are left to dpkg: within a suite they fit.
fn groups(text: Option<&str>) -> Vec<Vec<&str>> {
    text.unwrap_or_default().split(',').map(group).filter(|group| !group.is_empty()).collect()
}

fn group(text: &str) -> Vec<&str> {
    let end = [' ', '(', ':', '[', '\n', '\t'];
    let names = text.split('|').map(|one| one.trim().split(end).next().unwrap_or_default());
    names.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_with_what_they_need_and_serve_as() {
        let hash = "b".repeat(64);
        let text = format!(
            "Package: mawk\nVersion: 1.3\nPriority: required\nProvides: awk, x (= 1)\nPre-Depends: libc6 (>= 2.34)\n\
             Depends: a | b:any, c\n (>= 1)\nFilename: pool/main/m/mawk/mawk_1.3_arm64.deb\nSize: 9\nSHA256: {hash}\n\n\
             Package: base\nEssential: yes\n\nPackage: evil\nVersion: 1\nFilename: pool/../../x.deb\nSize: 1\nSHA256: {hash}\n"
        );
        let index = Index::read(&text);
        assert_eq!(index.required().collect::<Vec<_>>(), ["base", "mawk"]);
        assert_eq!(index.providers("awk"), ["mawk"]);
        assert_eq!(index.needs("mawk"), [vec!["libc6"], vec!["a", "b"], vec!["c"]]);
        let mawk = index.package("mawk").expect("one");
        assert_eq!(mawk.file, ("pool/main/m/mawk".to_owned(), "mawk_1.3_arm64.deb".to_owned()));
        assert!(index.package("evil").expect_err("leads out").to_string().contains("leads elsewhere"));
        assert!(index.package("none").is_err() && index.package("base").is_err());
    }
}
