//! Which target a root is for: what the ELF files say that every system begins with. The root is read as if it were
//! hostile: no path leads out of it, and no file is opened that could keep us waiting.

use anyarch_client::error::Usage;
use anyarch_manifest::target::{Order, TARGETS, Target};
use anyhow::{Context as _, Result, bail};
use rustix::fs::{self as sys, Mode, OFlags, ResolveFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Programs that tell a system's target, most telling first.
const PROGRAMS: [&str; 12] = [
    "bin/sh",
    "usr/bin/sh",
    "bin/bash",
    "usr/bin/env",
    "bin/busybox",
    "sbin/init",
    "bin/ls",
    "usr/bin/dpkg",
    "sbin/apk",
    "usr/bin/rpm",
    "usr/bin/python3",
    "usr/bin/perl",
];

/// How many bytes of a file are looked at: the header up to `e_flags`, of either width.
const HEAD: usize = 52;
/// `EF_MIPS_ABI2` of `elf.h`: a program of n32.
const ABI2: u32 = 0x20;

/// Opens a folder that a root is in.
///
/// # Errors
/// When there is none.
pub fn open(root: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    sys::open(root, flags, Mode::empty()).with_context(|| format!("cannot open the root {}", root.display()))
}

/// The target of a root. `path` is its name for people.
///
/// # Errors
/// [`Usage`] when its programs are of two targets, or of none that is known.
pub fn of_root(root: &OwnedFd, path: &Path) -> Result<&'static Target> {
    let heads = PROGRAMS.iter().filter_map(|program| Some((*program, head(root, program)?)));
    of_heads(heads, &path.display().to_string())
}

/// The target of programs by the first bytes of each. `root` is what holds them, for people.
///
/// # Errors
/// [`Usage`] when they are of two targets, or of none that is known.
pub fn of_heads<'a>(heads: impl Iterator<Item = (&'a str, Vec<u8>)>, root: &str) -> Result<&'static Target> {
    let mut found: BTreeMap<&'static str, (&'static Target, String)> = BTreeMap::new();
    let mut strange = Vec::new();
    for (program, head) in heads {
        match of_head(&head) {
            Some(target) => drop(found.entry(target.name).or_insert((target, program.to_owned()))),
            None => strange.push(format!("/{program}")),
        }
    }
    let mut found = found.into_values();
    match (found.next(), found.next()) {
        (Some((target, _)), None) => Ok(target),
        (Some((one, first)), Some((other, second))) => bail!(Usage(format!(
            "{root} has programs of two targets: /{first} is for {one}, /{second} for {other}\n  \
             say which one to emulate: --target {one} or --target {other}"
        ))),
        (None, _) if !strange.is_empty() => bail!(Usage(format!(
            "{root} has no program of a target that is known: {} is none\n  say what to emulate: --target TARGET",
            strange.join(", ")
        ))),
        (None, _) => bail!(Usage(format!(
            "{root} has no program that tells its target: none of /{}\n  \
             is it the root of a system? If so, say what to emulate: --target TARGET",
            PROGRAMS.join(", /")
        ))),
    }
}

/// The target of a program by its first bytes.
pub fn of_head(head: &[u8]) -> Option<&'static Target> {
    let order = match head.get(..6)? {
        [0x7f, b'E', b'L', b'F', _, 1] => Order::Little,
        [0x7f, b'E', b'L', b'F', _, 2] => Order::Big,
        _ => return None,
    };
    let bits = match head[4] {
        1 => 32,
        2 => 64,
        _ => return None,
    };
    let half = [*head.get(18)?, *head.get(19)?];
    let at = if bits == 64 { 48 } else { 36 };
    let word: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
    let (machine, flags) = match order {
        Order::Little => (u16::from_le_bytes(half), u32::from_le_bytes(word)),
        Order::Big => (u16::from_be_bytes(half), u32::from_be_bytes(word)),
    };
    TARGETS.iter().find(|target| {
        let elf = &target.elf;
        (elf.bits, elf.order, elf.machine) == (bits, order, machine)
            && elf.abi2.is_none_or(|is_set| is_set == (flags & ABI2 != 0))
    })
}

/// The first bytes of a program in a root, if there is such a file.
fn head(root: &OwnedFd, program: &str) -> Option<Vec<u8>> {
    let file = within(root, program, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).ok()?;
    let file = File::from(file);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut head = Vec::new();
    file.take(HEAD as u64).read_to_end(&mut head).ok()?;
    Some(head)
}

/// Opens a path of a root, with links as they lead there.
///
/// # Errors
/// When there is nothing, or the path leads through something else than folders and links.
pub fn within(root: impl AsFd, path: impl AsRef<Path>, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    sys::openat2(root, path.as_ref(), flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// What a program of a target begins with.
    fn program(name: &str) -> Vec<u8> {
        let elf = Target::find(name).expect("known").elf;
        let mut head = vec![0; HEAD];
        head[..4].copy_from_slice(b"\x7fELF");
        head[4] = if elf.bits == 64 { 2 } else { 1 };
        head[5] = if elf.order == Order::Big { 2 } else { 1 };
        let at = if elf.bits == 64 { 48 } else { 36 };
        let flags: u32 = if elf.abi2 == Some(true) { ABI2 } else { 0 };
        match elf.order {
            Order::Little => {
                head[18..20].copy_from_slice(&elf.machine.to_le_bytes());
                head[at..at + 4].copy_from_slice(&flags.to_le_bytes());
            }
            Order::Big => {
                head[18..20].copy_from_slice(&elf.machine.to_be_bytes());
                head[at..at + 4].copy_from_slice(&flags.to_be_bytes());
            }
        }
        head
    }

    fn of(fill: impl FnOnce(&Path)) -> Result<&'static str, String> {
        let home = tempfile::tempdir().expect("a folder");
        let root = home.path().join("root");
        fs::create_dir_all(root.join("bin")).expect("made");
        fs::create_dir_all(root.join("usr/bin")).expect("made");
        fill(&root);
        of_root(&open(&root).expect("opened"), &root)
            .map(|target| target.name)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_target_is_told_by_its_programs() {
        for target in TARGETS {
            assert_eq!(of_head(&program(target.name)), Some(target));
        }
        for odd in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0; 52], &program("arm")[..39]] {
            assert_eq!(of_head(odd), None);
        }
    }

    #[test]
    fn links_are_followed_as_they_lead_within_the_root() {
        let target = of(|root| {
            symlink("/usr/bin/dash", root.join("bin/sh")).expect("linked");
            symlink("../../../../usr/bin/real", root.join("usr/bin/dash")).expect("linked");
            fs::write(root.join("usr/bin/real"), program("riscv64")).expect("written");
        });
        assert_eq!(target.as_deref(), Ok("riscv64"));
    }

    #[test]
    fn nothing_outside_is_looked_at_and_nothing_waits() {
        let error = of(|root| {
            let outside = root.join("../outside");
            fs::write(&outside, program("arm")).expect("written");
            symlink(&outside, root.join("bin/sh")).expect("linked");
            symlink("../../outside", root.join("bin/bash")).expect("linked");
            symlink("/proc/self/exe", root.join("bin/ls")).expect("linked");
            symlink("busybox", root.join("bin/busybox")).expect("linked");
            rustix::fs::mknodat(
                rustix::fs::CWD,
                root.join("usr/bin/env"),
                rustix::fs::FileType::Fifo,
                Mode::RWXU,
                0,
            )
            .expect("a pipe");
        });
        let error = error.expect_err("nothing in it");
        assert!(error.contains("no program that tells its target"), "{error}");
    }

    #[test]
    fn two_targets_or_an_unknown_one_are_named() {
        let error = of(|root| {
            fs::write(root.join("bin/sh"), program("aarch64")).expect("written");
            fs::write(root.join("usr/bin/env"), program("arm")).expect("written");
        });
        let error = error.expect_err("two");
        assert!(error.contains("/bin/sh is for aarch64, /usr/bin/env for arm"), "{error}");
        let error = of(|root| fs::write(root.join("bin/sh"), "#!/bin/false\n").expect("written"));
        let error = error.expect_err("none");
        assert!(error.contains("/bin/sh is none") && error.contains("--target"), "{error}");
    }
}
