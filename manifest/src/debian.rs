//! Which targets Debian releases a system for, under what name, and in which suites.

/// Debian's systems for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debian {
    /// QEMU's name of the target.
    pub target: &'static str,
    /// dpkg's name of the architecture.
    pub architecture: &'static str,
    /// The suites that have it, the usual one first.
    pub suites: &'static [&'static str],
}

const fn debian(target: &'static str, architecture: &'static str, suites: &'static [&'static str]) -> Debian {
    Debian { target, architecture, suites }
}

/// Suites of architectures that have long been there.
const ALL: &[&str] = &["bookworm", "trixie", "forky", "sid"];
/// Those of architectures that end with bookworm.
const OLD: &[&str] = &["bookworm"];

/// The systems that Debian releases, in QEMU's order of targets. Its ports are signed by others, and none of these.
pub const DEBIAN: &[Debian] = &[
    debian("aarch64", "arm64", ALL),
    debian("arm", "armhf", ALL),
    debian("i386", "i386", ALL),
    debian("loongarch64", "loong64", &["forky", "sid"]),
    debian("mips64el", "mips64el", OLD),
    debian("mipsel", "mipsel", OLD),
    debian("ppc64le", "ppc64el", ALL),
    debian("riscv64", "riscv64", &["trixie", "forky", "sid"]),
    debian("s390x", "s390x", ALL),
    debian("x86_64", "amd64", ALL),
];

impl Debian {
    /// Debian's systems for a target, by QEMU's name.
    pub fn of(target: &str) -> Option<&'static Self> {
        DEBIAN.iter().find(|debian| debian.target == target)
    }

    /// The suite that is taken where none is named.
    pub fn usual_suite(&self) -> &'static str {
        self.suites.first().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn every_system_is_for_a_target_that_goes_by_its_name_too() {
        for debian in DEBIAN {
            assert_eq!(Target::find(debian.target).map(|target| target.name), Some(debian.target));
            let found = Target::find(debian.architecture).map(|target| target.name);
            assert_eq!(found, Some(debian.target), "{}", debian.architecture);
            assert!(!debian.usual_suite().is_empty());
        }
        assert_eq!(Debian::of("sh4"), None);
    }
}
