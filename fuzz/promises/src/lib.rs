//! What the readers of manifests and archives promise, whatever a mirror sends. The fuzzers try to break it, and a test
//! replays their corpus.

pub mod archive;
pub mod manifest;
