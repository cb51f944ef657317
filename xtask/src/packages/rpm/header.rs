//! Headers of rpm: a list of tags, each with the kind of its values and where these stand in what follows.
//! All numbers have their highest byte first.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

/// What a tag is called in rpm's `rpmtag.h` is behind each.
pub mod tag {
    /// `HEADERI18NTABLE`
    pub const LANGUAGES: u32 = 100;
    /// `SHA256HEADER`, in the signature
    pub const SIGNATURE_SHA256: u32 = 273;
    /// `NAME`
    pub const NAME: u32 = 1000;
    /// `SIGSIZE`, in the signature
    pub const SIGNATURE_SIZE: u32 = 1000;
    /// `VERSION`
    pub const VERSION: u32 = 1001;
    /// `RELEASE`
    pub const RELEASE: u32 = 1002;
    /// `SUMMARY`
    pub const SUMMARY: u32 = 1004;
    /// `DESCRIPTION`
    pub const DESCRIPTION: u32 = 1005;
    /// `BUILDTIME`
    pub const BUILD_TIME: u32 = 1006;
    /// `BUILDHOST`
    pub const BUILD_HOST: u32 = 1007;
    /// `PAYLOADSIZE`, in the signature
    pub const SIGNATURE_PAYLOAD_SIZE: u32 = 1007;
    /// `SIZE`
    pub const SIZE: u32 = 1009;
    /// `LICENSE`
    pub const LICENSE: u32 = 1014;
    /// `PACKAGER`
    pub const PACKAGER: u32 = 1015;
    /// `GROUP`
    pub const GROUP: u32 = 1016;
    /// `URL`
    pub const URL: u32 = 1020;
    /// `OS`
    pub const OS: u32 = 1021;
    /// `ARCH`
    pub const ARCH: u32 = 1022;
    /// `POSTIN`
    pub const POST_INSTALL: u32 = 1024;
    /// `PREUN`
    pub const PRE_REMOVE: u32 = 1025;
    /// `FILESIZES`
    pub const FILE_SIZES: u32 = 1028;
    /// `FILEMODES`
    pub const FILE_MODES: u32 = 1030;
    /// `FILERDEVS`
    pub const FILE_DEVICES_MEANT: u32 = 1033;
    /// `FILEMTIMES`
    pub const FILE_TIMES: u32 = 1034;
    /// `FILEDIGESTS`
    pub const FILE_DIGESTS: u32 = 1035;
    /// `FILELINKTOS`
    pub const FILE_LINKS: u32 = 1036;
    /// `FILEFLAGS`
    pub const FILE_FLAGS: u32 = 1037;
    /// `FILEUSERNAME`
    pub const FILE_OWNERS: u32 = 1039;
    /// `FILEGROUPNAME`
    pub const FILE_GROUPS: u32 = 1040;
    /// `SOURCERPM`
    pub const SOURCE: u32 = 1044;
    /// `FILEVERIFYFLAGS`
    pub const FILE_CHECKS: u32 = 1045;
    /// `PROVIDENAME`, `PROVIDEVERSION`, `PROVIDEFLAGS`
    pub const PROVIDES: [u32; 3] = [1047, 1113, 1112];
    /// `REQUIRENAME`, `REQUIREVERSION`, `REQUIREFLAGS`
    pub const REQUIRES: [u32; 3] = [1049, 1050, 1048];
    /// `RPMVERSION`
    pub const RPM_VERSION: u32 = 1064;
    /// `CHANGELOGTIME`
    pub const CHANGELOG_TIME: u32 = 1080;
    /// `CHANGELOGNAME`
    pub const CHANGELOG_NAME: u32 = 1081;
    /// `CHANGELOGTEXT`
    pub const CHANGELOG_TEXT: u32 = 1082;
    /// `POSTINPROG`
    pub const POST_INSTALL_PROGRAM: u32 = 1086;
    /// `PREUNPROG`
    pub const PRE_REMOVE_PROGRAM: u32 = 1087;
    /// `FILEDEVICES`
    pub const FILE_DEVICES: u32 = 1095;
    /// `FILEINODES`
    pub const FILE_NUMBERS: u32 = 1096;
    /// `FILELANGS`
    pub const FILE_LANGUAGES: u32 = 1097;
    /// `DIRINDEXES`
    pub const FILE_FOLDERS: u32 = 1116;
    /// `BASENAMES`
    pub const FILE_NAMES: u32 = 1117;
    /// `DIRNAMES`
    pub const FOLDERS: u32 = 1118;
    /// `PAYLOADFORMAT`
    pub const PAYLOAD_FORMAT: u32 = 1124;
    /// `PAYLOADCOMPRESSOR`
    pub const PAYLOAD_COMPRESSOR: u32 = 1125;
    /// `PAYLOADFLAGS`
    pub const PAYLOAD_FLAGS: u32 = 1126;
    /// `FILEDIGESTALGO`
    pub const DIGEST_ALGORITHM: u32 = 5011;
    /// `SUGGESTNAME`, `SUGGESTVERSION`, `SUGGESTFLAGS`
    pub const SUGGESTS: [u32; 3] = [5049, 5050, 5051];
    /// `ENCODING`
    pub const ENCODING: u32 = 5062;
    /// `PAYLOADDIGEST`
    pub const PAYLOAD_DIGEST: u32 = 5092;
    /// `PAYLOADDIGESTALGO`
    pub const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;
    /// `PAYLOADDIGESTALT`
    pub const PAYLOAD_DIGEST_PLAIN: u32 = 5097;
}

/// The values of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// A text that could be there in several languages.
    Translated(String),
    /// Numbers of 16 bits.
    Shorts(Vec<u16>),
    /// Numbers of 32 bits.
    Words(Vec<u32>),
}

/// What a header begins with: a tag for all that was written at once, `HEADERSIGNATURES` or `HEADERIMMUTABLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// That of the signature.
    Signature = 62,
    /// That of the package.
    Main = 63,
}

/// A header, by its tags.
#[derive(Debug, Clone, Default)]
pub struct Header(BTreeMap<u32, Value>);

/// What headers begin with, and a version.
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// The kinds of values: `RPM_*_TYPE` of `rpmtag.h`.
const SHORTS: u32 = 3;
const WORDS: u32 = 4;
const TEXT: u32 = 6;
const BYTES: u32 = 7;
const TEXTS: u32 = 8;
const TRANSLATED: u32 = 9;
/// How many bytes say where a tag's values are.
const INDEX: u32 = 16;

impl Header {
    /// Gives a tag its values.
    pub fn set(&mut self, tag: u32, value: Value) {
        self.0.insert(tag, value);
    }

    /// All of it as bytes.
    ///
    /// # Errors
    /// When it is too big.
    pub fn encode(&self, region: Region) -> Result<Vec<u8>> {
        let (mut index, mut store) = (Vec::new(), Vec::new());
        for (tag, value) in &self.0 {
            let (kind, count, bytes, align) = value.encode();
            store.resize(store.len().next_multiple_of(align), 0);
            index.push((*tag, kind, number(store.len())?, number(count)?));
            store.extend(bytes);
        }
        // The region's values stand at the end, and say how far before them the index begins.
        index.insert(0, (region as u32, BYTES, number(store.len())?, INDEX));
        let length = number(index.len())? * INDEX;
        for word in [region as u32, BYTES, length.wrapping_neg(), INDEX] {
            store.extend(word.to_be_bytes());
        }
        let mut all = MAGIC.to_vec();
        for word in [number(index.len())?, number(store.len())?] {
            all.extend(word.to_be_bytes());
        }
        for (tag, kind, at, count) in index {
            [tag, kind, at, count].iter().for_each(|word| all.extend(word.to_be_bytes()));
        }
        all.extend(store);
        Ok(all)
    }
}

fn number(count: usize) -> Result<u32> {
    u32::try_from(count).context("a header of rpm's is smaller than 4 GiB")
}

impl Value {
    /// The kind, how many there are, their bytes, and what their place is a multiple of.
    fn encode(&self) -> (u32, usize, Vec<u8>, usize) {
        let ended = |text: &String| [text.as_bytes(), &[0]].concat();
        match self {
            Self::Text(text) => (TEXT, 1, ended(text), 1),
            Self::Texts(all) => (TEXTS, all.len(), all.iter().flat_map(ended).collect(), 1),
            Self::Translated(text) => (TRANSLATED, 1, ended(text), 1),
            Self::Shorts(all) => {
                (SHORTS, all.len(), all.iter().flat_map(|one| one.to_be_bytes()).collect(), 2)
            }
            Self::Words(all) => (WORDS, all.len(), all.iter().flat_map(|one| one.to_be_bytes()).collect(), 4),
        }
    }
}

/// What a package begins with. Only its first bytes still mean something, to programs that tell files apart.
pub fn lead(name: &str) -> Vec<u8> {
    const NAME: usize = 66;
    let mut lead = vec![0xed, 0xab, 0xee, 0xdb, 3, 0];
    // No source, of a machine that does not matter.
    lead.extend([0, 0, 0, 1]);
    // It ends with a zero byte.
    let mut name: Vec<u8> = name.bytes().take(NAME - 1).collect();
    name.resize(NAME, 0);
    lead.extend(name);
    // Linux; with a header as a signature.
    lead.extend([0, 1, 0, 5]);
    lead.resize(96, 0);
    lead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_multiples_of_their_width_and_the_region_at_the_end() {
        let mut header = Header::default();
        header.set(7, Value::Text("ab".to_owned()));
        header.set(8, Value::Words(vec![1]));
        let bytes = header.encode(Region::Main).expect("encoded");
        let store = &bytes[16 + 3 * 16..];
        assert_eq!(store[..8], *b"ab\0\0\0\0\0\x01");
        let word = |at: usize| u32::from_be_bytes(store[at..at + 4].try_into().expect("four"));
        assert_eq!([word(8), word(12), word(20)], [63, BYTES, INDEX]);
        assert_eq!(word(16).wrapping_neg(), 3 * INDEX);
        assert_eq!(lead("x").len(), 96);
    }
}
