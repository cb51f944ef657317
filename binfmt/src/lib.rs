//! Registers emulators with the kernel's `binfmt_misc`, so that it runs programs of other machines by itself; says what
//! is registered, and undoes it.
//!
//! A library for users' programs: `anyarch` has its three commands. Each first looks at what is there, then plans
//! ([`plan`], pure and printable), then acts, and proves with a real guest that the kernel runs what it should.
//! `docs/register.md` says what users may count on, `docs/driver.md` shows the layers.

// The commands.
pub mod register;
pub mod status;
pub mod unregister;

// What they do.
pub mod act;
pub mod look;
pub mod persist;
pub mod plan;
pub mod podman;

// What they stand on.
pub mod emulator;
pub mod format;
pub mod place;
pub mod step;
pub mod table;
pub mod target;
pub mod tiny;

use anyarch_client::progress::Progress;
use std::path::PathBuf;

/// What a command is told by the program that it is a command of.
#[derive(Debug)]
pub struct Setting<'a> {
    /// Where it tells what it does.
    pub progress: &'a Progress,
    /// Folders in which emulators are looked for, in this order: [`emulator::usual_folders`], or others.
    pub folders: Vec<PathBuf>,
    /// Whether results are printed as JSON.
    pub json: bool,
}
