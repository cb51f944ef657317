//! `register`: from now on the kernel runs a target's programs by an emulator. The library says how.

use crate::session::Session;
use anyarch_binfmt::register::{self, Register};
use anyarch_binfmt::unregister::{self, Unregister};
use anyhow::{Context as _, Result};
use clap::Args;
use nix::sys::signal::{SigSet, Signal};

/// Have the kernel run the programs of other machines, here and in containers and chroots
///
/// Registers emulators with binfmt_misc, and has the kernel run a small program for each target before it says that
/// it is done. Lasts until the next boot, with --persist until `unregister`, with --wait until it is stopped.
#[derive(Debug, Args)]
#[command(after_help = register::EXAMPLES)]
pub struct RegisterArgs {
    #[command(flatten)]
    register: Register,
    /// Stay until SIGTERM or Ctrl-C, then unregister: for services and containers
    #[arg(long, conflicts_with_all = ["persist", "podman", "dry_run"])]
    wait: bool,
}

/// Registers; with `--wait`, until it is told to end.
pub fn run(session: &Session, arguments: &RegisterArgs) -> Result<()> {
    if !arguments.wait {
        return register::run(&session.setting(), &arguments.register);
    }
    // Kept from now on: what arrives while it registers counts as soon as that is done.
    let ends: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    ends.thread_block().context("cannot wait for signals")?;
    register::run(&session.setting(), &arguments.register)?;
    session.progress.say("registered until SIGTERM or Ctrl-C");
    let signal = ends.wait().context("cannot wait for signals")?;
    session.progress.say(&format!("{signal}: unregistering"));
    let Register { targets, scope, .. } = &arguments.register;
    let undo = Unregister { targets: targets.clone(), scope: *scope, dry_run: false, root: None };
    unregister::run(&session.setting(), &undo)
}
