//! Stage 3: what turns a patched tree into emulators for a host: compilers of the machine, a private
//! sysroot of static libraries, and private build tools. Nothing of it needs root.

mod python;
mod sysroot;

pub use python::{interpreter, requirements};
pub use sysroot::{Package, Root};

use crate::exit::{Lacks, Usage};
use crate::facts::{Host, Series};
use crate::process::capture;
use crate::session::Session;
use crate::store;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables of the user that reach the build; all others could change its outcome.
const PASSED_ON: [&str; 4] = ["HOME", "TMPDIR", "TERM", "USER"];
/// So do those of compiler caches and clusters.
const PASSED_ON_PREFIXES: [&str; 4] = ["CCACHE_", "SCCACHE_", "DISTCC_", "ICECC_"];
/// What is the same for every build. QEMU's decodetree writes C in the order of Python's sets, which is
/// another one in each run unless the hash seed is fixed.
const FIXED: [(&str, &str); 5] = [
    ("LC_ALL", "C.UTF-8"),
    ("TZ", "UTC"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONHASHSEED", "0"),
    ("PYTHONNOUSERSITE", "1"),
];

/// A host's toolchain, complete and ready.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The C compiler.
    pub cc: PathBuf,
    /// What it says of itself with `--version`, first line, without the name it was called by.
    pub cc_version: String,
    /// The same of its linker, which comes with the assembler and strip.
    pub ld_version: String,
    /// The program that strips symbols.
    pub strip: PathBuf,
    /// Headers and static libraries.
    pub sysroot: Root,
    /// meson, ninja and the like.
    pub python: PathBuf,
    /// bison, flex, m4.
    pub tools: Root,
    /// The host's GNU triple.
    pub triple: String,
}

/// What `toolchains/tools.toml` says.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Tools {
    python: PythonTools,
    debian: DebianTools,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PythonTools {
    requirements: PathBuf,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct DebianTools {
    suite: String,
    packages: Vec<String>,
}

/// Prepares the toolchain of a host for a series.
pub fn prepare(session: &Session, host: &Host, series: &Series) -> Result<Toolchain> {
    refuse_blanks(&session.workspace.cache, "the cache", "set ANYARCH_CACHE to one without")?;
    let (cc, strip) = compilers(host)?;
    let folder = session.workspace.root.join("toolchains");
    let text = fs::read_to_string(folder.join("tools.toml")).context("cannot read toolchains/tools.toml")?;
    let specified: Tools = toml::from_str(&text).context("toolchains/tools.toml is not what it should be")?;

    let arch = crate::apt::native_arch();
    let tools = Root::prepare(session, "tools", &specified.debian.suite, arch, &specified.debian.packages)?;
    let requirements = folder.join(&specified.python.requirements);
    // Both only wait for the network and the disk.
    let (sysroot, python) = rayon::join(
        || {
            Root::prepare(
                session,
                "sysroots",
                &host.sysroot.suite,
                &host.sysroot.arch,
                &host.sysroot.packages,
            )
        },
        || python::prepare(session, &requirements, &series.pins.build.python, &tools),
    );
    Ok(Toolchain {
        cc_version: version(&cc)?,
        ld_version: version(&linker(&cc)?)?,
        cc,
        strip,
        sysroot: sysroot?,
        python: python?,
        tools,
        triple: host.triple.clone(),
    })
}

/// QEMU's configure splits its options at blanks.
pub fn refuse_blanks(path: &Path, what: &str, advice: &str) -> Result<()> {
    if path.to_string_lossy().contains([' ', ':', '\t', '\n']) {
        return Err(Usage(format!(
            "{what} ({}) has a blank or a colon in its name: {advice}",
            path.display()
        ))
        .into());
    }
    Ok(())
}

/// The host's C compiler and strip on this machine.
pub fn compilers(host: &Host) -> Result<(PathBuf, PathBuf)> {
    Ok((
        first_of(&host.compiler.cc, "a C compiler", host)?,
        first_of(&host.compiler.strip, "binutils", host)?,
    ))
}

fn first_of(names: &[String], what: &str, host: &Host) -> Result<PathBuf> {
    let found = names.iter().find_map(|name| which::which(name).ok());
    found.ok_or_else(|| {
        let what = format!("{what} for {} ({})", host.platform, names.join(" or "));
        Lacks::new(what, &host.compiler.install).into()
    })
}

/// What a program says of itself. It begins with the name it was called by, which says nothing.
fn version(program: &Path) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("--version").env("LC_ALL", "C.UTF-8");
    let text = capture(command)?;
    let line = text.lines().next().unwrap_or_default().trim();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Ok(line.strip_prefix(&*name).unwrap_or(line).trim().to_owned())
}

/// The linker that a compiler calls.
fn linker(cc: &Path) -> Result<PathBuf> {
    let mut command = Command::new(cc);
    command.arg("-print-prog-name=ld");
    let name = capture(command)?;
    Ok(which::which(name.trim()).unwrap_or_else(|_| PathBuf::from(name.trim())))
}

impl Toolchain {
    /// Gives a build command this toolchain's environment and nothing of the user's that could change
    /// what comes out.
    pub fn environment(&self, command: &mut Command) {
        let kept =
            |name: &str| PASSED_ON.contains(&name) || PASSED_ON_PREFIXES.iter().any(|p| name.starts_with(p));
        command.env_clear();
        command.envs(env::vars_os().filter(|(name, _)| name.to_str().is_some_and(kept)));
        let tools = self.tools.path();
        let machine = env::var_os("PATH").unwrap_or_default();
        let folders = [self.python.join("bin"), tools.join("usr/bin")];
        let all = folders.into_iter().chain(env::split_paths(&machine));
        // A folder with a colon in its name cannot stand in PATH; the caller refused those of ours.
        command.env("PATH", env::join_paths(all).unwrap_or(machine));
        let libraries = self.sysroot.path().join("usr/lib");
        let pkg_config = [
            libraries.join(&self.triple).join("pkgconfig"),
            libraries.join("pkgconfig"),
            self.sysroot.path().join("usr/share/pkgconfig"),
        ];
        command.env("PKG_CONFIG_LIBDIR", env::join_paths(pkg_config).unwrap_or_default());
        command.env("PKG_CONFIG_SYSROOT_DIR", self.sysroot.path());
        command.env("BISON_PKGDATADIR", tools.join("usr/share/bison"));
        command.env("M4", tools.join("usr/bin/m4"));
        command.env("LD_LIBRARY_PATH", tools.join("usr/lib").join(build_triple()));
        command.envs(FIXED);
    }

    /// Stands for everything of it that an emulator's bytes depend on.
    pub fn key(&self) -> Result<String> {
        let python = self.python.file_name().map(|name| name.to_string_lossy().into_owned());
        store::short_key(&(
            FIXED,
            &self.cc_version,
            &self.ld_version,
            self.sysroot.packages(),
            self.tools.packages(),
            python,
        ))
    }
}

/// The multiarch folder of this machine's Debian architecture.
fn build_triple() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "x86_64-linux-gnu",
        "aarch64" => "aarch64-linux-gnu",
        "powerpc64" => "powerpc64le-linux-gnu",
        "s390x" => "s390x-linux-gnu",
        _ => "",
    }
}
