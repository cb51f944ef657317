//! Child processes: argument vectors, output to a log, an end with ours.
//!
//! Every child leads a process group of its own, which an interruption ends as a whole. Should the
//! driver be killed outright, the kernel sends the child SIGTERM; one that had not even begun does not.

use crate::children::{self, RegisteredChild};
use crate::error::FULL_DISK_ADVICE;
use anyarch_client::files;
use anyarch_client::interrupt;
use anyarch_client::lock::Lock;
use anyarch_client::progress::Progress;
use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use xshell::Shell;

/// Lines of output that a failure shows.
const TAIL: usize = 25;

/// A command that writes to a log.
#[derive(Debug)]
pub struct LoggedCommand<'a> {
    command: Command,
    log: &'a Path,
    lock: Option<&'a Lock>,
}

impl<'a> LoggedCommand<'a> {
    /// `command`, whose output goes to the file `log` (made anew) and, with `-vv`, to the user.
    pub fn new(command: impl Into<Command>, log: &'a Path) -> Self {
        Self { command: command.into(), log, lock: None }
    }

    /// Lets the child and its children hold `lock` until the last of them has ended.
    pub fn holding(mut self, lock: &'a Lock) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Runs the command to its end; `on_line` gets every line of output as it comes.
    pub fn run(mut self, progress: &Progress, mut on_line: impl FnMut(&str)) -> Result<()> {
        let shown = show(&self.command);
        progress.detail(&format!("$ {shown}"));
        files::create_parent(self.log)?;
        let cannot_log = || format!("cannot write the log {}", self.log.display());
        let mut log = File::create(self.log).with_context(cannot_log)?;
        writeln!(log, "$ {shown}").with_context(cannot_log)?;

        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        self.command
            .stdin(Stdio::null())
            .stdout(writer.try_clone().context("cannot make a pipe")?)
            .stderr(writer);
        let (mut child, _registered) = spawn(&mut self.command, self.lock)?;
        // The command holds the pipe's writing end; without this, the reader would never end.
        drop(self.command);

        let mut tail = VecDeque::with_capacity(TAIL);
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).context("cannot read a child's output")? > 0 {
            log.write_all(&line).with_context(cannot_log)?;
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            progress.output(&text);
            on_line(&text);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(text);
        }
        let status = child.wait().context("cannot wait for a child")?;
        if status.success() {
            return Ok(());
        }
        Err(failure(&shown, status, tail.make_contiguous(), self.log))
    }
}

fn failure(shown: &str, status: ExitStatus, tail: &[String], log: &Path) -> anyhow::Error {
    // The whole command stands in the log's first line.
    let program = shown.split(' ').next().unwrap_or_default();
    let mut text = format!("{program} {}", ended(status));
    for line in tail {
        text.push_str("\n  | ");
        text.push_str(line);
    }
    text.push_str(&format!("\nfull log: {}", log.display()));
    if text.contains("No space left on device") {
        text.push('\n');
        text.push_str(FULL_DISK_ADVICE);
    }
    anyhow!(text)
}

/// How a child process ended, such as `ended with exit code 1`.
pub fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// A shell for commands as they are typed: `cmd!(shell, "gzip -9 {file}")`. They run in the current folder.
///
/// Commands that may run in an image are plain [`Command`]s, because this folder may not exist there.
pub fn shell() -> Result<Shell> {
    Shell::new().context("the current folder does not exist")
}

/// Runs a short command and returns its standard output. An error contains what it wrote to stderr.
pub fn capture(command: impl Into<Command>) -> Result<String> {
    let mut command = command.into();
    let shown = show(&command);
    let output = output(&mut command)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` {}\n  | {}", ended(output.status), said.trim().replace('\n', "\n  | "));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` wrote something that is not UTF-8"))
}

/// Runs a short command and returns its output and exit status.
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (child, _registered) = spawn(command, None)?;
    child.wait_with_output().context("cannot wait for a child")
}

/// Like [`output`], with a time limit: a child that takes longer is killed, with all its children, which is an error.
pub fn output_within(limit: Duration, command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = show(command);
    let (child, _registered) = spawn(command, None)?;
    let group = Pid::from_child(&child);
    let (done, waiting) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        let late = matches!(waiting.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
        if late {
            // It may have ended this very moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
        late
    });
    let output = child.wait_with_output().context("cannot wait for a child")?;
    drop(done);
    if watch.join().unwrap_or(false) {
        bail!("`{shown}` did not finish within {} s", limit.as_secs());
    }
    Ok(output)
}

/// Runs a command and passes each line of its stdout and stderr to `on_line` at once.
pub fn relay(mut command: Command, mut on_line: impl FnMut(&str)) -> Result<ExitStatus> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let other = writer.try_clone().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer).stderr(other);
    let (mut child, _registered) = spawn(&mut command, None)?;
    // The command holds the pipe's writing end; without this, the reader would never end.
    drop(command);
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).context("cannot read a child's output")? > 0 {
        on_line(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
    child.wait().context("cannot wait for a child")
}

/// Starts a child in a process group of its own that ends with us.
pub fn spawn(command: &mut Command, lock: Option<&Lock>) -> Result<(Child, RegisteredChild)> {
    if interrupt::interrupted() {
        bail!("interrupted");
    }
    if children::halted() {
        bail!("stopped, because something else failed");
    }
    command.process_group(0);
    end_with_parent(command, Signal::TERM, lock);
    let child = command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        anyhow::Error::new(error).context(format!("cannot run {program}"))
    })?;
    let registered = RegisteredChild::new(child.id());
    Ok((child, registered))
}

/// Has the kernel send the child this signal when the thread that started it ends, and lets it keep `lock`. It
/// does not begin if its parent has ended before the kernel knew of that.
///
/// The driver's threads all wait for the children they start, so "the thread" means the driver.
#[allow(unsafe_code)]
pub fn end_with_parent(command: &mut Command, signal: Signal, lock: Option<&Lock>) {
    let lock = lock.map(|lock| lock.file().as_raw_fd());
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only system calls are made, on values that were copied before
    // the fork: nothing allocates, nothing takes a lock. The descriptor stays open, since `lock` is
    // borrowed for longer than the command lives.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            // Whose parent is gone already is never sent the signal. It has another one now: the first process of
            // its namespace or a subreaper. None at all means that the parent is in an outer namespace, from where
            // nobody is given away: it may be there or not, and such children the driver has none.
            if rustix::process::getppid().is_some_and(|now| now != parent) {
                return Err(rustix::io::Errno::SRCH.into());
            }
            if let Some(lock) = lock {
                let lock = std::os::fd::BorrowedFd::borrow_raw(lock);
                rustix::io::fcntl_setfd(lock, rustix::io::FdFlags::empty())?;
            }
            Ok(())
        });
    }
}

/// Processor time of this process and of its finished children, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessorTime {
    /// Processor time of this process, in seconds.
    pub own: f64,
    /// Processor time of its finished children and their children, in seconds.
    pub children: f64,
}

/// The processor time so far, as `/proc/self/stat` counts it, in hundredths of a second; none where that
/// can't be read.
pub fn processor_time() -> Option<ProcessorTime> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name, which may hold anything: the state, then numbers; see proc(5).
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |number: usize| fields.get(number)?.parse::<f64>().ok();
    // The kernel's USER_HZ, the same on every machine that Linux runs on but Alpha and IA-64.
    let seconds = |one: usize, other: usize| Some((ticks(one)? + ticks(other)?) / 100.0);
    Some(ProcessorTime { own: seconds(11, 12)?, children: seconds(13, 14)? })
}

/// Processor time of this thread so far, in seconds.
pub fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The command as text, as it would be typed in a shell.
pub fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quote).collect::<Vec<_>>().join(" ")
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_shows_the_end_of_the_output_and_where_the_rest_is() {
        let home = tempfile::tempdir().expect("a folder");
        let log = home.path().join("step.log");
        let script = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; exit 7";
        let error =
            LoggedCommand::new(shell(script), &log).run(&Progress::new(0), |_| ()).expect_err("a failure");
        let text = format!("{error:#}");
        assert!(text.contains("exit code 7") && text.contains("| line 99"), "{text}");
        assert!(!text.contains("| line 10\n"), "{text}");
        assert!(text.contains("step.log"), "{text}");
        let whole = std::fs::read_to_string(&log).expect("a log");
        assert!(whole.contains("line 0\n") && whole.contains("line 99\n"));
    }

    #[test]
    fn a_command_is_shown_so_that_a_shell_reads_it_back() {
        let mut command = Command::new("printf");
        command.args(["a b", "", "it's", "--x=/y"]);
        assert_eq!(show(&command), r"printf 'a b' '' 'it'\''s' --x=/y");
    }

    /// Names the folder of the run of the next test that is killed.
    const KILLED: &str = "ANYARCH_TEST_KILLED";

    #[test]
    fn a_child_whose_parent_is_killed_before_it_begins_does_not_begin() {
        let begun = |folder: &Path| folder.join("begun");
        if let Some(folder) = std::env::var_os(KILLED) {
            return is_killed_with_a_child(Path::new(&folder), &begun(Path::new(&folder)));
        }
        let home = tempfile::tempdir().expect("a folder");
        let name = thread::current().name().expect("a test's").to_owned();
        let mut run = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", &name, "--nocapture"])
            .env(KILLED, home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !home.path().join("forked").exists() {
            assert!(std::time::Instant::now() < deadline, "no child was forked");
            thread::sleep(Duration::from_millis(5));
        }
        run.kill().expect("killed");
        // The child has it open, too, for as long as it lives.
        let mut out = run.stdout.take().expect("a pipe");
        std::io::copy(&mut out, &mut std::io::sink()).expect("read to the end");
        run.wait().expect("waited");
        assert!(!begun(home.path()).exists(), "nobody would ever end it");
    }

    /// Starts a child that tells of itself, and then waits for its parent's end before it goes on to begin.
    #[allow(unsafe_code)]
    fn is_killed_with_a_child(folder: &Path, begun: &Path) {
        let mut touch = Command::new("touch");
        touch.arg(begun);
        let (parent, forked) = (rustix::process::getpid(), folder.join("forked"));
        // SAFETY: this process has one other thread, which only waits for this one.
        unsafe {
            touch.pre_exec(move || {
                File::create(&forked)?;
                while rustix::process::getppid() == Some(parent) {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            });
        }
        let _ = spawn(&mut touch, None);
    }

    #[test]
    fn a_lock_outlives_the_driver_in_its_children() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("tree");
        let progress = Progress::new(0);
        let lock = Lock::acquire(&path, &progress).expect("a lock");
        let mut sleeper = Command::new("sleep");
        sleeper.arg("30");
        let (mut child, _registered) = spawn(&mut sleeper, Some(&lock)).expect("a child");
        drop(lock);
        let probe = File::options().write(true).open(home.path().join("tree.lock")).expect("the lock file");
        assert!(probe.try_lock().is_err(), "the child should hold the lock");
        child.kill().expect("killed");
        child.wait().expect("waited");
        // A child of another test may hold a copy of the descriptor between its fork and its exec.
        let freed = (0..100).any(|_| {
            let free = probe.try_lock().is_ok();
            if !free {
                thread::sleep(Duration::from_millis(20));
            }
            free
        });
        assert!(freed, "the lock should end with the child");
    }
}
