//! What is linked into the program: crates of others, Rust's standard library, a C library; with their licences, which
//! go with it.

use crate::facts::Host;
use crate::facts::hosts::Rust;
use crate::process::capture;
use crate::session::Session;
use crate::toolchain::{RustToolchain, Rustc};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Something of others that is linked into the program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Linked {
    /// Its name: `anyhow`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression.
    pub license: String,
    /// Where it comes from, as a package URL.
    pub purl: String,
}

/// What is linked, and the text with all licences.
#[derive(Debug, Clone)]
pub struct Linkage {
    /// Everything, sorted.
    pub linked: Vec<Linked>,
    /// The licences' texts.
    pub licenses: String,
    /// Folders that hold the source of crates; what is compiled must not name them.
    pub folders: Vec<PathBuf>,
}

/// A crate, as `cargo metadata` describes it.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// Asks cargo what is linked for a host. It downloads crates that are missing.
pub fn linkage(session: &Session, host: &Host, rust: &Rust, toolchain: &RustToolchain) -> Result<Linkage> {
    let rustc = &toolchain.rustc;
    let packages = packages(session, rustc, rust)?;
    let compiled = compiled(rustc, rust)?;
    let mut texts = Texts::default();
    let mut linked = Vec::new();
    let mut folders = Vec::new();
    for package in packages.iter().filter(|one| one.source.is_some()) {
        let folder = package.manifest_path.parent().unwrap_or(Path::new("/")).to_owned();
        let above = folder.parent().unwrap_or(Path::new("/")).to_owned();
        if !folders.contains(&above) {
            folders.push(above);
        }
        if !compiled.contains(&(package.name.clone(), package.version.clone())) {
            continue;
        }
        let one = describe(package)?;
        texts.add(&one, license_files(&folder)?);
        linked.push(one);
    }
    for (one, text) in [library(rustc), libc(session, host, rust, toolchain)?] {
        texts.add(&one, vec![text]);
        linked.push(one);
    }
    linked.sort();
    Ok(Linkage { linked, licenses: texts.text(), folders })
}

fn packages(session: &Session, rustc: &Rustc, rust: &Rust) -> Result<Vec<Package>> {
    let target = rust.target.as_str();
    let words = ["metadata", "--locked", "--format-version", "1", "--filter-platform", target];
    let mut command = rustc.cargo(&words);
    if session.offline {
        command.arg("--offline");
    }
    let said = capture(command).context("cargo cannot say which crates there are")?;
    let metadata: Metadata = serde_json::from_str(&said).context("cargo metadata gives no such JSON")?;
    Ok(metadata.packages)
}

/// Names and versions of the crates that are compiled into the program; what only runs in the compiler is none.
fn compiled(rustc: &Rustc, rust: &Rust) -> Result<Vec<(String, String)>> {
    let words = ["tree", "--locked", "--offline", "--package", "anyarch", "--edges", "normal,no-proc-macro"];
    let mut command = rustc.cargo(&words);
    command.args(["--target", &rust.target, "--prefix", "none", "--format", "{p}"]);
    let said = capture(command).context("cargo cannot say which crates are compiled")?;
    let crates = said.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    Ok(crates.collect())
}

fn describe(package: &Package) -> Result<Linked> {
    let Package { name, version, license, .. } = package;
    let license = license.clone().with_context(|| format!("the crate {name} does not name its licence"))?;
    Ok(Linked {
        // An old way to write "or".
        license: license.replace(" / ", " OR ").replace('/', " OR "),
        purl: format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")),
        name: name.clone(),
        version: version.clone(),
    })
}

/// Files with licences in a crate's folder and one level below, where crates have the C that they bring along.
fn license_files(folder: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in list(folder)? {
        if entry.is_dir() {
            paths.extend(list(&entry)?.into_iter().filter(|path| is_license(path)));
        } else if is_license(&entry) {
            paths.push(entry);
        }
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n").trim_end().to_owned() + "\n")
    };
    paths.iter().map(read).collect()
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot list {}", folder.display());
    let entries = fs::read_dir(folder).with_context(cannot)?;
    entries.map(|entry| Ok(entry.with_context(cannot)?.path())).collect()
}

fn is_license(path: &Path) -> bool {
    const NAMES: [&str; 6] = ["COPYING", "COPYRIGHT", "LICENCE", "LICENSE", "NOTICE", "UNLICENSE"];
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
    let is_source = name.ends_with(".RS") || name.ends_with(".TOML") || name.ends_with(".HTML");
    path.is_file() && !is_source && NAMES.iter().any(|begin| name.starts_with(begin))
}

/// Rust's standard library, of which every Rust program holds parts.
fn library(rustc: &Rustc) -> (Linked, String) {
    let version = rustc.version.split(' ').nth(1).unwrap_or_default().to_owned();
    let linked = Linked {
        name: "rust-std".to_owned(),
        purl: format!("pkg:generic/rust-std@{version}"),
        version,
        license: "MIT OR Apache-2.0".to_owned(),
    };
    let text = "Copyright (c) The Rust Project Contributors\n\
                See https://www.rust-lang.org/policies/licenses and the texts of both licences in this folder.\n\
                Its unwinder is LLVM's: Apache-2.0 WITH LLVM-exception.\n";
    (linked, text.to_owned())
}

/// The C library: musl, as Rust's makers compile it along with the standard library; or the sysroot's glibc.
fn libc(session: &Session, host: &Host, rust: &Rust, toolchain: &RustToolchain) -> Result<(Linked, String)> {
    if rust.takes_libc_of_sysroot() {
        let library = Path::new("usr/lib").join(host.multiarch()).join("libc.a");
        let (origin, copyright) = toolchain.sysroot.origin(session, &host.sysroot, &library)?;
        let purl = format!("pkg:deb/debian/{}@{}", origin.package, origin.version.replace('+', "%2B"));
        let license = "LGPL-2.1-or-later".to_owned();
        let linked = Linked { name: origin.package, version: origin.version, license, purl };
        return Ok((linked, copyright));
    }
    let path = session.workspace.root.join("dist/musl-license.txt");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // Rust's makers do not say in the library which version it is: that of their compiler names it.
    let version = format!("rust-{}", toolchain.rustc.version.split(' ').nth(1).unwrap_or_default());
    let purl = format!("pkg:generic/musl@{version}");
    Ok((Linked { name: "musl".to_owned(), version, license: "MIT".to_owned(), purl }, text))
}

/// Licences, each text once, with those who are under it.
#[derive(Debug, Default)]
struct Texts {
    entries: Vec<String>,
    numbers: BTreeMap<String, usize>,
    texts: Vec<String>,
}

impl Texts {
    fn add(&mut self, linked: &Linked, texts: Vec<String>) {
        let mut numbers = Vec::new();
        for text in texts {
            let next = self.texts.len() + 1;
            let number = *self.numbers.entry(text.clone()).or_insert(next);
            if number == next {
                self.texts.push(text);
            }
            numbers.push(format!("[{number}]"));
        }
        let Linked { name, version, license, .. } = linked;
        self.entries.push(format!("{name} {version}: {license} {}", numbers.join(" ")).trim_end().to_owned());
    }

    fn text(mut self) -> String {
        self.entries.sort();
        let mut text = "What anyarch is linked with, under which licences. The numbers are those of the texts below.\n\n"
            .to_owned();
        for entry in &self.entries {
            text.push_str(entry);
            text.push('\n');
        }
        for (number, license) in self.texts.iter().enumerate() {
            text.push_str(&format!("\n---- [{}] ----\n\n{license}", number + 1));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_stands_once_with_all_who_are_under_it() {
        let linked = |name: &str| Linked {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: "MIT".to_owned(),
            purl: String::new(),
        };
        let mut texts = Texts::default();
        texts.add(&linked("b"), vec!["MIT text\n".to_owned(), "notice\n".to_owned()]);
        texts.add(&linked("a"), vec!["MIT text\n".to_owned()]);
        let text = texts.text();
        assert_eq!(text.matches("MIT text").count(), 1, "{text}");
        assert!(text.contains("\na 1.0.0: MIT [1]\nb 1.0.0: MIT [1] [2]\n"), "{text}");
        assert!(text.ends_with("\n---- [2] ----\n\nnotice\n"), "{text}");
    }

    #[test]
    fn licences_of_a_crate_and_of_the_c_in_it_are_found() {
        let home = tempfile::tempdir().expect("a folder");
        for name in ["LICENSE-MIT", "COPYING", "src/lib.rs", "xz/COPYING", "license.rs", "a/b/LICENSE"] {
            anyarch_client::files::write_file(&home.path().join(name), name.as_bytes()).expect("written");
        }
        let found = license_files(home.path()).expect("read");
        assert_eq!(found, ["COPYING\n", "LICENSE-MIT\n", "xz/COPYING\n"]);
    }
}
