//! Where things stand in the archive of an emulator or of the users' program, and below the folder that it is installed
//! into. Paths have no slash at either end. `dist/install.sh` has them, too.
//!
//! Emulators go by the names of their targets, the program by its own ([`PROGRAM`]): no target is called so.

/// The folder of programs.
pub const BIN: &str = "bin";

/// The name of the users' program.
pub const PROGRAM: &str = "anyarch";

/// The folder that holds a folder of texts for each emulator, and for the program.
const DOCS: &str = "share/doc/anyarch";

/// The folder in which packages of distributions install emulators: `/usr/bin/qemu-aarch64` may be the distribution's
/// own. What goes with them stands below `/usr`, as elsewhere below a prefix.
pub const PACKAGED: &str = "/usr/libexec/anyarch";

/// The file name of the emulator of a target, by QEMU's name: `qemu-aarch64`. The program's is `anyarch`.
pub fn program(target: &str) -> String {
    if target == PROGRAM { PROGRAM.to_owned() } else { format!("{EMULATOR}{target}") }
}

/// What is packed in an archive or installed under a file name: the target of `qemu-aarch64`, or the program.
pub fn packed_as(file: &str) -> Option<&str> {
    file.strip_prefix(EMULATOR).or((file == PROGRAM).then_some(file))
}

/// What the file names of emulators begin with.
const EMULATOR: &str = "qemu-";

/// The emulator of a target: `bin/qemu-aarch64`.
pub fn emulator(target: &str) -> String {
    format!("{BIN}/{}", program(target))
}

/// The folder of the emulator's texts, its licences among them: `share/doc/anyarch/qemu-aarch64`.
pub fn docs(target: &str) -> String {
    format!("{DOCS}/{}", program(target))
}

/// The file that says how the emulator was made, as JSON: `share/doc/anyarch/qemu-aarch64/build.json`.
pub fn build_facts(target: &str) -> String {
    format!("{}/build.json", docs(target))
}

/// The name of the archive of all emulators for a host, without its extension: `anyarch-all-10.2.2-1-linux-arm-v7`.
pub fn bundle(release: &str, host: &str) -> String {
    format!("{BUNDLE}{release}-linux-{}", host.replace('/', "-"))
}

/// Whether a file name is that of an archive of all emulators.
pub fn is_bundle(name: &str) -> bool {
    name.starts_with(BUNDLE)
}

const BUNDLE: &str = "anyarch-all-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_an_archive_stands_where_users_look_for_it() {
        assert_eq!(emulator("arm"), "bin/qemu-arm");
        assert_eq!(docs("arm"), "share/doc/anyarch/qemu-arm");
        assert_eq!(build_facts("arm"), "share/doc/anyarch/qemu-arm/build.json");
        assert_eq!(emulator(PROGRAM), "bin/anyarch");
        assert_eq!(docs(PROGRAM), "share/doc/anyarch/anyarch");
    }

    #[test]
    fn a_file_name_tells_what_it_is_of() {
        for name in ["arm", PROGRAM] {
            assert_eq!(packed_as(&program(name)), Some(name));
        }
        assert_eq!(packed_as("README"), None);
    }

    #[test]
    fn the_archive_of_all_emulators_is_told_from_that_of_the_program() {
        let name = bundle("10.2.2-1", "arm/v7");
        assert_eq!(name, "anyarch-all-10.2.2-1-linux-arm-v7");
        assert!(is_bundle(&name) && !is_bundle("anyarch-10.2.2-1-linux-arm-v7.tar.xz"));
    }
}
