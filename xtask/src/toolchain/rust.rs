//! What turns the users' program into a static one for a host: the Rust compiler of the checkout, and the host's C
//! compiler and sysroot for what in it is C. Nothing of it changes the system.

use super::compilers::Compilers;
use super::place::Place;
use super::sysroot::PackageRoot;
use super::{FIXED, PASSED_ON, refuse_blanks};
use crate::error::Missing;
use crate::facts::Host;
use crate::facts::hosts::{Rust, RustLibrary};
use crate::process::capture;
use crate::session::Session;
use anyhow::{Context as _, Result};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables of cargo and rustup that reach a build besides those of every build: where they keep things, and how they
/// reach the network. None of them changes what is compiled.
const CARGOS: [&str; 9] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "RUSTUP_",
    "SSL_CERT_",
    "PATH",
];
/// How to reach the network, in upper or lower case.
const PROXIES: [&str; 4] = ["all_proxy", "http_proxy", "https_proxy", "no_proxy"];

/// The checkout's Rust compiler, with a standard library for a host.
#[derive(Debug, Clone)]
pub struct Rustc {
    cargo: PathBuf,
    root: PathBuf,
    /// What `rustc --version` says: `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub version: String,
    /// The commit that the compiler was made from; its standard library names its own files by that.
    pub commit: String,
    /// The folder of compiler and libraries.
    pub sysroot: PathBuf,
}

/// All that makes the program for a host.
#[derive(Debug, Clone)]
pub struct RustToolchain {
    /// The Rust compiler.
    pub rustc: Rustc,
    /// The C compiler and its companions.
    pub compilers: Compilers,
    /// Version of the C compiler: first line of `--version`, without the program's name.
    pub cc_version: String,
    /// Version of the linker: first line of `--version`, without the program's name.
    pub ld_version: String,
    /// C headers, and for some hosts the C library.
    pub sysroot: PackageRoot,
    /// What has the C compiler take headers and libraries from the sysroot.
    pub sysroot_options: Vec<String>,
}

impl Rustc {
    /// The compiler that `rust-toolchain.toml` names, if it has what the host wants; else the command that gets it.
    pub fn find(root: &Path, rust: &Rust) -> Result<Self> {
        let cargo = env::var_os("CARGO").map(PathBuf::from).or_else(|| which::which("cargo").ok());
        let cargo = cargo.ok_or_else(|| Missing::new("cargo", "see https://rustup.rs"))?;
        let ask = |words: &[&str]| {
            let mut command = Command::new("rustc");
            command.args(words).current_dir(root);
            capture(command).map(|said| said.trim().to_owned())
        };
        let said = ask(&["--version", "--verbose"])?;
        let commit = said.lines().find_map(|line| line.strip_prefix("commit-hash: "));
        let found = Self {
            cargo,
            root: root.to_owned(),
            version: said.lines().next().unwrap_or_default().to_owned(),
            commit: commit.unwrap_or("unknown").to_owned(),
            sysroot: ask(&["--print", "sysroot"])?.into(),
        };
        found.has_library(rust)?;
        Ok(found)
    }

    fn has_library(&self, rust: &Rust) -> Result<(), Missing> {
        let libraries = self.sysroot.join("lib/rustlib");
        let place = match rust.library {
            RustLibrary::Rustup => libraries.join(&rust.target).join("lib"),
            RustLibrary::Source => libraries.join("src/rust/library/std"),
        };
        if place.is_dir() {
            return Ok(());
        }
        let what = format!("Rust's standard library for {}", rust.target);
        Err(Missing::new(what, format!("rustup {}", rust.rustup())))
    }

    /// A cargo in the checkout, with nothing of the user's environment that could change what comes out.
    pub fn cargo(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        let is_kept = |name: &str| {
            PASSED_ON.contains(&name)
                || CARGOS.iter().any(|prefix| name.starts_with(prefix))
                || PROXIES.contains(&name.to_ascii_lowercase().as_str())
        };
        command.args(words).current_dir(&self.root).env_clear();
        command.envs(env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_kept)));
        command.envs(FIXED).env("CARGO_TERM_COLOR", "never").env("CARGO_INCREMENTAL", "0");
        command
    }
}

impl RustToolchain {
    /// Finds the compilers of a host and unpacks its sysroot. What is missing is told before anything is downloaded.
    pub fn prepare(session: &Session, host: &Host, rust: &Rust) -> Result<Self> {
        refuse_blanks(&session.workspace.cache, "the cache", "set ANYARCH_CACHE to a path without them")?;
        refuse_blanks(&session.workspace.trees, "the folder for build trees", "pass --build-dir")?;
        let rustc = Rustc::find(&session.workspace.root, rust)?;
        let compilers = Compilers::find(host)?;
        let (cc_version, ld_version) = compilers.versions(&Place::Machine)?;
        let sysroot = PackageRoot::sysroot(session, &host.sysroot)
            .with_context(|| format!("no C library for {}", host.platform))?;
        let sysroot_options = super::sysroot_options(&sysroot, host.multiarch());
        Ok(Self { rustc, compilers, cc_version, ld_version, sysroot, sysroot_options })
    }
}
