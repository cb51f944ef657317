//! A mirror: a folder or an address below which releases lie, `<release>/<file>` each. What goes wrong is sorted
//! here by what can be done about it; nobody believes a byte of what a mirror sends before it was checked.

use crate::error::Usage;
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_RANGE, HeaderMap, RANGE, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A folder or an address that releases lie below, and how it behaved in this run.
#[derive(Debug)]
pub struct Mirror {
    place: Place,
    answered: AtomicBool,
    skipped: Mutex<Option<Skipped>>,
}

/// Why a word cannot be used as a mirror.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMirror {
    /// A folder that is not there. It may be another time: its disk is not mounted, say.
    #[error("`{}` is not a mirror: there is no such folder", .0.display())]
    Missing(PathBuf),
    /// An address that cannot be one of a mirror, now or later.
    #[error("`{name}` is not a mirror: {reason}")]
    Wrong {
        /// The word as it was given, without a password.
        name: String,
        /// What is wrong with the address.
        reason: String,
    },
}

impl From<InvalidMirror> for Usage {
    fn from(error: InvalidMirror) -> Self {
        Self(error.to_string())
    }
}

/// Why a mirror is skipped for the rest of this run.
#[derive(Debug, Clone)]
pub struct Skipped {
    /// What was seen, for the user.
    pub reason: String,
    /// Whether the mirror is only slow, and so better than none.
    pub is_slow: bool,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Address(Url),
}

/// Why a download from a mirror failed. The variant says what to do next.
#[derive(Debug)]
pub enum TransferError {
    /// Another try helps, after a while.
    Passing {
        /// What was seen, for the user.
        reason: String,
        /// For how long the mirror asks not to be asked again.
        wait: Option<Duration>,
        /// How many bytes of the file the try brought nevertheless.
        brought: u64,
    },
    /// Another try for the whole file helps: the mirror gives no parts, or wrong ones. The text is for the user.
    NoPart(String),
    /// Another mirror helps: this one does not have the file. The text is for the user.
    Absent(String),
    /// Another mirror helps, if there is one: this one is slow. The text is for the user.
    Slow(String),
    /// Another mirror helps, for this and all other files. The text is for the user.
    Useless(String),
    /// No mirror helps: something on this machine failed.
    Ours(anyhow::Error),
}

impl TransferError {
    /// A [`TransferError::Passing`] after which the mirror asks for no wait, and which brought no byte.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self::Passing { reason: reason.into(), wait: None, brought: 0 }
    }
}

/// The answer of a mirror: a file, or the rest of one.
pub struct Body {
    /// The offset of the first byte of the answer in the file: the one that was asked for, or 0.
    pub from: u64,
    /// The size of the whole file in bytes, if the mirror says it.
    pub whole: Option<u64>,
    /// The bytes of the answer. They may end early, or never.
    pub bytes: Box<dyn Read>,
}

impl Mirror {
    /// A mirror by its address (`http://`, `https://`, `file://`) or folder. It is not asked yet.
    ///
    /// # Errors
    /// When there is no such folder, or the address cannot be one of a mirror.
    pub fn named(name: &str) -> Result<Self, InvalidMirror> {
        let wrong = |why: &str| InvalidMirror::Wrong { name: without_password(name), reason: why.to_owned() };
        let place = if name.contains("://") {
            let url = Url::parse(name).map_err(|error| wrong(&error.to_string()))?;
            if url.query().is_some() || url.fragment().is_some() {
                return Err(wrong("an address with ? or # cannot contain files"));
            }
            match url.scheme() {
                "http" | "https" => Place::Address(url),
                "file" => Place::Folder(url.to_file_path().map_err(|()| wrong("it names no folder"))?),
                _ => return Err(wrong("pass an http://, https:// or file:// address, or a folder")),
            }
        } else {
            Place::Folder(PathBuf::from(name))
        };
        match &place {
            Place::Folder(folder) if !folder.is_dir() => Err(InvalidMirror::Missing(folder.clone())),
            _ => Ok(Self { place, answered: AtomicBool::new(false), skipped: Mutex::new(None) }),
        }
    }

    /// Whether the mirror is asked over a network.
    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Address(_))
    }

    /// Why the mirror is not asked in its turn any more, if it is not.
    pub fn skipped(&self) -> Option<Skipped> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the mirror asked no more in its turn.
    pub fn skip(&self, skipped: Skipped) {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) = Some(skipped);
    }

    /// Opens the file `name` of a release, from the byte at offset `from` on if the mirror can, else from the first.
    ///
    /// # Errors
    /// When the mirror does not give it: what then helps says the kind of [`TransferError`].
    pub fn open(&self, client: &Client, release: &str, name: &str, from: u64) -> Result<Body, TransferError> {
        match &self.place {
            Place::Folder(folder) => open_file(&folder.join(release).join(name), from),
            Place::Address(base) => self.ask(client, &below(base, release, name), from),
        }
    }

    fn ask(&self, client: &Client, url: &Url, from: u64) -> Result<Body, TransferError> {
        let mut request = client.get(url.clone());
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = request.send().map_err(|error| self.no_answer(&error))?;
        self.answered.store(true, Ordering::SeqCst);
        let status = response.status();
        match status {
            StatusCode::OK => {
                Ok(Body { from: 0, whole: response.content_length(), bytes: Box::new(response) })
            }
            StatusCode::PARTIAL_CONTENT if from > 0 => part(response, from),
            _ => Err(refusal(status, response.headers())),
        }
    }

    /// A mirror that was never there is not waited for; one that was may come back.
    fn no_answer(&self, error: &reqwest::Error) -> TransferError {
        let reason = innermost(error);
        if error.is_redirect() || !self.answered.load(Ordering::SeqCst) && error.is_connect() {
            TransferError::Useless(format!("it cannot be reached: {reason}"))
        } else {
            TransferError::passing(format!("it does not answer: {reason}"))
        }
    }
}

impl fmt::Display for Mirror {
    /// Without a password that its address may hold.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(folder) => write!(to, "{}", folder.display()),
            Place::Address(url) => {
                let mut shown = url.clone();
                if shown.password().is_some() {
                    // Only addresses without a host can't have one.
                    let _ = shown.set_password(Some("..."));
                }
                to.write_str(shown.as_str().trim_end_matches('/'))
            }
        }
    }
}

/// What may be no address at all, without what may be a password in it.
fn without_password(name: &str) -> String {
    let parts = name.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
    match parts.and_then(|(scheme, (user, host))| Some((scheme, user.split_once(':')?.0, host))) {
        Some((scheme, user, host)) => format!("{scheme}://{user}:...@{host}"),
        None => name.to_owned(),
    }
}

/// The address of a file of a release.
fn below(base: &Url, release: &str, name: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(release).push(name);
    }
    url
}

/// The answer to a question for a part; another part than that is of no use.
fn part(response: Response, from: u64) -> Result<Body, TransferError> {
    let range =
        response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).and_then(content_range);
    match range {
        Some((first, whole)) if first == from => Ok(Body { from, whole, bytes: Box::new(response) }),
        _ => {
            Err(TransferError::NoPart(format!("it was asked for the bytes from {from} on, but sent others")))
        }
    }
}

/// `bytes 10-99/100` as the first byte and the size of the whole, which may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (bounds, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = bounds.split_once('-')?;
    Some((first.parse().ok()?, whole.parse().ok()))
}

fn refusal(status: StatusCode, headers: &HeaderMap) -> TransferError {
    let passes = status.is_server_error()
        || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS]
            .contains(&status);
    let reason = format!("it answers {status}");
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        return TransferError::NoPart(reason);
    }
    if !passes {
        return TransferError::Absent(reason);
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    TransferError::Passing { reason, wait: seconds.map(Duration::from_secs), brought: 0 }
}

fn open_file(path: &Path, from: u64) -> Result<Body, TransferError> {
    let opened = || -> io::Result<Body> {
        let mut file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        // A file that is shorter than what is there already is read from its beginning.
        let from = if from <= meta.len() { from } else { 0 };
        file.seek(SeekFrom::Start(from))?;
        Ok(Body { from, whole: Some(meta.len()), bytes: Box::new(file) })
    };
    opened().map_err(|error| TransferError::Absent(format!("{}: {error}", path.display())))
}

/// The last cause: the others say again which address was asked.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lies_below_the_release_wherever_the_mirror_begins() {
        let cases = [
            ("http://example.org", "http://example.org/1.2-1/x.tar.xz"),
            ("http://example.org/", "http://example.org/1.2-1/x.tar.xz"),
            ("https://example.org/a/b", "https://example.org/a/b/1.2-1/x.tar.xz"),
            ("https://example.org/a/b/", "https://example.org/a/b/1.2-1/x.tar.xz"),
        ];
        for (base, file) in cases {
            let base = Url::parse(base).expect("an address");
            assert_eq!(below(&base, "1.2-1", "x.tar.xz").as_str(), file);
        }
    }

    #[test]
    fn what_is_no_mirror_is_told_and_a_password_is_not() {
        for bad in
            ["ftp://example.org", "http://", "https://example.org/?x", "/no/such/folder", "file:///no/such"]
        {
            let error = Mirror::named(bad).expect_err(bad).to_string();
            assert!(error.contains("is not a mirror"), "{error}");
        }
        let shown = Mirror::named("https://me:secret@example.org/x/").expect("a mirror").to_string();
        assert_eq!(shown, "https://me:...@example.org/x");
        for (bad, shown) in [
            ("https://me:secret@example.org/?x", "`https://me:...@example.org/?x`"),
            ("ftp://me:secret@example.org", "`ftp://me:...@example.org`"),
            ("https://me:se/cr@et@example.org", "`https://me:...@example.org`"),
            ("https://me:secret@", "`https://me:...@`"),
        ] {
            let error = Mirror::named(bad).expect_err(bad).to_string();
            assert!(error.starts_with(&format!("{shown} is not a mirror")), "{error}");
        }
    }

    #[test]
    fn a_range_says_where_it_begins_and_how_big_the_whole_is() {
        assert_eq!(content_range("bytes 10-99/100"), Some((10, Some(100))));
        assert_eq!(content_range("bytes 10-99/*"), Some((10, None)));
        for bad in ["", "bytes", "bytes */100", "10-99/100", "bytes x-99/100"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
