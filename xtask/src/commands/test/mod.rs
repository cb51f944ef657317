//! `test`: all tests; those that find a failure soonest are run first.

mod results;

use crate::error::Missing;
use crate::process::{self, ended};
use crate::session::Session;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use results::{Count, closing, program};
use std::env;
use std::fs;
use std::io::{Write as _, stdout};
use std::mem;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use xshell::cmd;

/// Run all tests: formatting, lints, unit tests, real builds, real guest programs
#[derive(Debug, Args)]
pub struct Test {
    /// Also run the slow tests
    #[arg(long)]
    pub long: bool,
    /// Run only the tests whose name contains this
    pub filter: Option<String>,
}

/// Tests whose names begin so are only run with `--long`. No other name may hold it: libtest skips these as well.
const LONG: &str = "long_";

/// Names a file for tests that pass without having run, or without a part of them. Each appends a line: `whole` or
/// `part`, its name, the reason, with tabs between.
pub const NOT_RUN: &str = "ANYARCH_NOT_RUN";

/// Modules of `xtask/tests/it` that compile emulators or want the machine for themselves, one after the other.
const HEAVY: [&str; 11] = [
    "clusters",
    "emulators",
    "engines",
    "hosts",
    "join",
    "kills",
    "program",
    "registered",
    "release",
    "reproduce",
    "topics",
];

/// Modules that run beside the heavy ones, and so do the unit tests. First those that build nothing, have caches of
/// their own, and mostly wait: for servers, for clocks, for a browser. Then those that leave a processor idle for long:
/// git and apt work on one, and guest programs wait for each other. At last one that compiles what the heavy ones have
/// compiled by then. The lists take equally long.
const LIGHT: [&str; 17] = [
    "bad_input",
    "commands",
    "container_images",
    "corpus",
    "fetch",
    "install",
    "packages",
    "page",
    "providers",
    "series",
    "upkeep",
    "upstream",
    "users",
    "robust",
    "systems",
    "toolchains",
    "workflow",
];

/// Tests of the other crates that stand in a program of their own.
const PROGRAMS: [&str; 5] = ["dependencies", "images", "kernel", "reading", "starts"];

/// Runs formatter, lints and tests; stops at the first step that fails.
pub fn run(session: &Session, arguments: &Test) -> Result<()> {
    let notes = tempfile::NamedTempFile::new().context("cannot make a file for what the tests note")?;
    // All tests are compiled by clippy's compiler, which lints and compiles at once. It is told by cargo's
    // configuration: a variable would reach what tests have compiled by cargo.
    let linting = match arguments.filter {
        Some(_) => None,
        None => Some(clippy()?),
    };
    let cargo = |words: &[&str]| {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        if let Some(setting) = &linting {
            command.args(["--config", setting]).env(LINTS.0, LINTS.1);
        }
        // Its lines are read here: without colours.
        command.args(words).env("CARGO_TERM_COLOR", "never").current_dir(&session.workspace.root);
        // What cargo tells this program of itself, some build scripts would take for a change: and all that needs them
        // is compiled again.
        for name in env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_"]
                .iter()
                .any(|own| name.starts_with(own))
            {
                command.env_remove(name);
            }
        }
        command
    };
    let tests = |words: &[&str], module: Option<&str>| {
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
        command.args(words).args(&arguments.filter).args(["--", "--include-ignored"]);
        command.args(module.map(|name| format!("{name}::")));
        if !arguments.long {
            command.args(["--skip", LONG]);
        }
        command.env(NOT_RUN, notes.path());
        Part { name: module.map(str::to_owned), command }
    };
    let module = |name: &&str| tests(&["--test", "it"], Some(name));
    let count = if arguments.filter.is_some() {
        step(session, cargo(&["test", "--workspace", "--no-run"]), "fix what does not compile", show)?;
        one_after_the_other(session, vec![tests(&[], None)], show)?
    } else {
        step(session, cargo(&["fmt", "--all", "--check"]), "run `cargo fmt`", show)?;
        let advice = "fix what does not compile, or what clippy reports";
        step(session, cargo(&["test", "--workspace", "--no-run"]), advice, show)?;
        let mut light = vec![tests(&["--lib", "--bins"], None)];
        light.extend(PROGRAMS.iter().map(|name| tests(&["--test", name], None)));
        light.extend(LIGHT.iter().map(module));
        light.push(tests(&["--doc"], None));
        side_by_side(session, HEAVY.iter().map(module).collect(), light)?
    };
    let notes = fs::read_to_string(notes.path()).context("cannot read what the tests noted")?;
    // The closing lines of every run, for people and for CI.
    print(&closing(&count, &notes));
    if let Some(status) = count.broken {
        bail!("the tests {}; one alone: cargo xtask test NAME", ended(status));
    }
    if count.passed == 0 {
        bail!(
            "no test was run{}",
            arguments.filter.as_ref().map(|f| format!(": none has `{f}` in its name")).unwrap_or_default()
        );
    }
    Ok(())
}

/// The variable with clippy's options: whatever it reports is an error.
const LINTS: (&str, &str) = ("CLIPPY_ARGS", "-Dwarnings");

/// Cargo's setting by which crates of this workspace are linted when they are compiled.
fn clippy() -> Result<String> {
    let driver =
        which::which("clippy-driver").map_err(|_| Missing::new("clippy", "rustup component add clippy"))?;
    let driver = driver.to_str().context("clippy-driver's path is no UTF-8")?;
    Ok(format!("build.rustc-workspace-wrapper={driver:?}"))
}

/// Begins another target folder with the libraries that cargo compiled in this one, so that it need not again.
/// They are copied, since cargo writes to some of these files in place.
pub fn seed(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.join("debug"), to.join("debug"));
    let (Ok(libraries), false) = (fs::read_dir(from.join("deps")), to.exists()) else { return Ok(()) };
    let is_library = |path: &PathBuf| {
        path.extension().is_some_and(|kind| ["d", "rlib", "rmeta", "so"].iter().any(|known| kind == *known))
    };
    let libraries = libraries.flatten().map(|entry| entry.path()).filter(is_library);
    let folders = [".fingerprint", "build"].map(|name| from.join(name));
    let shell = process::shell()?;
    for (files, folder) in [(folders.to_vec(), to.clone()), (libraries.collect(), to.join("deps"))] {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        process::capture(cmd!(shell, "cp -a -t {folder} {files...}"))?;
    }
    Ok(())
}

fn step(session: &Session, command: Command, advice: &str, on_line: impl FnMut(&str)) -> Result<()> {
    let shown = process::show(&command);
    session.progress.say(&format!("$ {shown}"));
    let status = process::relay(command, on_line)?;
    if !status.success() {
        bail!("`{shown}` {}; {advice}", ended(status));
    }
    Ok(())
}

/// A line to the user. The tests go on when nobody reads along any more.
fn show(line: &str) {
    print(&format!("{line}\n"));
}

fn print(text: &str) {
    let _ = stdout().write_all(text.as_bytes());
}

fn add(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Tests that one call of cargo runs.
#[derive(Debug)]
struct Part {
    /// The module that they are of, if it is one.
    name: Option<String>,
    command: Command,
}

/// Runs tests, and gives what they report.
fn one_after_the_other(session: &Session, parts: Vec<Part>, mut on_line: impl FnMut(&str)) -> Result<Count> {
    let mut count = Count::default();
    for Part { name, command } in parts {
        session.progress.say(&format!("$ {}", process::show(&command)));
        count.module = name;
        let status = process::relay(command, |line| {
            count.read(line);
            on_line(line);
        })?;
        if !status.success() {
            count.broken.get_or_insert(status);
        }
    }
    Ok(count)
}

/// Runs test programs, and others meanwhile. The first ones' output is shown as it comes; that of each of the
/// others waits until it is whole and no program is in the middle of its own.
fn side_by_side(session: &Session, first: Vec<Part>, others: Vec<Part>) -> Result<Count> {
    let whole = Mutex::new(String::new());
    let whole = || -> MutexGuard<'_, String> { whole.lock().unwrap_or_else(PoisonError::into_inner) };
    let (first, others) = rayon::join(
        || {
            one_after_the_other(session, first, |line| {
                if program(line).is_some() {
                    print(&mem::take(&mut *whole()));
                }
                show(line);
            })
        },
        || {
            let mut said = String::new();
            let count = one_after_the_other(session, others, |line| {
                if program(line).is_some() {
                    whole().push_str(&mem::take(&mut said));
                }
                add(&mut said, line);
            });
            whole().push_str(&said);
            count
        },
    );
    print(&whole());
    Ok(first?.and(others?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Of what is compiled for tests, too.
    #[test]
    fn what_clippy_reports_is_not_compiled() {
        let home = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            anyarch_client::files::write_file(&home.path().join(name), text.as_bytes()).expect("written");
        };
        write("Cargo.toml", "[package]\nname = \"small\"\nedition = \"2024\"\n[workspace]\n");
        let compiled = |text: &str| {
            write("src/lib.rs", text);
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["--config", &clippy().expect("clippy")]).env(LINTS.0, LINTS.1);
            cargo.args(["test", "--offline", "--no-run"]).current_dir(home.path());
            cargo.env("CARGO_TARGET_DIR", home.path().join("target")).output().expect("cargo runs")
        };
        let right = compiled("#[test]\nfn t() { assert!(std::env::args().next().is_some()); }\n");
        assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
        let wrong = compiled("#[test]\nfn t() { assert!(std::env::args().nth(0).is_some()); }\n");
        let said = String::from_utf8_lossy(&wrong.stderr);
        assert!(!wrong.status.success() && said.contains("iter_nth_zero"), "{said}");
    }

    /// With other features, Cargo compiles a library a second time, and all that stands on it.
    #[test]
    fn what_the_driver_stands_on_has_the_features_that_tests_want() {
        let features = |words: &[&str]| -> BTreeSet<String> {
            let mut tree = Command::new(env!("CARGO"));
            tree.args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} [{f}]"]);
            let output =
                tree.args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(|line| line.trim_end_matches(" (*)").to_owned())
                .collect()
        };
        let driver = features(&["--package", "xtask", "--edges", "normal,build"]);
        let tests = features(&["--workspace", "--edges", "all"]);
        let other: Vec<&String> = driver.difference(&tests).collect();
        assert!(
            driver.len() > 100 && other.is_empty(),
            "name the tests' features in xtask/Cargo.toml: {other:?}"
        );
    }

    #[test]
    fn every_module_of_tests_is_either_heavy_or_light() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let main = fs::read_to_string(root.join("xtask/tests/it/main.rs")).expect("tests");
        let found = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
        // What they all use.
        let mut found: Vec<_> = found.filter(|name| *name != "driver").collect();
        found.sort_unstable();
        let mut known = [&HEAVY[..], &LIGHT].concat();
        known.sort_unstable();
        assert_eq!(found, known, "HEAVY and LIGHT name what `cargo xtask test` runs");

        let stem = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
        let mut programs = Vec::new();
        for folder in
            ["anyarch/tests", "binfmt/tests", "client/tests", "image/tests", "manifest/tests", "xtask/tests"]
        {
            let paths = fs::read_dir(root.join(folder)).expect("tests").flatten().map(|entry| entry.path());
            let is_program = |path: &PathBuf| {
                path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file()
            };
            programs.extend(paths.filter(is_program).filter_map(stem));
        }
        // That of the modules above.
        programs.retain(|name| name != "it");
        programs.sort();
        assert_eq!(programs, PROGRAMS, "PROGRAMS names the others");
    }

    /// libtest takes every test whose path holds `MODULE::`.
    #[test]
    fn no_module_of_tests_is_run_with_another() {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
        let mut below = Vec::new();
        for folder in fs::read_dir(tests).expect("tests").flatten().filter(|entry| entry.path().is_dir()) {
            let files = fs::read_dir(folder.path()).expect("a module").flatten();
            below.extend(files.map(|entry| entry.path().with_extension("").display().to_string()));
        }
        let all = [&HEAVY[..], &LIGHT].concat();
        for name in &all {
            assert!(!below.iter().any(|path| path.ends_with(&format!("/{name}"))), "{name} is below another");
            assert!(!all.iter().any(|other| other != name && other.ends_with(name)), "{name} ends another");
        }
    }

    #[test]
    fn no_test_is_skipped_for_a_word_within_its_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut folders = ["anyarch", "binfmt", "client", "image", "manifest", "xtask"]
            .map(|name| root.join(name))
            .to_vec();
        let mut names = Vec::new();
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one").path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(path).expect("a source file");
                    let functions = text.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
                    let functions = functions.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned()));
                    names.extend(functions);
                }
            }
        }
        assert!(names.iter().any(|name| name.starts_with(LONG)));
        names.retain(|name| name.trim_start_matches(LONG).contains(LONG));
        assert_eq!(names, Vec::<String>::new());
    }
}
