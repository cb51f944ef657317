//! One server, asked for one file: tried again where that may help, and continued where a transfer broke off, in this
//! run or an earlier one. What comes out of [`RetryPolicy::fill`] was checked.

use crate::answer::{self, Body, TransferError, printable};
use crate::hash;
use crate::http::STALL_TIMEOUT;
use crate::progress::{Progress, Step, human_bytes};
use anyhow::anyhow;
use std::fmt::Display;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::thread;
use std::time::{Duration, Instant};

/// Who is asked for a file, and how.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The server, as the user would name it.
    pub who: &'a dyn Display,
    /// Opens the file there, from the byte at this offset on if the server can, else from the first.
    pub open: &'a dyn Fn(u64) -> Result<Body, TransferError>,
    /// Whether nobody would be asked after this server, so that it is borne however slow it is.
    pub is_last: bool,
}

/// A file as it must be in the end.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What the user calls it.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: &'a str,
    /// What says so: `the release`.
    pub by: &'a str,
}

/// How often and for how long a server is asked, before another one is, or the run gives up.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// How many times a server is tried for one file. Tries that bring [`RetryPolicy::useful`] bytes don't count.
    pub tries: u32,
    /// How many bytes a try must bring in order not to count.
    pub useful: u64,
    /// Pause after the first try. It doubles with each further try, and varies randomly by up to half.
    pub pause: Duration,
    /// Longest wait that a server may ask for; one that asks for more is given up.
    pub longest_wait: Duration,
    /// A download that receives nothing for this long is given up.
    pub stall: Duration,
    /// A server that brings fewer bytes a second than this is left for the others, if there are any.
    pub slow: u64,
    /// For how long a server must be slower than [`RetryPolicy::slow`] until it is left.
    pub slow_for: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: 5,
            useful: 256 << 10,
            pause: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            stall: STALL_TIMEOUT,
            slow: 4 << 10,
            slow_for: Duration::from_secs(15),
        }
    }
}

impl RetryPolicy {
    /// Reads a small file of at most `limit` bytes from a server. Nothing vouches for it yet.
    ///
    /// # Errors
    /// When the server does not give it whole, or it is bigger.
    pub fn read_small(
        &self,
        progress: &Progress,
        from: Asked<'_>,
        name: &str,
        limit: u64,
    ) -> Result<Vec<u8>, TransferError> {
        self.retry(progress, from.who, name, || {
            let body = (from.open)(0)?;
            let (mut bytes, whole) = (Vec::new(), body.whole);
            let most = limit.saturating_add(1);
            let Copied { bytes: size, broke } = self.copy(body, &mut bytes, most, from.is_last, |_| ())?;
            if size > limit {
                return Err(TransferError::Useless(format!("{name} has more than {}", human_bytes(limit))));
            }
            // An answer in chunks does not say its size, only that it is over.
            if broke.is_some() || whole.is_some_and(|whole| whole != size) {
                let why = broke.unwrap_or_else(ended);
                return Err(TransferError::passing(format!("{why}, after {size} bytes of {name}")));
            }
            Ok(bytes)
        })
    }

    /// Fills the file from one server, going on where it ends, and checks it. When it is not what it should be, bytes
    /// of an earlier run or another server may be to blame; so there is one more chance, from the first byte.
    ///
    /// # Errors
    /// When the server does not give a file with that size and hash, or it cannot be written.
    pub fn fill(
        &self,
        progress: &Progress,
        from: Asked<'_>,
        wanted: Wanted<'_>,
        file: &mut File,
        step: &Step<'_>,
    ) -> Result<(), TransferError> {
        let mut last = None;
        for _ in 0..2 {
            let mut attempts = Attempts::default();
            self.retry(progress, from.who, wanted.name, || {
                self.resume(from, wanted, file, &mut attempts, step)
            })?;
            let found = hash(file).map_err(ours)?;
            if found == wanted.sha256 {
                return Ok(());
            }
            file.set_len(0).map_err(ours)?;
            if last.is_none() {
                let who = from.who;
                progress.say(&format!("{who} sent wrong bytes for {}; trying once more", wanted.name));
            }
            last = Some(found);
        }
        Err(TransferError::Useless(format!(
            "wrong content: {} is not the file of {by}\n    its sha256 is   {}\n    {by} has {}",
            wanted.name,
            last.unwrap_or_default(),
            wanted.sha256,
            by = wanted.by
        )))
    }

    /// Gets what the file lacks, in one try.
    fn resume(
        &self,
        from: Asked<'_>,
        wanted: Wanted<'_>,
        file: &mut File,
        attempts: &mut Attempts,
        step: &Step<'_>,
    ) -> Result<(), TransferError> {
        let have = file.metadata().map_err(ours)?.len();
        if have == wanted.size {
            return Ok(());
        }
        let have = if attempts.only_whole || have > wanted.size { 0 } else { have };
        let body = (from.open)(have).map_err(|trouble| match trouble {
            TransferError::NoPart(reason) => {
                attempts.only_whole = true;
                TransferError::passing(reason)
            }
            other => other,
        })?;
        if let Some(whole) = body.whole.filter(|whole| *whole != wanted.size) {
            let (name, size, by) = (wanted.name, wanted.size, wanted.by);
            return Err(TransferError::Useless(format!(
                "wrong size: {name} has {whole} bytes there, but {size} in {by}"
            )));
        }
        let begin = body.from;
        file.set_len(begin).and_then(|()| file.seek(SeekFrom::Start(begin))).map_err(ours)?;
        let show = |done| step.bytes(begin + done, Some(wanted.size));
        let copied = self.copy(body, file, wanted.size - begin, from.is_last, show)?;
        let end = begin + copied.bytes;
        if end == wanted.size {
            return Ok(());
        }
        // A server that begins anew every time brings nothing.
        let brought = end.saturating_sub(attempts.farthest.max(have));
        attempts.farthest = attempts.farthest.max(end);
        let why = copied.broke.unwrap_or_else(ended);
        let reason = format!("{why}, after {end} of {} bytes", wanted.size);
        Err(TransferError::Passing { reason, wait: None, brought })
    }

    /// Copies up to `most` bytes.
    fn copy(
        &self,
        mut body: Body,
        to: &mut impl io::Write,
        most: u64,
        is_last: bool,
        on_bytes: impl Fn(u64),
    ) -> Result<Copied, TransferError> {
        let mut buffer = vec![0; 1 << 16];
        let mut done = 0;
        let mut window = (Instant::now(), 0);
        while done < most {
            let room = buffer.len().min(usize::try_from(most - done).unwrap_or(usize::MAX));
            let n = match body.bytes.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let broke = Some(format!("the connection broke ({})", answer::innermost(&error)));
                    return Ok(Copied { bytes: done, broke });
                }
            };
            to.write_all(&buffer[..n]).map_err(ours)?;
            done += n as u64;
            on_bytes(done);
            let (since, before) = window;
            if !is_last && since.elapsed() >= self.slow_for {
                self.fast_enough(done - before, since.elapsed())?;
                window = (Instant::now(), done);
            }
        }
        Ok(Copied { bytes: done, broke: None })
    }

    fn fast_enough(&self, bytes: u64, time: Duration) -> Result<(), TransferError> {
        let rate = bytes as f64 / time.as_secs_f64();
        if rate < self.slow as f64 {
            return Err(TransferError::Slow(format!("it is too slow: {rate:.0} bytes per second")));
        }
        Ok(())
    }

    /// Tries until it works, or until more tries would not help. `who` is asked for `what`, as the user would name both.
    ///
    /// # Errors
    /// What the last try ended with; never one after which another try helps.
    pub fn retry<T>(
        &self,
        progress: &Progress,
        who: &dyn Display,
        what: &str,
        mut attempt: impl FnMut() -> Result<T, TransferError>,
    ) -> Result<T, TransferError> {
        let mut tries = 0;
        loop {
            let (reason, wait, brought) = match attempt() {
                Err(TransferError::Passing { reason, wait, brought }) => (reason, wait, brought),
                ended => return ended,
            };
            tries = if brought >= self.useful { 1 } else { tries + 1 };
            if tries >= self.tries {
                return Err(TransferError::Useless(format!("{reason} ({tries} tries)")));
            }
            if let Some(wait) = wait.filter(|wait| *wait > self.longest_wait) {
                return Err(TransferError::Useless(format!(
                    "{reason}, and asks to wait {} s",
                    wait.as_secs()
                )));
            }
            let pause = self.pause(tries).max(wait.unwrap_or_default());
            let seconds = pause.as_secs_f64();
            progress.say(&line(who, &format!("{reason}; {what} again in {seconds:.1} s")));
            thread::sleep(pause);
        }
    }

    /// The pause after this many tries that count.
    fn pause(&self, tries: u32) -> Duration {
        let pause = self.pause.saturating_mul(1 << tries.saturating_sub(1).min(10));
        // Many clients that a server dropped at once shall not come back at once.
        let random = RandomState::new().build_hasher().finish() % 1000;
        pause.mul_f64(0.5 + random as f64 / 1000.0)
    }
}

/// What somebody who was asked did, as a line for the terminal.
pub fn line(who: &dyn Display, reason: &str) -> String {
    printable(&format!("{who}: {reason}"))
}

/// What one answer brought.
struct Copied {
    bytes: u64,
    /// Why it is not all of the answer, if so.
    broke: Option<String>,
}

fn ended() -> String {
    "it ended".to_owned()
}

/// How the tries at a file went so far, with one mirror.
#[derive(Debug, Default)]
struct Attempts {
    /// It gives no parts, or wrong ones.
    only_whole: bool,
    /// The most bytes that there ever were.
    farthest: u64,
}

/// Whether a file is whole and right already; one that is whole and wrong is emptied.
///
/// # Errors
/// When it cannot be read or emptied.
pub fn is_whole(file: &mut File, wanted: Wanted<'_>) -> io::Result<bool> {
    if file.metadata()?.len() < wanted.size {
        return Ok(false);
    }
    let is_right = hash(file)? == wanted.sha256;
    if !is_right {
        file.set_len(0)?;
    }
    Ok(is_right)
}

fn hash(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    hash::sha256_of(file)
}

/// A failure of this machine's disk.
fn ours(error: io::Error) -> TransferError {
    TransferError::Ours(anyhow!(error).context("the download cannot be kept in the cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_vary_by_half() {
        let policy = RetryPolicy::default();
        for (tries, seconds) in [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0)] {
            let pauses: Vec<f64> = (0..200).map(|_| policy.pause(tries).as_secs_f64()).collect();
            assert!(pauses.iter().all(|pause| (seconds * 0.5..seconds * 1.5).contains(pause)), "{tries}");
            assert!(
                pauses.iter().any(|pause| (pause - pauses[0]).abs() > seconds / 100.0),
                "{tries}: no jitter"
            );
        }
    }
}
