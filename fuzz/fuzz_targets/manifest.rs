//! Manifests, as mirrors send them.
#![no_main]

#[path = "../promises/manifest.rs"]
mod manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    manifest::hold(bytes);
});
