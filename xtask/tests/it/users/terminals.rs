//! A run has the terminal as a command of this machine has it.

use super::{Guest, program, with};
use crate::driver::checkout;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// A terminal with a program in it, by `script` of util-linux.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn with(guest: &Guest, command: &str) -> Self {
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", command, "/dev/null"]);
        script
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "dumb")
            .env("HOME", guest.somebody.home.path());
        script.current_dir(checkout()).process_group(0);
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let keys = child.stdin.take().unwrap();
        let screen = Self::read(child.stdout.take().unwrap());
        Self { child, keys, screen, seen: String::new() }
    }

    fn read(mut from: ChildStdout) -> Receiver<Vec<u8>> {
        let (to, screen) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                if to.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        screen
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows something new. `script` may keep what comes from a pipe until more comes: another
    /// line feed, which nobody here minds.
    fn shows(&mut self, text: &str) {
        let mut nudges = 0;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            match self.screen.recv_timeout(Duration::from_secs(3)) {
                Ok(more) => self.seen.push_str(&String::from_utf8_lossy(&more)),
                Err(_) if nudges < 6 => {
                    nudges += 1;
                    self.press("\n");
                }
                Err(_) => panic!("`{text}` is not in:\n{}", self.seen),
            }
        }
    }

    /// Presses a key until the screen shows something new: a shell names a job before it gives it the terminal, and one
    /// that has the terminal itself takes no notice of Ctrl-C and Ctrl-Z.
    fn press_until(&mut self, key: &str, text: &str) {
        for _ in 0..40 {
            self.press(key);
            thread::sleep(Duration::from_millis(200));
            let more: Vec<u8> = self.screen.try_iter().flatten().collect();
            self.seen.push_str(&String::from_utf8_lossy(&more));
            if self.seen.contains(text) {
                return self.shows(text);
            }
        }
        panic!("`{text}` is not in:\n{}", self.seen);
    }

    fn code(mut self) -> Option<i32> {
        for _ in 0..400 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "it does not end:\n{}{}",
            self.seen,
            self.screen
                .try_iter()
                .map(|more| String::from_utf8_lossy(&more).into_owned())
                .collect::<String>()
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Most have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The words of a run, for a shell.
fn words(guest: &Guest, script: &str) -> String {
    format!("{} run --bind /usr:/usr:ro {} -- {script}", program().display(), guest.root.display())
}

#[test]
fn ctrl_c_ends_the_command_and_a_shell_sees_by_what() {
    let guest = Guest::new();
    let mut terminal =
        Terminal::with(&guest, &words(&guest, "sh -c 'tty; stty size > /dev/null; sleep 100'"));
    terminal.shows("/dev/console");
    terminal.press("\x03");
    assert_eq!(terminal.code(), Some(130));
}

#[test]
fn a_shell_in_it_has_job_control_and_one_outside_can_stop_it() {
    let guest = Guest::new();
    let mut terminal = Terminal::with(&guest, "bash --norc --noediting -i");
    terminal.press("PS1='out''side> '\n");
    terminal.shows("outside> ");
    terminal.press(&format!("{}\n", words(&guest, "bash --norc --noediting -i")));
    terminal.press("PS1='in''side> '\n");
    terminal.shows("inside> ");
    // Ctrl-Z drops what nobody has read yet. `exec`: a shell that waits for its child's exec (vfork) cannot be stopped,
    // and the child, stopped before that, never gets there.
    terminal.press("sh -c 'echo beg''un; exec sleep 100'\n");
    terminal.shows("begun");
    terminal.press_until("\x1a", "Stopped");
    terminal.shows("inside> ");
    terminal.press("fg\n");
    terminal.shows("sleep 100");
    terminal.press_until("\x03", "inside> ");
    terminal.press("exit 9\n");
    terminal.shows("outside> ");
    terminal.press("echo \"code=$?\"\n");
    terminal.shows("code=9");
    // Stopped from outside, and let go on.
    terminal.press(&format!("{}\n", words(&guest, "sh -c 'echo beg''un; read x; echo \"got $x\"; exit 6'")));
    terminal.shows("begun");
    terminal.press_until("\x1a", "Stopped");
    terminal.press("fg\n");
    terminal.shows("anyarch run");
    terminal.press("word\n");
    terminal.shows("got word");
    terminal.press("echo \"code=$?\"; exit 0\n");
    terminal.shows("code=6");
    assert_eq!(terminal.code(), Some(0));
}

#[test]
fn when_the_terminal_goes_away_so_does_the_run() {
    let guest = Guest::new();
    let mark = "98765.75";
    let mut terminal = Terminal::with(&guest, &words(&guest, &format!("sh -c 'echo begun; sleep {mark}'")));
    terminal.shows("begun");
    terminal.child.kill().unwrap();
    terminal.child.wait().unwrap();
    for _ in 0..400 {
        if with(mark).is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("it goes on without its terminal");
}
