//! Words that a reader may use as they are: as a file's name in a folder, as a hash to compare with.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A file's name without a folder: letters, digits and `.`, `_`, `+`, `-`, not beginning with a dot or a dash,
/// at most 200 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct FileName(
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 200), regex(pattern = r"^[A-Za-z0-9_+][A-Za-z0-9._+-]*$"))
    )]
    String,
);

/// A SHA-256: 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(#[cfg_attr(feature = "schema", schemars(regex(pattern = r"^[0-9a-f]{64}$")))] String);

/// The error for text that is neither a valid file name nor a SHA-256.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWord {
    /// Not a [`FileName`].
    #[error("`{0}` is not the name of a file beside the manifest")]
    FileName(String),
    /// Not a [`Sha256`].
    #[error("`{0}` is not a SHA-256 (64 lower-case hex digits)")]
    Sha256(String),
}

/// The longest name; the file systems that matter take 255 bytes, and partial files have longer ones.
const MAX_LENGTH: usize = 200;

impl TryFrom<String> for FileName {
    type Error = InvalidWord;

    fn try_from(text: String) -> Result<Self, InvalidWord> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
        let begins = text.bytes().next().is_some_and(|b| fits(b) && !b".-".contains(&b));
        if begins && text.len() <= MAX_LENGTH && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            Err(InvalidWord::FileName(text))
        }
    }
}

impl TryFrom<String> for Sha256 {
    type Error = InvalidWord;

    fn try_from(text: String) -> Result<Self, InvalidWord> {
        if HEXLOWER.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == 32) {
            Ok(Self(text))
        } else {
            Err(InvalidWord::Sha256(text))
        }
    }
}

/// Whether a text is a name of a target or a part of a host's: lower-case letters, digits, `_`, `-`.
pub(crate) fn is_word(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    !text.is_empty() && text.len() <= 64 && !text.starts_with('-') && text.bytes().all(fits)
}

macro_rules! as_text {
    ($name:ident) => {
        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str(&self.0)
            }
        }
    };
}

as_text!(FileName);
as_text!(Sha256);

/// Whether one release is newer than another: their numbers, one by one.
pub fn is_newer(one: &str, than: &str) -> bool {
    let numbers = |name: &str| -> Vec<u64> {
        name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    numbers(one) > numbers(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_number_by_number() {
        for (newer, older) in [
            ("10.2.2-2", "10.2.2-1"),
            ("10.2.10-1", "10.2.9-3"),
            ("11.0.0-1", "10.2.2-9"),
            ("10.2.2-1", "unknown"),
        ] {
            assert!(is_newer(newer, older) && !is_newer(older, newer), "{newer} {older}");
        }
        assert!(!is_newer("10.2.2-1", "10.2.2-1"));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_none() {
        for bad in ["", ".", "..", "../x", "a/b", "/etc/passwd", "-rf", ".hidden", "a b", "a\0b", "a\nb", "ä"]
        {
            assert!(FileName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(FileName::try_from("x".repeat(201)).is_err());
        for good in ["qemu-aarch64-10.2.2-1-linux-arm-v7.tar.xz", "SHA256SUMS", "g++", "x"] {
            assert_eq!(FileName::try_from(good.to_owned()).expect("a name").as_str(), good);
        }
    }

    #[test]
    fn a_hash_has_64_lower_case_digits() {
        let good = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(Sha256::try_from(good.to_owned()).is_ok());
        for bad in [&good[1..], &good.to_uppercase(), &good.replace('e', "g"), ""] {
            assert!(Sha256::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
