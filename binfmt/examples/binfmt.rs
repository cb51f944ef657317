//! The three commands as a program, for the tests of this crate and of the driver. Users have `anyarch`.

#![allow(missing_docs, reason = "it is no library")]

use anyarch_binfmt::register::{self, Register};
use anyarch_binfmt::status::{self, StatusArgs};
use anyarch_binfmt::unregister::{self, Unregister};
use anyarch_binfmt::{Setting, emulator};
use anyarch_client::error::Usage;
use anyarch_client::progress::Progress;
use clap::Parser;
use std::process::ExitCode;

#[derive(Debug, Parser)]
struct Cli {
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Register(Register),
    Unregister(Unregister),
    Status(StatusArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let progress = Progress::new(1);
    let setting = Setting { progress: &progress, folders: emulator::usual_folders(), json: cli.json };
    let done = match &cli.command {
        Command::Register(arguments) => register::run(&setting, arguments),
        Command::Unregister(arguments) => unregister::run(&setting, arguments),
        Command::Status(arguments) => status::run(&setting, arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}
