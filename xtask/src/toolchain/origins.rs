//! Which of an unpacked folder's packages brought which static library, and under which terms.

use super::libraries::Origin;
use super::sysroot::PackageRoot;
use crate::apt::Apt;
use crate::download;
use crate::facts::hosts::Sysroot;
use crate::process::{self, capture, ended};
use crate::session::Session;
use anyarch_client::files;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tar::Archive;
use xshell::cmd;

/// Where the list stands: beside the folder, as the packages themselves need not be kept.
const LIST: &str = "libraries.json";
/// Where texts are that come from another package than the library.
const TEXTS: &str = "copyright";

/// A package and the static libraries in it.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    #[serde(flatten)]
    origin: Origin,
    /// Relative to the folder that stands for `/`.
    libraries: Vec<PathBuf>,
}

impl PackageRoot {
    /// The package that a library in this folder came from, and what it says of its copyright.
    pub fn origin(&self, session: &Session, wanted: &Sysroot, library: &Path) -> Result<(Origin, String)> {
        let contents = self.contents(session)?;
        let has = |one: &&Contents| one.libraries.iter().any(|path| path == library);
        let found = contents.iter().find(has);
        let origin = &found.with_context(|| format!("no package has {}", library.display()))?.origin;
        Ok((origin.clone(), self.copyright(session, wanted, origin)?))
    }

    /// What the packages hold, from the list, else from the packages.
    fn contents(&self, session: &Session) -> Result<Vec<Contents>> {
        let list = self.path().with_file_name(LIST);
        if let Some(known) = files::read_json(&list) {
            return Ok(known);
        }
        let mut contents = Vec::new();
        for item in self.packages() {
            let deb = download::cached(&session.workspace, &item.sha256, &item.file)?.with_context(|| {
                format!(
                    "{} is no longer in the cache; `cargo xtask toolchain --refresh` gets the packages again",
                    item.file
                )
            })?;
            contents.push(describe(&deb).with_context(|| format!("cannot look into {}", item.file))?);
        }
        files::write_json(&list, &contents)?;
        Ok(contents)
    }

    /// What a package says of its copyright: here, or in another package of the same source, which its folder
    /// is a link to.
    fn copyright(&self, session: &Session, wanted: &Sysroot, of: &Origin) -> Result<String> {
        let folder = self.path().join("usr/share/doc").join(&of.package);
        let link = fs::read_link(&folder).ok();
        let Some(other) = link.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) else {
            let path = folder.join("copyright");
            return fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()));
        };
        let kept = self.path().with_file_name(TEXTS).join(&of.package);
        if let Ok(text) = fs::read_to_string(&kept) {
            return Ok(text);
        }
        let apt = Apt::open(session, &wanted.suite, &wanted.arch)?;
        let got = apt.download(&[format!("{other}={}", of.version)])?;
        let (_, deb) = got.first().with_context(|| format!("there is no package {other}"))?;
        let name = format!("usr/share/doc/{other}/copyright");
        let text = read(deb, &name)?.with_context(|| format!("{} has no {name}", deb.display()))?;
        files::write_file(&kept, text.as_bytes())?;
        Ok(text)
    }
}

/// A package's names and static libraries.
fn describe(deb: &Path) -> Result<Contents> {
    let shell = process::shell()?;
    let field =
        |name: &str| capture(cmd!(shell, "dpkg-deb --field {deb} {name}")).map(|said| said.trim().to_owned());
    let (package, source) = (field("Package")?, field("Source")?);
    // `zlib (1:1.3)` where the versions differ, nothing where the names are the same.
    let source = source.split(' ').next().filter(|name| !name.is_empty()).unwrap_or(&package).to_owned();
    let origin = Origin { version: field("Version")?, package, source };
    let mut libraries = Vec::new();
    for entry in Archive::new(content(deb)?.as_slice()).entries()? {
        let entry = entry?;
        let path = entry.path()?.strip_prefix(".").map(Path::to_owned)?;
        if path.extension().is_some_and(|extension| extension == "a") {
            libraries.push(path);
        }
    }
    Ok(Contents { origin, libraries })
}

/// A text in a package.
fn read(deb: &Path, name: &str) -> Result<Option<String>> {
    for entry in Archive::new(content(deb)?.as_slice()).entries()? {
        let mut entry = entry?;
        if entry.path()?.strip_prefix(".").is_ok_and(|path| path == Path::new(name)) {
            let mut text = String::new();
            entry.read_to_string(&mut text).with_context(|| format!("{name} is not UTF-8 text"))?;
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// The files of a package, as a tar archive.
fn content(deb: &Path) -> Result<Vec<u8>> {
    let shell = process::shell()?;
    let output = process::output(&mut cmd!(shell, "dpkg-deb --fsys-tarfile {deb}").into())?;
    ensure!(output.status.success(), "dpkg-deb {}", ended(output.status));
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with a library, made here.
    fn deb(home: &Path, control: &str) -> PathBuf {
        let tree = home.join("tree");
        for (name, text) in [
            ("DEBIAN/control", control),
            ("usr/lib/x/liba.a", "!<arch>\n"),
            ("usr/lib/x/liba.so", ""),
            ("usr/share/doc/liba-dev/copyright", "Free.\n"),
        ] {
            files::write_file(&tree.join(name), text.as_bytes()).expect("written");
        }
        let deb = home.join("a.deb");
        let shell = process::shell().expect("a shell");
        capture(cmd!(shell, "dpkg-deb --root-owner-group --build {tree} {deb}")).expect("dpkg-deb");
        deb
    }

    #[test]
    fn a_package_is_known_by_its_names_and_libraries() {
        let cases = [("", "liba-dev"), ("Source: liba\n", "liba"), ("Source: liba (1:1.3)\n", "liba")];
        for (source, expected) in cases {
            let home = tempfile::tempdir().expect("a folder");
            let control = format!(
                "Package: liba-dev\n{source}Version: 1:1.3-1+b1\nArchitecture: all\nMaintainer: A <a@b>\nDescription: a\n"
            );
            let deb = deb(home.path(), &control);
            let found = describe(&deb).expect("described");
            let version = "1:1.3-1+b1".to_owned();
            let origin = Origin { package: "liba-dev".into(), version, source: expected.into() };
            assert_eq!(found.origin, origin);
            assert_eq!(found.libraries, [PathBuf::from("usr/lib/x/liba.a")]);
            let text = read(&deb, "usr/share/doc/liba-dev/copyright").expect("read");
            assert_eq!(text.as_deref(), Some("Free.\n"));
            assert_eq!(read(&deb, "usr/share/doc/other").expect("read"), None);
        }
    }
}
