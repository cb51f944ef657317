//! `package`: packages of a release for others' package managers.

use super::{ReleaseFolder, show};
use crate::packages::{self, Format, Packages, PackagesOptions};
use crate::release::page;
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::progress::{count, human_bytes};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Make packages of a release: deb, rpm, apk, wheels, a Nix flake, a Homebrew formula
///
/// Needs none of the package managers. Every archive of the release is checked as `fetch` does it. The same release
/// gives the same bytes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask package
  cargo xtask package --format deb,wheel --host amd64,arm64
  cargo xtask package --base https://example.org/anyarch --maintainer 'Jo Doe <jo@example.org>'")]
pub struct PackageArgs {
    /// Which release.
    #[command(flatten)]
    pub release: ReleaseFolder,
    /// Formats to make: deb, rpm, apk, wheel, nix, homebrew [default: all]
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',')]
    pub formats: Vec<String>,
    /// Hosts to make them for, by any name; `all` for every one that the release has
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',', default_value = "all")]
    pub hosts: Vec<String>,
    /// Who answers for the packages
    #[arg(long, value_name = "NAME <MAIL>", default_value = "anyarch <anyarch@localhost>", value_parser = maintainer)]
    pub maintainer: String,
    /// URL of the folder that the release's folder is served in: nix and homebrew download from there
    #[arg(long, value_name = "URL", value_parser = base_address)]
    pub base: Option<String>,
    /// RSA key (PEM) that packages for Alpine are signed with [default: they are unsigned]
    #[arg(long, value_name = "FILE")]
    pub apk_key: Option<PathBuf>,
    /// Put all files into one folder, under names that are unique in it: GitHub's releases have no folders
    #[arg(long)]
    pub flat: bool,
}

/// An address that goes into recipes as it is.
fn base_address(text: &str) -> Result<String, Usage> {
    page::checked_base(text).map(str::to_owned)
}

/// A name and an address of mail, which stand in lines of their own.
fn maintainer(text: &str) -> Result<String, Usage> {
    let is_plain =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_control() || "<>".contains(c));
    let parts = text.strip_suffix('>').and_then(|rest| rest.split_once(" <"));
    match parts {
        Some((name, mail)) if is_plain(name) && is_plain(mail) && mail.contains('@') => Ok(text.to_owned()),
        _ => Err(Usage(format!("`{text}` is not of the form NAME <MAIL>"))),
    }
}

/// Makes the packages, and says how many there are and how big.
pub fn run(session: &Session, arguments: &PackageArgs) -> Result<()> {
    let formats = Format::named(&arguments.formats)?;
    let released = arguments.release.open(session)?;
    let options = PackagesOptions {
        formats,
        hosts: released.hosts_named(&arguments.hosts, &session.workspace.root.join("toolchains"))?,
        maintainer: arguments.maintainer.clone(),
        base: arguments.base.clone(),
        apk_key: arguments.apk_key.clone(),
        flat: arguments.flat,
    };
    let packages = packages::make(session, &released, &options)?;
    let result = json!({ "folder": packages.folder, "packages": packages.made });
    show(session, &result, || text(&packages))
}

fn text(packages: &Packages) -> String {
    let mut rows: BTreeMap<(Format, &str), (usize, u64)> = BTreeMap::new();
    for one in &packages.made {
        let host = one.host.as_deref().unwrap_or("all hosts");
        let (files, bytes) = rows.entry((one.format, host)).or_default();
        (*files, *bytes) = (*files + 1, *bytes + one.size);
    }
    let mut text = String::new();
    for ((format, host), (files, bytes)) in rows {
        let (format, files) = (format.to_string(), count(files, "file"));
        text.push_str(&format!("{format:<8}  {host:<9}  {files:>8}  {:>9}\n", human_bytes(bytes)));
    }
    text.push_str(&format!("{}\n", packages.folder.display()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maintainer_is_one_line_with_a_name_and_a_mail_address() {
        assert_eq!(maintainer("Jo Doe <jo@example.org>").expect("good"), "Jo Doe <jo@example.org>");
        for bad in
            ["Jo Doe", "<jo@example.org>", "Jo <jo>", "Jo\nX: y <jo@example.org>", "Jo <a@b> <c@d>", ""]
        {
            assert!(maintainer(bad).is_err(), "{bad:?}");
        }
    }
}
