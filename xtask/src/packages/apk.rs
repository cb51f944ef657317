//! Packages for Alpine, as apk-tools 2 reads them: up to three gzip streams of tar, one after the other. The first
//! holds a signature of the second, which describes the package; the third holds its files, and is known to the second
//! by its hash.

use super::About;
use super::binfmt::Scripts;
use super::compress::gzip;
use super::contents::Package;
use super::entry::{Entry, Kind, with_folders};
use super::tree::{self, Root};
use crate::error::Missing;
use crate::facts::Host;
use crate::process::{self, output};
use anyarch_client::hash;
use anyarch_manifest::layout::PROGRAM;
use anyhow::{Context as _, Result, ensure};
use data_encoding::HEXLOWER;
use sha1::{Digest as _, Sha1};
use std::path::Path;
use xshell::cmd;

/// What tar ends an archive with. Only the last stream has it, so that the three are one archive.
const END: usize = 1024;

/// The package's file name and its bytes: signed if there is a key, else for those who trust where it comes from
/// (`apk add --allow-untrusted`).
///
/// # Errors
/// When a file of the release cannot be read, or the key does not sign.
pub fn pack(package: &Package, host: &Host, about: &About, key: Option<&Path>) -> Result<(String, Vec<u8>)> {
    let arch = host.packages.apk.as_deref().context("Alpine has no name for this machine")?;
    let entries = with_folders(&package.entries);
    let sizes = entries.iter().map(|entry| Ok(entry.bytes()?.len())).collect::<Result<Vec<usize>>>()?;
    let data = gzip(&tree::write(Vec::new(), &entries, Root::None, about.epoch, checksum)?)?;
    let info = info(package, arch, about, sizes.iter().sum(), &hash::sha256(&data));
    let mut described = vec![Entry { path: ".PKGINFO".to_owned(), kind: Kind::Written(info.into_bytes()) }];
    if let Some(scripts) = &package.scripts {
        let register = Scripts::register_by_openrc();
        for (name, part) in [
            (".post-install", register),
            (".post-upgrade", register),
            (".pre-deinstall", scripts.unregister().as_str()),
        ] {
            let text = format!("#!/bin/sh\n{part}exit 0\n");
            described.push(Entry { path: name.to_owned(), kind: Kind::Script(text.into_bytes()) });
        }
    }
    let control = gzip(&without_end(&described, about.epoch)?)?;
    let signature = key.map(|key| signature(key, &control, about.epoch)).transpose()?.unwrap_or_default();
    let name = format!("{arch}/{}-{}.apk", package.name, about.version.apk());
    Ok((name, [signature, control, data].concat()))
}

/// The hash that apk compares an installed file with, or where a link leads.
fn checksum(entry: &Entry, bytes: &[u8]) -> Vec<(&'static str, String)> {
    let of = match &entry.kind {
        Kind::Folder => return Vec::new(),
        Kind::Link(to) => to.as_bytes(),
        _ => bytes,
    };
    vec![("APK-TOOLS.checksum.SHA1", HEXLOWER.encode(&Sha1::digest(of)))]
}

/// What describes the package.
fn info(package: &Package, arch: &str, about: &About, size: usize, data: &str) -> String {
    let version = about.version.apk();
    let mut fields = vec![
        ("pkgname", package.name.to_owned()),
        ("pkgver", version.clone()),
        ("pkgdesc", package.summary.to_owned()),
    ];
    fields.extend(about.homepage.iter().map(|address| ("url", address.clone())));
    fields.extend([
        ("builddate", about.epoch.to_string()),
        ("packager", about.maintainer.clone()),
        ("size", size.to_string()),
        ("arch", arch.to_owned()),
        ("origin", PROGRAM.to_owned()),
        ("license", package.license.to_owned()),
    ]);
    fields.extend(package.depends.iter().map(|name| ("depend", format!("{name}={version}"))));
    if package.name == PROGRAM {
        fields.push(("provides", format!("cmd:{PROGRAM}={version}")));
    }
    fields.push(("datahash", data.to_owned()));
    fields.iter().map(|(name, value)| format!("{name} = {value}\n")).collect()
}

fn without_end(entries: &[Entry], epoch: u32) -> Result<Vec<u8>> {
    let mut tar = tree::write(Vec::new(), entries, Root::None, epoch, tree::plain)?;
    tar.truncate(tar.len() - END);
    Ok(tar)
}

/// The stream that vouches for the next one. The key's file name tells apk which public key to look for in
/// `/etc/apk/keys`.
fn signature(key: &Path, control: &[u8], epoch: u32) -> Result<Vec<u8>> {
    let openssl = which::which("openssl").map_err(|_| Missing::new("openssl", "apt-get install openssl"))?;
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let (signed, made) = (folder.path().join("control"), folder.path().join("signature"));
    std::fs::write(&signed, control).context("cannot write what is to be signed")?;
    let shell = process::shell()?;
    // Alpine's signatures are of SHA-1 in this place, whatever the key.
    let said = output(&mut cmd!(shell, "{openssl} dgst -sha1 -sign {key} -out {made} {signed}").into())?;
    let why = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "{} does not sign: {}", key.display(), why.trim());
    let name = key.file_name().context("a key has a name")?.to_string_lossy();
    let path = format!(".SIGN.RSA.{name}.pub");
    let entry = Entry { path, kind: Kind::Written(super::read(&made)?) };
    gzip(&without_end(&[entry], epoch)?)
}
