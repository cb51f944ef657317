//! Words and paths as the kernel has them, any bytes but zero, and yet readable where they are text: in a plan that is
//! handed on as JSON, or shown.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// A word or a path. In JSON it is a string, or a list of bytes where it is no text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub OsString);

impl Text {
    /// The same as a path.
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl Deref for Text {
    type Target = OsStr;

    fn deref(&self) -> &OsStr {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<OsString> for Text {
    fn from(text: OsString) -> Self {
        Self(text)
    }
}

impl From<PathBuf> for Text {
    fn from(path: PathBuf) -> Self {
        Self(path.into_os_string())
    }
}

impl From<&Path> for Text {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl fmt::Display for Text {
    /// As text that a terminal can show, whatever it is.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        text.chars().try_for_each(|letter| match letter.is_control() {
            true => write!(to, "{}", letter.escape_default()),
            false => write!(to, "{letter}"),
        })
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => to.serialize_str(text),
            None => self.0.as_bytes().serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Bytes(Vec<u8>),
        }
        Ok(match Form::deserialize(from)? {
            Form::Text(text) => text.into(),
            Form::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back_as_it_was() {
        for bytes in [&b"/usr/bin"[..], b"", b"a b\n\"c\"", b"\xff\xfe/x", "ü".as_bytes()] {
            let word = Text(OsString::from_vec(bytes.to_vec()));
            let json = serde_json::to_string(&word).expect("JSON");
            assert_eq!(serde_json::from_str::<Text>(&json).expect("a word"), word, "{json}");
        }
        assert_eq!(serde_json::to_string(&Text::from("/usr")).expect("JSON"), "\"/usr\"");
    }

    #[test]
    fn a_word_does_not_speak_to_the_terminal() {
        assert_eq!(Text::from("a\u{1b}[31m").to_string(), "a\\u{1b}[31m");
    }
}
