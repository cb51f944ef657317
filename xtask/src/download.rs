//! Downloads over HTTP: checked against a hash before anybody sees them, kept by that hash.

use crate::session::Session;
use crate::workspace::Workspace;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::http::{self, STALL};
use anyarch_client::lock::Lock;
use anyhow::{Context as _, Result, bail, ensure};
use data_encoding::HEXLOWER;
use reqwest::blocking::Response;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

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

fn request(url: &str) -> Result<Response> {
    let response = http::client(STALL)?.get(url).send().with_context(|| format!("cannot reach {url}"))?;
    if !response.status().is_success() {
        bail!("{url} answers {}", response.status());
    }
    Ok(response)
}
