//! What a tarball holds, read member by member: nothing is unpacked to the disk.

use anyarch_client::archive;
use anyarch_client::hash;
use anyarch_client::xz;
use anyarch_manifest::layout;
use anyhow::{Context as _, Result, anyhow, ensure};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use tar::{Archive, EntryType};

/// The most that a tarball's build facts may take: they take some 10 kB.
const MAX_BUILD_INFO: u64 = 1 << 20;

/// What a tarball contains.
#[derive(Debug)]
pub struct TarballContents<T> {
    /// Content of its `build.json`.
    pub build_info: T,
    /// SHA-256 of the emulator, or the users' program, in it, lower-case hex.
    pub emulator: String,
    /// Total size of all files in it, in bytes.
    pub unpacked: u64,
}

/// Reads the tarball of a target, or of the users' program by its name, whole.
pub fn read<T: DeserializeOwned>(path: &Path, target: &str) -> Result<TarballContents<T>> {
    let file = File::open(path).context("it cannot be read")?;
    let mut tar = Archive::new(xz::Decoder::new(BufReader::new(file), xz::RELEASED)?);
    let emulator = PathBuf::from(layout::emulator(target));
    let described = PathBuf::from(layout::build_facts(target));
    let (mut build_info, mut hash, mut unpacked, mut seen) = (None, None, 0, BTreeSet::new());
    for entry in tar.entries().context("it is not a tar archive")? {
        let mut entry = entry.context("it is truncated or not a tar archive")?;
        let path = entry.path().context("a member has a bad name")?.into_owned();
        let kind = entry.header().entry_type();
        let shown = path.to_string_lossy().into_owned();
        // Nobody could install what has more in it than `fetch` takes.
        archive::belongs(target, kind, shown.strip_suffix('/').unwrap_or(&shown))
            .map_err(|reason| anyhow!("it holds {shown}, which {reason}"))?;
        ensure!(seen.insert(path.clone()), "it holds {shown} twice");
        if kind == EntryType::Directory {
            continue;
        }
        unpacked += entry.size();
        if path == described {
            let mut text = Vec::new();
            entry.by_ref().take(MAX_BUILD_INFO).read_to_end(&mut text).context("it is truncated")?;
            build_info = Some(serde_json::from_slice(&text).context("its build.json cannot be read")?);
        } else if path == emulator {
            hash = Some(hash::sha256_of(&mut entry).context("it is truncated")?);
        }
    }
    let build_info = build_info.with_context(|| format!("it holds no {}", described.display()))?;
    let hash = hash.with_context(|| format!("it holds no {}", emulator.display()))?;
    Ok(TarballContents { build_info, emulator: hash, unpacked })
}
