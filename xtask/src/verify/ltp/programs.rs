//! LTP's programs, compiled by its own makefiles in a copy of its source, and kept for the next run.

use super::cases;
use crate::error::Missing;
use crate::facts::Target;
use crate::process::{LoggedCommand, capture};
use crate::session::Session;
use crate::verify::{alone, compiler};
use anyarch_client::{files, hash};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What compiles them.
#[derive(Debug)]
pub struct Tools {
    native: PathBuf,
    cross: PathBuf,
    make: PathBuf,
    target: Target,
}

impl Tools {
    /// Looks for them.
    pub fn find(target: Target) -> Result<Self, Missing> {
        let find = |name: &str, packages: &str| {
            which::which(name).map_err(|_| Missing::new(name, format!("apt-get install {packages}")))
        };
        Ok(Self {
            native: find("gcc", "gcc libc6-dev")?,
            cross: compiler(target)?,
            make: find("make", "make")?,
            target,
        })
    }
}

/// LTP's programs for one processor, with what they read and start, in one folder.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
}

/// Where LTP puts its programs below the folder that it is installed in.
const BIN: &str = "testcases/bin";

impl Programs {
    /// Compiles them for the tools' target, or for this machine. Some do not compile with every C library: these are
    /// missing in the folder.
    pub fn make(session: &Session, suite: &Path, tools: &Tools, of_target: bool) -> Result<Self> {
        let configure = suite.join("configure");
        ensure!(
            configure.is_file(),
            "{} has no `configure`: run `make autotools` there, or take a release's archive",
            suite.display()
        );
        let (name, cc) = match of_target {
            true => (tools.target.name, &tools.cross),
            false => ("native", &tools.native),
        };
        let text = |name: &str| fs::read(suite.join(name)).unwrap_or_default();
        let of = (text("VERSION"), text("configure"), text("runtest/syscalls"));
        let key = hash::short_key(&(of, capture(only(cc, &["--version"]))?))?;
        let folder = session.workspace.trees.join("ltp").join(format!("{name}-{key}"));
        if !folder.is_dir() {
            let step = session.progress.step(format!("compile LTP, {name}"));
            files::publish_dir(&folder, |part| fill(session, suite, tools, (name, cc), part))?;
            step.done("compiled");
        }
        Ok(Self { folder: folder.join(BIN) })
    }

    /// The folder that holds them all.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn only(program: &Path, arguments: &[&str]) -> Command {
    let mut command = alone(program);
    command.args(arguments);
    command
}

/// Compiles in a folder inside of `part`, which goes afterwards: it is ten times as large as the programs.
fn fill(
    session: &Session,
    suite: &Path,
    tools: &Tools,
    (name, cc): (&str, &Path),
    part: &Path,
) -> Result<()> {
    let log = |what: &str| session.workspace.log(&format!("ltp-{name}-{what}"));
    let source = part.join("source");
    let run =
        |what: &str, command: Command| LoggedCommand::new(command, &log(what)).run(&session.progress, |_| ());
    let mut copy = Command::new("cp");
    copy.args(["-a", "--"]).args([suite, &source]);
    run("copy", copy)?;

    let mut configure = alone(&source.join("configure"));
    configure.current_dir(&source).arg(format!("CC={}", cc.display()));
    // Static, so that a guest needs nothing of its system. Warnings are LTP's own affair.
    configure.args(["LDFLAGS=-static", "CFLAGS=-O1 -w"]).arg(format!("--prefix={}", part.display()));
    if let Some(known) = tools.target.compiler.filter(|_| name == tools.target.name) {
        configure.arg(format!("--host={}", known.triple));
    }
    run("configure", configure)?;
    let make = |what: &str, folder: &str, words: &[&str]| {
        let mut make = alone(&tools.make);
        make.args(["-C", folder, &format!("-j{}", session.jobs), "--output-sync=target"]).args(words);
        make.current_dir(&source);
        run(what, make)
    };
    make("lib", "lib", &[])?;
    for (what, folder) in [("syscalls", "testcases/kernel/syscalls"), ("helpers", "testcases/lib")] {
        for (what, rule) in [(format!("{what}-all"), "all"), (format!("{what}-install"), "install")] {
            // One that does not compile is no reason to leave out the others: these are missed below.
            if let Err(error) = make(&what, folder, &["--keep-going", rule]) {
                session.progress.detail(&format!("{error:#}"));
            }
        }
    }
    let cases = cases::read(suite, &session.workspace.root)?;
    let there = cases.iter().filter(|case| part.join(BIN).join(&case.program).is_file()).count();
    ensure!(
        there > cases.len() / 2,
        "only {there} of the {} cases of LTP compiled; full log: {}",
        cases.len(),
        log("syscalls-all").display()
    );
    fs::remove_dir_all(&source).with_context(|| format!("cannot remove {}", source.display()))
}
