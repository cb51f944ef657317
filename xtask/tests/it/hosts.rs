//! Emulators for several hosts at once: real cross compilers, foreign emulators proven in our own, and what
//! happens when a part of it fails.

use crate::driver::foreign::{FOREIGN, HOSTS, TARGET, all_proven, lacks_compilers};
use crate::driver::{
    Data, Driver, RELEASE, WITH_CONTRACT, checkout, emulator, emulator_of, exclusive, files, is_root, json,
    scratch, unpack, wants,
};
use data_encoding::HEXLOWER;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use xtask::facts::{Host, Series};

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn emulators_for_other_hosts_run_guests_in_our_own_emulators() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    assert_eq!(FOREIGN.len(), 2);
    all_proven(&FOREIGN);
    for row in FOREIGN.iter() {
        let said = row["emulator"]["checks"][2]["passed"].as_str().unwrap();
        assert!(said.contains("in this machine's emulator of it"), "{said}");
        assert!(row["size"].as_u64().unwrap() < 2_000_000, "{row}");
    }
    let driver = Driver::usual();
    let plan = driver.succeed(&["plan", "--host", HOSTS, "--target", TARGET]);
    assert!(plan.contains("P  packaged: 2"), "{plan}");
    let plan = driver.succeed(&["plan", "--target", "i386,aarch64", "--host", "arm64,s390x,386,all"]);
    assert!(plan.lines().any(|line| line.starts_with("aarch64  ") && line.contains('1')), "{plan}");
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn emulators_for_arm64_find_what_earlier_ones_have_translated() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    let home = scratch();
    let row = FOREIGN.iter().find(|row| row["host"] == "arm64").unwrap();
    let ours = emulator("aarch64", &home.path().join("own"));
    let foreign = unpack(Path::new(row["path"].as_str().unwrap()), TARGET, &home.path().join("arm64"));
    let hex = fs::read_to_string(checkout().join(format!("guests/tiny/bytes/{TARGET}.hex"))).unwrap();
    let digits: String =
        hex.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
    let tiny = home.path().join("tiny");
    fs::write(&tiny, HEXLOWER.decode(digits.as_bytes()).unwrap()).unwrap();
    fs::set_permissions(&tiny, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(ours);
    // Instruction caches of this processor are as wide as real ones; those of QEMU's own are not.
    command.args(["-cpu", "cortex-a53", "--execve", "self", "--tb-cache", "off"]);
    command.arg(foreign).args(["--execve", "self", "-d", "tb_cache"]);
    command.args(["./tiny", "./tiny", "./tiny", "./tiny", "last"]).current_dir(home.path());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let counts =
        said.lines().filter_map(|line| line.strip_prefix("tb_cache: ")?.split_once(" blocks translated"));
    let counts: Vec<u32> = counts.map(|(count, _)| count.parse().unwrap()).collect();
    assert!(output.status.code() == Some(44) && counts.len() == 7, "{}: {said}", output.status);
    // The first three lines are of children that become the next program, and have begun to run this one.
    assert!(counts[0] > 0, "{said}");
    assert_eq!(counts[1..3], [0, 0], "{said}");
}

/// The C library ends a thread by unwinding it. Most tables for that are left out when an emulator is linked.
#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn threads_of_guests_end_in_emulators_for_other_hosts() {
    let _one = exclusive();
    let compiler = "s390x-linux-gnu-gcc";
    if lacks_compilers() {
        return;
    }
    if let Some(why) = wants::lacks(&[compiler], "gcc-s390x-linux-gnu libc6-dev-s390x-cross") {
        return wants::not_run(&why);
    }
    let home = scratch();
    let source = home.path().join("threads.c");
    fs::write(
        &source,
        "#include <pthread.h>\n\
         static void *end(void *with) { pthread_exit(with); }\n\
         int main(void)\n\
         {\n\
             long sum = 0;\n\
             for (long i = 0; i < 20; i++) {\n\
                 pthread_t thread;\n\
                 void *with;\n\
                 if (pthread_create(&thread, NULL, end, (void *)i) || pthread_join(thread, &with))\n\
                     return 1;\n\
                 sum += (long)with;\n\
             }\n\
             return sum == 190 ? 42 : 2;\n\
         }\n",
    )
    .unwrap();
    let guest = home.path().join("threads");
    let mut command = Command::new(compiler);
    command.args(["-static", "-pthread", "-O2", "-o"]).arg(&guest).arg(&source);
    assert!(command.status().unwrap().success());
    for row in FOREIGN.iter() {
        let (host, path) = (row["host"].as_str().unwrap(), row["path"].as_str().unwrap());
        let target = if host == "arm64" { "aarch64" } else { host };
        let here = emulator_of("10.2", target, &home.path().join(host));
        let foreign = unpack(Path::new(path), TARGET, &home.path().join(host).join("foreign"));
        let output = Command::new(here).arg(foreign).arg(&guest).output().unwrap();
        assert_eq!(output.status.code(), Some(42), "{host}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_the_target_with_the_most_helpers_links_for_arm64() {
    let _one = exclusive();
    if lacks_compilers() {
        return;
    }
    LazyLock::force(&FOREIGN);
    let built = json(&Driver::usual(), &["build", "--json", "--host", "arm64", "--target", "aarch64"]);
    all_proven(built["tarballs"].as_array().unwrap());
}

/// Data with a patch that breaks one file of one target, and a host whose compiler nobody has.
fn broken(home: &Path) -> Data {
    let data = Data::copy(&home.join("root"));
    let patch = "--- a/target/sh4/op_helper.c\n+++ b/target/sh4/op_helper.c\n@@ -1,2 +1,3 @@\n+#error broken on purpose\n /*\n  *  SH4 emulation\n";
    fs::write(data.root.join("patches/10.2/fast/9999-broken.patch"), patch).unwrap();
    let file = data.root.join("toolchains/s390x.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("s390x-linux-gnu-gcc\"", "no-such-gcc\"")).unwrap();
    data
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn a_target_that_does_not_compile_and_a_host_without_a_compiler_do_not_lose_the_others() {
    let _one = exclusive();
    LazyLock::force(&RELEASE);
    let home = scratch();
    let data = broken(home.path());
    let driver = Driver { root: data.root, ..Driver::warm(home.path()) };
    let build = ["build", "--json", "--target", "arm,sh4"];
    let both = [&build[..], &["--host", "native,s390x"]].concat();
    driver.run(&both).failed(3, &["a C compiler for s390x", "apt-get install gcc-s390x-linux-gnu"]);
    let ended = driver.run(&build);
    ended.failed(1, &["did not compile", "broken on purpose"]);
    assert_eq!(files(&driver.out), Vec::<PathBuf>::new(), "without --keep-going nothing is packed");
    let ended = driver.run(&[&both[..], &["--keep-going"]].concat());
    let host = ["failed: all targets for s390x", "apt-get install gcc-s390x-linux-gnu"];
    let target = ["failed: qemu-sh4 for amd64", "broken on purpose"];
    // That one was tried and failed weighs more than what this machine lacks.
    ended.failed(1, &[host, target].concat());
    let built: Value = serde_json::from_str(&ended.stdout).unwrap();
    let pairs = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| format!("{} for {}", row["target"], row["host"]).replace('"', "")).collect()
    };
    assert_eq!(pairs(&built["tarballs"]), ["arm for amd64"]);
    assert_eq!(pairs(&built["failed"]), ["null for s390x", "sh4 for amd64"]);
}

#[test]
#[ignore = "builds QEMU for every host; run by `cargo xtask test --long`"]
fn long_every_host_has_emulators_that_run_guests() {
    let _one = exclusive();
    let hosts = Host::all(&checkout().join("toolchains")).unwrap();
    // With the old series, a 32-bit host has 64-bit targets, too: the one with the most helpers, one that 10.2 has
    // no more, one with a real system.
    for (series, targets) in [("10.2", "i386"), ("7.2", "aarch64,cris,riscv64")] {
        let pins = Series::pins(&checkout().join("patches"), series).unwrap();
        let hosts = hosts.len() - pins.left_out_hosts.len();
        let arguments = ["build", "--json", "--qemu", series, "--host", "all", "--target", targets];
        let built = json(&Driver::usual(), &arguments);
        let rows = built["tarballs"].as_array().unwrap();
        assert_eq!(rows.len(), hosts * targets.split(',').count());
        all_proven(rows);
    }
}

#[test]
fn more_jobs_than_the_memory_holds_are_warned_of() {
    let home = scratch();
    let ended = Driver::fresh(home.path()).run(&["source", "--offline", "--jobs", "60000"]);
    assert!(ended.stderr.contains("warning: 60000 jobs may need more than"), "{}", ended.stderr);
}

#[test]
#[ignore = "wants QEMU's source; run by `cargo xtask test`"]
fn targets_are_as_wide_as_qemu_says() {
    let tree = json(&Driver::usual(), &["source", "--json"])["tree"].as_str().unwrap().to_owned();
    let folder = Path::new(&tree).join("configs/targets");
    let mut seen = 0;
    for target in xtask::facts::targets::TARGETS {
        let Ok(text) = fs::read_to_string(folder.join(format!("{}-linux-user.mak", target.name))) else {
            continue;
        };
        let bits = text.lines().find_map(|line| line.strip_prefix("TARGET_LONG_BITS="));
        assert_eq!(bits.unwrap_or("32"), target.bits.to_string(), "{}", target.name);
        seen += 1;
    }
    assert_eq!(seen, 33);
}

/// Small programs that stand beside their source are what that source says, where their compilers are.
#[test]
fn the_small_guests_are_made_from_their_source() {
    let folder = checkout().join("guests/tiny");
    let home = scratch();
    let (mut same, mut lacking) = (Vec::new(), Vec::new());
    for target in xtask::facts::targets::TARGETS {
        let made = home.path().join(target.name);
        let mut make = Command::new("sh");
        make.arg(folder.join("make.sh")).arg(target.name).arg(&made);
        let output = make.output().unwrap();
        if output.status.code() == Some(3) {
            lacking.push(target.name);
            continue;
        }
        assert!(output.status.success(), "{}: {}", target.name, String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(folder.join("bytes").join(format!("{}.hex", target.name))).unwrap();
        let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
        // Another compiler may choose other instructions; Debian 12's are those that made the files.
        let is_same = HEXLOWER.encode(&fs::read(&made).unwrap()) == digits.replace([' ', '\n'], "");
        let by = text.lines().find(|line| line.contains("made by")).unwrap_or_default();
        assert!(is_same || !by.contains(compiler_here(target.name).as_str()), "{}: {by}", target.name);
        same.push(target.name);
    }
    println!("made again: {}", same.join(" "));
    assert!(same.contains(&"x86_64") || !cfg!(target_arch = "x86_64"), "gcc makes the one for this machine");
    // Root has what `.ci/run` installs.
    let expected = WITH_CONTRACT.split(',').filter(|_| is_root());
    let lost: Vec<&str> = expected.filter(|target| lacking.contains(target)).collect();
    assert!(lost.is_empty(), "no compiler for {}: .ci/run has the packages", lost.join(" "));
    if !lacking.is_empty() {
        wants::partly_not_run(&format!("no compiler for the small guests of {}", lacking.join(" ")));
    }
}

/// What the compiler of a target's small guest says of itself.
fn compiler_here(target: &str) -> String {
    let triple = xtask::facts::Target::named(target).unwrap().compiler.map(|compiler| compiler.triple);
    let name = triple.map_or_else(|| "clang-19".to_owned(), |triple| format!("{triple}-gcc"));
    let output = Command::new(name).arg("--version").output();
    let line = output
        .map(|output| String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned());
    line.unwrap_or_else(|_| "nobody".to_owned())
}
