//! Names of images as Docker reads them: `debian`, `arm64v8/alpine:3`, `registry:5000/name@sha256:...`.

use crate::digest::Digest;
use std::fmt;
use std::str::FromStr;

/// The registry of a name that names none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// The tag of a name that has neither tag nor digest.
const DEFAULT_TAG: &str = "latest";

/// The longest name of a repository, as Docker has it.
const MAX_NAME: usize = 255;

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Text that names no image.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is not the name of an image: {reason}")]
pub struct InvalidReference {
    name: String,
    reason: String,
}

impl Reference {
    /// The registry, as users name it: `docker.io`, `registry:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in it: `library/debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest that the manifest must have, if the name says one. It counts, not the tag beside it.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether it names a repository alone, with neither tag nor digest.
    pub fn is_bare(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// What the registry is asked for: the digest, else the tag.
    pub fn wanted(&self) -> String {
        let digest = self.digest.as_ref().map(ToString::to_string);
        digest.or(self.tag.clone()).unwrap_or_else(|| DEFAULT_TAG.to_owned())
    }

    /// Whether the registry is on this machine: its answers do not cross a network.
    pub fn is_local(&self) -> bool {
        let host = match self.registry.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &self.registry,
        };
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost"
            || host.ends_with(".localhost")
            || address.is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(name: &str) -> Result<Self, InvalidReference> {
        let wrong = |reason: &str| InvalidReference {
            name: name.chars().take(300).flat_map(char::escape_default).collect(),
            reason: reason.to_owned(),
        };
        let (rest, digest) = match name.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse::<Digest>().map_err(|error| wrong(&error.to_string()))?))
            }
            None => (name, None),
        };
        // A port stands before the last slash, a tag behind it.
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("a tag is at most 128 letters, digits, `_`, `.` and `-`"));
        }
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest.to_owned()),
            _ => (DEFAULT_REGISTRY, path.to_owned()),
        };
        if !is_host(registry) {
            return Err(wrong(
                "the part before the first slash is no registry such as ghcr.io or localhost:5000",
            ));
        }
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let is_official = registry == DEFAULT_REGISTRY && !repository.contains('/');
        let repository = if is_official { format!("library/{repository}") } else { repository };
        if repository.len() > MAX_NAME || !repository.split('/').all(is_component) {
            let lower =
                if name.bytes().any(|b| b.is_ascii_uppercase()) { "; write it in lower case" } else { "" };
            return Err(wrong(&format!(
                "it consists of lower-case letters and digits, with single `.`, `_`, `-` between{lower}"
            )));
        }
        if is_official && digest.is_none() && tag.is_none() && is_hash(path) {
            return Err(wrong(
                "it looks like the number of an image; pass a name, with @sha256:... for a digest",
            ));
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }
}

/// Whether the first part of a name is a registry: `ghcr.io`, `registry:5000`, `localhost`; else it is a user's.
fn is_registry(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.bytes().any(|b| b.is_ascii_uppercase())
}

/// A host with a port, if need be. What an address could read otherwise is none: no `@`, `?`, `#`, `%`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("x", rest.strip_prefix(':').or(rest.is_empty().then_some("1")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("1")),
        },
    };
    let fits = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(fits) && port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A part of a repository's name: words with one separator between them (`.`, `_`, `__`, any number of `-`).
fn is_component(part: &str) -> bool {
    let is_letter = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators = part.as_bytes().split(is_letter).filter(|separator| !separator.is_empty());
    let ends = [part.as_bytes().first(), part.as_bytes().last()];
    ends.iter().all(|end| end.is_some_and(is_letter))
        && separators
            .into_iter()
            .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    (1..=128).contains(&tag.len()) && tag.bytes().all(fits) && !tag.starts_with(['.', '-'])
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl fmt::Display for Reference {
    /// The whole name, with all that Docker's rules put in.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.registry, self.repository)?;
        match (&self.tag, &self.digest) {
            (Some(tag), Some(digest)) => write!(to, ":{tag}@{digest}"),
            (None, Some(digest)) => write!(to, "@{digest}"),
            (tag, None) => write!(to, ":{}", tag.as_deref().unwrap_or(DEFAULT_TAG)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_name_is_read_as_docker_reads_it() {
        for (name, whole) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:bookworm-slim", "docker.io/library/debian:bookworm-slim"),
            ("arm64v8/alpine:3", "docker.io/arm64v8/alpine:3"),
            ("docker.io/arm64v8/alpine", "docker.io/arm64v8/alpine:latest"),
            ("index.docker.io/debian", "docker.io/library/debian:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x/y:1", "localhost:5000/x/y:1"),
            ("registry:5000/name", "registry:5000/name:latest"),
            ("ghcr.io/a/b_c/d__e/f-g--h.i:v1.2_3-x", "ghcr.io/a/b_c/d__e/f-g--h.i:v1.2_3-x"),
            ("[::1]:5000/x", "[::1]:5000/x:latest"),
            ("Registry/x", "Registry/x:latest"),
        ] {
            assert_eq!(name.parse::<Reference>().expect(name).to_string(), whole);
        }
        let name = format!("registry:5000/name:tag@sha256:{HEX}");
        let both = name.parse::<Reference>().expect("a name");
        assert_eq!((both.to_string(), both.wanted()), (name, format!("sha256:{HEX}")));
    }

    #[test]
    fn what_docker_refuses_is_refused_and_no_address_can_be_smuggled_in() {
        let long = "a/".repeat(130);
        for bad in [
            "",
            "/",
            ":",
            "@",
            "a:",
            "a/",
            "/a",
            "a//b",
            "Debian",
            "a b",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a:-x",
            "ghcr.io/../x",
            "ghcr.io/a?b",
            "user@ghcr.io/x",
            "ghcr.io:x/y",
            "ghcr.io:0/y",
            "ghcr.io:70000/y",
            "https://ghcr.io/x",
            "gh%63r.io/x",
            "[::1/x",
            "[x]:5/x",
            "a@sha256:00",
            "a@sha512:00",
            "a\u{1b}[31m",
            "-.io/x",
            "a.io#/x",
            HEX,
            &long,
        ] {
            let error = bad.parse::<Reference>().expect_err(bad).to_string();
            assert!(error.contains("is not the name of an image") && !error.contains('\u{1b}'), "{error}");
        }
        let error = "Debian".parse::<Reference>().expect_err("capital").to_string();
        assert!(error.contains("lower case"), "{error}");
    }

    #[test]
    fn only_a_registry_on_this_machine_is_local() {
        let local = |name: &str| name.parse::<Reference>().expect(name).is_local();
        for name in ["localhost/x", "localhost:5000/x", "127.0.0.1:5000/x", "127.1.2.3/x", "[::1]:5/x"] {
            assert!(local(name), "{name}");
        }
        for name in ["x", "localhost.example.org/x", "10.0.0.1:5000/x", "registry:5000/x"] {
            assert!(!local(name), "{name}");
        }
    }
}
