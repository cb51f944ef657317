//! A release's name, as each format writes versions.

use anyarch_manifest::Manifest;
use anyhow::{Context as _, Result};

/// QEMU's version and our revision, digits and dots alone: no format reads more into them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `10.2.2`
    pub upstream: String,
    /// `1`
    pub revision: u32,
}

impl Version {
    /// The version of a release.
    ///
    /// # Errors
    /// When its name is of another shape.
    pub fn of(manifest: &Manifest) -> Result<Self> {
        let name = manifest.release.as_str();
        Self::parse(name).with_context(|| {
            format!("no package can be named after the release `{name}`: that is not a version like 10.2.2-1")
        })
    }

    fn parse(name: &str) -> Option<Self> {
        let (upstream, revision) = name.split_once('-')?;
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_version = upstream.split('.').all(is_number) && is_number(revision);
        Some(Self { upstream: upstream.to_owned(), revision: revision.parse().ok()? }).filter(|_| is_version)
    }

    /// dpkg's and rpm's: `10.2.2-1`.
    pub fn with_revision(&self) -> String {
        format!("{}-{}", self.upstream, self.revision)
    }

    /// Alpine's: `10.2.2-r1`.
    pub fn apk(&self) -> String {
        format!("{}-r{}", self.upstream, self.revision)
    }

    /// Python's, for which `10.2.2-1` is another way to write the same: `10.2.2.post1`.
    pub fn wheel(&self) -> String {
        format!("{}.post{}", self.upstream, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_releases_name_becomes_a_version_that_each_format_knows() {
        let version = Version::parse("10.2.2-1").expect("a version");
        assert_eq!(version.with_revision(), "10.2.2-1");
        assert_eq!(version.apk(), "10.2.2-r1");
        assert_eq!(version.wheel(), "10.2.2.post1");
        for bad in ["10.2.2", "10.2-rc1-1", "10.2.2-", "-1", "10..2-1", "10.2.2-x", "10.2.2-99999999999"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
