//! Hashes of bytes, files and values: SHA-256, as lower-case hex.

use anyhow::{Context as _, Result};
use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The SHA-256 of bytes, in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The SHA-256 of a file, in lower-case hex.
pub fn sha256_file(path: &Path) -> Result<String> {
    let what = || format!("cannot read {}", path.display());
    sha256_of(&mut File::open(path).with_context(what)?).with_context(what)
}

/// The SHA-256 of all that is still to be read, in lower-case hex.
pub fn sha256_of(from: &mut impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(HEXLOWER.encode(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// Twelve hex digits that stand for a value: the beginning of the SHA-256 of its JSON. Names of folders hold them.
pub fn short_key<T: Serialize>(value: &T) -> Result<String> {
    let bytes = serde_json::to_vec(value).context("cannot encode a key")?;
    Ok(sha256(&bytes)[..12].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_one_that_sha256sum_prints() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(sha256_file(file.path()).expect("readable"), empty);
    }
}
