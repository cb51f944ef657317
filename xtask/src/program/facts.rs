//! What the program is built from and with, and how far that is this checkout's.

use crate::facts::hosts::{Rust, RustLibrary};
use crate::facts::{Host, Series};
use crate::toolchain::RustToolchain;
use anyarch_client::hash;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The crates that it is made of, by their folders in the checkout.
const CRATES: [&str; 5] = ["anyarch", "binfmt", "client", "image", "manifest"];
/// What else of the checkout counts: dependencies with their hashes, options, the compiler.
const SETTINGS: [&str; 4] = [".cargo/config.toml", "Cargo.lock", "Cargo.toml", "rust-toolchain.toml"];

/// What the program was built from and with. It is written to `build.json` of the archive, so it contains no paths and
/// no times.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Facts {
    /// The release that it belongs to, as it says with `--version`.
    pub release: String,
    /// The targets that the release has emulators for on this host, as it says with `--version`.
    pub targets: Vec<String>,
    /// Hash of its source in the checkout, with all that pins its dependencies: SHA-256, lower-case hex.
    pub source: String,
    /// Rust's name of the host.
    pub target: String,
    /// Where Rust's standard library came from.
    pub library: RustLibrary,
    /// What `rustc --version` says.
    pub rustc: String,
    /// Options of rustc, without paths.
    pub rustflags: Vec<String>,
    /// Version of the C compiler: first line of `--version`, without the program's name.
    pub compiler: String,
    /// Options that make the C compiler generate code for the host.
    pub compiler_options: Vec<String>,
    /// Version of the linker: first line of `--version`, without the program's name.
    pub linker: String,
    /// Packages of C headers and of the C library: file name and SHA-256 in lower-case hex.
    pub sysroot: Vec<(String, String)>,
}

impl Facts {
    /// What it would be built from and with in this checkout, by this toolchain.
    pub fn gather(
        root: &Path,
        series: &Series,
        host: &Host,
        rust: &Rust,
        toolchain: &RustToolchain,
    ) -> Result<Self> {
        Ok(Self {
            release: series.release(),
            targets: targets(series, host)?,
            source: source(root)?,
            target: rust.target.clone(),
            library: rust.library,
            rustc: toolchain.rustc.version.clone(),
            rustflags: rustflags(host),
            compiler: toolchain.cc_version.clone(),
            compiler_options: host.compiler.options.clone(),
            linker: toolchain.ld_version.clone(),
            sysroot: toolchain
                .sysroot
                .packages()
                .iter()
                .map(|one| (one.file.clone(), one.sha256.clone()))
                .collect(),
        })
    }

    /// What of it is another one than this checkout's, in words. Compilers are not the checkout's.
    pub fn other_pin(&self, root: &Path, series: &Series) -> Result<Option<String>> {
        let release = series.release();
        if self.release != release {
            return Ok(Some(format!("release {}, not {release}", self.release)));
        }
        Ok((self.source != source(root)?).then(|| "its source is another one".to_owned()))
    }
}

/// The targets that the series has emulators for on a host.
fn targets(series: &Series, host: &Host) -> Result<Vec<String>> {
    let fits = |bits: u8| series.pins.build.wide_on_narrow || host.elf.bits >= bits;
    let targets = series.targets()?.into_iter().filter(|target| fits(target.bits));
    Ok(targets.map(|target| target.name.to_owned()).collect())
}

/// Options of rustc for a host, without those that hold paths.
fn rustflags(host: &Host) -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let linker = host.compiler.linker.iter().map(|linker| format!("-fuse-ld={linker}"));
    let told = ["-Wl,--build-id=sha1".to_owned(), "-Wl,-z,noexecstack".to_owned()].into_iter().chain(linker);
    flags.extend(told.chain(host.compiler.options.iter().cloned()).map(|word| format!("-Clink-arg={word}")));
    flags
}

/// One hash of all files that the program is compiled from and with.
pub fn source(root: &Path) -> Result<String> {
    let mut files: Vec<String> = SETTINGS.iter().map(|name| (*name).to_owned()).collect();
    for name in CRATES {
        files.push(format!("{name}/Cargo.toml"));
        below(root, &format!("{name}/src"), &mut files)?;
    }
    files.sort();
    let hashed = files.iter().map(|file| Ok((file, hash::sha256_file(&root.join(file))?)));
    let hashed = hashed.collect::<Result<Vec<_>>>()?;
    Ok(hash::sha256(&serde_json::to_vec(&hashed).context("cannot encode the hashes of the source")?))
}

/// All files below a folder of the checkout.
fn below(root: &Path, folder: &str, files: &mut Vec<String>) -> Result<()> {
    let cannot = || format!("cannot list {folder} of the checkout");
    for entry in fs::read_dir(root.join(folder)).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().with_context(cannot)?.is_dir() {
            below(root, &name, files)?;
        } else if name.ends_with(".rs") {
            files.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::series;
    use anyarch_client::files;

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn a_change_of_the_source_or_of_a_dependency_is_another_source() {
        let home = tempfile::tempdir().expect("a folder");
        for name in CRATES {
            files::write_file(&home.path().join(name).join("src/lib.rs"), b"").expect("written");
            files::write_file(&home.path().join(name).join("Cargo.toml"), b"").expect("written");
        }
        for name in SETTINGS {
            files::write_file(&home.path().join(name), b"").expect("written");
        }
        let first = source(home.path()).expect("hashed");
        files::write_file(&home.path().join("anyarch/tests/it.rs"), b"fn it() {}").expect("written");
        assert_eq!(source(home.path()).expect("hashed"), first, "tests are not compiled in");
        for name in ["Cargo.lock", "client/src/lib.rs", "image/src/deep/er.rs"] {
            let before = source(home.path()).expect("hashed");
            files::write_file(&home.path().join(name), b"// changed").expect("written");
            assert_ne!(source(home.path()).expect("hashed"), before, "{name}");
        }
    }

    #[test]
    fn every_crate_that_the_program_stands_on_counts() {
        let lock = fs::read_to_string(root().join("Cargo.lock")).expect("a lock");
        let own = |name: &str| {
            let package =
                lock.split("[[package]]").find(|one| one.contains(&format!("\nname = \"{name}\"\n")));
            package.expect("a package").to_owned()
        };
        let mut wanted = vec!["anyarch".to_owned()];
        let mut at = 0;
        while let Some(name) = wanted.get(at).cloned() {
            for other in own(&name).lines().filter_map(|line| line.strip_prefix(" \"anyarch-")) {
                let other = format!("anyarch-{}", other.trim_end_matches(['"', ',']));
                if !wanted.contains(&other) {
                    wanted.push(other);
                }
            }
            at += 1;
        }
        let mut folders: Vec<&str> =
            wanted.iter().map(|name| name.strip_prefix("anyarch-").unwrap_or(name)).collect();
        folders.sort_unstable();
        assert_eq!(folders, CRATES);
    }

    #[test]
    fn options_say_what_the_hosts_data_says() {
        let hosts = Host::all(&root().join("toolchains")).expect("hosts");
        for host in &hosts {
            let flags = rustflags(host);
            let linker = host.compiler.linker.as_ref();
            let linker = linker.map(|linker| format!("-Clink-arg=-fuse-ld={linker}"));
            assert!(linker.is_none_or(|flag| flags.contains(&flag)), "{}: {flags:?}", host.platform);
            assert!(flags.iter().all(|flag| !flag.contains(' ')), "{flags:?}");
        }
    }

    #[test]
    fn a_32_bit_host_names_no_emulators_that_it_has_not() {
        let series = Series::read(&root().join("patches"), series::DEFAULT).expect("a series");
        for host in Host::all(&root().join("toolchains")).expect("hosts") {
            let targets = targets(&series, &host).expect("targets");
            assert!(targets.iter().any(|name| name == "arm"));
            assert_eq!(
                targets.iter().any(|name| name == "aarch64"),
                host.elf.bits == 64,
                "{}",
                host.platform
            );
        }
    }
}
