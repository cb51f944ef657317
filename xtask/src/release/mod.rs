//! Stage 7: one release from folders that several jobs and machines made. Tarballs are taken as they are,
//! by the records beside them; what was made from other pins, or twice in different ways, is refused.
//! What strangers need to trust them is written beside them: see [`publish`](Release::publish).

mod bundle;
pub mod changes;
mod installer;
mod manifest;
pub mod page;
pub mod peers;
mod provenance;
mod sbom;
pub mod shelf;
mod source;
pub mod speed;
pub mod sums;
mod zst;

use crate::compile::BuildInfo;
use crate::facts::Series;
use crate::package::{self, Recorded, Tarball};
use crate::plan::{Plan, Profile, TreePlan};
use crate::program::{self, Packed};
use crate::session::BuildSession;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::lock::Lock;
use anyarch_client::signature;
use anyarch_manifest::layout::PROGRAM;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use peers::Peers;
use serde::Serialize;
use speed::Speed;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Tarballs of one release, every one made from the series' pins. Only [`gather`] makes one.
#[derive(Debug)]
pub struct Release {
    series: Series,
    tarballs: Vec<Tarball>,
    /// Bytes of all files in each tarball, in the same order.
    unpacked: Vec<u64>,
    /// The users' program for each host that has it.
    programs: Vec<Packed>,
}

/// Options for publishing a release.
#[derive(Debug, Clone, Default)]
pub struct PublishOptions {
    /// Whether to write a `.tar.zst` for each `.tar.xz`.
    pub zst: bool,
    /// URL of the folder that will contain the release's folder. It is written into the installer and the page.
    pub base: Option<String>,
    /// Who made it, as a URI, for the provenance.
    pub builder: Option<String>,
    /// The SSH key that signs the sums.
    pub key: Option<PathBuf>,
    /// The public key of whoever signs them later, without which nobody knows who that will be.
    pub signer: Option<PathBuf>,
}

/// A release that is ready to be served.
#[derive(Debug)]
pub struct Published {
    /// Its folder.
    pub folder: PathBuf,
    /// Path of `SHA256SUMS`.
    pub sums: PathBuf,
    /// Path of the signature of `SHA256SUMS`, if it was signed.
    pub signature: Option<PathBuf>,
    /// The tarballs, by name.
    pub tarballs: Vec<Tarball>,
    /// The users' programs, by name.
    pub programs: Vec<Packed>,
}

impl Release {
    /// The tarballs, by name.
    pub fn tarballs(&self) -> &[Tarball] {
        &self.tarballs
    }

    /// The pairs of a plan that it lacks, as `qemu-arm for amd64`; and hosts without the users' program.
    pub fn missing(&self, plan: &Plan) -> Vec<String> {
        let has = |target: &str, host: &str| {
            self.tarballs.iter().any(|one| one.target().name == target && one.host() == host)
        };
        let pairs =
            plan.trees().iter().flat_map(|tree| tree.targets().iter().map(move |target| (tree, target)));
        let emulators = pairs
            .filter(|(tree, target)| !has(target.name, &tree.host().platform))
            .map(|(tree, target)| format!("{} for {}", target.emulator(), tree.host().platform));
        let has_program = |host: &str| self.programs.iter().any(|one| one.record().host == host);
        let hosts = plan.trees().iter().map(TreePlan::host).filter(|host| host.rust.is_some());
        let programs = hosts.filter(|host| !has_program(&host.platform));
        emulators.chain(programs.map(|host| format!("{PROGRAM} for {}", host.platform))).collect()
    }

    /// Checks that were not run, as `guest of qemu-arm for amd64: ...`.
    pub fn not_run(&self) -> Vec<String> {
        let all = self.tarballs.iter().flat_map(|one| one.record().emulator.not_run().map(move |c| (one, c)));
        let emulators = all.map(|(one, (check, reason))| {
            format!("{check} of {} for {}: {reason}", one.target().emulator(), one.host())
        });
        let programs = self.programs.iter().map(Packed::record);
        let programs = programs.flat_map(|one| one.program.not_run().map(move |not| (&one.host, not)));
        let programs =
            programs.map(|(host, (check, reason))| format!("{check} of {PROGRAM} for {host}: {reason}"));
        emulators.chain(programs).collect()
    }

    /// Copies what is not there yet into the release's folder, and writes beside it what a stranger needs:
    /// source, SBOM, installer, the manifest of all of these, a page, where it came from, the sums of
    /// every file, and their signature.
    pub fn publish(mut self, session: &BuildSession, options: &PublishOptions) -> Result<Published> {
        let folder = session.workspace.out.join(self.series.release());
        // A build would write other sums meanwhile.
        let lock = session.workspace.trees.join(format!("sums-{}", self.series.release()));
        let _lock = Lock::acquire(&lock, &session.progress)?;
        let peers = Peers::read(&session.workspace.root)?;
        let speed = Speed::read(&session.workspace.root)?;
        self.tarballs =
            self.tarballs.iter().map(|one| put(one, &folder, &self.series)).collect::<Result<_>>()?;
        let root = &session.workspace.root;
        self.programs = self
            .programs
            .iter()
            .map(|one| put_program(one, &folder, root, &self.series))
            .collect::<Result<_>>()?;
        let more = if options.zst { zst::write_all(session, &self.paths())? } else { Vec::new() };
        let documents = vec![
            source::write(session, &self.series, &folder)?,
            sbom::write(&self, &folder)?,
            installer::write(
                &session.workspace.root,
                &self.series.release(),
                options.base.as_deref(),
                &folder,
            )?,
        ];
        let each: Vec<_> = self.tarballs.iter().zip(self.unpacked.iter().copied()).collect();
        let bundles =
            bundle::write_all(session, &each, &self.series.release(), self.series.pins.epoch, &folder)?;
        let changes = changes::Changelog::read(root)?.of(&self.series.release()).cloned();
        let manifest = manifest::describe(&self, &more, bundles, documents, changes)?;
        let key = match (&options.key, &options.signer) {
            (Some(key), _) => Some(sums::public(key)?),
            (None, Some(signer)) => Some(sums::read_public(signer)?),
            (None, None) => None,
        };
        let signer = key.as_deref().map(signature::fingerprint_of).transpose()?;
        let page = page::html(&manifest, &peers, &speed, options.base.as_deref(), signer.as_deref())?;
        let mut files = Vec::new();
        for (name, text) in [(anyarch_manifest::FILE, manifest.text()), (page::FILE, page)] {
            files::write_file(&folder.join(name), text.as_bytes())?;
            files.push((name.to_owned(), hash::sha256(text.as_bytes())));
        }
        let origin = provenance::write(session, &manifest, &files, options.builder.as_deref(), &folder)?;
        files.push((name_of(&origin), hash::sha256_file(&origin)?));
        files.extend(manifest.files().map(|(name, sha256)| (name.to_string(), sha256.to_string())));
        let sums = sums::write(&folder, &files)?;
        let signature = options.key.as_ref().map(|key| sums::sign(&sums, key)).transpose()?;
        match key {
            Some(key) => files::write_file(&folder.join(sums::KEY), key.as_bytes())?,
            None => files::remove(&folder.join(sums::KEY))?,
        }
        Ok(Published { folder, sums, signature, tarballs: self.tarballs, programs: self.programs })
    }

    /// All archives: of emulators, then of the users' program.
    fn paths(&self) -> Vec<&Path> {
        self.tarballs.iter().map(Tarball::path).chain(self.programs.iter().map(Packed::path)).collect()
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The tarball in the release's folder; one that is there with other bytes is an error.
fn put(tarball: &Tarball, folder: &Path, series: &Series) -> Result<Tarball> {
    let place = put_archive(tarball.path(), tarball.record(), &tarball.record().sha256, folder)?;
    package::found(&place, series, Profile::Release)
        .with_context(|| format!("{} cannot be read back", place.display()))
}

/// The same of a program's archive.
fn put_program(packed: &Packed, folder: &Path, root: &Path, series: &Series) -> Result<Packed> {
    let place = put_archive(packed.path(), packed.record(), &packed.record().sha256, folder)?;
    program::checked(&place, root, series).with_context(|| format!("{} cannot be read back", place.display()))
}

fn put_archive(path: &Path, record: &impl Serialize, sha256: &str, folder: &Path) -> Result<PathBuf> {
    let place = folder.join(path.file_name().context("an archive without a name")?);
    if place != path {
        ensure!(
            !place.exists() || hash::sha256_file(&place)? == sha256,
            "{} already exists with other content; a name is never used twice: raise `revision` in series.toml, \
                 or pass another --out",
            place.display()
        );
        copy(path, &place)?;
        files::write_json(&package::record_path(&place), record)?;
    }
    Ok(place)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    files::write_file_with(to, |file| {
        let mut source = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
        io::copy(&mut source, file).map(drop).map_err(Into::into)
    })
}

/// Gathers the tarballs in these folders, or one level below them. `root` is the checkout whose pins they must have.
pub fn gather(folders: &[PathBuf], root: &Path, series: &Series) -> Result<Release> {
    let mut chosen: BTreeMap<String, (Tarball, u64)> = BTreeMap::new();
    let mut hosts: BTreeMap<String, (PathBuf, BuildInfo)> = BTreeMap::new();
    let (programs, emulators): (Vec<PathBuf>, Vec<PathBuf>) =
        tarballs(folders)?.into_iter().partition(|path| program::is_archive(&name_of(path)));
    for path in emulators {
        let (recorded, unpacked) =
            checked(&path).with_context(|| format!("{} is rejected", path.display()))?;
        let tarball = recorded.of(series, Profile::Release);
        let tarball = tarball.map_err(|other| {
            let advice = "leave it out, or build it again: cargo xtask build";
            anyhow!("{} is {other}\n  {advice}", path.display())
        })?;
        let record = tarball.record();
        match hosts.get(&record.host) {
            Some((first, build_info)) => {
                if let Some(difference) = differ(build_info, &record.build_info) {
                    bail!(
                        "mixed toolchains for {}: {} and {} differ in {difference}",
                        record.host,
                        first.display(),
                        path.display()
                    );
                }
            }
            None => drop(hosts.insert(record.host.clone(), (path.clone(), record.build_info.clone()))),
        }
        let name = name_of(&path);
        if let Some((other, _)) = chosen.get(&name) {
            is_the_same((other.path(), &other.record().sha256), (&path, &record.sha256))?;
        }
        chosen.entry(name).or_insert((tarball, unpacked));
    }
    ensure!(!chosen.is_empty(), "there is no tarball in {}", list(folders));
    let (tarballs, unpacked) = chosen.into_values().unzip();
    Ok(Release {
        series: series.clone(),
        tarballs,
        unpacked,
        programs: gather_programs(programs, root, series)?,
    })
}

/// The users' programs in these archives, each once.
fn gather_programs(paths: Vec<PathBuf>, root: &Path, series: &Series) -> Result<Vec<Packed>> {
    let mut chosen: BTreeMap<String, Packed> = BTreeMap::new();
    for path in paths {
        let packed = program::checked(&path, root, series).with_context(|| {
            let advice = "leave it out, or build it again: cargo xtask program";
            format!("{} is rejected\n  {advice}", path.display())
        })?;
        let name = name_of(&path);
        if let Some(other) = chosen.get(&name) {
            is_the_same((other.path(), &other.record().sha256), (&path, &packed.record().sha256))?;
        }
        chosen.entry(name).or_insert(packed);
    }
    Ok(chosen.into_values().collect())
}

/// Two files of one name must have one hash.
fn is_the_same(one: (&Path, &str), other: (&Path, &str)) -> Result<()> {
    ensure!(
        one.1 == other.1,
        "{} and {} have the same name but different content",
        one.0.display(),
        other.0.display()
    );
    Ok(())
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" ")
}

fn tarballs(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        ensure!(folder.is_dir(), "there is no folder {}", folder.display());
        found.extend(package::tarballs(folder)?);
        let listed = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in listed {
            let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
            if path.is_dir() {
                found.extend(package::tarballs(&path)?);
            }
        }
    }
    Ok(found)
}

/// An archive that is what its record says, inside and out, and the bytes of all files in it.
fn checked(path: &Path) -> Result<(Recorded, u64)> {
    let recorded = Recorded::read(path)?;
    let record = recorded.record();
    let contents = package::contents::read::<BuildInfo>(path, &record.target)?;
    ensure!(contents.emulator == record.emulator.sha256, "its emulator is not the one that was verified");
    ensure!(contents.build_info == record.build_info, "its build.json does not match its record");
    Ok((recorded, contents.unpacked))
}

/// What two tarballs of one host were made with, where that is not the same.
fn differ(one: &BuildInfo, other: &BuildInfo) -> Option<&'static str> {
    let parts = [
        ("the compiler", one.compiler == other.compiler && one.compiler_options == other.compiler_options),
        ("the linker", one.linker == other.linker),
        ("the sysroot's packages", one.sysroot == other.sysroot),
        ("the options", one == other),
    ];
    parts.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}
