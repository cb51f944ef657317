//! Which formats there are.

use crate::facts::Host;
use anyarch_client::error::{Usage, nearest};
use serde::Serialize;
use std::fmt;

/// A format of packages, or of a text that packages are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Debian's and Ubuntu's.
    Deb,
    /// Fedora's, openSUSE's and their relatives'.
    Rpm,
    /// Alpine's, as apk-tools 2 reads it.
    Apk,
    /// Python's: a wheel for each emulator, for pip.
    Wheel,
    /// A flake for Nix.
    Nix,
    /// A formula for Homebrew on Linux.
    Homebrew,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Deb, Self::Rpm, Self::Apk, Self::Wheel, Self::Nix, Self::Homebrew];

    /// The formats by these names.
    ///
    /// # Errors
    /// [`Usage`] for one that is not known, with the nearest.
    pub fn named(names: &[String]) -> Result<Vec<Self>, Usage> {
        let mut all = Vec::new();
        for name in names {
            let found = Self::ALL.into_iter().find(|format| format.to_string() == *name);
            let format = found.ok_or_else(|| unknown(name))?;
            if !all.contains(&format) {
                all.push(format);
            }
        }
        Ok(all)
    }

    /// Whether it is a text that names the release's archives, and holds none of their bytes.
    pub fn is_recipe(self) -> bool {
        matches!(self, Self::Nix | Self::Homebrew)
    }

    /// Whether packages of this format hold files for a host.
    pub fn is_for(self, host: &Host) -> bool {
        match self {
            Self::Deb | Self::Rpm => true,
            Self::Apk => host.packages.apk.is_some(),
            Self::Wheel => !host.packages.wheel.is_empty(),
            Self::Nix | Self::Homebrew => false,
        }
    }

    /// Where zsh looks for what completes words, without a slash at the beginning: Debian keeps packages' files apart.
    pub fn completions_of_zsh(self) -> &'static str {
        if self == Self::Deb { "usr/share/zsh/vendor-completions" } else { "usr/share/zsh/site-functions" }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Apk => "apk",
            Self::Wheel => "wheel",
            Self::Nix => "nix",
            Self::Homebrew => "homebrew",
        })
    }
}

fn unknown(name: &str) -> Usage {
    let names = Format::ALL.map(|format| format.to_string());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let hint = nearest(name, &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Usage(format!("there is no format `{name}`{hint}\n  all of them: {}", names.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_go_by_their_names_and_a_misspelt_one_is_answered_with_the_nearest() {
        let names = Format::ALL.map(|format| format.to_string());
        assert_eq!(Format::named(&names).expect("known"), Format::ALL);
        assert_eq!(Format::named(&["rpm".to_owned(), "rpm".to_owned()]).expect("known"), [Format::Rpm]);
        let error = Format::named(&["whele".to_owned()]).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `wheel`?") && error.contains("homebrew"), "{error}");
    }
}
