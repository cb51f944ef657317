//! Names of a layer's members: where they lead, and which of them take away what lower layers have.

use crate::member::shown;
use anyhow::{Result, bail, ensure};

/// What the name of a file that takes another away begins with.
const WHITEOUT: &[u8] = b".wh.";
/// The name of a file that takes away all that lower layers have in its folder.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What other files of AUFS begin with; they are about that file system, and no part of the image.
const AUFS: &[u8] = b".wh..wh.";

/// What a member does at its place.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// It is the root folder itself.
    Root,
    /// It puts something there.
    Put(&'a [u8]),
    /// It takes away what lower layers have under this name.
    TakeAway(&'a [u8]),
    /// It takes away all that lower layers have in its folder.
    Empty,
    /// Nothing.
    Nothing,
}

/// The parts of a name, from the root on. A slash at the beginning means the same root: Docker and kaniko write both.
///
/// # Errors
/// When it climbs (`..`).
pub fn parts(name: &[u8]) -> Result<Vec<&[u8]>> {
    let parts: Vec<&[u8]> =
        name.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    ensure!(!parts.contains(&&b".."[..]), "refused: the name {} contains `..`", shown(name));
    Ok(parts)
}

/// What a member with these parts means.
///
/// # Errors
/// When it takes away something that is no name.
pub fn meaning<'a>(parts: &[&'a [u8]]) -> Result<Meaning<'a>> {
    let Some(last) = parts.last() else { return Ok(Meaning::Root) };
    if *last == OPAQUE {
        return Ok(Meaning::Empty);
    }
    if last.starts_with(AUFS) {
        return Ok(Meaning::Nothing);
    }
    match last.strip_prefix(WHITEOUT) {
        // `.wh...` would take away what is above the root.
        Some(b"" | b"." | b"..") => bail!("refused: {} takes away no file", shown(last)),
        Some(name) => Ok(Meaning::TakeAway(name)),
        None => Ok(Meaning::Put(last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_below_the_root_or_nowhere() {
        let all: [(&[u8], &[&[u8]]); 4] = [
            (b"./a//b/", &[b"a", b"b"]),
            (b"/etc/passwd", &[b"etc", b"passwd"]),
            (b"./", &[]),
            (b"..a/b..", &[b"..a", b"b.."]),
        ];
        for (name, expected) in all {
            assert_eq!(parts(name).expect("parts"), expected);
        }
        for bad in [&b".."[..], b"../x", b"a/../../x", b"a/.."] {
            assert!(parts(bad).is_err());
        }
    }

    #[test]
    fn whiteouts_take_away_names_and_never_what_is_above() {
        let meaning = |name: &'static [u8]| meaning(&[b"a", name]);
        assert_eq!(meaning(b".wh.x").expect("one"), Meaning::TakeAway(b"x"));
        assert_eq!(meaning(b".wh..x").expect("one"), Meaning::TakeAway(b".x"));
        assert_eq!(meaning(b".wh..wh..opq").expect("one"), Meaning::Empty);
        assert_eq!(meaning(b".wh..wh.plnk").expect("one"), Meaning::Nothing);
        assert_eq!(meaning(b".whx").expect("one"), Meaning::Put(b".whx"));
        for bad in [&b".wh."[..], b".wh..", b".wh..."] {
            assert!(meaning(bad).is_err());
        }
    }
}
