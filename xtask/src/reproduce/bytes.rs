//! Compares bytes of unknown format.

use super::Difference;

/// Bytes that are shown before the first one that differs, and from there on.
const BEFORE: usize = 4;
const AFTER: usize = 8;

/// The first byte that differs, with those around it.
pub fn difference(old: &[u8], new: &[u8]) -> Difference {
    let offset = first_difference(old, new);
    Difference::new(format!("offset {offset:#x}"), hex(old, offset), hex(new, offset))
}

/// Where two byte strings part: the end of the shorter one, if it is the other's beginning.
pub fn first_difference(old: &[u8], new: &[u8]) -> usize {
    old.iter().zip(new).position(|(old, new)| old != new).unwrap_or_else(|| old.len().min(new.len()))
}

/// Bytes around an offset in hex, the one at it in brackets: `31 30 [00] 7f`.
pub fn hex(bytes: &[u8], offset: usize) -> String {
    let mut words = Vec::new();
    for (number, byte) in bytes.iter().enumerate().take(offset + AFTER).skip(offset.saturating_sub(BEFORE)) {
        words.push(if number == offset { format!("[{byte:02x}]") } else { format!("{byte:02x}") });
    }
    if offset >= bytes.len() {
        words.push("[end]".to_owned());
    }
    words.join(" ")
}
