//! What a name led to when it was pulled last, so that the next run needs no registry.

use crate::digest::Digest;
use crate::platform::Platform;
use crate::store::Store;
use anyarch_client::{files, hash};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A name that was pulled.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    name: String,
    platform: Option<String>,
    digest: Digest,
}

/// The file of a name for a platform, or for the one that is taken if none is asked for.
fn place(store: &Store, name: &str, platform: Option<&Platform>) -> Result<PathBuf> {
    let key = hash::short_key(&(name, platform.map(ToString::to_string)))?;
    Ok(store.folder().join("names").join(format!("{key}.json")))
}

/// The manifest that a name led to.
///
/// # Errors
/// Those of encoding the name.
pub fn known(store: &Store, name: &str, platform: Option<&Platform>) -> Result<Option<Digest>> {
    let known: Option<Known> = files::read_json(&place(store, name, platform)?);
    let is_same = |known: &Known| known.name == name && known.platform == platform.map(ToString::to_string);
    Ok(known.filter(is_same).map(|known| known.digest))
}

/// Keeps what a name led to.
///
/// # Errors
/// When the cache cannot be written.
pub fn keep(store: &Store, name: &str, platform: Option<&Platform>, digest: &Digest) -> Result<()> {
    let known =
        Known { name: name.to_owned(), platform: platform.map(ToString::to_string), digest: digest.clone() };
    files::write_json(&place(store, name, platform)?, &known)
}
