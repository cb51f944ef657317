//! A reader that knows the digest of all that went through it.

use crate::digest::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};

/// Passes bytes on, and hashes them on the way.
pub struct Hashed<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Hashed<R> {
    /// Hashes what is read from `from`.
    pub fn new(from: R) -> Self {
        Self { from, hash: Sha256::new() }
    }

    /// The digest of what was read.
    pub fn digest(&self) -> Digest {
        Digest::of_hash(&self.hash.clone().finalize())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}
