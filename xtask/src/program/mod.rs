//! The users' program `anyarch`, as a release ships it: compiled static for a host, proven, packed.
//!
//! Its stages are types as an emulator's are: [`compile`] makes a [`Compiled`], [`prove`] a [`Proven`] of that,
//! [`pack`] a [`Packed`] of that. A release takes [`Packed`] ones, its own or those that other machines made.

mod cargo;
mod crates;
mod facts;
mod packed;
mod proof;

pub use cargo::{Compiled, compile};
pub use crates::Linked;
pub use facts::{Facts, source};
pub use packed::{Key, Packed, Record, archives, checked, file_name, found, is_archive, pack};
pub use proof::{Proven, prove};
