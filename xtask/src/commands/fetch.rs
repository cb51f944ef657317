//! `fetch`: released emulators from a mirror, onto this machine.

use super::show;
use crate::facts::{Host, Series, Target, series};
use crate::session::Session;
use anyarch_client::claim;
use anyarch_client::error::Usage;
use anyarch_client::fetch::{self, Folders, Installed, NameFilter};
use anyarch_client::index;
use anyarch_client::mirror::Mirror;
use anyarch_client::mirrors;
use anyarch_client::progress::{count, human_bytes};
use anyarch_client::signature;
use anyarch_client::transfer::{Mirrors, RetryPolicy};
use anyarch_manifest::FileName;
use anyarch_manifest::layout::{self, PROGRAM};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;
use std::env;
use std::path::PathBuf;

/// Download and install released emulators; every file is verified before it is used
///
/// Reads the release manifest from the first mirror that has it, downloads the requested archives, verifies
/// them, and installs `bin/qemu-<target>` and its documentation below the prefix. Files that are up to date
/// are not downloaded again. An interrupted download resumes where it stopped. HTTPS_PROXY, HTTP_PROXY and
/// NO_PROXY are used.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask fetch --target aarch64 --from https://example.org/anyarch --key anyarch.pub
  cargo xtask fetch --target arm64,riscv64 --release 10.2.2-1 --from /mnt/mirror --prefix ~/qemu
  ANYARCH_FROM='https://a.example https://b.example' cargo xtask fetch --target all --keep-going")]
pub struct Fetch {
    /// Targets, by the names of QEMU, Debian, Docker or the kernel; `all` for every target of the release; `anyarch` for
    /// the users' program
    #[arg(short, long = "target", value_name = "TARGET", value_delimiter = ',', required = true)]
    pub targets: Vec<String>,
    /// Hosts, by Docker's platform names; `native` for this machine, `all` for every host of the release
    ///
    /// With several hosts, each gets a folder of its own: DIR/arm-v7/bin/qemu-<target>.
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',', default_value = "native")]
    pub hosts: Vec<String>,
    /// Release to install, such as 10.2.2-1 [default: the release that this checkout builds]
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// QEMU series of the default release
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Mirror: a URL (http, https, file) or a folder that contains the folder of the release
    ///
    /// Mirrors are tried in the given order. Default: the mirrors in ANYARCH_FROM, separated by spaces, else
    /// the releases of this checkout.
    #[arg(long, value_name = "URL|DIR")]
    pub from: Vec<String>,
    /// Who must have signed the release: a file with OpenSSH public keys, or a key's fingerprint (SHA256:...)
    #[arg(long, value_name = "KEY", env = "ANYARCH_KEY")]
    pub key: Option<PathBuf>,
    /// Folder to install into: it gets `bin/` and `share/doc/` [default: ~/.local]
    #[arg(long, value_name = "DIR")]
    pub prefix: Option<PathBuf>,
}

/// Fetches what is asked for, and says where it is; a failure may leave the others going.
pub fn run(session: &Session, arguments: &Fetch, keep_going: bool) -> Result<()> {
    let release = release(session, arguments)?;
    let (targets, hosts) = (targets(&arguments.targets)?, hosts(session, &arguments.hosts)?);
    let keys = arguments.key.as_deref().map(signature::signers).transpose()?.unwrap_or_default();
    let prefix = prefix(arguments)?;
    let mirrors = Mirrors::new(mirrors(session, arguments, &release)?, RetryPolicy::default())?;
    let _in_use = claim::shared(&session.workspace.cache)
        .context("cannot use the cache folder; set ANYARCH_CACHE to another one")?;
    let index = index::read(&session.progress, &mirrors, &release, &keys)?;
    let chosen = fetch::select(&index.manifest, &targets, &hosts)?;
    let is_one_host = chosen.iter().all(|one| one.host == chosen[0].host);
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for of_host in chosen.chunk_by(|one, next| one.host == next.host) {
        // The emulators of several hosts have the same names.
        let place = match is_one_host {
            true => prefix.clone(),
            false => prefix.join(of_host[0].host.replace('/', "-")),
        };
        let folders = Folders { cache: &session.workspace.cache, prefix: &place };
        let progress = &session.progress;
        for (one, result) in fetch::fetch_emulators(progress, &mirrors, &index.manifest, of_host, folders)? {
            match result {
                Ok(installed) => done.push(installed),
                Err(error) if keep_going => {
                    let program = format!("{} for {}", layout::program(&one.target), one.host);
                    progress.say(&format!("failed: {program}: {error:#}"));
                    failed.push(program);
                }
                Err(error) => return Err(error),
            }
        }
    }
    let result = json!({ "release": release.as_str(), "signed_by": index.signer, "emulators": done });
    show(session, &result, || table(&done))?;
    if !failed.is_empty() {
        bail!("{} not fetched: {}", count(failed.len(), "emulator"), failed.join(", "));
    }
    Ok(())
}

/// The release that is asked for: the checkout's own, if none is named.
fn release(session: &Session, arguments: &Fetch) -> Result<FileName> {
    let name = match &arguments.release {
        Some(name) => name.clone(),
        None => Series::read(&session.workspace.root.join("patches"), &arguments.series)?.release(),
    };
    Ok(FileName::try_from(name.clone())
        .map_err(|_| Usage(format!("`{name}` is not the name of a release")))?)
}

fn targets(names: &[String]) -> Result<NameFilter> {
    if names.iter().any(|name| name == "all") {
        let with_program = names.iter().any(|name| name == PROGRAM);
        return Ok(if with_program { NameFilter::AllAndProgram } else { NameFilter::All });
    }
    let named = |name: &String| {
        if name == PROGRAM {
            return Ok(PROGRAM.to_owned());
        }
        Ok(Target::named(name)?.name.to_owned())
    };
    these(names.iter().map(named))
}

fn hosts(session: &Session, names: &[String]) -> Result<NameFilter> {
    if names.iter().any(|name| name == "all") {
        return Ok(NameFilter::All);
    }
    let known = Host::all(&session.workspace.root.join("toolchains"))?;
    these(names.iter().map(|name| Ok(Host::named(name, &known)?.platform.clone())))
}

/// Each once, in the order in which they are asked for.
fn these(names: impl Iterator<Item = Result<String>>) -> Result<NameFilter> {
    let mut once = Vec::new();
    for name in names {
        let name = name?;
        if !once.contains(&name) {
            once.push(name);
        }
    }
    Ok(NameFilter::Only(once))
}

fn prefix(arguments: &Fetch) -> Result<PathBuf> {
    let prefix = match &arguments.prefix {
        Some(prefix) => prefix.clone(),
        None => env::home_dir()
            .ok_or_else(|| Usage("no home folder: pass --prefix DIR".to_owned()))?
            .join(".local"),
    };
    std::path::absolute(&prefix).with_context(|| format!("bad path {}", prefix.display()))
}

/// The mirrors: those on the command line, else those of `ANYARCH_FROM`, else the checkout's own releases.
fn mirrors(session: &Session, arguments: &Fetch, release: &FileName) -> Result<Vec<Mirror>> {
    let mut names = arguments.from.clone();
    if names.is_empty() {
        let set = env::var("ANYARCH_FROM").unwrap_or_default();
        names.extend(set.split_whitespace().map(str::to_owned));
    }
    let own = &session.workspace.out;
    if names.is_empty() && own.join(release.as_str()).is_dir() {
        names.push(own.display().to_string());
    }
    if names.is_empty() {
        bail!(Usage(format!(
            "no mirror to fetch from: pass --from URL or --from DIR, the parent of {release}/release.json, or set \
         ANYARCH_FROM (there is no {} either)",
            own.join(release.as_str()).display()
        )));
    }
    let mut mirrors = mirrors::named(&session.progress, &names)?;
    if session.offline {
        mirrors.retain(|mirror| !mirror.is_remote());
        if mirrors.is_empty() {
            bail!("--offline is set, and every mirror needs the network: pass --from DIR");
        }
    }
    Ok(mirrors)
}

fn table(done: &[Installed]) -> String {
    let line = |one: &Installed| {
        format!(
            "{:<14} {:<9} {:<10} {:>9}  {:<10}  {}\n",
            one.target(),
            one.host(),
            one.release(),
            human_bytes(one.size()),
            one.state().words(),
            one.path().display()
        )
    };
    done.iter().map(line).collect()
}
