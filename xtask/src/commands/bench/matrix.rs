//! The emulators of this machine and of two others, all targets, built at once: is the machine kept busy, and
//! does the driver stay out of the way?

use super::{Figure, Limit, Setting};
use crate::commands::build::BuildTimes;
use anyhow::{Context as _, Result};

/// This machine's own, and two unlike ones beside it.
const HOSTS: &str = "native,arm64,s390x";

/// One cold build of three columns.
pub fn measure(bench: &Setting<'_>) -> Result<Vec<Figure>> {
    bench.source()?;
    let (built, seconds) = bench.driver(bench.home.path(), &["--target", "all", "--host", HOSTS])?;
    let work: BuildTimes =
        serde_json::from_value(built["work"].clone()).context("the driver printed no build times")?;
    let cores = std::thread::available_parallelism()?.get() as f64;
    let emulators = built["tarballs"].as_array().map_or(0, Vec::len);
    let from = format!(
        "{emulators} emulators for {HOSTS} in {seconds:.0} s; from the first compile to the last {:.0} s, {:.0} s of \
         processor time on {cores} cores",
        work.compile_seconds, work.compile_processor_seconds
    );
    let figure = |what: &str, value, unit, at_most, from: &str| Figure {
        what: what.to_owned(),
        value,
        unit,
        limit: Limit::AtMost(at_most),
        from: from.to_owned(),
        details: None,
    };
    let all = work.own_processor_seconds + work.packing_processor_seconds + work.processor_seconds;
    let busy = work.compile_processor_seconds / (work.compile_seconds * cores);
    let memory = built["peak_memory"].as_u64().context("the driver printed no peak memory")?;
    Ok(vec![
        figure("three columns: processors idle between first and last compile", 1.0 - busy, "", 0.10, &from),
        figure("three columns: time of compiling / (its processor time / cores)", 1.0 / busy, "x", 1.05, ""),
        figure(
            "three columns: the driver's own share of the processor time",
            work.own_processor_seconds / all,
            "",
            0.01,
            &format!(
                "{:.1} s of {all:.0} s; {:.0} s more are xz's, packing",
                work.own_processor_seconds, work.packing_processor_seconds
            ),
        ),
        figure("three columns: the driver's memory", memory as f64 / 1e6, "MB", 100.0, ""),
    ])
}
