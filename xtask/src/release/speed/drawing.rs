//! The picture of the measured figures, `docs/speed.svg`: its template is `dist/speed.svg.jinja`. It has its own
//! background, since a page of the other colour may show it.

use super::chart::{Chart, Group};
use super::{Measurement, Speed};
use crate::template;
use anyarch_client::files;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::path::Path;

/// The file, below the checkout.
pub const FILE: &str = "docs/speed.svg";

const TEMPLATE: &str = include_str!("../../../../dist/speed.svg.jinja");

/// Pixels: the picture, what stands above the first measurement, the empty edge.
const WIDTH: usize = 760;
const HEAD: usize = 64;
const EDGE: usize = 16;
/// Pixels of a measurement: what stands above its bars and below them.
const ABOVE: usize = 46;
const BELOW: usize = 54;
/// Pixels of a load besides its bars: its name above them, and the space below.
const NAME: usize = 20;
const SPACE: usize = 10;

/// What the template is filled with.
#[derive(Debug, Serialize)]
struct Drawing<'a> {
    width: usize,
    height: usize,
    edge: usize,
    /// From one load to the next.
    step: usize,
    above: usize,
    /// Where each measurement begins.
    tops: Vec<usize>,
    chart: &'a Chart<'a>,
}

/// Draws the file of a checkout.
///
/// # Errors
/// When it cannot be written.
pub fn write(speed: &Speed, root: &Path) -> Result<()> {
    files::write_file(&root.join(FILE), svg(speed)?.as_bytes())
}

/// The picture.
fn svg(speed: &Speed) -> Result<String> {
    let measurements: Vec<&Measurement> = speed.measurements.iter().collect();
    let chart = Chart::new(&measurements).context("nothing was measured that could be drawn")?;
    // A name that ends in `.xml` turns escaping on.
    template::render("speed.svg.xml", TEMPLATE, &Drawing::new(&chart))
}

impl<'a> Drawing<'a> {
    fn new(chart: &'a Chart<'a>) -> Self {
        let step = NAME + chart.height + SPACE;
        let mut end = HEAD;
        let mut tops = Vec::new();
        for group in &chart.groups {
            tops.push(end);
            end += height(group, step);
        }
        Self { width: WIDTH, height: end, edge: EDGE, step, above: ABOVE, tops, chart }
    }
}

fn height(group: &Group<'_>, step: usize) -> usize {
    ABOVE + group.rows.len() * step + BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_in_the_docs_shows_the_measured_figures() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let drawn = svg(&Speed::read(&root).expect("figures")).expect("a picture");
        let there = std::fs::read_to_string(root.join(FILE)).unwrap_or_default();
        assert!(drawn == there, "{FILE} is an old picture: cargo xtask bench speed --draw");
    }

    #[test]
    fn a_word_of_the_figures_is_no_markup() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut speed = Speed::read(&root).expect("figures");
        speed.measurements[0].machine = "</text><script>".into();
        let drawn = svg(&speed).expect("a picture");
        assert!(!drawn.contains("<script>") && drawn.contains("&lt;script&gt;"), "{drawn}");
    }
}
