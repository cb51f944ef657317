//! Signatures of Debian's archive, checked by a program that the machine has for it: `gpgv`, or `sqv`, which newer systems
//! have instead. OpenPGP is big, and both are what apt itself relies on.

use crate::ended::Missing;
use anyarch_client::answer::printable;
use anyhow::{Context as _, Result, bail};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian's package `debian-archive-keyring` has its keys, on Debian and elsewhere.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// Programs that check signatures: both take `--keyring KEYS SIGNATURE FILE`.
const PROGRAMS: [&str; 2] = ["gpgv", "sqv"];

/// What a signature begins with.
const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";

/// What checks signatures on this machine.
#[derive(Debug)]
pub struct Verifier {
    program: PathBuf,
    keyring: PathBuf,
}

impl Verifier {
    /// The one with these keys; if none are named, with those that Debian's package has put on the machine.
    ///
    /// # Errors
    /// [`Missing`] when there are no keys, or there is no program, with what to do.
    pub fn of_this_machine(keyring: Option<&Path>) -> Result<Self> {
        let known = KEYRINGS.map(PathBuf::from);
        let found = match keyring {
            Some(path) => Some(path.to_owned()),
            None => known.iter().find(|path| path.is_file()).cloned(),
        };
        let keyring = found.filter(|path| path.is_file()).ok_or_else(|| {
            let wanted = keyring.unwrap_or(&known[0]).display();
            Missing(format!(
                "the keys of Debian's archive are not here: there is no {wanted}\n  \
                 to fix it: apt-get install debian-archive-keyring (Fedora: dnf install debian-keyring; \
                 Arch: pacman -S debian-archive-keyring),\n  \
                 or copy that file from a Debian that you trust, and pass it: --keyring FILE"
            ))
        })?;
        let keyring = std::path::absolute(&keyring)?;
        let path = env::var_os("PATH").unwrap_or_default();
        let programs = PROGRAMS.iter().filter_map(|name| find(name, &path));
        let program = programs.into_iter().next().ok_or_else(|| {
            Missing(
                "nothing here can check the signature of Debian's archive\n  \
                 to fix it: apt-get install gpgv (elsewhere it is part of gnupg), or sqv"
                    .to_owned(),
            )
        })?;
        Ok(Self { program, keyring })
    }

    /// The text of a signed message whose signature is of one of the keys. It is written into `folder`, which is private.
    ///
    /// # Errors
    /// When it is no such message, or not signed by one of them, with what the program says about it.
    pub fn check(&self, message: &str, folder: &Path) -> Result<String> {
        let (text, signature) = split(message).context("it is not a signed message")?;
        let (signed, by) = (folder.join("Release"), folder.join("Release.gpg"));
        for (path, bytes) in [(&signed, &text), (&by, &signature)] {
            fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut command = Command::new(&self.program);
        command.arg("--keyring").arg(&self.keyring).args([&by, &signed]);
        // Its words are shown, and its own files are of no use: keys of the user must not count.
        command.env("LC_ALL", "C").env("GNUPGHOME", folder).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run {}", self.program.display()))?;
        if !output.status.success() {
            let said = printable(String::from_utf8_lossy(&output.stderr).trim());
            bail!(
                "it is not signed by a key of {}\n  {}\n  \
                 is that keyring as new as the suite? If so, do not use this mirror",
                self.keyring.display(),
                said.replace('\n', "\n  ")
            );
        }
        Ok(text)
    }
}

/// The text and the signature of a message: one text, one signature, and nothing before, between or behind them that
/// might pass for signed. Lines of the text have no blanks at their ends then, as those that were signed.
fn split(message: &str) -> Option<(String, String)> {
    let mut lines = message.lines();
    (lines.next()?.trim_end() == "-----BEGIN PGP SIGNED MESSAGE-----").then_some(())?;
    loop {
        match lines.next()?.trim_end() {
            "" => break,
            header => header.starts_with("Hash: ").then_some(())?,
        }
    }
    let mut text: Vec<&str> = Vec::new();
    loop {
        let line = lines.next()?.trim_end();
        match (line.strip_prefix("- "), line) {
            (Some(escaped), _) => text.push(escaped),
            (None, BEGIN) => break,
            (None, line) => text.push((!line.starts_with('-')).then_some(line)?),
        }
    }
    let mut signature = format!("{BEGIN}\n");
    loop {
        let line = lines.next()?.trim_end();
        signature.push_str(line);
        signature.push('\n');
        match line {
            "-----END PGP SIGNATURE-----" => break,
            line => (!line.starts_with('-')).then_some(())?,
        }
    }
    lines.all(|line| line.trim().is_empty()).then(|| (text.join("\n"), signature))
}

/// A program of `PATH`.
fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    let folders = env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_text_and_one_signature() {
        let message = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian  \n- -----dash\n\n\
                       -----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----\n";
        let (text, signature) = split(message).expect("a message");
        assert_eq!(text, "Origin: Debian\n-----dash\n");
        assert_eq!(signature, "-----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----\n");
        for (from, to) in [
            ("-----BEGIN PGP SIGNED", "Codename: evil\n-----BEGIN PGP SIGNED"),
            ("Hash: SHA256\n", "Hash: SHA256\nCodename: evil\n"),
            ("Origin", "-----BEGIN PGP SIGNED MESSAGE-----\nOrigin"),
            ("abc=", "-----BEGIN PGP SIGNATURE-----"),
            ("-----END PGP SIGNATURE-----\n", "-----END PGP SIGNATURE-----\nCodename: evil\n"),
            ("-----END PGP SIGNATURE-----\n", ""),
        ] {
            assert!(message.contains(from) && split(&message.replacen(from, to, 1)).is_none(), "{to}");
        }
    }
}
