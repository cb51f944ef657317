//! What `native` means: this machine, by the platform whose emulators it runs. Users' programs ask the same.

pub use anyarch_client::machine::native;

#[cfg(test)]
mod tests {
    use crate::facts::{Host, Target};
    use anyarch_client::machine::platform;
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
