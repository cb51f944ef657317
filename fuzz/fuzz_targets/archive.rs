//! Archives, as mirrors send them.
#![no_main]

use anyarch_promises::archive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    archive::hold(bytes);
});
