//! What `native` means: this machine, by the platform whose emulators it runs.

use anyarch_client::error::Usage;

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
fn platform(arch: &str, is_little_endian: bool, machine: &str) -> Option<&'static str> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Host, Target};
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn the_machine_is_recognized_by_what_rust_and_its_kernel_call_it() {
        let (little, big) = (true, false);
        let machines = [
            ("x86_64", little, "x86_64", Some("amd64")),
            ("x86", little, "i686", Some("386")),
            ("x86", little, "x86_64", Some("386")),
            ("aarch64", little, "aarch64", Some("arm64")),
            ("aarch64", big, "aarch64_be", None),
            ("arm", little, "armv6l", Some("arm/v6")),
            ("arm", little, "armv7l", Some("arm/v7")),
            ("arm", little, "armv8l", Some("arm/v7")),
            ("arm", little, "aarch64", Some("arm/v7")),
            ("arm", little, "armv5tel", None),
            ("arm", big, "armv7b", None),
            ("loongarch64", little, "loongarch64", Some("loong64")),
            ("mips", little, "mips", Some("mipsle")),
            ("mips", little, "mips64", Some("mipsle")),
            ("mips", big, "mips", None),
            ("mips64", little, "mips64", Some("mips64le")),
            ("mips64", big, "mips64", None),
            ("powerpc64", little, "ppc64le", Some("ppc64le")),
            ("powerpc64", big, "ppc64", None),
            ("riscv64", little, "riscv64", Some("riscv64")),
            ("s390x", big, "s390x", Some("s390x")),
            ("sparc64", big, "sparc64", None),
        ];
        for (arch, is_little_endian, machine, expected) in machines {
            assert_eq!(platform(arch, is_little_endian, machine), expected, "{arch} {machine}");
        }
        // Each is one of the hosts, and every host is some machine's own; each is a target, too.
        let hosts = Host::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains")).expect("read");
        let hosts: BTreeSet<&str> = hosts.iter().map(|host| host.platform.as_str()).collect();
        let own: BTreeSet<&str> = machines.iter().filter_map(|machine| machine.3).collect();
        assert_eq!(own, hosts);
        assert!(own.iter().all(|name| Target::named(name).is_ok()));
    }
}
