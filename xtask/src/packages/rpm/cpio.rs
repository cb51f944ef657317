//! Files as a cpio archive of the kind `newc`, with the names that rpm gives them.

use super::File;
use anyhow::{Context as _, Result};

/// The end of an archive has this name.
const END: &str = "TRAILER!!!";

/// The archive.
///
/// # Errors
/// When a file is too big.
pub fn write(files: &[File], epoch: u32) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (number, file) in (1..).zip(files) {
        let content = if file.link().is_empty() { &file.bytes } else { file.link().as_bytes() };
        let size = u32::try_from(content.len()).context("a file is too big for cpio")?;
        header(&mut archive, &format!("./{}", file.entry.path), number, file.mode(), epoch, size)?;
        archive.extend(content);
        pad(&mut archive);
    }
    header(&mut archive, END, 0, 0, 0, 0)?;
    Ok(archive)
}

/// What goes before a file: its number, mode, owner, group, links, time, size; where it lies (nowhere); its name.
fn header(archive: &mut Vec<u8>, name: &str, number: u32, mode: u32, time: u32, size: u32) -> Result<()> {
    let length = u32::try_from(name.len() + 1)?;
    archive.extend(b"070701");
    for field in [number, mode, 0, 0, 1, time, size, 0, 0, 0, 0, length, 0] {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name.bytes());
    archive.push(0);
    pad(archive);
    Ok(())
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}
