//! Entries as a tar archive that says nothing of the machine, the user or the time that packed it.

use super::entry::{Entry, Kind};
use anyhow::{Context as _, Result, ensure};
use std::io::Write;
use tar::{Builder, EntryType, Header};

/// What the names of files in an archive begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// `./usr`, after a folder `./`, as dpkg's own archives have it.
    Dot,
    /// `usr`.
    None,
}

/// The name of what holds pax records. The library gives it none, which apk takes for the end of the archive.
const RECORDS: &str = "././@PaxHeader";

/// Writes entries in the order in which they are. `more` gives pax records for an entry and its bytes.
///
/// # Errors
/// When a file cannot be read, or the archive cannot be written.
pub fn write<W: Write>(
    to: W,
    entries: &[Entry],
    root: Root,
    epoch: u32,
    more: impl Fn(&Entry, &[u8]) -> Vec<(&'static str, String)>,
) -> Result<W> {
    let mut archive = Builder::new(to);
    if root == Root::Dot {
        archive.append(&header("./", EntryType::Directory, 0o755, 0, "", epoch)?, &[][..])?;
    }
    for entry in entries {
        let bytes = entry.bytes()?;
        let records: String = more(entry, &bytes).iter().map(|(key, value)| record(key, value)).collect();
        if !records.is_empty() {
            let size = records.len() as u64;
            let header = header(RECORDS, EntryType::XHeader, 0o644, size, "", epoch)?;
            archive.append(&header, records.as_bytes())?;
        }
        let begin = if root == Root::Dot { "./" } else { "" };
        let (kind, end, link) = match &entry.kind {
            Kind::Folder => (EntryType::Directory, "/", ""),
            Kind::Link(to) => (EntryType::Symlink, "", to.as_str()),
            _ => (EntryType::Regular, "", ""),
        };
        let name = format!("{begin}{}{end}", entry.path);
        let header = header(&name, kind, entry.mode(), bytes.len() as u64, link, epoch)?;
        archive.append(&header, bytes.as_slice()).with_context(|| format!("cannot pack {name}"))?;
    }
    Ok(archive.into_inner()?)
}

/// A record of pax: how long it is, itself included, then a key and its value.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let length = |digits: usize| digits + rest.len();
    let digits = (1..).find(|digits| length(*digits).to_string().len() == *digits).unwrap_or_default();
    format!("{}{rest}", length(digits))
}

/// A header with the name as it is: the library would leave out the dot at the beginning.
fn header(name: &str, kind: EntryType, mode: u32, size: u64, link: &str, epoch: u32) -> Result<Header> {
    let mut header = Header::new_ustar();
    let old = header.as_old_mut();
    ensure!(name.len() <= old.name.len() && link.len() <= old.linkname.len(), "{name} is too long for tar");
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(epoch.into());
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    header.set_cksum();
    Ok(header)
}

/// No pax records.
pub fn plain(_: &Entry, _: &[u8]) -> Vec<(&'static str, String)> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_begins_with_its_own_length() {
        assert_eq!(record("k", "v"), "6 k=v\n");
        // With one more digit, it is one longer.
        assert_eq!(record("k", "12345"), "11 k=12345\n");
        for length in 1..200 {
            let record = record("key", &"v".repeat(length));
            assert_eq!(record.split(' ').next().and_then(|digits| digits.parse().ok()), Some(record.len()));
        }
    }
}
