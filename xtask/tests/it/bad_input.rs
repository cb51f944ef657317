//! Bad input gives one clear error with what to do, the right exit code, and leaves no trace that a
//! later run would trust.

use crate::driver::{Data, Driver, Ended, files, mkdir, run, scratch, serve, serve_part, small_data};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

/// A driver whose source can come from nowhere but the test.
fn cut_off(home: &Path, data: &Data) -> Driver {
    let mut driver = Driver::fresh(home);
    driver.root = data.root.clone();
    driver.environment.push(("ANYARCH_DEBIAN_MIRROR".into(), "http://127.0.0.1:1/debian".into()));
    driver
}

/// No source, no download, nothing half done.
fn nothing_kept(driver: &Driver) {
    let is_source = |path: &Path| path.starts_with("downloads") || path.starts_with("git");
    let cache = files(driver.cache.as_deref().unwrap());
    let kept: Vec<_> =
        cache.iter().filter(|path| is_source(path) && path.extension().is_none_or(|e| e != "lock")).collect();
    assert!(kept.is_empty(), "{kept:?}");
    no_tree(driver);
}

/// No source tree, and nothing of one.
fn no_tree(driver: &Driver) {
    let files = files(&driver.trees.join("10.2"));
    let kept: Vec<_> = files.iter().filter(|path| path.extension().is_none_or(|e| e != "lock")).collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn an_unknown_target_host_or_series_is_answered_with_the_nearest_name() {
    let home = scratch();
    let driver = Driver::fresh(home.path());
    driver
        .run(&["build", "--target", "aarch46"])
        .failed(2, &["no target `aarch46`", "did you mean `aarch64`?"]);
    driver
        .run(&["build", "--target", "arm", "--host", "adm64"])
        .failed(2, &["no host `adm64`", "did you mean `amd64`?"]);
    driver.run(&["plan", "--target", "arm", "--qemu", "10.3"]).failed(2, &["no series `10.3`", "10.2"]);
    driver.run(&["build", "--target", "cris"]).failed(2, &["no target cris", "QEMU has it up to 9.1"]);
    driver.run(&["build"]).failed(2, &["--target"]);
    driver
        .run(&["verify", "--target", "arm,sh4", "--reproduce", "dist/1"])
        .failed(2, &["cargo xtask reproduce dist/1 --target arm,sh4"]);
    driver
        .run(&["rootfs", "--target", "arm64", "--package", "gcc,make", "/no/such"])
        .failed(2, &["anyarch rootfs --target arm64 --include gcc,make /no/such"]);
    driver.run(&["biuld"]).failed(2, &["build"]);
}

#[test]
fn a_download_with_another_hash_is_not_kept() {
    let home = scratch();
    let (data, _) = small_data(home.path());
    let server = serve("200 OK", b"something else".to_vec());
    data.pin("http://127.0.0.1:1", &server);
    let driver = cut_off(home.path(), &data);
    driver
        .run(&["source"])
        .failed(1, &["not the pinned one, so it was discarded", "its sha256 is", "--source"]);
    nothing_kept(&driver);
}

#[test]
fn a_download_that_breaks_off_or_is_refused_is_not_kept() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    let whole = fs::read(source).unwrap();
    let half = serve_part("200 OK", whole.len(), whole[..whole.len() / 2].to_vec());
    data.pin("http://127.0.0.1:1", &half);
    let driver = cut_off(home.path(), &data);
    driver.run(&["source"]).failed(1, &["was not downloaded"]);
    nothing_kept(&driver);
    data.pin(&half, &serve("404 Not Found", Vec::new()));
    driver.run(&["source"]).failed(1, &["404 Not Found"]);
    nothing_kept(&driver);
}

#[test]
fn a_tag_at_another_commit_is_not_kept() {
    let home = scratch();
    let (data, _) = small_data(home.path());
    let work = home.path().join("qemu-10.2.2");
    let git = |arguments: &[&str]| {
        let mut all = vec!["-C", work.to_str().unwrap(), "-c", "user.name=x", "-c", "user.email=x@localhost"];
        all.extend(arguments);
        run("git", &all)
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "another"]);
    git(&["tag", "v10.2.2"]);
    let driver = cut_off(home.path(), &data);
    let said =
        ["is not the pinned commit, so it was discarded", data.series.pins.git.commit.as_ref().unwrap()];
    driver.run(&["source", "--source", work.to_str().unwrap()]).failed(1, &said);
    nothing_kept(&driver);
}

#[test]
fn a_patch_that_does_not_apply_is_named_with_file_and_hunk() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    let patch = data.root.join("patches/10.2/fixes/0002-bad.patch");
    fs::write(&patch, "--- a/linux-user/main.c\n+++ b/linux-user/main.c\n@@ -2,2 +2,2 @@\n-int two;\n+int 22;\n int three;\n").unwrap();
    let driver = cut_off(home.path(), &data);
    let source = source.to_str().unwrap();
    let said = ["0002-bad.patch does not apply", "linux-user/main.c, hunk 1 (line 2)", "patch open"];
    driver.run(&["source", "--source", source]).failed(1, &said);
    driver.run(&["patch", "check", "--source", source]).failed(1, &said);
    no_tree(&driver);
    fs::remove_file(patch).unwrap();
    let tree = driver.succeed(&["source", "--source", source]);
    assert!(fs::read_to_string(Path::new(tree.trim()).join("linux-user/main.c")).unwrap().contains("int 2;"));
}

#[test]
fn a_hunk_that_moved_is_told_and_fuzz_is_refused() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    let patch = data.root.join("patches/10.2/fixes/0001-two.patch");
    let text = fs::read_to_string(&patch).unwrap();
    let driver = cut_off(home.path(), &data);
    let source = source.to_str().unwrap();
    fs::write(&patch, text.replace("@@ -1,3 +1,3 @@", "@@ -5,3 +5,3 @@")).unwrap();
    let told = driver.succeed(&["patch", "check", "--source", source]);
    assert!(told.contains("1 hunks moved"), "{told}");
    fs::write(&patch, text.replace(" int three;", " int thrice;")).unwrap();
    driver.run(&["patch", "check", "--source", source]).failed(1, &["0001-two.patch does not apply"]);
}

#[test]
fn a_given_source_that_is_not_the_pinned_one_is_refused() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    let driver = cut_off(home.path(), &data);
    let whole = fs::read(&source).unwrap();
    let cut = home.path().join("cut.tar.xz");
    fs::write(&cut, &whole[..whole.len() - 10]).unwrap();
    let noise = home.path().join("noise.tar.xz");
    fs::write(&noise, "this is no archive").unwrap();
    for file in [&cut, &noise] {
        let said = ["cannot use --source", "so it is not used", "its sha256 is"];
        driver.run(&["source", "--source", file.to_str().unwrap()]).failed(1, &said);
    }
    let folder = home.path().join("qemu-10.2.2");
    driver.run(&["source", "--source", folder.to_str().unwrap()]).failed(1, &["its git tree is"]);
    driver.run(&["source", "--source", "/no/such/file"]).failed(2, &["not a file, a folder or a git URL"]);
    nothing_kept(&driver);
}

/// Archives whose hash is the pinned one, and which must be refused for what is in them.
#[test]
fn a_pinned_archive_is_unpacked_as_if_hostile() {
    let hostile: [(&str, &str, &str); 5] = [
        ("s,qemu-10.2.2/VERSION,qemu-10.2.2/../../evil,", "cf", "contains `..`"),
        ("s,qemu-10.2.2/VERSION,/evil,", "cf", "is absolute"),
        ("", "link", "points outside the archive"),
        ("", "noise", "not a tar archive"),
        ("", "big", "needs too much memory: unpacking it takes more than 128 MiB"),
    ];
    for (transform, kind, reason) in hostile {
        let home = scratch();
        let (data, source) = small_data(home.path());
        let archive = home.path().join("hostile.tar");
        let work = home.path().to_str().unwrap();
        if kind == "link" {
            symlink("../../../etc/passwd", home.path().join("qemu-10.2.2/link")).unwrap();
        }
        if kind == "noise" {
            fs::write(&archive, vec![b'x'; 4096]).unwrap();
        } else {
            run(
                "tar",
                &[
                    "-C",
                    work,
                    "-P",
                    "--transform",
                    transform,
                    "-cf",
                    archive.to_str().unwrap(),
                    "qemu-10.2.2",
                ],
            );
        }
        let dictionary = if kind == "big" { "--lzma2=preset=0,dict=192MiB" } else { "-6" };
        run("xz", &["--force", dictionary, archive.to_str().unwrap()]);
        let packed = archive.with_extension("tar.xz");
        let old = anyarch_client::hash::sha256_file(&source).unwrap();
        data.pin(&old, &anyarch_client::hash::sha256_file(&packed).unwrap());
        let driver = cut_off(home.path(), &data);
        driver.run(&["source", "--source", packed.to_str().unwrap()]).failed(1, &[reason]);
        assert!(!files(home.path()).iter().any(|path| path.ends_with("evil")), "{kind}");
        assert!(!Path::new("/evil").exists());
        no_tree(&driver);
    }
}

#[test]
fn no_network_and_no_cache_is_told_within_seconds_with_what_to_do() {
    let home = scratch();
    let driver = Driver::fresh(home.path());
    let started = Instant::now();
    let ended = Ended::of(&mut driver.unshared(&["--net"], "", &["source"]));
    ended.failed(
        1,
        &["upstream's git", "upstream's tarball", "Debian's source package", "--source qemu-10.2.2.tar.xz"],
    );
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
    nothing_kept(&driver);
    driver.run(&["source", "--offline"]).failed(1, &["--offline is set", "--source"]);
}

#[test]
fn no_compiler_is_told_before_anything_is_downloaded() {
    let home = scratch();
    let mut driver = Driver::fresh(home.path());
    let programs = mkdir(&home.path().join("bin")).to_owned();
    for name in ["git", "python3", "apt-get", "dpkg-deb", "sh", "env"] {
        symlink(which::which(name).unwrap(), programs.join(name)).unwrap();
    }
    driver.environment.push(("PATH".into(), programs.display().to_string()));
    let said = ["a C compiler for amd64", "to fix it: apt-get install gcc"];
    driver.run(&["build", "--target", "aarch64"]).failed(3, &said);
    assert_eq!(files(driver.cache.as_deref().unwrap()), [Path::new("CACHEDIR.TAG")]);
    let doctor = driver.run(&["doctor"]);
    assert_eq!(doctor.code, Some(3));
    assert!(doctor.stdout.contains("missing  compiler for amd64"), "{}", doctor.stdout);
}

/// A file system of this size at `folder`, in the driver's own mount namespace.
fn small_disk(folder: &Path, size: &str) -> String {
    format!("mount -t tmpfs -o size={size} tmpfs '{}'", mkdir(folder).display())
}

#[test]
fn a_full_disk_is_told_with_what_to_do() {
    let home = scratch();
    let (data, _) = small_data(home.path());
    let body = vec![b'x'; 4 << 20];
    let hash = anyarch_client::hash::sha256(&body);
    let tarball = Data::copy(&home.path().join("other")).series.pins.tarball.sha256.unwrap();
    data.pin(&anyarch_client::hash::sha256_file(&home.path().join("qemu-10.2.2.tar.xz")).unwrap(), &hash);
    assert_ne!(tarball, hash);
    data.pin("http://127.0.0.1:1", &serve("200 OK", body));
    let driver = cut_off(home.path(), &data);
    let setup = small_disk(driver.cache.as_deref().unwrap(), "1m");
    let ended = Ended::of(&mut driver.unshared(&["--mount"], &setup, &["source"]));
    ended.failed(1, &["No space left on device"]);

    // The source fits, its tree does not.
    let home = scratch();
    let (data, source) = small_data(home.path());
    let driver = cut_off(home.path(), &data);
    let setup = small_disk(&driver.trees, "4k");
    let arguments = ["source", "--source", source.to_str().unwrap()];
    let ended = Ended::of(&mut driver.unshared(&["--mount"], &setup, &arguments));
    ended.failed(1, &["No space left on device", "free some space"]);
    driver.succeed(&arguments);
}

#[test]
fn folders_with_blanks_are_refused_before_work_starts() {
    let home = scratch();
    let mut driver = Driver::fresh(home.path());
    driver.cache = Some(home.path().join("my cache"));
    driver.run(&["toolchain"]).failed(2, &["has a space", "ANYARCH_CACHE"]);
}

#[test]
fn what_is_no_checkout_is_told() {
    let home = scratch();
    let mut driver = Driver::fresh(home.path());
    driver.root = home.path().to_owned();
    driver.run(&["doctor"]).failed(2, &["is not an anyarch checkout"]);
    driver.root = home.path().join("missing");
    driver.run(&["doctor"]).failed(2, &["no checkout at"]);
}

#[test]
fn a_patch_folder_that_is_not_ours_or_not_committed_is_refused() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    let driver = cut_off(home.path(), &data);
    let work = home.path().join("work");
    let folder = work.to_str().unwrap();
    driver.run(&["patch", "refresh", home.path().to_str().unwrap()]).failed(2, &["was not made by"]);
    // A plain diff is no mail, so the series of this test is opened without it.
    fs::remove_file(data.root.join("patches/10.2/fixes/0001-two.patch")).unwrap();
    driver.succeed(&["patch", "open", folder, "--source", source.to_str().unwrap()]);
    fs::write(work.join("linux-user/main.c"), "int changed;\n").unwrap();
    driver.run(&["patch", "refresh", folder]).failed(2, &["not committed", "linux-user/main.c"]);
    run(
        "git",
        &[
            "-C",
            folder,
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@localhost",
            "commit",
            "-qam",
            "change it all",
            "-m",
            "Topic: execve",
        ],
    );
    assert_eq!(driver.succeed(&["patch", "refresh", folder]), "10.2/execve/0001-change-it-all.patch\n");
    let tree = driver.succeed(&["source", "--source", source.to_str().unwrap()]);
    let text = fs::read_to_string(Path::new(tree.trim()).join("linux-user/main.c")).unwrap();
    assert_eq!(text, "int changed;\n");
    driver.run(&["patch", "open", folder]).failed(2, &["is not empty"]);
}

#[test]
fn what_looks_like_an_option_is_never_passed_on_as_one() {
    let home = scratch();
    let driver = Driver::fresh(home.path());
    let trap = home.path().join("trap");
    let source = format!("--source=--upload-pack=touch {};:x://", trap.display());
    driver.run(&["source", &source]).failed(2, &["a source is a tarball, a folder or a git URL"]);
    assert!(!trap.exists());
}

#[test]
fn offline_is_kept_by_every_command() {
    let home = scratch();
    let (data, _) = small_data(home.path());
    let driver = cut_off(home.path(), &data);
    let said = ["--offline is set"];
    driver.run(&["source", "--offline", "--source", "https://127.0.0.1:1/qemu.git"]).failed(1, &said);
    driver.run(&["toolchain", "--offline"]).failed(1, &said);
    driver.run(&["toolchain", "--offline", "--refresh"]).failed(2, &["needs the network"]);
}

#[test]
fn folders_of_somebody_else_are_neither_used_nor_cleaned() {
    let home = scratch();
    let mut driver = Driver::fresh(home.path());
    fs::create_dir_all(home.path().join("mine/downloads")).unwrap();
    fs::write(home.path().join("mine/downloads/letter"), "dear").unwrap();
    driver.cache = Some(home.path().join("mine"));
    driver.run(&["toolchain"]).failed(2, &["contains other files", "ANYARCH_CACHE"]);
    driver.run(&["clean", "all"]).failed(2, &["was not created by anyarch"]);
    assert!(home.path().join("mine/downloads/letter").exists());
}

#[test]
fn an_edited_source_tree_is_not_compiled() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    let driver = cut_off(home.path(), &data);
    let tree = driver.succeed(&["source", "--source", source.to_str().unwrap()]);
    let tree = xtask::patch::ready(
        &xtask::session::Session {
            workspace: xtask::workspace::Workspace {
                root: driver.root.clone(),
                cache: driver.cache.clone().unwrap(),
                trees: driver.trees.clone(),
                out: driver.out.clone(),
            },
            progress: anyarch_client::progress::Progress::new(0),
            jobs: 1,
            json: false,
            offline: true,
        },
        &xtask::facts::Series::read(&data.root.join("patches"), "10.2").unwrap(),
    )
    .unwrap()
    .unwrap_or_else(|| panic!("no tree at {tree}"));
    tree.ensure_unchanged().unwrap();
    fs::write(tree.path().join("linux-user/main.c"), "int edited;\n").unwrap();
    let error = tree.ensure_unchanged().unwrap_err().to_string();
    assert!(error.contains("was edited") && error.contains("patch open"), "{error}");
}

#[test]
fn patches_are_not_refreshed_in_the_middle_of_a_rebase() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    fs::remove_file(data.root.join("patches/10.2/fixes/0001-two.patch")).unwrap();
    let driver = cut_off(home.path(), &data);
    let work = home.path().join("work");
    let folder = work.to_str().unwrap();
    driver.succeed(&["patch", "open", folder, "--source", source.to_str().unwrap()]);
    let git = |arguments: &[&str]| {
        let mut all = vec!["-C", folder, "-c", "user.name=x", "-c", "user.email=x@localhost"];
        all.extend(arguments);
        Ended::of(std::process::Command::new("git").args(all))
    };
    for text in ["int first;\n", "int second;\n"] {
        fs::write(work.join("linux-user/main.c"), text).unwrap();
        assert_eq!(git(&["commit", "-qam", text.trim(), "-m", "Topic: fixes"]).code, Some(0));
    }
    driver.succeed(&["patch", "refresh", folder]);
    // The second patch alone meets a conflict, and git stops with a clean tree.
    assert_eq!(git(&["checkout", "-q", "anyarch-base-v10.2.2"]).code, Some(0));
    let second = data.root.join("patches/10.2/fixes/0002-int-second.patch");
    assert_ne!(git(&["am", "-q", second.to_str().unwrap()]).code, Some(0));
    driver.run(&["patch", "refresh", folder]).failed(2, &["in the middle of"]);
    assert!(second.exists(), "a patch was lost");
    assert_eq!(git(&["am", "--abort"]).code, Some(0));
}

/// Where nothing can be written: a file in the way, a link to nowhere, a disk that may only be read.
#[test]
fn a_folder_that_can_not_be_written_is_told_before_anything_is_got_or_made() {
    let home = scratch();
    let (data, _) = small_data(home.path());
    let mut driver = cut_off(home.path(), &data);
    let (file, link, disk) = ("file", "link", "disk");
    let at = |name: &str| home.path().join(name);
    fs::write(at(file), "").unwrap();
    symlink("/no/such/folder", at(link)).unwrap();
    let mount = format!("mount -t tmpfs -o ro tmpfs '{}'", mkdir(&at(disk)).display());
    let cases = [(file, 2, "is not a folder"), (link, 2, "is not a folder"), (disk, 1, "cannot write below")];
    for (name, code, said) in cases {
        for deeper in [at(name), at(name).join("new/folder")] {
            let folder = deeper.to_str().unwrap();
            driver.out = deeper.clone();
            let commands: [(&[&str], &str); 4] = [
                (&["build", "--target", "aarch64"], "pass --out DIR"),
                (&["build", "--target", "all", "--host", "all", "--keep-going"], "pass --out DIR"),
                (&["release"], "pass --out DIR"),
                (&["patch", "open", folder], "name a new folder"),
            ];
            for (arguments, advice) in commands {
                let ended = Ended::of(&mut driver.unshared(&["--mount"], &mount, arguments));
                ended.failed(code, &[said, at(name).to_str().unwrap(), advice]);
                assert_eq!(ended.stderr.matches("error: ").count(), 1, "{arguments:?}: {}", ended.stderr);
                assert_eq!(
                    files(driver.cache.as_deref().unwrap()),
                    [Path::new("CACHEDIR.TAG")],
                    "{arguments:?}"
                );
            }
        }
    }
    let kept = files(&driver.trees).into_iter().filter(|path| !path.ends_with("CACHEDIR.TAG"));
    assert_eq!(kept.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
    assert_eq!(fs::read_dir(at(disk)).unwrap().count(), 0);
}
