//! A foreign system in one command. What will be done is a [`plan`], which is decided first; then three processes carry it
//! out, each this program again: [`enter`] makes the namespaces and waits, [`mapper`] maps its ids from outside, [`inside`]
//! is process 1 and starts the command.

// From what the user asks for to a plan.
pub mod emulator;
pub mod ids;
pub mod image;
pub mod kept;
pub mod plan;
pub mod root;
pub mod tarball;
pub mod target;
pub mod translations;

// What carries it out.
pub mod accounts;
pub mod closed;
pub mod enter;
pub mod fixed;
pub mod handover;
pub mod inside;
pub mod level;
pub mod loopback;
pub mod mapper;
pub mod mounts;
pub mod place;
pub mod rights;
pub mod signals;
pub mod tolerance;
