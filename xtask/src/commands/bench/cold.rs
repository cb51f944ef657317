//! A cold build of one target by the driver, against `configure && ninja` as a person would type it.

use super::{Figure, Limit, ONE, Setting, least, plan_for, seconds};
use anyhow::{Context as _, Result};
use std::fs;

/// Both in turns, a few times.
pub fn measure(bench: &Setting<'_>) -> Result<Vec<Figure>> {
    let plan = plan_for(bench.session, &[ONE])?;
    let home = bench.home.path();
    let (built, first) = bench.driver(home, &["--target", ONE])?;
    let tree = bench.tree(&plan)?;
    let mut bare = Vec::new();
    let mut driver = vec![first];
    for round in 0..2 {
        bare.push(bench.bare(
            &tree,
            &format!("bare-{round}"),
            &plan,
            plan.trees()[0].targets(),
            plan.trees()[0].targets(),
        )?);
        let folder = bench.fresh(&format!("driver-{round}"))?;
        driver.push(bench.driver(&folder, &["--target", ONE])?.1);
        fs::remove_dir_all(&folder)?;
    }
    let (ours, theirs) = (least(&driver), least(&bare));
    let memory = built["peak_memory"].as_u64().context("the driver printed no peak memory")?;
    Ok(vec![
        Figure {
            what: format!("cold build of {ONE} / bare configure && ninja qemu-{ONE}"),
            value: ours / theirs,
            unit: "x",
            limit: Limit::AtMost(1.10),
            from: format!("driver {} s, bare {} s", seconds(&driver), seconds(&bare)),
            details: None,
        },
        Figure {
            what: "memory of the driver in that build".into(),
            value: memory as f64 / 1e6,
            unit: "MB",
            limit: Limit::AtMost(100.0),
            from: String::new(),
            details: None,
        },
    ])
}
