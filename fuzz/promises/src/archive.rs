//! Whatever a mirror sends as an archive (the tar stream in it): nothing is written outside the folder that was meant,
//! nothing but files and folders is made, and no more of them than the release says. For the fuzzer, and for a test
//! of its corpus.

use anyarch_client::archive;
use anyarch_manifest::layout;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const TARGET: &str = "x";
const LIMIT: u64 = 4096;

/// Unpacks a tar stream behind a byte that says whether to mend its checksums; whether it was taken.
pub fn hold(bytes: &[u8]) -> bool {
    let Some((flag, stream)) = bytes.split_first() else { return false };
    let mut stream = stream.to_vec();
    if flag % 2 == 1 {
        mend(&mut stream);
    }
    let home = tempfile::tempdir().expect("a folder");
    let into = home.path().join("a/b/c");
    fs::create_dir_all(&into).expect("a folder");
    let unpacked = archive::unpack(stream.as_slice(), &into, &[TARGET], LIMIT);

    let found = files(home.path());
    let docs = into.join(layout::docs(TARGET));
    let emulator = into.join(layout::emulator(TARGET));
    let mut total = 0;
    for path in &found {
        assert!(*path == emulator || path.starts_with(&docs), "{} was written", path.display());
        let meta = fs::symlink_metadata(path).expect("its facts");
        assert!(meta.is_file() && meta.permissions().mode() & 0o7000 == 0, "{}", path.display());
        total += meta.len();
    }
    assert!(total <= LIMIT, "{total} bytes");
    assert!(unpacked.is_err() || found.contains(&emulator));
    unpacked.is_ok()
}

/// Makes the checksums of headers right: no fuzzer would find them, nor is any attacker stopped by them.
fn mend(stream: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = stream.get_mut(at..at + 512) {
        // The end of an archive is no header, and would be one with a sum in it.
        if header.iter().all(|byte| *byte == 0) {
            at += 512;
            continue;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..135]).ok();
        let size = size.and_then(|digits| usize::from_str_radix(digits.trim_matches([' ', '\0']), 8).ok());
        at += 512 + size.unwrap_or(0).min(1 << 20).next_multiple_of(512);
    }
}

/// Everything below a folder that is no folder; links are not followed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a list").flatten() {
        if entry.file_type().expect("its kind").is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
