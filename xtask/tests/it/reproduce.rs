//! Releases that are built once more: by other users, in other places, with other settings; and what is said
//! when they are not the same. And what is in them, by what was really linked.

use crate::driver::foreign::TARGET;
use crate::driver::{
    Data, Driver, Ended, Somebody, exclusive, files, is_root, mkdir, released, run, scratch, tarball,
};
use object::{Object as _, ObjectSection as _};
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use xtask::workspace::Workspace;
use xz2::read::XzDecoder;
use xz2::write::XzEncoder;

fn record_of(tarball: &Path) -> PathBuf {
    PathBuf::from(tarball.to_str().unwrap().replace(".tar.xz", ".json"))
}

/// A copy of the release of the target; with its record or without.
fn copy_of_release(folder: &Path, with_record: bool) -> PathBuf {
    let from = tarball(TARGET);
    let to = mkdir(folder).join(from.file_name().unwrap());
    fs::copy(&from, &to).unwrap();
    if with_record {
        fs::copy(record_of(&from), record_of(&to)).unwrap();
    }
    to
}

/// Changes the tar in an archive, and has its record say the new hash.
fn change(tarball: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut tar = Vec::new();
    XzDecoder::new(fs::read(tarball).unwrap().as_slice()).read_to_end(&mut tar).unwrap();
    how(&mut tar);
    let mut packed = XzEncoder::new(Vec::new(), 1);
    packed.write_all(&tar).unwrap();
    fs::write(tarball, packed.finish().unwrap()).unwrap();
    if let Ok(record) = fs::read(record_of(tarball)) {
        let mut record: Value = serde_json::from_slice(&record).unwrap();
        record["sha256"] = anyarch_client::hash::sha256_file(tarball).unwrap().into();
        fs::write(record_of(tarball), serde_json::to_vec(&record).unwrap()).unwrap();
    }
}

/// Where a member's content lies in a tar, and the content.
fn member(tar: &[u8], name: &str) -> (usize, Vec<u8>) {
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap() == Path::new(name) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            return (usize::try_from(entry.raw_file_position()).unwrap(), content);
        }
    }
    panic!("{name} is missing")
}

/// Somebody else's machine: another user, time zone, language and mask, the checkout and the cache in a folder of
/// theirs. Nothing that was compiled before is at hand, only downloads and Debian's packages as they were unpacked:
/// Debian may have newer ones by now, and then there would be other inputs.
struct Stranger {
    somebody: Somebody,
}

impl Stranger {
    fn new() -> Self {
        let somebody = Somebody::new();
        let home = somebody.home.path();
        Data::copy(&home.join("somewhere/else/root"));
        fs::copy(env!("CARGO_BIN_EXE_xtask"), home.join("xtask")).unwrap();
        let usual = Workspace::locate(Some(&crate::driver::checkout()), None, None).unwrap().cache;
        let cache = home.join("cache");
        mkdir(&cache);
        for name in ["downloads", "sysroots", "tools", "CACHEDIR.TAG"] {
            run("cp", &["-r", usual.join(name).to_str().unwrap(), cache.to_str().unwrap()]);
        }
        if is_root() {
            run("chown", &["-R", "nobody", home.to_str().unwrap()]);
        }
        Self { somebody }
    }

    fn home(&self) -> &Path {
        self.somebody.home.path()
    }

    fn reproduce(&self, release: &Path, arguments: &[&str]) -> Ended {
        let home = self.home();
        let mut command = self.somebody.command(Path::new("sh"));
        command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(home.join("xtask"));
        command.args(["reproduce", "--json", "--root", "somewhere/else/root", "--build-dir", "b"]);
        command.arg(release).args(arguments);
        command.env("ANYARCH_CACHE", home.join("cache"));
        command.env("TZ", "Asia/Kathmandu").env("LC_ALL", "tr_TR.UTF-8").env("LANG", "tr_TR.UTF-8");
        Ended::of(&mut command)
    }
}

/// Every pair came out the same, and nothing is left of the work.
fn is_reproduced(ended: &Ended, pairs: usize, trees: &Path) {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let rows: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(rows.len(), pairs);
    for row in &rows {
        assert_eq!((&row["outcome"], &row["released"]), (&"reproduced".into(), &row["rebuilt"]), "{row}");
    }
    let left: Vec<PathBuf> = files(trees)
        .into_iter()
        .filter(|path| path.starts_with(".partial") || path.to_string_lossy().starts_with("reproduced-"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_release_is_reproduced_by_somebody_else_somewhere_else() {
    let _one = exclusive();
    let stranger = Stranger::new();
    // Without its record: all that is wanted to know is in the archive.
    let release = stranger.home().join("release");
    copy_of_release(&release, false);
    run("chmod", &["-R", "a+rX", release.to_str().unwrap()]);
    let ended = stranger.reproduce(&release, &["--target", TARGET, "--jobs", "3"]);
    is_reproduced(&ended, 1, &stranger.home().join("b"));
    assert!(ended.stderr.contains("configure v10.2.2"), "it was built from scratch: {}", ended.stderr);
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_a_byte_that_was_changed_in_a_release_is_named_by_section_and_symbol() {
    let _one = exclusive();
    let home = scratch();
    let planted = copy_of_release(home.path(), true);
    let mut expected = (0, 0);
    change(&planted, |tar| {
        let (start, content) = member(tar, &format!("bin/qemu-{TARGET}"));
        let file = object::File::parse(content.as_slice()).unwrap();
        let section = file.section_by_name(".rodata").unwrap();
        let offset = usize::try_from(section.size()).unwrap() / 2;
        let place = start + usize::try_from(section.file_range().unwrap().0).unwrap() + offset;
        expected = (offset, tar[place]);
        tar[place] ^= 1;
    });
    let folder = home.path().to_str().unwrap();
    let driver = Driver::usual();
    let ended = driver.run(&["reproduce", "--json", "--target", TARGET, folder]);
    ended.failed(1, &["1 of 1 archive not reproduced"]);
    let rows: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    let (row, found) = (&rows[0], &rows[0]["difference"]);
    assert_eq!(row["outcome"], "differs");
    assert_eq!(row["rebuilt"], released(TARGET)["sha256"], "the rebuilt one is what was released at first");
    let place = found["place"].as_str().unwrap();
    let (offset, byte) = expected;
    // In 800 kB of constants, most bytes belong to something that has a name.
    assert!(place.starts_with(&format!("bin/qemu-{TARGET} > .rodata + {offset:#x} (")), "{place}");
    assert!(found["released"].as_str().unwrap().contains(&format!("[{:02x}]", byte ^ 1)), "{found}");
    assert!(found["rebuilt"].as_str().unwrap().contains(&format!("[{byte:02x}]")), "{found}");
    assert_eq!(found["note"], "sections that differ: .rodata");
    // What was rebuilt can be looked at.
    let kept = Path::new(row["kept"].as_str().unwrap());
    let name = planted.file_name().unwrap();
    assert!(files(kept).iter().any(|path| path.file_name() == Some(name)), "{}", kept.display());
    fs::remove_dir_all(kept).unwrap();
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_release_that_was_made_with_something_else_is_told_before_anything_is_built() {
    let _one = exclusive();
    let home = scratch();
    let planted = copy_of_release(home.path(), false);
    change(&planted, |tar| {
        let (start, content) = member(tar, &format!("share/doc/anyarch/qemu-{TARGET}/build.json"));
        let text = String::from_utf8(content).unwrap();
        let facts: Value = serde_json::from_str(&text).unwrap();
        // The same length, so that the tar stays one.
        for (value, letter) in [(&facts["compiler"], 'c'), (&facts["sysroot"][0][1], '0')] {
            let old = value.as_str().unwrap();
            let at = start + text.find(old).unwrap();
            tar[at..at + old.len()].fill(u8::try_from(letter).unwrap());
        }
    });
    let folder = home.path().to_str().unwrap();
    let ended = Driver::usual().run(&["reproduce", "--target", TARGET, folder]);
    ended.failed(1, &["nothing was built"]);
    for said in ["compiler: ccc", "--toolchain container", "package libc6-dev", "--refresh"] {
        assert!(ended.stdout.contains(said), "no `{said}` in\n{}", ended.stdout);
    }
    assert!(!ended.stderr.contains("configure") && !ended.stderr.contains("unpack"), "{}", ended.stderr);
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn an_archive_that_is_not_what_its_record_says_is_not_compared_with() {
    let _one = exclusive();
    let home = scratch();
    let planted = copy_of_release(home.path(), true);
    fs::File::options().append(true).open(&planted).unwrap().write_all(b"x").unwrap();
    let folder = home.path().to_str().unwrap();
    let ended = Driver::usual().run(&["reproduce", "--target", TARGET, folder]);
    ended.failed(1, &["cannot compare", "it does not match its record"]);
}

#[test]
fn a_folder_without_the_archive_is_wrong_use_and_what_it_has_is_told() {
    let home = scratch();
    let driver = Driver::fresh(&home.path().join("d"));
    let release = home.path().join("release");
    mkdir(&release);
    let folder = release.to_str().unwrap();
    let ask = ["reproduce", "--target", TARGET, "--host", "arm64", folder];
    driver.run(&ask).failed(2, &["has no qemu-s390x-10.2.2-1-linux-arm64.tar.xz", "no archive at all"]);
    fs::write(release.join("qemu-sh4-10.2.2-1-linux-amd64.tar.xz"), "").unwrap();
    driver.run(&ask).failed(2, &["it has: qemu-sh4-10.2.2-1-linux-amd64.tar.xz"]);
    driver.run(&[&ask[..], &["--tcg"]].concat()).failed(2, &["unexpected argument"]);
}

#[test]
#[ignore = "builds QEMU for two hosts, twice; run by `cargo xtask test --long`"]
fn long_clean_builds_by_two_users_for_two_hosts_give_the_same_bytes() {
    let _one = exclusive();
    let home = scratch();
    let mut first = Driver::warm(home.path());
    first.environment = vec![("TZ".into(), "America/St_Johns".into()), ("LC_ALL".into(), "C".into())];
    let pairs = ["--target", "i386,aarch64", "--host", "native,arm64"];
    first.succeed(&[&["build", "--jobs", "4"], &pairs[..]].concat());
    let stranger = Stranger::new();
    let release = stranger.home().join("release");
    run("cp", &["-r", first.out.join("10.2.2-1").to_str().unwrap(), release.to_str().unwrap()]);
    run("chmod", &["-R", "a+rX", release.to_str().unwrap()]);
    let ended = stranger.reproduce(&release, &[&["--jobs", "1"], &pairs[..]].concat());
    is_reproduced(&ended, 4, &stranger.home().join("b"));
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn what_an_emulator_was_linked_with_is_known_with_versions_and_licences() {
    let _one = exclusive();
    let row = released(TARGET);
    let linked = row["linked"].as_array().unwrap();
    let of = |name: &str| linked.iter().find(|one| one["name"] == name);
    // The packages of the sysroot, by name and version as apt writes them in file names.
    let packages: Vec<(&str, String)> = row["facts"]["sysroot"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let (name, rest) = package[0].as_str().unwrap().split_once('_').unwrap();
            (name, rest.rsplit_once('_').unwrap().0.replace("%3a", ":"))
        })
        .collect();
    let expected = [
        ("libc", "libc6-dev", "glibc", "LGPL-2.1-or-later"),
        ("libglib-2.0", "libglib2.0-dev", "glib2.0", "LGPL-2.0-or-later AND LGPL-2.1-or-later AND "),
    ];
    for (name, package, source, license) in expected {
        let one = of(name).unwrap_or_else(|| panic!("{name} is not in {linked:?}"));
        let version = packages.iter().find(|(known, _)| *known == package).unwrap().1.as_str();
        assert_eq!((&one["package"], &one["source"]), (&package.into(), &source.into()), "{one}");
        assert_eq!(one["version"], version, "{one}");
        assert!(one["license"].as_str().unwrap().starts_with(license), "{one}");
        assert_eq!(one["copyright_sha256"].as_str().unwrap().len(), 64, "{one}");
    }
    // gcc's own library is that of the compiler.
    let libgcc = of("libgcc").unwrap();
    assert_eq!(libgcc["license"], "GPL-3.0-or-later WITH GCC-exception-3.1");
    let version = libgcc["version"].as_str().unwrap();
    assert!(row["facts"]["compiler"].as_str().unwrap().contains(version), "{libgcc}");

    let symbols = run("nm", &["--defined-only", linked_file(row).to_str().unwrap()]);
    // What QEMU's build asks for is not what it takes: of zlib, some targets take the CRC.
    let optional = [("libz", " T crc32_z"), ("libpcre2-8", " T pcre2_compile_8"), ("libcrypt", " T crypt_r")];
    for (name, symbol) in optional {
        let has_it = symbols.lines().any(|line| line.ends_with(symbol));
        assert_eq!(of(name).is_some(), has_it, "{name}: {linked:?}");
    }
    for (name, _) in packages.iter().filter(|(name, _)| *name == "linux-libc-dev") {
        assert!(!linked.iter().any(|one| one["package"] == *name), "headers alone are not linked");
    }
}

/// The emulator with its symbols, in the tree that its tarball was made in.
fn linked_file(row: &Value) -> PathBuf {
    let trees = Driver::usual().trees.join("10.2");
    let found = files(&trees).into_iter().filter(|path| {
        let in_tree = path.components().count() == 3 && path.ends_with(format!("qemu-{TARGET}"));
        in_tree && path.to_string_lossy().contains("/amd64-release-")
    });
    let is_ours = |path: &PathBuf| {
        let report = path.with_file_name("stripped").join(format!("qemu-{TARGET}.json"));
        let report: Option<Value> = fs::read(report).ok().and_then(|text| serde_json::from_slice(&text).ok());
        report.is_some_and(|report| report["sha256"] == row["emulator"]["sha256"])
    };
    found.map(|path| trees.join(path)).find(is_ours).expect("its build tree")
}
