//! All targets in one build tree, against a tree for each of them.

use super::{Figure, Limit, Setting, plan_for, seconds};
use anyhow::Result;

/// A large one and two middling ones; the mean of the three stands for all.
const THREE: [&str; 3] = ["aarch64", "ppc64le", "m68k"];

/// One tree, then three.
pub fn measure(bench: &Setting<'_>) -> Result<Vec<Figure>> {
    let all = plan_for(bench.session, &["all"])?;
    let three = plan_for(bench.session, &THREE)?.trees()[0].targets().to_vec();
    bench.source()?;
    let tree = bench.tree(&all)?;
    let targets = all.trees()[0].targets();
    let together = bench.bare(&tree, "all", &all, targets, targets)?;
    let mut single = Vec::new();
    for target in &three {
        single.push(bench.bare(&tree, &format!("only-{}", target.name), &all, &[*target], &[*target])?);
    }
    let scaled = single.iter().sum::<f64>() / single.len() as f64 * all.pairs() as f64;
    let names: Vec<&str> = three.iter().map(|target| target.name).collect();
    Ok(vec![Figure {
        what: format!("all {} targets in one tree / a tree for each (scaled)", all.pairs()),
        value: together / scaled,
        unit: "x",
        limit: Limit::AtMost(0.25),
        from: format!("one tree {together:.0} s; trees of {}: {} s", names.join(", "), seconds(&single)),
        details: None,
    }])
}
