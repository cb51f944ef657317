//! Files from mirrors: tried again where that may help, from the next mirror where it does not, and continued where
//! a transfer broke off, in this run or an earlier one. What comes out was checked.

use crate::answer::{Body, TransferError};
use crate::files;
use crate::http;
use crate::lock::Lock;
use crate::mirror::{Mirror, Skipped};
use crate::progress::{Progress, Step};
use crate::tries::{self, Asked, Wanted, line};
use anyhow::{Context as _, Result, bail};
use reqwest::blocking::Client;
use std::fs::File;
use std::io::Seek as _;
use std::path::{Path, PathBuf};

/// How often and for how long each of them is asked.
pub use crate::tries::RetryPolicy;

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

impl<'a> MirrorTurn<'a> {
    /// The same for those who try: `open` opens the file there.
    fn asked(self, open: &'a dyn Fn(u64) -> Result<Body, TransferError>) -> Asked<'a> {
        Asked { who: self.mirror, open, is_last: self.is_last }
    }
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

impl<'a> ExpectedFile<'a> {
    fn whole(self) -> Wanted<'a> {
        let Self { name, size, sha256, .. } = self;
        Wanted { name, size, sha256, by: "the release" }
    }
}

/// A file of the cache, of which there may be a part, and which no other run touches as long as this value lives.
struct Kept {
    file: File,
    path: PathBuf,
    lock: Lock,
}

impl Kept {
    /// Opens it, and says whether it is whole.
    fn open(progress: &Progress, cache: &Path, wanted: ExpectedFile<'_>) -> Result<(Self, bool)> {
        let path = cache.join("fetch").join(wanted.sha256);
        let lock = Lock::acquire(&path, progress)?;
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let is_whole = tries::is_whole(&mut file, wanted.whole()).context("the cache cannot be read")?;
        Ok((Self { file, path, lock }, is_whole))
    }

    fn downloaded(mut self) -> Result<Downloaded> {
        self.file.rewind().with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(Downloaded { file: self.file, path: self.path, _lock: self.lock })
    }
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
    /// Its place in the cache.
    pub fn path(&self) -> &Path {
        &self.path
    }

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
        let open = |offset| from.mirror.open(&self.client, release, name, offset);
        self.policy.read_small(progress, from.asked(&open), name, limit)
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
        let (kept, is_whole) = Kept::open(progress, cache, wanted)?;
        if is_whole {
            return kept.downloaded();
        }
        let step = progress.step(format!("download {}", wanted.name));
        let downloaded = self.fill(progress, kept, wanted, &step)?;
        step.done("checked");
        Ok(downloaded)
    }

    /// The same for one of many files, as part of a step of the caller's.
    ///
    /// # Errors
    /// As [`Mirrors::download`].
    pub fn download_in(
        &self,
        progress: &Progress,
        step: &Step<'_>,
        cache: &Path,
        wanted: ExpectedFile<'_>,
    ) -> Result<Downloaded> {
        match Kept::open(progress, cache, wanted)? {
            (kept, true) => kept.downloaded(),
            (kept, false) => self.fill(progress, kept, wanted, step),
        }
    }

    fn fill(
        &self,
        progress: &Progress,
        mut kept: Kept,
        wanted: ExpectedFile<'_>,
        step: &Step<'_>,
    ) -> Result<Downloaded> {
        let ExpectedFile { release, name, .. } = wanted;
        self.try_each(progress, name, |from| {
            let open = |offset| from.mirror.open(&self.client, release, name, offset);
            self.policy.fill(progress, from.asked(&open), wanted.whole(), &mut kept.file, step)
        })?;
        kept.downloaded()
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
