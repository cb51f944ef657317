//! The release that images or packages are made of, as commands are told it.

use crate::facts::{Series, series};
use crate::released::{self, Released};
use crate::session::Session;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Which release, and who must have signed it.
#[derive(Debug, Args)]
pub struct ReleaseFolder {
    /// Folder of the release, as `cargo xtask release` makes it [default: the one in --out]
    #[arg(long, value_name = "DIR")]
    pub release: Option<PathBuf>,
    /// The QEMU series whose release is meant, if --release does not say it
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Who must have signed the release: a file with OpenSSH public keys, or a key's fingerprint (SHA256:...)
    #[arg(long, value_name = "KEY")]
    pub key: Option<PathBuf>,
}

impl ReleaseFolder {
    /// Reads what the release says of itself.
    ///
    /// # Errors
    /// When there is no release, or its sums or its signature do not vouch for it.
    pub fn open(&self, session: &Session) -> Result<Released> {
        let folder = match &self.release {
            Some(folder) => folder.clone(),
            None => {
                let series = Series::read(&session.workspace.root.join("patches"), &self.series)?;
                session.workspace.out.join(series.release())
            }
        };
        released::open(session, &folder, self.key.as_deref())
    }
}
