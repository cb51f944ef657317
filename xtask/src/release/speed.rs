//! How fast our emulators are against those of others, as measured: `dist/speed.toml`. `cargo xtask bench speed
//! --record` writes what it measures into it; `docs/speed.svg` and the release's page show it.

pub mod chart;
pub mod drawing;

use crate::facts::{Target, read_toml};
use anyarch_client::files;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// The file, below the checkout.
pub const FILE: &str = "dist/speed.toml";
/// What the file begins with.
const HEAD: &str = "\
# How many times as fast our emulators are as those of others: for docs/speed.svg and the release's page.
# `cargo xtask bench speed --record` writes this file. A load stands once for each target, with the machine and the day
# that it was last measured on. The ratios are the peer's time / ours: `tree` in one tree of processes, `folder` with a
# folder that an earlier run has filled, `registered` under binfmt_misc.
";
/// The most letters of a machine's description: it is one line of a picture.
const MACHINE_LETTERS: usize = 90;

/// All measurements: by target, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// One for each target, machine and day.
    #[serde(default, rename = "measurement")]
    pub measurements: Vec<Measurement>,
}

/// Loads that were measured together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Target of the programs that were run.
    pub target: String,
    /// Who publishes the emulator that is compared: `Debian 13`.
    pub peer: String,
    /// Its version: `qemu-user 10.0.13`.
    pub peer_version: String,
    /// Our release: `10.2.2-1`.
    pub release: String,
    /// The machine in words.
    pub machine: String,
    /// The day, as `2026-11-28`.
    pub measured: String,
    /// How often each emulator ran each load, where that was written down.
    pub rounds: Option<u32>,
    /// In the order in which they are measured.
    #[serde(rename = "load")]
    pub loads: Vec<Load>,
}

/// What was run, and how many times as fast it was as under the peer's emulator: medians of the rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The name for `--loads`.
    pub name: String,
    /// What people read.
    pub what: String,
    /// In one tree of processes that share translations.
    pub tree: f64,
    /// The same with a folder that has what an earlier run translated.
    pub folder: f64,
    /// Registered in binfmt_misc as the peer is.
    pub registered: Option<f64>,
    /// The peer's seconds.
    pub peer_seconds: f64,
}

impl Speed {
    /// Reads the file of a checkout.
    ///
    /// # Errors
    /// When it cannot be read, or says what cannot be.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join(FILE);
        let speed: Self = read_toml(&path)?;
        speed.check().with_context(|| format!("{} cannot be right", path.display()))?;
        Ok(speed)
    }

    /// Writes the file of a checkout, and the picture of it.
    ///
    /// # Errors
    /// When a figure cannot be, or a file cannot be written.
    pub fn write(&self, root: &Path) -> Result<()> {
        self.check().context("what was measured cannot be right")?;
        files::write_file(&root.join(FILE), self.text()?.as_bytes())?;
        drawing::write(self, root)
    }

    fn text(&self) -> Result<String> {
        let body = toml::to_string(self).context("the figures cannot be written as TOML")?;
        Ok(format!("{HEAD}\n{body}"))
    }

    /// Takes in a load that was measured as `run` says; an older figure of it is dropped. So are loads that `names`, the
    /// order of all, does not have.
    pub fn record(&mut self, run: &Measurement, load: Load, names: &[&str]) {
        for old in self.measurements.iter_mut().filter(|old| old.target == run.target) {
            old.loads.retain(|one| one.name != load.name && names.contains(&one.name.as_str()));
        }
        match self.measurements.iter_mut().find(|old| old.is_same_run(run)) {
            Some(same) => same.loads.push(load),
            None => self.measurements.insert(0, Measurement { loads: vec![load], ..run.clone() }),
        }
        self.measurements.retain(|one| !one.loads.is_empty());
        for one in &mut self.measurements {
            one.loads.sort_by_key(|load| names.iter().position(|name| *name == load.name));
        }
        self.measurements.sort_by(|a, b| a.target.cmp(&b.target).then_with(|| b.measured.cmp(&a.measured)));
    }

    /// Figures that were typed wrong would be published as facts.
    fn check(&self) -> Result<()> {
        let mut known = BTreeSet::new();
        for run in &self.measurements {
            run.check()?;
            for load in &run.loads {
                load.check().with_context(|| format!("the load {} of {}", load.name, run.target))?;
                let is_new = known.insert((&run.target, &load.name));
                ensure!(is_new, "the load {} of {} stands there twice", load.name, run.target);
            }
        }
        Ok(())
    }
}

impl Measurement {
    /// Whether another one was of the same emulators, on the same machine and day.
    fn is_same_run(&self, other: &Self) -> bool {
        *self == Self { loads: self.loads.clone(), ..other.clone() }
    }

    /// Refuses what cannot stand in a picture, save for the loads.
    ///
    /// # Errors
    /// When a word is missing, too long or none that is expected.
    pub fn check(&self) -> Result<()> {
        Target::named(&self.target)?;
        for word in [&self.peer, &self.peer_version, &self.release, &self.machine] {
            ensure!(
                !word.trim().is_empty() && !word.contains(char::is_control),
                "`{word}` is no line of text"
            );
        }
        let letters = self.machine.chars().count();
        ensure!(
            letters <= MACHINE_LETTERS,
            "the machine's description has {letters} letters; at most {MACHINE_LETTERS}"
        );
        ensure!(is_day(&self.measured), "`{}` is no day such as 2026-11-28", self.measured);
        ensure!(self.rounds != Some(0), "nothing is measured in 0 rounds");
        Ok(())
    }
}

impl Load {
    fn check(&self) -> Result<()> {
        ensure!(!self.name.is_empty() && !self.what.is_empty(), "it has no name, or no words for people");
        let figures = [Some(self.tree), Some(self.folder), self.registered, Some(self.peer_seconds)];
        for figure in figures.into_iter().flatten() {
            ensure!(figure.is_finite() && figure > 0.0, "{figure} is no ratio and no time");
        }
        Ok(())
    }
}

fn is_day(text: &str) -> bool {
    let form = |(at, letter): (usize, char)| match at {
        4 | 7 => letter == '-',
        _ => letter.is_ascii_digit(),
    };
    text.len() == 10 && text.char_indices().all(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, tree: f64) -> Load {
        let what = format!("what {name} does");
        Load { name: name.into(), what, tree, folder: tree * 2.0, registered: None, peer_seconds: 3.5 }
    }

    fn run(target: &str, day: &str, loads: Vec<Load>) -> Measurement {
        Measurement {
            target: target.into(),
            peer: "Debian 13".into(),
            peer_version: "qemu-user 10.0.13".into(),
            release: "10.2.2-1".into(),
            machine: "two cores".into(),
            measured: day.into(),
            rounds: Some(5),
            loads,
        }
    }

    fn names(speed: &Speed) -> Vec<(&str, &str, Vec<&str>)> {
        let all = speed.measurements.iter();
        all.map(|one| {
            let loads = one.loads.iter().map(|load| load.name.as_str()).collect();
            (one.target.as_str(), one.measured.as_str(), loads)
        })
        .collect()
    }

    const ORDER: [&str; 3] = ["true", "gcc", "xz"];

    #[test]
    fn a_load_that_is_measured_again_leaves_the_others_with_their_own_day() {
        let mut speed = Speed {
            measurements: vec![
                run("aarch64", "2026-11-20", vec![load("true", 6.0), load("gone", 1.0), load("xz", 1.4)]),
                run("riscv64", "2026-11-20", vec![load("true", 5.0)]),
            ],
        };
        let today = run("aarch64", "2026-11-28", vec![]);
        speed.record(&today, load("xz", 1.5), &ORDER);
        speed.record(&today, load("gcc", 4.0), &ORDER);
        assert_eq!(
            names(&speed),
            [
                ("aarch64", "2026-11-28", vec!["gcc", "xz"]),
                ("aarch64", "2026-11-20", vec!["true"]),
                ("riscv64", "2026-11-20", vec!["true"]),
            ]
        );
        speed.record(&today, load("true", 7.0), &ORDER);
        assert_eq!(
            names(&speed),
            [("aarch64", "2026-11-28", vec!["true", "gcc", "xz"]), ("riscv64", "2026-11-20", vec!["true"])]
        );
    }

    #[test]
    fn the_later_one_of_a_day_is_the_first() {
        let mut speed = Speed {
            measurements: vec![run("aarch64", "2026-11-28", vec![load("true", 6.0), load("xz", 1.4)])],
        };
        let other = Measurement { machine: "another".into(), ..run("aarch64", "2026-11-28", vec![]) };
        speed.record(&other, load("xz", 1.5), &ORDER);
        let machines: Vec<&str> = speed.measurements.iter().map(|one| one.machine.as_str()).collect();
        assert_eq!(machines, ["another", "two cores"]);
    }

    #[test]
    fn what_is_written_is_read_back_and_drawn() {
        let root = tempfile::tempdir().expect("a folder");
        let mut first = load("true", 6.25);
        first.registered = Some(5.0);
        let mut speed = Speed { measurements: vec![run("aarch64", "2026-11-28", vec![first])] };
        speed.measurements[0].rounds = None;
        speed.write(root.path()).expect("written");
        assert_eq!(Speed::read(root.path()).expect("read"), speed);
        assert!(root.path().join(drawing::FILE).is_file());
        speed.measurements[0].loads[0].tree = f64::NAN;
        speed.write(root.path()).expect_err("no ratio");
        Speed::read(root.path()).expect("the file stayed");
    }

    #[test]
    fn a_field_that_nobody_knows_or_figures_that_cannot_be_are_refused() {
        let speed = Speed { measurements: vec![run("aarch64", "2026-11-28", vec![load("true", 6.25)])] };
        let text = speed.text().expect("text");
        let twice = format!("{text}\n{}", text.split_once("[[measurement]]").expect("one").1)
            .replace("\n\ntarget", "\n[[measurement]]\ntarget");
        let cases = [
            (text.replace("release =", "revision ="), "revision"),
            (text.replace("aarch64", "leg"), "there is no target `leg`"),
            (text.replace("6.25", "0.0"), "0 is no ratio"),
            (text.replace("6.25", "inf"), "inf is no ratio"),
            (text.replace("6.25", "-1.0"), "-1 is no ratio"),
            (text.replace("2026-11-28", "28 November"), "is no day"),
            (text.replace("two cores", &"x".repeat(91)), "91 letters"),
            (text.replace("two cores", ""), "is no line of text"),
            (text.replace("rounds = 5", "rounds = 0"), "0 rounds"),
            (twice, "stands there twice"),
        ];
        for (text, reason) in cases {
            let root = tempfile::tempdir().expect("a folder");
            std::fs::create_dir(root.path().join("dist")).expect("made");
            std::fs::write(root.path().join(FILE), &text).expect("written");
            let error = format!("{:#}", Speed::read(root.path()).expect_err("refused"));
            assert!(error.contains(reason), "{error} does not say `{reason}`:\n{text}");
        }
    }
}
