//! What `native` means: this machine, by the platform whose emulators it runs.

use crate::error::Usage;

/// The platform of this machine, by Docker's name: `amd64`, `arm/v7`.
pub fn native() -> Result<&'static str, Usage> {
    let uname = rustix::system::uname();
    let machine = uname.machine().to_string_lossy();
    platform(std::env::consts::ARCH, cfg!(target_endian = "little"), &machine).ok_or_else(|| {
        Usage(format!(
            "there are no emulators for machines like this one ({machine}): name a host instead of `native`"
        ))
    })
}

/// The platform of a machine for which this program was compiled as `arch`, in that byte order, and whose kernel
/// calls it `machine`. Rust has one name for both byte orders, and one for all of ARM's 32-bit versions.
pub fn platform(arch: &str, is_little_endian: bool, machine: &str) -> Option<&'static str> {
    let name = match (arch, is_little_endian) {
        ("x86_64", true) => "amd64",
        ("x86", true) => "386",
        ("aarch64", true) => "arm64",
        // A 64-bit kernel that runs this program says its own name: that of a newer processor.
        ("arm", true) if machine.starts_with("armv6") => "arm/v6",
        ("arm", true) if ["armv7", "armv8", "aarch64"].iter().any(|new| machine.starts_with(new)) => "arm/v7",
        ("loongarch64", true) => "loong64",
        ("mips", true) => "mipsle",
        ("mips64", true) => "mips64le",
        ("powerpc64", true) => "ppc64le",
        ("riscv64", true) => "riscv64",
        ("s390x", false) => "s390x",
        _ => return None,
    };
    Some(name)
}
