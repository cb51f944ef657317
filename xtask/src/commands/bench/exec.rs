//! Starting a guest's children: by interception, against the kernel's binfmt_misc with the F flag.
//!
//! The same guest program starts them, under the same emulator; only the mechanism differs. Both take
//! turns, so that other work on the machine disturbs both alike.

use super::binfmt::{Binfmt, compile, compile_helper, registration};
use super::emulator::{EmulatorOptions, build, copy};
use super::rounds::{in_turns, quantile, sorted};
use super::{Details, Figure, Limit, Setting};
use crate::facts::Target;
use crate::verify::compiler;
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Options of `bench exec`.
#[derive(Debug, Args)]
pub struct ExecOptions {
    /// exec: number of child processes that each method starts
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub children: u32,
    /// exec: also measure this emulator, without our patches, under binfmt_misc
    #[arg(long, value_name = "FILE")]
    pub unpatched: Option<PathBuf>,
}

/// Children that are started before the other way has its turn.
const ROUND: u32 = 50;

/// What one way of starting children costs, in milliseconds a child.
#[derive(Debug, Serialize)]
struct Cost {
    way: String,
    children: usize,
    min: f64,
    median: f64,
}

/// The measurements behind a ratio.
#[derive(Debug, Serialize)]
pub struct ExecDetails {
    costs: [Cost; 2],
    /// Between these lies the middle half of the rounds' ratios.
    quartiles: [f64; 2],
    rounds: usize,
    /// Where the format was registered: a namespace of our own, or the machine.
    registered: &'static str,
}

/// A way to start children.
struct Way<'a> {
    name: &'static str,
    emulator: &'a Path,
    options: &'static [&'static str],
    is_registered: bool,
}

/// One child, in milliseconds: from fork to wait, and on a processor.
#[derive(Debug, Clone, Copy)]
struct Child {
    elapsed: f64,
    processor: f64,
}

/// Measures both ways with a static and with a dynamic program.
pub fn measure(bench: &Setting<'_>, ours: &EmulatorOptions, options: &ExecOptions) -> Result<Vec<Figure>> {
    let target = ours.foreign_target()?;
    let programs = Programs::compile(bench, target)?;
    let home = bench.home.path();
    let emulator = match &ours.emulator {
        Some(path) => copy(home, path, "emulator")?,
        None => copy(home, &build(bench, target)?, "emulator")?,
    };
    let first = &programs.static_one;
    let probe = [first.as_os_str()];
    let binfmt = Binfmt::find(&programs.binfmt, home, &registration(target, &emulator)?, &probe)?;
    let starter = Starter { target, binfmt, programs: &programs };
    let mut ways = vec![
        Way {
            name: "interception",
            emulator: &emulator,
            options: &["--execve", "self"],
            is_registered: false,
        },
        Way { name: "binfmt_misc F", emulator: &emulator, options: &[], is_registered: true },
    ];
    let unpatched = options.unpatched.as_deref().map(|path| copy(home, path, "unpatched")).transpose()?;
    if let Some(other) = &unpatched {
        ways.push(Way {
            name: "binfmt_misc F, unpatched",
            emulator: other,
            options: &[],
            is_registered: true,
        });
    }
    let mut figures = Vec::new();
    for (kind, child) in [("static", &programs.static_one), ("dynamic", &programs.dynamic_one)] {
        let step = bench.session.progress.step(format!("start {} children, {kind}", options.children));
        let rounds = starter.rounds(&ways, child, options.children)?;
        step.done("started");
        for other in 1..ways.len() {
            for (what, of) in CLOCKS {
                let what =
                    format!("{} {kind} program: interception / {}, {what}", target.name, ways[other].name);
                figures.push(compare(what, &rounds, &ways, other, of, starter.binfmt.registered));
            }
        }
    }
    Ok(figures)
}

/// What is measured of a child.
type Clock = fn(&Child) -> f64;
const CLOCKS: [(&str, Clock); 2] =
    [("processor time", |child| child.processor), ("elapsed", |child| child.elapsed)];

/// The guest programs, and the native one that registers a format.
struct Programs {
    static_one: PathBuf,
    dynamic_one: PathBuf,
    binfmt: PathBuf,
    /// Where the dynamic one's C library is.
    prefix: PathBuf,
}

impl Programs {
    fn compile(bench: &Setting<'_>, target: Target) -> Result<Self> {
        let cross = compiler(target)?;
        let sources = bench.session.workspace.root.join("guests/bench");
        let home = bench.home.path();
        let cc = |options: &[&str], to: &str| -> Result<PathBuf> {
            let to = home.join(to);
            compile(&cross, options, &sources.join("start.c"), &to)?;
            Ok(to)
        };
        let binfmt = home.join("binfmt");
        compile_helper(&sources.join("binfmt.c"), &binfmt)?;
        let triple = target.compiler.map(|compiler| compiler.triple).unwrap_or_default();
        Ok(Self {
            static_one: cc(&["-static"], "start-static")?,
            dynamic_one: cc(&[], "start-dynamic")?,
            binfmt,
            prefix: Path::new("/usr").join(triple),
        })
    }
}

/// What starts children.
struct Starter<'a> {
    target: Target,
    binfmt: Binfmt,
    programs: &'a Programs,
}

impl Starter<'_> {
    /// All ways in turns, until each has started `children`. A row a round, a column a way.
    fn rounds(&self, ways: &[Way<'_>], child: &Path, children: u32) -> Result<Vec<Vec<Vec<Child>>>> {
        in_turns(children.div_ceil(ROUND) as usize, ways.len(), |round, way| {
            self.start(&ways[way], child, ROUND.min(children - ROUND * round as u32))
        })
    }

    /// Starts `count` children in one `way`.
    fn start(&self, way: &Way<'_>, child: &Path, count: u32) -> Result<Vec<Child>> {
        let registration =
            if way.is_registered { registration(self.target, way.emulator)? } else { String::new() };
        let mut command = self.binfmt.command(&registration);
        command.env("QEMU_LD_PREFIX", &self.programs.prefix);
        command.arg(way.emulator).args(way.options).arg(&self.programs.static_one);
        command.arg(count.to_string()).arg(child);
        let said = crate::process::capture(command).with_context(|| format!("by {}", way.name))?;
        let children: Option<Vec<Child>> = said.lines().map(read_child).collect();
        let children = children.with_context(|| format!("the guest printed no times, but: {said}"))?;
        ensure!(children.len() == count as usize, "{count} children, {} times", children.len());
        Ok(children)
    }
}

/// Reads two numbers of nanoseconds.
fn read_child(line: &str) -> Option<Child> {
    let (elapsed, processor) = line.split_once(' ')?;
    let milliseconds = |text: &str| text.parse::<u64>().ok().map(|nanoseconds| nanoseconds as f64 / 1e6);
    Some(Child { elapsed: milliseconds(elapsed)?, processor: milliseconds(processor)? })
}

/// Interception against another way: the median of the rounds' ratios.
fn compare(
    what: String,
    rounds: &[Vec<Vec<Child>>],
    ways: &[Way<'_>],
    other: usize,
    clock: Clock,
    registered: &'static str,
) -> Figure {
    let of = |round: &Vec<Vec<Child>>, way: usize| sorted(round[way].iter().map(clock));
    let ratios =
        sorted(rounds.iter().map(|round| quantile(&of(round, 0), 0.5) / quantile(&of(round, other), 0.5)));
    let cost = |way: usize| {
        let all = sorted(rounds.iter().flat_map(|round| round[way].iter().map(clock)));
        Cost {
            way: ways[way].name.to_owned(),
            children: all.len(),
            min: quantile(&all, 0.0),
            median: quantile(&all, 0.5),
        }
    };
    let details = ExecDetails {
        costs: [cost(0), cost(other)],
        quartiles: [quantile(&ratios, 0.25), quantile(&ratios, 0.75)],
        rounds: rounds.len(),
        registered,
    };
    let [ours, theirs] = &details.costs;
    let [low, high] = details.quartiles;
    Figure {
        what,
        value: quantile(&ratios, 0.5),
        unit: "x",
        limit: Limit::AtMost(1.0),
        from: format!(
            "median {:.2} / {:.2} ms, least {:.2} / {:.2} ms; half of {} rounds within {low:.3} to {high:.3}",
            ours.median, theirs.median, ours.min, theirs.min, details.rounds,
        ),
        details: Some(Details::Exec(details)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_middle_one_of_all_rounds() {
        let ways = [
            Way { name: "ours", emulator: Path::new(""), options: &[], is_registered: false },
            Way { name: "theirs", emulator: Path::new(""), options: &[], is_registered: true },
        ];
        let child = |time: f64| Child { elapsed: time * 2.0, processor: time };
        let round = |ours: f64, theirs: f64| vec![vec![child(ours)], vec![child(theirs)]];
        let rounds = [round(1.0, 1.0), round(9.0, 1.0), round(1.0, 2.0)];
        let figure = compare("x".into(), &rounds, &ways, 1, |child| child.processor, "");
        assert!((figure.value - 1.0).abs() < 1e-9, "{figure:?}");
        let Some(Details::Exec(details)) = figure.details else { unreachable!("no details") };
        assert_eq!((details.costs[0].children, details.costs[1].median), (3, 1.0));
    }
}
