//! Downloads over HTTP: checked against a hash before anybody sees them, kept by that hash.

use crate::progress::Step;
use crate::session::Session;
use crate::store::{self, Lock};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail, ensure};
use reqwest::blocking::{Client, Response};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

/// A server that does not even take a connection in this time is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// A transfer that stands still for this long is broken.
const STALL: Duration = Duration::from_secs(30);

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
    if store::sha256_file(&path)? == sha256 {
        return Ok(Some(path));
    }
    store::remove(&path)?;
    Ok(None)
}

/// Takes a local file into the kept ones, if it has this hash.
pub fn keep(workspace: &Workspace, file: &Path, sha256: &str, name: &str) -> Result<PathBuf> {
    let found = store::sha256_file(file)?;
    ensure!(
        found == sha256,
        "{} is not the pinned file, so nothing of it is used\n  its sha256 is {found}\n  pinned is    {sha256}",
        file.display()
    );
    let path = place(workspace, sha256, name);
    let copy = |to: &mut File| -> Result<()> {
        std::io::copy(&mut File::open(file)?, to)?;
        Ok(())
    };
    store::write_file_with(&path, copy)?;
    Ok(path)
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
    let response = request(url)?;
    store::write_file_with(&path, |file| transfer(response, file, sha256, &step))
        .with_context(|| format!("{url} was not downloaded"))?;
    step.done("checked");
    Ok(path)
}

fn request(url: &str) -> Result<Response> {
    static PROVIDER: Once = Once::new();
    // A second installation only says that there is one already.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(STALL)
        .user_agent(concat!("anyarch/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot set up HTTPS")?;
    let response = client.get(url).send().with_context(|| format!("cannot reach {url}"))?;
    if !response.status().is_success() {
        bail!("{url} answers {}", response.status());
    }
    Ok(response)
}

fn transfer(mut response: Response, file: &mut File, sha256: &str, step: &Step<'_>) -> Result<()> {
    let total = response.content_length();
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    loop {
        let n = response.read(&mut buffer).context("the transfer broke off")?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        file.write_all(&buffer[..n])?;
        done += n as u64;
        step.bytes(done, total);
    }
    let found = hex::encode(hash.finalize());
    ensure!(
        found == sha256,
        "its content is not the pinned one, so nothing of it was kept\n  its sha256 is {found}\n  pinned is    {sha256}"
    );
    Ok(())
}
