//! Stage 3: what turns a patched tree into emulators for a host: compilers of the machine, a private
//! sysroot of static libraries, and private build tools. Nothing of it needs root.

mod compilers;
mod libraries;
mod origins;
mod place;
mod python;
mod rust;
mod sysroot;
mod tooling;

pub use compilers::{BUILD_PACKAGES, Compilers};
pub use libraries::Origin;
pub use place::Place;
use place::engine;
pub use python::{interpreter, requirements};
pub use rust::{RustToolchain, Rustc};
pub use sysroot::{Package, PackageRoot};
pub use tooling::{CompilerSource, Launcher, ToolchainOptions};

use crate::error::{INSTALL, Missing};
use crate::facts::{Host, Series, native};
use crate::process::capture;
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::files;
use anyarch_client::hash;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables of the user that reach the build; all others could change its outcome.
const PASSED_ON: [&str; 4] = ["HOME", "TMPDIR", "TERM", "USER"];
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
    /// Where compilers run: on this machine or in a container.
    pub place: Place,
    /// Compiler cache or distributed compiler, if one is used.
    pub launcher: Option<Launcher>,
    /// The compiler and its companions.
    pub compilers: Compilers,
    /// Version of the C compiler: first line of `--version`, without the program's name.
    pub cc_version: String,
    /// Version of the linker: first line of `--version`, without the program's name. Assembler and strip come with it.
    pub ld_version: String,
    /// Headers and static libraries.
    pub sysroot: PackageRoot,
    /// Header that is included before every source file, if there is one: a copy in the cache, with the same
    /// path for every build tree.
    pub header: Option<PathBuf>,
    /// Script that the linker reads beside its own, if there is one: a copy in the cache, as the header.
    pub link_script: Option<PathBuf>,
    /// Folder of the Python environment with meson, ninja and pkg-config.
    pub python: PathBuf,
    /// Unpacked packages with bison, flex and m4.
    pub tools: PackageRoot,
    /// The folder of the sysroot's `usr/lib` that holds the libraries.
    pub multiarch: String,
    /// For another host: libraries for programs that run during the build.
    build: Option<BuildMachine>,
}

/// What programs that run during a cross build are linked with.
#[derive(Debug, Clone)]
struct BuildMachine {
    sysroot: PackageRoot,
    multiarch: String,
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
pub fn prepare(
    session: &Session,
    host: &Host,
    series: &Series,
    tooling: &ToolchainOptions,
) -> Result<Toolchain> {
    refuse_blanks(&session.workspace.cache, "the cache", "set ANYARCH_CACHE to a path without them")?;
    // Before any download: a missing compiler is told at once.
    let compilers = find(host, tooling)?;
    let folder = session.workspace.root.join("toolchains");
    let text = fs::read_to_string(folder.join("tools.toml")).context("cannot read toolchains/tools.toml")?;
    let specified: Tools = toml::from_str(&text).context("toolchains/tools.toml is invalid")?;
    let place = Place::prepare(session, host, tooling, &Compilers::image_packages(host))?;

    let arch = crate::apt::native_arch();
    let tools =
        PackageRoot::prepare(session, "tools", &specified.debian.suite, arch, &specified.debian.packages)?;
    let lists = [Some(&specified.python.requirements), series.pins.build.python_packages.as_ref()];
    let packages = python::packages(&folder, lists.into_iter().flatten())?;
    // Both only wait for the network and the disk.
    let (sysroot, python) = rayon::join(
        || PackageRoot::sysroot(session, &host.sysroot),
        || python::prepare(session, &packages, &series.pins.build.python, &tools, &place),
    );
    let build = (!host.is_native()).then(|| BuildMachine::prepare(session)).transpose()?;
    let (cc_version, ld_version) = compilers.versions(&place)?;
    let kept = |name: Option<&String>| name.map(|name| keep(session, name)).transpose();
    let made = Toolchain {
        place,
        launcher: tooling.launcher,
        compilers,
        cc_version,
        ld_version,
        sysroot: sysroot?,
        header: kept(host.compiler.header.as_ref())?,
        link_script: kept(host.compiler.link_script.as_ref())?,
        python: python?,
        tools,
        multiarch: host.multiarch().to_owned(),
        build,
    };
    made.takes_its_own_libc()?;
    Ok(made)
}

/// A file of `toolchains/` in the cache, by its hash, where containers see it, too.
fn keep(session: &Session, name: &str) -> Result<PathBuf> {
    let given = session.workspace.root.join("toolchains").join(name);
    let text = fs::read(&given).with_context(|| format!("cannot read {}", given.display()))?;
    let kept = session.workspace.cache.join("headers").join(hash::sha256(&text)).join(name);
    if fs::read(&kept).ok().as_ref() != Some(&text) {
        files::write_file(&kept, &text)?;
    }
    Ok(kept)
}

/// The name of a file that was kept, and its hash, which is the name of its folder.
fn name_and_hash(kept: &Path) -> Option<(String, String)> {
    let text = |name: &OsStr| name.to_string_lossy().into_owned();
    Some((text(kept.file_name()?), text(kept.parent()?.file_name()?)))
}

/// The compilers for a host; what is missing is an error that names the command.
pub fn find(host: &Host, tooling: &ToolchainOptions) -> Result<Compilers> {
    can_call(tooling)?;
    match tooling.toolchain {
        CompilerSource::Container => Ok(Compilers::named(host)),
        CompilerSource::Machine => {
            let compilers = Compilers::find(host)?;
            tooling.launcher.map(|launcher| launches(launcher, &compilers)).transpose()?;
            Ok(compilers)
        }
    }
}

/// A launcher whose server or store does not answer would end in configure, which says that QEMU does not know the
/// machine.
fn launches(launcher: Launcher, compilers: &Compilers) -> Result<()> {
    let home = tempfile::tempdir().context("cannot make a folder")?;
    let source = home.path().join("probe.c");
    fs::write(&source, "int probe;\n").context("cannot write a source file")?;
    let mut command = Command::new(launcher.program());
    command.arg(&compilers.cc).args(&compilers.options).arg("-c").arg(&source).arg("-o");
    command.arg(home.path().join("probe.o")).current_dir(home.path());
    capture(command).map(drop).with_context(|| {
        let name = launcher.program();
        format!("{name} cannot compile: check its own settings, or leave out --launcher {name}")
    })
}

/// Checks that the container engine or the launcher that the options ask for is available.
pub fn can_call(tooling: &ToolchainOptions) -> Result<()> {
    if let Some(launcher) = tooling.launcher {
        let name = launcher.program();
        if tooling.toolchain == CompilerSource::Container {
            let reason = format!("--launcher {name} calls compilers of this machine, not of a container");
            return Err(Usage(reason).into());
        }
        which::which(name).map_err(|_| Missing::new(name, format!("{INSTALL}{name}")))?;
    }
    if tooling.toolchain == CompilerSource::Container {
        engine()?;
    }
    Ok(())
}

impl BuildMachine {
    fn prepare(session: &Session) -> Result<Self> {
        let hosts = Host::all(&session.workspace.root.join("toolchains"))?;
        let native = Host::named("native", &hosts)?;
        Ok(Self {
            sysroot: PackageRoot::sysroot(session, &native.sysroot)?,
            multiarch: native.multiarch().to_owned(),
        })
    }

    /// Tells meson. It asks pkg-config by the command that a variable holds; the others are the host's.
    fn environment(&self, command: &mut Command) {
        let root = self.sysroot.path().display();
        let libraries = format!("{root}/usr/lib/{}", self.multiarch);
        command.env(
            "PKG_CONFIG_FOR_BUILD",
            format!(
                "env PKG_CONFIG_LIBDIR={libraries}/pkgconfig:{root}/usr/share/pkgconfig PKG_CONFIG_SYSROOT_DIR={root} pkg-config"
            ),
        );
        command.env("CFLAGS_FOR_BUILD", format!("--sysroot={root}"));
        command.env("LDFLAGS_FOR_BUILD", format!("--sysroot={root}"));
    }
}

/// QEMU's configure splits its options at blanks.
pub fn refuse_blanks(path: &Path, what: &str, advice: &str) -> Result<()> {
    if path.to_string_lossy().contains([' ', ':', '\t', '\n']) {
        return Err(Usage(format!(
            "{what} ({}) has a space or a colon in its path: {advice}",
            path.display()
        ))
        .into());
    }
    Ok(())
}

impl Toolchain {
    /// Gives a build command this toolchain's environment and nothing of the user's that could change
    /// what comes out.
    pub fn environment(&self, command: &mut Command) {
        let launchers = self.launcher.map(Launcher::variables).unwrap_or_default();
        let kept = |name: &str| PASSED_ON.contains(&name) || launchers.iter().any(|p| name.starts_with(p));
        command.env_clear();
        command.envs(env::vars_os().filter(|(name, _)| name.to_str().is_some_and(kept)));
        let tools = self.tools.path();
        let machine = self.place.path();
        let folders = [self.python.join("bin"), tools.join("usr/bin")];
        let all = folders.into_iter().chain(env::split_paths(&machine)).chain(self.compilers.path.clone());
        // A folder with a colon in its name cannot stand in PATH; the caller refused those of ours.
        command.env("PATH", env::join_paths(all).unwrap_or(machine));
        let libraries = self.sysroot.path().join("usr/lib");
        let pkg_config = [
            libraries.join(&self.multiarch).join("pkgconfig"),
            libraries.join("pkgconfig"),
            self.sysroot.path().join("usr/share/pkgconfig"),
        ];
        command.env("PKG_CONFIG_LIBDIR", env::join_paths(pkg_config).unwrap_or_default());
        command.env("PKG_CONFIG_SYSROOT_DIR", self.sysroot.path());
        command.env("BISON_PKGDATADIR", tools.join("usr/share/bison"));
        command.env("M4", tools.join("usr/bin/m4"));
        command.env("LD_LIBRARY_PATH", tools.join("usr/lib").join(build_triple()));
        self.compilers.environment(command);
        if let Some(build) = &self.build {
            build.environment(command);
        }
        command.envs(FIXED);
    }

    /// The words that call the C compiler.
    pub fn cc(&self) -> Vec<String> {
        let launcher = self.launcher.map(|launcher| launcher.program().to_owned());
        let cc = self.compilers.cc.display().to_string();
        launcher.into_iter().chain([cc]).chain(self.compilers.options.clone()).collect()
    }

    /// What has the compiler take headers, start files and libraries from the sysroot, and from nowhere else.
    pub fn sysroot_options(&self) -> Vec<String> {
        sysroot_options(&self.sysroot, &self.multiarch)
    }

    /// An error if the C library is not the sysroot's.
    fn takes_its_own_libc(&self) -> Result<()> {
        let mut command = Command::new(&self.compilers.cc);
        command.args(&self.compilers.options).args(self.sysroot_options()).arg("-print-file-name=libc.a");
        let said = capture(self.place.command(command))?;
        let found = Path::new(said.trim());
        let found = found.canonicalize().unwrap_or_else(|_| found.to_owned());
        ensure!(
            found.starts_with(self.sysroot.path().canonicalize().context("the sysroot is gone")?),
            "{} takes its C library from {}, not from the sysroot",
            self.compilers.cc.display(),
            found.display()
        );
        Ok(())
    }

    /// The name and the hash of what is read before every source file.
    pub fn header_hash(&self) -> Option<(String, String)> {
        name_and_hash(self.header.as_deref()?)
    }

    /// The name and the hash of what the linker reads beside its own script.
    pub fn link_script_hash(&self) -> Option<(String, String)> {
        name_and_hash(self.link_script.as_deref()?)
    }

    /// Whether it makes programs for another machine than this one.
    pub fn is_cross(&self) -> bool {
        self.build.is_some()
    }

    /// Suffix for the names of build trees, for different ways of compiling that give the same bytes.
    pub fn suffix(&self) -> String {
        let launcher = self.launcher.map(|launcher| format!("-{}", launcher.program()));
        format!("{}{}", self.place.suffix(), launcher.unwrap_or_default())
    }

    /// Hash of everything in the toolchain that the bytes of an emulator depend on.
    pub fn key(&self) -> Result<String> {
        let python = self.python.file_name().map(|name| name.to_string_lossy().into_owned());
        hash::short_key(&(
            FIXED,
            &self.cc_version,
            &self.ld_version,
            &self.compilers.options,
            self.sysroot.packages(),
            self.tools.packages(),
            python,
        ))
    }
}

/// What has a compiler take headers, start files and libraries from a sysroot, and from nowhere else. A gcc looks beside
/// itself first, whatever `--sysroot` says, and a cross gcc of Debian's into `/usr/<triple>`: another C library may be
/// installed there.
fn sysroot_options(sysroot: &PackageRoot, multiarch: &str) -> Vec<String> {
    let root = sysroot.path().display();
    vec![
        format!("--sysroot={root}"),
        format!("-B{root}/usr/lib/{multiarch}/"),
        "-isystem".to_owned(),
        format!("{root}/usr/include/{multiarch}"),
        "-isystem".to_owned(),
        format!("{root}/usr/include"),
    ]
}

/// The multiarch folder of this machine's Debian architecture.
fn build_triple() -> &'static str {
    match native() {
        Ok("amd64") => "x86_64-linux-gnu",
        Ok("arm64") => "aarch64-linux-gnu",
        Ok("ppc64le") => "powerpc64le-linux-gnu",
        Ok("s390x") => "s390x-linux-gnu",
        _ => "",
    }
}
