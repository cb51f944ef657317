//! Progress output: live lines on a terminal, plain lines in a log. All of it goes to stderr; stdout is for
//! results.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::env;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a plain log hears of a long step.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// Where a run tells what it does: the screen, or a log.
#[derive(Debug, Clone)]
pub struct Progress {
    live: Option<MultiProgress>,
    started: Instant,
    verbosity: u8,
    is_silent: bool,
}

impl Progress {
    /// Live lines when stderr is a terminal that can take them and nobody asked for plain ones (`NO_COLOR`,
    /// `TERM=dumb`). `verbosity` is how often `-v` was given.
    pub fn new(verbosity: u8) -> Self {
        let plain = env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || env::var_os("TERM").is_some_and(|t| t == "dumb")
            || verbosity > 1
            || !stderr().is_terminal();
        let live = (!plain).then(MultiProgress::new);
        Self { live, started: Instant::now(), verbosity, is_silent: false }
    }

    /// Plain lines even on a terminal, for a process that may have no second thread: live lines have one.
    pub fn plain() -> Self {
        Self { live: None, started: Instant::now(), verbosity: 0, is_silent: false }
    }

    /// Shows nothing, for callers whose own words are all that shall be seen.
    pub fn silent() -> Self {
        Self { live: None, started: Instant::now(), verbosity: 0, is_silent: true }
    }

    /// Prints a line for the user, above the live lines.
    pub fn say(&self, line: &str) {
        match &self.live {
            _ if self.is_silent => {}
            // A println that fails has nobody left to tell.
            Some(live) => drop(live.println(line)),
            // Nor has a log that nobody reads.
            None => drop(writeln!(stderr(), "[{:>6.1}s] {line}", self.started.elapsed().as_secs_f64())),
        }
    }

    /// Prints a line that is only shown with `-v`.
    pub fn detail(&self, line: &str) {
        if self.verbosity > 0 {
            self.say(line);
        }
    }

    /// Prints a child's output, which is only shown with `-vv`.
    pub fn output(&self, line: &str) {
        if self.verbosity > 1 {
            let _ = writeln!(stderr(), "           | {line}");
        }
    }

    /// Starts a step that takes a while: `what` names it (`compile 10.2 for amd64`).
    pub fn step(&self, what: impl Into<String>) -> Step<'_> {
        let what = what.into();
        let bar = self.live.as_ref().map(|live| {
            let bar = live.add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {prefix} {elapsed} {wide_msg}"));
            bar.set_prefix(what.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            self.say(&what);
        }
        Step { progress: self, what, bar, started: Instant::now(), last_plain: Mutex::new(Instant::now()) }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are literals of this file; a bad one would only cost its looks.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A running step; it vanishes from the screen when it is dropped without [`Step::done`].
#[derive(Debug)]
pub struct Step<'a> {
    progress: &'a Progress,
    what: String,
    bar: Option<ProgressBar>,
    started: Instant,
    last_plain: Mutex<Instant>,
}

impl Step<'_> {
    /// Shows that `done` of `total` units are done; `now` says what is being done.
    pub fn count(&self, done: u64, total: u64, now: &str) {
        match &self.bar {
            Some(bar) => {
                if bar.length() != Some(total) {
                    bar.set_length(total);
                    bar.set_style(style(
                        "{spinner} {prefix} [{bar:12}] {pos}/{len} {per_sec}, {eta} left {wide_msg}",
                    ));
                }
                bar.set_position(done);
                bar.set_message(now.to_owned());
            }
            None => self.plain(|| format!("{}: {}", self.what, far(done, total, self.started.elapsed()))),
        }
    }

    /// Shows that `done` of `total` bytes are there.
    pub fn bytes(&self, done: u64, total: Option<u64>) {
        let text = match total {
            Some(total) => format!("{} of {}", human_bytes(done), human_bytes(total)),
            None => human_bytes(done),
        };
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => self.plain(|| format!("{}: {text}", self.what)),
        }
    }

    fn plain(&self, line: impl FnOnce() -> String) {
        let mut last = self.last_plain.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= PLAIN_INTERVAL {
            *last = Instant::now();
            self.progress.say(&line());
        }
    }

    /// Ends the step with a line that says what came of it and how long it took.
    pub fn done(self, outcome: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.progress.say(&format!("{}: {outcome} ({seconds:.1} s)", self.what));
    }
}

/// How far something is after a time, how fast it was, and what is left at that rate.
fn far(done: u64, total: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = Duration::from_secs_f64(total.saturating_sub(done) as f64 / rate.max(0.001));
    format!("{done} of {total}, {rate:.1} a second, {} left", human_time(left))
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration as text for people: `50 s`, `4 min`.
pub fn human_time(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

/// A number of things: `1 tarball`, `33 tarballs`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A size as text for people, in decimal units (kB, MB), as package tools print them.
pub fn human_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_how_far_it_is_how_fast_and_what_is_left() {
        let after = |seconds| Duration::from_secs(seconds);
        assert_eq!(far(50, 450, after(20)), "50 of 450, 2.5 a second, 3 min left");
        assert_eq!(far(450, 450, after(90)), "450 of 450, 5.0 a second, 0 s left");
        assert!(far(0, 450, after(0)).starts_with("0 of 450, 0.0 a second"));
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        let sizes = [(999, "999 B"), (1_750_000, "1.75 MB"), (38_669_728, "38.67 MB"), (1_500, "1.5 kB")];
        for (bytes, text) in sizes {
            assert_eq!(human_bytes(bytes), text);
        }
        for (seconds, text) in [(0, "0 s"), (99, "99 s"), (100, "2 min"), (3_600, "60 min")] {
            assert_eq!(human_time(Duration::from_secs(seconds)), text);
        }
    }
}
