//! Digests: what a blob is called, and what its bytes must be.

use anyarch_client::hash;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `sha256:` and 64 lower-case hex digits: the content of a blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Text that is no digest of a kind that is checked here.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a digest of the form sha256:<64 lower-case hex digits>, the only one that is supported"
)]
pub struct InvalidDigest(String);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hash::sha256(bytes))
    }

    /// The digest that a SHA-256 is written as.
    pub(crate) fn of_hash(hash: &[u8]) -> Self {
        Self(HEXLOWER.encode(hash))
    }

    /// The hex digits alone, which can be the name of a file.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// What people recognise it by: twelve hex digits.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let is_hex = |hex: &&str| {
            hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let hex = text.strip_prefix("sha256:").filter(is_hex);
        // It may come from a registry, and ends on a terminal.
        hex.map(|hex| Self(hex.to_owned()))
            .ok_or_else(|| InvalidDigest(text.chars().take(100).flat_map(char::escape_default).collect()))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "sha256:{}", self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_sha256_in_lower_case_is_a_digest() {
        let good = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), good);
        assert_eq!(good.parse::<Digest>().expect("a digest"), Digest::of(b""));
        for bad in
            ["", "sha256:", &good[7..], &good[..70], &good.to_uppercase(), "sha512:00", "sha256:../../etc"]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        let error = "sha256:\u{1b}[31m".parse::<Digest>().expect_err("no digest").to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }
}
