//! Compiles the program for a host: the same bytes in every folder and for every user.

use super::crates::{Linkage, Linked, linkage};
use super::facts::{Facts, source};
use crate::facts::hosts::{Rust, RustLibrary};
use crate::facts::{Host, Series};
use crate::process::LoggedCommand;
use crate::session::BuildSession;
use crate::toolchain::RustToolchain;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What folders are called in what is compiled: panics tell where they come from.
const NAMED: [&str; 3] = ["/anyarch", "/build", "/crates"];

/// A program that was compiled and linked. Only [`compile`] makes one.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(super) host: Host,
    pub(super) rust: Rust,
    pub(super) path: PathBuf,
    pub(super) facts: Facts,
    pub(super) linked: Vec<Linked>,
    /// The licences of all that is linked.
    pub(super) licenses: String,
}

impl Compiled {
    /// The host that it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The program.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Compiles the program for a host by cargo, which knows itself what is up to date.
pub fn compile(
    session: &BuildSession,
    series: &Series,
    host: &Host,
    rust: &Rust,
    toolchain: &RustToolchain,
) -> Result<Compiled> {
    let facts = Facts::gather(&session.workspace.root, series, host, rust, toolchain)?;
    let step = session.progress.step(format!("{:<8} anyarch", host.platform));
    let linkage = linkage(session, host, rust, toolchain)?;
    let folder = session.workspace.trees.join("program");
    let mut command = toolchain.rustc.cargo(&["build", "--locked", "--package", "anyarch", "--release"]);
    command
        .args(["--target", &rust.target, "--jobs", &session.jobs.to_string(), "--target-dir"])
        .arg(&folder);
    if session.offline {
        command.arg("--offline");
    }
    if rust.library == RustLibrary::Source {
        // Cargo's only way to compile the standard library. The compiler is pinned, and so is what this means.
        command.args(["-Zbuild-std=std,panic_abort"]).env("RUSTC_BOOTSTRAP", "1");
    }
    let place = Place { root: &session.workspace.root, folder: &folder, linkage: &linkage };
    place.tell(&mut command, &facts, rust, toolchain);
    command.env("ANYARCH_RELEASE", &facts.release).env("ANYARCH_TARGETS", facts.targets.join(" "));
    command.env("SOURCE_DATE_EPOCH", series.pins.epoch.to_string());
    let log = session.workspace.log(&format!("program-{}", host.file_name()));
    LoggedCommand::new(command, &log)
        .run(&session.progress, |_| ())
        .with_context(|| format!("anyarch does not compile for {}", host.platform))?;
    ensure!(
        facts.source == source(&session.workspace.root)?,
        "the source of anyarch changed while it was compiled; run the command again"
    );
    step.done("compiled");
    let path = folder.join(&rust.target).join("release/anyarch");
    let (host, rust) = (host.clone(), rust.clone());
    Ok(Compiled { host, rust, path, facts, linked: linkage.linked, licenses: linkage.licenses })
}

/// Folders of this machine, which shall leave no trace.
struct Place<'a> {
    root: &'a Path,
    folder: &'a Path,
    linkage: &'a Linkage,
}

impl Place<'_> {
    /// Folders, and what each is called instead; the last that fits counts.
    fn names(&self) -> Vec<(String, &'static str)> {
        let [root, folder, crates] = NAMED;
        let mut names = vec![(self.root.display().to_string(), root)];
        names.push((self.folder.display().to_string(), folder));
        names.extend(self.linkage.folders.iter().map(|folder| (folder.display().to_string(), crates)));
        names
    }

    /// Gives cargo the compilers for the target, with options that name no folder of this machine.
    fn tell(&self, command: &mut Command, facts: &Facts, rust: &Rust, toolchain: &RustToolchain) {
        let library = toolchain.rustc.sysroot.join("lib/rustlib/src/rust").display().to_string();
        let its_name = format!("/rustc/{}", toolchain.rustc.commit);
        let mut flags = facts.rustflags.clone();
        let names = self.names();
        let mapped = names.iter().map(|(folder, name)| (folder.as_str(), *name));
        let mapped = mapped.chain([(library.as_str(), its_name.as_str())]);
        flags.extend(mapped.map(|(folder, name)| format!("--remap-path-prefix={folder}={name}")));
        if rust.takes_libc_of_sysroot() {
            flags.extend(toolchain.sysroot_options.iter().map(|word| format!("-Clink-arg={word}")));
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        let mapped = names.iter().map(|(folder, name)| format!("-ffile-prefix-map={folder}={name}"));
        let options = facts.compiler_options.iter().cloned().chain(toolchain.sysroot_options.clone());
        let cflags: Vec<String> = options.chain(mapped).collect();
        let (of_cc, of_cargo) = (rust.target.replace('-', "_"), rust.target.to_uppercase().replace('-', "_"));
        command.env(format!("CC_{of_cc}"), &toolchain.compilers.cc);
        command.env(format!("CFLAGS_{of_cc}"), cflags.join(" "));
        command.env(format!("CARGO_TARGET_{of_cargo}_LINKER"), &toolchain.compilers.cc);
        if let Some(ar) = toolchain.compilers.companion("AR") {
            command.env(format!("AR_{of_cc}"), ar);
        }
    }
}
