//! `rootfs`: a foreign Debian root file system in a folder, made by an ordinary user.

use super::show;
use crate::apt::{self, Apt};
use crate::facts::{Target, native, targets};
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::files::{self, TempFolder};
use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

/// Unpack a foreign Debian root file system into a folder, without root
///
/// A minimal system (shell, coreutils, dpkg, apt) of the target's architecture, downloaded with this
/// machine's apt settings. Packages are unpacked but not configured: their scripts do not run.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  cargo xtask rootfs --target aarch64 /tmp/arm64
  tar -C /tmp/arm64 --strip-components=1 -xJf dist/10.2.2-1/qemu-aarch64-*.tar.xz bin/qemu-aarch64
  unshare --map-root-user --root /tmp/arm64 /qemu-aarch64 --execve self /bin/sh")]
pub struct Rootfs {
    /// Target that runs it, one that Debian supports
    #[arg(short, long, value_name = "TARGET")]
    pub target: String,
    /// Additional packages, installed with their dependencies
    #[arg(long = "package", value_name = "NAME", value_delimiter = ',')]
    pub packages: Vec<String>,
    /// A new folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// What makes a small system that can run scripts and look at itself.
const PACKAGES: [&str; 16] = [
    "apt",
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "hostname",
    "perl-base",
    "sed",
    "tar",
    "util-linux",
];

/// Unpacks the system.
pub fn run(session: &Session, arguments: &Rootfs) -> Result<()> {
    let name = if arguments.target == "native" { native()? } else { &arguments.target };
    let target = Target::named(name)?;
    let debian = target.debian.ok_or_else(|| {
        let have = targets::TARGETS.iter().filter(|target| target.debian.is_some()).map(|target| target.name);
        Usage(format!(
            "Debian has no system for {}; it has one for: {}",
            target.name,
            have.collect::<Vec<_>>().join(" ")
        ))
    })?;
    if let Some(odd) = arguments.packages.iter().find(|name| !apt::is_package_name(name)) {
        return Err(Usage(format!("`{odd}` is not a package name")).into());
    }
    let folder = &std::path::absolute(&arguments.folder)?;
    let is_new = !folder.exists() || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if !is_new {
        return Err(Usage(format!("{} is not empty: name a new folder", folder.display())).into());
    }
    // Made beside its place, and before any download: whether that can be is known now.
    let parent = folder.parent().unwrap_or(folder);
    files::is_writable(parent, "name a new folder in a place where you can write")?;
    let scratch = TempFolder::new(parent)?;
    let packages: Vec<String> =
        PACKAGES.iter().map(|name| (*name).to_owned()).chain(arguments.packages.iter().cloned()).collect();
    let apt = Apt::open(session, debian.suite, debian.arch)?;
    let got = apt.download_with_dependencies(&packages)?;
    let step = session.progress.step(format!("unpack Debian {} {}", debian.suite, debian.arch));
    let root = scratch.path().join("root");
    fs::create_dir(&root).with_context(|| format!("cannot create {}", root.display()))?;
    for (number, (item, deb)) in got.iter().enumerate() {
        step.count(number as u64, got.len() as u64, &item.file);
        apt::unpack(deb, &root).with_context(|| format!("cannot unpack {}", item.file))?;
    }
    merge_usr(&root)?;
    settle(&root)?;
    fs::rename(&root, folder).with_context(|| format!("cannot put {} in place", folder.display()))?;
    step.done(&format!("{} packages in {}", got.len(), folder.display()));
    let result = json!({ "target": target, "folder": folder, "packages": got.iter().map(|(item, _)| item).collect::<Vec<_>>() });
    show(session, &result, || format!("{}\n", folder.display()))
}

/// Makes `/bin` and its kind links into `/usr`, as every Debian installation has them. Packages of
/// bookworm still bring some of them as folders.
fn merge_usr(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        let (split, merged) = (root.join(name), root.join("usr").join(name));
        fs::create_dir_all(&merged).with_context(|| format!("cannot create {}", merged.display()))?;
        if split.is_dir() {
            move_into(&split, &merged).with_context(|| format!("cannot merge /{name} into /usr"))?;
        }
        symlink(Path::new("usr").join(name), &split).with_context(|| format!("cannot link /{name}"))?;
    }
    Ok(())
}

/// Moves what is in one folder into another, folder by folder, and removes the first.
fn move_into(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() && place.is_dir() {
            move_into(&entry.path(), &place)?;
        } else {
            fs::rename(entry.path(), place)?;
        }
    }
    Ok(fs::remove_dir(from)?)
}

/// What package scripts would have made, as far as programs ask for it.
fn settle(root: &Path) -> Result<()> {
    let files = [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/hostname", "anyarch\n"),
        ("var/lib/dpkg/status", ""),
    ];
    for (name, text) in files {
        let path = root.join(name);
        if !path.exists() {
            files::write_file(&path, text.as_bytes())?;
        }
    }
    for folder in ["proc", "sys", "dev", "tmp", "root", "var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        let path = root.join(folder);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    Ok(())
}
