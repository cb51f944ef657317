//! A host's compiler and its companions, as they are found on this machine or in an image.

use super::place::Place;
use crate::error::{INSTALL, Missing};
use crate::facts::Host;
use crate::process::capture;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `toolchains/<host>.toml` names with `tools`, and the variable that tells QEMU's configure.
const COMPANIONS: [(&str, &str); 6] = [
    ("ar", "AR"),
    ("nm", "NM"),
    ("objcopy", "OBJCOPY"),
    ("ranlib", "RANLIB"),
    ("readelf", "READELF"),
    ("strip", "STRIP"),
];
/// Compiler for programs that run during the build, which every build needs.
pub const BUILD_CC: &str = "gcc";
/// Debian packages of [`BUILD_CC`].
pub const BUILD_PACKAGES: [&str; 2] = ["gcc", "libc6-dev"];

/// A host's compiler and its companions.
#[derive(Debug, Clone)]
pub struct Compilers {
    /// The C compiler.
    pub cc: PathBuf,
    /// Options that it always gets.
    pub options: Vec<String>,
    /// The linker that it is to call, if not its own choice.
    linker: Option<String>,
    /// Folder that contains the compiler under the name `gcc` or `cc`.
    pub path: Option<PathBuf>,
    /// The C compiler for this machine.
    pub build_cc: PathBuf,
    /// The companions, each with the variable that names it.
    companions: Vec<(&'static str, PathBuf)>,
    /// The program that strips symbols.
    pub strip: PathBuf,
}

impl Compilers {
    /// Finds the compilers on this machine. The error lists everything that is missing, with one command that
    /// installs it.
    pub fn find(host: &Host) -> Result<Self, Missing> {
        let mut missing = Vec::new();
        let wants = Self::packages(host);
        let mut find = |name: &str, plain: &str, wants: &[&str]| {
            let native = host.is_native().then_some(plain);
            let found = std::iter::once(name).chain(native).find_map(|name| which::which(name).ok());
            if found.is_none() {
                missing.extend(wants.iter().map(|name| (*name).to_owned()));
            }
            found.unwrap_or_default()
        };
        let build_cc = find(BUILD_CC, BUILD_CC, &BUILD_PACKAGES);
        let found = Self {
            cc: find(&host.compiler.cc, BUILD_CC, &wants),
            options: host.compiler.options.clone(),
            linker: host.compiler.linker.clone(),
            path: host.compiler.path.clone(),
            build_cc,
            companions: COMPANIONS
                .map(|(tool, variable)| {
                    (variable, find(&host.compiler.tools.replace("{}", tool), tool, &wants))
                })
                .to_vec(),
            strip: find(&host.compiler.tools.replace("{}", "strip"), "strip", &wants),
        };
        let mut what = "a C compiler".to_owned();
        if let Some(linker) = found.named_linker().filter(|linker| which::which(linker).is_err()) {
            if missing.is_empty() {
                what = format!("the linker {linker}");
            }
            missing.extend(wants.iter().map(|name| (*name).to_owned()));
        }
        if missing.is_empty() {
            return Ok(found);
        }
        missing.sort();
        missing.dedup();
        let what = format!("{what} for {}", host.platform);
        Err(Missing::new(what, format!("{INSTALL}{}", missing.join(" "))))
    }

    /// The packages that hold a host's compilers on this machine, besides those of every build.
    pub fn packages(host: &Host) -> Vec<&str> {
        if host.is_native() {
            return BUILD_PACKAGES.to_vec();
        }
        host.compiler.packages.iter().map(String::as_str).collect()
    }

    /// The packages that an image holds: the compilers of every build, and the host's.
    pub fn image_packages(host: &Host) -> Vec<&str> {
        BUILD_PACKAGES.into_iter().chain(host.compiler.packages.iter().map(String::as_str)).collect()
    }

    /// The compilers by name only, for an image that is built from our list of packages.
    pub fn named(host: &Host) -> Self {
        let companion = |tool: &str| PathBuf::from(host.compiler.tools.replace("{}", tool));
        Self {
            cc: PathBuf::from(&host.compiler.cc),
            options: host.compiler.options.clone(),
            linker: host.compiler.linker.clone(),
            path: host.compiler.path.clone(),
            build_cc: PathBuf::from(BUILD_CC),
            companions: COMPANIONS.map(|(tool, variable)| (variable, companion(tool))).to_vec(),
            strip: companion("strip"),
        }
    }

    /// The program that the compiler calls with `-fuse-ld`, if it is told one.
    fn named_linker(&self) -> Option<String> {
        self.linker.as_ref().map(|linker| format!("ld.{linker}"))
    }

    /// A companion by the variable that names it to QEMU's configure: `AR`.
    pub fn companion(&self, variable: &str) -> Option<&Path> {
        self.companions.iter().find(|(name, _)| *name == variable).map(|(_, path)| path.as_path())
    }

    /// Names the companions to QEMU's configure and what it calls.
    pub fn environment(&self, command: &mut Command) {
        command.envs(self.companions.iter().map(|(variable, path)| (*variable, path)));
    }

    /// Versions of the compiler and of its linker: first lines of `--version`, without the programs' names.
    pub fn versions(&self, place: &Place) -> Result<(String, String)> {
        let ld = match self.named_linker() {
            Some(linker) => linker,
            None => {
                let mut command = Command::new(&self.cc);
                command.args(&self.options).arg("-print-prog-name=ld");
                capture(place.command(command))?
            }
        };
        Ok((version(place, &self.cc)?, version(place, Path::new(ld.trim()))?))
    }
}

/// What a program says of itself, first line. It begins with the name it was called by, which says
/// nothing.
fn version(place: &Place, program: &Path) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("--version").env("LC_ALL", "C.UTF-8");
    let text = capture(place.command(command))
        .with_context(|| format!("cannot ask {} for its version", program.display()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Ok(line.strip_prefix(&*name).unwrap_or(line).trim().to_owned())
}
