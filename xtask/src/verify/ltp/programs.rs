//! LTP's programs, compiled by its own makefiles in a copy of its source, and kept for the next run.

use super::cases::Case;
use crate::facts::Target;
use crate::process::{LoggedCommand, capture};
use crate::session::Session;
use crate::source;
use crate::verify::alone;
use crate::verify::cross::Tools;
use anyarch_client::{files, hash};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The processor that programs are compiled for, and what compiles them.
#[derive(Debug)]
pub struct Side<'a> {
    name: &'static str,
    /// The compiler, with options that it always gets.
    cc: String,
    /// What LTP's configure is told of it, if it is not this machine.
    triple: Option<&'static str>,
    make: &'a Path,
}

impl<'a> Side<'a> {
    /// A target's.
    pub fn of(target: Target, tools: &'a Tools) -> Self {
        let cc = format!("{} {}", tools.cc.display(), tools.cflags).trim_end().to_owned();
        let triple = target.compiler.map(|known| known.triple);
        Self { name: target.name, cc, triple, make: &tools.make }
    }

    /// This machine's.
    pub fn native(tools: &'a Tools) -> Self {
        Self { name: "native", cc: "gcc".into(), triple: None, make: &tools.make }
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
    /// Compiles them. Some do not compile with every C library: these are missing in the folder.
    pub fn make(session: &Session, suite: &Path, cases: &[Case], side: &Side<'_>) -> Result<Self> {
        let configure = suite.join("configure");
        ensure!(
            configure.is_file(),
            "{} has no `configure`: run `make autotools` there, or take a release's archive",
            suite.display()
        );
        let of = source::content_id(session, suite)?;
        let compiler = side.cc.split(' ').next().unwrap_or_default();
        let mut version = alone(Path::new(compiler));
        version.arg("--version");
        let key = hash::short_key(&(of, &side.cc, capture(version)?))?;
        let folder = session.workspace.trees.join("ltp").join(format!("{}-{key}", side.name));
        if !folder.is_dir() {
            let step = session.progress.step(format!("compile LTP, {}", side.name));
            files::publish_dir(&folder, |part| fill(session, suite, cases, side, part))?;
            step.done("compiled");
        }
        Ok(Self { folder: folder.join(BIN) })
    }

    /// The folder that holds them all.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Compiles in a folder inside of `part`, which goes afterwards: it is ten times as large as the programs.
fn fill(session: &Session, suite: &Path, cases: &[Case], side: &Side<'_>, part: &Path) -> Result<()> {
    let log = |what: &str| session.workspace.log(&format!("ltp-{}-{what}", side.name));
    let source = part.join("source");
    let run =
        |what: &str, command: Command| LoggedCommand::new(command, &log(what)).run(&session.progress, |_| ());
    let mut copy = Command::new("cp");
    copy.args(["-a", "--"]).args([suite, &source]);
    run("copy", copy)?;

    let mut configure = alone(&source.join("configure"));
    configure.current_dir(&source).arg(format!("CC={}", side.cc));
    // Static, so that a guest needs nothing of its system. Warnings are LTP's own affair.
    configure.args(["LDFLAGS=-static", "CFLAGS=-O1 -w"]).arg(format!("--prefix={}", part.display()));
    if let Some(triple) = side.triple {
        configure.arg(format!("--host={triple}"));
    }
    run("configure", configure)?;
    let make = |what: &str, folder: &str, words: &[&str]| {
        let mut make = alone(side.make);
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
    let there = cases.iter().filter(|case| part.join(BIN).join(&case.program).is_file()).count();
    ensure!(
        there > cases.len() / 2,
        "only {there} of the {} cases of LTP compiled; full log: {}",
        cases.len(),
        log("syscalls-all").display()
    );
    fs::remove_dir_all(&source).with_context(|| format!("cannot remove {}", source.display()))
}
