//! The corresponding source, as the GPL asks, in one archive: QEMU's pinned source as it came, and this checkout
//! (driver, patches, toolchains, guests) as it is now.

use super::manifest::document;
use crate::facts::Series;
use crate::package::append;
use crate::process::capture;
use crate::session::Session;
use crate::source::{self, git};
use crate::store;
use anyarch_manifest::{Document, DocumentKind};
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tar::{Builder, EntryType};
use xshell::Shell;

/// Writes `anyarch-<release>-source.tar` into the release's folder. QEMU's part is packed already, so the
/// whole is not packed once more.
pub fn write(session: &Session, series: &Series, folder: &Path) -> Result<Document> {
    let name = format!("anyarch-{}", series.release());
    let step = session.progress.step("gather the corresponding source");
    let files = tracked(&session.workspace.root)?;
    let scratch = store::Scratch::new(&session.workspace.trees)?;
    let qemu = source::obtain(session, series, None)?.archive(series, scratch.path())?;
    let qemu_name = qemu.file_name().context("a tarball without a name")?.to_string_lossy().into_owned();
    let path = folder.join(format!("{name}-source.tar"));
    store::write_file_with(&path, |file| {
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
                format!("{file} is tracked by git, but gone: commit that, or bring it back")
            })?;
            ensure!(meta.is_file(), "{file} is no plain file");
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

/// The files of the checkout, sorted: what git tracks, whatever else lies there.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let shell = Shell::new().context("no current folder")?;
    let listed =
        capture(git::git(&shell).arg("-C").arg(root).args(["ls-files", "-z"])).with_context(|| {
            format!(
                "{} is no git checkout, so its source cannot be told from what else lies there",
                root.display()
            )
        })?;
    let mut files: Vec<String> =
        listed.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    files.sort();
    Ok(files)
}

impl source::PinnedSource {
    /// The source as one file: the tarball as it came, or a commit packed by git into `folder`.
    fn archive(&self, series: &Series, folder: &Path) -> Result<std::path::PathBuf> {
        match self.form() {
            source::Form::Tarball(file) => Ok(file.clone()),
            source::Form::Object { repository, id } => {
                let name = format!("qemu-{}", series.pins.version);
                let path = folder.join(format!("{name}.tar"));
                File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
                let shell = Shell::new().context("no current folder")?;
                let archive = git::git(&shell).arg("-C").arg(repository).args(["archive", "--format=tar"]);
                let archive = archive.arg(format!("--prefix={name}/")).arg("-o").arg(&path).arg(id);
                capture(archive)?;
                Ok(path)
            }
        }
    }
}
