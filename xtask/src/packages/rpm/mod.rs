//! Packages for rpm, in the format that all of its versions since 4.14 read.
//!
//! Written here and not by the crate `rpm`: its xz compresses with one preset only and wants libclang to be compiled,
//! its zstd cannot stand beside ours, and its gzip brings all of the driver another deflate.

mod cpio;
mod header;

use super::About;
use super::compress::xz;
use super::contents::Package;
use super::entry::{Entry, Kind, with_folders};
use crate::facts::Host;
use anyarch_client::hash;
use anyarch_manifest::layout::PROGRAM;
use anyhow::{Context as _, Result};
use header::{Header, Region, Value, tag};
use std::collections::BTreeSet;

/// How a dependency is meant: `RPMSENSE_*` of rpm's `rpmds.h`.
const LESS_OR_EQUAL: u32 = 1 << 1 | 1 << 3;
const EQUAL: u32 = 1 << 3;
const RPMLIB: u32 = 1 << 24;
const INTERPRETER: u32 = 1 << 8;
const AFTER_INSTALLING: u32 = 1 << 10;
const BEFORE_REMOVING: u32 = 1 << 11;
/// What a file is: `RPMFILE_*` of `rpmfiles.h`.
const DOC: u32 = 1 << 1;
const LICENCE: u32 = 1 << 7;
/// `PGPHASHALGO_SHA256`.
const SHA256: u32 = 8;

/// What rpm must know to read this package, with the version that brought it.
const FEATURES: [(&str, &str); 4] = [
    ("rpmlib(CompressedFileNames)", "3.0.4-1"),
    ("rpmlib(FileDigests)", "4.6.0-1"),
    ("rpmlib(PayloadFilesHavePrefix)", "4.0-1"),
    ("rpmlib(PayloadIsXz)", "5.2-1"),
];

const SHELL: &str = "/bin/sh";

/// The package's file name and its bytes.
///
/// # Errors
/// When a file of the release cannot be read, or is too big for the format.
pub fn pack(package: &Package, host: &Host, about: &About) -> Result<(String, Vec<u8>)> {
    let files = files(package)?;
    let cpio = cpio::write(&files, about.epoch)?;
    let payload = xz(&cpio, host)?;

    let mut main = Header::default();
    describe(&mut main, package, host, about);
    depend(&mut main, package, about);
    list(&mut main, &files, about.epoch)?;
    let plain = hash::sha256(&cpio);
    main.set(tag::PAYLOAD_DIGEST, Value::Texts(vec![hash::sha256(&payload)]));
    main.set(tag::PAYLOAD_DIGEST_ALGORITHM, Value::Words(vec![SHA256]));
    main.set(tag::PAYLOAD_DIGEST_PLAIN, Value::Texts(vec![plain]));
    let main = main.encode(Region::Main)?;

    let size = |bytes: usize| u32::try_from(bytes).context("a package of rpm's holds less than 4 GiB");
    let mut signature = Header::default();
    signature.set(tag::SIGNATURE_SHA256, Value::Text(hash::sha256(&main)));
    signature.set(tag::SIGNATURE_SIZE, Value::Words(vec![size(main.len() + payload.len())?]));
    signature.set(tag::SIGNATURE_PAYLOAD_SIZE, Value::Words(vec![size(cpio.len())?]));
    let mut signature = signature.encode(Region::Signature)?;
    signature.resize(signature.len().next_multiple_of(8), 0);

    let name = format!("{}-{}", package.name, about.version.with_revision());
    let bytes = [header::lead(&name), signature, main, payload].concat();
    Ok((format!("{name}.{}.rpm", host.packages.rpm), bytes))
}

/// The files, and the folders that belong to no other package.
fn files(package: &Package) -> Result<Vec<File>> {
    let is_ours = |entry: &Entry| entry.path.split('/').any(|part| part.starts_with(PROGRAM));
    let entries = with_folders(&package.entries);
    let owned = entries.into_iter().filter(|entry| entry.kind != Kind::Folder || is_ours(entry));
    owned.map(|entry| Ok(File { bytes: entry.bytes()?, entry })).collect()
}

/// An entry with its bytes.
struct File {
    entry: Entry,
    bytes: Vec<u8>,
}

impl File {
    /// Type and permissions, as `st_mode` has them.
    fn mode(&self) -> u32 {
        let kind = match self.entry.kind {
            Kind::Folder => 0o040_000,
            Kind::Link(_) => 0o120_000,
            _ => 0o100_000,
        };
        kind | self.entry.mode()
    }

    /// Where it leads, if it is a link.
    fn link(&self) -> &str {
        if let Kind::Link(to) = &self.entry.kind { to } else { "" }
    }

    fn flags(&self) -> u32 {
        if !self.entry.is_file() {
            0
        } else if self.entry.is_licence() {
            LICENCE
        } else if self.entry.path.contains("/share/doc/") {
            DOC
        } else {
            0
        }
    }
}

/// What the package is.
fn describe(header: &mut Header, package: &Package, host: &Host, about: &About) {
    let text = |text: &str| Value::Text(text.to_owned());
    let translated = |text: &str| Value::Translated(text.to_owned());
    let revision = about.version.revision.to_string();
    header.set(tag::LANGUAGES, Value::Texts(vec!["C".to_owned()]));
    header.set(tag::NAME, text(package.name));
    header.set(tag::VERSION, text(&about.version.upstream));
    header.set(tag::RELEASE, text(&revision));
    header.set(tag::SUMMARY, translated(package.summary));
    header.set(tag::DESCRIPTION, translated(&package.description.join("\n")));
    header.set(tag::BUILD_TIME, Value::Words(vec![about.epoch]));
    // Of no machine.
    header.set(tag::BUILD_HOST, text("localhost"));
    header.set(tag::LICENSE, text(package.license));
    header.set(tag::PACKAGER, text(&about.maintainer));
    header.set(tag::GROUP, translated("Unspecified"));
    if let Some(address) = &about.homepage {
        header.set(tag::URL, text(address));
    }
    header.set(tag::OS, text("linux"));
    header.set(tag::ARCH, text(&host.packages.rpm));
    // That it names a source is what tells it from a source.
    header.set(tag::SOURCE, text(&format!("{PROGRAM}-{}.src.rpm", about.version.with_revision())));
    header.set(tag::RPM_VERSION, text("4.14.0"));
    header.set(tag::ENCODING, text("utf-8"));
    header.set(tag::PAYLOAD_FORMAT, text("cpio"));
    header.set(tag::PAYLOAD_COMPRESSOR, text("xz"));
    header.set(tag::PAYLOAD_FLAGS, text("9"));
    let author = format!("{} - {}", about.maintainer, about.version.with_revision());
    let change = format!("- The files of release {}", about.version.with_revision());
    header.set(tag::CHANGELOG_TIME, Value::Words(vec![about.epoch]));
    header.set(tag::CHANGELOG_NAME, Value::Texts(vec![author]));
    header.set(tag::CHANGELOG_TEXT, Value::Texts(vec![change]));
    if let Some(scripts) = &package.scripts {
        // rpm says how many versions of the package are left.
        let removing = format!("if [ \"$1\" = 0 ]; then\n{}fi\n", scripts.unregister());
        header.set(tag::POST_INSTALL, text(&format!("{}exit 0\n", scripts.register_by_systemd())));
        header.set(tag::POST_INSTALL_PROGRAM, text(SHELL));
        header.set(tag::PRE_REMOVE, text(&format!("{removing}exit 0\n")));
        header.set(tag::PRE_REMOVE_PROGRAM, text(SHELL));
    }
}

/// What it provides, and what it needs.
fn depend(header: &mut Header, package: &Package, about: &About) {
    let version = about.version.with_revision();
    let mut needs: Vec<(String, String, u32)> = FEATURES
        .iter()
        .map(|(name, version)| ((*name).to_owned(), (*version).to_owned(), LESS_OR_EQUAL | RPMLIB))
        .collect();
    needs.extend(package.depends.iter().map(|name| ((*name).to_owned(), version.clone(), EQUAL)));
    if package.scripts.is_some() {
        for when in [AFTER_INSTALLING, BEFORE_REMOVING] {
            needs.push((SHELL.to_owned(), String::new(), INTERPRETER | when));
        }
    }
    needs.sort();
    let suggests = package.suggests.iter().map(|name| ((*name).to_owned(), String::new(), 0));
    for (tags, list) in [
        (tag::PROVIDES, vec![(package.name.to_owned(), version, EQUAL)]),
        (tag::REQUIRES, needs),
        (tag::SUGGESTS, suggests.collect()),
    ] {
        if list.is_empty() {
            continue;
        }
        let [names, versions, flags] = tags;
        header.set(names, Value::Texts(list.iter().map(|(name, ..)| name.clone()).collect()));
        header.set(versions, Value::Texts(list.iter().map(|(_, version, _)| version.clone()).collect()));
        header.set(flags, Value::Words(list.iter().map(|(.., flags)| *flags).collect()));
    }
}

/// What it installs.
fn list(header: &mut Header, files: &[File], epoch: u32) -> Result<()> {
    fn split(file: &File) -> (String, &str) {
        let (folder, name) = file.entry.path.rsplit_once('/').unwrap_or(("", &file.entry.path));
        (format!("/{folder}/"), name)
    }
    let folders: BTreeSet<String> = files.iter().map(|file| split(file).0).collect();
    let folders: Vec<String> = folders.into_iter().collect();
    let mut total: u32 = 0;
    let (mut sizes, mut modes, mut indexes) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        let size =
            u32::try_from(file.bytes.len().max(file.link().len())).context("a file is too big for rpm")?;
        total = total.checked_add(size).context("a package of rpm's holds less than 4 GiB")?;
        sizes.push(size);
        modes.push(u16::try_from(file.mode()).context("a mode has 16 bits")?);
        let (folder, _) = split(file);
        let at = folders.iter().position(|one| *one == folder).context("a folder is lost")?;
        indexes.push(u32::try_from(at)?);
    }
    let all = |word: u32| Value::Words(vec![word; files.len()]);
    let texts = |text: &dyn Fn(&File) -> String| Value::Texts(files.iter().map(text).collect());
    let digest = |file: &File| if file.entry.is_file() { hash::sha256(&file.bytes) } else { String::new() };
    let numbers = (1..).zip(files).map(|(number, _)| number).collect();
    header.set(tag::SIZE, Value::Words(vec![total]));
    header.set(tag::FILE_SIZES, Value::Words(sizes));
    header.set(tag::FILE_MODES, Value::Shorts(modes));
    header.set(tag::FILE_DEVICES_MEANT, Value::Shorts(vec![0; files.len()]));
    header.set(tag::FILE_TIMES, all(epoch));
    header.set(tag::FILE_DIGESTS, texts(&digest));
    header.set(tag::FILE_LINKS, texts(&|file| file.link().to_owned()));
    header.set(tag::FILE_FLAGS, Value::Words(files.iter().map(File::flags).collect()));
    header.set(tag::FILE_OWNERS, texts(&|_| "root".to_owned()));
    header.set(tag::FILE_GROUPS, texts(&|_| "root".to_owned()));
    header.set(tag::FILE_CHECKS, all(u32::MAX));
    header.set(tag::FILE_DEVICES, all(1));
    header.set(tag::FILE_NUMBERS, Value::Words(numbers));
    header.set(tag::FILE_LANGUAGES, texts(&|_| String::new()));
    header.set(tag::FILE_FOLDERS, Value::Words(indexes));
    header.set(tag::FILE_NAMES, texts(&|file| split(file).1.to_owned()));
    header.set(tag::FOLDERS, Value::Texts(folders));
    header.set(tag::DIGEST_ALGORITHM, Value::Words(vec![SHA256]));
    Ok(())
}
