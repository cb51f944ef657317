//! Where an image is: in a registry, by its name, or in files.

use crate::layout::{self, Kind};
use crate::limits::Limits;
use crate::reference::{InvalidReference, Reference};
use anyarch_client::error::Usage;
use anyhow::Result;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a registry.
    Registry(Reference),
    /// In an OCI layout, or an archive of images.
    Files {
        /// The folder or the archive.
        path: PathBuf,
        /// Which of the images in it; needed if there are several.
        name: Option<String>,
    },
}

impl From<InvalidReference> for Usage {
    fn from(error: InvalidReference) -> Self {
        Self(error.to_string())
    }
}

impl Source {
    /// What somebody means who types this: a path if it begins with `/` or `.`, or as skopeo and podman have it
    /// (`oci:PATH`, `oci-archive:PATH`, `docker-archive:PATH`), with `:NAME` behind it if need be; else the name of an
    /// image in a registry.
    ///
    /// # Errors
    /// When it is neither.
    pub fn named(text: &str) -> Result<Self, Usage> {
        let path =
            ["oci:", "oci-archive:", "docker-archive:"].iter().find_map(|kind| text.strip_prefix(kind));
        let path = path.or(Some(text).filter(|text| text.starts_with(['/', '.'])));
        if let Some(path) = path {
            return Ok(Self::path(path));
        }
        let name = text.strip_prefix("docker://").unwrap_or(text);
        Ok(Self::Registry(name.parse::<Reference>()?))
    }

    /// `PATH`, or `PATH:NAME` where there is no such path.
    fn path(text: &str) -> Self {
        let whole = || Self::Files { path: PathBuf::from(text), name: None };
        if Path::new(text).exists() {
            return whole();
        }
        let cuts = text.match_indices(':').map(|(at, _)| (&text[..at], &text[at + 1..]));
        let found = cuts.into_iter().find(|(path, name)| !name.is_empty() && Path::new(path).exists());
        found.map_or_else(whole, |(path, name)| Self::Files {
            path: PathBuf::from(path),
            name: Some(name.to_owned()),
        })
    }

    /// The images at a path. `None` if something else is there: perhaps a root folder, or an archive of one.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be read.
    pub fn at(path: &Path, limits: &Limits) -> Result<Option<Self>> {
        let is_images = layout::kind(path, limits)? == Kind::Images;
        Ok(is_images.then(|| Self::Files { path: path.to_owned(), name: None }))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(to),
            Self::Files { path, name: None } => write!(to, "{}", path.display()),
            Self::Files { path, name: Some(name) } => write!(to, "{}:{name}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_path_only_where_it_looks_like_one() {
        let files = |path: &str, name: Option<&str>| Source::Files {
            path: PathBuf::from(path),
            name: name.map(str::to_owned),
        };
        let home = tempfile::tempdir().expect("a folder");
        let here = home.path().display().to_string();
        for (text, expected) in [
            ("./no-such", files("./no-such", None)),
            (here.as_str(), files(&here, None)),
            (&format!("{here}:debian:12"), files(&here, Some("debian:12"))),
            (&format!("oci:{here}:v1"), files(&here, Some("v1"))),
            ("docker-archive:x.tar", files("x.tar", None)),
        ] {
            assert_eq!(Source::named(text).expect("a source"), expected, "{text}");
        }
        for name in ["debian", "docker://debian"] {
            let source = Source::named(name).expect("a source");
            assert_eq!(source.to_string(), "docker.io/library/debian:latest");
        }
        assert!(Source::named("Not An Image").is_err());
    }
}
