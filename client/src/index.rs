//! What a mirror says of a release, and why that is believed: a signature vouches for the checksums, if a key is
//! given, the checksums for the manifest, and the manifest for everything else.

use crate::answer::TransferError;
use crate::hash;
use crate::mirror::Mirror;
use crate::progress::Progress;
use crate::signature::{self, Signer};
use crate::transfer::Mirrors;
use anyarch_manifest::{FILE, FileName, Manifest, SIGNATURE, SUMS, Sha256};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::collections::BTreeMap;

/// The most that each of these files may take. A manifest of all targets for all hosts takes less than a MB.
const MAX_BYTES: u64 = 16 << 20;

/// The manifest of a release, with what vouches for it.
#[derive(Debug)]
pub struct Index {
    /// What the release holds. Its hash is the one that the checksums of the release name.
    pub manifest: Manifest,
    /// Whose key signed the checksums, as [`signature::check`] names it. `None` if no key was asked for: then only the
    /// connection to the mirror vouches for the release.
    pub signer: Option<String>,
}

/// The name under which a mirror has its newest release once more: a link, or a copy of what an [`Index`] is read from.
pub const LATEST: &str = "latest";

/// Reads the manifest of a release from the first mirror that gives one for which its checksums vouch, and, if there
/// are `signers`, one of these for the checksums. Tells the user which key signed it, or that none was asked for.
///
/// # Errors
/// When no mirror gives such a manifest; the message has a line for each mirror.
pub fn read(progress: &Progress, mirrors: &Mirrors, release: &FileName, signers: &[Signer]) -> Result<Index> {
    search(progress, mirrors, release.as_str(), Some(release), signers)
}

/// The same of the release that a mirror calls its newest. Nothing vouches for that: it may be an old one.
///
/// # Errors
/// When no mirror says which one that is, or as [`read`].
pub fn read_latest(progress: &Progress, mirrors: &Mirrors, signers: &[Signer]) -> Result<Index> {
    search(progress, mirrors, LATEST, None, signers)
}

/// Reads the manifest in a mirror's folder, which must be of a certain release if one is asked for.
fn search(
    progress: &Progress,
    mirrors: &Mirrors,
    folder: &str,
    release: Option<&FileName>,
    signers: &[Signer],
) -> Result<Index> {
    let index = mirrors.try_each(progress, &format!("the manifest of release {folder}"), |from| {
        let get = |name| mirrors.download_small(progress, from, folder, name, MAX_BYTES);
        let sums = get(SUMS)?;
        let signature = if signers.is_empty() { None } else { Some(unless_missing(get(SIGNATURE))?) };
        let signer = signature.map(|bytes| signature::check(&sums, &bytes, signers)).transpose();
        let signer = signer.map_err(|error| useless(from.mirror, SUMS, &error))?;
        let manifest = get(FILE)?;
        let manifest =
            vouched(&manifest, &sums, release).map_err(|error| useless(from.mirror, FILE, &error))?;
        Ok(Index { manifest, signer })
    })?;
    let release = &index.manifest.release;
    match &index.signer {
        Some(signer) => progress.say(&format!("release {release} is signed by {signer}")),
        None => progress.say(
            "note: without --key, the checksums are only as trustworthy as the connection to the mirror",
        ),
    }
    Ok(index)
}

/// A release without a signature is not the same as one whose mirror has lost some file.
fn unless_missing(signature: Result<Vec<u8>, TransferError>) -> Result<Vec<u8>, TransferError> {
    signature.map_err(|trouble| match trouble {
        TransferError::Absent(reason) => TransferError::Absent(format!(
            "the release is not signed there, but --key was given: {SIGNATURE}: {reason}"
        )),
        other => other,
    })
}

fn useless(from: &Mirror, name: &str, error: &anyhow::Error) -> TransferError {
    TransferError::Useless(format!("{name} of {from} is rejected: {error:#}"))
}

/// A manifest for whose bytes the checksums vouch, and which is that of this release, if one is asked for.
fn vouched(bytes: &[u8], sums: &[u8], release: Option<&FileName>) -> Result<Manifest> {
    let sums = parse(sums).with_context(|| format!("{SUMS} cannot be read"))?;
    let wanted = sums.get(FILE).ok_or_else(|| anyhow!("{SUMS} does not list it"))?.as_str();
    let found = hash::sha256(bytes);
    ensure!(
        found == wanted,
        "it does not match {SUMS}\n    its sha256 is    {found}\n    {SUMS} has {wanted}"
    );
    let manifest = Manifest::read(bytes)?;
    // An old release under a new name would be taken for up to date for ever.
    if let Some(release) = release {
        ensure!(manifest.release == *release, "it belongs to release {}, not to {release}", manifest.release);
    }
    // Whoever asks for all that there is would hear that all went well.
    ensure!(!manifest.artifacts.is_empty(), "it lists no emulators: the release is empty there");
    Ok(manifest)
}

/// The hashes in a file that `sha256sum` wrote, by the names of files.
fn parse(text: &[u8]) -> Result<BTreeMap<String, Sha256>> {
    let text = std::str::from_utf8(text).context("it is not UTF-8 text")?;
    let mut sums = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let parts = line.split_once("  ").or_else(|| line.split_once(" *"));
        let sum =
            parts.and_then(|(hash, name)| Some((name.to_owned(), Sha256::try_from(hash.to_owned()).ok()?)));
        let Some((name, hash)) = sum else {
            bail!("line {} is truncated or not in the format of sha256sum", number + 1)
        };
        if sums.insert(name, hash).is_some() {
            bail!("line {} lists a file for the second time", number + 1);
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn checksums_are_read_as_sha256sum_writes_them() {
        let text = format!("{HASH}  release.json\n{HASH} *x.tar.xz\n");
        let sums = parse(text.as_bytes()).expect("read");
        assert_eq!(sums.keys().collect::<Vec<_>>(), ["release.json", "x.tar.xz"]);
        assert_eq!(sums["release.json"].as_str(), HASH);
    }

    #[test]
    fn checksums_that_are_cut_doubled_or_something_else_are_refused() {
        let cases = [
            (format!("{HASH}  a\n{}", &HASH[..20]), "line 2 is truncated"),
            ("<html>\n".to_owned(), "line 1 is truncated"),
            (format!("{HASH}  a\n\n"), "line 2 is truncated"),
            (format!("{HASH}  a\n{HASH}  a\n"), "line 2 lists a file for the second time"),
            (format!("{}  a\n", HASH.to_uppercase()), "line 1"),
        ];
        for (text, reason) in cases {
            let error = parse(text.as_bytes()).expect_err(&text).to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(parse(b"\xff\xfe").is_err());
    }
}
