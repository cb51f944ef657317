//! The date of a release and what changed in it, as pages show them: Markdown of one line as pieces of text, in which
//! nothing is markup.

use anyarch_manifest::{Changes, KindOfChange};
use serde::Serialize;

/// So many changes are shown at once; more are folded.
const FEW: usize = 12;

/// A release in the changelog.
#[derive(Debug, Serialize)]
pub struct Changed<'a> {
    date: &'a str,
    summary: Vec<Piece<'a>>,
    kinds: Vec<Kind<'a>>,
    few: bool,
}

/// `Added`, with what was added.
#[derive(Debug, Serialize)]
struct Kind<'a> {
    name: &'a str,
    items: Vec<Vec<Piece<'a>>>,
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Piece<'a> {
    text: &'a str,
    is_code: bool,
}

impl<'a> Changed<'a> {
    /// What a manifest says.
    pub fn of(changes: &'a Changes) -> Self {
        let kind = |one: &'a KindOfChange| Kind {
            name: &one.kind,
            items: one.items.iter().map(|item| pieces(item)).collect(),
        };
        let kinds: Vec<Kind<'a>> = changes.kinds.iter().map(kind).collect();
        let few = kinds.iter().map(|kind| kind.items.len()).sum::<usize>() <= FEW;
        Self { date: &changes.date, summary: pieces(&changes.summary), kinds, few }
    }
}

/// Code between backquotes, and texts. Of a link, the words are left: it leads into a checkout.
fn pieces(markdown: &str) -> Vec<Piece<'_>> {
    let mut all = Vec::new();
    for (number, part) in markdown.split('`').enumerate() {
        if number % 2 == 1 {
            all.push(Piece { text: part, is_code: true });
            continue;
        }
        let mut rest = part;
        while let Some((before, words, after)) = link(rest) {
            all.extend([before, words].map(|text| Piece { text, is_code: false }));
            rest = after;
        }
        all.push(Piece { text: rest, is_code: false });
    }
    all.retain(|piece| !piece.text.is_empty());
    all
}

/// What stands before the first link, its words, and what stands behind it.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (head, tail) = text.split_once("](")?;
    let (before, words) = head.rsplit_once('[')?;
    let (_, after) = tail.split_once(')')?;
    Some((before, words, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_text_and_links_leave_their_words() {
        let shown = |markdown| {
            let all = pieces(markdown);
            all.iter()
                .map(|one| if one.is_code { format!("<{}>", one.text) } else { one.text.to_owned() })
                .collect::<String>()
        };
        assert_eq!(shown("`a b` of [the page](docs/x.md), ([y](y.md))."), "<a b> of the page, (y).");
        for plain in ["", "words", "a [b] (c)", "](", "[a](b"] {
            assert_eq!(shown(plain), plain);
        }
    }
}
