//! The outer layers of an archive: the xz container, then the members of the tar in it.

use super::{Difference, bytes, content};
use anyarch_client::xz;
use anyhow::{Context as _, Result, ensure};
use std::io::Read as _;
use tar::Archive;

/// The most bytes that are unpacked of an archive: an emulator with all its symbols takes some 40 MB.
const MAX_BYTES: u64 = 1 << 29;

/// A member of an archive, with all that its header says.
#[derive(Debug)]
struct Member {
    name: String,
    /// What the header says besides the name and the size, each with its name.
    header: Vec<(&'static str, String)>,
    content: Vec<u8>,
}

/// The first difference between a released archive and a rebuilt one; `None` if there is none. `linked` is
/// the rebuilt emulator with its symbols, which name places in machine code.
pub fn difference(released: &[u8], rebuilt: &[u8], linked: Option<&[u8]>) -> Result<Option<Difference>> {
    if released == rebuilt {
        return Ok(None);
    }
    let old = unpacked(released).context("cannot unpack the released archive")?;
    let new = unpacked(rebuilt).context("cannot unpack the rebuilt archive")?;
    if old == new {
        let found = bytes::difference(released, rebuilt).inside("xz");
        return Ok(Some(found.noting("the tar in it is the same; only the compression differs")));
    }
    let old_members = members(&old).context("cannot read the released archive")?;
    let new_members = members(&new).context("cannot read the rebuilt archive")?;
    let found = lists(&old_members, &new_members)
        .or_else(|| old_members.iter().zip(&new_members).find_map(|(old, new)| member(old, new, linked)));
    // All that is left is what no reader of tar looks at.
    Ok(Some(found.unwrap_or_else(|| bytes::difference(&old, &new).inside("tar"))))
}

fn unpacked(archive: &[u8]) -> Result<Vec<u8>> {
    let mut tar = Vec::new();
    let stream = xz::Decoder::new(archive, xz::RELEASED)?;
    stream.take(MAX_BYTES).read_to_end(&mut tar).context("it is truncated or not an xz file")?;
    ensure!((tar.len() as u64) < MAX_BYTES, "it unpacks to more than {MAX_BYTES} bytes");
    Ok(tar)
}

fn members(tar: &[u8]) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for entry in Archive::new(tar).entries().context("it is not a tar archive")? {
        let mut entry = entry.context("it is truncated or not a tar archive")?;
        let header = entry.header();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let link = entry.link_name_bytes().map(|link| text(&link)).unwrap_or_default();
        let header = vec![
            ("kind", format!("{:?}", header.entry_type())),
            ("mode", format!("{:04o}", header.mode()?)),
            ("owner", format!("{} ({})", header.uid()?, text(header.username_bytes().unwrap_or_default()))),
            ("group", format!("{} ({})", header.gid()?, text(header.groupname_bytes().unwrap_or_default()))),
            ("time", header.mtime()?.to_string()),
            ("link", link),
        ];
        let name = text(&entry.path_bytes());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).with_context(|| format!("{name} is truncated"))?;
        members.push(Member { name, header, content });
    }
    Ok(members)
}

/// Members that only one archive has, or that come in another order.
fn lists(old: &[Member], new: &[Member]) -> Option<Difference> {
    let lacking = |these: &[Member], name: &str| !these.iter().any(|member| member.name == name);
    if let Some(member) = old.iter().find(|member| lacking(new, &member.name)) {
        return Some(Difference::new(&member.name, "there", "missing"));
    }
    if let Some(member) = new.iter().find(|member| lacking(old, &member.name)) {
        return Some(Difference::new(&member.name, "missing", "there"));
    }
    let number = old.iter().zip(new).position(|(old, new)| old.name != new.name);
    let name = |members: &[Member], number: usize| {
        members.get(number).map_or_else(|| "the end".to_owned(), |member| member.name.clone())
    };
    let number = number.or_else(|| (old.len() != new.len()).then(|| old.len().min(new.len())))?;
    let place = format!("tar > member {}", number + 1);
    Some(Difference::new(place, name(old, number), name(new, number)))
}

fn member(old: &Member, new: &Member, linked: Option<&[u8]>) -> Option<Difference> {
    let header = old.header.iter().zip(&new.header).find(|(old, new)| old != new);
    if let Some(((what, old_value), (_, new_value))) = header {
        return Some(Difference::new(*what, old_value, new_value).inside(&old.name));
    }
    content::difference(&old.content, &new.content, linked).map(|found| found.inside(&old.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use tar::{Builder, EntryType, Header};
    use xz2::write::XzEncoder;

    /// Name, mode, owner, time and content of a member.
    type Planted<'a> = (&'a str, u32, u64, u64, &'a str);

    fn tar(members: &[Planted<'_>]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, mode, owner, time, content) in members {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(*mode);
            header.set_uid(*owner);
            header.set_gid(0);
            header.set_mtime(*time);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content.as_bytes()).expect("appended");
        }
        builder.into_inner().expect("a tar")
    }

    fn xz(tar: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = XzEncoder::new(Vec::new(), level);
        encoder.write_all(tar).expect("packed");
        encoder.finish().expect("packed")
    }

    fn said(old: &[Planted<'_>], new: &[Planted<'_>]) -> String {
        let found = difference(&xz(&tar(old), 6), &xz(&tar(new), 6), None).expect("compared");
        found.map_or_else(|| "the same".to_owned(), |found| found.to_string())
    }

    #[test]
    fn every_planted_difference_is_named_by_its_place() {
        let (one, two) = (("bin/x", 0o755, 0, 7, "one\n"), ("share/y", 0o644, 0, 7, "a\nb\nc\n"));
        let both = [one, two];
        let cases: [(&[Planted<'_>], &str); 9] = [
            (&both, "the same"),
            (&[one], "share/y: there | missing"),
            (&[one, two, ("share/z", 0o644, 0, 7, "")], "share/z: missing | there"),
            (&[two, one], "tar > member 1: bin/x | share/y"),
            (&[one, two, two], "tar > member 3: the end | share/y"),
            (&[("bin/x", 0o700, 0, 7, "one\n"), two], "bin/x > mode: 0755 | 0700"),
            (&[("bin/x", 0o755, 1000, 7, "one\n"), two], "bin/x > owner: 0 () | 1000 ()"),
            (&[("bin/x", 0o755, 0, 8, "one\n"), two], "bin/x > time: 7 | 8"),
            (&[one, ("share/y", 0o644, 0, 7, "a\nB\nc\n")], "share/y > line 2: \"b\" | \"B\""),
        ];
        for (new, expected) in cases {
            assert_eq!(said(&both, new), expected);
        }
    }

    #[test]
    fn another_compression_of_the_same_tar_is_told_as_that() {
        let tar = tar(&[("bin/x", 0o755, 0, 7, &"some text ".repeat(9_000))]);
        let found = difference(&xz(&tar, 0), &xz(&tar, 8), None).expect("compared").expect("a difference");
        assert!(found.place.starts_with("xz > offset 0x"), "{found}");
        assert!(found.to_string().contains("the tar in it is the same"), "{found}");
    }

    #[test]
    fn bytes_that_no_reader_looks_at_are_found_all_the_same() {
        let plain = tar(&[("bin/x", 0o755, 0, 7, "one\n")]);
        let mut other = plain.clone();
        other[512 + 100] = 1; // After the four bytes of content, up to the next block.
        let found =
            difference(&xz(&plain, 6), &xz(&other, 6), None).expect("compared").expect("a difference");
        assert_eq!(found.place, "tar > offset 0x264");
    }

    #[test]
    fn what_is_no_archive_is_an_error_that_says_which() {
        let good = xz(&tar(&[("bin/x", 0o755, 0, 7, "one\n")]), 6);
        let error = difference(b"not xz", &good, None).expect_err("no archive");
        assert!(format!("{error:#}").contains("cannot unpack the released archive"), "{error:#}");
        let error = difference(&good, &good[..good.len() - 9], None).expect_err("truncated");
        assert!(format!("{error:#}").contains("cannot unpack the rebuilt archive"), "{error:#}");
    }
}
