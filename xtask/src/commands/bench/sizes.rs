//! What is downloaded of ours for a target, against a peer's emulator alone, packed as small as people pack it.
//! Nothing is compiled, and nothing is written: where `dist/peers.toml` says other than what was measured, the line that
//! it should have is printed.

use super::{Figure, Limit};
use crate::apt::{self, Apt};
use crate::error::Missing;
use crate::facts::{Series, series};
use crate::package;
use crate::plan::Profile;
use crate::process;
use crate::release::peers::{FILE, Packed, Peer, Peers};
use crate::session::Session;
use anyarch_client::files::TempFolder;
use anyarch_manifest::layout;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use xshell::cmd;
use xz2::write::XzEncoder;

/// `xz -9e`: the preset, and liblzma's `LZMA_PRESET_EXTREME`.
const XZ_9E: u32 = 9 | 1 << 31;

/// Bytes of our archives, by target.
type Ours = BTreeMap<String, u64>;

/// Every archive of the release in the output folder, against every peer that has the same emulator.
pub fn measure(session: &Session) -> Result<Vec<Figure>> {
    let peers = Peers::read(&session.workspace.root)?;
    let ours = ours(session, &peers.host)?;
    let mut figures = Vec::new();
    for peer in &peers.peers {
        let (version, targets) = pack(session, peer, &peers.host, &ours)?;
        tell_changes(session, peer, &version, &targets);
        figures.extend(targets.iter().map(|(target, packed)| figure(peer, target, ours[target], *packed)));
    }
    figures.extend(together(session, &peers.host, &ours)?);
    Ok(figures)
}

/// The archive of all emulators against those of each, if `cargo xtask release` has made it.
fn together(session: &Session, host: &str, ours: &Ours) -> Result<Option<Figure>> {
    let series = Series::read(&session.workspace.root.join("patches"), series::DEFAULT)?;
    let name = layout::bundle(&series.release(), host) + package::EXTENSION;
    let Ok(meta) = std::fs::metadata(session.workspace.out.join(series.release()).join(&name)) else {
        session.progress.say(&format!("there is no {name}: cargo xtask release makes it"));
        return Ok(None);
    };
    let single: u64 = ours.values().sum();
    Ok(Some(Figure {
        what: format!("all {} emulators in one archive / one by one", ours.len()),
        value: meta.len() as f64 / single as f64,
        unit: "x",
        limit: Limit::AtMost(0.35),
        from: format!("{:.2} / {:.2} MB", meta.len() as f64 / 1e6, single as f64 / 1e6),
        details: None,
    }))
}

fn ours(session: &Session, host: &str) -> Result<Ours> {
    let series = Series::read(&session.workspace.root.join("patches"), series::DEFAULT)?;
    let folder = session.workspace.out.join(series.release());
    let tarballs = package::tarballs(&folder)?;
    let found = tarballs.iter().filter_map(|path| package::found(path, &series, Profile::Release));
    let of_host = found.filter(|tarball| tarball.host() == host);
    let ours: Ours =
        of_host.map(|tarball| (tarball.target().name.to_owned(), tarball.record().size)).collect();
    if ours.is_empty() {
        return Err(Missing::new(
            format!("an archive for {host} in {}", folder.display()),
            format!("cargo xtask build --target all --host {host}"),
        )
        .into());
    }
    Ok(ours)
}

/// The version of the peer's package, and its emulators for our targets.
fn pack(
    session: &Session,
    peer: &Peer,
    host: &str,
    ours: &Ours,
) -> Result<(String, BTreeMap<String, Packed>)> {
    let apt = Apt::open(session, &peer.suite, host)?;
    let got = apt.download(std::slice::from_ref(&peer.package))?;
    let (item, deb) = got.first().with_context(|| format!("{} has no {}", peer.suite, peer.package))?;
    let version = item.file.split('_').nth(1).unwrap_or_default().replace("%3a", ":");
    let scratch = TempFolder::new(&session.workspace.trees)?;
    apt::unpack(deb, scratch.path())?;
    let step = session.progress.step(format!("pack the emulators of {}", peer.name));
    let mut targets = BTreeMap::new();
    for (number, target) in ours.keys().enumerate() {
        step.count(number as u64, ours.len() as u64, target);
        let path = scratch.path().join(format!("usr/bin/qemu-{target}{}", peer.suffix));
        if path.is_file() {
            targets.insert(target.clone(), packed(&path)?);
        }
    }
    step.done(&format!("{} of {}", targets.len(), ours.len()));
    if targets.is_empty() {
        bail!("{} has no emulator usr/bin/qemu-*{}: correct `suffix` in {FILE}", item.file, peer.suffix);
    }
    Ok((version, targets))
}

/// One after the other: at this preset xz takes two thirds of a gigabyte of memory.
fn packed(path: &Path) -> Result<Packed> {
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut xz = XzEncoder::new(Count::default(), XZ_9E);
    xz.write_all(&content).context("xz cannot pack")?;
    let xz = xz.finish().context("xz cannot pack")?.0;
    Ok(Packed { size: content.len() as u64, xz, gzip: gzipped(path)? })
}

/// By the program, as publishers do it; every Debian has it.
fn gzipped(path: &Path) -> Result<u64> {
    let shell = process::shell()?;
    let done = process::output(&mut cmd!(shell, "gzip -9 --no-name --stdout {path}").into())?;
    if !done.status.success() {
        bail!("gzip {}: {}", process::ended(done.status), String::from_utf8_lossy(&done.stderr));
    }
    Ok(done.stdout.len() as u64)
}

/// Counts bytes.
#[derive(Debug, Default)]
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tell_changes(session: &Session, peer: &Peer, version: &str, targets: &BTreeMap<String, Packed>) {
    let changed: Vec<String> = targets
        .iter()
        .filter(|(target, packed)| peer.targets.get(*target) != Some(packed))
        .map(|(target, Packed { size, xz, gzip })| {
            format!("{target} = {{ size = {size}, xz = {xz}, gzip = {gzip} }}")
        })
        .collect();
    if !changed.is_empty() || peer.version != version {
        session.progress.say(&format!(
            "{FILE} differs from the measurement; for {} it should say\nversion = \"{version}\"\n{}",
            peer.name,
            changed.join("\n")
        ));
    }
}

fn figure(peer: &Peer, target: &str, ours: u64, theirs: Packed) -> Figure {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    Figure {
        what: format!("archive of qemu-{target} / {}'s emulator by xz -9e", peer.name),
        value: ours as f64 / theirs.xz as f64,
        unit: "x",
        limit: Limit::AtMost(peer.at_most),
        from: format!(
            "{:.2} / {:.2} MB; {:.2} MB by gzip -9, {:.2} MB as it is",
            megabytes(ours),
            megabytes(theirs.xz),
            megabytes(theirs.gzip),
            megabytes(theirs.size)
        ),
        details: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_packed_to_what_the_programs_make_of_it() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("zeros");
        std::fs::write(&path, vec![0; 1 << 20]).expect("written");
        let one = packed(&path).expect("packed");
        // xz's header, index and footer alone take some 60 bytes; gzip makes at best 1 of 1032.
        assert!(one.size == 1 << 20 && (60..400).contains(&one.xz), "{one:?}");
        assert!((1_000..1_200).contains(&one.gzip), "{one:?}");
    }
}
