//! Checks a release's signature, which `ssh-keygen -Y sign` made, without that program.

use crate::error::Usage;
use anyarch_manifest::NAMESPACE;
use anyhow::{Context as _, Result, bail};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey, SshSig};
use std::fs;
use std::path::Path;

/// Reads the public keys in a file, one a line, as in `~/.ssh/id_ed25519.pub`. Empty lines and comments are skipped.
///
/// # Errors
/// [`Usage`] when the file cannot be read, holds no key, or holds one whose signatures cannot be checked here.
pub fn keys(file: &Path) -> Result<Vec<PublicKey>> {
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

/// Checks that one of the keys signed this text as `ssh-keygen -Y sign -n anyarch` does. Gives the comment of that key,
/// if it has one, and its fingerprint.
///
/// # Errors
/// When the signature is none, is by another key, of another text, or for another purpose.
pub fn check(text: &[u8], signature: &[u8], keys: &[PublicKey]) -> Result<String> {
    let signature =
        SshSig::from_pem(signature).context("its signature is truncated or not made by ssh-keygen")?;
    let signer = signature.public_key().fingerprint(HashAlg::Sha256);
    let Some(key) = keys.iter().find(|key| key.key_data() == signature.public_key()) else {
        bail!("it is signed by another key: {signer}");
    };
    if signature.namespace() != NAMESPACE {
        bail!("its signature is for `{}`, not for `{NAMESPACE}`", signature.namespace());
    }
    key.verify(NAMESPACE, text, &signature)
        .with_context(|| format!("its signature by {signer} does not match these checksums"))?;
    let name = key.comment();
    Ok(if name.is_empty() { signer.to_string() } else { format!("{name} ({signer})") })
}
