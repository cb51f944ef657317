//! A Debian in a folder, made from nothing but an archive of Debian and its keys.
//!
//! ```text
//! keys ─► Release ─► index of packages ─► which of them ─► packages ─► their files ─► dpkg, in the emulator
//! ```
//!
//! Each arrow is a check: the signature, then hashes. The files are unpacked where the ids of a run are mapped, as those of
//! a hostile archive; then the system's own dpkg installs the packages, in runs like those of `anyarch run`.

// From the name of a suite to packages in the cache.
pub mod archive;
pub mod choose;
pub mod control;
pub mod packages;
pub mod release;
pub mod signed;

// From packages to a system.
pub mod deb;
pub mod fill;
pub mod place;
pub mod stage;
pub mod system;
