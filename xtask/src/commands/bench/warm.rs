//! A clean build when ccache has seen it all, against the one that filled it; and the plan of everything.

use super::{Figure, Limit, ONE, Setting, least};
use anyhow::{Context as _, Result};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A cold build through an empty ccache, then clean ones through the full one.
pub fn ccache(bench: &Setting<'_>) -> Result<Vec<Figure>> {
    let cache = bench.home.path().join("ccache");
    let build = |name: &str| -> Result<f64> {
        let folder = bench.fresh(name)?;
        let environment = [("ANYARCH_LAUNCHER", "ccache".as_ref()), ("CCACHE_DIR", cache.as_os_str())];
        let seconds = bench.driver_in(&folder, &["--target", "all"], &environment)?.1;
        fs::remove_dir_all(&folder)?;
        Ok(seconds)
    };
    let cold = build("cold")?;
    let warm = [build("warm")?, build("again")?];
    Ok(vec![Figure {
        what: "clean build of all targets, warm ccache / cold".into(),
        value: least(&warm) / cold,
        unit: "x",
        limit: Limit::AtMost(0.25),
        from: format!("cold {cold:.0} s, warm {:.0}, {:.0} s", warm[0], warm[1]),
        details: None,
    }])
}

/// `plan` of every target on every host.
pub fn plan(bench: &Setting<'_>) -> Result<Vec<Figure>> {
    let mut times = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        let mut command = Command::new(std::env::current_exe().context("this driver has no path")?);
        command.arg("plan").arg("--root").arg(&bench.session.workspace.root);
        command.arg("--build-dir").arg(&bench.session.workspace.trees).stdout(Stdio::null());
        anyhow::ensure!(command.status().context("cannot run the driver")?.success(), "`plan` failed");
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(vec![Figure {
        what: "plan of the whole matrix".into(),
        value: least(&times),
        unit: "ms",
        limit: Limit::AtMost(50.0),
        from: format!("the least of {}; {ONE} and all others on every host", times.len()),
        details: None,
    }])
}
