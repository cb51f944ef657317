//! Packed streams: gzip, zstd or neither, told apart by their first bytes as Docker does, whatever a document says.

use crate::limits::{Limited, Limits};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::os::unix::fs::FileExt as _;

/// What gzip begins with.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// What a frame of zstd begins with.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// What bzip2 and xz begin with; Docker once took them, nobody writes them.
const OTHERS: [(&[u8], &str); 2] = [(b"BZh", "bzip2"), (&[0xfd, b'7', b'z', b'X', b'Z'], "xz")];

/// How many bytes are looked at.
const LOOK: usize = 6;

/// A stream from the beginning again, after a look at its first bytes.
type Whole<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// A stream that is unpacked while it is read.
pub enum Unpacked<R: Read> {
    /// It was not packed.
    Plain(Whole<R>),
    /// gzip, in several parts if need be.
    Gzip(Box<MultiGzDecoder<Whole<R>>>),
    /// zstd; its window takes at most 128 MiB of memory, the library's limit.
    Zstd(zstd::stream::read::Decoder<'static, Whole<R>>),
}

/// Unpacks what `from` gives, of which there are `packed` bytes, up to the limit for so many.
///
/// # Errors
/// When it cannot be read, or is packed in a way that no layer is.
pub fn open<R: Read>(mut from: R, limits: &Limits, packed: u64) -> io::Result<Limited<Unpacked<R>>> {
    let mut first = Vec::new();
    from.by_ref().take(LOOK as u64).read_to_end(&mut first)?;
    if let Some((_, name)) = OTHERS.iter().find(|(begin, _)| first.starts_with(begin)) {
        return Err(io::Error::other(format!(
            "it is packed by {name}; layers are packed by gzip or zstd, or not"
        )));
    }
    let (is_gzip, is_zstd) = (first.starts_with(GZIP), first.starts_with(ZSTD));
    let whole = BufReader::with_capacity(1 << 16, Cursor::new(first).chain(from));
    let unpacked = if is_gzip {
        Unpacked::Gzip(Box::new(MultiGzDecoder::new(whole)))
    } else if is_zstd {
        Unpacked::Zstd(zstd::stream::read::Decoder::with_buffer(whole)?)
    } else {
        Unpacked::Plain(whole)
    };
    Ok(Limited::new(unpacked, limits, packed))
}

/// Whether a file is packed. Its position stays where it is.
///
/// # Errors
/// When it cannot be read.
pub fn is_packed(file: &mut File) -> io::Result<bool> {
    let mut first = [0; LOOK];
    let n = file.read_at(&mut first, 0)?;
    let first = &first[..n];
    Ok(first.starts_with(GZIP)
        || first.starts_with(ZSTD)
        || OTHERS.iter().any(|(begin, _)| first.starts_with(begin)))
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(from) => from.read(buffer),
            Self::Gzip(from) => from.read(buffer),
            Self::Zstd(from) => from.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(bytes).expect("packed");
        packed.finish().expect("packed")
    }

    fn unpack(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        let mut stream = open(bytes, limits, bytes.len() as u64).map_err(|error| error.to_string())?;
        stream.read_to_end(&mut all).map_err(|error| error.to_string())?;
        Ok(all)
    }

    #[test]
    fn every_way_of_packing_is_known_by_its_first_bytes() {
        let limits = Limits::default();
        let zstd = zstd::encode_all(&b"text"[..], 1).expect("packed");
        for packed in [b"text".to_vec(), gzip(b"text"), [gzip(b"te"), gzip(b"xt")].concat(), zstd] {
            assert_eq!(unpack(&packed, &limits).expect("unpacked"), b"text");
        }
        assert_eq!(unpack(b"", &limits).expect("empty"), b"");
        for (bytes, reason) in [(&b"BZh9"[..], "bzip2"), (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz")] {
            let error = unpack(bytes, &limits).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
        let whole = gzip(&[7; 1000]);
        assert!(unpack(&whole[..whole.len() - 9], &limits).is_err(), "truncated");
    }

    #[test]
    fn a_bomb_is_stopped_at_its_limit_and_not_unpacked_before() {
        let limits = Limits { ratio: 20, harmless: 10_000, ..Limits::default() };
        let zeros = vec![0; 1 << 20];
        let bombs = [gzip(&zeros), zstd::encode_all(zeros.as_slice(), 19).expect("packed")];
        for bomb in bombs {
            let error = unpack(&bomb, &limits).expect_err("a bomb");
            assert!(error.contains("unpack to more"), "{error}");
        }
        assert_eq!(unpack(&gzip(&zeros[..9_000]), &limits).expect("harmless").len(), 9_000);
    }
}
