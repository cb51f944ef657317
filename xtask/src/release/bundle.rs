//! All emulators of a host in one archive. They have much in common, which one window over all of them finds.

use super::manifest::archives;
use crate::facts::Host;
use crate::facts::hosts::XzFilter;
use crate::package::{self, Member, Tarball, write_each, xz_with};
use crate::session::BuildSession;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::progress::{count, human_bytes};
use anyarch_client::xz;
use anyarch_manifest::{Bundle, layout};
use anyhow::{Context as _, Result, ensure};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::Path;
use tar::Archive;

/// The window: unpacking takes as much memory, and readers take no archive that needs more than 64 MiB. Of 33 emulators,
/// 64 MiB save 1 % and 128 MiB 2 %; 16 MiB cost 2 % (docs/benchmarks.md).
const WINDOW: u32 = 32 << 20;

/// Writes `anyarch-all-<release>-linux-<host>.tar.xz` into the release's folder, for each host that has several emulators.
/// `tarballs` are in the order of their names, and what they unpack to goes with them.
pub fn write_all(
    session: &BuildSession,
    tarballs: &[(&Tarball, u64)],
    release: &str,
    epoch: u64,
    folder: &Path,
) -> Result<Vec<Bundle>> {
    let mut hosts: BTreeMap<&str, Vec<(&Tarball, u64)>> = BTreeMap::new();
    for one in tarballs {
        hosts.entry(one.0.host()).or_default().push(*one);
    }
    let hosts: Vec<_> = hosts.into_iter().filter(|(_, of_host)| of_host.len() > 1).collect();
    let known = Host::all(&session.workspace.root.join("toolchains"))?;
    let bundle = |(host, of_host): &(&str, Vec<(&Tarball, u64)>)| {
        let _slot = session.slots.take()?;
        let filter = Host::named(host, &known)?.elf.xz_filter;
        let name = layout::bundle(release, host) + package::EXTENSION;
        let emulators = count(of_host.len(), "emulator");
        let step = session.progress.step(format!("pack {emulators} for {host} as one archive"));
        let bundle = write(host, of_host, filter, epoch, &folder.join(name))?;
        step.done(&human_bytes(bundle.archives[0].size));
        Ok(bundle)
    };
    hosts.par_iter().map(bundle).collect()
}

fn write(
    host: &str,
    tarballs: &[(&Tarball, u64)],
    filter: Option<XzFilter>,
    epoch: u64,
    path: &Path,
) -> Result<Bundle> {
    files::write_file_with(path, |file| {
        // One emulator after the other: nobody holds all of them.
        let members = tarballs.iter().flat_map(|(tarball, _)| match members(tarball.path()) {
            Ok(members) => members.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error.context(format!("cannot read {}", tarball.path().display())))],
        });
        write_each(file, members, xz_with(filter, WINDOW)?, epoch)
    })?;
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    Ok(Bundle {
        host: host.to_owned(),
        targets: tarballs.iter().map(|(one, _)| one.target().name.to_owned()).collect(),
        unpacked_size: tarballs.iter().map(|(_, unpacked)| unpacked).sum(),
        archives: archives(path, size, &hash::sha256_file(path)?, None)?,
    })
}

/// The files of a tarball, which was checked when the release was gathered.
fn members(tarball: &Path) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut tar = Archive::new(xz::Decoder::new(BufReader::new(File::open(tarball)?), xz::RELEASED)?);
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let name = entry.path()?.to_string_lossy().into_owned();
        let mode = entry.header().mode()?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        ensure!(content.len() as u64 == entry.size(), "{name} is truncated");
        members.push(Member { name, mode, content });
    }
    Ok(members)
}
