//! Emulators on this machine: where they lie, whether they are ours, and what of them the kernel could not take.

use crate::format::{Format, can_be_told};
use anyarch_client::error::Usage;
use anyarch_manifest::layout;
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result, bail};
use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What every emulator of ours holds, and no other: the variable that has it start its guest's children.
const OURS: &[u8] = b"QEMU_EXECVE";
/// The end of a file name that has an emulator of ours start its guest's children, when it is registered by that name.
pub const INTERCEPTING: &str = "-execve";

/// The file of an emulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// Its absolute path, as a line of the kernel's takes it.
    pub path: PathBuf,
    /// Whether it can start its guest's children itself.
    pub is_ours: bool,
    /// The release that it is of, if that lies beside it: `10.2.2-1`.
    pub release: Option<String>,
    /// Whoever could change it, other than root: they decide what runs in its place.
    pub changeable: Option<String>,
}

/// The folders in which emulators are looked for when nobody says another: that of the running program, then those
/// that only root writes to. A home is not among them: whoever registers for all runs nothing of one user's.
pub fn usual_folders() -> Vec<PathBuf> {
    folders_of(env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned)))
}

/// The same for a program in this folder. In `/usr/bin` a distribution may have emulators of its own: ours go before.
fn folders_of(own: Option<PathBuf>) -> Vec<PathBuf> {
    let distributions = Path::new("/usr/bin");
    let mut folders: Vec<PathBuf> = own.into_iter().filter(|own| own != distributions).collect();
    folders.extend(
        [Path::new("/usr/local/bin"), Path::new(layout::PACKAGED), distributions].map(Path::to_owned),
    );
    folders
}

impl Emulator {
    /// The emulator of a target in the first of these folders that has it, if one has.
    ///
    /// # Errors
    /// When it is there and cannot be used.
    pub fn find(target: &Target, folders: &[PathBuf]) -> Result<Option<Self>> {
        let places = folders.iter().map(|folder| folder.join(layout::program(target.name)));
        places
            .filter(|path| path.symlink_metadata().is_ok())
            .map(|path| Self::read(target, &path))
            .next()
            .transpose()
    }

    /// Looks at a file.
    ///
    /// # Errors
    /// [`Usage`] when it is not a program of this machine, or its path cannot be told to the kernel.
    pub fn read(target: &Target, path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))?;
        let shown = path.display();
        let cannot = || format!("cannot read the emulator {shown}");
        let meta = fs::metadata(&path).with_context(cannot)?;
        if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
            bail!(Usage(format!("{shown} is not a file that can be executed")));
        }
        if can_be_told(&path).is_none() {
            bail!(Usage(format!(
                "the kernel takes no emulator with a colon or a line end in its path: {shown}"
            )));
        }
        let mut bytes = Vec::new();
        File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)).with_context(cannot)?;
        if !bytes.starts_with(b"\x7fELF") || Format::of(target).matches(&bytes) {
            bail!(Usage(format!(
                "{shown} is not a program of this machine that could run those of {target}"
            )));
        }
        let is_ours = bytes.windows(OURS.len()).any(|window| window == OURS);
        let changeable = changeable(&path).with_context(cannot)?;
        Ok(Self { release: release(target, &path), path, is_ours, changeable })
    }

    /// Whether it is registered under a name that has it start its guest's children.
    pub fn is_intercepting(path: &Path) -> bool {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(INTERCEPTING.as_bytes()))
    }
}

/// The release that an installed emulator is of, by the facts that lie beside it.
pub fn release(target: &Target, emulator: &Path) -> Option<String> {
    let emulator = fs::canonicalize(emulator).ok()?;
    let folder = emulator.parent()?;
    let prefix = if folder == Path::new(layout::PACKAGED) { Path::new("/usr") } else { folder.parent()? };
    let facts = fs::read(prefix.join(layout::build_facts(target.name))).ok()?;
    let facts: serde_json::Value = serde_json::from_slice(&facts).ok()?;
    facts.get("release")?.as_str().map(str::to_owned)
}

/// Who, besides root, could put another program in this place: by the file, or by the folders that lead to it.
fn changeable(path: &Path) -> io::Result<Option<String>> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let real = fs::canonicalize(path)?;
    for one in real.ancestors() {
        let meta = fs::metadata(one)?;
        if let Some(who) = others(meta.uid(), meta.gid(), meta.mode(), &groups) {
            return Ok(Some(format!("{who} can change {}", one.display())));
        }
    }
    Ok(None)
}

/// Who, besides root, may write to what has this owner, this group and these permissions.
fn others(owner: u32, group: u32, mode: u32, groups: &str) -> Option<String> {
    /// In a folder that has this bit, everybody changes only what is theirs.
    const STICKY: u32 = 0o1000;
    const FOLDER: u32 = 0o040_000;
    let is_shared = mode & FOLDER != 0 && mode & STICKY != 0;
    // Debian gives `/usr/local` to the group staff, which it says is as good as root.
    let staff = groups.lines().find_map(|line| line.strip_prefix("staff:")?.split(':').nth(1)?.parse().ok());
    if owner != 0 {
        Some(format!("user {owner}"))
    } else if mode & 0o002 != 0 && !is_shared {
        Some("everybody".to_owned())
    } else if mode & 0o020 != 0 && !is_shared && group != 0 && Some(group) != staff {
        Some(format!("group {group}"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> &'static Target {
        Target::find(name).expect("known")
    }

    fn put(path: &Path, bytes: &[u8], mode: u32) {
        fs::write(path, bytes).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("written");
    }

    #[test]
    fn the_first_folder_that_has_an_emulator_gives_it() {
        let home = tempfile::tempdir().expect("a folder");
        let folders = ["a", "b", "c"].map(|name| home.path().join(name));
        for (folder, bytes) in
            folders[1..].iter().zip(["\x7fELF ours, with QEMU_EXECVE in it", "\x7fELF another"])
        {
            fs::create_dir(folder).expect("made");
            put(&folder.join("qemu-aarch64"), bytes.as_bytes(), 0o755);
        }
        let found = |folders: &[PathBuf]| Emulator::find(target("arm64"), folders).expect("usable");
        let ours = found(&folders).expect("one");
        assert_eq!((ours.path, ours.is_ours), (folders[1].join("qemu-aarch64"), true));
        assert!(!found(&folders[2..]).expect("one").is_ours);
        assert_eq!(found(&folders[..1]), None);
        assert_eq!(Emulator::find(target("arm"), &folders).expect("usable"), None);
    }

    #[test]
    fn ours_go_before_a_distributions_and_those_beside_the_program_before_all() {
        let packaged = [Path::new("/usr/local/bin"), Path::new(layout::PACKAGED), Path::new("/usr/bin")];
        assert_eq!(folders_of(Some("/usr/bin".into())), packaged);
        assert_eq!(folders_of(None), packaged);
        assert_eq!(folders_of(Some("/opt/a/bin".into()))[0], Path::new("/opt/a/bin"));
    }

    #[test]
    fn the_release_of_an_installed_emulator_lies_beside_it() {
        let home = tempfile::tempdir().expect("a folder");
        for file in [layout::emulator("arm"), layout::build_facts("arm")] {
            fs::create_dir_all(home.path().join(file).parent().expect("a folder")).expect("made");
        }
        let emulator = home.path().join(layout::emulator("arm"));
        put(&emulator, b"\x7fELF", 0o755);
        assert_eq!(release(target("arm"), &emulator), None);
        fs::write(home.path().join(layout::build_facts("arm")), r#"{"release": "10.2.2-1"}"#)
            .expect("written");
        assert_eq!(release(target("arm"), &emulator).as_deref(), Some("10.2.2-1"));
    }

    #[test]
    fn whoever_may_write_besides_root_is_named() {
        let groups = "root:x:0:\nstaff:x:50:\n";
        let who = |owner, group, mode| others(owner, group, mode, groups);
        for (owner, group, mode) in
            [(0, 0, 0o100_755), (0, 0, 0o100_775), (0, 50, 0o042_775), (0, 0, 0o041_777)]
        {
            assert_eq!(who(owner, group, mode), None, "{owner} {group} {mode:o}");
        }
        assert_eq!(who(1000, 0, 0o100_755).as_deref(), Some("user 1000"));
        assert_eq!(who(0, 100, 0o040_775).as_deref(), Some("group 100"));
        assert_eq!(who(0, 0, 0o040_777).as_deref(), Some("everybody"));
    }

    #[test]
    fn what_cannot_run_a_targets_programs_is_refused() {
        let home = tempfile::tempdir().expect("a folder");
        let guest = crate::tiny::program(target("arm64")).expect("a program");
        for (name, bytes, mode, why) in [
            ("script", b"#!/bin/sh\n".as_slice(), 0o755, "not a program of this machine"),
            ("guest", &guest, 0o755, "not a program of this machine"),
            ("data", b"\x7fELF", 0o644, "not a file that can be executed"),
            ("a:b", b"\x7fELF", 0o755, "no emulator with a colon"),
        ] {
            let path = home.path().join(name);
            put(&path, bytes, mode);
            let error = Emulator::read(target("arm64"), &path).expect_err(name);
            assert!(error.is::<Usage>() && error.to_string().contains(why), "{error:#}");
        }
        assert!(Emulator::read(target("arm64"), home.path()).is_err(), "a folder");
        assert!(Emulator::read(target("arm64"), &home.path().join("missing")).is_err());
    }
}
