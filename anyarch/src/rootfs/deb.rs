//! A Debian package as a file: an `ar` archive of three members. The last one is a tar archive of its files.

use anyarch_client::xz::{self, MemoryLimit};
use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use std::io::Read;

/// What a package begins with.
const MAGIC: &[u8] = b"!<arch>\n";
/// How many bytes say what a member is.
const HEADER: usize = 60;
/// Packages are packed with up to `xz -9`.
const MEMORY: MemoryLimit = MemoryLimit { bytes: 128 << 20, advice: "no package of Debian does" };

/// The tar stream of a package's files.
///
/// # Errors
/// When it is no package, or is packed in a way that none is.
pub fn files(package: &[u8]) -> Result<Box<dyn Read + '_>> {
    let mut rest = package.strip_prefix(MAGIC).context("it is no Debian package")?;
    loop {
        let (name, content, next) = member(rest).context("it is truncated, or has no files")?;
        if let Some(packing) = name.strip_prefix("data.tar") {
            return Ok(match packing {
                "" => Box::new(content),
                ".gz" => Box::new(MultiGzDecoder::new(content)),
                ".xz" => Box::new(xz::Decoder::new(content, MEMORY)?),
                ".zst" => Box::new(zstd::stream::read::Decoder::with_buffer(content)?),
                other => bail!("its files are packed as {other}"),
            });
        }
        ensure!(next.len() < rest.len(), "it is truncated");
        rest = next;
    }
}

/// The first member: its name, its bytes, and what follows it.
fn member(from: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (header, rest) = from.split_at_checked(HEADER)?;
    let name = std::str::from_utf8(&header[..16]).ok()?.trim_end().trim_end_matches('/');
    let size: usize = std::str::from_utf8(&header[48..58]).ok()?.trim_end().parse().ok()?;
    let (content, rest) = rest.split_at_checked(size)?;
    // Each begins at an even byte.
    Some((name, content, if size % 2 == 1 { rest.get(1..).unwrap_or_default() } else { rest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut all = MAGIC.to_vec();
        for (name, content) in members {
            all.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, content.len()).bytes(),
            );
            all.extend(*content);
            if content.len() % 2 == 1 {
                all.push(b'\n');
            }
        }
        all
    }

    fn read(package: &[u8]) -> Result<String> {
        let mut text = String::new();
        files(package)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn the_files_of_a_package_are_found_however_they_are_packed() {
        let packed = zstd::encode_all(&b"files"[..], 1).expect("packed");
        for (name, content) in [("data.tar", &b"files"[..]), ("data.tar.zst/", &packed)] {
            let all = package(&[("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), (name, content)]);
            assert_eq!(read(&all).expect("found"), "files");
        }
    }

    #[test]
    fn what_is_no_package_is_refused() {
        let whole = package(&[("debian-binary", b"2.0\n"), ("data.tar", b"files")]);
        for bad in
            [&b""[..], b"!<arch>\n", b"no package", &whole[..whole.len() - 2], &package(&[("x", b"y")])]
        {
            assert!(read(bad).is_err());
        }
        let error = read(&package(&[("data.tar.lzma", b"x")])).expect_err("unknown").to_string();
        assert!(error.contains("packed as .lzma"), "{error}");
    }
}
