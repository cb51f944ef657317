//! `anyarch`: the program for users. It runs foreign root file systems, and installs the emulators for them.

mod cli;
mod commands;
mod complete;
mod ended;
mod names;
mod peers;
mod releases;
mod rootfs;
mod run;
mod session;
mod text;
mod version;

use clap::Parser as _;
use clap_complete::CompleteEnv;
use cli::Cli;
use commands::doctor;
use rootfs::stage;
use run::{enter, image, inside, mapper};
use session::Session;
use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    // The stages of a run, which this program starts itself.
    let ended = match words.split_first() {
        Some((stage, [plan])) if stage == enter::STAGE => Some(enter::run(plan)),
        Some((stage, [plan])) if stage == mapper::STAGE => Some(mapper::run(plan)),
        Some((stage, [plan])) if stage == image::STAGE => Some(image::clean(plan)),
        Some((word, [plan])) if word == stage::STAGE => Some(stage::run(plan)),
        Some((stage, [plan])) if stage == doctor::STAGE => Some(doctor::stage(plan)),
        Some((stage, rest)) if stage == inside::STAGE => Some(inside::run(rest)),
        _ => None,
    };
    if let Some(ended) = ended {
        return ended.unwrap_or_else(|error| ExitCode::from(ended::report(&error, inside::FAILED, false)));
    }
    // A shell that completes a word says so by a variable.
    CompleteEnv::with_factory(cli::completing).var(complete::VARIABLE).complete();
    if let Some(asked) = peers::read(&words) {
        return match asked.and_then(|asked| peers::run(&asked)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => ExitCode::from(ended::report(&error, 1, false)),
        };
    }
    let cli = Cli::parse();
    let session = Session::new(cli.global.verbose, cli.global.json);
    match cli.command.run(&session) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(ended::report(&error, cli.command.failure(), session.json)),
    }
}
