//! Files from mirrors: tried again where that may help, from the next mirror where it does not, and continued where
//! a transfer broke off, in this run or an earlier one. What comes out was checked.

use crate::files;
use crate::hash;
use crate::http::{self, STALL_TIMEOUT};
use crate::lock::Lock;
use crate::mirror::{self, Body, Mirror, Skipped, TransferError};
use crate::progress::{Progress, Step, human_bytes};
use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::blocking::Client;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How often and for how long mirrors are asked, before another one is.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// How many times a mirror is tried for one file. Tries that bring [`RetryPolicy::useful`] bytes don't count.
    pub tries: u32,
    /// How many bytes a try must bring in order not to count.
    pub useful: u64,
    /// Pause after the first try. It doubles with each further try, and varies randomly by up to half.
    pub pause: Duration,
    /// Longest wait that a mirror may ask for; a mirror that asks for more is given up.
    pub longest_wait: Duration,
    /// A download that receives nothing for this long is given up.
    pub stall: Duration,
    /// A mirror that brings fewer bytes a second than this is left for the others, if there are any.
    pub slow: u64,
    /// For how long a mirror must be slower than [`RetryPolicy::slow`] until it is left.
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
    /// The pause after this many tries that count.
    fn pause(&self, tries: u32) -> Duration {
        let pause = self.pause.saturating_mul(1 << tries.saturating_sub(1).min(10));
        // Many clients that a server dropped at once shall not come back at once.
        let random = RandomState::new().build_hasher().finish() % 1000;
        pause.mul_f64(0.5 + random as f64 / 1000.0)
    }
}

/// The mirrors of a run, in the order in which they are asked.
#[derive(Debug)]
pub struct Mirrors {
    all: Vec<Mirror>,
    client: Client,
    policy: RetryPolicy,
}

/// A mirror whose turn it is to be asked.
#[derive(Debug, Clone, Copy)]
pub struct MirrorTurn<'a> {
    /// The mirror that is asked.
    pub mirror: &'a Mirror,
    /// Whether no mirror would be asked after this one, so that it is borne however slow it is.
    pub is_last: bool,
}

/// A file of a release that is to be downloaded, as the manifest describes it.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedFile<'a> {
    /// The name of the release, which is that of its folder on mirrors.
    pub release: &'a str,
    /// The name of the file in the folder of the release.
    pub name: &'a str,
    /// The size of the file in bytes.
    pub size: u64,
    /// The SHA-256 of the file, lower-case hex.
    pub sha256: &'a str,
}

/// A downloaded file whose hash was checked, and which no other run touches as long as this value lives.
#[derive(Debug)]
pub struct Downloaded {
    /// The file, open for reading at its first byte.
    pub file: File,
    path: PathBuf,
    _lock: Lock,
}

impl Downloaded {
    /// Removes the file from the cache: it has served.
    pub fn discard(self) -> Result<()> {
        files::remove(&self.path)
    }
}

impl Mirrors {
    /// Mirrors that are to be asked in this order.
    ///
    /// # Errors
    /// When HTTPS cannot be set up.
    pub fn new(all: Vec<Mirror>, policy: RetryPolicy) -> Result<Self> {
        Ok(Self { all, client: http::client(policy.stall)?, policy })
    }

    /// Reads a small file of a release, of at most `limit` bytes, from one mirror. Nothing vouches for it yet.
    ///
    /// # Errors
    /// When the mirror does not give it whole, or it is bigger.
    pub fn download_small(
        &self,
        progress: &Progress,
        from: MirrorTurn<'_>,
        release: &str,
        name: &str,
        limit: u64,
    ) -> Result<Vec<u8>, TransferError> {
        self.retry(progress, from.mirror, name, || {
            let body = from.mirror.open(&self.client, release, name, 0)?;
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

    /// Downloads a file to `<cache>/fetch/<sha256>`, going on where an earlier run stood, and checks it. Waits for
    /// another run that downloads the same file.
    ///
    /// # Errors
    /// When no mirror gives a file with that size and hash, or the cache cannot be written.
    pub fn download(
        &self,
        progress: &Progress,
        cache: &Path,
        wanted: ExpectedFile<'_>,
    ) -> Result<Downloaded> {
        let path = cache.join("fetch").join(wanted.sha256);
        let lock = Lock::acquire(&path, progress)?;
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        if !is_wanted(&mut file, wanted).context("the cache cannot be read")? {
            let step = progress.step(format!("download {}", wanted.name));
            self.try_each(progress, wanted.name, |from| {
                self.checked(progress, from, wanted, &mut file, &step)
            })?;
            step.done("checked");
        }
        file.rewind().with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Downloaded { file, path, _lock: lock })
    }

    /// Calls `take` with one mirror after the other, until one gives `what`, a thing as the user would name it. Mirrors
    /// that are of no use are not asked again in this run, and slow ones when nobody else is left.
    ///
    /// # Errors
    /// When no mirror gives it, with a line for each, or something on this machine fails.
    pub fn try_each<T>(
        &self,
        progress: &Progress,
        what: &str,
        mut take: impl FnMut(MirrorTurn<'_>) -> Result<T, TransferError>,
    ) -> Result<T> {
        let mut reasons = Vec::new();
        for from in &self.all {
            if let Some(skipped) = from.skipped() {
                reasons.push(line(from, &skipped.reason));
                continue;
            }
            let is_last = self.is_last(from);
            match take(MirrorTurn { mirror: from, is_last }) {
                Ok(taken) => return Ok(taken),
                Err(trouble) => reasons.push(line(from, &remember(from, trouble)?)),
            }
            if let Some(line) = reasons.last().filter(|_| !is_last) {
                progress.say(&format!("trying the next mirror: {line}"));
            }
        }
        for from in self.all.iter().filter(|from| from.skipped().is_some_and(|skipped| skipped.is_slow)) {
            progress.say(&format!("trying the slow mirror {from} again: no other mirror has {what}"));
            match take(MirrorTurn { mirror: from, is_last: true }) {
                Ok(taken) => return Ok(taken),
                Err(trouble) => reasons.push(line(from, &remember(from, trouble)?)),
            }
        }
        bail!(
            "no mirror could deliver {what}:\n  {}\n  run the same command again, or pass another mirror with --from",
            reasons.join("\n  ")
        )
    }

    /// Whether no other mirror would be asked in its turn after this one.
    fn is_last(&self, one: &Mirror) -> bool {
        let after = self.all.iter().skip_while(|other| !std::ptr::eq(*other, one)).skip(1);
        after.filter(|other| other.skipped().is_none()).count() == 0
    }

    /// The whole file from one mirror. When it is not what it should be, bytes of an earlier run or another mirror
    /// may be to blame; so it has one more chance, from the first byte.
    fn checked(
        &self,
        progress: &Progress,
        from: MirrorTurn<'_>,
        wanted: ExpectedFile<'_>,
        file: &mut File,
        step: &Step<'_>,
    ) -> Result<(), TransferError> {
        let mut last = None;
        for _ in 0..2 {
            let mut attempts = Attempts::default();
            self.retry(progress, from.mirror, wanted.name, || {
                self.resume(from, wanted, file, &mut attempts, step)
            })?;
            let found = hash(file).map_err(ours)?;
            if found == wanted.sha256 {
                return Ok(());
            }
            file.set_len(0).map_err(ours)?;
            if last.is_none() {
                let from = from.mirror;
                progress.say(&format!("{from} sent wrong bytes for {}; trying once more", wanted.name));
            }
            last = Some(found);
        }
        Err(TransferError::Useless(format!(
            "wrong content: {} is not the file of the release\n    its sha256 is   {}\n    the release has {}",
            wanted.name,
            last.unwrap_or_default(),
            wanted.sha256
        )))
    }

    /// Gets what the file lacks, in one try.
    fn resume(
        &self,
        from: MirrorTurn<'_>,
        wanted: ExpectedFile<'_>,
        file: &mut File,
        attempts: &mut Attempts,
        step: &Step<'_>,
    ) -> Result<(), TransferError> {
        let have = file.metadata().map_err(ours)?.len();
        if have == wanted.size {
            return Ok(());
        }
        let have = if attempts.only_whole || have > wanted.size { 0 } else { have };
        let body =
            from.mirror.open(&self.client, wanted.release, wanted.name, have).map_err(
                |trouble| match trouble {
                    TransferError::NoPart(reason) => {
                        attempts.only_whole = true;
                        TransferError::passing(reason)
                    }
                    other => other,
                },
            )?;
        if let Some(whole) = body.whole.filter(|whole| *whole != wanted.size) {
            let (name, size) = (wanted.name, wanted.size);
            return Err(TransferError::Useless(format!(
                "wrong size: {name} has {whole} bytes there, but {size} in the release"
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
        // A mirror that begins anew every time brings nothing.
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
                    let broke = Some(format!("the connection broke ({})", mirror::innermost(&error)));
                    return Ok(Copied { bytes: done, broke });
                }
            };
            to.write_all(&buffer[..n]).map_err(ours)?;
            done += n as u64;
            on_bytes(done);
            let (since, before) = window;
            if !is_last && since.elapsed() >= self.policy.slow_for {
                self.fast_enough(done - before, since.elapsed())?;
                window = (Instant::now(), done);
            }
        }
        Ok(Copied { bytes: done, broke: None })
    }

    fn fast_enough(&self, bytes: u64, time: Duration) -> Result<(), TransferError> {
        let rate = bytes as f64 / time.as_secs_f64();
        if rate < self.policy.slow as f64 {
            return Err(TransferError::Slow(format!("it is too slow: {rate:.0} bytes per second")));
        }
        Ok(())
    }

    /// Tries until it works, or until more tries would not help.
    fn retry<T>(
        &self,
        progress: &Progress,
        from: &Mirror,
        what: &str,
        mut attempt: impl FnMut() -> Result<T, TransferError>,
    ) -> Result<T, TransferError> {
        let mut tries = 0;
        loop {
            let (reason, wait, brought) = match attempt() {
                Err(TransferError::Passing { reason, wait, brought }) => (reason, wait, brought),
                ended => return ended,
            };
            tries = if brought >= self.policy.useful { 1 } else { tries + 1 };
            if tries >= self.policy.tries {
                return Err(TransferError::Useless(format!("{reason} ({tries} tries)")));
            }
            if let Some(wait) = wait.filter(|wait| *wait > self.policy.longest_wait) {
                return Err(TransferError::Useless(format!(
                    "{reason}, and asks to wait {} s",
                    wait.as_secs()
                )));
            }
            let pause = self.policy.pause(tries).max(wait.unwrap_or_default());
            let seconds = pause.as_secs_f64();
            progress.say(&line(from, &format!("{reason}; {what} again in {seconds:.1} s")));
            thread::sleep(pause);
        }
    }
}

/// Keeps in mind for how long a mirror that failed is of no use; gives the reason.
fn remember(from: &Mirror, trouble: TransferError) -> Result<String> {
    let (reason, is_slow) = match trouble {
        TransferError::Ours(error) => return Err(error),
        TransferError::Absent(reason) | TransferError::NoPart(reason) => return Ok(reason),
        TransferError::Slow(reason) => (reason, true),
        TransferError::Useless(reason) | TransferError::Passing { reason, .. } => (reason, false),
    };
    from.skip(Skipped { reason: reason.clone(), is_slow });
    Ok(reason)
}

fn line(from: &Mirror, reason: &str) -> String {
    printable(&format!("{from}: {reason}"))
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
fn is_wanted(file: &mut File, wanted: ExpectedFile<'_>) -> io::Result<bool> {
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

/// What a mirror said, for a terminal that it must not speak to.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
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

    #[test]
    fn what_a_mirror_says_cannot_reach_the_terminal_as_more_than_text() {
        assert_eq!(printable("a\u{1b}[31mb\r\nc\u{9b}"), "a?[31mb?\nc?");
    }
}
