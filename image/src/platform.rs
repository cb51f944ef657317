//! Platforms: what Docker and images call a machine (`linux/arm/v7`), and which of QEMU's targets runs its programs.
//! The names stand in the table of all targets.

use anyarch_manifest::target::{TARGETS, Target};
use std::fmt;
use std::str::FromStr;

/// An operating system on a kind of processor, as indexes of images name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The operating system: `linux`.
    pub os: String,
    /// The processor, as Go names it: `arm64`.
    pub architecture: String,
    /// Which of the processors of that name, if the name alone does not say it: `v7`.
    pub variant: Option<String>,
}

/// Text that names no platform.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a platform such as linux/arm64 or linux/arm/v7")]
pub struct InvalidPlatform(String);

impl Platform {
    /// The platform of this machine.
    pub fn native() -> Self {
        let is_little = cfg!(target_endian = "little");
        Self::linux(match std::env::consts::ARCH {
            "powerpc64" if is_little => "ppc64le",
            "powerpc64" => "ppc64",
            "mips64" if is_little => "mips64le",
            "mips" if is_little => "mipsle",
            other => other,
        })
    }

    /// The platform of Linux on a processor, by any of its names.
    fn linux(processor: &str) -> Self {
        let (architecture, variant) = go_name(processor);
        Self { os: "linux".to_owned(), architecture, variant }
    }

    /// The platform whose programs QEMU's `target` runs. `None` if no images are made for it.
    pub fn of_target(target: &str) -> Option<Self> {
        let target = TARGETS.iter().find(|one| one.name == target)?;
        target.platforms.first().map(|platform| Self::linux(processor(platform)))
    }

    /// QEMU's target that runs the programs of this platform, if there is one.
    pub fn target(&self) -> Option<&'static Target> {
        let is_it = |platform: &str| processor(platform) == self.architecture;
        let is_linux = self.os == "linux";
        TARGETS.iter().find(|target| is_linux && target.platforms.iter().any(|one| is_it(one)))
    }

    /// The variant that is meant where none is named.
    fn default_variant(&self) -> Option<&'static str> {
        match self.architecture.as_str() {
            "amd64" => Some("v1"),
            "arm" => Some("v7"),
            "arm64" => Some("v8"),
            _ => None,
        }
    }

    /// How well what is made for `offered` serves where this platform is wanted: the higher, the better. `None`: it
    /// does not run there. Variants have an order, and a processor runs what is made for the older ones, too.
    pub fn suits(&self, offered: &Self) -> Option<(u32, u32)> {
        if (&self.os, &self.architecture) != (&offered.os, &offered.architecture) {
            return None;
        }
        let variant = |one: &Self| {
            one.variant.clone().filter(|name| !name.is_empty()).or(one.default_variant().map(str::to_owned))
        };
        let (wanted, there) = (variant(self), variant(offered));
        if wanted == there {
            return Some(there.as_deref().and_then(order).unwrap_or_default());
        }
        let (wanted, there) = (order(&wanted?)?, order(&there?)?);
        (there <= wanted).then_some(there)
    }
}

/// `v8.1` as numbers.
fn order(variant: &str) -> Option<(u32, u32)> {
    let (major, minor) = variant.strip_prefix('v')?.split_once('.').unwrap_or((&variant[1..], "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The processor of a platform's name without `linux/`: `arm` of `arm/v7`.
fn processor(platform: &str) -> &str {
    platform.split('/').next().unwrap_or(platform)
}

/// Whether there are images for Linux on a processor of this name.
fn is_processor(name: &str) -> bool {
    let is_go_name = TARGETS.iter().any(|target| target.platforms.iter().any(|one| processor(one) == name));
    is_go_name || Target::find(name).is_some_and(|target| !target.platforms.is_empty())
}

/// What Go calls a processor, and the variant that its other name means.
fn go_name(name: &str) -> (String, Option<String>) {
    let is_go_name = TARGETS.iter().any(|target| target.platforms.iter().any(|one| processor(one) == name));
    // Debian's name for the older ones of a kind; its images say v5, which a v6 runs.
    let meant = if name == "armel" { Some("arm/v6") } else { None };
    let of_target = || Target::find(name).and_then(|target| target.platforms.first().copied());
    match meant.or_else(of_target).filter(|_| !is_go_name) {
        None => (name.to_owned(), None),
        Some(platform) => {
            let (architecture, variant) = platform.split_once('/').unwrap_or((platform, ""));
            (architecture.to_owned(), Some(variant.to_owned()).filter(|variant| !variant.is_empty()))
        }
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    /// `linux/arm64/v8`, `arm64`, or another name of the processor: `aarch64`.
    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let wrong = || InvalidPlatform(text.escape_default().to_string());
        let lower = text.to_ascii_lowercase();
        let fits = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = lower.split('/').collect();
        if parts.len() > 3 || !parts.iter().all(|part| fits(part)) {
            return Err(wrong());
        }
        let (os, processor, variant) = match parts[..] {
            [processor] if is_processor(processor) => ("linux", processor, None),
            [processor, variant] if is_processor(processor) => ("linux", processor, Some(variant)),
            [os, processor] => (os, processor, None),
            [os, processor, variant] => (os, processor, Some(variant)),
            _ => return Err(wrong()),
        };
        let (architecture, meant) = go_name(processor);
        Ok(Self { os: os.to_owned(), architecture, variant: variant.map(str::to_owned).or(meant) })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref().filter(|variant| !variant.is_empty()) {
            Some(variant) => write!(to, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().expect(text)
    }

    #[test]
    fn a_platform_is_understood_by_every_usual_name() {
        let cases = [
            ("linux/arm64/v8", "linux/arm64/v8", Some("aarch64")),
            ("arm64", "linux/arm64", Some("aarch64")),
            ("aarch64", "linux/arm64", Some("aarch64")),
            ("linux/x86_64", "linux/amd64", Some("x86_64")),
            ("armhf", "linux/arm/v7", Some("arm")),
            ("armel", "linux/arm/v6", Some("arm")),
            ("arm/v5", "linux/arm/v5", Some("arm")),
            ("LINUX/PPC64LE", "linux/ppc64le", Some("ppc64le")),
            ("windows/amd64", "windows/amd64", None),
            ("linux/wasm", "linux/wasm", None),
        ];
        for (text, shown, target) in cases {
            assert_eq!(platform(text).to_string(), shown);
            assert_eq!(platform(text).target().map(|found| found.name), target, "{text}");
        }
        for bad in ["", "linux", "linux/", "a/b/c/d", "linux/arm64/v8/x", "linux/\u{1b}[31m", "arm 64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_platform_has_a_target_of_its_own_and_leads_back() {
        let with_images = TARGETS.iter().filter(|target| !target.platforms.is_empty());
        assert!(with_images.clone().count() > 10);
        for target in with_images {
            let there = Platform::of_target(target.name).expect(target.name);
            assert_eq!(there.target(), Some(target));
        }
        assert_eq!(Platform::of_target("hexagon"), None);
        assert_eq!(Platform::native().os, "linux");
    }

    #[test]
    fn a_processor_runs_what_is_made_for_its_forerunners() {
        let suits = |wanted: &str, offered: &str| platform(wanted).suits(&platform(offered)).is_some();
        for (wanted, offered) in [
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v6"),
            ("linux/arm/v7", "linux/arm/v5"),
            ("linux/amd64/v3", "linux/amd64"),
            ("linux/arm64/v9", "linux/arm64/v8.2"),
        ] {
            assert!(suits(wanted, offered), "{wanted} {offered}");
        }
        for (wanted, offered) in [
            ("linux/arm/v6", "linux/arm/v7"),
            ("linux/amd64", "linux/amd64/v2"),
            ("linux/arm64", "linux/arm64/v9"),
            ("linux/arm64", "linux/arm/v7"),
            ("linux/amd64", "windows/amd64"),
            ("linux/riscv64", "linux/riscv64/rva23"),
        ] {
            assert!(!suits(wanted, offered), "{wanted} {offered}");
        }
        let best = ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"].map(platform);
        let best = best.iter().max_by_key(|one| platform("linux/arm").suits(one));
        assert_eq!(best.expect("three").to_string(), "linux/arm/v7");
    }
}
