//! Manifests, as mirrors send them.
#![no_main]

use anyarch_promises::manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    manifest::hold(bytes);
});
