//! What an emulator was really linked with: the static libraries that its symbols came from, with their
//! packages and licences. It is read off the linked file, since nothing else knows what the linker took.

mod license;
mod symbols;

use crate::facts::hosts::Sysroot;
use crate::session::Session;
use crate::toolchain::Toolchain;
use anyarch_client::hash;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use symbols::Definitions;

/// A static library that an emulator was linked with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Library {
    /// Name of the library: `libglib-2.0`.
    pub name: String,
    /// Its file: `libglib-2.0.a`.
    pub archive: String,
    /// The Debian package that it came in.
    pub package: String,
    /// That package's version.
    pub version: String,
    /// The source package that it was built from.
    pub source: String,
    /// Its licence as an SPDX expression, from the package's copyright file.
    pub license: String,
    /// SHA-256 of that copyright file, lower-case hex.
    pub copyright_sha256: String,
}

/// The static libraries that the emulators of a tree may be linked with.
#[derive(Debug)]
pub struct Libraries {
    paths: Vec<PathBuf>,
    definitions: Definitions,
}

impl Libraries {
    /// Reads all that a toolchain has.
    pub fn read(toolchain: &Toolchain) -> Result<Self> {
        let mut libraries = Self { paths: Vec::new(), definitions: Definitions::default() };
        for path in toolchain.static_libraries()? {
            let bytes = toolchain.read_library(&path)?;
            // Some are texts that name others, or plain objects that no linker searches.
            if bytes.starts_with(b"!<arch>\n") {
                let number = libraries.paths.len();
                let added = libraries.definitions.add(number, &bytes);
                added.with_context(|| format!("cannot read {}", path.display()))?;
                libraries.paths.push(path);
            }
        }
        Ok(libraries)
    }

    /// The libraries that an emulator was linked with, sorted by name. `linked` is the emulator with its symbols.
    pub fn of(
        &self,
        linked: &[u8],
        session: &Session,
        toolchain: &Toolchain,
        sysroot: &Sysroot,
    ) -> Result<Vec<Library>> {
        let mut found = Vec::new();
        for number in self.definitions.used_by(linked)? {
            let path = &self.paths[number];
            let described = describe(path, session, toolchain, sysroot);
            found.push(described.with_context(|| format!("the package of {} is not known", path.display()))?);
        }
        found.sort();
        Ok(found)
    }
}

fn describe(path: &Path, session: &Session, toolchain: &Toolchain, sysroot: &Sysroot) -> Result<Library> {
    let (origin, copyright) = toolchain.origin(session, sysroot, path)?;
    let archive = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Library {
        name: archive.strip_suffix(".a").unwrap_or(&archive).to_owned(),
        license: license::expression(&origin.source, &archive, &copyright)
            .with_context(|| format!("cannot read the licence of {}", origin.package))?,
        archive,
        package: origin.package,
        version: origin.version,
        source: origin.source,
        copyright_sha256: hash::sha256(copyright.as_bytes()),
    })
}
