//! Whatever a mirror sends as `release.json`: it is read or refused, and what was read is written so that it is read
//! again as the same.
#![no_main]

use anyarch_manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::read(bytes) {
        let again = Manifest::read(manifest.text().as_bytes()).expect("what was written is read");
        assert_eq!(manifest, again);
    }
});
