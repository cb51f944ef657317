//! A mirror: a folder or an address below which releases lie, `<release>/<file>` each. What goes wrong is sorted
//! here by what can be done about it; nobody believes a byte of what a mirror sends before it was checked.

use crate::answer::{self, Body, TransferError};
use crate::error::Usage;
use reqwest::Url;
use reqwest::blocking::Client;
use reqwest::header::RANGE;
use std::fmt;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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
        answer::body(response, from)
    }

    /// A mirror that was never there is not waited for; one that was may come back.
    fn no_answer(&self, error: &reqwest::Error) -> TransferError {
        let reason = answer::innermost(error);
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

/// The address of a file of a release, whose folder may lie in others.
fn below(base: &Url, release: &str, name: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(release.split('/')).push(name);
    }
    url
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
        let base = Url::parse("http://example.org/debian").expect("an address");
        let deep = "http://example.org/debian/dists/bookworm/Release";
        assert_eq!(below(&base, "dists/bookworm", "Release").as_str(), deep);
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
}
