//! A file in an archive by what it is: machine code, JSON, text, or bytes.

use super::{Difference, bytes, elf};
use serde_json::Value;

/// The most of a text that a report holds.
const MAX_TEXT: usize = 160;

/// The first difference between two versions of a file; `None` if there is none.
pub fn difference(old: &[u8], new: &[u8], linked: Option<&[u8]>) -> Option<Difference> {
    if old == new {
        return None;
    }
    let found = elf::difference(old, new, linked).or_else(|| json(old, new)).or_else(|| text(old, new));
    Some(found.unwrap_or_else(|| bytes::difference(old, new)))
}

/// The first key whose value differs, if both are JSON and it is not only written in another way.
fn json(old: &[u8], new: &[u8]) -> Option<Difference> {
    let (old, new) = (serde_json::from_slice(old).ok()?, serde_json::from_slice(new).ok()?);
    let (place, old, new) = value(String::new(), Some(&old), Some(&new))?;
    let shown = |value: Option<&Value>| value.map_or_else(|| "missing".to_owned(), |v| short(&v.to_string()));
    Some(Difference::new(if place.is_empty() { ".".to_owned() } else { place }, shown(old), shown(new)))
}

type Place<'a> = (String, Option<&'a Value>, Option<&'a Value>);

fn value<'a>(place: String, old: Option<&'a Value>, new: Option<&'a Value>) -> Option<Place<'a>> {
    match (old, new) {
        (old, new) if old == new => None,
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
            keys.into_iter().find_map(|key| value(format!("{place}.{key}"), old.get(key), new.get(key)))
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => (0..old.len().max(new.len()))
            .find_map(|number| value(format!("{place}[{number}]"), old.get(number), new.get(number))),
        (old, new) => Some((place, old, new)),
    }
}

/// The first line that differs, if both are text.
fn text(old: &[u8], new: &[u8]) -> Option<Difference> {
    let (old, new) = (as_text(old)?, as_text(new)?);
    let (mut old, mut new) = (old.split('\n'), new.split('\n'));
    let shown = |line: Option<&str>| line.map_or_else(|| "the end".to_owned(), |l| short(&format!("{l:?}")));
    for number in 1_u64.. {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (old, new) if old == new => {}
            (old, new) => return Some(Difference::new(format!("line {number}"), shown(old), shown(new))),
        }
    }
    None
}

fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_as_people_name_places_in_such_a_file() {
        let cases: [(&[u8], &[u8], &str); 12] = [
            (br#"{"a": {"b": [1, 2]}}"#, br#"{"a": {"b": [1, 3]}}"#, ".a.b[1]: 2 | 3"),
            (br#"{"a": 1}"#, br#"{"a": 1, "b": 2}"#, ".b: missing | 2"),
            (br#"{"a": [1, 2]}"#, br#"{"a": [1]}"#, ".a[1]: 2 | missing"),
            (b"{}", b"[]", ".: {} | []"),
            (br#"{"a": 1}"#, br#"{"a":  1}"#, r#"line 1: "{\"a\": 1}" | "{\"a\":  1}""#),
            (b"one\ntwo\n", b"one\ntow\n", "line 2: \"two\" | \"tow\""),
            (b"one\n", b"one", "line 2: \"\" | the end"),
            (b"one\r\n", b"one\n", "line 1: \"one\\r\" | \"one\""),
            (b"\0abcdefghijkl", b"\0abcdeXghijkl", "offset 0x6: 62 63 64 65 [66] 67 68 69 6a 6b 6c"),
            (b"\0a", b"\0", "offset 0x1: 00 [61] | 00 [end]"),
            (b"", b"\0", "offset 0x0: [end] | [00]"),
            (
                b"\x7fELF of no kind\xff",
                b"\x7fELF of no king\xff",
                "offset 0xe: 20 6b 69 6e [64] ff | 20 6b 69 6e [67] ff",
            ),
        ];
        for (old, new, expected) in cases {
            let found = difference(old, new, None).expect("a difference").to_string();
            assert!(found.starts_with(expected), "{found} should begin with {expected}");
        }
        assert_eq!(difference(b"same", b"same", None), None);
    }

    #[test]
    fn a_report_stays_short_whatever_a_file_holds() {
        let (old, new) = ("ä".repeat(5_000), "ö".repeat(5_000));
        let found = difference(old.as_bytes(), new.as_bytes(), None).expect("a difference").to_string();
        assert!(found.chars().count() < 3 * MAX_TEXT, "{found}");
    }
}
