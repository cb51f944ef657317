//! `Release`: what a suite is called, what it is for, and the hashes of its lists of packages.

use crate::rootfs::control::Stanza;
use anyarch_client::answer::printable;
use anyarch_client::error::Usage;
use anyhow::{Context as _, Result, bail};
use std::time::SystemTime;

/// A suite, as its `Release` describes it. Whoever makes one has checked the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `bookworm`; of sid, too, although `unstable` is a name of it.
    pub codename: String,
    /// The architectures that the suite has.
    pub architectures: Vec<String>,
    /// Whether files are also to be had by their hashes, whatever else a mirror has by their names just now.
    pub has_hashes: bool,
    /// Until when a mirror may pass this on, in Debian's words; none for suites that are released.
    pub valid_until: Option<String>,
    files: Vec<File>,
}

/// A file that the suite vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path in the folder of the suite.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
}

impl Release {
    /// Reads the one of a suite that was asked for by `suite`.
    ///
    /// # Errors
    /// When it is of another suite: an old one has good signatures, too.
    pub fn read(text: &str, suite: &str) -> Result<Self> {
        let stanza = Stanza::read(text);
        let field = |name: &str| stanza.get(name).unwrap_or_default();
        let names = [field("Codename"), field("Suite")];
        if !names.contains(&suite) {
            bail!("it is of the suite {} ({}), not {suite}", printable(names[0]), printable(names[1]));
        }
        let files = field("SHA256").lines().filter_map(file).collect();
        Ok(Self {
            codename: names[0].to_owned(),
            architectures: field("Architectures").split_whitespace().map(str::to_owned).collect(),
            has_hashes: field("Acquire-By-Hash") == "yes",
            valid_until: stanza.get("Valid-Until").map(printable),
            files,
        })
    }

    /// Whether a mirror should have a newer one by now. A date that is none counts as past, as it does for apt.
    pub fn is_past(&self, now: SystemTime) -> bool {
        let Some(until) = &self.valid_until else { return false };
        // The form of dates in HTTP, but for the name of the time zone.
        let date = httpdate::parse_http_date(&until.replace("UTC", "GMT"));
        date.map_or(true, |date| date < now)
    }

    /// The list of the packages in `main` for an architecture, packed by xz.
    ///
    /// # Errors
    /// [`Usage`] when the suite does not have that architecture.
    pub fn packages(&self, architecture: &str) -> Result<&File> {
        if !self.architectures.iter().any(|known| known == architecture) {
            let all = self.architectures.iter().filter(|known| *known != "all");
            let all = printable(&all.cloned().collect::<Vec<_>>().join(" "));
            bail!(Usage(format!("{} has no {architecture}; it has: {all}", printable(&self.codename))));
        }
        let path = format!("main/binary-{architecture}/Packages.xz");
        let found = self.files.iter().find(|file| file.path == path);
        found.with_context(|| format!("the Release of {} does not list {path}", printable(&self.codename)))
    }
}

/// A line `SHA256 SIZE PATH`.
fn file(line: &str) -> Option<File> {
    let mut words = line.split_whitespace();
    let (sha256, size, path) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then(|| File { path: path.to_owned(), size, sha256: sha256.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_suite_vouches_for_its_lists_and_is_the_one_that_was_asked_for() {
        let hash = "a".repeat(64);
        let text = format!(
            "Suite: unstable\nCodename: sid\nArchitectures: all arm64\nValid-Until: Fri, 06 Nov 2026 08:08:01 UTC\n\
             MD5Sum:\n x 1 main/binary-arm64/Packages.xz\nSHA256:\n {hash} 7 main/binary-arm64/Packages.xz\n bad 7 other\n"
        );
        for name in ["sid", "unstable"] {
            let release = Release::read(&text, name).expect("its own");
            let file = release.packages("arm64").expect("listed");
            assert_eq!((file.size, file.sha256.as_str()), (7, hash.as_str()));
            let error = release.packages("mipsel").expect_err("gone").to_string();
            assert_eq!(error, "sid has no mipsel; it has: arm64");
        }
        let error = Release::read(&text, "bookworm").expect_err("another").to_string();
        assert!(error.contains("of the suite sid (unstable), not bookworm"), "{error}");
    }

    #[test]
    fn a_mirror_that_stands_still_is_known_by_the_date_of_its_suite() {
        let after = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400);
        let release = |more: &str| Release::read(&format!("Codename: sid\n{more}"), "sid").expect("its own");
        let sid = release("Valid-Until: Fri, 06 Nov 2026 08:08:01 UTC\n");
        // The fifth and the seventh of that month.
        assert!(!sid.is_past(after(20_762)) && sid.is_past(after(20_764)));
        assert!(!release("").is_past(after(20_764)));
        assert!(release("Valid-Until: later\n").is_past(after(0)));
    }
}
