//! Where releases come from: the options that say it, and the manifest that is believed.

use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::index::{self, Index};
use anyarch_client::machine;
use anyarch_client::mirrors;
use anyarch_client::signature;
use anyarch_client::transfer::{Mirrors, RetryPolicy};
use anyarch_manifest::layout::PROGRAM;
use anyarch_manifest::{FileName, Manifest};
use anyhow::{Result, bail};
use clap::Args;
use std::env;
use std::path::PathBuf;

/// A variable with mirrors, separated by spaces, as `cargo xtask fetch` and `install.sh` read it.
const VARIABLE: &str = "ANYARCH_FROM";

/// Which release, from where, and whose.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Where releases are: a URL (http, https, file) or a folder; several are tried in this order
    ///
    /// Default: what ANYARCH_FROM says, separated by spaces.
    #[arg(long, value_name = "URL|DIR")]
    pub from: Vec<String>,
    /// Release [default: the newest there]
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// Who must have signed the release: a file with OpenSSH public keys, or a key's fingerprint (SHA256:...)
    #[arg(long, value_name = "KEY", env = "ANYARCH_KEY")]
    pub key: Option<PathBuf>,
}

/// A release that is believed.
#[derive(Debug)]
pub struct Release {
    /// What is in it.
    pub index: Index,
    /// Where it is.
    pub mirrors: Mirrors,
    /// The same in words, without passwords.
    pub from: Vec<String>,
}

impl Place {
    /// Whether a place is named, on the command line or by a variable.
    pub fn is_named(&self) -> bool {
        self.names(&[]).is_ok()
    }

    /// The places as they were named; `known` if none was.
    ///
    /// # Errors
    /// [`Usage`] when there is none.
    fn names(&self, known: &[String]) -> Result<Vec<String>> {
        let words = env::var(VARIABLE).unwrap_or_default();
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let named = [&self.from[..], &words, known].into_iter().find(|names| !names.is_empty());
        named.map(<[String]>::to_vec).ok_or_else(|| {
            Usage(
                "nobody says where releases are: pass --from URL or --from DIR, or set ANYARCH_FROM"
                    .to_owned(),
            )
            .into()
        })
    }
}

/// Reads the manifest of the release that is asked for, or of the newest.
///
/// # Errors
/// When no place is named, or none has it.
pub fn open(session: &Session, place: &Place) -> Result<Release> {
    open_known(session, place, &[])
}

/// The same, from where an emulator came before if no place is named.
///
/// # Errors
/// As [`open`].
pub fn open_known(session: &Session, place: &Place, known: &[String]) -> Result<Release> {
    let keys = place.key.as_deref().map(signature::signers).transpose()?.unwrap_or_default();
    let all = mirrors::named(&session.progress, &place.names(known)?)?;
    let from = all.iter().map(ToString::to_string).collect();
    let mirrors = Mirrors::new(all, RetryPolicy::default())?;
    let index = match &place.release {
        Some(name) => {
            let Ok(release) = FileName::try_from(name.clone()) else {
                bail!(Usage(format!("`{name}` is not the name of a release")))
            };
            index::read(&session.progress, &mirrors, &release, &keys)?
        }
        None => index::read_latest(&session.progress, &mirrors, &keys).map_err(|error| {
            error.context("which release is the newest there is not known; name one: --release NAME")
        })?,
    };
    Ok(Release { index, mirrors, from })
}

/// Whether a release has a target's emulator for some host, or this program, by its name.
pub fn has(manifest: &Manifest, target: &str) -> bool {
    match target {
        PROGRAM => machine::native().is_ok_and(|host| manifest.program(host).is_some()),
        target => manifest.artifacts.iter().any(|one| one.target == target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_command_line_then_of_before() {
        let place = Place { from: vec!["/a".to_owned()], ..Place::default() };
        assert_eq!(place.names(&["/b".to_owned()]).expect("named"), ["/a"]);
        if env::var_os(VARIABLE).is_none() {
            assert_eq!(Place::default().names(&["/b".to_owned()]).expect("named"), ["/b"]);
            assert!(Place::default().names(&[]).expect_err("nowhere").to_string().contains("ANYARCH_FROM"));
        }
    }
}
