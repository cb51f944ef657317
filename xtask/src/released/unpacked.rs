//! The files of a release for one host, as they lie in a folder while something is made of them.

use anyarch_client::files::TempFolder;
use anyarch_manifest::layout;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// The emulators of a host, and the users' program if the release has it for the host: checked and unpacked. They are
/// removed when this is dropped.
#[derive(Debug)]
pub struct Unpacked {
    pub(super) targets: Vec<String>,
    pub(super) has_program: bool,
    pub(super) prefix: PathBuf,
    pub(super) _room: TempFolder,
}

/// A file that is to be packed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its path where it is installed, with no slash at the beginning.
    pub name: String,
    /// Its permissions.
    pub mode: u32,
    /// Where its bytes are.
    pub from: PathBuf,
}

impl Unpacked {
    /// The targets that there are emulators of, by QEMU's names.
    pub fn targets(&self) -> Vec<&str> {
        self.targets.iter().map(String::as_str).collect()
    }

    /// Whether the users' program is there.
    pub fn has_program(&self) -> bool {
        self.has_program
    }

    /// The emulator of a target, or the users' program by its name.
    pub fn program(&self, target: &str) -> PathBuf {
        self.prefix.join(layout::emulator(target))
    }

    /// The texts that go with it, under their names below `prefix`.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn docs(&self, target: &str, prefix: &str) -> Result<Vec<Member>> {
        let docs = layout::docs(target);
        files(&self.prefix.join(&docs), &format!("{prefix}/{docs}"))
    }
}

/// The files below a folder, under their names below `name`.
///
/// # Errors
/// When one cannot be listed, or is neither a file nor a folder.
fn files(folder: &Path, name: &str) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let below = format!("{name}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            members.extend(files(&entry.path(), &below)?);
        } else {
            ensure!(kind.is_file(), "{} is no file", entry.path().display());
            members.push(Member { name: below, mode: 0o644, from: entry.path() });
        }
    }
    members.sort();
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_no_file_that_is_packed() {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir(home.path().join("below")).expect("a folder");
        fs::write(home.path().join("below/text"), "x").expect("written");
        let names: Vec<String> =
            files(home.path(), "usr").expect("files").into_iter().map(|member| member.name).collect();
        assert_eq!(names, ["usr/below/text"]);
        std::os::unix::fs::symlink("/etc/passwd", home.path().join("link")).expect("linked");
        let error = files(home.path(), "usr").expect_err("a link").to_string();
        assert!(error.ends_with("/link is no file"), "{error}");
    }
}
