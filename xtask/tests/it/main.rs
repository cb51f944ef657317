//! What holds of the driver as its users meet it: real builds, real servers, real guests. One program, so that it is
//! linked once; a module is one subject. `cargo xtask test` says which modules run beside one another.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot go on has failed")]

mod bad_input;
mod clusters;
mod commands;
mod container_images;
mod corpus;
mod driver;
mod emulators;
mod engines;
mod fetch;
mod hosts;
mod install;
mod join;
mod kills;
mod packages;
mod page;
mod program;
mod providers;
mod registered;
mod release;
mod reproduce;
mod robust;
mod series;
mod systems;
mod toolchains;
mod topics;
mod upkeep;
mod upstream;
mod users;
mod workflow;
