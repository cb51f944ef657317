//! Whether two archives of one emulator hold the same bytes, and where they first do not: what
//! the command `reproduce` says of a release that was built once more. Nothing here builds or runs anything.

mod archive;
mod bytes;
mod content;
mod elf;
mod inputs;

pub use archive::difference;
pub use inputs::{InputDifference, input_differences};

use serde::Serialize;
use std::fmt;

/// The first place where two archives are not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Path to the place, from the outside in: `bin/qemu-arm > .rodata + 0x1a40 (usage_text + 0x10)`.
    pub place: String,
    /// The value in the released archive.
    pub released: String,
    /// The value in the rebuilt archive.
    pub rebuilt: String,
    /// A hint about the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Difference {
    fn new(place: impl Into<String>, released: impl Into<String>, rebuilt: impl Into<String>) -> Self {
        Self { place: place.into(), released: released.into(), rebuilt: rebuilt.into(), note: None }
    }

    /// The same, seen from what holds it.
    fn inside(mut self, outer: &str) -> Self {
        self.place = format!("{outer} > {}", self.place);
        self
    }

    fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {} | {}", self.place, self.released, self.rebuilt)?;
        self.note.as_ref().map_or(Ok(()), |note| write!(to, "\n  {note}"))
    }
}
