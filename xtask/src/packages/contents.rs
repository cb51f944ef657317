//! The three packages that dpkg, rpm and apk get, and what each installs.
//!
//! Emulators lie in `/usr/libexec/anyarch`, since `/usr/bin/qemu-aarch64` belongs to the distributions' own packages,
//! and both can be installed. `anyarch` finds them there.

use super::binfmt::{self, Scripts};
use super::entry::{Entry, Kind};
use crate::facts::Host;
use crate::released::Unpacked;
use anyarch_binfmt::emulator::INTERCEPTING;
use anyarch_manifest::layout::{self, PACKAGED, PROGRAM};
use anyhow::Result;

/// The package with all emulators of a host.
pub const EMULATORS: &str = "anyarch-qemu-user";
/// The package that registers them with the kernel.
pub const BINFMT: &str = "anyarch-binfmt";

/// Where everything is installed.
const PREFIX: &str = "usr";

/// A package, before it has a format.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name, which is also that of its source where that is asked for.
    pub name: &'static str,
    /// What it is, in a few words that follow "it is".
    pub summary: &'static str,
    /// What it is for: lines of at most 76 characters.
    pub description: &'static [&'static str],
    /// Its licence, as SPDX writes it.
    pub license: &'static str,
    /// The other packages that it needs, of the same version.
    pub depends: &'static [&'static str],
    /// The other packages that go well with it.
    pub suggests: &'static [&'static str],
    /// What it installs.
    pub entries: Vec<Entry>,
    /// What is run when it is installed and removed.
    pub scripts: Option<Scripts>,
}

/// The packages for a host: that of the users' program only if the release has it, and what registers emulators only if
/// there are some that the host needs.
///
/// # Errors
/// When what was unpacked cannot be listed.
pub fn packages(unpacked: &Unpacked, host: &Host, zsh: &str) -> Result<Vec<Package>> {
    let mut all = vec![emulators(unpacked)?];
    all.extend(registers(unpacked, host));
    if unpacked.has_program() {
        all.push(program(unpacked, zsh)?);
    }
    Ok(all)
}

fn emulators(unpacked: &Unpacked) -> Result<Package> {
    let folder = PACKAGED.trim_start_matches('/');
    let mut entries = Vec::new();
    for target in unpacked.targets() {
        let name = layout::program(target);
        let path = format!("{folder}/{name}");
        let link = format!("{path}{INTERCEPTING}");
        entries.push(Entry { path, kind: Kind::Program(unpacked.program(target)) });
        // Registered by this name, it starts its guest's children itself.
        entries.push(Entry { path: link, kind: Kind::Link(name) });
        entries.extend(texts(unpacked, target)?);
    }
    Ok(Package {
        name: EMULATORS,
        summary: "QEMU user-mode emulators that start their guest's children",
        description: &[
            "Static emulators that run programs of other machines. With the option",
            "--execve self, an emulator starts the programs that its guest starts, so",
            "that a foreign root file system works without binfmt_misc or privilege.",
            "They are installed in /usr/libexec/anyarch.",
        ],
        license: "GPL-2.0-only AND LGPL-2.1-or-later AND BSD-3-Clause AND Zlib",
        depends: &[],
        suggests: &[PROGRAM, BINFMT],
        entries,
        scripts: None,
    })
}

fn program(unpacked: &Unpacked, zsh: &str) -> Result<Package> {
    let path = format!("{PREFIX}/{}", layout::emulator(PROGRAM));
    let mut entries = vec![Entry { path, kind: Kind::Program(unpacked.program(PROGRAM)) }];
    for mut text in texts(unpacked, PROGRAM)? {
        // What completes words goes where shells look for it.
        text.path = match text.file_name().strip_prefix("anyarch.") {
            Some("bash") => format!("{PREFIX}/share/bash-completion/completions/{PROGRAM}"),
            Some("fish") => format!("{PREFIX}/share/fish/vendor_completions.d/{PROGRAM}.fish"),
            Some("zsh") => format!("{zsh}/_{PROGRAM}"),
            _ => text.path,
        };
        entries.push(text);
    }
    Ok(Package {
        name: PROGRAM,
        summary: "program that runs foreign root file systems and container images",
        description: &[
            "anyarch run starts the programs of another machine's root file system or",
            "container image, as an ordinary user. It can also register emulators with",
            "the kernel, and make a root file system of Debian's packages.",
        ],
        license: "MIT OR Apache-2.0",
        depends: &[],
        suggests: &[EMULATORS],
        entries,
        scripts: None,
    })
}

fn registers(unpacked: &Unpacked, host: &Host) -> Option<Package> {
    let (entries, scripts) = binfmt::files(&unpacked.targets(), host)?;
    Some(Package {
        name: BINFMT,
        summary: "QEMU user-mode emulators registered with the kernel",
        description: &[
            "The kernel runs programs of other machines by the emulators of the package",
            "anyarch-qemu-user, also in containers and chroots. Registrations of others",
            "stay, and count again when this package is removed.",
        ],
        license: "MIT OR Apache-2.0",
        depends: &[EMULATORS],
        suggests: &[],
        entries,
        scripts: Some(scripts),
    })
}

/// The texts that go with an emulator, or with the users' program.
fn texts(unpacked: &Unpacked, target: &str) -> Result<Vec<Entry>> {
    let texts = unpacked.docs(target, PREFIX)?;
    Ok(texts.into_iter().map(|one| Entry { path: one.name, kind: Kind::Text(one.from) }).collect())
}
