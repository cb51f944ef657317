//! What a test wants of the machine that a driver's user need not have. What is missing fails the test or is
//! noted: `cargo xtask test` counts and shows the notes at its end, so that nothing passes unseen.

use super::{Driver, Ended, checkout, is_root};
use std::env;
use std::fs::File;
use std::io::Write as _;
use std::thread;
use xtask::commands::NOT_RUN;
use xtask::facts::Series;

/// Notes that this test is not run.
pub fn not_run(why: &str) {
    note("whole", why);
}

/// Notes that a part of this test is not run.
pub fn partly_not_run(why: &str) {
    note("part", why);
}

fn note(extent: &str, why: &str) {
    println!("not run: {why}");
    let Some(list) = env::var_os(NOT_RUN) else { return };
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("{extent}\t{test}\t{}\n", why.replace(['\n', '\t'], " "));
    // Of one piece, since other tests write to it as well.
    File::options().append(true).create(true).open(list).unwrap().write_all(line.as_bytes()).unwrap();
}

/// Which of these programs this machine lacks, with the command that gets them. Root can install them, as CI
/// does, and fails for lack of them.
pub fn lacks(programs: &[&str], packages: &str) -> Option<String> {
    let why = missing(programs, packages)?;
    assert!(!is_root(), "{why}");
    Some(why)
}

/// Whether this driver found nobody to give it the source of a series, which is noted: some sources are only on
/// servers that not every machine reaches.
pub fn lacks_source(series: &str, ended: &Ended) -> bool {
    let lacks = ended.code == Some(1) && ended.stderr.contains("is not available from any source");
    if lacks {
        partly_not_run(&format!("no source of QEMU {series}: see `cargo xtask source --qemu {series}`"));
    }
    lacks
}

/// All series whose source this machine can get, the oldest first.
pub fn series_with_source() -> Vec<String> {
    let mut names = Series::names(&checkout().join("patches")).unwrap();
    names.retain(|name| !lacks_source(name, &Driver::usual().run(&["source", "--qemu", name])));
    names
}

/// For tests that are run on purpose: fails if one of these programs is missing.
pub fn insist(programs: &[&str], packages: &str) {
    if let Some(why) = missing(programs, packages) {
        panic!("{why}");
    }
}

fn missing(programs: &[&str], packages: &str) -> Option<String> {
    let missing: Vec<&str> = programs.iter().filter(|name| which::which(name).is_err()).copied().collect();
    (!missing.is_empty())
        .then(|| format!("missing on this machine: {}: apt-get install {packages}", missing.join(", ")))
}
