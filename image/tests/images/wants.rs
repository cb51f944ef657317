//! Notes of tests that are not run, as `cargo xtask test` reads them: nothing passes unseen.

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

/// Notes that this test is not run.
pub fn not_run(why: &str) {
    println!("not run: {why}");
    let Some(list) = env::var_os("ANYARCH_NOT_RUN") else { return };
    let thread = thread::current();
    let line = format!("whole\t{}\t{}\n", thread.name().unwrap_or("a test"), why.replace(['\n', '\t'], " "));
    File::options().append(true).create(true).open(list).unwrap().write_all(line.as_bytes()).unwrap();
}

/// Whether this machine has a program.
pub fn has(program: &str) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok()
}

/// Whether this machine has a program. If not, that is noted, with the package that brings it; root can install it, as
/// CI does, and fails for lack of it.
pub fn needs(program: &str, package: &str) -> bool {
    if has(program) {
        return true;
    }
    let why = format!("missing on this machine: {program}: apt-get install {package}");
    assert!(!rustix::process::geteuid().is_root(), "{why}");
    not_run(&why);
    false
}
