//! Several ways of doing the same in turns, so that other work on the machine disturbs all alike; and what is
//! read off many measurements.

use anyhow::Result;

/// Runs `ways` in turns, each round beginning with another one. A row a round, a column a way.
///
/// `run` is told the round and the way.
pub fn in_turns<T>(
    rounds: usize,
    ways: usize,
    mut run: impl FnMut(usize, usize) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut table = Vec::new();
    for round in 0..rounds {
        let mut row: Vec<Option<T>> = (0..ways).map(|_| None).collect();
        for turn in 0..ways {
            let way = (round + turn) % ways;
            row[way] = Some(run(round, way)?);
        }
        table.push(row.into_iter().flatten().collect());
    }
    Ok(table)
}

/// In order, the least first.
pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values; between two of them in proportion.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len().max(1) - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => low + (high - low) * place.fract(),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let values = sorted([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!((quantile(&values, 0.0), quantile(&values, 0.5), quantile(&values, 1.0)), (1.0, 2.5, 4.0));
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn every_round_begins_with_another_way_and_results_stand_by_way() {
        let mut order = Vec::new();
        let table = in_turns(2, 3, |round, way| {
            order.push((round, way));
            Ok(10 * round + way)
        });
        assert_eq!(order, [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 0)]);
        assert_eq!(table.expect("a table"), [[0, 1, 2], [10, 11, 12]]);
    }
}
