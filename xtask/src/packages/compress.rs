//! How packages are compressed: the same bytes give the same bytes.

use crate::facts::Host;
use crate::package::xz_with;
use anyhow::Result;
use flate2::GzBuilder;
use std::io::Write as _;
use xz2::write::XzEncoder;

/// The biggest window, of packages of all formats that xz packs: emulators resemble each other, and several lie within
/// it. Unpacking takes as much memory. 32 MiB cost 1 % for 33 emulators, 128 MiB save 1 % (docs/benchmarks.md); the archive
/// of all emulators has 32, since its readers take no more.
const WINDOW: u32 = 64 << 20;
/// A window that is not worth making smaller.
const SMALL: u32 = 1 << 16;

/// Packs by xz, with the filter that makes a host's machine code smaller. The window is no bigger than what is in it.
///
/// # Errors
/// When xz cannot be set up.
pub fn xz(bytes: &[u8], host: &Host) -> Result<Vec<u8>> {
    let window = u32::try_from(bytes.len()).unwrap_or(WINDOW).clamp(SMALL, WINDOW);
    let mut packed = XzEncoder::new_stream(Vec::new(), xz_with(host.elf.xz_filter, window)?);
    packed.write_all(bytes)?;
    Ok(packed.finish()?)
}

/// Packs by gzip, with neither a time nor a system in the header.
///
/// # Errors
/// Never, where bytes go to memory.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let to = GzBuilder::new().mtime(0).operating_system(255);
    let mut packed = to.write(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes)?;
    Ok(packed.finish()?)
}
