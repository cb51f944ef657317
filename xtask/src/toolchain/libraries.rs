//! The static libraries that a linker may take, and the packages that they came from.

use super::Toolchain;
use super::place::Place;
use crate::facts::hosts::Sysroot;
use crate::process::capture;
use crate::session::Session;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What compilers link besides the libraries that they are told, as they are asked for it.
const RUNTIME: [&str; 3] =
    ["-print-libgcc-file-name", "-print-file-name=libgcc_eh.a", "-print-file-name=libatomic.a"];

/// The package that a library came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the binary package: `libglib2.0-dev`.
    pub package: String,
    /// The package's version: `2.74.6-2+deb12u9`.
    pub version: String,
    /// The source package that it was built from: `glib2.0`.
    pub source: String,
}

impl Toolchain {
    /// Every static library that an emulator may be linked with, as the compiler names it: those of the
    /// sysroot, and the compiler's own.
    pub fn static_libraries(&self) -> Result<Vec<PathBuf>> {
        let top = self.sysroot.path().join("usr/lib");
        let mut found = Vec::new();
        for folder in [top.join(&self.multiarch), top] {
            // A sysroot need not have both.
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
                if path.extension().is_some_and(|extension| extension == "a") {
                    found.push(path);
                }
            }
        }
        for question in RUNTIME {
            let mut ask = Command::new(&self.compilers.cc);
            ask.args(&self.compilers.options).args(self.sysroot_options()).arg(question);
            let said = capture(self.place.command(ask))?;
            // What it does not have, it names without a folder.
            let path = Path::new(said.trim());
            if path.is_absolute() {
                found.extend(self.place.real(path));
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The bytes of a library.
    pub fn read_library(&self, path: &Path) -> Result<Vec<u8>> {
        if path.starts_with(self.sysroot.path()) {
            return fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        }
        self.place.read(path)
    }

    /// The package that a library came from, and what that package says of its copyright.
    pub fn origin(&self, session: &Session, wanted: &Sysroot, library: &Path) -> Result<(Origin, String)> {
        match library.strip_prefix(self.sysroot.path()) {
            Ok(inside) => self.sysroot.origin(session, wanted, inside),
            Err(_) => installed(&self.place, library),
        }
    }
}

/// The same for a library that is installed where compilers run.
fn installed(place: &Place, library: &Path) -> Result<(Origin, String)> {
    let mut search = Command::new("dpkg-query");
    search.arg("--search").arg(library);
    let said = capture(place.command(search))
        .with_context(|| format!("{} belongs to no Debian package", library.display()))?;
    let package = owner(&said, library)
        .with_context(|| format!("unexpected output of dpkg about {}: {said}", library.display()))?;
    let mut show = Command::new("dpkg-query");
    show.args(["--show", "--showformat=${Version}\t${source:Package}", package]);
    let said = capture(place.command(show))?;
    let (version, source) =
        said.split_once('\t').with_context(|| format!("unexpected output of dpkg: {said}"))?;
    let package = package.split(':').next().unwrap_or(package);
    let copyright = place.read(&Path::new("/usr/share/doc").join(package).join("copyright"))?;
    let origin = Origin { package: package.into(), version: version.into(), source: source.into() };
    Ok((origin, String::from_utf8_lossy(&copyright).into_owned()))
}

/// The package in `libgcc-12-dev:amd64: /usr/lib/...`; the first, if several share the file.
fn owner<'a>(said: &'a str, library: &Path) -> Option<&'a str> {
    let of = |line: &'a str| {
        let (packages, path) = line.split_once(": ")?;
        (Path::new(path) == library).then(|| packages.split(", ").next()).flatten()
    };
    said.lines().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_file_is_read_from_what_dpkg_says() {
        let library = Path::new("/usr/lib/gcc/x86_64-linux-gnu/12/libgcc.a");
        let said = "diversion by x from: /usr/lib/a\nlibgcc-12-dev:amd64: /usr/lib/gcc/x86_64-linux-gnu/12/libgcc.a\n";
        assert_eq!(owner(said, library), Some("libgcc-12-dev:amd64"));
        let shared = format!("a, b: {}\n", library.display());
        assert_eq!(owner(&shared, library), Some("a"));
        assert_eq!(owner("libgcc-12-dev:amd64: /usr/lib/other.a\n", library), None);
    }
}
