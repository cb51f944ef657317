//! What holds of images as callers meet them: real and hostile registries, files, layers of all kinds, kills. One
//! program, so that it is linked once; a module is one subject.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot go on has failed")]

mod auth;
mod files;
mod layers;
mod made;
mod places;
mod pushes;
mod real;
mod registry;
mod robust;
mod server;
mod wants;
