//! Starting a guest's children: by interception, against the kernel's binfmt_misc with the F flag.
//!
//! The same guest program starts them, under the same emulator; only the mechanism differs. Both take
//! turns, so that other work on the machine disturbs both alike.

use super::{Figure, Setting, plan_for};
use crate::compile::BuildTree;
use crate::error::Missing;
use crate::facts::{Target, native};
use crate::process::{ended, output};
use crate::verify::compiler;
use anyarch_client::error::Usage;
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Options of `bench exec`.
#[derive(Debug, Args)]
pub struct ExecOptions {
    /// exec: target of the programs that are started; needs a C compiler for it
    #[arg(short, long, value_name = "TARGET", default_value = "aarch64")]
    pub target: String,
    /// exec: number of child processes that each method starts
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub children: u32,
    /// exec: measure this emulator instead of building one
    #[arg(long, value_name = "FILE")]
    pub emulator: Option<PathBuf>,
    /// exec: also measure this emulator, without our patches, under binfmt_misc
    #[arg(long, value_name = "FILE")]
    pub unpatched: Option<PathBuf>,
}

/// Children that are started before the other way has its turn.
const ROUND: u32 = 50;
/// What the C helper ends with when the machine can't do what it is for.
const LACKING: i32 = 3;

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
pub struct Details {
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
pub fn measure(bench: &Setting<'_>, options: &ExecOptions) -> Result<Vec<Figure>> {
    let target = Target::named(&options.target)?;
    refuse_natives(target)?;
    let programs = Programs::compile(bench, target)?;
    let emulator = match &options.emulator {
        Some(path) => copy(bench, path, "emulator")?,
        None => build(bench, target)?,
    };
    let binfmt = Binfmt::find(bench, &programs, &emulator)?;
    let mut ways = vec![
        Way {
            name: "interception",
            emulator: &emulator,
            options: &["--execve", "self"],
            is_registered: false,
        },
        Way { name: "binfmt_misc F", emulator: &emulator, options: &[], is_registered: true },
    ];
    let unpatched = options.unpatched.as_deref().map(|path| copy(bench, path, "unpatched")).transpose()?;
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
        let rounds = rounds(&binfmt, &ways, child, options.children)?;
        step.done("started");
        for other in 1..ways.len() {
            for (what, of) in CLOCKS {
                let what =
                    format!("{} {kind} program: interception / {}, {what}", target.name, ways[other].name);
                figures.push(compare(what, &rounds, &ways, other, of, binfmt.registered));
            }
        }
    }
    Ok(figures)
}

/// A copy of an emulator: it stays the same file, whatever is built meanwhile, and how it came to lie
/// in memory (which makes up to 4 %) is the same for all that are compared.
fn copy(bench: &Setting<'_>, emulator: &Path, name: &str) -> Result<PathBuf> {
    let to = bench.home.path().join(name);
    fs::copy(emulator, &to).with_context(|| format!("cannot copy {}", emulator.display()))?;
    Ok(to)
}

/// What is measured of a child.
type Clock = fn(&Child) -> f64;
const CLOCKS: [(&str, Clock); 2] =
    [("processor time", |child| child.processor), ("elapsed", |child| child.elapsed)];

/// The kernel runs this machine's own programs itself, whoever starts them.
fn refuse_natives(target: Target) -> Result<()> {
    let own = Target::named(native()?)?.name;
    let narrow = match own {
        "x86_64" => "i386",
        "aarch64" => "arm",
        other => other,
    };
    if [own, narrow].contains(&target.name) {
        return Err(Usage(format!("this machine runs programs for {} itself", target.name)).into());
    }
    Ok(())
}

/// The emulator, from the usual build tree.
fn build(bench: &Setting<'_>, target: Target) -> Result<PathBuf> {
    let plan = plan_for(bench.session, &[target.name])?;
    let tree = &plan.trees()[0];
    let source = crate::commands::source::patched(bench.session, plan.series(), None)?;
    let build = BuildTree::open(bench.session, &plan, tree, &source, &bench.toolchain)?;
    let emulators = build.compile(tree.targets(), &source)?.all()?;
    copy(bench, emulators.first().context("no emulator was made")?.path(), "emulator")
}

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
        let native =
            which::which("gcc").map_err(|_| Missing::new("a C compiler", "apt-get install gcc libc6-dev"))?;
        let sources = bench.session.workspace.root.join("guests/bench");
        let home = bench.home.path();
        let cc = |cc: &Path, options: &[&str], source: &str, to: &str| -> Result<PathBuf> {
            let to = home.join(to);
            let mut command = Command::new(cc);
            command.args(options).arg("-O2").arg("-o").arg(&to).arg(sources.join(source));
            crate::process::capture(command).with_context(|| format!("{source} does not compile"))?;
            Ok(to)
        };
        let triple = target.compiler.map(|compiler| compiler.triple).unwrap_or_default();
        Ok(Self {
            static_one: cc(&cross, &["-static"], "start.c", "start-static")?,
            dynamic_one: cc(&cross, &[], "start.c", "start-dynamic")?,
            binfmt: cc(&native, &["-static"], "binfmt.c", "binfmt")?,
            prefix: Path::new("/usr").join(triple),
        })
    }
}

/// How the format is registered on this machine.
struct Binfmt<'a> {
    programs: &'a Programs,
    folder: PathBuf,
    mode: &'static str,
    registered: &'static str,
}

impl<'a> Binfmt<'a> {
    /// A binfmt_misc of our own where the kernel has that, else the machine's.
    fn find(bench: &Setting<'_>, programs: &'a Programs, emulator: &Path) -> Result<Self> {
        let folder = bench.home.path().join("binfmt_misc");
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut said = String::new();
        for (mode, registered) in [
            ("own", "in a user namespace of its own"),
            ("machine", "on this machine, for the time of a round"),
        ] {
            let binfmt = Self { programs, folder: folder.clone(), mode, registered };
            let mut command = binfmt.command(&registration(&programs.static_one, emulator)?);
            command.arg(&programs.static_one);
            let tried = output(&mut command)?;
            match tried.status.code() {
                Some(0) => return Ok(binfmt),
                Some(LACKING) => {
                    said.push_str(&format!("\n  {}", String::from_utf8_lossy(&tried.stderr).trim()));
                }
                _ => bail!(
                    "a program for the target {} under binfmt_misc: {}",
                    ended(tried.status),
                    String::from_utf8_lossy(&tried.stderr)
                ),
            }
        }
        let what = format!("binfmt_misc (Linux 6.7 and user namespaces, or root){said}");
        Err(Missing { what, command: None }.into())
    }

    fn command(&self, registration: &str) -> Command {
        let mut command = Command::new(&self.programs.binfmt);
        command.arg(self.mode).arg(&self.folder).arg(registration);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("QEMU_LD_PREFIX", &self.programs.prefix);
        command
    }

    /// Starts `count` children in one `way`.
    fn start(&self, way: &Way<'_>, child: &Path, count: u32) -> Result<Vec<Child>> {
        let registration = if way.is_registered { registration(child, way.emulator)? } else { String::new() };
        let mut command = self.command(&registration);
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

/// What is written to `register`: programs whose ELF header is like this one's, F flag.
fn registration(program: &Path, emulator: &Path) -> Result<String> {
    // e_ident without ABI and padding, e_type, e_machine.
    const HEADER: usize = 20;
    const E_TYPE: usize = 16;
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let header = bytes.get(..HEADER).context("a program without ELF header")?;
    let is_big_endian = header[5] == 2;
    let mask = |at: usize| match at {
        0..=6 | 18.. => 0xff,
        // Programs at a fixed place (2) and at any (3).
        E_TYPE | 17 if (at == E_TYPE) != is_big_endian => 0xfe,
        E_TYPE | 17 => 0xff,
        _ => 0,
    };
    let hex =
        |bytes: &mut dyn Iterator<Item = u8>| bytes.map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let emulator = emulator.to_str().filter(|path| !path.contains(':'));
    let emulator = emulator.context("binfmt_misc takes no emulator with a colon in its name")?;
    Ok(format!(
        ":anyarch-{}:M::{}:{}:{emulator}:F",
        std::process::id(),
        hex(&mut header.iter().copied()),
        hex(&mut (0..HEADER).map(mask)),
    ))
}

/// All ways in turns, each round beginning with another one. A row a round, a column a way.
fn rounds(
    binfmt: &Binfmt<'_>,
    ways: &[Way<'_>],
    child: &Path,
    children: u32,
) -> Result<Vec<Vec<Vec<Child>>>> {
    let mut rounds = Vec::new();
    let mut left = children;
    while left > 0 {
        let count = left.min(ROUND);
        left -= count;
        let mut round = vec![Vec::new(); ways.len()];
        for turn in 0..ways.len() {
            let way = (rounds.len() + turn) % ways.len();
            round[way] = binfmt.start(&ways[way], child, count)?;
        }
        rounds.push(round);
    }
    Ok(rounds)
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
    let details = Details {
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
        at_most: 1.0,
        from: format!(
            "median {:.2} / {:.2} ms, least {:.2} / {:.2} ms; half of {} rounds within {low:.3} to {high:.3}",
            ours.median, theirs.median, ours.min, theirs.min, details.rounds,
        ),
        details: Some(details),
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values; between two of them in proportion.
fn quantile(sorted: &[f64], part: f64) -> f64 {
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
    fn a_format_is_registered_by_class_byte_order_and_machine() {
        let home = tempfile::tempdir().expect("a folder");
        let program = home.path().join("program");
        let mut header = b"\x7fELF\x01\x02\x01\x03".to_vec();
        header.extend([0; 8]);
        header.extend([0, 3, 0, 22]); // Big-endian, at any place, s390.
        fs::write(&program, &header).expect("written");
        let text = registration(&program, Path::new("/e/qemu")).expect("a registration");
        let fields: Vec<&str> = text.split(':').collect();
        assert_eq!((fields[2], fields[3], fields[6], fields[7]), ("M", "", "/e/qemu", "F"));
        assert!(fields[4].ends_with(r"\x00\x03\x00\x16"), "{text}");
        let ident = r"\xff\xff\xff\xff\xff\xff\xff";
        let ignored = r"\x00".repeat(9);
        assert_eq!(fields[5], format!(r"{ident}{ignored}\xff\xfe\xff\xff"));
        assert!(registration(&program, Path::new("/e:/qemu")).is_err());
    }

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
        let details = figure.details.expect("details");
        assert_eq!((details.costs[0].children, details.costs[1].median), (3, 1.0));
    }
}
