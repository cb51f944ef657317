//! What a machine lacks to compile is told before anything is done, once for all hosts and with the one command
//! that gets it; and a toolchain that would compile against the wrong C library is refused.

use crate::driver::{Data, Driver, Ended, files, mkdir, scratch};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use xtask::facts::{Host, Series};

/// A machine that has what the driver itself wants and nothing else: no compiler, no engine. Programs of a test's
/// own can be put into the folder `bin`.
fn bare(home: &Path) -> Driver {
    let programs = mkdir(&home.join("bin")).to_owned();
    for name in ["git", "python3", "apt-get", "dpkg-deb", "sh", "env"] {
        symlink(which::which(name).unwrap(), programs.join(name)).unwrap();
    }
    let environment = vec![("PATH".to_owned(), programs.display().to_string())];
    Driver { environment, ..Driver::fresh(home) }
}

/// Puts a program on such a machine.
fn program(home: &Path, name: &str, script: &str) {
    let path = home.join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Nothing was downloaded or made.
fn nothing_done(driver: &Driver) {
    assert_eq!(files(driver.cache.as_deref().unwrap()), [Path::new("CACHEDIR.TAG")]);
}

#[test]
fn one_command_gets_the_compilers_of_all_hosts() {
    let home = scratch();
    let driver = bare(home.path());
    let hosts = Host::all(&driver.root.join("toolchains")).unwrap();
    let others = hosts.iter().filter(|host| !host.is_native());
    let packages: BTreeSet<&str> =
        others.flat_map(|host| &host.compiler.packages).map(String::as_str).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    let command = format!("apt-get install {}", packages.join(" "));

    let told = driver.run(&["doctor"]).stdout;
    assert!(told.contains(&format!("\nfor all hosts: {command}\n")), "{told}");
    let json: Value = serde_json::from_str(&driver.run(&["doctor", "--json"]).stdout).unwrap();
    assert_eq!(json["all_hosts"], command.as_str());
    assert_eq!(json["hosts"].as_array().unwrap().len(), hosts.len() - 1);

    // A build for all that its series has says the same, with this machine's own compiler.
    let ended = driver.run(&["build", "--target", "arm", "--host", "all"]);
    ended.failed(3, &["a C compiler for each of ", "to fix it: apt-get install "]);
    let line = ended.stderr.lines().find(|line| line.contains("apt-get install")).unwrap();
    let named: BTreeSet<&str> = line.rsplit_once("install ").unwrap().1.split(' ').collect();
    let lacking = Series::pins(&driver.root.join("patches"), "10.2").unwrap().left_out_hosts;
    let built = hosts.iter().filter(|host| !host.is_native() && !lacking.contains_key(&host.platform));
    let mut wanted = built.flat_map(|host| &host.compiler.packages).map(String::as_str);
    assert!(wanted.all(|package| named.contains(package)), "{line}");
    assert!(named.contains("libc6-dev"), "what runs during the build: {line}");
    assert_eq!(ended.stderr.matches("apt-get install").count(), 1, "{}", ended.stderr);
    nothing_done(&driver);
}

#[test]
fn a_compiler_without_the_linker_that_it_is_to_call_is_told_before_anything_is_done() {
    let home = scratch();
    let driver = bare(home.path());
    let hosts = Host::all(&driver.root.join("toolchains")).unwrap();
    let host = hosts.iter().find(|host| host.compiler.linker.is_some() && !host.is_native()).unwrap();
    let linker = format!("ld.{}", host.compiler.linker.as_ref().unwrap());
    for name in ["gcc", &host.compiler.cc] {
        program(home.path(), name, "exit 9");
    }
    for tool in ["ar", "nm", "objcopy", "ranlib", "readelf", "strip"] {
        // The host's, and this machine's own: those that run its emulators are made, too.
        program(home.path(), &host.compiler.tools.replace("{}", tool), "exit 9");
        program(home.path(), tool, "exit 9");
    }
    let command = format!("apt-get install {}", sorted(&host.compiler.packages));
    let build = ["build", "--target", "arm", "--host", &host.platform];
    let what = format!("the linker {linker} for {} is missing", host.platform);
    driver.run(&build).failed(3, &[&what, &command]);
    nothing_done(&driver);
    let found = || -> bool {
        let json: Value = serde_json::from_str(&driver.run(&["doctor", "--json"]).stdout).unwrap();
        let what = format!("compiler for {}", host.platform);
        let one = json["hosts"].as_array().unwrap().iter().find(|one| one["what"] == *what).unwrap().clone();
        one["found"].is_string()
    };
    assert!(!found(), "doctor tells it, too");
    program(home.path(), &linker, "exit 9");
    assert!(found());
}

fn sorted(packages: &[String]) -> String {
    let all: BTreeSet<&str> = packages.iter().map(String::as_str).collect();
    all.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_can_not_be_made_for_some_hosts_is_told_before_a_build_begins() {
    let home = scratch();
    let driver = bare(home.path());
    let ended = driver.run(&["build", "--target", "x86_64", "--host", "all"]);
    let hosts = Host::all(&driver.root.join("toolchains")).unwrap();
    let pins = Series::pins(&driver.root.join("patches"), "10.2").unwrap();
    let (lacking, has): (Vec<&Host>, Vec<&Host>) =
        hosts.iter().partition(|host| pins.left_out_hosts.contains_key(&host.platform));
    let narrow: Vec<&str> =
        has.iter().filter(|host| host.elf.bits == 32).map(|host| host.platform.as_str()).collect();
    ended.failed(3, &[&format!("not possible: x86_64 for {}: ", narrow.join(", "))]);
    assert_eq!(ended.stderr.matches("not possible").count(), 1 + lacking.len(), "{}", ended.stderr);
}

#[test]
fn the_next_host_is_verified_where_one_can_not_be_prepared() {
    let home = scratch();
    let driver = bare(home.path());
    let verify = ["verify", "--offline", "--target", "arm", "--host", "386,s390x"];
    let said = |host: &str| format!("nothing for {host} could be verified");
    let ended = driver.run(&verify);
    let told = |host: &str| ended.stderr.contains(&said(host));
    assert!(told("386") && !told("s390x"), "{}", ended.stderr);
    let ended = driver.run(&[&verify[..], &["--keep-going"]].concat());
    let told = |host: &str| ended.stderr.contains(&said(host));
    assert!(ended.code != Some(0) && told("386") && told("s390x"), "{}", ended.stderr);
}

/// A build whose compilers are to come from an image.
fn build_in_a_container(driver: &Driver, hosts: &str) -> Ended {
    driver.run(&["build", "--target", "arm", "--host", hosts, "--toolchain", "container"])
}

/// With `--keep-going`, too, what all hosts lack is told once, and first of all.
fn told_once_over_all_hosts(driver: &Driver, options: &[&str], what: &str) {
    let build = ["build", "--keep-going", "--target", "arm", "--host", "all"];
    let ended = driver.run(&[&build[..], options].concat());
    ended.failed(3, &[what]);
    assert_eq!(ended.stderr.matches(what).count(), 1, "{}", ended.stderr);
    nothing_done(driver);
}

const NO_DAEMON: &str = "echo 'Cannot connect to the Docker daemon.' >&2; exit 1";

#[test]
fn without_an_engine_a_container_is_told_to_be_missing_once_for_all_hosts() {
    let home = scratch();
    let driver = bare(home.path());
    for hosts in ["native", "all"] {
        let ended = build_in_a_container(&driver, hosts);
        ended.failed(3, &["docker or podman is missing", "to fix it: apt-get install podman"]);
        assert!(!ended.stderr.contains("C compiler"), "{}", ended.stderr);
    }
    nothing_done(&driver);
    told_once_over_all_hosts(&driver, &["--toolchain", "container"], "docker or podman is missing");
}

#[test]
fn an_engine_that_is_stopped_is_told_with_its_own_words_and_the_command_that_starts_it() {
    let home = scratch();
    let driver = bare(home.path());
    program(home.path(), "docker", NO_DAEMON);
    for hosts in ["native", "all"] {
        let said =
            ["bin/docker does not answer: Cannot connect to the Docker daemon.", "systemctl start docker"];
        build_in_a_container(&driver, hosts).failed(3, &said);
    }
    program(home.path(), "podman", "echo 'no user namespaces' >&2; exit 125");
    let said = ["docker does not answer", "podman does not answer: no user namespaces"];
    build_in_a_container(&driver, "native").failed(3, &said);
    nothing_done(&driver);
}

#[test]
fn podman_makes_the_image_where_dockers_engine_is_stopped() {
    let home = scratch();
    let driver = bare(home.path());
    program(home.path(), "docker", NO_DAEMON);
    let podman = "case $1 in info) ;; build) echo podman was asked to; exit 9 ;; *) exit 1 ;; esac";
    program(home.path(), "podman", podman);
    let ended = driver.run(&["toolchain", "--toolchain", "container"]);
    let said = ["cannot build the image with compilers for", "exit code 9", "podman was asked to"];
    ended.failed(1, &said);
}

#[test]
fn a_launcher_that_is_missing_or_does_not_fit_is_told_once_for_all_hosts() {
    let home = scratch();
    let driver = bare(home.path());
    let build = ["build", "--target", "arm", "--host", "all", "--launcher", "ccache"];
    let ended = driver.run(&build);
    ended.failed(3, &["ccache is missing", "to fix it: apt-get install ccache"]);
    let said = ["calls compilers of this machine, not of a container"];
    driver.run(&[&build[..], &["--toolchain", "container"]].concat()).failed(2, &said);
    nothing_done(&driver);
    told_once_over_all_hosts(&driver, &["--launcher", "ccache"], "ccache is missing");

    // One that is there and can't compile says why itself.
    program(home.path(), "sccache", "echo 'cache type is not enabled' >&2; exit 2");
    for tool in ["gcc", "ar", "nm", "objcopy", "ranlib", "readelf", "strip"] {
        program(home.path(), tool, "exit 9");
    }
    let ended = driver.run(&["build", "--target", "arm", "--launcher", "sccache"]);
    ended.failed(1, &["sccache cannot compile", "cache type is not enabled"]);
    nothing_done(&driver);
}

#[test]
#[ignore = "wants a sysroot; run by `cargo xtask test`"]
fn a_compiler_that_would_take_another_c_library_than_the_sysroots_is_refused() {
    let home = scratch();
    let data = Data::copy(&home.path().join("root"));
    let elsewhere = mkdir(&home.path().join("elsewhere")).to_owned();
    fs::write(elsewhere.join("libc.a"), "!<arch>\n").unwrap();
    let hosts = Host::all(&data.root.join("toolchains")).unwrap();
    let native = Host::named("native", &hosts).unwrap();
    let file = data.root.join("toolchains").join(format!("{}.toml", native.file_name()));
    let text = fs::read_to_string(&file).unwrap();
    let driver = Driver { root: data.root, ..Driver::warm(home.path()) };
    driver.succeed(&["toolchain"]);
    let option = format!("[compiler]\noptions = [\"-B{}/\"]", elsewhere.display());
    fs::write(&file, text.replacen("[compiler]", &option, 1)).unwrap();
    let library = format!("takes its C library from {}/libc.a, not from the sysroot", elsewhere.display());
    driver.run(&["toolchain"]).failed(1, &[&library]);
}
