//! What emulators run on: one file `toolchains/<host>.toml` each.

use super::{Target, native, read_toml, unknown};
use anyarch_client::error::Usage;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

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
    /// The machine of GitHub's that builds for it, as in a workflow's `runs-on`.
    pub runner: String,
    /// The compilers and their kind.
    pub compiler: Compiler,
    /// The static libraries.
    pub sysroot: Sysroot,
    /// What the ELF headers of its emulators must say.
    pub elf: Elf,
    /// How its emulators are tested on other machines.
    #[serde(default)]
    pub proof: Proof,
    /// What makers of packages call it.
    pub packages: Packages,
    /// How the users' program `anyarch` is made for it; none where it is not.
    pub rust: Option<Rust>,
    /// Why the users' program is not made for it.
    pub without_rust: Option<String>,
}

/// What makers of packages call a host, and what it needs no emulator for. dpkg's name is that of its sysroot.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// rpm's name of the architecture.
    pub rpm: String,
    /// Alpine's name of it; none where Alpine does not run.
    pub apk: Option<String>,
    /// The platforms that a wheel says it is for, the oldest that is meant; none where pip has no name for the machine.
    #[serde(default)]
    pub wheel: Vec<String>,
    /// Nix's name of the system; none where its packages do not have it.
    pub nix: Option<String>,
    /// Homebrew's word for the processor, as in `on_intel`; none where it does not run.
    pub homebrew: Option<String>,
    /// Targets whose programs machines of this kind run themselves, most of them at least.
    pub runs: Vec<String>,
}

/// How Rust makes a static program for a host.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rust {
    /// Rust's name of the host and its C library: `x86_64-unknown-linux-musl`.
    pub target: String,
    /// Where Rust's standard library for it comes from.
    pub library: RustLibrary,
    /// Whether the program is static PIE, which Rust decides: it links so for few targets.
    pub pie: bool,
    /// The oldest processor that the program must run on, by QEMU's name, where emulators run on older ones.
    pub cpu: Option<String>,
}

/// Where Rust's standard library comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RustLibrary {
    /// Compiled by Rust's makers: `rustup target add`.
    Rustup,
    /// Compiled here, from the source that comes with the compiler: `rustup component add rust-src`.
    Source,
}

impl Rust {
    /// What rustup is told to get the standard library: `target add x86_64-unknown-linux-musl`.
    pub fn rustup(&self) -> String {
        match self.library {
            RustLibrary::Rustup => format!("target add {}", self.target),
            RustLibrary::Source => "component add rust-src".to_owned(),
        }
    }

    /// Whether the C library is the sysroot's, and not one that Rust brings along.
    pub fn takes_libc_of_sysroot(&self) -> bool {
        !self.target.contains("-musl")
    }
}

/// Programs that turn source into emulators.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Compiler {
    /// The C compiler.
    pub cc: String,
    /// Options that it always gets, such as the machine that it compiles for.
    #[serde(default)]
    pub options: Vec<String>,
    /// Linker to use instead of the default, as in `-fuse-ld`.
    pub linker: Option<String>,
    /// A file of `toolchains/` that is read before every source file.
    pub header: Option<String>,
    /// A file of `toolchains/` that the linker reads beside its own script.
    pub link_script: Option<String>,
    /// Linker options for this host only.
    #[serde(default)]
    pub link_options: Vec<String>,
    /// A folder that has it under its plain name, for builds that call it so.
    pub path: Option<PathBuf>,
    /// The names of its companions, with `{}` for `ar`, `nm`, `objcopy`, `ranlib`, `readelf` or `strip`.
    pub tools: String,
    /// The Debian packages that hold them.
    pub packages: Vec<String>,
}

/// How emulators for a host are tried on a machine of another kind.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The processor that is emulated then, by QEMU's name; else QEMU's own choice. An old one shows that
    /// the emulators need no newer one.
    pub cpu: Option<String>,
}

/// A folder of headers and static libraries, unpacked from a distribution's packages.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sysroot {
    /// The Debian suite.
    pub suite: String,
    /// dpkg's name of the architecture.
    pub arch: String,
    /// The folder of `usr/lib` that holds its libraries, where Debian does not name it by the triple.
    pub multiarch: Option<String>,
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
#[serde(rename_all = "kebab-case")]
pub enum XzFilter {
    /// i386 and x86-64.
    X86,
    /// ARM's 32-bit instructions.
    Arm,
    /// ARM's 16-bit instructions, which compilers prefer from ARMv7 on.
    ArmThumb,
}

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
            "{} describes the host {}: rename it to {}.toml",
            path.display(),
            host.platform,
            host.file_name()
        );
        ensure!(
            host.rust.is_some() != host.without_rust.is_some(),
            "{} must say how Rust makes programs for the host (`rust`), or why it does not (`without_rust`)",
            path.display()
        );
        Ok(host)
    }

    /// The host among `hosts` that goes by `name`; `native` is the machine's own.
    pub fn named<'a>(name: &str, hosts: &'a [Self]) -> Result<&'a Self, Usage> {
        let wanted = match name {
            "native" => native()?.to_owned(),
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
            .ok_or_else(|| unknown("host", name, hosts.iter().map(|host| host.platform.as_str())))
    }

    /// The platform as it stands in file names: `arm-v7` for `arm/v7`.
    pub fn file_name(&self) -> String {
        self.platform.replace('/', "-")
    }

    /// The folder of its sysroot's `usr/lib` that holds the libraries.
    pub fn multiarch(&self) -> &str {
        self.sysroot.multiarch.as_deref().unwrap_or(&self.triple)
    }

    /// The target that emulates this host: its programs are what this host runs.
    pub fn as_target(&self) -> Result<Target, Usage> {
        Target::named(&self.platform)
    }

    /// Whether programs for this host run here as they are.
    pub fn is_native(&self) -> bool {
        native().is_ok_and(|here| self.platform == here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchains() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains")
    }

    #[test]
    fn every_toolchain_file_is_whole_and_named_after_its_host() {
        let hosts = Host::all(&toolchains()).expect("all files read");
        let platforms: Vec<&str> = hosts.iter().map(|host| host.platform.as_str()).collect();
        let expected = [
            "386", "amd64", "arm/v6", "arm/v7", "arm64", "loong64", "mips64le", "mipsle", "ppc64le",
            "riscv64", "s390x",
        ];
        assert_eq!(platforms, expected);
        for host in &hosts {
            let name = &host.platform;
            assert!(host.elf.bits == 32 || host.elf.bits == 64, "{name}");
            assert!(host.compiler.tools.contains("{}"), "{name}");
            assert!(!host.sysroot.packages.is_empty() && !host.compiler.packages.is_empty(), "{name}");
            let emulates = host.as_target().expect("a target emulates it");
            assert_eq!(emulates.bits, host.elf.bits, "{name}");
            let runs = &host.packages.runs;
            assert!(runs.iter().any(|target| target == emulates.name), "{name} runs its own programs");
            for target in runs {
                assert_eq!(Target::named(target).expect("known").name, target, "{name}");
            }
        }
    }

    #[test]
    fn a_host_answers_to_its_aliases_and_a_misspelt_one_to_the_nearest() {
        let hosts = Host::all(&toolchains()).expect("all files read");
        let names = [
            ("linux/amd64", "amd64"),
            ("x86_64", "amd64"),
            ("ARM64v8", "arm64"),
            ("linux/arm/v7", "arm/v7"),
            ("arm-v6", "arm/v6"),
            ("ppc64el", "ppc64le"),
            ("i686", "386"),
        ];
        for (written, platform) in names {
            assert_eq!(Host::named(written, &hosts).expect("known").platform, platform);
        }
        let own = Host::named("native", &hosts).expect("a machine that tests run on");
        assert_eq!(own.platform, native().expect("known"));
        assert!(hosts.iter().all(|host| host.is_native() == (host.platform == own.platform)));
        let error = Host::named("adm64", &hosts).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `amd64`?"), "{error}");
        let error = Host::named("sparc64", &hosts).expect_err("no file").to_string();
        assert!(error.contains("s390x"), "{error}");
    }

    #[test]
    fn no_two_hosts_share_a_name() {
        let mut seen = std::collections::BTreeSet::new();
        for host in Host::all(&toolchains()).expect("all files read") {
            let names = [host.platform.clone(), host.file_name()].into_iter().chain(host.aliases.clone());
            for name in names.collect::<std::collections::BTreeSet<_>>() {
                assert!(seen.insert(name.clone()), "{name} stands twice");
            }
        }
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
