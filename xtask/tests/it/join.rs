//! `release`: the folders of several machines become one, and what does not belong together is refused.

use crate::driver::foreign::{FOREIGN, HOSTS, TARGET, lacks_compilers, part};
use crate::driver::{Driver, WITH_GUESTS, exclusive, files, json, mkdir, run, scratch};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use xtask::facts::Series;
use xtask::facts::series::DEFAULT;

fn edit(file: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(old), "{old} is not in {text}");
    fs::write(file, text.replace(old, new)).unwrap();
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn folders_of_several_machines_are_joined_and_strangers_refused() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    LazyLock::force(&FOREIGN);
    let home = scratch();
    let driver = Driver::warm(home.path());
    let own = Driver::usual().out;
    let (first, own) = (part(home.path(), "first"), own.join("10.2.2-1"));
    let joined = json(&driver, &["release", "--json", first.to_str().unwrap(), own.to_str().unwrap()]);
    let folder = driver.out.join("10.2.2-1");
    let count = joined["tarballs"].as_array().unwrap().len();
    assert!(count >= WITH_GUESTS.split(',').count() + HOSTS.split(',').count(), "{joined}");
    assert!(!joined["lacks"].as_array().unwrap().is_empty());
    run(
        "sh",
        &["-c", &format!("cd '{}' && sha256sum --check --strict --quiet SHA256SUMS", folder.display())],
    );
    let whole = ["release", "--complete", first.to_str().unwrap()];
    driver.run(&whole).failed(1, &["the release is missing", "qemu-aarch64 for amd64", "anyarch for s390x"]);

    let name = "qemu-s390x-10.2.2-1-linux-arm64";
    let series = Series::read(&driver.root.join("patches"), DEFAULT).unwrap();
    let commit = series.pins.git.commit.unwrap();
    let patch = &series.patches[0];
    let refused = |how: &str, spoil: &dyn Fn(&Path), said: &[&str]| {
        let folder = part(home.path(), how);
        spoil(&folder);
        let mut driver = driver.clone();
        driver.out = home.path().join(format!("out-{how}"));
        driver.run(&["release", folder.to_str().unwrap()]).failed(1, said);
        assert_eq!(files(&driver.out), Vec::<PathBuf>::new(), "{how}: something was published");
    };
    let tarball = format!("{name}.tar.xz");
    let record = format!("{name}.json");
    refused(
        "no-record",
        &|folder| fs::remove_file(folder.join(&record)).unwrap(),
        &["its record", "is missing"],
    );
    refused(
        "other-bytes",
        &|folder| fs::write(folder.join(&tarball), "other").unwrap(),
        &["it does not match its record"],
    );
    refused(
        "other-name",
        &|folder| {
            for end in [".tar.xz", ".json"] {
                let other = folder.join(format!("qemu-x-10.2.2-1-linux-arm64{end}"));
                fs::rename(folder.join(format!("{name}{end}")), other).unwrap();
            }
        },
        &["its record describes"],
    );
    refused(
        "lying-record",
        &|folder| edit(&folder.join(&record), "\"tag\": \"v10.2.2\"", "\"tag\": \"v10.2.1\""),
        &["its build.json does not match its record"],
    );
    refused(
        "mixed-pins",
        &|folder| repack(folder, name, "v10.2.2", "v10.2.1"),
        &["built from other pins", "tag v10.2.1", "build it again: cargo xtask build"],
    );
    refused(
        "other-commit",
        &|folder| repack(folder, name, &commit, &"0".repeat(40)),
        &["built from other pins", &format!("commit {}, not {commit}", "0".repeat(40))],
    );
    refused(
        "other-patches",
        &|folder| repack(folder, name, &patch.sha256, &"0".repeat(64)),
        &["built from other pins", &format!("the patch {} is missing, added or different", patch.name)],
    );
    refused(
        "other-bytes-of-one-name",
        &|folder| {
            // As another machine packed it: the same emulator, in an archive of other bytes.
            let other = mkdir(&folder.join("other")).to_owned();
            for end in [".tar.xz", ".json"] {
                fs::copy(folder.join(format!("{name}{end}")), other.join(format!("{name}{end}"))).unwrap();
            }
            repack(&other, name, "v10.2.2", "v10.2.2");
        },
        &["have the same name but different content"],
    );
    refused(
        "mixed-toolchains",
        &|folder| {
            // Another target of the same host, made with another compiler.
            let other = name.replace("s390x-10", "sh4-10");
            for end in [".tar.xz", ".json"] {
                fs::copy(folder.join(format!("{name}{end}")), folder.join(format!("{other}{end}"))).unwrap();
            }
            repack(folder, &other, "12.2.0", "13.1.0");
        },
        &["mixed toolchains for arm64", "the compiler"],
    );
}

/// Packs a tarball again with another word in its build facts, and says so in its record, as a machine with
/// other pins or compilers would have made it.
fn repack(folder: &Path, name: &str, old: &str, new: &str) {
    let (tarball, record) = (folder.join(format!("{name}.tar.xz")), folder.join(format!("{name}.json")));
    let target = name.split('-').nth(1).unwrap();
    let tree = folder.join("tree");
    run("tar", &["-C", mkdir(&tree).to_str().unwrap(), "-xJf", tarball.to_str().unwrap()]);
    let docs = tree.join("share/doc/anyarch");
    if target != TARGET {
        fs::rename(tree.join(format!("bin/qemu-{TARGET}")), tree.join(format!("bin/qemu-{target}"))).unwrap();
        fs::rename(docs.join(format!("qemu-{TARGET}")), docs.join(format!("qemu-{target}"))).unwrap();
        edit(&record, &format!("\"target\": \"{TARGET}\""), &format!("\"target\": \"{target}\""));
    }
    edit(&docs.join(format!("qemu-{target}/build.json")), old, new);
    run("tar", &["-C", tree.to_str().unwrap(), "-cJf", tarball.to_str().unwrap(), "bin", "share"]);
    fs::remove_dir_all(&tree).unwrap();
    edit(&record, old, new);
    let mut known: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    known["sha256"] = anyarch_client::hash::sha256_file(&tarball).unwrap().into();
    fs::write(&record, serde_json::to_vec_pretty(&known).unwrap()).unwrap();
}
