//! Signals and ends of processes, as the stages of a run tell them to each other.

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::getpid;
use rustix::termios::tcsetpgrp;
use std::fs::File;
use std::io::{Read as _, Write as _, stdin};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Signals that are passed on to the command when somebody sends them to us.
const PASSED_ON: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
];

/// `SI_KERNEL` of `signal.h`: the terminal sent it, to everybody who shall have it.
const BY_TERMINAL: i32 = 0x80;

/// Signals as a descriptor; they interrupt nothing.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To be passed on to the command.
    PassOn(i32),
    /// The same, but from the terminal, which sent it to all who have the terminal.
    ByTerminal(i32),
    /// A child ended or stopped.
    Child,
    /// This process was stopped, and goes on.
    GoOn,
    /// Nothing.
    Nothing,
}

/// The signals that are kept. TTOU: who is not in the terminal's foreground may set what is.
fn kept() -> SigSet {
    let others = [Signal::SIGCHLD, Signal::SIGCONT, Signal::SIGTTOU];
    PASSED_ON.into_iter().chain(others).collect()
}

/// Gets signals as ever again: for what this process becomes.
///
/// # Errors
/// When the kernel refuses.
pub fn release() -> Result<()> {
    kept().thread_unblock().context("cannot let go of signals")
}

/// Has a child get signals as ever, although they are kept here; and have the terminal from its first instruction on,
/// if it is to have it. The child must lead a group of its own then.
#[allow(
    unsafe_code,
    reason = "std has no safe way to say which signals a child blocks, or who has the terminal"
)]
pub fn release_in(command: &mut Command, has_terminal: bool) {
    let (kept, input) = (kept(), stdin());
    let prepare = move || {
        if has_terminal {
            // One that has gone away is no reason not to run.
            let _ = tcsetpgrp(&input, getpid());
        }
        Ok(kept.thread_unblock()?)
    };
    // SAFETY: between fork and exec, these make system calls, and take no memory.
    unsafe { command.pre_exec(prepare) };
}

impl Signals {
    /// Keeps signals for [`Signals::next`]. Children keep them as well, unless they are [released](release_in).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn keep() -> Result<Self> {
        let mut kept = kept();
        kept.thread_block().context("cannot keep signals")?;
        kept.remove(Signal::SIGTTOU);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&kept, flags).context("cannot keep signals")?))
    }

    /// The descriptor that can be read when there is a signal.
    pub fn descriptor(&self) -> &SignalFd {
        &self.0
    }

    /// The next signal, if there is one.
    pub fn next(&self) -> Option<Asked> {
        let signal = self.0.read_signal().ok().flatten()?;
        let number = i32::try_from(signal.ssi_signo).unwrap_or_default();
        Some(match Signal::try_from(number) {
            Ok(Signal::SIGCHLD) => Asked::Child,
            Ok(Signal::SIGCONT) => Asked::GoOn,
            // A terminal that goes away tells only who began the session.
            Ok(Signal::SIGHUP) => Asked::PassOn(number),
            Ok(_) if signal.ssi_code != BY_TERMINAL => Asked::PassOn(number),
            Ok(_) => Asked::ByTerminal(number),
            Err(_) => Asked::Nothing,
        })
    }
}

/// What process 1 of a run and the process that waits for it tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The command ended with this code.
    Exited(u8),
    /// A signal ended the command.
    Killed(u8),
    /// The command was stopped by this signal.
    Stopped(u8),
    /// The command shall go on and have the terminal.
    GoOn,
    /// The command shall go on without the terminal.
    GoOnBehind,
}

impl Word {
    fn bytes(self) -> [u8; 2] {
        match self {
            Self::Exited(code) => [b'e', code],
            Self::Killed(signal) => [b'k', signal],
            Self::Stopped(signal) => [b's', signal],
            Self::GoOn => [b'f', 0],
            Self::GoOnBehind => [b'b', 0],
        }
    }

    fn of(bytes: [u8; 2]) -> Option<Self> {
        Some(match bytes[0] {
            b'e' => Self::Exited(bytes[1]),
            b'k' => Self::Killed(bytes[1]),
            b's' => Self::Stopped(bytes[1]),
            b'f' => Self::GoOn,
            b'b' => Self::GoOnBehind,
            _ => return None,
        })
    }

    /// Says it. Who has ended hears nothing more.
    pub fn say(self, to: &OwnedFd) {
        if let Ok(to) = to.try_clone() {
            let _ = File::from(to).write_all(&self.bytes());
        }
    }

    /// Hears one; `None` when the other end has closed.
    pub fn hear(from: &OwnedFd) -> Option<Self> {
        let mut bytes = [0; 2];
        File::from(from.try_clone().ok()?).read_exact(&mut bytes).ok()?;
        Self::of(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_heard_as_it_was_said() {
        let (here, there) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let (here, there): (OwnedFd, OwnedFd) = (here.into(), there.into());
        let words = [Word::Exited(7), Word::Killed(9), Word::Stopped(20), Word::GoOn, Word::GoOnBehind];
        for word in words {
            word.say(&here);
            assert_eq!(Word::hear(&there), Some(word));
        }
        drop(here);
        assert_eq!(Word::hear(&there), None);
    }
}
