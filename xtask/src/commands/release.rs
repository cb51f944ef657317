//! `release`: the folders of several jobs and machines joined into one.

use super::show;
use crate::facts::{Series, series};
use crate::package::{self, Tarball};
use crate::plan::{Plan, Profile, Request};
use crate::release::changes::Changelog;
use crate::release::page;
use crate::release::{self, PublishOptions, Published, shelf, sums};
use crate::session::BuildSession;
use crate::toolchain::ToolchainOptions;
use anyarch_client::error::Usage;
use anyarch_client::progress::{count, human_bytes};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Join the tarballs of several jobs or machines into one release
///
/// Every tarball must match its record and the pins of this checkout. Different toolchains for one host, and
/// different files with one name, are refused. Also writes release.json, the corresponding source, an SBOM,
/// provenance, an installer, a page and SHA256SUMS. Any web server or object store can serve the folder as it
/// is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask release
  cargo xtask release --out joined ci/amd64 ci/arm64 ci/riscv64
  cargo xtask release --zst --sign ~/.ssh/release_key --base https://example.org/anyarch --shelf")]
pub struct ReleaseArgs {
    /// Folders with tarballs and their records, or folders of such folders [default: the release's own]
    #[arg(value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Fail if an emulator of the whole matrix, or `anyarch` for a host, is missing, or CHANGELOG.md lacks the release
    #[arg(long)]
    pub complete: bool,
    /// Also write .tar.zst archives: slightly bigger, faster to unpack
    #[arg(long)]
    pub zst: bool,
    /// SSH key to sign SHA256SUMS with: without a passphrase, or held by ssh-agent
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Public key of whoever will sign SHA256SUMS elsewhere: the page and the folder name it as `--sign` has it
    #[arg(long, value_name = "FILE", conflicts_with = "sign")]
    pub signer: Option<PathBuf>,
    /// URL of the folder that will contain the release's folder, for the page and the installer
    #[arg(long, value_name = "URL", value_parser = base_address)]
    pub base: Option<String>,
    /// Also write what lies beside all releases in --out: index.html, which lists them, and latest/, the newest once more
    #[arg(long)]
    pub shelf: bool,
    /// URI of the builder, for the provenance [default: the GitHub workflow, if there is one]
    #[arg(long, value_name = "URI")]
    pub builder: Option<String>,
}

/// An address that goes into a page and a shell script as it is.
fn base_address(text: &str) -> Result<String, Usage> {
    page::checked_base(text).map(str::to_owned)
}

/// Joins folders, and says what the release holds and lacks.
pub fn run(session: &BuildSession, arguments: &ReleaseArgs) -> Result<()> {
    let series = Series::read(&session.workspace.root.join("patches"), &arguments.series)?;
    arguments.sign.as_deref().map(sums::can_sign).transpose()?;
    arguments.signer.as_deref().map(sums::read_public).transpose()?;
    package::is_writable(session, &series.release())?;
    let own = session.workspace.out.join(series.release());
    let folders = if arguments.folders.is_empty() { vec![own] } else { arguments.folders.clone() };
    let release = release::gather(&folders, &session.workspace.root, &series)?;
    let whole = Request {
        targets: vec!["all".to_owned()],
        hosts: vec!["all".to_owned()],
        series: arguments.series.clone(),
        profile: Profile::Release,
        tooling: ToolchainOptions::default(),
    };
    let lacks = release.missing(&Plan::make(&session.workspace, &whole)?);
    if arguments.complete && !lacks.is_empty() {
        bail!("the release is missing {}:\n  {}", count(lacks.len(), "archive"), lacks.join("\n  "));
    }
    if arguments.complete {
        Changelog::read(&session.workspace.root)?.is_complete_for(&series.release())?;
    }
    let not_run = release.not_run();
    let options = PublishOptions {
        zst: arguments.zst,
        base: arguments.base.clone(),
        builder: arguments.builder.clone(),
        key: arguments.sign.clone(),
        signer: arguments.signer.clone(),
    };
    let published = release.publish(session, &options)?;
    if arguments.shelf {
        let newest = shelf::write(&session.workspace.out, arguments.base.as_deref())?;
        session.progress.say(&format!("latest is {}", newest.display()));
    }
    let result = json!({
        "release": series.release(),
        "folder": published.folder,
        "sums": published.sums,
        "signature": published.signature,
        "tarballs": published.tarballs,
        "programs": published.programs,
        "lacks": lacks,
        "not_run": not_run,
    });
    show(session, &result, || text(&published, &lacks))?;
    for one in &not_run {
        session.progress.say(&format!("not run: {one}"));
    }
    Ok(())
}

fn text(release: &Published, lacks: &[String]) -> String {
    let mut hosts: Vec<&str> = release.tarballs.iter().map(Tarball::host).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let mut text = String::new();
    for host in &hosts {
        let of_host = release.tarballs.iter().filter(|one| one.host() == *host);
        let sizes: Vec<u64> = of_host.map(|one| one.record().size).collect();
        let all = human_bytes(sizes.iter().sum());
        text.push_str(&format!("{host:<9} {:>14}, {all:>9}\n", count(sizes.len(), "emulator")));
    }
    if !release.programs.is_empty() {
        let hosts: Vec<&str> = release.programs.iter().map(|one| one.record().host.as_str()).collect();
        text.push_str(&format!("anyarch for {}\n", hosts.join(" ")));
    }
    let lacking = if lacks.is_empty() { "nothing".to_owned() } else { count(lacks.len(), "archive") };
    text.push_str(&format!(
        "{} for {}; missing from the whole matrix: {lacking}\n{}\n",
        count(release.tarballs.len(), "tarball"),
        count(hosts.len(), "host"),
        release.folder.display()
    ));
    text
}
