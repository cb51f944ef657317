//! Measured ratios as bars: how long each is, in per cent of the room that there is. The picture in `docs/` and the
//! release's page are both drawn from this.

use super::{Load, Measurement};
use serde::Serialize;

/// Pixels of a bar, and of the space after it.
const BAR: usize = 11;
const GAP: usize = 3;
/// At most so many lines stand behind the bars, that at 0 not counted.
const MAX_TICKS: f64 = 6.0;
/// How much wider the room is than the longest bar: the ratio stands at its end.
const ROOM: f64 = 1.14;

/// Bars of all measurements, on one scale.
#[derive(Debug, Serialize)]
pub struct Chart<'a> {
    bar: usize,
    /// Pixels of all bars of a load.
    pub(super) height: usize,
    columns: Vec<Column>,
    ticks: Vec<Tick>,
    /// Where the peer is as fast as ours.
    one: String,
    pub(super) groups: Vec<Group<'a>>,
}

/// What a kind of bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Column {
    class: &'static str,
    name: &'static str,
}

/// The first two are in every measurement.
const COLUMNS: [Column; 3] = [
    Column { class: "tree", name: "in one tree" },
    Column { class: "folder", name: "with a folder" },
    Column { class: "registered", name: "registered" },
];

/// A line behind the bars.
#[derive(Debug, Serialize)]
struct Tick {
    ratio: u32,
    at: String,
}

/// The loads that were measured together.
#[derive(Debug, Serialize)]
pub(super) struct Group<'a> {
    of: &'a Measurement,
    pub(super) rows: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    name: &'a str,
    what: &'a str,
    peer_seconds: String,
    /// One for each column.
    bars: Vec<Option<Bar>>,
}

#[derive(Debug, Serialize)]
struct Bar {
    ratio: String,
    width: String,
    top: usize,
}

impl<'a> Chart<'a> {
    /// `None` if nothing was measured.
    pub fn new(measurements: &[&'a Measurement]) -> Option<Self> {
        let loads = || measurements.iter().flat_map(|one| &one.loads);
        let has_registered = loads().any(|load| load.registered.is_some());
        let columns = &COLUMNS[..if has_registered { 3 } else { 2 }];
        // The peer's line has to be in the picture, too.
        let widest = loads().flat_map(ratios).flatten().fold(1.0, f64::max);
        let row = |load: &'a Load| Row {
            name: &load.name,
            what: &load.what,
            peer_seconds: format!("{:.2}", load.peer_seconds),
            bars: bars(load, columns.len(), widest),
        };
        let group = |one: &&'a Measurement| Group { of: one, rows: one.loads.iter().map(row).collect() };
        loads().next()?;
        Some(Self {
            bar: BAR,
            height: columns.len() * (BAR + GAP) - GAP,
            columns: columns.to_vec(),
            ticks: ticks(widest),
            one: percent(1.0, widest),
            groups: measurements.iter().map(group).collect(),
        })
    }
}

/// In the order of [`COLUMNS`].
fn ratios(load: &Load) -> [Option<f64>; 3] {
    [Some(load.tree), Some(load.folder), load.registered]
}

fn bars(load: &Load, columns: usize, widest: f64) -> Vec<Option<Bar>> {
    let bar = |(number, ratio): (usize, Option<f64>)| {
        let ratio = ratio?;
        Some(Bar { ratio: shown(ratio), width: percent(ratio, widest), top: number * (BAR + GAP) })
    };
    ratios(load).into_iter().take(columns).enumerate().map(bar).collect()
}

/// What is a little slower than the peer shall not look as fast.
fn shown(ratio: f64) -> String {
    if ratio < 1.0 { format!("{ratio:.2}") } else { format!("{ratio:.1}") }
}

fn percent(ratio: f64, widest: f64) -> String {
    format!("{:.2}", ratio * 100.0 / (widest * ROOM))
}

/// Lines at whole steps of 1, 2, 5, 10 ...
fn ticks(widest: f64) -> Vec<Tick> {
    let steps = [1, 2, 5, 10, 20, 50, 100, 200, 500];
    let step = steps.into_iter().find(|step| widest / f64::from(*step) <= MAX_TICKS).unwrap_or(1_000);
    let at = (0..).map(|number| number * step).take_while(|ratio| f64::from(*ratio) <= widest);
    at.map(|ratio| Tick { ratio, at: percent(f64::from(ratio), widest) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_at_round_numbers() {
        let at = |widest| ticks(widest).into_iter().map(|tick| tick.ratio).collect::<Vec<_>>();
        assert_eq!(at(1.0), [0, 1]);
        assert_eq!(at(9.1), [0, 2, 4, 6, 8]);
        assert_eq!(at(16.0), [0, 5, 10, 15]);
    }

    #[test]
    fn what_is_slower_than_the_peer_looks_slower() {
        assert_eq!([0.97, 1.03, 9.09].map(shown), ["0.97", "1.0", "9.1"]);
    }
}
