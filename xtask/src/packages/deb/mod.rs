//! Packages for dpkg: an `ar` archive of the format's version, what describes the package, and its files.

mod texts;

use super::About;
use super::compress::{gzip, xz};
use super::contents::Package;
use super::entry::{Entry, Kind, with_folders};
use super::tree::{self, Root};
use crate::facts::Host;
use anyhow::Result;
use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};

/// What an archive begins with.
const MAGIC: &[u8] = b"!<arch>\n";

/// The package's file name and its bytes.
///
/// # Errors
/// When a file of the release cannot be read.
pub fn pack(package: &Package, host: &Host, about: &About) -> Result<(String, Vec<u8>)> {
    let arch = &host.sysroot.arch;
    let version = about.version.with_revision();
    let entries = installed(package, about)?;
    let tar = |entries: &[Entry]| tree::write(Vec::new(), entries, Root::Dot, about.epoch, tree::plain);
    let mut control = vec![
        written("control", texts::control(package, arch, about, installed_size(&entries)?)),
        written("md5sums", sums(&entries)?),
    ];
    if let Some(scripts) = &package.scripts {
        control.extend([
            script(
                "postinst",
                "configure|abort-upgrade|abort-deconfigure|abort-remove",
                &scripts.register_by_systemd(),
            ),
            script("prerm", "remove|deconfigure", &scripts.unregister()),
        ]);
    }
    let mut archive = MAGIC.to_vec();
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.xz", xz(&tar(&control)?, host)?),
        ("data.tar.xz", xz(&tar(&with_folders(&entries))?, host)?),
    ] {
        member(&mut archive, name, &bytes, about.epoch);
    }
    Ok((format!("{}_{version}_{arch}.deb", package.name), archive))
}

/// What dpkg installs: the package's files, and what Debian's policy asks for beside them. The texts of licences are
/// in the copyright file, or Debian has them already.
fn installed(package: &Package, about: &About) -> Result<Vec<Entry>> {
    let docs = format!("usr/share/doc/{}", package.name);
    let (licences, mut entries): (Vec<Entry>, Vec<Entry>) =
        package.entries.iter().cloned().partition(Entry::is_licence);
    entries.push(written(&format!("{docs}/copyright"), texts::copyright(package, &licences, about)?));
    let changelog = gzip(texts::changelog(package, about).as_bytes())?;
    let path = format!("{docs}/changelog.Debian.gz");
    entries.push(Entry { path, kind: Kind::Written(changelog) });
    if let Some(overrides) = texts::overrides(package) {
        entries.push(written(&format!("usr/share/lintian/overrides/{}", package.name), overrides));
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn written(path: &str, text: String) -> Entry {
    Entry { path: path.to_owned(), kind: Kind::Written(text.into_bytes()) }
}

/// A maintainer's script, whose part runs for these words of dpkg's.
fn script(name: &str, words: &str, part: &str) -> Entry {
    let part: String = part.lines().map(|line| format!("        {line}\n")).collect();
    let text = format!("#!/bin/sh\nset -e\n\ncase \"$1\" in\n    {words})\n{part}        ;;\nesac\n");
    Entry { path: name.to_owned(), kind: Kind::Script(text.into_bytes()) }
}

/// The room that its files take, in KiB, as dpkg counts it: each file takes whole ones.
fn installed_size(entries: &[Entry]) -> Result<u64> {
    let entries = with_folders(entries);
    let sizes = entries.iter().map(|entry| Ok(entry.bytes()?.len().div_ceil(1024).max(1) as u64));
    sizes.sum()
}

fn sums(entries: &[Entry]) -> Result<String> {
    let mut text = String::new();
    for entry in entries.iter().filter(|entry| entry.is_file()) {
        text.push_str(&format!("{}  {}\n", HEXLOWER.encode(&Md5::digest(entry.bytes()?)), entry.path));
    }
    Ok(text)
}

/// Appends a member to an `ar` archive; each begins at an even byte.
fn member(archive: &mut Vec<u8>, name: &str, bytes: &[u8], epoch: u32) {
    let (owner, mode, size) = (0, "100644", bytes.len());
    archive.extend(format!("{name:<16}{epoch:<12}{owner:<6}{owner:<6}{mode:<8}{size:<10}`\n").bytes());
    archive.extend(bytes);
    if size % 2 == 1 {
        archive.push(b'\n');
    }
}
