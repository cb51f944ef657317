//! Releases that are not what they say of themselves: nothing is made of them, whatever was to be made.

use super::releases::{FakeRelease, Member, tar};
use super::{Ended, scratch};
use std::fs;
use std::path::Path;

/// What is done to a release of [`FakeRelease::make`], the exit code of what reads it, and what that says.
pub type Case = (fn(&mut FakeRelease), i32, &'static str);

const CASES: [Case; 4] = [
    (
        |release| {
            let link = Member::special("bin/evil", tar::EntryType::Symlink, "/etc/passwd");
            release.repack("aarch64", "amd64", &tar(&[link]));
        },
        1,
        "evil",
    ),
    (
        |release| {
            let mut members = release.members("aarch64", "amd64");
            members[1].content[100] ^= 1;
            release.repack("aarch64", "amd64", &tar(&members));
        },
        1,
        "sha256",
    ),
    (
        |release| {
            let path = release.folder().join(release.archive("riscv64", "amd64"));
            let mut bytes = fs::read(&path).unwrap();
            bytes[1000] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        1,
        "wrong content",
    ),
    (|release| fs::remove_dir_all(release.folder()).unwrap(), 2, "no release in"),
];

/// Spoils releases in each of these ways, and some more. What `run` is to make of them in a folder is not there then.
pub fn makes_nothing(
    make: impl Fn(&Path) -> FakeRelease,
    more: &[Case],
    run: impl Fn(&FakeRelease, &Path) -> Ended,
) {
    for (spoil, code, said) in CASES.iter().chain(more) {
        let home = scratch();
        let mut release = make(&home.path().join("mirror"));
        spoil(&mut release);
        let out = home.path().join("out");
        run(&release, &out).failed(*code, &[said]);
        let left = fs::read_dir(&out).map(|all| all.flatten().collect::<Vec<_>>()).unwrap_or_default();
        assert!(left.iter().all(|one| one.file_name().to_string_lossy().ends_with(".lock")), "{left:?}");
    }
}
