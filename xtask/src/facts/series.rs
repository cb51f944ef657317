//! What is built: one folder `patches/<series>/` each, with its pins and its patches by topic, and
//! `patches/common/` with the patches that each topic begins with in all series. `patches/prepared/` has folders of the
//! same kind for versions that cannot be pinned yet: no command builds these.

use super::topics::TOPICS;
use super::version::tag_of;
use super::{Target, Topic, read_toml, unknown};
use anyarch_client::hash;
use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The default QEMU series.
pub const DEFAULT: &str = "10.2";

/// The folder of the patches that come first in a topic of every series: they only add files of our own.
pub const COMMON: &str = "common";

/// The folder of what is prepared for series to come, on candidates of their first release.
pub const PREPARED: &str = "prepared";

/// A QEMU series as its file pins it, with the patches beside that file.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// What `series.toml` says.
    #[serde(flatten)]
    pub pins: Pins,
    /// Our patches, in the order in which they are applied: by topic, the common ones before its own.
    pub patches: Vec<Patch>,
}

/// One patch file.
#[derive(Debug, Clone, Serialize)]
pub struct Patch {
    /// Its name below `patches/`: `common/execve/0001-x.patch`.
    pub name: String,
    /// What it is about.
    pub topic: Topic,
    /// SHA-256 of the patch file, lower-case hex.
    pub sha256: String,
    /// Where it is.
    #[serde(skip)]
    pub path: PathBuf,
}

/// `series.toml`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Name of the QEMU series: `10.2`.
    pub series: String,
    /// `10.2.2`: what the emulators say with `--version`.
    pub version: String,
    /// Upstream's git tag: `v10.2.2`; of a candidate, `v11.1.0-rc2`, whose version is 11.0.92.
    pub tag: String,
    /// Our revision of this QEMU version, counted from 1.
    pub revision: u32,
    /// The time stamp of every packed file, in seconds since 1970.
    pub epoch: u64,
    /// Upstream's repository.
    pub git: Git,
    /// Upstream's tarball.
    pub tarball: Tarball,
    /// A distribution's source package, if it has one.
    pub debian: Option<DebianSource>,
    /// Files to add to the unpacked source, and folders to leave out.
    pub tree: Tree,
    /// How it is built.
    pub build: Build,
    /// Targets that users may look for and the reason why they are not here.
    #[serde(default)]
    pub left_out: BTreeMap<String, String>,
    /// Hosts of this checkout that it does not run on, by Docker's names, and the reason.
    #[serde(default)]
    pub left_out_hosts: BTreeMap<String, String>,
}

/// A commit in a repository.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// Where to clone from.
    pub url: String,
    /// The commit that the tag names, 40 hex digits. Without it, nothing is taken from git.
    pub commit: Option<String>,
}

/// A tarball on a server.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tarball {
    /// Where it is.
    pub url: String,
    /// SHA-256 of the tarball, 64 lower-case hex digits. Without it, the tarball is not used.
    pub sha256: Option<String>,
    /// Git tree id of its content, 40 hex digits, if it is known. Unpacked copies are checked against it.
    pub tree: Option<String>,
}

/// The original tarball in a Debian source package.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DebianSource {
    /// The source package.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// A suite that has it.
    pub suite: String,
    /// The original tarball's file name.
    pub file: String,
    /// SHA-256 of the file, 64 lower-case hex digits.
    pub sha256: String,
    /// Git tree id of its content, 40 hex digits. Unpacked copies are checked against it.
    pub tree: Option<String>,
}

/// How a source tree is made fit for a build.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// Folders that are not unpacked.
    pub leave_out: Vec<PathBuf>,
    /// Files that are made empty where they are missing.
    pub placeholders: Vec<PathBuf>,
}

/// How a series is built.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The oldest Python that it takes.
    pub python: String,
    /// Whether configure is told which Python to use. To QEMU before 8.1 that means its own copy of
    /// meson, which not every source has; without it, Python and meson are looked up in `PATH`.
    pub python_option: bool,
    /// A list of `toolchains/` with the Python packages that its configure wants besides those of all series.
    pub python_packages: Option<PathBuf>,
    /// Whether targets of 64 bits are built for hosts of 32.
    pub wide_on_narrow: bool,
    /// Whether configure knows `--enable-asan` and `--enable-ubsan`.
    pub sanitizers: bool,
    /// Name of another series whose emulators test those for other hosts, if the series' own cannot.
    pub runners: Option<String>,
    /// Its linux-user targets, by QEMU's names.
    pub targets: Vec<String>,
    /// Options of QEMU's `configure`.
    pub configure: Vec<String>,
}

impl Tarball {
    /// Upstream's name of the tarball of a tag: `qemu-11.0.2.tar.xz`, `qemu-11.1.0-rc2.tar.xz`.
    pub fn name(tag: &str) -> String {
        format!("qemu-{}.tar.xz", tag.strip_prefix('v').unwrap_or(tag))
    }
}

impl Series {
    /// Reads `patches/<name>/`.
    pub fn read(patches: &Path, name: &str) -> Result<Self> {
        let folder = patches.join(name);
        if name.contains('/') || !folder.join("series.toml").is_file() {
            let known = Self::names(patches)?;
            return Err(unknown("series", name, known.iter().map(String::as_str)).into());
        }
        Self::with_patches(patches, folder, Self::pins(patches, name)?)
    }

    /// Reads a series that others are made from: `11.0`, or `prepared/11.1`, which no other command takes.
    pub fn read_model(patches: &Path, name: &str) -> Result<Self> {
        let Some(bare) = name.strip_prefix(PREPARED).and_then(|rest| rest.strip_prefix('/')) else {
            return Self::read(patches, name);
        };
        let home = patches.join(PREPARED);
        let known = if home.is_dir() { Self::names(&home)? } else { Vec::new() };
        if !known.iter().any(|known| known == bare) {
            return Err(unknown("prepared series", bare, known.iter().map(String::as_str)).into());
        }
        Self::with_patches(patches, home.join(bare), Self::pins(&home, bare)?)
    }

    fn with_patches(patches: &Path, folder: PathBuf, pins: Pins) -> Result<Self> {
        let homes = [patches.join(COMMON), folder];
        homes.iter().try_for_each(|home| only_topics(home))?;
        let mut all = Vec::new();
        for topic in TOPICS {
            for home in &homes {
                all.extend(read_patches(patches, home, topic)?);
            }
        }
        Ok(Self { pins, patches: all })
    }

    /// Its patches of these topics, in the order in which they are applied.
    pub fn patches_of(&self, topics: &[Topic]) -> Vec<&Patch> {
        self.patches.iter().filter(|patch| topics.contains(&patch.topic)).collect()
    }

    /// Reads `patches/<name>/series.toml` alone.
    pub fn pins(patches: &Path, name: &str) -> Result<Pins> {
        let file = patches.join(name).join("series.toml");
        let pins: Pins = read_toml(&file)?;
        check(&pins, name).with_context(|| format!("{} is wrong", file.display()))?;
        Ok(pins)
    }

    /// The names of all series, the oldest first.
    pub fn names(patches: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(patches).with_context(|| format!("cannot list {}", patches.display()))? {
            let entry = entry.with_context(|| format!("cannot list {}", patches.display()))?;
            if entry.path().join("series.toml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        // The oldest first; as words, 10.2 would come before 7.2.
        names.sort_by_cached_key(|name| {
            name.split('.').map(|part| part.parse::<u32>().ok()).collect::<Vec<_>>()
        });
        Ok(names)
    }

    /// The name of the release: `10.2.2-1`.
    pub fn release(&self) -> String {
        format!("{}-{}", self.pins.version, self.pins.revision)
    }

    /// Its targets, in its file's order.
    pub fn targets(&self) -> Result<Vec<Target>> {
        let named = |name: &String| Target::named(name).map_err(Into::into);
        self.pins.build.targets.iter().map(named).collect()
    }
}

fn check(pins: &Pins, name: &str) -> Result<()> {
    ensure!(pins.series == name, "it pins series {}, but is in the folder {name}", pins.series);
    let Pins { version, tag, .. } = pins;
    let right = tag_of(version, name);
    let right = right.with_context(|| format!("version {version} does not belong to series {name}"))?;
    ensure!(*tag == right, "tag {tag} does not match version {version}");
    let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let may_be_hex = |pin: &Option<String>, digits| pin.as_ref().is_none_or(|pin| is_hex(pin, digits));
    ensure!(may_be_hex(&pins.git.commit, 40), "git.commit must be 40 hex digits");
    ensure!(may_be_hex(&pins.tarball.sha256, 64), "tarball.sha256 must be 64 hex digits");
    let debian = pins.debian.as_ref().map(|debian| debian.sha256.as_str());
    ensure!(debian.is_none_or(|sha256| is_hex(sha256, 64)), "debian.sha256 must be 64 hex digits");
    let can_be_had = pins.git.commit.is_some() || pins.tarball.sha256.is_some() || debian.is_some();
    ensure!(can_be_had, "no source can be checked: pin git.commit, tarball.sha256 or debian.sha256");
    for name in &pins.build.targets {
        ensure!(Target::named(name)?.name == name, "build.targets: {name} is not QEMU's name of a target");
    }
    Ok(())
}

/// An error if there is a folder that is no topic, or a patch outside of them: nobody would apply it.
fn only_topics(home: &Path) -> Result<()> {
    if !home.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(home).with_context(|| format!("cannot list {}", home.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", home.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            name.parse::<Topic>()
                .with_context(|| format!("patches are ordered by topic in {}", home.display()))?;
        } else if is_patch(&path) {
            bail!("{} is in no topic: move it to one of {}", path.display(), Topic::names(&TOPICS));
        }
    }
    Ok(())
}

fn is_patch(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "patch")
}

/// The patches of a topic in the folder of a series or in the common one.
fn read_patches(patches: &Path, home: &Path, topic: Topic) -> Result<Vec<Patch>> {
    let mut found = Vec::new();
    let folder = home.join(topic.name());
    if !folder.exists() {
        return Ok(found);
    }
    let whose = home.strip_prefix(patches).unwrap_or(home).display();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let path = entry.path();
        if is_patch(&path) {
            found.push(Patch {
                name: format!("{whose}/{topic}/{}", entry.file_name().to_string_lossy()),
                topic,
                sha256: hash::sha256_file(&path)?,
                path,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyarch_client::files;

    fn patches() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches")
    }

    #[test]
    fn every_series_is_whole_and_the_default_is_one_of_them() {
        let names = Series::names(&patches()).expect("listed");
        assert!(names.iter().any(|name| name == DEFAULT));
        for name in names {
            let series = Series::read(&patches(), &name).expect("a series");
            assert!(!series.patches.is_empty(), "{name} has no patches");
            assert!(!series.targets().expect("targets").is_empty());
            for left_out in series.pins.left_out.keys() {
                assert!(!series.pins.build.targets.contains(left_out), "{name} has and lacks {left_out}");
            }
            for host in series.pins.left_out_hosts.keys() {
                let file = patches().join("../toolchains").join(format!("{}.toml", host.replace('/', "-")));
                assert!(file.is_file(), "{name} leaves out {host}, which is no host");
            }
            if let Some(runners) = &series.pins.build.runners {
                let theirs = Series::pins(&patches(), runners).expect("a series");
                assert!(*runners != name && theirs.build.runners.is_none(), "{name} is run by {runners}");
            }
        }
    }

    #[test]
    fn each_series_has_all_of_its_targets() {
        let targets = |series: &str| Series::pins(&patches(), series).expect("pins").build.targets;
        let old = targets("7.2");
        assert_eq!(old.len(), 35);
        let gone = ["cris", "nios2"];
        assert!(gone.iter().all(|name| old.iter().any(|has| has == name)));
        let left: Vec<String> = old.into_iter().filter(|name| !gone.contains(&name.as_str())).collect();
        assert_eq!(left.len(), 33);
        for series in ["10.0", "10.2", "11.0"] {
            assert_eq!(targets(series), left, "{series}");
        }
    }

    #[test]
    fn a_pin_that_does_not_fit_is_refused_with_the_reason() {
        let home = tempfile::tempdir().expect("a folder");
        let text = fs::read_to_string(patches().join(DEFAULT).join("series.toml")).expect("readable");
        let folder = home.path().join(DEFAULT);
        fs::create_dir(&folder).expect("created");
        let cases = [
            ("tag = \"v10.2.2\"", "tag = \"v10.2.1\"", "tag v10.2.1 does not match version 10.2.2"),
            ("commit = \"f8", "commit = \"zz", "40 hex digits"),
            ("\"aarch64\",", "\"arm64\",", "not QEMU's name"),
            ("revision = 1", "revision = 1\nrevison = 2", "revison"),
        ];
        for (right, wrong, reason) in cases {
            assert!(text.contains(right), "{right}");
            fs::write(folder.join("series.toml"), text.replace(right, wrong)).expect("written");
            let error = format!("{:#}", Series::read(home.path(), DEFAULT).expect_err("refused"));
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn an_unknown_series_is_answered_with_those_that_are_there() {
        let error = Series::read(&patches(), "10.3").expect_err("unknown").to_string();
        assert!(error.contains("there is no series `10.3`") && error.contains("10.2"), "{error}");
    }

    #[test]
    fn patches_come_by_topic_and_in_each_the_common_ones_first() {
        let home = tempfile::tempdir().expect("a folder");
        let text = fs::read_to_string(patches().join(DEFAULT).join("series.toml")).expect("readable");
        let names = [
            "common/execve/0001-a.patch",
            "10.2/execve/0001-b.patch",
            "10.2/execve/0002-c.patch",
            "10.2/fixes/0001-d.patch",
            "common/fast/0001-e.patch",
        ];
        for name in names.iter().rev() {
            files::write_file(&home.path().join(name), b"").expect("written");
        }
        files::write_file(&home.path().join("10.2/series.toml"), text.as_bytes()).expect("written");
        let series = Series::read(home.path(), DEFAULT).expect("read");
        assert_eq!(series.patches.iter().map(|patch| patch.name.as_str()).collect::<Vec<_>>(), names);
        let of = series.patches_of(&Topic::Fast.with_needs());
        assert_eq!(
            of.iter().map(|patch| patch.name.as_str()).collect::<Vec<_>>(),
            [0, 1, 2, 4].map(|n| names[n])
        );
        files::write_file(&home.path().join("common/speed/0001-f.patch"), b"").expect("written");
        let error = format!("{:#}", Series::read(home.path(), DEFAULT).expect_err("refused"));
        assert!(error.contains("no topic `speed`") && error.contains("execve fast fixes"), "{error}");
        files::remove(&home.path().join("common/speed")).expect("removed");
        files::write_file(&home.path().join("10.2/0001-f.patch"), b"").expect("written");
        let error = Series::read(home.path(), DEFAULT).expect_err("refused").to_string();
        assert!(
            error.contains("0001-f.patch is in no topic: move it to one of execve fixes fast"),
            "{error}"
        );
    }

    /// Signed-off-by is a person's statement, who takes a patch to upstream; none of us is one.
    #[test]
    fn no_patch_is_signed_off_in_nobodys_name() {
        for name in Series::names(&patches()).expect("listed") {
            for patch in Series::read(&patches(), &name).expect("a series").patches {
                let text = fs::read_to_string(&patch.path).expect("readable");
                let signed =
                    text.lines().find(|line| line.starts_with("Signed-off-by:") && line.contains("anyarch"));
                assert_eq!(signed, None, "{}", patch.name);
                assert!(text.contains("\nFrom: "), "{} has no author, which git am wants", patch.name);
            }
        }
    }
}
