//! Packages of a release as people get them: the same bytes each time, installed and removed by the real package
//! managers in roots of their own, and none of a release that is not what it says of itself.

use crate::driver::releases::{FakeRelease, Member, tar};
use crate::driver::{Ended, is_root, mkdir, run, scratch, wants};
use anyarch_client::{hash, machine};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use flate2::bufread::GzDecoder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use xtask::facts::{Host, Target};

const NAME: &str = "9.9.9-1";
const BASE: &str = "https://example.org/anyarch";
const MAINTAINER: &str = "Jo Doe <jo@example.org>";

/// An emulator that runs the programs of this machine, which none is needed for.
const RUNS_NATIVELY: &[u8] =
    b"#!/bin/sh\n[ \"$1\" != --version ] || exec echo \"qemu-aarch64 version 9.9.9\"\nexec \"$@\"\n";

/// A release, and a folder for packages.
pub struct Stage {
    home: TempDir,
    release: FakeRelease,
}

impl Stage {
    fn new() -> Self {
        Self::with_emulator(RUNS_NATIVELY)
    }

    /// The same with this `qemu-aarch64` for amd64.
    pub fn with_emulator(bytes: &[u8]) -> Self {
        let home = scratch();
        let hosts = ["amd64", "arm64"];
        let mut release = FakeRelease::make(&home.path().join("mirror"), NAME).with_program(&hosts);
        release.put_emulator("aarch64", "amd64", bytes);
        Self { home, release }
    }

    fn run(&self, out: &str, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["package", "--maintainer", MAINTAINER, "--out"]).arg(self.home.path().join(out));
        command.arg("--release").arg(self.release.folder()).args(words);
        Ended::of(&mut command)
    }

    /// Makes packages, and gives the folder that they are in, and what is said of them.
    fn make(&self, out: &str, words: &[&str]) -> (PathBuf, Value) {
        let ended = self.run(out, &[&["--json"], words].concat());
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        let said: Value = serde_json::from_str(&ended.stdout).unwrap();
        let folder = self.home.path().join(out).join(format!("{NAME}-packages"));
        assert_eq!(said["folder"], folder.to_str().unwrap());
        (folder, said)
    }

    /// The same for this machine alone; `None` on one that the test's release has nothing for.
    fn make_native(&self, format: &str) -> Option<(PathBuf, Host)> {
        let host = Host::all(&crate::driver::checkout().join("toolchains")).unwrap();
        let host = Host::named("native", &host).unwrap().clone();
        if host.platform != "amd64" {
            wants::not_run("the test's release has all packages for amd64 alone");
            return None;
        }
        Some((self.make("out", &["--format", format, "--host", "native"]).0.join(format), host))
    }

    /// What the release has.
    fn emulator(&self, target: &str, host: &str) -> Vec<u8> {
        self.release.emulator(target, host)
    }
}

/// The one file in a folder whose name begins so.
fn find(folder: &Path, begin: &str) -> PathBuf {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> =
        all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begin)).collect();
    assert_eq!(found.len(), 1, "{begin}: {found:?}");
    found[0].clone()
}

/// A root folder with a shell in it, which maintainers' scripts are run by.
fn root_with_shell(home: &Path) -> PathBuf {
    let root = home.join("root");
    let script = "for file in /bin/sh $(ldd /bin/sh | grep -o '/[^ ]*'); do \
                  mkdir -p \"$0${file%/*}\"; cp -L $file \"$0$file\"; done";
    run("sh", &["-ec", script, root.to_str().unwrap()]);
    root
}

/// A program as root, or as root of a namespace of its own.
fn as_root(program: &str) -> Command {
    let mut command = Command::new(if is_root() { program } else { "unshare" });
    if !is_root() {
        command.args(["--map-root-user", program]);
    }
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

fn succeed(command: &mut Command) -> String {
    let ended = Ended::of(command);
    assert_eq!(ended.code, Some(0), "{command:?}: {ended:?}");
    ended.stdout
}

/// What lies below a folder, without folders; links end in `@`.
fn installed(root: &Path) -> Vec<String> {
    let script =
        "cd \"$0\" && find usr -type f -printf '%p %m\\n' -o -type l -printf '%p@ %l\\n' | LC_ALL=C sort";
    run("sh", &["-ec", script, root.to_str().unwrap()]).lines().map(str::to_owned).collect()
}

#[test]
fn the_same_release_makes_the_same_bytes_in_another_folder() {
    let stage = Stage::new();
    let (first, said) = stage.make("1", &["--base", BASE]);
    let (second, _) = stage.make("2/below", &["--base", BASE]);
    let sums = |folder: &Path| {
        run(
            "sh",
            &[
                "-ec",
                "cd \"$0\"; sha256sum --check --strict SHA256SUMS; cat SHA256SUMS",
                folder.to_str().unwrap(),
            ],
        )
    };
    assert_eq!(sums(&first), sums(&second));
    let made = said["packages"].as_array().unwrap();
    let count = |format: &str| made.iter().filter(|one| one["format"] == format).count();
    let counts = ["deb", "rpm", "apk", "wheel", "nix", "homebrew"].map(count);
    // arm64 has no foreign emulator to register, and arm/v7 no program either; wheels are for five pairs.
    assert_eq!(counts, [6, 6, 6, 5, 1, 1], "{made:#?}");
    for name in [
        "deb/anyarch_9.9.9-1_amd64.deb",
        "deb/anyarch-qemu-user_9.9.9-1_armhf.deb",
        "rpm/anyarch-binfmt-9.9.9-1.x86_64.rpm",
        "apk/armv7/anyarch-qemu-user-9.9.9-r1.apk",
        "wheel/anyarch_qemu_aarch64-9.9.9.post1-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64.whl",
        "nix/flake.nix",
        "homebrew/anyarch.rb",
    ] {
        assert!(first.join(name).is_file(), "{name}: {made:#?}");
    }
}

#[test]
fn dpkg_installs_and_removes_them_and_lintian_finds_nothing() {
    if let Some(why) = wants::lacks(&["dpkg", "ldd"], "dpkg libc-bin") {
        return wants::not_run(&why);
    }
    let stage = Stage::new();
    let Some((folder, _)) = stage.make_native("deb") else { return };
    let root = root_with_shell(stage.home.path());
    for name in ["info", "updates", "triggers"] {
        mkdir(&root.join("var/lib/dpkg").join(name));
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let before = installed(&root).len();
    let dpkg = |words: &[&str]| {
        let mut command = as_root("dpkg");
        command.arg(format!("--root={}", root.display())).arg("--force-not-root").args(words);
        succeed(&mut command)
    };
    let debs: Vec<PathBuf> =
        ["anyarch_", "anyarch-qemu-user_", "anyarch-binfmt_"].map(|name| find(&folder, name)).into();
    dpkg(&[&["--install"], &debs.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>()[..]].concat());
    let files = installed(&root);
    let emulator = "usr/libexec/anyarch/qemu-aarch64";
    let expected = [
        "usr/bin/anyarch 755".to_owned(),
        format!("{emulator} 755"),
        format!("{emulator}-execve@ qemu-aarch64"),
        "usr/share/doc/anyarch-qemu-user/copyright 644".to_owned(),
        "usr/share/doc/anyarch-qemu-user/changelog.Debian.gz 644".to_owned(),
        "usr/share/doc/anyarch/qemu-aarch64/build.json 644".to_owned(),
        "usr/share/lintian/overrides/anyarch 644".to_owned(),
        "usr/lib/binfmt.d/zz-anyarch-aarch64.conf 644".to_owned(),
        "usr/lib/binfmt.d/zz-anyarch-riscv64.conf 644".to_owned(),
    ];
    for name in expected {
        assert!(files.contains(&name), "{name}: {files:#?}");
    }
    assert!(!files.iter().any(|name| name.contains("LICENSE")), "{files:#?}");
    let copyright = fs::read_to_string(root.join("usr/share/doc/anyarch-qemu-user/copyright")).unwrap();
    assert!(copyright.contains("/usr/share/common-licenses") && copyright.contains("\nLICENSE:\n\nGPL\n"));
    assert_eq!(run(root.join(emulator).to_str().unwrap(), &["--version"]), "qemu-aarch64 version 9.9.9\n");
    // The files are those that md5sums lists, and nobody has touched them.
    assert_eq!(dpkg(&["--verify"]), "");
    let shown = run("dpkg", &["--info", debs[2].to_str().unwrap()]);
    let depends = "Depends: anyarch-qemu-user (= 9.9.9-1)";
    for line in [depends, "Multi-Arch: foreign", "Maintainer: Jo Doe <jo@example.org>"] {
        assert!(shown.contains(line), "{shown}");
    }
    dpkg(&["--remove", "anyarch-binfmt", "anyarch-qemu-user", "anyarch"]);
    assert_eq!(installed(&root).len(), before, "{:#?}", installed(&root));
    if which::which("lintian").is_err() {
        return wants::partly_not_run("missing on this machine: lintian");
    }
    for deb in &debs {
        let mut command = Command::new("lintian");
        // The test's programs are scripts with noise behind them.
        command.args(["--suppress-tags", "shell-script-fails-syntax-check"]);
        command.args(["--fail-on", "error,warning", "--allow-root"]).arg(deb);
        succeed(&mut command);
    }
}

#[test]
fn rpm_checks_installs_and_removes_them() {
    if let Some(why) = wants::lacks(&["rpm", "ldd"], "rpm libc-bin") {
        return wants::not_run(&why);
    }
    let stage = Stage::new();
    let Some((folder, host)) = stage.make_native("rpm") else { return };
    let root = root_with_shell(stage.home.path());
    let before = installed(&root).len();
    let rpm = |words: &[&str]| {
        let mut command = as_root("rpm");
        command.arg("--root").arg(&root).args(words);
        succeed(&mut command)
    };
    let paths = ["anyarch-9", "anyarch-qemu-user-9", "anyarch-binfmt-9"].map(|name| find(&folder, name));
    let paths = paths.each_ref().map(|path| path.to_str().unwrap());
    for path in paths {
        let checked = run("rpm", &["--checksig", "--verbose", path]);
        assert!(
            checked.contains("Header SHA256 digest: OK") && checked.contains("Payload SHA256 digest: OK"),
            "{checked}"
        );
        let query = "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{BUILDTIME} %{PACKAGER}";
        let said = run("rpm", &["--query", "--package", "--queryformat", query, path]);
        assert!(said.ends_with(&format!(" 9.9.9 1 {} 1700000000 {MAINTAINER}", host.packages.rpm)), "{said}");
    }
    let requires = run("rpm", &["--query", "--package", "--requires", paths[2]]);
    assert!(
        requires.contains("anyarch-qemu-user = 9.9.9-1\n") && requires.contains("/bin/sh\n"),
        "{requires}"
    );
    rpm(&["--initdb"]);
    // The root has a shell that no package of its own brings, and Debian's rpm wants to be told that it is meant.
    let install = ["--install", "--nodeps", "--force-debian"];
    rpm(&[&install[..], &paths].concat());
    let files = installed(&root);
    for name in [
        "usr/bin/anyarch 755",
        "usr/libexec/anyarch/qemu-aarch64 755",
        "usr/libexec/anyarch/qemu-aarch64-execve@ qemu-aarch64",
        "usr/share/doc/anyarch/qemu-aarch64/LICENSE 644",
    ] {
        assert!(files.iter().any(|file| file == name), "{name}: {files:#?}");
    }
    rpm(&["--verify", "--nodeps", "anyarch", "anyarch-qemu-user", "anyarch-binfmt"]);
    let licences = rpm(&["--query", "--licensefiles", "anyarch-qemu-user"]);
    assert!(licences.contains("qemu-aarch64/LICENSE"), "{licences}");
    rpm(&["--erase", "anyarch-binfmt", "anyarch-qemu-user", "anyarch"]);
    assert_eq!(installed(&root).len(), before, "{:#?}", installed(&root));
    assert!(!root.join("usr/libexec/anyarch").exists() && !root.join("usr/share/doc/anyarch").exists());
}

/// The gzip streams of a file: their packed and their unpacked bytes.
fn streams(mut rest: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let mut decoder = GzDecoder::new(rest);
        let mut plain = Vec::new();
        decoder.read_to_end(&mut plain).unwrap();
        let left = decoder.into_inner();
        all.push((rest[..rest.len() - left.len()].to_vec(), plain));
        rest = left;
    }
    all
}

#[test]
fn alpines_packages_hold_what_apk_compares_and_are_signed_by_the_key_that_is_given() {
    if let Some(why) = wants::lacks(&["openssl"], "openssl") {
        return wants::not_run(&why);
    }
    let stage = Stage::new();
    let home = stage.home.path();
    let key = home.join("jo.rsa");
    let key = key.to_str().unwrap();
    run("openssl", &["genrsa", "-out", key, "2048"]);
    run("openssl", &["rsa", "-in", key, "-pubout", "-out", &format!("{key}.pub")]);
    let words = ["--format", "apk", "--host", "amd64"];
    let (unsigned, _) = stage.make("unsigned", &words);
    let (signed, _) = stage.make("signed", &[&words[..], &["--apk-key", key]].concat());
    let at = "apk/x86_64/anyarch-binfmt-9.9.9-r1.apk";
    let without = streams(&fs::read(unsigned.join(at)).unwrap());
    let with = streams(&fs::read(signed.join(at)).unwrap());
    assert_eq!((without.len(), with.len()), (2, 3));
    assert_eq!(with[1..], without[..]);

    // The signature is of the stream that describes the package.
    let mut archive = tar::Archive::new(with[0].1.as_slice());
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap(), Path::new(".SIGN.RSA.jo.rsa.pub"));
    let mut signature = Vec::new();
    entry.read_to_end(&mut signature).unwrap();
    fs::write(home.join("signature"), signature).unwrap();
    fs::write(home.join("control"), &with[1].0).unwrap();
    let [signature, control] = ["signature", "control"].map(|name| home.join(name).display().to_string());
    run("openssl", &["dgst", "-sha1", "-verify", &format!("{key}.pub"), "-signature", &signature, &control]);

    // Others read all streams as one archive.
    let listed = run("tar", &["-tzf", signed.join(at).to_str().unwrap()]);
    let names: Vec<&str> = listed.lines().collect();
    let first =
        [".SIGN.RSA.jo.rsa.pub", ".PKGINFO", ".post-install", ".post-upgrade", ".pre-deinstall", "usr/"];
    assert_eq!(names[..6], first);
    let info = run("tar", &["-xzOf", signed.join(at).to_str().unwrap(), ".PKGINFO"]);
    for line in [
        "pkgname = anyarch-binfmt",
        "pkgver = 9.9.9-r1",
        "arch = x86_64",
        "depend = anyarch-qemu-user=9.9.9-r1",
        &format!("datahash = {}", hash::sha256(&with[2].0)),
    ] {
        assert!(info.lines().any(|one| one == line), "{line}: {info}");
    }

    // Each file has the hash that apk compares it with.
    let emulators = streams(&fs::read(unsigned.join("apk/x86_64/anyarch-qemu-user-9.9.9-r1.apk")).unwrap());
    let mut hashes = BTreeMap::new();
    for entry in tar::Archive::new(emulators[1].1.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let Ok(Some(records)) = entry.pax_extensions() else { continue };
        let record = records.flatten().find(|one| one.key() == Ok("APK-TOOLS.checksum.SHA1")).unwrap();
        let record = record.value().unwrap().to_owned();
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        hashes.insert(path, (record, bytes));
    }
    let (record, bytes) = &hashes["usr/libexec/anyarch/qemu-riscv64"];
    assert_eq!(*bytes, stage.emulator("riscv64", "amd64"));
    fs::write(home.join("emulator"), bytes).unwrap();
    assert!(run("sha1sum", &[home.join("emulator").to_str().unwrap()]).starts_with(record));

    if which::which("apk").is_err() {
        return wants::partly_not_run("missing on this machine: apk, which Debian does not have");
    }
    let root = root_with_shell(home);
    let before = installed(&root).len();
    let keys = root.join("etc/apk/keys");
    fs::copy(format!("{key}.pub"), mkdir(&keys).join("jo.rsa.pub")).unwrap();
    let apk = |words: &[&str]| {
        let mut command = as_root("apk");
        command.arg("--root").arg(&root).args(["--no-network", "--arch", "x86_64"]).args(words);
        succeed(&mut command)
    };
    let paths = fs::read_dir(signed.join("apk/x86_64")).unwrap().map(|entry| entry.unwrap().path());
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    apk(&[&["--initdb", "add"], &paths[..]].concat());
    let files = installed(&root);
    for name in ["usr/bin/anyarch 755", "usr/libexec/anyarch/qemu-aarch64-execve@ qemu-aarch64"] {
        assert!(files.iter().any(|file| file == name), "{name}: {files:#?}");
    }
    // What it lists was changed since it was installed.
    assert_eq!(apk(&["audit", "--packages"]), "");
    apk(&["del", "anyarch", "anyarch-qemu-user", "anyarch-binfmt"]);
    assert_eq!(installed(&root).len(), before, "{:#?}", installed(&root));
}

#[test]
fn pip_installs_a_wheel_whose_program_and_module_run_a_guest() {
    let stage = Stage::new();
    // A guest of this machine, which the test's emulator runs as it is.
    let Some(wheel) = wheel_runs(&stage, machine::native().unwrap()) else { return };
    if which::which("twine").is_err() {
        return wants::partly_not_run("missing on this machine: twine");
    }
    run("twine", &["check", "--strict", wheel.to_str().unwrap()]);
}

/// Installs the wheel of `qemu-aarch64` in an environment and in a folder, and runs a tiny guest of a target in each
/// way that there is. Gives the wheel.
pub fn wheel_runs(stage: &Stage, target: &str) -> Option<PathBuf> {
    let (folder, _) = stage.make_native("wheel")?;
    let found = find(&folder, "anyarch_qemu_aarch64-");
    let (home, wheel) = (stage.home.path(), found.to_str().unwrap());
    let guest = home.join("guest");
    let target = Target::named(target).unwrap().known().unwrap();
    fs::write(&guest, anyarch_binfmt::tiny::program(target).unwrap()).unwrap();
    fs::set_permissions(&guest, fs::Permissions::from_mode(0o755)).unwrap();
    let (venv, target) = (home.join("venv"), home.join("target"));
    let python = venv.join("bin/python");
    run("python3", &["-m", "venv", "--without-pip", venv.to_str().unwrap()]);
    let pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"];
    let install = ["install", "--no-index", "--no-deps"];
    let into = |words: &[&str], more: &[&str]| {
        let mut command = Command::new("python3");
        command
            .args(pip)
            .args(words)
            .args(install)
            .args(more)
            .arg(wheel)
            .env("PIP_ROOT_USER_ACTION", "ignore");
        succeed(&mut command);
    };
    into(&["--python", python.to_str().unwrap()], &[]);
    into(&[], &["--target", target.to_str().unwrap()]);
    let module = ["-m", "anyarch_qemu_aarch64"];
    let ways: [(&Path, &[&str], &str); 3] = [
        (&venv.join("bin/qemu-aarch64"), &[], ""),
        (&python, &module, ""),
        (Path::new("python3"), &module, target.to_str().unwrap()),
    ];
    for (program, words, path) in ways {
        let mut command = Command::new(program);
        command.args(words).arg(&guest).arg("hello").env("PYTHONPATH", path);
        let ended = Ended::of(&mut command);
        assert!(ended.code == Some(41) && ended.stdout.contains("hello"), "{program:?}: {ended:?}");
    }
    let listed =
        Ended::of(Command::new("python3").args(pip).args(["--python", python.to_str().unwrap(), "check"]));
    assert_eq!(listed.code, Some(0), "{listed:?}");
    Some(found)
}

#[test]
fn a_wheels_record_lists_every_file_by_its_hash() {
    let stage = Stage::new();
    let (folder, _) = stage.make("out", &["--format", "wheel", "--host", "arm/v7"]);
    let wheel = find(&folder.join("wheel"), "anyarch_qemu_arm-9.9.9.post1-py3-none-manylinux_2_17_armv7l.");
    let unpacked = stage.home.path().join("unpacked");
    run("python3", &["-m", "zipfile", "-e", wheel.to_str().unwrap(), unpacked.to_str().unwrap()]);
    let record = fs::read_to_string(unpacked.join("anyarch_qemu_arm-9.9.9.post1.dist-info/RECORD")).unwrap();
    let mut files = crate::driver::files(&unpacked);
    for line in record.lines() {
        let (name, rest) = line.split_once(',').unwrap();
        files.retain(|file| file != Path::new(name));
        if let Some((sum, size)) = rest.strip_prefix("sha256=").and_then(|rest| rest.split_once(',')) {
            let bytes = fs::read(unpacked.join(name)).unwrap();
            let expected = BASE64URL_NOPAD.decode(sum.as_bytes()).unwrap();
            assert_eq!(
                (HEXLOWER.encode(&expected), size),
                (hash::sha256(&bytes), bytes.len().to_string().as_str())
            );
        } else {
            assert!(name.ends_with("/RECORD"), "{line}");
        }
    }
    assert_eq!(files, Vec::<PathBuf>::new(), "not in RECORD");
    let emulator = fs::read(unpacked.join("anyarch_qemu_arm-9.9.9.post1.data/scripts/qemu-arm")).unwrap();
    assert_eq!(emulator, stage.emulator("arm", "arm/v7"));
}

#[test]
fn recipes_name_the_releases_archives_by_their_hashes() {
    let stage = Stage::new();
    let (folder, _) = stage.make("out", &["--format", "nix,homebrew", "--base", BASE]);
    let [nix, ruby] = ["nix/flake.nix", "homebrew/anyarch.rb"].map(|name| folder.join(name));
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let place = |name: &str| format!("{BASE}/{NAME}/{name}");
    for (host, in_ruby) in [("amd64", true), ("arm64", true), ("arm/v7", false)] {
        let name = stage.release.archive("aarch64", host);
        let sum = hash::sha256_file(&stage.release.folder().join(&name)).unwrap();
        let in_nix = format!("file = \"{name}\";\n            sha256 = \"{sum}\";");
        assert!(text(&nix).contains(&in_nix), "{host}: {}", text(&nix));
        let formula = format!("url \"{}\"\n      sha256 \"{sum}\"", place(&name));
        assert_eq!(text(&ruby).contains(&formula), in_ruby, "{host}: {}", text(&ruby));
    }
    let program = format!("  on_arm do\n    url \"{}\"", place("anyarch-9.9.9-1-linux-arm64.tar.xz"));
    assert!(text(&ruby).contains(&program), "{}", text(&ruby));
    for (reader, words, file) in [("nix-instantiate", "--parse", &nix), ("ruby", "-c", &ruby)] {
        if which::which(reader).is_err() {
            wants::partly_not_run(&format!("missing on this machine: {reader}"));
            continue;
        }
        run(reader, &[words, file.to_str().unwrap()]);
    }
}

#[test]
fn a_release_that_is_not_what_it_says_makes_no_package() {
    let case = |spoil: &dyn Fn(&mut Stage), code: i32, words: &[&str]| {
        let mut stage = Stage::new();
        spoil(&mut stage);
        let ended = stage.run("out", &["--format", "apk"]);
        ended.failed(code, words);
        let left = fs::read_dir(stage.home.path().join("out")).map(|all| all.flatten().collect::<Vec<_>>());
        let left = left.unwrap_or_default();
        assert!(left.iter().all(|one| one.file_name().to_string_lossy().ends_with(".lock")), "{left:?}");
    };
    case(
        &|stage| {
            let link = Member::special("bin/evil", tar::EntryType::Symlink, "/etc/passwd");
            stage.release.repack("aarch64", "amd64", &tar(&[link]));
        },
        1,
        &["evil"],
    );
    case(
        &|stage| {
            let path = stage.release.folder().join(stage.release.archive("riscv64", "amd64"));
            let mut bytes = fs::read(&path).unwrap();
            bytes[1000] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        1,
        &["wrong content"],
    );
    case(&|stage| fs::remove_dir_all(stage.release.folder()).unwrap(), 2, &["no release in"]);
    let stage = Stage::new();
    stage.run("out", &["--host", "s390x"]).failed(2, &["nothing for s390x", "amd64 arm64 arm/v7"]);
    stage.run("out", &["--host", "adm64"]).failed(2, &["did you mean `amd64`?"]);
    stage.run("out", &["--format", "dep"]).failed(2, &["no format `dep`; did you mean `deb`?", "homebrew"]);
    stage.run("out", &["--format", "nix"]).failed(2, &["pass --base URL"]);
    stage
        .run("out", &["--format", "homebrew", "--host", "arm/v7", "--base", BASE])
        .failed(2, &["homebrew has no name"]);
    stage.run("out", &["--base", "example.org"]).failed(2, &["begins with https://"]);
    let odd = FakeRelease::make(&stage.home.path().join("odd"), "9.9.9-rc1");
    let odd = Stage { home: scratch(), release: odd };
    odd.run("out", &[]).failed(1, &["a version like 10.2.2-1"]);
}
