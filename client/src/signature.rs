//! Checks a release's signature, which `ssh-keygen -Y sign` made, without that program.

use crate::error::Usage;
use anyarch_manifest::NAMESPACE;
use anyhow::{Context as _, Result, bail};
use ssh_key::{Algorithm, EcdsaCurve, Fingerprint, HashAlg, PublicKey, SshSig};
use std::fs;
use std::path::Path;

/// Who may have signed a release: a public key, or one that has this fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// By a line of a file.
    Key(PublicKey),
    /// By the SHA-256 of the key, which the signature itself holds.
    Fingerprint(Fingerprint),
}

/// What `--key` says: a fingerprint as `ssh-keygen -l` prints it (`SHA256:...`), or a file with public keys, one a line, as
/// in `~/.ssh/id_ed25519.pub`. Empty lines and comments are skipped.
///
/// # Errors
/// [`Usage`] when it is no fingerprint, or the file cannot be read, holds no key, or holds one whose signatures cannot be
/// checked here.
pub fn signers(word: &Path) -> Result<Vec<Signer>> {
    match word.to_str().filter(|word| word.starts_with(FINGERPRINT)) {
        None => Ok(keys(word)?.into_iter().map(Signer::Key).collect()),
        Some(word) => {
            let fingerprint = word.parse();
            let fingerprint =
                fingerprint.map_err(|_| Usage(format!("`{word}` is no fingerprint of a key")))?;
            Ok(vec![Signer::Fingerprint(fingerprint)])
        }
    }
}

/// How fingerprints begin.
const FINGERPRINT: &str = "SHA256:";

fn keys(file: &Path) -> Result<Vec<PublicKey>> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Usage(format!("cannot read a key from {shown}: {error}")))?;
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = PublicKey::from_openssh(line).map_err(|error| {
            let number = number + 1;
            Usage(format!(
                "line {number} of {shown} is not an OpenSSH public key (`ssh-ed25519 AAAA... name`): {error}"
            ))
        })?;
        if !can_be_checked(&key) {
            bail!(Usage(format!(
                "line {} of {shown} has a key of the type {}, which is not supported: use a key of the type \
                 ssh-ed25519, ecdsa-sha2-nistp256 or ssh-rsa (`ssh-keygen -t ed25519`)",
                number + 1,
                key.algorithm()
            )));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        bail!(Usage(format!("there is no public key in {shown}")));
    }
    Ok(keys)
}

/// The fingerprint of the key that a signature was made by, as it says itself: nothing is checked.
///
/// # Errors
/// When it is no signature.
pub fn signed_by(signature: &[u8]) -> Result<String> {
    let signature = SshSig::from_pem(signature).context("it is truncated or not made by ssh-keygen")?;
    Ok(signature.public_key().fingerprint(HashAlg::Sha256).to_string())
}

/// The fingerprint of a public key: a line as in `~/.ssh/id_ed25519.pub`.
///
/// # Errors
/// When it is none.
pub fn fingerprint_of(line: &str) -> Result<String> {
    let key = PublicKey::from_openssh(line.trim()).context("it is no OpenSSH public key")?;
    Ok(key.fingerprint(HashAlg::Sha256).to_string())
}

/// Whether this program knows how: by the features of ssh-key that it is compiled with.
fn can_be_checked(key: &PublicKey) -> bool {
    matches!(
        key.algorithm(),
        Algorithm::Ed25519
            | Algorithm::SkEd25519
            | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }
            | Algorithm::SkEcdsaSha2NistP256
            | Algorithm::Rsa { .. }
    )
}

/// Checks that one of these signed this text as `ssh-keygen -Y sign -n anyarch` does. Gives the comment of that key,
/// if it has one, and its fingerprint.
///
/// # Errors
/// When the signature is none, is by another key, of another text, or for another purpose.
pub fn check(text: &[u8], signature: &[u8], signers: &[Signer]) -> Result<String> {
    let signature =
        SshSig::from_pem(signature).context("its signature is truncated or not made by ssh-keygen")?;
    let found = signature.public_key().fingerprint(HashAlg::Sha256);
    let trusted = signers.iter().find_map(|signer| match signer {
        Signer::Key(key) => (key.key_data() == signature.public_key()).then(|| key.clone()),
        Signer::Fingerprint(known) => (*known == found).then(|| signature.public_key().clone().into()),
    });
    let Some(key) = trusted else { bail!("it is signed by another key: {found}") };
    if !can_be_checked(&key) {
        bail!("signatures by keys of the type {} cannot be checked here", key.algorithm());
    }
    if signature.namespace() != NAMESPACE {
        bail!("its signature is for `{}`, not for `{NAMESPACE}`", signature.namespace());
    }
    key.verify(NAMESPACE, text, &signature)
        .with_context(|| format!("its signature by {found} does not match these checksums"))?;
    let name = key.comment();
    Ok(if name.is_empty() { found.to_string() } else { format!("{name} ({found})") })
}
