//! The installer for people without Rust, told which release it belongs to and where that lies.

use super::manifest::document;
use anyarch_client::files;
use anyarch_manifest::{Document, DocumentKind};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::Path;

/// What `dist/install.sh` has in the place of each.
const RELEASE: &str = "RELEASE='@RELEASE@'";
const BASE: &str = "BASE='@BASE@'";

/// Writes `install.sh` into the release's folder. Both words hold no character that a shell reads as
/// another: names of releases and addresses were checked.
pub fn write(root: &Path, release: &str, base: Option<&str>, folder: &Path) -> Result<Document> {
    let source = root.join("dist/install.sh");
    let script = fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    ensure!(
        script.matches(RELEASE).count() == 1 && script.matches(BASE).count() == 1,
        "{} has no one place for its release and its address",
        source.display()
    );
    let filled = script.replace(RELEASE, &format!("RELEASE='{release}'"));
    let filled = match base {
        Some(base) => filled.replace(BASE, &format!("BASE='{base}'")),
        None => filled,
    };
    let path = folder.join("install.sh");
    files::write_file(&path, filled.as_bytes())?;
    document(DocumentKind::Installer, &path)
}
