//! Archives, as mirrors send them.
#![no_main]

#[path = "../promises/archive.rs"]
mod archive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    archive::hold(bytes);
});
