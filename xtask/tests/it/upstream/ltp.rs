//! `verify --ltp` with a suite that has the form of LTP's source and a few cases, whose ends are known.

use crate::driver::{Driver, mkdir, scratch, wants};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Its first argument says what the program does. It ends as LTP's programs do: 0 passed, 1 failed, 32 not for here.
const PROBE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A root that is nobody outside, alone, with a limit on processes and an empty folder of its own. */
static int room(void)
{
    struct rlimit most;
    struct stat here, above;

    getrlimit(RLIMIT_NPROC, &most);
    stat(getenv("TMPDIR"), &here);
    stat("..", &above);
    return getuid() == 0 && most.rlim_max == 600 && here.st_dev != above.st_dev &&
           getpid() < 100 && chown(".", 65534, 65534) == 0;
}

/* Whether a program of the same folder can be started. */
static int starts(void)
{
    int status;

    if (fork() == 0) {
        execlp("probe", "probe", "pass", NULL);
        _exit(9);
    }
    wait(&status);
    return status == 0;
}

int main(int count, char **words)
{
    int good = count > 1;

    if (!strcmp(words[1], "room"))
        good = room();
    if (!strcmp(words[1], "starts"))
        good = starts();
#ifdef __s390x__
    if (!strcmp(words[1], "worse"))
        good = !starts();
    if (!strcmp(words[1], "lacks"))
        good = 0;
#endif
    if (!strcmp(words[1], "conf")) {
        puts("probe.c:1: TCONF: not for here");
        return 32;
    }
    if (!strcmp(words[1], "leaves") && fork() == 0)
        for (;;)
            pause();
    if (!good)
        puts("probe.c:2: TFAIL: not as it should be");
    return !good;
}
"#;

const CONFIGURE: &str = "\
#!/bin/sh
for word; do case $word in CC=*) echo \"$word\" ;; --prefix=*) echo \"prefix=${word#*=}\" ;; esac; done > config.mk
";

const MAKEFILE: &str = "\
include ../../../config.mk
all: probe
probe: probe.c
\t$(CC) -static -o $@ $<
install: all
\tmkdir -p $(prefix)/testcases/bin
\tcp probe $(prefix)/testcases/bin
";

const CASES: &str = "\
# What a line says: name, program, arguments
pass01 probe pass
room01 probe room
starts01 probe starts
lacks01 probe lacks
conf01 probe conf
leaves01 probe leaves
absent01 no_such_program
";

fn suite(folder: &Path, cases: &str) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        mkdir(path.parent().unwrap());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("configure", CONFIGURE);
    write("runtest/syscalls", cases);
    write("testcases/kernel/syscalls/probe.c", PROBE);
    write("testcases/kernel/syscalls/Makefile", MAKEFILE);
    for other in ["lib", "testcases/lib"] {
        write(&format!("{other}/Makefile"), "all install:\n");
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn cases_of_ltp_run_natively_and_in_both_emulators_each_in_a_room_of_its_own() {
    let packages = "gcc-s390x-linux-gnu libc6-dev-s390x-cross make";
    if let Some(why) = wants::lacks(&["s390x-linux-gnu-gcc", "make"], packages) {
        return wants::not_run(&why);
    }
    let home = scratch();
    let folder = home.path().join("suite");
    let verify = ["verify", "--json", "--target", "s390x", "--ltp", folder.to_str().unwrap()];
    let driver = Driver::usual();
    driver.run(&verify).failed(1, &["is not the source of LTP", "runtest/syscalls"]);

    suite(&folder, CASES);
    let reports: Value = serde_json::from_str(&driver.succeed(&verify)).unwrap();
    let table = &reports[0]["report"]["ltp"];
    assert_eq!(table["not_compiled"], serde_json::json!(["absent01"]));
    let failed =
        |row: &Value| row["failed"].as_str().map(|words| words.split(": ").nth(1).unwrap().to_owned());
    let rows: Vec<(String, [Option<String>; 3])> = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let lane = |name: &str| match row[name].as_str() {
                Some("passed") => None,
                _ => Some(failed(&row[name]).unwrap_or_else(|| row[name]["skipped"].to_string())),
            };
            (row["case"].as_str().unwrap().to_owned(), ["native", "upstream", "ours"].map(lane))
        })
        .collect();
    let fails = || Some("TFAIL".to_owned());
    let conf = || Some("\"probe.c:1: TCONF: not for here\"".to_owned());
    let expected = [
        ("pass01", [None, None, None]),
        ("room01", [None, None, None]),
        ("starts01", [None, fails(), None]),
        ("lacks01", [None, fails(), fails()]),
        ("conf01", [conf(), Some("null".to_owned()), Some("null".to_owned())]),
        ("leaves01", [None, None, None]),
    ];
    assert_eq!(rows, expected.map(|(name, lanes)| (name.to_owned(), lanes)));

    suite(&folder, &format!("{CASES}worse01 probe worse\n"));
    let worse = driver.run(&verify);
    let kept = driver.trees.join("ltp/s390x.json");
    let all = format!("all cases: {}", kept.display());
    worse.failed(1, &["1 case of LTP passed in upstream's qemu-s390x and not in ours", "worse01", &all]);
    let table: Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
    assert_eq!(table["rows"].as_array().unwrap().len(), rows.len() + 1);

    // A program that was changed is compiled again.
    let probe = PROBE.replace("good = !starts()", "good = starts()");
    fs::write(folder.join("testcases/kernel/syscalls/probe.c"), probe).unwrap();
    driver.succeed(&verify);
}
