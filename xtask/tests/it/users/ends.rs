//! Whatever happens to a run, nothing of it is left.

use super::{Guest, with};
use crate::driver::Ended;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Waits until a condition holds.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(5));
    }
}

fn start(guest: &Guest, words: &[&str]) -> Child {
    let mut command = guest.command_with_one_id(&[], words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn kill(pid: u32, signal: &str) {
    // It may have ended.
    let _ =
        Command::new("kill").args(["-s", signal, &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
}

#[test]
fn after_a_kill_in_any_phase_nothing_is_left() {
    let guest = Guest::new();
    let mark = "98765.25";
    for milliseconds in [0, 2, 4, 6, 8, 12, 16, 24, 40, 80] {
        let mut child = start(&guest, &["sh", "-c", &format!("sleep {mark} & sleep {mark}")]);
        sleep(Duration::from_millis(milliseconds));
        kill(child.id(), "KILL");
        child.wait().unwrap();
    }
    until("all have ended", || with(mark).is_empty());
    let mut child = start(&guest, &["sleep", mark]);
    until("it runs", || with(mark).iter().any(|line| line.starts_with("sleep ")));
    kill(child.id(), "KILL");
    child.wait().unwrap();
    until("all have ended", || with(mark).is_empty());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(guest.root.to_str().unwrap()), "{mounts}");
}

#[test]
fn a_signal_for_the_run_is_the_commands() {
    let guest = Guest::new();
    let mark = "98765.5";
    let script = format!("trap 'kill $!; exit 9' TERM; trap : USR1; sleep {mark} & wait; wait");
    let mut child = start(&guest, &["sh", "-c", &script]);
    until("it runs", || with(mark).iter().any(|line| line.starts_with("sleep ")));
    kill(child.id(), "USR1");
    kill(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let mut child = start(&guest, &["sleep", mark]);
    until("it runs", || with(mark).iter().any(|line| line.starts_with("sleep ")));
    kill(child.id(), "TERM");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(15));
}

#[test]
fn several_run_in_one_root_at_once() {
    let guest = Guest::new();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|number| {
                let guest = &guest;
                scope.spawn(move || {
                    let script = format!(
                        "echo {number} > /tmp/{number}; ls -d /proc/[0-9]* | wc -l; cat /tmp/{number}"
                    );
                    Ended::of(&mut guest.command_with_one_id(&[], &["sh", "-c", &script]))
                })
            })
            .collect();
        for (number, run) in runs.into_iter().enumerate() {
            let ended = run.join().unwrap();
            assert!(ended.code == Some(0) && ended.stdout.ends_with(&format!("\n{number}\n")), "{ended:?}");
            let processes: u32 = ended.stdout.lines().next().unwrap().trim().parse().unwrap();
            assert!(processes < 8, "others are not seen: {ended:?}");
        }
    });
}
