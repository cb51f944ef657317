//! `release.json`: what an anyarch release says of itself. One crate for the writer (`cargo xtask release`) and
//! every reader (`cargo xtask fetch`, the release's page, other people's tools).
//!
//! A reader takes [`Manifest::read`], which refuses what it cannot understand or must not trust: a newer format,
//! names that lead elsewhere, hashes that are none, artifacts without a build. Fields that it does not know
//! are passed over, so that a format may grow; what changes its meaning counts [`FORMAT`] up.

pub mod debian;
pub mod layout;
mod name;
pub mod target;

pub use name::{FileName, Sha256, is_newer};

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Version of the format of `release.json` that this crate writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The file's name in the folder of a release.
pub const FILE: &str = "release.json";

/// Name of the file with the SHA-256 of every file of a release, in the format of `sha256sum --check`.
pub const SUMS: &str = "SHA256SUMS";

/// Name of the file with the signature of `SHA256SUMS`, in the format of `ssh-keygen -Y sign`.
pub const SIGNATURE: &str = "SHA256SUMS.sig";

/// Namespace of the signature (`ssh-keygen -Y sign -n`): a signature of a mail or a commit is not accepted.
pub const NAMESPACE: &str = "anyarch";

/// A release: what it was made from, how, and every file that can be downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Manifest {
    /// The format of this file: 1.
    pub format: u32,
    /// QEMU's version and our revision: `10.2.2-1`.
    pub release: FileName,
    /// Source that all emulators were built from.
    pub source: Source,
    /// How the emulators were built, by host.
    pub builds: BTreeMap<String, Build>,
    /// The emulators, one for each target and host.
    pub artifacts: Vec<Artifact>,
    /// The users' program `anyarch`, one for each host that has it. The first releases have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<Program>,
    /// All emulators of a host in one archive, one for each host that has more than one emulator. The first releases
    /// have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<Bundle>,
    /// The other files of the release.
    pub documents: Vec<Document>,
    /// When it was released, and what changed since the one before. The first releases do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
}

/// A release in the changelog. All texts are Markdown of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changes {
    /// The day of the release: `2026-11-21`.
    pub date: String,
    /// What there is to say of it as a whole; mostly nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// What changed, by kinds.
    pub kinds: Vec<KindOfChange>,
}

/// Changes of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KindOfChange {
    /// `Added`, `Changed`, `Deprecated`, `Removed`, `Fixed` or `Security`, as Keep a Changelog has them.
    pub kind: String,
    /// The changes.
    pub items: Vec<String>,
}

/// The source of a release, as it was pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Source {
    /// The QEMU series: `10.2`.
    pub series: String,
    /// QEMU's version, as the emulators say with `--version`: `10.2.2`.
    pub version: String,
    /// Upstream's tag: `v10.2.2`.
    pub tag: String,
    /// Upstream's repository.
    pub repository: String,
    /// The commit that the tag names, 40 hex digits, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Tarballs with the same content, any of which the source may be taken from.
    pub tarballs: Vec<Pinned>,
    /// The time of the source, and of every packed file: seconds since 1970.
    pub epoch: u64,
    /// Our patches, in the order in which they are applied.
    pub patches: Vec<Patch>,
}

/// A patch of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Patch {
    /// Its name below `patches/` in the corresponding source: `common/execve/0001-x.patch`.
    pub name: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: Sha256,
    /// Topic of the patch: `execve` (a guest's children), `fixes` (bugs of upstream), `fast` (speed), or one
    /// of a later version of this crate. The first releases did not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// A file name with the hash of its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pinned {
    /// File name: `qemu-10.2.2.tar.xz`.
    pub name: String,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: Sha256,
}

/// How the emulators of a host were built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Build {
    /// The host's GNU triple.
    pub triple: String,
    /// Version of the C compiler: first line of `--version`, without the program's name.
    pub compiler: String,
    /// Options that make the C compiler generate code for the host.
    pub compiler_options: Vec<String>,
    /// Version of the linker: first line of `--version`, without the program's name.
    pub linker: String,
    /// Options of QEMU's configure, without paths.
    pub configure: Vec<String>,
    /// C compiler options, in addition to QEMU's own.
    pub cflags: Vec<String>,
    /// Linker options, in addition to QEMU's own.
    pub ldflags: Vec<String>,
    /// The packages that headers and static libraries came from, by file name.
    pub sysroot: Vec<Pinned>,
}

/// An emulator, in one or several archives with the same content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Artifact {
    /// Target, by QEMU's name: `aarch64`.
    pub target: String,
    /// Host, by Docker's platform name without `linux/`: `amd64`, `arm/v7`. Also the name of its build.
    pub host: String,
    /// The emulator itself, `bin/qemu-<target>` in every archive.
    pub emulator: Emulator,
    /// Total size of the files in an archive, in bytes.
    pub unpacked_size: u64,
    /// Downloadable archives; the first is the best choice for most people.
    pub archives: Vec<Archive>,
    /// Checks that passed, and checks that were not run, with the reason.
    pub verified: Vec<Check>,
}

/// The users' program for a host, in one or several archives with the same content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Program {
    /// Host, by Docker's platform name without `linux/`: `amd64`, `arm/v7`.
    pub host: String,
    /// The program itself, `bin/anyarch` in every archive.
    pub program: Emulator,
    /// Total size of the files in an archive, in bytes.
    pub unpacked_size: u64,
    /// Downloadable archives; the first is the best choice for most people.
    pub archives: Vec<Archive>,
    /// Checks that passed, and checks that were not run, with the reason.
    pub verified: Vec<Check>,
    /// How it was built.
    pub build: ProgramBuild,
}

/// All emulators of a host with their texts, in one or several archives with the same content: together they are packed
/// to a third of what they take one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bundle {
    /// Host, by Docker's platform name without `linux/`: `amd64`, `arm/v7`.
    pub host: String,
    /// Targets whose emulators are in it, by QEMU's names: all that the release has for the host.
    pub targets: Vec<String>,
    /// Total size of the files in an archive, in bytes.
    pub unpacked_size: u64,
    /// Downloadable archives.
    pub archives: Vec<Archive>,
}

/// How the users' program was built for a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgramBuild {
    /// Rust's name of the host: `x86_64-unknown-linux-musl`.
    pub target: String,
    /// What `rustc --version` says.
    pub rustc: String,
    /// Options of rustc, without paths.
    pub rustflags: Vec<String>,
    /// Version of the C compiler: first line of `--version`, without the program's name.
    pub compiler: String,
    /// Version of the linker: first line of `--version`, without the program's name.
    pub linker: String,
    /// The packages that C headers and static libraries came from, by file name.
    pub sysroot: Vec<Pinned>,
}

/// A program as it lies in its archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Emulator {
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: Sha256,
}

/// A downloadable archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Archive {
    /// The file, beside this manifest.
    pub file: FileName,
    /// How it is packed.
    pub format: ArchiveFormat,
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: Sha256,
}

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ArchiveFormat {
    /// The smaller one; every release has it.
    #[serde(rename = "tar.xz")]
    TarXz,
    /// Faster to unpack.
    #[serde(rename = "tar.zst")]
    TarZst,
    /// A value that this version of the crate does not know.
    #[serde(other, rename = "unknown")]
    Unknown,
}

/// One check of an emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// What was checked: `elf`, `version`, `start`, `guest` ...
    pub name: String,
    /// Whether it passed or was not run. An emulator that fails a check is not released.
    pub outcome: Outcome,
    /// What was seen, or why it was not run.
    pub detail: String,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It was not run.
    NotRun,
    /// A value that this version of the crate does not know.
    #[serde(other)]
    Unknown,
}

/// A file of the release that is no emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Document {
    /// What the file is for.
    pub kind: DocumentKind,
    /// The file, beside this manifest.
    pub file: FileName,
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: Sha256,
}

/// What a file of a release is, other than an emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DocumentKind {
    /// QEMU's source, our patches and this driver: what the GPL calls corresponding source.
    Source,
    /// What was linked, with versions and licences, as CycloneDX.
    Sbom,
    /// Installs an emulator where there is no Rust.
    Installer,
    /// A value that this version of the crate does not know.
    #[serde(other)]
    Unknown,
}

/// Why a manifest is rejected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is truncated, not JSON, or has fields of a wrong type.
    #[error("it is truncated or not a release manifest: {0}")]
    Shape(#[from] serde_json::Error),
    /// A later version of this crate wrote it.
    #[error("its format is {found}, but this program reads formats up to {FORMAT}: update anyarch")]
    Newer {
        /// The format of the manifest.
        found: u32,
    },
    /// Its parts contradict each other.
    #[error("it contradicts itself: {0}")]
    Inconsistent(String),
}

impl Manifest {
    /// Parses a manifest and checks that it is consistent.
    ///
    /// # Errors
    /// When it is cut, of a newer format, or has names, hashes or references that cannot be right.
    pub fn read(text: &[u8]) -> Result<Self, Error> {
        /// What every format has, whatever else changes.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format: found } = serde_json::from_slice(text)?;
        if found > FORMAT {
            return Err(Error::Newer { found });
        }
        let manifest: Self = serde_json::from_slice(text)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest as indented JSON with a line feed at the end.
    pub fn text(&self) -> String {
        // Strings, numbers and maps with string keys: nothing in it can fail to be JSON.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The emulator of a target for a host.
    pub fn artifact(&self, target: &str, host: &str) -> Option<&Artifact> {
        self.artifacts.iter().find(|one| one.target == target && one.host == host)
    }

    /// The users' program for a host.
    pub fn program(&self, host: &str) -> Option<&Program> {
        self.programs.iter().find(|one| one.host == host)
    }

    /// All emulators of a host in one.
    pub fn bundle(&self, host: &str) -> Option<&Bundle> {
        self.bundles.iter().find(|one| one.host == host)
    }

    /// Every file that the manifest names, with its SHA-256.
    pub fn files(&self) -> impl Iterator<Item = (&FileName, &Sha256)> {
        let programs = self.programs.iter().flat_map(|one| &one.archives);
        let bundles = self.bundles.iter().flat_map(|one| &one.archives);
        let archives = self.artifacts.iter().flat_map(|one| &one.archives).chain(programs).chain(bundles);
        let documents = self.documents.iter().map(|one| (&one.file, &one.sha256));
        archives.map(|one| (&one.file, &one.sha256)).chain(documents)
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Inconsistent(what));
        let mut files = BTreeSet::new();
        let mut pairs = BTreeSet::new();
        if self.artifacts.iter().any(|one| one.target == layout::PROGRAM) {
            return wrong(format!("{} is no emulator", layout::PROGRAM));
        }
        let programs: Vec<Artifact> = self.programs.iter().map(Program::as_artifact).collect();
        for one in self.artifacts.iter().chain(&programs) {
            let pair = format!("{} for {}", one.target, one.host);
            if !name::is_word(&one.target) || !one.host.split('/').all(name::is_word) {
                return wrong(format!("`{pair}` does not name a target and a host"));
            }
            if one.target != layout::PROGRAM && !self.builds.contains_key(&one.host) {
                return wrong(format!("the build of {} is missing", one.host));
            }
            if !pairs.insert((&one.target, &one.host)) {
                return wrong(format!("{pair} is listed twice"));
            }
            if one.emulator.size > one.unpacked_size {
                return wrong(format!("{pair} is bigger than its archive is when unpacked"));
            }
            if !one.archives.iter().any(|archive| archive.format == ArchiveFormat::TarXz) {
                return wrong(format!("{pair} has no .tar.xz"));
            }
        }
        for (at, bundle) in self.bundles.iter().enumerate() {
            let host = &bundle.host;
            if self.bundles[..at].iter().any(|other| other.host == *host) {
                return wrong(format!("all emulators for {host} are listed twice"));
            }
            let of_host = self.artifacts.iter().filter(|one| one.host == *host);
            let there: BTreeSet<&String> = of_host.map(|one| &one.target).collect();
            if bundle.targets.is_empty() || there != bundle.targets.iter().collect() {
                return wrong(format!("the archive of all emulators for {host} holds others"));
            }
        }
        for (file, _) in self.files() {
            if !files.insert(file) {
                return wrong(format!("{file} is listed twice"));
            }
        }
        Ok(())
    }
}

impl Program {
    /// The same as what readers do with emulators: it is installed as these are, under its own name.
    pub fn as_artifact(&self) -> Artifact {
        Artifact {
            target: layout::PROGRAM.to_owned(),
            host: self.host.clone(),
            emulator: self.program.clone(),
            unpacked_size: self.unpacked_size,
            archives: self.archives.clone(),
            verified: self.verified.clone(),
        }
    }
}

impl Artifact {
    /// The archive in this format, if there is one.
    pub fn archive(&self, format: ArchiveFormat) -> Option<&Archive> {
        self.archives.iter().find(|archive| archive.format == format)
    }
}

impl Bundle {
    /// The archive in this format, if there is one.
    pub fn archive(&self, format: ArchiveFormat) -> Option<&Archive> {
        self.archives.iter().find(|archive| archive.format == format)
    }
}

/// The JSON schema of `release.json`.
#[cfg(feature = "schema")]
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(Manifest)).unwrap_or_default();
    text.push('\n');
    text
}
