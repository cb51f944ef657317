//! `cargo xtask`: reads the command line, runs the command, turns its end into an exit code.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = xtask::Cli::parse();
    match xtask::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => xtask::exit::report(&error),
    }
}
