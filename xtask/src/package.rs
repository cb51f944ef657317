//! Stage 6: a verified emulator as a small archive, the same bytes wherever and whenever it is made.

mod archive;
pub mod contents;

pub(crate) use archive::{Member, WINDOW, append, write_archive, write_each, xz_with};

use crate::compile::{self, BuildInfo, Library};
use crate::facts::{Host, Series, Target};
use crate::patch::PatchedTree;
use crate::plan::{self, Plan, Profile, TreePlan};
use crate::session::Session;
use crate::toolchain::Toolchain;
use crate::verify::{Report, Verified};
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::lock::Lock;
use anyarch_manifest::layout;
use anyhow::{Context as _, Result, ensure};
use archive::members;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What the format may change in; counted up when the layout or the compression does.
const LAYOUT: u32 = 2;

/// A packed emulator. Only [`pack`] makes one, from a [`Verified`] one; [`found`] and [`Recorded::of`] take it
/// again by its record, when its bytes are still those and it was made from the pins of the series.
#[derive(Debug, Clone, Serialize)]
pub struct Tarball {
    target: Target,
    host: String,
    path: PathBuf,
    #[serde(flatten)]
    record: Record,
}

impl Tarball {
    /// Target: what it emulates.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Host, by Docker's platform name without `linux/`: `amd64`, `arm/v7`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The record of the tarball.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

/// An archive that is what the record beside it says. It may be of any pins; [`Recorded::of`] makes a [`Tarball`]
/// of it.
#[derive(Debug)]
pub struct Recorded {
    target: Target,
    path: PathBuf,
    record: Record,
}

impl Recorded {
    /// Reads the record of this archive, and compares the archive with it.
    pub fn read(path: &Path) -> Result<Self> {
        let record: Record = as_recorded(path, |record: &Record| {
            (record.sha256.clone(), expected_name(record), format!(", {} for {}", record.target, record.host))
        })?;
        let target = Target::named(&record.target).ok();
        let target =
            target.with_context(|| format!("its record is of an unknown target, {}", record.target))?;
        Ok(Self { target, path: path.to_owned(), record })
    }

    /// The record of the tarball.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The tarball, if it was made from what this series pins now.
    pub fn of(self, series: &Series, profile: Profile) -> Result<Tarball, OtherPins> {
        let Self { target, path, record } = self;
        match record.build_info.other_pin(series, profile) {
            Some(difference) => Err(OtherPins(difference)),
            None => Ok(Tarball { target, host: record.host.clone(), path, record }),
        }
    }
}

/// What of an archive's pins is another one.
#[derive(Debug, thiserror::Error)]
#[error("built from other pins than this checkout: {0}")]
pub struct OtherPins(String);

fn expected_name(record: &Record) -> String {
    let host = record.host.replace('/', "-");
    format!("qemu-{}-{}-linux-{host}{EXTENSION}", record.target, record.build_info.release)
}

/// What is known about a packaged emulator. It is stored in a JSON file beside the tarball, so that tarballs
/// of several machines can be joined into a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Target, by QEMU's name.
    pub target: String,
    /// Host, by Docker's platform name without `linux/`: `amd64`, `arm/v7`.
    pub host: String,
    /// Hash of everything that the tarball depends on. If it is unchanged, the tarball is up to date.
    pub key: String,
    /// SHA-256 of the tarball, lower-case hex.
    pub sha256: String,
    /// Size of the tarball in bytes.
    pub size: u64,
    /// The result of verifying the emulator in it.
    pub emulator: Report,
    /// What the emulator was built from and with.
    #[serde(rename = "facts")]
    pub build_info: BuildInfo,
    /// The libraries that the emulator was linked with; empty if that is not known.
    #[serde(default)]
    pub linked: Vec<Library>,
}

/// Hash of everything that a tarball depends on: the build tree, the host's settings, the checks, the archive
/// layout and the time stamp of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    hash: String,
    /// The time of all files in the tarball, in seconds since 1970.
    epoch: u64,
}

impl Key {
    /// The key of the pairs of a tree. `suite_key` stands for the checks.
    pub fn new(plan: &Plan, tree: &TreePlan, toolchain: &Toolchain, suite_key: &str) -> Result<Self> {
        let tree_key = compile::key(plan, tree, toolchain)?;
        let epoch = plan.series().pins.epoch;
        let hash = hash::short_key(&(LAYOUT, tree_key, suite_key, &tree.host().elf, epoch))?;
        Ok(Self { hash, epoch })
    }

    /// Whether the tarball of this record was made with this key.
    pub fn is_of(&self, record: &Record) -> bool {
        self.hash == record.key
    }
}

/// Path of the record of a tarball, beside it.
pub fn record_path(tarball: &Path) -> PathBuf {
    let name = tarball.file_name().unwrap_or_default().to_string_lossy();
    tarball.with_file_name(format!("{}.json", name.strip_suffix(EXTENSION).unwrap_or(&name)))
}

/// File name extension of tarballs.
pub const EXTENSION: &str = ".tar.xz";

/// Checks, before anything is compiled or copied, that a release can be written to the output folder.
pub fn is_writable(session: &Session, release: &str) -> Result<()> {
    files::is_writable(
        &session.workspace.out.join(release),
        "pass --out DIR with a folder that you can write to",
    )
    .context("cannot write the tarball")
}

/// Whether the tarballs of all pairs of a plan exist, up to date or not.
pub fn all_exist(session: &Session, plan: &Plan) -> bool {
    let is_there = |target: &Target, host| place(session, plan.release(), *target, host).is_file();
    plan.trees().iter().all(|tree| tree.targets().iter().all(|target| is_there(target, tree.host())))
}

fn place(session: &Session, release: &str, target: Target, host: &Host) -> PathBuf {
    session.workspace.out.join(release).join(plan::tarball(&target, release, host))
}

/// The tarball of a pair, if it was made with this key, is still the same file, was proven by all that this
/// machine can do now (nothing more, if it does not run the host's programs), and it is known what is in it.
pub fn ready(
    session: &Session,
    plan: &Plan,
    target: Target,
    host: &Host,
    runs_here: bool,
    key: &Key,
) -> Option<Tarball> {
    let path = place(session, plan.release(), target, host);
    let found = found(&path, plan.series(), plan.profile())?;
    let proven = session.offline || !runs_here || !found.record.emulator.is_incomplete();
    let known = session.offline || !found.record.linked.is_empty();
    (proven && known && key.is_of(&found.record)).then_some(found)
}

/// The record of a tarball, read from the JSON file beside it.
pub fn record(tarball: &Path) -> Option<Record> {
    files::read_json(&record_path(tarball))
}

/// The record beside an archive, if the archive is still what it says. `said` reads off a record the archive's SHA-256,
/// its file name, and what it is for, as the error of another name shows it.
pub fn as_recorded<R: DeserializeOwned>(
    archive: &Path,
    said: impl Fn(&R) -> (String, String, String),
) -> Result<R> {
    let place = record_path(archive);
    let record: R = files::read_json(&place).with_context(|| {
        format!(
            "its record {} is missing, truncated or written by another version of anyarch",
            place.display()
        )
    })?;
    let (sha256, expected, what) = said(&record);
    let same = hash::sha256_file(archive).is_ok_and(|found| found == sha256);
    ensure!(same, "it does not match its record: copy both files again");
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    ensure!(name == expected, "its record describes {expected}{what}");
    Ok(record)
}

/// The tarball in this file, if its record stands beside it, it is still the same, and it was made from what the
/// series pins now.
pub fn found(path: &Path, series: &Series, profile: Profile) -> Option<Tarball> {
    Recorded::read(path).ok()?.of(series, profile).ok()
}

/// Packs a verified emulator into the folder of its release.
pub fn pack(session: &Session, verified: &Verified, source: &PatchedTree, key: &Key) -> Result<Tarball> {
    let emulator = verified.emulator();
    let (target, host, build_info) = (emulator.target(), emulator.host(), emulator.build_info());
    let path = place(session, &build_info.release, target, host);
    let content =
        fs::read(emulator.path()).with_context(|| format!("cannot read {}", emulator.path().display()))?;
    ensure!(
        hash::sha256(&content) == verified.report().sha256,
        "{} changed since it was verified; run the command again",
        emulator.path().display()
    );
    let members = members(target, &content, build_info, source.path())?;
    files::write_file_with(&path, |file| {
        write_archive(file, &members, host.elf.xz_filter, key.epoch)?;
        Ok(())
    })
    .context("cannot write the tarball")?;
    let record = Record {
        target: target.name.to_owned(),
        host: host.platform.clone(),
        key: key.hash.clone(),
        sha256: hash::sha256_file(&path)?,
        size: fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len(),
        emulator: verified.report().clone(),
        build_info: build_info.clone(),
        linked: emulator.libraries().to_vec(),
    };
    files::write_json(&record_path(&path), &record)?;
    Ok(Tarball { target, host: host.platform.clone(), path, record })
}

/// The tarballs in a folder, by name; a folder that is not there has none.
pub fn tarballs(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.with_context(|| format!("cannot list {}", folder.display()))?,
    };
    let mut paths = Vec::new();
    for entry in listed {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(EXTENSION) && !layout::is_bundle(&name) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A file's name and its SHA-256.
pub fn listed(path: &Path, sha256: &str) -> (String, String) {
    (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), sha256.to_owned())
}

/// Writes `SHA256SUMS` of these archives, all of one release, as `sha256sum --check` reads it, unless the folder is
/// a whole release with these very archives. Gives the names of others in that folder, which are not vouched for.
pub fn write_sums(
    session: &Session,
    release: &str,
    listed: &[(String, String)],
) -> Result<(PathBuf, Vec<String>)> {
    let folder = session.workspace.out.join(release);
    let sums = folder.join(anyarch_manifest::SUMS);
    let _lock = Lock::acquire(&session.workspace.trees.join(format!("sums-{release}")), &session.progress)?;
    let text = self::sums(listed.iter().map(|(name, sha256)| (name.as_str(), sha256.as_str())));
    let mut others = Vec::new();
    for path in tarballs(&folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !listed.iter().any(|(known, _)| *known == name) {
            others.push(name);
        }
    }
    let there = fs::read_to_string(&sums).unwrap_or_default();
    let described = folder.join(anyarch_manifest::FILE).exists();
    if described && text.lines().all(|line| there.lines().any(|known| known == line)) {
        return Ok((sums, others));
    }
    if described {
        for stale in DESCRIPTIONS {
            files::remove(&folder.join(stale))?;
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            if layout::is_bundle(&entry.file_name().to_string_lossy()) {
                files::remove(&entry.path())?;
            }
        }
        session.progress.say(
            "note: the description of the release in this folder was removed, because its tarballs changed: \
             run `cargo xtask release`",
        );
    }
    if there != text {
        files::write_file(&sums, text.as_bytes())?;
    }
    Ok((sums, others))
}

/// The text of the sums of these files, hash by name, as the program `sha256sum` writes and reads it.
pub fn sums<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let sorted: BTreeMap<&str, &str> = files.into_iter().collect();
    sorted.into_iter().map(|(name, sha256)| format!("{sha256}  {name}\n")).collect()
}

/// What `release` writes that is wrong as soon as a tarball is another one.
const DESCRIPTIONS: [&str; 3] = [anyarch_manifest::FILE, anyarch_manifest::SIGNATURE, "index.html"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::series;
    use serde_json::{Value, json};

    fn series() -> Series {
        let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches");
        Series::read(&patches, series::DEFAULT).expect("a series")
    }

    /// The record of what qemu-arm for amd64 is packed in, once it was changed.
    fn record_of(content: &[u8], change: impl FnOnce(&mut Value)) -> Value {
        let series = series();
        let mut record = json!({
            "target": "arm",
            "host": "amd64",
            "key": "0123",
            "sha256": hash::sha256(content),
            "size": content.len(),
            "emulator": { "sha256": "", "size": 1, "checks": [] },
            "facts": {
                "release": series.release(),
                "tag": series.pins.tag,
                "commit": series.pins.git.commit,
                "patches": series.patches.iter().map(|one| (&one.name, &one.sha256)).collect::<Vec<_>>(),
                "profile": "release",
                "triple": "x86_64-linux-gnu",
                "compiler": "gcc",
                "compiler_options": [],
                "linker": "ld",
                "sysroot": [],
                "configure": [],
                "cflags": [],
                "ldflags": [],
            },
        });
        change(&mut record);
        record
    }

    /// Reads an archive back whose record was changed in this way.
    fn read_back(change: impl FnOnce(&mut Value)) -> Result<Tarball> {
        let home = tempfile::tempdir().expect("a folder");
        let name = format!("qemu-arm-{}-linux-amd64.tar.xz", series().release());
        let path = home.path().join(name);
        fs::write(&path, b"an archive").expect("written");
        files::write_json(&record_path(&path), &record_of(b"an archive", change)).expect("written");
        let found = found(&path, &series(), Profile::Release);
        let read = Recorded::read(&path).and_then(|one| Ok(one.of(&series(), Profile::Release)?));
        assert_eq!(found.is_some(), read.is_ok());
        read
    }

    #[test]
    fn an_archive_with_a_tampered_or_foreign_record_is_no_tarball() {
        let tarball = read_back(|_| ()).expect("nothing was changed");
        assert_eq!((tarball.target().name, tarball.host()), ("arm", "amd64"));
        type Change = fn(&mut Value);
        let changes: [(Change, &str); 11] = [
            (|record| record["sha256"] = json!("0".repeat(64)), "it does not match its record"),
            (|record| record["target"] = json!("sh4"), "its record describes qemu-sh4-"),
            (|record| record["host"] = json!("arm64"), "its record describes qemu-arm-"),
            (|record| drop(record["facts"].take()), "is missing, truncated or written by another version"),
            (
                |record| record["facts"]["release"] = json!("10.2.2-9"),
                "its record describes qemu-arm-10.2.2-9",
            ),
            (|record| record["facts"]["tag"] = json!("v1.0"), "tag v1.0, not v"),
            (|record| record["facts"]["commit"] = json!("0123"), "commit 0123, not "),
            (|record| record["facts"]["profile"] = json!("dev"), "profile dev, not release"),
            (|record| record["facts"]["patches"][0][1] = json!("0123"), "is missing, added or different"),
            (|record| drop(patches(record).pop()), "is missing, added or different"),
            (|record| patches(record).reverse(), "the patches are in another order"),
        ];
        for (change, told) in changes {
            let error = read_back(change).expect_err(told).to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    fn patches(record: &mut Value) -> &mut Vec<Value> {
        record["facts"]["patches"].as_array_mut().expect("a list")
    }
}
