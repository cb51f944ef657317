//! `SHA256SUMS`, in the format of the program `sha256sum`, and its signature: who trusts the one file can
//! check all others of a release.

use super::zst;
use crate::error::Missing;
use crate::package;
use crate::process::{self, ended, output};
use anyarch_client::files;
use anyarch_client::signature;
use anyarch_manifest::{NAMESPACE, SIGNATURE, SUMS as FILE};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use xshell::cmd;

/// Writes the sums of these files of a release's folder: hash by name. An archive there that is none of them is an
/// error, since people would take it for a part of the release.
pub fn write(folder: &Path, files: &[(String, String)]) -> Result<PathBuf> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_archive = [package::EXTENSION, zst::EXTENSION].iter().any(|end| name.ends_with(end));
        ensure!(
            !is_archive || files.iter().any(|(known, _)| *known == name),
            "{} is not part of this release: remove it, or also name the folder that it was made in",
            entry.path().display()
        );
    }
    let path = folder.join(FILE);
    let text = package::sums(files.iter().map(|(name, sha256)| (name.as_str(), sha256.as_str())));
    if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
        // Another text's signature must never lie beside this one.
        files::remove(&folder.join(SIGNATURE))?;
        files::write_file(&path, text.as_bytes())?;
    }
    Ok(path)
}

/// The program that signs, if it and the key are there: known before anything is written.
pub fn can_sign(key: &Path) -> Result<PathBuf> {
    ensure!(key.is_file(), "there is no key file {}", key.display());
    let missing = |_| Missing::new("ssh-keygen", "apt-get install openssh-client");
    Ok(which::which("ssh-keygen").map_err(missing)?)
}

/// The file with the public key that signed a release, beside it. It is no part of the release: whoever takes it from there
/// compares its fingerprint with one from elsewhere.
pub const KEY: &str = "anyarch.pub";

/// The public half of an SSH key: of a private key's file, or what a public one's says.
pub fn public(key: &Path) -> Result<String> {
    let program = can_sign(key)?;
    let text = fs::read_to_string(key).with_context(|| format!("cannot read {}", key.display()))?;
    if signature::fingerprint_of(&text).is_ok() {
        return Ok(text);
    }
    let shell = process::shell()?;
    let command = cmd!(shell, "{program} -y -P '' -f {key}");
    let said = output(&mut command.into())?;
    if said.status.success() {
        return Ok(String::from_utf8_lossy(&said.stdout).into_owned());
    }
    // Of one with a passphrase, the public half lies beside it.
    let beside = PathBuf::from(format!("{}.pub", key.display()));
    fs::read_to_string(&beside).with_context(|| format!("cannot read {}", beside.display()))
}

/// What the file of a public key says.
pub fn read_public(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    signature::fingerprint_of(&text).with_context(|| format!("{} holds no public key", file.display()))?;
    Ok(text)
}

/// Signs the sums with an SSH key: a private key's file, or a public one whose private half an agent holds.
pub fn sign(sums: &Path, key: &Path) -> Result<PathBuf> {
    let program = can_sign(key)?;
    // It writes beside what it signs, and asks before it replaces: it gets a copy in a private folder.
    let folder = sums.parent().unwrap_or(Path::new("."));
    let scratch = files::TempFolder::new(folder)?;
    let copy = scratch.path().join(FILE);
    fs::copy(sums, &copy).with_context(|| format!("cannot copy {}", sums.display()))?;
    let shell = process::shell()?;
    let command = cmd!(shell, "{program} -Y sign -n {NAMESPACE} -f {key} {copy}");
    // In a process group of its own it would stop when it asks a terminal; so it is to fail instead.
    let command = command.env("SSH_ASKPASS", "/bin/false").env("SSH_ASKPASS_REQUIRE", "force");
    let said = output(&mut command.into())?;
    if !said.status.success() {
        let why = String::from_utf8_lossy(&said.stderr);
        bail!(
            "ssh-keygen cannot sign with {}: it {}: {}\n  for a key with a passphrase: ssh-add {0}",
            key.display(),
            ended(said.status),
            why.trim()
        );
    }
    let made = fs::read(scratch.path().join(SIGNATURE)).context("ssh-keygen wrote no signature")?;
    let path = folder.join(SIGNATURE);
    files::write_file(&path, &made)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyarch_client::hash;

    #[test]
    fn sums_are_sorted_and_a_strange_archive_is_refused() {
        let home = tempfile::tempdir().expect("a folder");
        for name in ["b.tar.xz", "b.json", FILE, SIGNATURE, ".partial-1-x"] {
            fs::write(home.path().join(name), "").expect("written");
        }
        let empty = hash::sha256(b"");
        let files = ["b.tar.xz", "a"].map(|name| (name.to_owned(), empty.clone()));
        let path = write(home.path(), &files).expect("written");
        assert_eq!(fs::read_to_string(path).expect("read"), format!("{empty}  a\n{empty}  b.tar.xz\n"));
        assert!(!home.path().join(SIGNATURE).exists(), "the signature of another text");
        fs::write(home.path().join("c.tar.zst"), "").expect("written");
        let error = write(home.path(), &files).expect_err("refused").to_string();
        assert!(error.contains("c.tar.zst is not part of this release"), "{error}");
    }

    #[test]
    fn a_key_with_a_passphrase_is_told_and_never_waited_for() {
        let home = tempfile::tempdir().expect("a folder");
        let (sums, key) = (home.path().join(FILE), home.path().join("key"));
        fs::write(&sums, "").expect("written");
        let shell = process::shell().expect("a shell");
        let mut make = cmd!(shell, "ssh-keygen -q -t ed25519 -N secret -f {key}").into();
        assert!(output(&mut make).expect("ssh-keygen").status.success());
        let error = sign(&sums, &key).expect_err("it is locked").to_string();
        assert!(error.contains("ssh-add") && !home.path().join(SIGNATURE).exists(), "{error}");
    }
}
