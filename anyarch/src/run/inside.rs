//! Process 1 of a run: it mounts what there is to see, starts the command, and ends those whom nobody waits for. When it
//! ends, the kernel ends all that is left; when whoever waits for it ends, so does it.

use crate::ended;
use crate::run::accounts::{self, Account};
use crate::run::handover;
use crate::run::ids::Ids;
use crate::run::level::Level;
use crate::run::loopback;
use crate::run::mounts;
use crate::run::plan::{Network, Plan};
use crate::run::root::Source;
use crate::run::signals::{self, Asked, Signals, Word};
use crate::run::target;
use crate::run::tolerance;
use crate::text::Text;
use anyarch_manifest::layout;
use anyhow::{Context as _, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{
    Gid, Pid, Signal, Uid, WaitOptions, kill_current_process_group, kill_process, kill_process_group,
    set_parent_process_death_signal, wait,
};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use std::ffi::{CString, OsStr, OsString};
use std::io::{ErrorKind, stdin};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};

/// The word of the command line for this stage.
pub const STAGE: &str = "__inside";

/// The exit code where a run itself fails, as that of `env` and `chroot`.
pub const FAILED: u8 = 125;

/// Runs the command, and tells how it ended.
///
/// # Errors
/// When it cannot be started.
pub fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let [plan, words, level, terminal, emulator @ ..] = arguments else {
        bail!("a stage of `run` is not for the command line");
    };
    let level = Level::of(level).context("a stage of `run` is not for the command line")?;
    let words = handover::take(words)?;
    let signals = Signals::keep()?;
    // Else it were the number of a descriptor.
    let _ = rustix::thread::set_name(c"anyarch");
    die_with(&words)?;
    let plan: Plan = handover::read(&handover::take(plan)?)?;
    let emulator = emulator.first().map(|word| handover::take(word)).transpose()?;
    let mut registered = None;
    match level {
        Level::Chroot if emulator.is_some() => return by_its_own_chroot(&plan, emulator),
        Level::Chroot => chroot(&plan)?,
        _ => {
            let _ = rustix::system::sethostname(plan.hostname.as_bytes());
            if plan.network == Network::None {
                loopback::up()?;
            }
            // Without a user namespace, the table of formats would be this machine's.
            let own = emulator.as_ref().filter(|_| level == Level::User);
            let settled = mounts::settle(&plan, own)?;
            settled.notes.iter().for_each(|note| ended::note(note));
            registered = settled.registered;
        }
    }
    let account = accounts::account(target::open("/".as_ref())?, plan.user.as_deref(), &plan.ids)?;
    let translations = plan.translations.as_ref().map(|_| mounts::TRANSLATIONS.into());
    let home = account.home.clone();
    let launch = Launch { plan: &plan, emulator, registered, home, translations, before: Vec::new() };
    become_account(&account, &plan.ids)?;
    // The kernel forgets it where the user changes.
    die_with(&words)?;
    std::env::set_current_dir(plan.workdir.path())
        .with_context(|| format!("cannot begin in {} of the root", plan.workdir))?;
    if plan.is_init || level == Level::Chroot {
        return launch.become_it();
    }
    // Whoever wants to end it need not wait until it has begun.
    while let Some(asked) = signals.next() {
        if let Asked::PassOn(signal) | Asked::ByTerminal(signal) = asked {
            let signal = u8::try_from(signal).unwrap_or(u8::MAX);
            Word::Killed(signal).say(&words);
            return Ok(ExitCode::from(FAILED));
        }
    }
    let child = match launch.start(terminal == "terminal") {
        Ok(child) => child,
        Err(error) => return Ok(ExitCode::from(report(&error))),
    };
    drop(launch);
    let mut first = First::new(signals, words, &child, terminal == "terminal")?;
    first.rule()
}

/// Has the kernel end this process when its parent ends. It may have ended before that was said.
fn die_with(parent: &OwnedFd) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot bind the run to its parent")?;
    let mut ready = [PollFd::from_borrowed_fd(parent.as_fd(), PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let _ = poll(&mut ready, Some(&now));
    match ready[0].revents().contains(PollFlags::HUP) {
        true => Err(anyhow!("whoever started the run has ended")),
        false => Ok(()),
    }
}

/// Has the root's own `chroot` change the root, in the emulator: without `/proc`, an emulator can hand itself on only if
/// it was started outside.
fn by_its_own_chroot(plan: &Plan, emulator: Option<OwnedFd>) -> Result<ExitCode> {
    let root = folder(plan)?;
    let opened = target::open(root.path())?;
    let account = accounts::account(&opened, plan.user.as_deref(), &plan.ids)?;
    let places = ["usr/sbin/chroot", "usr/bin/chroot", "sbin/chroot", "bin/chroot"];
    let program = places.iter().find_map(|place| target::within(&opened, place, OFlags::PATH).ok());
    let program = program
        .with_context(|| format!("there is no chroot in {root}, and without namespaces it is needed"))?;
    let program = std::fs::read_link(handover::name(&program)).context("/proc is not mounted")?;
    let mut before: Vec<Text> = vec!["-L".into(), root.clone(), "-0".into(), "chroot".into(), program.into()];
    if plan.user.is_some() {
        let groups: Vec<String> = account.groups.iter().map(ToString::to_string).collect();
        before.push(format!("--userspec={}:{}", account.user, account.group).into());
        before.push(format!("--groups={}", groups.join(",")).into());
    }
    before.push(root.clone());
    let translations = plan.translations.clone();
    Launch { plan, emulator, registered: None, home: account.home, translations, before }.become_it()
}

/// The folder of the root.
fn folder(plan: &Plan) -> Result<&Text> {
    match &plan.root {
        Source::Folder(path) => Ok(path),
        Source::Archive { .. } | Source::Image { .. } => bail!(
            "root may not mount anything here, so nothing can be unpacked in memory: unpack it, and pass the folder"
        ),
    }
}

/// Changes the root and nothing else.
fn chroot(plan: &Plan) -> Result<()> {
    let path = folder(plan)?;
    rustix::process::chroot(path.path()).with_context(|| format!("cannot change the root to {path}"))?;
    std::env::set_current_dir("/").context("cannot enter the root")
}

/// Becomes the user of the root. Whoever has one id is root already, may set no groups, and owns every file.
fn become_account(account: &Account, ids: &Ids) -> Result<()> {
    if matches!(ids, Ids::One { .. }) {
        return tolerance::of_owners();
    }
    let what = || format!("cannot become the user {} of the root", account.user);
    let groups: Vec<Gid> = account.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match rustix::thread::set_thread_groups(&groups) {
        // Root of a user namespace that others made, which has one id.
        Err(Errno::PERM) if own == (account.user, account.group) => return Ok(()),
        set => set.with_context(what)?,
    }
    let group = Gid::from_raw(account.group);
    rustix::thread::set_thread_res_gid(group, group, group).with_context(what)?;
    let user = Uid::from_raw(account.user);
    rustix::thread::set_thread_res_uid(user, user, user).with_context(what)
}

/// What is started.
struct Launch<'a> {
    plan: &'a Plan,
    emulator: Option<OwnedFd>,
    /// Where it lies, if the kernel starts programs by it: its name says so.
    registered: Option<PathBuf>,
    home: String,
    /// Where the emulator finds the folder of translations.
    translations: Option<Text>,
    /// What stands before the command.
    before: Vec<Text>,
}

impl Launch<'_> {
    /// All words, the program's name first.
    fn words(&self) -> Vec<Text> {
        let mut words = Vec::new();
        if let Some(emulator) = &self.plan.emulator {
            words.push(layout::program(&emulator.target).into());
            if self.registered.is_none() {
                words.extend(["--execve".into(), "self".into()]);
            }
            words.extend(self.plan.options.iter().cloned());
            if let Some(folder) = &self.translations {
                words.extend(["--tb-cache".into(), folder.clone()]);
            }
        }
        words.extend(self.before.iter().cloned());
        words.extend(self.plan.command.iter().cloned());
        words
    }

    fn environment(&self) -> Vec<(Text, Text)> {
        let mut all = self.plan.environment.clone();
        if !all.iter().any(|(name, _)| *name == "HOME".into()) {
            all.push(("HOME".into(), self.home.clone().into()));
        }
        all
    }

    /// Starts it as a child, in a group of its own if it is to have the terminal.
    fn start(&self, has_terminal: bool) -> Result<Child> {
        let words = self.words();
        let mut command = match (&self.registered, &self.emulator) {
            (Some(path), _) => Command::new(path),
            (None, Some(emulator)) => Command::new(handover::name(emulator)),
            (None, None) => Command::new(&words[0].0),
        };
        command.arg0(&words[0].0).args(words[1..].iter().map(|word| &word.0));
        command.env_clear().envs(self.environment().iter().map(|(name, value)| (&name.0, &value.0)));
        if has_terminal {
            command.process_group(0);
        }
        signals::release_in(&mut command, has_terminal);
        command.spawn().with_context(|| format!("cannot start {}", words[0]))
    }

    /// Becomes it: process 1 is the command from here on.
    fn become_it(&self) -> Result<ExitCode> {
        signals::release()?;
        let words = self.words();
        let Some(emulator) = &self.emulator else {
            let mut command = Command::new(&words[0].0);
            command.args(words[1..].iter().map(|word| &word.0));
            command.env_clear().envs(self.environment().iter().map(|(name, value)| (&name.0, &value.0)));
            let error = anyhow!(command.exec()).context(format!("cannot start {}", words[0]));
            return Ok(ExitCode::from(report(&error)));
        };
        let text = |word: &OsStr| CString::new(word.as_bytes()).context("a word has a zero in it");
        let arguments = words.iter().map(|word| text(word)).collect::<Result<Vec<_>>>()?;
        let pair = |(name, value): &(Text, Text)| {
            let mut pair = name.0.clone();
            pair.push("=");
            pair.push(&value.0);
            text(&pair)
        };
        let environment = self.environment().iter().map(pair).collect::<Result<Vec<_>>>()?;
        let ended = match &self.registered {
            Some(path) => nix::unistd::execve(&text(path.as_os_str())?, &arguments, &environment),
            None => nix::unistd::fexecve(emulator, &arguments, &environment),
        };
        match ended {
            Ok(never) => match never {},
            Err(error) => Err(error).with_context(|| format!("cannot start {}", words[0])),
        }
    }
}

/// Tells why a program of the root could not be started; gives the exit code that shells have for it.
fn report(error: &anyhow::Error) -> u8 {
    ended::tell(error);
    match error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => 127,
        Some(_) => 126,
        None => FAILED,
    }
}

/// Process 1, as long as the command runs.
struct First {
    signals: Signals,
    words: OwnedFd,
    command: Pid,
    has_terminal: bool,
}

impl First {
    fn new(signals: Signals, words: OwnedFd, child: &Child, has_terminal: bool) -> Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let command = pid.context("the command has no number")?;
        Ok(Self { signals, words, command, has_terminal })
    }

    fn give_terminal(&self) {
        // A terminal that has gone away is no reason not to run.
        let _ = tcsetpgrp(stdin(), self.command);
    }

    fn rule(&mut self) -> Result<ExitCode> {
        loop {
            let (signals, words) = (self.signals.descriptor().as_fd(), self.words.as_fd());
            let mut ready = [
                PollFd::from_borrowed_fd(signals, PollFlags::IN),
                PollFd::from_borrowed_fd(words, PollFlags::IN),
            ];
            match poll(&mut ready, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for the command"),
            }
            let has_word = !ready[1].revents().is_empty();
            while let Some(asked) = self.signals.next() {
                match asked {
                    Asked::PassOn(signal) => self.pass_on(signal),
                    Asked::Child => {
                        if let Some(code) = self.children() {
                            return Ok(code);
                        }
                    }
                    Asked::ByTerminal(_) | Asked::GoOn | Asked::Nothing => {}
                }
            }
            if has_word && !self.hear() {
                // Whoever started the run has ended, and so do all.
                return Ok(ExitCode::from(FAILED));
            }
        }
    }

    fn pass_on(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            // Whoever has ended hears nothing more.
            let _ = kill_process(self.command, signal);
        }
    }

    /// Does what it is told; `false` when nobody will tell anything any more.
    fn hear(&self) -> bool {
        let Some(word) = Word::hear(&self.words) else { return false };
        if word == Word::GoOn {
            self.give_terminal();
        }
        let _ = match self.has_terminal {
            true => kill_process_group(self.command, Signal::CONT),
            false => kill_current_process_group(Signal::CONT),
        };
        true
    }

    /// Takes note of all children that ended or stopped; the exit code, if the command was one of them.
    fn children(&self) -> Option<ExitCode> {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            if pid != self.command {
                continue;
            }
            let small = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
            if let Some(code) = status.exit_status() {
                Word::Exited(small(code)).say(&self.words);
                return Some(ExitCode::from(small(code)));
            }
            if let Some(signal) = status.terminating_signal() {
                Word::Killed(small(signal)).say(&self.words);
                return Some(ExitCode::from(small(128 + signal)));
            }
            if let Some(signal) = status.stopping_signal().filter(|_| self.has_terminal) {
                self.stopped(signal);
            }
        }
        None
    }

    /// The command stopped. If it asked for the terminal before it had got it, it has it by now.
    fn stopped(&self, signal: i32) {
        let asked = [Signal::TTIN, Signal::TTOU].iter().any(|one| one.as_raw() == signal);
        if asked && tcgetpgrp(stdin()).is_ok_and(|there| there == self.command) {
            let _ = kill_process_group(self.command, Signal::CONT);
            return;
        }
        Word::Stopped(u8::try_from(signal).unwrap_or(u8::MAX)).say(&self.words);
    }
}
