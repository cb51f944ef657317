//! What a user's machine does with a release of anyarch: read its manifest from a mirror, check the signature,
//! transfer the archive of an emulator, unpack it as if it were hostile, and put the emulator in place, whole or not
//! at all.
//!
//! A library for programs that know nothing of building: `cargo xtask fetch` calls it, and so may others. It is given
//! mirrors, keys, names and folders, and reads no checkout, no command line, and of the environment only proxies,
//! certificates and what the terminal can show. `docs/driver.md` shows its layers.

// From a release to an emulator in its place.
pub mod archive;
pub mod fetch;
pub mod index;
pub mod install;
pub mod mirror;
pub mod mirrors;
pub mod record;
pub mod signature;
pub mod transfer;

// What these stand on; builders use it, too.
pub mod answer;
pub mod claim;
pub mod error;
pub mod files;
pub mod hash;
pub mod http;
pub mod interrupt;
pub mod lock;
pub mod machine;
pub mod progress;
pub mod tries;
pub mod xz;
