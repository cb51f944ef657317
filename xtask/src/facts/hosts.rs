//! What emulators run on: one file `toolchains/<host>.toml` each.

use super::{read_toml, unknown};
use crate::exit::Usage;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// A host: where emulators run, and how they are made for it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Docker's platform name, without `linux/`: `amd64`, `arm/v7`.
    pub platform: String,
    /// Other names that mean this host.
    pub aliases: Vec<String>,
    /// The GNU triple: `x86_64-linux-gnu`.
    pub triple: String,
    /// The compilers and their kind.
    pub compiler: Compiler,
    /// The static libraries.
    pub sysroot: Sysroot,
    /// What its emulators look like.
    pub elf: Elf,
}

/// Programs that turn source into emulators; of each list the first one found is taken.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Compiler {
    /// C compilers, best first.
    pub cc: Vec<String>,
    /// Programs that strip symbols, best first.
    pub strip: Vec<String>,
    /// The command that gets them on Debian.
    pub install: String,
}

/// A folder of headers and static libraries, unpacked from a distribution's packages.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sysroot {
    /// The Debian suite.
    pub suite: String,
    /// dpkg's name of the architecture.
    pub arch: String,
    /// The packages, without their dependencies.
    pub packages: Vec<String>,
}

/// What the header of an emulator for this host says.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Elf {
    /// The machine, as in the names of `object::Architecture`, in lower case.
    pub machine: String,
    /// 32 or 64.
    pub bits: u8,
    /// The byte order.
    pub endian: Endian,
    /// Whether emulators are static PIE.
    pub pie: bool,
    /// The branch filter that xz packs this machine code with, if it has one.
    pub xz_filter: Option<XzFilter>,
}

/// A byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// A filter of xz for the jumps of one kind of machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum XzFilter {
    /// i386 and x86-64.
    X86,
}

/// Docker's names of hosts that people rightly look for, whether or not they have a file yet.
const PLATFORMS: [&str; 10] =
    ["386", "amd64", "arm/v6", "arm/v7", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x"];

impl Host {
    /// Reads every `toolchains/<host>.toml`, sorted by platform.
    pub fn all(toolchains: &Path) -> Result<Vec<Self>> {
        let listed =
            fs::read_dir(toolchains).with_context(|| format!("cannot list {}", toolchains.display()))?;
        let mut hosts = Vec::new();
        for entry in listed {
            let path = entry.with_context(|| format!("cannot list {}", toolchains.display()))?.path();
            let is_host = path.extension().is_some_and(|e| e == "toml")
                && path.file_stem().is_some_and(|s| s != "tools");
            if is_host {
                hosts.push(Self::read(&path)?);
            }
        }
        hosts.sort_by(|a, b| a.platform.cmp(&b.platform));
        Ok(hosts)
    }

    fn read(path: &Path) -> Result<Self> {
        let host: Self = read_toml(path)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        ensure!(
            stem == host.file_name(),
            "{} describes the host {}: name it {}.toml",
            path.display(),
            host.platform,
            host.file_name()
        );
        Ok(host)
    }

    /// The host among `hosts` that goes by `name`; `native` is the machine's own.
    pub fn named<'a>(name: &str, hosts: &'a [Self]) -> Result<&'a Self, Usage> {
        let wanted = match name {
            "native" => std::env::consts::ARCH.to_owned(),
            name => name.to_ascii_lowercase(),
        };
        let wanted = wanted.strip_prefix("linux/").unwrap_or(&wanted);
        hosts
            .iter()
            .find(|host| {
                host.platform == wanted
                    || host.file_name() == wanted
                    || host.aliases.iter().any(|a| a == wanted)
            })
            .ok_or_else(|| {
                let known = hosts.iter().map(|host| host.platform.as_str());
                if !PLATFORMS.contains(&wanted) && name != "native" {
                    return unknown("host", name, known);
                }
                let known = known.collect::<Vec<_>>().join(" ");
                Usage(format!(
                    "no emulators can be made for the host `{wanted}` yet; hosts of this checkout: {known}"
                ))
            })
    }

    /// The platform as it stands in file names: `arm-v7` for `arm/v7`.
    pub fn file_name(&self) -> String {
        self.platform.replace('/', "-")
    }

    /// Whether programs for this host run here as they are.
    pub fn is_native(&self) -> bool {
        let here = std::env::consts::ARCH;
        self.platform == here || self.aliases.iter().any(|alias| alias == here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchains() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains")
    }

    #[test]
    fn every_toolchain_file_is_whole_and_named_after_its_host() {
        let hosts = Host::all(&toolchains()).expect("all files read");
        assert!(hosts.iter().any(|host| host.platform == "amd64"));
        for host in &hosts {
            assert!(host.elf.bits == 32 || host.elf.bits == 64, "{}", host.platform);
            assert!(!host.compiler.cc.is_empty() && !host.compiler.strip.is_empty(), "{}", host.platform);
            assert!(!host.sysroot.packages.is_empty(), "{}", host.platform);
        }
    }

    #[test]
    fn a_host_answers_to_its_aliases_and_a_misspelt_one_to_the_nearest() {
        let hosts = Host::all(&toolchains()).expect("all files read");
        assert_eq!(Host::named("linux/amd64", &hosts).expect("known").platform, "amd64");
        assert_eq!(Host::named("x86_64", &hosts).expect("known").platform, "amd64");
        let error = Host::named("adm64", &hosts).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `amd64`?"), "{error}");
        let error = Host::named("linux/loong64", &hosts[..1]).expect_err("no file").to_string();
        assert!(error.contains("`loong64` yet; hosts of this checkout: "), "{error}");
    }

    #[test]
    fn a_field_that_nobody_reads_is_an_error() {
        let home = tempfile::tempdir().expect("a folder");
        let text = fs::read_to_string(toolchains().join("amd64.toml")).expect("readable");
        let path = home.path().join("amd64.toml");
        fs::write(&path, text.replace("pie = true", "pie = true\npei = false")).expect("written");
        let error = format!("{:#}", Host::read(&path).expect_err("refused"));
        assert!(error.contains("amd64.toml") && error.contains("pei"), "{error}");
    }
}
