//! Debian's form for lists of facts: stanzas of `Name: value`, with an empty line between them.

/// A stanza: its fields in their order. A value that goes on in further lines has them all, blanks included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Stanza<'a> {
    /// The fields of a text without an empty line.
    pub fn read(text: &'a str) -> Self {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        let mut at = 0;
        let mut begin = 0;
        for line in text.split_inclusive('\n') {
            let end = at + line.len();
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    *value = text[begin..end].trim();
                }
            } else if let Some((name, value)) = line.split_once(':') {
                begin = at + name.len() + 1;
                fields.push((name.trim(), value.trim()));
            }
            at = end;
        }
        Self(fields)
    }

    /// The value of a field, whose name is written in any case.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// The stanzas of a text.
pub fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    text.split("\n\n").filter(|part| !part.trim().is_empty()).map(Stanza::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_with_all_their_lines() {
        let text = "Package: a\nEssential: yes\nDepends: b (>= 1),\n c | d\n\nPackage: e\nSHA256:\n 1 2 x\n 3 4 y\n\n";
        let all: Vec<Stanza<'_>> = stanzas(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("essential"), Some("yes"));
        assert_eq!(all[0].get("Depends"), Some("b (>= 1),\n c | d"));
        assert_eq!(all[1].get("SHA256"), Some("1 2 x\n 3 4 y"));
        assert_eq!(all[1].get("Depends"), None);
    }
}
