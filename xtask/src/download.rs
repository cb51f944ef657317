//! Downloads over HTTP: checked against a hash before anybody sees them, kept by that hash.

use crate::session::Session;
use crate::workspace::Workspace;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::http::{self, STALL_TIMEOUT};
use anyarch_client::lock::Lock;
use anyhow::{Context as _, Result, bail, ensure};
use data_encoding::HEXLOWER;
use reqwest::blocking::Response;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

/// Path in the cache of a file with this SHA-256 (lower-case hex) and name.
pub fn cached_path(workspace: &Workspace, sha256: &str, name: &str) -> PathBuf {
    workspace.downloads().join(sha256).join(name)
}

/// The file with this SHA-256 (lower-case hex), if it is in the cache. It is hashed again; a file that
/// changed on the disk is removed and counts as missing.
pub fn cached(workspace: &Workspace, sha256: &str, name: &str) -> Result<Option<PathBuf>> {
    let path = cached_path(workspace, sha256, name);
    if !path.is_file() {
        return Ok(None);
    }
    if hash::sha256_file(&path)? == sha256 {
        return Ok(Some(path));
    }
    files::remove(&path)?;
    Ok(None)
}

/// Copies a local file into the cache if it has this SHA-256 (lower-case hex). The copy is what was hashed,
/// even if the file changes meanwhile.
pub fn add_file(workspace: &Workspace, file: &Path, sha256: &str, name: &str) -> Result<PathBuf> {
    let path = cached_path(workspace, sha256, name);
    let mut from = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    files::write_file_with(&path, |to| copy_checked(&mut from, to, sha256, |_| ()))
        .with_context(|| format!("{} was not stored in the cache", file.display()))?;
    Ok(path)
}

/// Copies a stream whose content must have this hash; `on_bytes` hears how many went by.
fn copy_checked(from: &mut impl Read, to: &mut File, sha256: &str, on_bytes: impl Fn(u64)) -> Result<()> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    loop {
        let n = from.read(&mut buffer).context("the transfer was interrupted")?;
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
        "its hash is not the pinned one, so it was discarded\n  its sha256 is {found}\n  pinned is    {sha256}"
    );
    Ok(())
}

/// Downloads `url` into the cache, if it is not there, and returns the file. Its content must have this
/// SHA-256 (lower-case hex).
pub fn get(session: &Session, url: &str, sha256: &str) -> Result<PathBuf> {
    let name = url.rsplit('/').next().unwrap_or("download");
    let path = cached_path(&session.workspace, sha256, name);
    let _lock = Lock::acquire(&path, &session.progress)?;
    if let Some(path) = cached(&session.workspace, sha256, name)? {
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
    let response =
        http::client(STALL_TIMEOUT)?.get(url).send().with_context(|| format!("cannot reach {url}"))?;
    if !response.status().is_success() {
        bail!("{url} answers {}", response.status());
    }
    Ok(response)
}
