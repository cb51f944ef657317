//! The members of a tar stream, with what headers before them say of the next one: long names, attributes. Those
//! headers are read here and not by the library, since that takes as much memory for one as it asks for.

use anyarch_client::answer::printable;
use anyhow::{Context as _, Result, bail, ensure};
use std::borrow::Cow;
use std::io::{self, Read};
use tar::{Archive, Entry, EntryType};

/// The most bytes of a header that says something of the next member; Linux's attributes have at most 64 KiB each.
const MAX_HEADER: u64 = 1 << 20;

/// What precedes the name of an extended attribute in such a header.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// One file, folder or link of a stream, or whatever else it is. Its bytes can be read from it.
pub struct Member<'a, R: Read> {
    /// What it is.
    pub kind: EntryType,
    /// Its name, as it stands there.
    pub name: Vec<u8>,
    /// What it links to, as it stands there.
    pub link: Vec<u8>,
    /// How many bytes it has.
    pub size: u64,
    /// Mode bits: permissions, and set-user-ID, set-group-ID, sticky.
    pub mode: u32,
    /// The numbers of its user and its group.
    pub owner: (u64, u64),
    /// When it was changed, in seconds since 1970.
    pub time: i64,
    /// Extended attributes by their names.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    entry: Entry<'a, R>,
}

/// What is said of the next member.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    user: Option<u64>,
    group: Option<u64>,
    time: Option<i64>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Calls `take` with one member of a tar stream after the other, for as long as it says so. Gives the stream back.
///
/// # Errors
/// When it is truncated, no tar stream, or a header is bigger than any is; and what `take` ends with.
pub fn each<R: Read>(stream: R, mut take: impl FnMut(&mut Member<'_, R>) -> Result<bool>) -> Result<R> {
    let mut archive = Archive::new(stream);
    let mut said = Said::default();
    for entry in archive.entries().context("it is no tar archive")?.raw(true) {
        let mut entry = entry.context("it is truncated or no tar archive")?;
        match entry.header().entry_type() {
            // Of all members; nobody writes any there that counts here.
            EntryType::XGlobalHeader => {}
            EntryType::XHeader => said.read(&header(&mut entry)?)?,
            EntryType::GNULongName => said.name = Some(text(header(&mut entry)?)),
            EntryType::GNULongLink => said.link = Some(text(header(&mut entry)?)),
            _ => {
                if !take(&mut Member::new(entry, std::mem::take(&mut said))?)? {
                    break;
                }
            }
        }
    }
    Ok(archive.into_inner())
}

fn header(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>> {
    let size = entry.size();
    ensure!(size <= MAX_HEADER, "refused: a header of {size} bytes; the limit is {MAX_HEADER}");
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).context("it is truncated")?;
    Ok(bytes)
}

/// What stands before the zero byte at the end.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
    bytes
}

impl Said {
    /// Reads `LENGTH KEY=VALUE\n`, once or more often. A value may hold any bytes.
    fn read(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (record, rest) = record(bytes).context("refused: an extended header that cannot be read")?;
            let (key, value) = record;
            bytes = rest;
            let number = || std::str::from_utf8(value).ok()?.parse().ok();
            match key {
                b"path" => self.name = Some(value.to_owned()),
                b"linkpath" => self.link = Some(value.to_owned()),
                b"size" => self.size = Some(number().context("refused: a size that is no number")?),
                b"uid" => self.user = Some(number().context("refused: an owner that is no number")?),
                b"gid" => self.group = Some(number().context("refused: a group that is no number")?),
                // Parts of a second are left out.
                b"mtime" => {
                    let whole = value.split(|b| *b == b'.').next().unwrap_or_default();
                    self.time = std::str::from_utf8(whole).ok().and_then(|seconds| seconds.parse().ok());
                }
                _ if key.starts_with(b"GNU.sparse.") => bail!("refused: files with holes are not supported"),
                _ => {
                    if let Some(name) = key.strip_prefix(XATTR) {
                        self.xattrs.push((name.to_owned(), value.to_owned()));
                    }
                }
            }
        }
        Ok(())
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

/// The first record of an extended header, and what follows it.
fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    Some(((&record[..equals], &record[equals + 1..]), &bytes[length..]))
}

impl<'a, R: Read> Member<'a, R> {
    fn new(entry: Entry<'a, R>, said: Said) -> Result<Self> {
        let header = entry.header();
        let name = said.name.unwrap_or_else(|| header.path_bytes().into_owned());
        // The oldest archives tell a folder by its slash.
        let kind = match header.entry_type() {
            EntryType::Regular if name.ends_with(b"/") => EntryType::Directory,
            other => other,
        };
        let shown = shown(&name);
        let bad = || format!("{shown} has a bad header");
        // Whoever says nothing in a field means zero.
        let number = |bytes: &[u8], field: io::Result<u64>| match bytes.iter().all(|b| [0, b' '].contains(b))
        {
            true => Ok(0),
            false => field.with_context(bad),
        };
        let fields = header.as_old();
        // Readers that differ about where a member ends see different archives.
        ensure!(
            said.size.is_none_or(|size| size == entry.size()),
            "refused: {shown} has two sizes, {} and {} bytes",
            entry.size(),
            said.size.unwrap_or_default()
        );
        let link = said.link.or_else(|| header.link_name_bytes().map(Cow::into_owned));
        let time = match said.time {
            Some(time) => time,
            None => i64::try_from(number(&fields.mtime, header.mtime())?).unwrap_or(0),
        };
        let mode = number(&fields.mode, header.mode().map(u64::from))?;
        Ok(Self {
            kind,
            link: link.unwrap_or_default(),
            size: entry.size(),
            mode: u32::try_from(mode & 0o7777).unwrap_or(0),
            owner: (
                said.user.map_or_else(|| number(&fields.uid, header.uid()), Ok)?,
                said.group.map_or_else(|| number(&fields.gid, header.gid()), Ok)?,
            ),
            time,
            xattrs: said.xattrs,
            name,
            entry,
        })
    }

    /// The offset of its first byte in the stream.
    pub fn position(&self) -> u64 {
        self.entry.raw_file_position()
    }

    /// Its name for people.
    pub fn shown(&self) -> String {
        shown(&self.name)
    }
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.entry.read(buffer)
    }
}

/// A name from an archive, for a terminal that it must not speak to.
pub fn shown(name: &[u8]) -> String {
    printable(&String::from_utf8_lossy(name)).replace('\n', "?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    fn member(kind: EntryType, body: &[u8]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(body.len() as u64);
        header.set_mode(0o4755);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(9);
        header.as_gnu_mut().expect("gnu").name[..5].copy_from_slice(b"short");
        header.set_cksum();
        let mut builder = Builder::new(Vec::new());
        builder.append(&header, body).expect("appended");
        let mut bytes = builder.into_inner().expect("an archive");
        // Without the two blocks of zeros, so that another can follow.
        bytes.truncate(bytes.len() - 1024);
        bytes
    }

    fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut all = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..).map(|digits| rest + digits).find(|all| all.to_string().len() + rest == *all);
            all.extend(format!("{} {key}=", length.expect("one")).into_bytes());
            all.extend(*value);
            all.push(b'\n');
        }
        all
    }

    type Seen = (String, u64, (u64, u64), i64, Vec<(Vec<u8>, Vec<u8>)>);

    fn read(stream: &[u8]) -> Result<Vec<Seen>> {
        let mut all = Vec::new();
        each(stream, |member| {
            let name = member.shown();
            all.push((name, member.size, member.owner, member.time, member.xattrs.clone()));
            Ok(true)
        })?;
        Ok(all)
    }

    #[test]
    fn headers_speak_of_the_next_member_and_attributes_may_hold_any_bytes() {
        let capability: &[u8] = b"\x01\x00\n=\x02";
        let said = pax(&[
            ("path", b"long/name"),
            ("uid", b"100"),
            ("mtime", b"12.5"),
            ("SCHILY.xattr.security.capability", capability),
            ("comment", b"x"),
        ]);
        let stream = [
            member(EntryType::XGlobalHeader, b"noise"),
            member(EntryType::XHeader, &said),
            member(EntryType::Regular, b"body"),
            member(EntryType::GNULongName, b"other/name\0"),
            member(EntryType::Regular, b""),
            member(EntryType::Regular, b"x"),
        ];
        let seen = read(&stream.concat()).expect("read");
        let xattrs = vec![(b"security.capability".to_vec(), capability.to_vec())];
        assert_eq!(seen[0], ("long/name".to_owned(), 4, (100, 8), 12, xattrs));
        assert_eq!(seen[1], ("other/name".to_owned(), 0, (7, 8), 9, vec![]));
        assert_eq!(seen[2].0, "short");
    }

    #[test]
    fn headers_that_are_huge_broken_or_contradict_are_refused() {
        let mut huge = Header::new_gnu();
        huge.set_entry_type(EntryType::GNULongName);
        huge.set_size(1 << 40);
        huge.set_cksum();
        let broken =
            |bytes: &[u8]| [member(EntryType::XHeader, bytes), member(EntryType::Regular, b"")].concat();
        let cases = [
            (huge.as_bytes().to_vec(), "the limit is"),
            (broken(b"99 path=x\n"), "cannot be read"),
            (broken(b"no length"), "cannot be read"),
            (broken(&pax(&[("uid", b"-1")])), "no number"),
            (broken(&pax(&[("size", b"5")])), "two sizes"),
            (broken(&pax(&[("GNU.sparse.major", b"1")])), "holes"),
            (vec![b'x'; 1024], "no tar archive"),
            (member(EntryType::Regular, b"")[..100].to_vec(), "truncated"),
        ];
        for (stream, reason) in cases {
            let error = format!("{:#}", read(&stream).expect_err(reason));
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    #[test]
    fn a_name_cannot_speak_to_a_terminal() {
        assert_eq!(shown(b"a\x1b[31m\n\xff"), "a?[31m?\u{fffd}");
    }
}
