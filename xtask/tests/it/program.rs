//! `anyarch` as a release ships it: made, proven and packed for each host, the same bytes wherever it is made.

use crate::driver::encrypted::Encrypted;
use crate::driver::releases::FakeRelease;
use crate::driver::{Data, Driver, Ended, checkout, exclusive, json, mkdir, run, scratch};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use xtask::facts::Host;

const RELEASE: &str = "10.2.2-1";

#[test]
fn a_host_without_rust_is_refused_by_name_with_the_reason() {
    let home = scratch();
    let ended = Driver::fresh(home.path()).run(&["program", "--host", "mips64le"]);
    ended.failed(2, &["there is no anyarch for mips64le", "tier 3"]);
}

#[test]
fn what_rust_lacks_is_told_with_the_command_that_gets_it() {
    let home = scratch();
    let data = Data::copy(&home.path().join("root"));
    let file = data.root.join("toolchains/amd64.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("x86_64-unknown-linux-musl", "x86_64-unknown-none-musl")).unwrap();
    let driver = Driver { root: data.root, ..Driver::fresh(home.path()) };
    let ended = driver.run(&["program", "--host", "amd64"]);
    ended.failed(3, &["Rust's standard library", "rustup target add x86_64-unknown-none-musl"]);
    let doctor = driver.run(&["doctor"]);
    assert!(doctor.stdout.contains("rustup target add x86_64-unknown-none-musl"), "{}", doctor.stdout);
}

/// The archive of a host, unpacked.
fn unpacked(row: &Value, home: &Path) -> PathBuf {
    let folder = home.join(row["host"].as_str().unwrap().replace('/', "-"));
    run("tar", &["-C", mkdir(&folder).to_str().unwrap(), "-xJf", row["path"].as_str().unwrap()]);
    folder
}

fn is_proven(row: &Value) {
    let checks = row["program"]["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["elf", "version", "list", "install"], "{row}");
    assert!(checks.iter().all(|check| check["passed"].is_string()), "{row}");
    assert!(row["size"].as_u64().unwrap() < 3_000_000, "{row}");
}

#[test]
#[ignore = "compiles anyarch as it ships; run by `cargo xtask test --long`"]
fn long_the_program_of_this_machine_is_small_quick_static_and_completes_words() {
    let _one = exclusive();
    let home = scratch();
    let made = json(&Driver::usual(), &["program", "--json"]);
    let row = &made["programs"][0];
    is_proven(row);
    let folder = unpacked(row, home.path());
    let program = folder.join("bin/anyarch");
    let docs = folder.join("share/doc/anyarch/anyarch");
    let said = run(program.to_str().unwrap(), &["--version"]);
    assert!(said.starts_with(&format!("anyarch {RELEASE}\nemulators of this release: aarch64 ")), "{said}");
    let licenses = fs::read_to_string(docs.join("LICENSES-OF-OTHERS")).unwrap();
    for name in ["\nring ", "\nrust-std ", "\nmusl ", "\nzstd-sys ", "\nliblzma-sys ", "Rich Felker"] {
        assert!(licenses.contains(name), "{name} is missing");
    }
    let least = (0..50).map(|_| {
        let started = Instant::now();
        run(program.to_str().unwrap(), &["-V"]);
        started.elapsed()
    });
    assert!(least.min().unwrap().as_millis() < 5, "it starts slowly");
    let figures = json(&Driver::usual(), &["bench", "--json", "program"]);
    assert_eq!(figures[1]["what"], "anyarch starts", "{figures}");
    // As bash does when somebody presses Tab, by the script of the archive.
    let script = "PATH=$1:$PATH; . \"$2\"; COMP_WORDS=(anyarch install --target loon); COMP_CWORD=3; COMP_TYPE=9; \
                  COMP_LINE='anyarch install --target loon'; COMP_POINT=${#COMP_LINE}; \
                  f=$(complete -p anyarch | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f anyarch loon --target; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let words = [folder.join("bin"), docs.join("anyarch.bash")];
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"]).args(words);
    let ended = Ended::of(&mut bash);
    assert_eq!(ended.stdout.trim(), "loongarch64", "{ended:?}");
}

#[test]
#[ignore = "compiles anyarch twice; run by `cargo xtask test --long`"]
fn long_the_program_has_the_same_bytes_in_another_folder_of_another_user() {
    let _one = exclusive();
    let home = scratch();
    let usual = json(&Driver::usual(), &["program", "--json"]);
    // Another checkout, another home of cargo's, another name of everything.
    let root = home.path().join("somewhere/else");
    let from = checkout();
    run("git", &["clone", "--quiet", from.to_str().unwrap(), root.to_str().unwrap()]);
    // What is not committed yet, too.
    let changed = run("git", &["-C", from.to_str().unwrap(), "ls-files", "--modified"]);
    for file in changed.lines() {
        fs::copy(from.join(file), root.join(file)).unwrap();
    }
    let cargo = std::env::var_os("CARGO_HOME")
        .map_or_else(|| std::env::home_dir().unwrap().join(".cargo"), PathBuf::from);
    let other = home.path().join("cargo");
    for name in fs::read_dir(&cargo).unwrap().flatten() {
        symlink(name.path(), mkdir(&other).join(name.file_name())).unwrap();
    }
    let mut driver = Driver { root, ..Driver::warm(&home.path().join("other")) };
    driver.environment.push(("CARGO_HOME".into(), other.display().to_string()));
    let made = json(&driver, &["program", "--json", "--jobs", "1"]);
    assert_eq!(made["programs"][0]["sha256"], usual["programs"][0]["sha256"]);
    let folder = Path::new(usual["programs"][0]["path"].as_str().unwrap()).parent().unwrap().to_owned();
    let said = driver.succeed(&["reproduce", folder.to_str().unwrap(), "--target", "anyarch"]);
    assert!(said.contains("reproduced"), "{said}");
}

#[test]
#[ignore = "compiles anyarch and emulators for every host; run by `cargo xtask test --long`"]
fn long_every_host_has_the_program_and_it_fetches_over_https() {
    let _one = exclusive();
    let home = scratch();
    let driver = Driver::usual();
    let made = json(&driver, &["program", "--json", "--host", "all"]);
    let rows = made["programs"].as_array().unwrap();
    let hosts = Host::all(&checkout().join("toolchains")).unwrap();
    assert_eq!(rows.len(), hosts.iter().filter(|host| host.rust.is_some()).count());
    let encrypted = Encrypted::new();
    for row in rows {
        is_proven(row);
        let host = Host::named(row["host"].as_str().unwrap(), &hosts).unwrap();
        let folder = unpacked(row, home.path());
        let release = FakeRelease::make(&home.path().join("mirror"), "1.2.3-1");
        release.edit(|manifest| {
            // One emulator for whatever host asks.
            manifest["artifacts"][0]["host"] = host.platform.clone().into();
            manifest["artifacts"] = serde_json::json!([manifest["artifacts"][0]]);
            manifest["builds"][&host.platform] = manifest["builds"]["arm64"].clone();
        });
        encrypted.serves(&release.folder());
        let mut command = started(&driver, host, &folder.join("bin/anyarch"), home.path());
        command.args(["install", "--target", "aarch64", "--release", "1.2.3-1", "--from", &encrypted.url()]);
        command.env_clear().env("SSL_CERT_FILE", encrypted.certificate());
        command.env("HOME", home.path()).env("ANYARCH_CACHE", folder.join("cache"));
        let prefix = folder.join("prefix");
        let ended = Ended::of(command.arg("--prefix").arg(&prefix));
        assert_eq!(ended.code, Some(0), "{}: {ended:?}", host.platform);
        assert_eq!(fs::read(prefix.join("bin/qemu-aarch64")).unwrap(), release.emulator("aarch64", "amd64"));
    }
}

/// A program of a host, in our own emulator of that host where it is another.
fn started(driver: &Driver, host: &Host, program: &Path, home: &Path) -> Command {
    if host.is_native() {
        return Command::new(program);
    }
    let target = host.as_target().unwrap().name;
    let built = json(driver, &["build", "--json", "--target", target]);
    let tarball = PathBuf::from(built["tarballs"][0]["path"].as_str().unwrap());
    let emulator = crate::driver::unpack(&tarball, target, &home.join("emulators"));
    let mut command = Command::new(emulator);
    let own = host.rust.as_ref().and_then(|rust| rust.cpu.as_ref());
    if let Some(cpu) = own.or(host.proof.cpu.as_ref()) {
        command.args(["-cpu", cpu]);
    }
    command.arg(program);
    command
}
