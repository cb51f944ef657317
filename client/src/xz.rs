//! xz streams, with a limit to the memory that unpacking them takes: whoever packs one chooses that, up to 4 GiB, and
//! a few bytes are enough to ask for it.

use std::io::{self, Read};
use xz2::read::XzDecoder;
use xz2::stream::{CONCATENATED, Error, Stream};

/// How much memory unpacking a stream may use, and the advice for a stream that needs more.
#[derive(Debug, Clone, Copy)]
pub struct MemoryLimit {
    /// The most memory that unpacking may take, in bytes.
    pub bytes: u64,
    /// What to do about a stream that needs more, for the error's last line.
    pub advice: &'static str,
}

/// Archives of releases: ours are packed with a window of 2 MiB and take 3 MiB, those of all emulators with 32 MiB and 33.
/// `dist/install.sh` has this limit, too.
pub const RELEASED: MemoryLimit = MemoryLimit {
    bytes: 64 << 20,
    advice: "archives of this project need at most 33 MiB, so it was packed by others: \
             download it again, or repack it with `xz -6`",
};

/// Unpacks an xz stream, or several concatenated ones. The older format `.lzma` is not read: nobody here
/// writes it, and it has no checksum.
pub struct Decoder<R: Read> {
    inner: XzDecoder<R>,
    limit: MemoryLimit,
    first: Option<u8>,
}

impl<R: Read> Decoder<R> {
    /// Begins to unpack, so that what is wrong with the stream is said before anybody looks at what is in it.
    ///
    /// # Errors
    /// When it is no `.xz` stream, is truncated at once, or wants more memory than there is for it.
    pub fn new(stream: R, limit: MemoryLimit) -> io::Result<Self> {
        let inner = XzDecoder::new_stream(stream, Stream::new_stream_decoder(limit.bytes, CONCATENATED)?);
        let mut decoder = Self { inner, limit, first: None };
        let mut first = [0];
        if decoder.go_on(&mut first)? > 0 {
            decoder.first = Some(first[0]);
        }
        Ok(decoder)
    }

    fn go_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(Error::MemLimit) => io::Error::other(format!(
                "it needs too much memory: unpacking it takes more than {} MiB, which is the limit\n  {}",
                self.limit.bytes >> 20,
                self.limit.advice
            )),
            Some(Error::Format) => io::Error::new(io::ErrorKind::InvalidData, "it is not an .xz file"),
            _ => error,
        })
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(place) = buffer.first_mut() else { return Ok(0) };
        match self.first.take() {
            Some(first) => {
                *place = first;
                Ok(1)
            }
            None => self.go_on(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use xz2::stream::{Check, Filters, LzmaOptions};
    use xz2::write::XzEncoder;

    fn options(dictionary: u32) -> LzmaOptions {
        let mut options = LzmaOptions::new_preset(0).expect("a preset");
        options.dict_size(dictionary << 20);
        options
    }

    fn packed(stream: Stream) -> Vec<u8> {
        let mut packed = XzEncoder::new_stream(Vec::new(), stream);
        packed.write_all(b"content").expect("packed");
        packed.finish().expect("packed")
    }

    /// An xz stream with a dictionary of so many MiB.
    fn xz(dictionary: u32) -> Vec<u8> {
        let mut filters = Filters::new();
        filters.lzma2(&options(dictionary));
        packed(Stream::new_stream_encoder(&filters, Check::Crc64).expect("a stream"))
    }

    fn unpacked(bytes: &[u8], limit: MemoryLimit) -> io::Result<String> {
        let mut text = String::new();
        Decoder::new(bytes, limit)?.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn what_wants_more_memory_than_there_is_for_it_is_refused_with_the_limit_and_what_to_do() {
        assert_eq!(unpacked(&xz(48), RELEASED).expect("unpacked"), "content");
        let error = unpacked(&xz(192), RELEASED).expect_err("too much").to_string();
        for words in ["needs too much memory", "64 MiB", "xz -6"] {
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn several_streams_are_one_and_the_older_format_is_none() {
        assert_eq!(unpacked(&[xz(1), xz(2)].concat(), RELEASED).expect("unpacked"), "contentcontent");
        let older = packed(Stream::new_lzma_encoder(&options(1)).expect("a stream"));
        for other in [&older[..], b"this is no archive"] {
            let error = unpacked(other, RELEASED).expect_err("no xz").to_string();
            assert_eq!(error, "it is not an .xz file");
        }
        assert!(unpacked(&xz(1)[..20], RELEASED).is_err(), "truncated");
    }
}
