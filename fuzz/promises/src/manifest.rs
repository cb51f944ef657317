//! Whatever a mirror sends as `release.json`: it is read or refused, and what was read is written so that it is read
//! again as the same. For the fuzzer, and for a test of its corpus.

use anyarch_manifest::Manifest;

/// Reads a manifest; whether it was taken.
pub fn hold(bytes: &[u8]) -> bool {
    let Ok(manifest) = Manifest::read(bytes) else { return false };
    let again = Manifest::read(manifest.text().as_bytes()).expect("what was written is read");
    assert_eq!(manifest, again);
    true
}
