//! The first stage that acts: it makes the namespaces, starts process 1 in them, and waits. To whoever started the run it
//! is the command: it is stopped and goes on with it, passes signals on, and ends as it ends.

use crate::ended;
use crate::run::closed::Facts;
use crate::run::handover::{self, SELF};
use crate::run::ids::Ids;
use crate::run::image;
use crate::run::inside;
use crate::run::kept;
use crate::run::level::Level;
use crate::run::mapper::Mapper;
use crate::run::mounts;
use crate::run::plan::{Network, Plan};
use crate::run::signals::{Asked, Signals, Word};
use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_current_process_group, kill_process, setrlimit};
use rustix::termios::{isatty, tcgetpgrp, tcsetpgrp};
use std::ffi::OsStr;
use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ExitCode, ExitStatus};

/// The word of the command line for this stage.
pub const STAGE: &str = "__enter";

/// Runs a plan; gives the exit code of the command, or ends by the signal that ended it.
///
/// # Errors
/// When the namespaces cannot be made. What fails inside, process 1 tells.
pub fn run(plan: &OsStr) -> Result<ExitCode> {
    let handed = handover::take(plan)?;
    let mut plan: Plan = handover::read(&handed)?;
    let level = namespaces(&mut plan)?;
    let _in_use = image::unpack(&mut plan)?;
    let _kept = plan.kept.as_ref().map(kept::claim).transpose()?;
    let signals = Signals::keep()?;
    let (ours, theirs) = UnixStream::pair().context("cannot make a socket")?;
    let (ours, theirs): (OwnedFd, OwnedFd) = (ours.into(), theirs.into());
    // A command that is process 1 has a group of its own only if it makes one.
    let has_terminal = has_terminal() && !plan.is_init && level != Level::Chroot;
    let child = start(&plan, level, &theirs, has_terminal)?;
    drop(theirs);
    let mut waiting = Waiting { signals, words: ours, child, has_terminal };
    let ended = waiting.wait()?;
    // Process 1 ends when all that was left is gone.
    let _ = waiting.child.wait();
    waiting.take_terminal_back();
    Ok(end_like(ended))
}

/// Makes the namespaces. Ids may turn out to be fewer than planned.
fn namespaces(plan: &mut Plan) -> Result<Level> {
    let mut flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if plan.network == Network::None {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    let is_root = matches!(plan.ids, Ids::Same { .. });
    let mapper = Mapper::start(&plan.ids)?;
    let refused = match unshare(flags | CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {
            mapper.map(&mut plan.ids)?;
            if let Ids::One { why, .. } = &plan.ids {
                ended::note(&format!(
                    "there is one user inside, root: changes of user fail, and changes of owner are only said to be done ({why})"
                ));
            }
            mounts::separate().map_err(|error| because_of_apparmor(error, &Facts::of_this_machine()))?;
            return Ok(Level::User);
        }
        Err(error) => Errno::from_raw_os_error(error as i32),
    };
    drop(mapper);
    if !is_root {
        bail!("this machine refuses user namespaces: {}", Facts::of_this_machine().cause(refused));
    }
    if unshare(flags).is_ok() {
        ended::note("user namespaces are closed: root inside is root of this machine");
        mounts::separate()?;
        return Ok(Level::Root);
    }
    let changes_nothing = plan.ephemeral || plan.read_only || plan.kept.is_some();
    let is_plain = !changes_nothing && plan.binds.is_empty() && plan.network == Network::Host;
    if !is_plain || plan.workdir.path() != Path::new("/") {
        bail!(
            "root may not make namespaces here, as in a container: \
             --bind, --read-only, --ephemeral, --keep, --workdir, --net none and images are impossible\n  \
             to fix it: start the container with --cap-add SYS_ADMIN, or leave them out"
        );
    }
    ended::note("root may not make namespaces here: only the root folder is changed, as by chroot");
    Ok(Level::Chroot)
}

/// AppArmor lets a namespace be made, and refuses the first thing that is done in it.
fn because_of_apparmor(error: anyhow::Error, facts: &Facts) -> anyhow::Error {
    match facts.is_restricted_by_apparmor() {
        true => {
            error.context(format!("this machine refuses user namespaces: {}", facts.cause(Errno::ACCESS)))
        }
        false => error,
    }
}

/// Starts process 1.
fn start(plan: &Plan, level: Level, words: &OwnedFd, has_terminal: bool) -> Result<Child> {
    let open = |path: &Path| match level {
        Level::Chroot => {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
            rustix::fs::open(path, flags, rustix::fs::Mode::empty())
                .with_context(|| format!("cannot open {}", path.display()))
        }
        _ => mounts::sealed(path),
    };
    let emulator = plan.emulator.as_ref().map(|emulator| open(emulator.path.path())).transpose()?;
    let program = std::fs::read_link(SELF).context("/proc is not mounted")?;
    // Deleted meanwhile, as by an upgrade: it is run as it is, and cannot be written any more.
    let program = if program.exists() { Some(open(&program)?) } else { None };
    let plan = handover::write(plan)?;
    let path = program.as_ref().map_or_else(|| SELF.into(), handover::name);
    let mut command = handover::next(path, inside::STAGE);
    // The root could read the user's own variables there.
    command
        .env_clear()
        .arg0("anyarch")
        .arg(handover::inherit(&plan)?)
        .arg(handover::inherit(words)?)
        .arg(level.word());
    command.arg(if has_terminal { "terminal" } else { "none" });
    if let Some(emulator) = &emulator {
        command.arg(handover::inherit(emulator)?);
    }
    command.spawn().context("cannot start the first process of the run")
}

/// Whether this process has the terminal for itself, so that the command can have it. In a pipeline, others share it.
fn has_terminal() -> bool {
    let own = rustix::process::getpgrp();
    isatty(stdin())
        && isatty(stdout())
        && isatty(stderr())
        && tcgetpgrp(stdin()).is_ok_and(|there| there == own)
}

/// The process that waits for the command.
struct Waiting {
    signals: Signals,
    words: OwnedFd,
    child: Child,
    has_terminal: bool,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Code(u8),
    Signal(i32),
}

impl Waiting {
    fn wait(&mut self) -> Result<End> {
        let had_terminal = self.has_terminal;
        // A command that is process 1 itself says nothing, and is waited for like any other.
        let mut is_told = true;
        loop {
            let (signals, words) = (self.signals.descriptor().as_fd(), self.words.as_fd());
            let mut ready = [
                PollFd::from_borrowed_fd(signals, PollFlags::IN),
                PollFd::from_borrowed_fd(words, PollFlags::IN),
            ];
            match poll(&mut ready[..if is_told { 2 } else { 1 }], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for the command"),
            }
            let has_word = !ready[1].revents().is_empty();
            while let Some(asked) = self.signals.next() {
                match asked {
                    Asked::PassOn(signal) => self.pass_on(signal),
                    // The command has not got the terminal yet.
                    Asked::ByTerminal(signal) if had_terminal => self.pass_on(signal),
                    Asked::GoOn if had_terminal && !self.has_terminal => self.go_on(),
                    _ => {}
                }
            }
            if has_word {
                match Word::hear(&self.words) {
                    Some(Word::Exited(code)) => return Ok(End::Code(code)),
                    Some(Word::Killed(signal)) => return Ok(End::Signal(i32::from(signal))),
                    Some(Word::Stopped(signal)) => self.stop(signal),
                    Some(Word::GoOn | Word::GoOnBehind) => {}
                    None => is_told = false,
                }
            }
            if !is_told && let Some(status) = self.child.try_wait().context("cannot wait for the command")? {
                return Ok(end(status));
            }
        }
    }

    /// Process 1 passes it on to the command, unless it is the command.
    fn pass_on(&self, signal: i32) {
        if let (Some(pid), Some(signal)) = (self.pid(), Signal::from_named_raw(signal)) {
            // Who has ended hears nothing more.
            let _ = kill_process(pid, signal);
        }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }

    /// Stops as the command did, with all that was started with it, so that a shell has the terminal again.
    fn stop(&mut self, signal: u8) {
        self.has_terminal = false;
        if let Some(signal) = Signal::from_named_raw(i32::from(signal)) {
            // It returns when somebody lets us go on; or at once, where nobody could.
            let _ = kill_current_process_group(signal);
        }
        self.go_on();
    }

    /// Lets the command go on, with the terminal if a shell gave it to us.
    fn go_on(&mut self) {
        self.has_terminal = has_terminal();
        if self.has_terminal { Word::GoOn } else { Word::GoOnBehind }.say(&self.words);
    }

    /// The command's group had the terminal, and is gone.
    fn take_terminal_back(&self) {
        if self.has_terminal {
            let _ = tcsetpgrp(stdin(), rustix::process::getpgrp());
        }
    }
}

fn end(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => End::Signal(signal.unwrap_or_default()),
    }
}

/// Ends as the command did: a shell that waits for us shall see the same signal.
fn end_like(end: End) -> ExitCode {
    let signal = match end {
        End::Code(code) => return ExitCode::from(code),
        End::Signal(signal) => signal,
    };
    // No core of ours for a command's.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if let Ok(signal) = nix::sys::signal::Signal::try_from(signal) {
        let mut only = nix::sys::signal::SigSet::empty();
        only.add(signal);
        let _ = only.thread_unblock();
        let _ = nix::sys::signal::raise(signal);
    }
    // It is one that we ignore, or that ends nobody.
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_code_or_signal() {
        assert_eq!(end(ExitStatus::from_raw(7 << 8)), End::Code(7));
        assert_eq!(end(ExitStatus::from_raw(9)), End::Signal(9));
    }
}
