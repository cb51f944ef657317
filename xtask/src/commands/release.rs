//! `release`: the folders of several jobs and machines joined into one.

use super::show;
use crate::facts::{Series, series};
use crate::package::{self, Tarball};
use crate::plan::{Plan, Profile, Request};
use crate::release::page;
use crate::release::{self, Published, Wishes, sums};
use crate::session::BuildSession;
use crate::toolchain::Tooling;
use anyarch_client::error::Usage;
use anyarch_client::progress::{count, human_bytes};
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Join the folders that several jobs or machines made into one release, and describe it
///
/// Every tarball is compared with its record, inside and out, and with the pins of this checkout: other
/// pins, other toolchains for the same host, or one name with different bytes are refused. Beside the
/// tarballs are written: release.json, the corresponding source, an SBOM, provenance, an installer, a
/// page and SHA256SUMS. Any web server or object store can serve the folder as it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask release
  cargo xtask release --out joined ci/amd64 ci/arm64 ci/riscv64
  cargo xtask release --zst --sign ~/.ssh/release_key --base https://example.org/anyarch")]
pub struct ReleaseArgs {
    /// Folders with tarballs and their records, or folders of such folders [default: the release's own]
    #[arg(value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Fail if a pair of the whole matrix is missing
    #[arg(long)]
    pub complete: bool,
    /// Also pack with zstd: a little bigger, faster to unpack
    #[arg(long)]
    pub zst: bool,
    /// Sign SHA256SUMS with this SSH key: without a passphrase, or one that an agent holds
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Where the release will be served: the address above its folder, for the page and the installer
    #[arg(long, value_name = "URL", value_parser = base_address)]
    pub base: Option<String>,
    /// Who built it, as a URI, for the provenance [default: the workflow, where GitHub names one]
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
    package::is_writable(session, &series.release())?;
    let own = session.workspace.out.join(series.release());
    let folders = if arguments.folders.is_empty() { vec![own] } else { arguments.folders.clone() };
    let release = release::gather(&folders, &series)?;
    let whole = Request {
        targets: vec!["all".to_owned()],
        hosts: vec!["all".to_owned()],
        series: arguments.series.clone(),
        profile: Profile::Release,
        tooling: Tooling::default(),
    };
    let lacks = release.lacks(&Plan::make(&session.workspace, &whole)?);
    if arguments.complete && !lacks.is_empty() {
        bail!("the release lacks {}:\n  {}", count(lacks.len(), "emulator"), lacks.join("\n  "));
    }
    let not_run = release.not_run();
    let wishes = Wishes {
        zst: arguments.zst,
        base: arguments.base.clone(),
        builder: arguments.builder.clone(),
        key: arguments.sign.clone(),
    };
    let published = release.publish(session, &wishes)?;
    let result = json!({
        "release": series.release(),
        "folder": published.folder,
        "sums": published.sums,
        "signature": published.signature,
        "tarballs": published.tarballs,
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
    let lacking = if lacks.is_empty() { "nothing".to_owned() } else { count(lacks.len(), "emulator") };
    text.push_str(&format!(
        "{} for {}; of the whole matrix it lacks {lacking}\n{}\n",
        count(release.tarballs.len(), "tarball"),
        count(hosts.len(), "host"),
        release.folder.display()
    ));
    text
}
