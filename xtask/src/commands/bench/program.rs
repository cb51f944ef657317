//! The users' program: how big its archives are, and how long it takes to start.

use super::rounds::{quantile, sorted};
use super::{Figure, Limit};
use crate::facts::{Series, native, series};
use crate::process::capture;
use crate::program;
use crate::session::Session;
use anyarch_client::files::TempFolder;
use anyarch_client::xz;
use anyarch_manifest::layout::{self, PROGRAM};
use anyhow::{Context as _, Result, ensure};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The most that an archive may take, and a start.
const MOST_MEGABYTES: f64 = 3.0;
const MOST_MILLISECONDS: f64 = 5.0;
/// Starts that are measured.
const STARTS: usize = 200;

/// Measures the archives in the output folder, and starts the one for this machine.
pub fn measure(session: &Session) -> Result<Vec<Figure>> {
    let series = Series::read(&session.workspace.root.join("patches"), series::DEFAULT)?;
    let folder = session.workspace.out.join(series.release());
    let archives = program::archives(&folder)?;
    ensure!(!archives.is_empty(), "there is no {PROGRAM} in {}: cargo xtask program", folder.display());
    let mut figures = Vec::new();
    for path in &archives {
        let packed = program::checked(path, &session.workspace.root, &series)?;
        let record = packed.record();
        figures.push(Figure {
            what: format!("{PROGRAM} for {}, packed", record.host),
            value: record.size as f64 / 1e6,
            unit: "MB",
            limit: Limit::AtMost(MOST_MEGABYTES),
            from: format!("{} bytes, the program {}", record.size, record.program.size),
            details: None,
        });
        if native().is_ok_and(|host| host == record.host) {
            figures.push(start(session, path)?);
        }
    }
    Ok(figures)
}

fn start(session: &Session, archive: &Path) -> Result<Figure> {
    let home = TempFolder::new(&session.workspace.trees)?;
    let file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let mut tar = tar::Archive::new(xz::Decoder::new(BufReader::new(file), xz::RELEASED)?);
    tar.unpack(home.path()).with_context(|| format!("cannot unpack {}", archive.display()))?;
    let program = home.path().join(layout::emulator(PROGRAM));
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let mut command = Command::new(&program);
        command.arg("-V").env_clear().env("HOME", home.path());
        let started = Instant::now();
        capture(command)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let times = sorted(times.into_iter());
    let from = format!("median of {STARTS}; least {:.2}", quantile(&times, 0.0));
    Ok(Figure {
        what: format!("{PROGRAM} starts"),
        value: quantile(&times, 0.5),
        unit: "ms",
        limit: Limit::AtMost(MOST_MILLISECONDS),
        from,
        details: None,
    })
}
