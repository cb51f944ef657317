//! Downloads over HTTP: checked against a hash before anybody sees them, kept by that hash.

use crate::files;
use crate::hash;
use crate::lock::Lock;
use crate::session::Session;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail, ensure};
use data_encoding::HEXLOWER;
use reqwest::Url;
use reqwest::blocking::{Client, Response};
use reqwest::redirect::Policy;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

/// A server that does not even take a connection in this time is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// A transfer that stands still for this long is broken.
pub const STALL: Duration = Duration::from_secs(30);

/// More redirections than this lead nowhere.
const MOST_REDIRECTIONS: usize = 10;

/// Where a file with this hash is kept.
pub fn place(workspace: &Workspace, sha256: &str, name: &str) -> PathBuf {
    workspace.downloads().join(sha256).join(name)
}

/// The file with this hash, if it is kept. It is read and checked once more: what changed on the disk
/// is removed and counts as absent.
pub fn kept(workspace: &Workspace, sha256: &str, name: &str) -> Result<Option<PathBuf>> {
    let path = place(workspace, sha256, name);
    if !path.is_file() {
        return Ok(None);
    }
    if hash::sha256_file(&path)? == sha256 {
        return Ok(Some(path));
    }
    files::remove(&path)?;
    Ok(None)
}

/// Takes a local file into the kept ones, if it has this hash. What is kept is what was hashed, even
/// if the file changes meanwhile.
pub fn keep(workspace: &Workspace, file: &Path, sha256: &str, name: &str) -> Result<PathBuf> {
    let path = place(workspace, sha256, name);
    let mut from = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    files::write_file_with(&path, |to| copy_checked(&mut from, to, sha256, |_| ()))
        .with_context(|| format!("{} was not kept", file.display()))?;
    Ok(path)
}

/// Copies a stream whose content must have this hash; `on_bytes` hears how many went by.
fn copy_checked(from: &mut impl Read, to: &mut File, sha256: &str, on_bytes: impl Fn(u64)) -> Result<()> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    loop {
        let n = from.read(&mut buffer).context("the transfer broke off")?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
        done += n as u64;
        on_bytes(done);
    }
    let found = HEXLOWER.encode(&hash.finalize());
    ensure!(
        found == sha256,
        "its content is not the pinned one, so nothing of it was kept\n  its sha256 is {found}\n  pinned is    {sha256}"
    );
    Ok(())
}

/// Gets `url`, whose content must have this hash, and gives the file.
pub fn get(session: &Session, url: &str, sha256: &str) -> Result<PathBuf> {
    let name = url.rsplit('/').next().unwrap_or("download");
    let path = place(&session.workspace, sha256, name);
    let _lock = Lock::acquire(&path, &session.progress)?;
    if let Some(path) = kept(&session.workspace, sha256, name)? {
        return Ok(path);
    }
    let step = session.progress.step(format!("download {name}"));
    let mut response = request(url)?;
    let total = response.content_length();
    files::write_file_with(&path, |file| {
        copy_checked(&mut response, file, sha256, |done| step.bytes(done, total))
    })
    .with_context(|| format!("{url} was not downloaded"))?;
    step.done("checked");
    Ok(path)
}

/// A client for the machine's own proxies and certificates. No answer, or no further byte of one, for as long
/// as `stall` is an error, and what was asked over HTTPS is not taken from anywhere else.
pub fn client(stall: Duration) -> Result<Client> {
    static PROVIDER: Once = Once::new();
    // A second installation only says that there is one already.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder()
        .connect_timeout(CONNECT)
        .timeout(stall)
        .redirect(redirects())
        .user_agent(concat!("anyarch/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot set up HTTPS")
}

fn redirects() -> Policy {
    Policy::custom(|attempt| {
        if is_downgrade(attempt.previous(), attempt.url()) {
            let to = attempt.url().scheme().to_owned();
            attempt.error(format!("it leads from https to {to}"))
        } else if attempt.previous().len() > MOST_REDIRECTIONS {
            attempt.error("it leads from address to address")
        } else {
            attempt.follow()
        }
    })
}

/// Whether somebody on the way could put in what they like.
fn is_downgrade(previous: &[Url], next: &Url) -> bool {
    next.scheme() != "https" && previous.iter().any(|url| url.scheme() == "https")
}

fn request(url: &str) -> Result<Response> {
    let client = client(STALL)?;
    let response = client.get(url).send().with_context(|| format!("cannot reach {url}"))?;
    if !response.status().is_success() {
        bail!("{url} answers {}", response.status());
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_over_https_is_not_taken_over_http() {
        let url = |text: &str| Url::parse(text).expect("an address");
        let (tls, plain) = ([url("https://example.org")], [url("http://example.org")]);
        assert!(is_downgrade(&tls, &plain[0]) && !is_downgrade(&tls, &tls[0]));
        assert!(!is_downgrade(&plain, &tls[0]) && !is_downgrade(&plain, &plain[0]));
        assert!(is_downgrade(&[plain[0].clone(), tls[0].clone()], &plain[0]), "on the way back, too");
    }
}
