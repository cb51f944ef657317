//! From the rounds of a load to its figure.

use super::column::Column;
use super::loads::{Goal, Load, Sample};
use crate::commands::bench::rounds::{quantile, sorted};
use crate::commands::bench::{Details, Figure};
use serde::Serialize;
use std::fmt;

/// The measurements behind a figure.
#[derive(Debug, Serialize)]
pub struct SpeedDetails {
    load: &'static str,
    columns: Vec<Measured>,
    /// Between these lies the middle half of the rounds' ratios.
    quartiles: [f64; 2],
    /// Where formats were registered: a namespace of our own, or the machine.
    registered: &'static str,
}

/// One column.
#[derive(Debug, Serialize)]
struct Measured {
    column: &'static str,
    unit: &'static str,
    least: f64,
    median: f64,
    /// In the order of the rounds.
    values: Vec<f64>,
    /// What they are compared with, where that is of the same runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bases: Vec<f64>,
    processor_seconds: Vec<f64>,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: median {:.3}, least {:.3} {}", self.column, self.median, self.least, self.unit)?;
        if self.bases.is_empty() {
            return Ok(());
        }
        write!(f, " of {:.0}", quantile(&sorted(self.bases.iter().copied()), 0.5))
    }
}

/// The median of the rounds' ratios. `rounds` has a row a round, with a sample for each of `columns`.
pub fn figure(load: &Load, columns: &[Column], rounds: &[Vec<Sample>], registered: &'static str) -> Figure {
    let ratios = sorted(rounds.iter().map(|round| ratio(load.goal, columns, round)));
    let measured = |(place, column): (usize, &Column)| {
        measured(*column, load.goal, &rounds.iter().map(|round| round[place]).collect::<Vec<_>>())
    };
    let details = SpeedDetails {
        load: load.name,
        columns: columns.iter().enumerate().map(measured).collect(),
        quartiles: [quantile(&ratios, 0.25), quantile(&ratios, 0.75)],
        registered,
    };
    Figure {
        what: format!("{}: {}", load.what, load.goal.ratio_name()),
        value: quantile(&ratios, 0.5),
        unit: "x",
        limit: load.goal.limit(),
        from: details.columns.iter().map(Measured::to_string).collect::<Vec<_>>().join("; "),
        details: Some(Details::Speed(details)),
    }
}

fn measured(column: Column, goal: Goal, samples: &[Sample]) -> Measured {
    let in_order = sorted(samples.iter().map(|sample| sample.value));
    Measured {
        column: column.name(),
        unit: goal.unit(),
        least: quantile(&in_order, 0.0),
        median: quantile(&in_order, 0.5),
        values: samples.iter().map(|sample| sample.value).collect(),
        bases: samples.iter().filter_map(|sample| sample.base).collect(),
        processor_seconds: samples.iter().map(|sample| sample.processor).collect(),
    }
}

fn ratio(goal: Goal, columns: &[Column], round: &[Sample]) -> f64 {
    match goal.ratio() {
        (over, Some(under)) => ratio_of(columns, round, over, under),
        (over, None) => value(columns, round, over) / round[0].base.unwrap_or(f64::NAN),
    }
}

/// The ratio of two columns in a round; no number where one was not measured.
pub fn ratio_of(columns: &[Column], round: &[Sample], over: Column, under: Column) -> f64 {
    value(columns, round, over) / value(columns, round, under)
}

/// What a column measured in a round; no number where it did not.
pub fn value(columns: &[Column], round: &[Sample], wanted: Column) -> f64 {
    let place = columns.iter().position(|column| *column == wanted);
    place.map_or(f64::NAN, |place| round[place].value)
}

/// The median of what `read` reads off each round.
pub fn middle(rounds: &[Vec<Sample>], read: impl Fn(&[Sample]) -> f64) -> f64 {
    quantile(&sorted(rounds.iter().map(|round| read(round))), 0.5)
}

#[cfg(test)]
mod tests {
    use super::super::loads::LOADS;
    use super::*;

    fn load(name: &str) -> &'static Load {
        LOADS.iter().find(|load| load.name == name).expect(name)
    }

    fn rounds(values: &[&[f64]], base: Option<f64>) -> Vec<Vec<Sample>> {
        let sample = |value: &f64| Sample { value: *value, base, processor: value / 2.0 };
        values.iter().map(|row| row.iter().map(sample).collect()).collect()
    }

    #[test]
    fn how_much_faster_ours_is_is_the_middle_ratio_of_all_rounds() {
        let load = load("true");
        let columns = load.goal.columns(true);
        let rounds = rounds(
            &[&[8.0, 1.0, 0.5, 4.0, 5.0], &[9.0, 1.0, 0.5, 4.0, 5.0], &[10.0, 10.0, 0.5, 4.0, 5.0]],
            None,
        );
        let figure = figure(load, &columns, &rounds, "here");
        assert!((figure.value - 8.0).abs() < 1e-9, "{figure:?}");
        let json = serde_json::to_value(&figure).expect("JSON");
        assert_eq!(json["at_least"], 8.0);
        assert_eq!(json["details"]["columns"][0]["values"], serde_json::json!([8.0, 9.0, 10.0]));
        assert_eq!(json["details"]["columns"][1]["least"], 1.0);
        assert_eq!(json["details"]["columns"][4]["column"], "ours, binfmt_misc F");
        assert!(
            figure.from.starts_with("peer, binfmt_misc F: median 9.000, least 8.000 s; ours"),
            "{figure:?}"
        );
    }

    #[test]
    fn memory_and_blocks_are_ours_in_proportion_to_what_they_are_compared_with() {
        for (name, round, base, value) in [
            ("private-memory", &[10.0, 5.0, 5.0, 5.0][..], None, 0.5),
            ("resident-memory", &[22.0, 20.0], None, 1.1),
            ("second-run", &[4.0], Some(1000.0), 0.004),
        ] {
            let load = load(name);
            let figure = figure(load, &load.goal.columns(false), &rounds(&[round], base), "here");
            assert!((figure.value - value).abs() < 1e-9, "{figure:?}");
            assert!(serde_json::to_value(&figure).expect("JSON")["at_most"].is_number());
        }
    }
}
