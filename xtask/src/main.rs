//! `cargo xtask`: reads the command line, runs the command, turns its end into an exit code.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = xtask::Cli::parse();
    let ended = xtask::run(&cli);
    anyarch_client::interrupt::wait_if_interrupted();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => xtask::error::report(&error),
    }
}
