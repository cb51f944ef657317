//! The same command again, when everything is up to date.

use super::{Figure, Limit, ONE, Setting, least};
use anyhow::Result;

/// A build, then the same a few times.
pub fn measure(bench: &Setting<'_>) -> Result<Vec<Figure>> {
    let home = bench.home.path();
    bench.driver(home, &["--target", ONE])?;
    let times = (0..5).map(|_| Ok(bench.driver(home, &["--target", ONE])?.1)).collect::<Result<Vec<_>>>()?;
    Ok(vec![Figure {
        what: format!("the same command again, {ONE} up to date"),
        value: least(&times),
        unit: "s",
        limit: Limit::AtMost(1.0),
        from: String::new(),
        details: None,
    }])
}
