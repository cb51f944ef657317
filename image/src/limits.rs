//! How much an image may be: whoever packs one chooses, and a few bytes are enough to ask for a full disk.

use std::io::{self, Read};

/// The most that is unpacked.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of all files of an image together.
    pub unpacked: u64,
    /// Files, folders and links of an image together, and entries of all of its layers.
    pub entries: u64,
    /// How many times its packed size a stream may have, if it has more than [`Limits::harmless`]. Source code packs to
    /// a tenth, zeros to a thousandth by gzip, and to less by zstd.
    pub ratio: u64,
    /// Bytes that a stream may always have.
    pub harmless: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { unpacked: 64 << 30, entries: 1_000_000, ratio: 200, harmless: 1 << 30 }
    }
}

impl Limits {
    /// The most bytes of a stream that is packed into so many.
    pub fn stream(&self, packed: u64) -> u64 {
        packed.saturating_mul(self.ratio).max(self.harmless)
    }
}

/// A stream that fails where it goes on beyond its limit.
pub struct Limited<R> {
    from: R,
    left: u64,
    packed: u64,
}

impl<R: Read> Limited<R> {
    /// What is packed into so many bytes.
    pub fn new(from: R, limits: &Limits, packed: u64) -> Self {
        Self { from, left: limits.stream(packed), packed }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            let packed = self.packed;
            io::Error::other(format!(
                "refused: its {packed} bytes unpack to more than any image's do, as a bomb's would"
            ))
        })?;
        Ok(n)
    }
}
