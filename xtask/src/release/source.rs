//! The corresponding source, as the GPL asks, in one archive: QEMU's pinned source as it came, and this checkout
//! (driver, patches, toolchains, guests) as it is now.

use super::manifest::document;
use crate::facts::Series;
use crate::git;
use crate::package::append;
use crate::process::{self, capture};
use crate::session::Session;
use crate::source;
use anyarch_client::files;
use anyarch_manifest::{Document, DocumentKind};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tar::{Builder, EntryType};

/// Writes `anyarch-<release>-source.tar` into the release's folder. QEMU's part is packed already, so the
/// whole is not packed once more.
pub fn write(session: &Session, series: &Series, folder: &Path) -> Result<Document> {
    let name = format!("anyarch-{}", series.release());
    let step = session.progress.step("gather the corresponding source");
    let files = tracked(&session.workspace.root)?;
    let qemu = source::tarball(session, series)?;
    let qemu_name = qemu.file_name().context("a tarball without a name")?.to_string_lossy().into_owned();
    let path = folder.join(format!("{name}-source.tar"));
    files::write_file_with(&path, |file| {
        let mut archive = Builder::new(file);
        let mut add = |inside: &str, mode, content: &[u8]| {
            append(
                &mut archive,
                EntryType::Regular,
                &format!("{name}/{inside}"),
                mode,
                content,
                series.pins.epoch,
            )
        };
        add("README", 0o644, readme(&qemu_name).as_bytes())?;
        add(&format!("qemu/{qemu_name}"), 0o644, &read(&qemu)?)?;
        for file in &files {
            let place = session.workspace.root.join(file);
            let meta = fs::symlink_metadata(&place).with_context(|| {
                format!("{file} is tracked by git but does not exist: restore it, or commit its removal")
            })?;
            ensure!(meta.is_file(), "{file} is not a regular file");
            let mode = if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            add(&format!("anyarch/{file}"), mode, &read(&place)?)?;
        }
        archive.finish().map_err(Into::into)
    })?;
    step.done("packed");
    document(DocumentKind::Source, &path)
}

fn readme(qemu: &str) -> String {
    format!(
        "The source of the emulators of this release: QEMU's as it was pinned, and the driver, patches and\n\
         guest programs of anyarch. To build one of them:\n\n\
         \x20   cd anyarch\n\
         \x20   cargo xtask build --source ../qemu/{qemu} --target aarch64\n\n\
         build.json in each tarball names the compiler and the libraries' packages, which are Debian's.\n"
    )
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The folders that a build reads. Others may lie beside them: what jobs handed on, or the release itself.
const READ: [&str; 12] = [
    ".cargo",
    "anyarch",
    "binfmt",
    "client",
    "dist",
    "fuzz",
    "guests",
    "image",
    "manifest",
    "patches",
    "toolchains",
    "xtask",
];

/// The files of the checkout, sorted: what git tracks. What it does not track, though a build reads it, would be
/// missing, which is an error.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let shell = process::shell()?;
    let list = |words: &[&str]| -> Result<Vec<String>> {
        let listed = capture(git::at(&shell, root).args(["ls-files", "-z"]).args(words))
            .with_context(|| format!("git cannot list the files of {}", root.display()))?;
        Ok(listed.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    };
    let unknown = list(&[&["--others", "--exclude-standard", "--"], &READ[..]].concat())?;
    ensure!(
        unknown.is_empty(),
        "the source of a release is what git tracks, and these are not tracked: {}\n  commit or remove them",
        unknown.join(" ")
    );
    let mut files = list(&[])?;
    ensure!(
        files.iter().any(|file| file == "Cargo.lock"),
        "{} is not a git checkout of anyarch, so it is not known which files are its source",
        root.display()
    );
    files.sort();
    Ok(files)
}
