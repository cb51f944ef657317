//! Where things stand in the archive of an emulator, and below the folder that it is installed into. Paths have no
//! slash at either end. `dist/install.sh` has them, too.

/// The folder of programs.
pub const BIN: &str = "bin";

/// The folder that holds a folder of texts for each emulator.
const DOCS: &str = "share/doc/anyarch";

/// The file name of the emulator of a target, by QEMU's name: `qemu-aarch64`.
pub fn program(target: &str) -> String {
    format!("qemu-{target}")
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_an_archive_stands_where_users_look_for_it() {
        assert_eq!(emulator("arm"), "bin/qemu-arm");
        assert_eq!(docs("arm"), "share/doc/anyarch/qemu-arm");
        assert_eq!(build_facts("arm"), "share/doc/anyarch/qemu-arm/build.json");
    }
}
