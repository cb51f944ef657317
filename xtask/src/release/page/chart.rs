//! The chart of sizes: our downloads against what peers publish, bars drawn here, in per cent of the widest.

use super::{download, megabytes};
use crate::release::peers::{Packed, Peer, Peers};
use anyarch_manifest::Manifest;
use serde::Serialize;

/// Pixels of a bar, and of the space after it.
const BAR: usize = 7;
const GAP: usize = 2;
/// At most so many lines stand behind the bars.
const MAX_TICKS: u64 = 5;

/// The targets that are in the release and that a peer has too, for the peers' host.
#[derive(Debug, Serialize)]
pub(super) struct Chart<'a> {
    host: &'a str,
    how: &'a str,
    peers: Vec<Legend<'a>>,
    ticks: Vec<Tick>,
    /// In two halves, side by side where there is room.
    halves: Vec<Vec<Row<'a>>>,
    height: usize,
    bar: usize,
    /// The middle one of our shares of the first peer.
    median: Option<String>,
}

/// Who a bar stands for.
#[derive(Debug, Serialize)]
struct Legend<'a> {
    name: &'a str,
    package: &'a str,
    version: &'a str,
    qemu: &'a str,
    measured: &'a str,
}

/// A line behind the bars.
#[derive(Debug, Serialize)]
struct Tick {
    megabytes: String,
    at: String,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    target: &'a str,
    ours: String,
    width: String,
    peers: Vec<Option<Bar>>,
    /// Ours in per cent of the first peer's.
    share: Option<String>,
}

/// A peer's emulator: packed by xz, and how much more by gzip.
#[derive(Debug, Serialize)]
struct Bar {
    size: String,
    xz: String,
    gzip: String,
    top: usize,
    width: String,
    gzip_width: String,
}

impl<'a> Chart<'a> {
    /// `None` if the release and its peers have nothing in common.
    pub(super) fn new(manifest: &'a Manifest, peers: &'a Peers) -> Option<Self> {
        let mut pairs: Vec<(&'a str, u64)> = Vec::new();
        for one in manifest.artifacts.iter().filter(|one| one.host == peers.host) {
            let has = |peer: &Peer| peer.targets.contains_key(&one.target);
            if let Some(archive) = download(one).filter(|_| peers.peers.iter().any(has)) {
                pairs.push((&one.target, archive.size));
            }
        }
        pairs.sort_unstable();
        let of = |target: &'a str| peers.peers.iter().filter_map(move |peer| peer.targets.get(target));
        let widths = pairs.iter().flat_map(|(target, ours)| of(target).map(|one| one.gzip).chain([*ours]));
        let widest = widths.max()?;
        let legend = |peer: &'a Peer| Legend {
            name: &peer.name,
            package: &peer.package,
            version: &peer.version,
            qemu: &peer.qemu,
            measured: &peer.measured,
        };
        let rows = |pairs: &[(&'a str, u64)]| {
            pairs.iter().map(|(target, ours)| row(target, *ours, peers, widest)).collect()
        };
        Some(Self {
            host: &peers.host,
            how: &peers.how,
            peers: peers.peers.iter().map(legend).collect(),
            ticks: ticks(widest),
            median: median(&pairs, peers),
            halves: pairs.chunks(pairs.len().div_ceil(2)).map(rows).collect(),
            height: (peers.peers.len() + 1) * (BAR + GAP) - GAP,
            bar: BAR,
        })
    }
}

fn row<'a>(target: &'a str, ours: u64, peers: &Peers, widest: u64) -> Row<'a> {
    let bar = |(number, peer): (usize, &Peer)| {
        let packed = peer.targets.get(target)?;
        Some(Bar {
            size: megabytes(packed.size),
            xz: megabytes(packed.xz),
            gzip: megabytes(packed.gzip),
            top: (number + 1) * (BAR + GAP),
            width: percent(packed.xz, widest),
            gzip_width: percent(packed.gzip, widest),
        })
    };
    Row {
        target,
        ours: megabytes(ours),
        width: percent(ours, widest),
        peers: peers.peers.iter().enumerate().map(bar).collect(),
        share: first(peers, target).map(|packed| share(ours, packed)),
    }
}

fn first<'a>(peers: &'a Peers, target: &str) -> Option<&'a Packed> {
    peers.peers.first()?.targets.get(target)
}

fn share(ours: u64, theirs: &Packed) -> String {
    format!("{:.0}", ours as f64 * 100.0 / theirs.xz as f64)
}

fn median(pairs: &[(&str, u64)], peers: &Peers) -> Option<String> {
    let share =
        |(target, ours): &(&str, u64)| first(peers, target).map(|one| *ours as f64 * 100.0 / one.xz as f64);
    let mut shares: Vec<f64> = pairs.iter().filter_map(share).collect();
    shares.sort_unstable_by(f64::total_cmp);
    shares.get(shares.len() / 2).map(|middle| format!("{middle:.0}"))
}

/// Where a number of bytes ends on an axis that ends with the widest bar.
fn percent(bytes: u64, widest: u64) -> String {
    format!("{:.2}", bytes as f64 * 100.0 / widest as f64)
}

/// Lines at whole steps of 1, 2, 5, 10 ... MB, or of 100 kB if all is small.
fn ticks(widest: u64) -> Vec<Tick> {
    let steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000].map(|step| step * 100_000);
    let step = steps.into_iter().find(|step| widest / step <= MAX_TICKS).unwrap_or(widest);
    let tick = |number| Tick {
        megabytes: format!("{}", (number * step) as f64 / 1e6),
        at: percent(number * step, widest),
    };
    (0..=widest / step).map(tick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_at_round_numbers() {
        let at = |widest| ticks(widest).into_iter().map(|tick| tick.megabytes).collect::<Vec<_>>();
        assert_eq!(at(3_600_000), ["0", "1", "2", "3"]);
        assert_eq!(at(16_000_000), ["0", "5", "10", "15"]);
        assert_eq!(at(450_000), ["0", "0.1", "0.2", "0.3", "0.4"]);
    }
}
