//! What a registry wants of those who ask (`WWW-Authenticate`): a token of somebody who gives them, or a password.

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A token, to be had at `realm`.
    Bearer {
        /// The address of who gives tokens.
        realm: String,
        /// For whom the token shall be.
        service: Option<String>,
        /// What it shall allow.
        scope: Option<String>,
    },
    /// A name and a password.
    Basic,
}

impl Challenge {
    /// Reads the value of a header: one or several schemes, of which a token is preferred.
    pub fn read(header: &str) -> Option<Self> {
        let all = schemes(header);
        let named = |name: &str| all.iter().find(|(scheme, _)| scheme.eq_ignore_ascii_case(name));
        let bearer = named("bearer").and_then(|(_, parameters)| {
            let get = |name: &str| {
                let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone())
            };
            Some(Self::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
        });
        bearer.or_else(|| named("basic").map(|_| Self::Basic))
    }
}

type Scheme = (String, Vec<(String, String)>);

/// `A k="v", k2=v2, B` as schemes with their parameters.
fn schemes(header: &str) -> Vec<Scheme> {
    let mut all: Vec<Scheme> = Vec::new();
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        rest = match (value, all.last_mut()) {
            (Some(value), Some((_, parameters))) if !word.is_empty() => {
                let (value, after) = value_of(value);
                parameters.push((word.to_owned(), value));
                after
            }
            // A value that belongs to nothing: the header cannot be read any further.
            (Some(_), _) => return all,
            (None, _) => {
                all.push((word.to_owned(), Vec::new()));
                after
            }
        };
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    all
}

/// A word, or a text in quotes, and what follows.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut letters) = (String::new(), quoted.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            _ => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
    }

    #[test]
    fn what_registries_say_is_understood() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull""#;
        let scope = Some("repository:library/debian:pull");
        assert_eq!(
            Challenge::read(docker),
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), scope)
        );
        for (header, expected) in [
            (r#"bearer REALM = "https://a/b" "#, bearer("https://a/b", None, None)),
            (
                r#"Bearer realm="https://a",scope="repository:x:pull,push""#,
                bearer("https://a", None, Some("repository:x:pull,push")),
            ),
            (r#"Basic realm="a \"b\", c", Bearer realm=https://d"#, bearer("https://d", None, None)),
            (r#"Basic realm="Registry""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Bearer", None),
            ("Negotiate", None),
            ("", None),
            (r#"="x""#, None),
            (r#"Bearer realm="unfinished"#, bearer("unfinished", None, None)),
        ] {
            assert_eq!(Challenge::read(header), expected, "{header}");
        }
    }
}
