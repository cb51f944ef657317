//! The driver of anyarch: from pinned QEMU source to verified, packed user-mode emulators.
//!
//! The modules stand in the order of the way that a release takes. Each stage hands the next one a
//! value that only it can make, so that an unpinned source cannot be patched and an emulator that
//! was not verified cannot be packed.
//!
//! What users' machines do with a release, and the ground that both stand on, is the crate `anyarch-client`.

// The way of a release: one module a stage.
pub mod compile;
pub mod image;
pub mod package;
pub mod packages;
pub mod patch;
pub mod plan;
pub mod program;
pub mod release;
pub mod reproduce;
pub mod source;
pub mod toolchain;
pub mod verify;

// What the stages are told: facts as data, the command line, the folders.
pub mod cli;
pub mod commands;
pub mod facts;
pub mod run;
pub mod workspace;

// What the stages stand on.
pub mod apt;
pub mod children;
pub mod download;
pub mod error;
pub mod git;
pub mod process;
pub mod released;
pub mod session;
pub mod slots;
pub mod template;
pub mod unpack;

#[cfg(test)]
mod layers;

pub use cli::Cli;
pub use run::run;
