//! What was measured goes into `dist/speed.toml`, load by load: a run that fails later has lost none.

use super::SpeedOptions;
use super::column::Column;
use super::figures::{middle, ratio_of, value};
use super::loads::{Goal, LOADS, Load, Sample};
use crate::facts::Target;
use crate::process;
use crate::release::speed::{self, Measurement, Speed};
use anyarch_client::error::Usage;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where figures go, and what is the same for all of them.
#[derive(Debug)]
pub struct Record {
    root: PathBuf,
    /// Without loads.
    run: Measurement,
}

impl Record {
    /// Learns of the machine and the emulators what stands beside the figures. Fails before anything is measured where
    /// nothing could be recorded.
    pub fn open(
        root: &Path,
        target: Target,
        ours: &Path,
        peer: Option<&Path>,
        loads: &[&Load],
        options: &SpeedOptions,
    ) -> Result<Self> {
        let peer = peer.filter(|_| loads.iter().any(|load| is_recorded(load)));
        let peer = peer.ok_or_else(|| {
            Usage(format!("--record is for loads that are timed; pass some of --loads {}", names().join(",")))
        })?;
        Speed::read(root)?;
        let (ours, peer) = (Version::of(ours)?, Version::of(peer)?);
        let run = Measurement {
            target: target.name.to_owned(),
            peer: peer.publisher(),
            peer_version: format!("qemu-user {}", peer.qemu),
            release: ours.release(),
            machine: options.machine.clone().map_or_else(machine, Ok)?,
            measured: today()?,
            rounds: Some(options.rounds),
            loads: Vec::new(),
        };
        run.check().map_err(|error| Usage(format!("this cannot be recorded: {error:#}")))?;
        Ok(Self { root: root.to_owned(), run })
    }

    /// Takes in a load. `rounds` has a row a round, with a sample for each of `columns`.
    pub fn add(&self, load: &Load, columns: &[Column], rounds: &[Vec<Sample>]) -> Result<()> {
        if !is_recorded(load) {
            return Ok(());
        }
        let mut speed = Speed::read(&self.root)?;
        speed.record(&self.run, measured(load, columns, rounds), &names());
        speed.write(&self.root).with_context(|| format!("{} stays as it was", speed::FILE))
    }
}

/// The loads that can be recorded, in their order.
fn names() -> Vec<&'static str> {
    LOADS.iter().filter(|load| is_recorded(load)).map(|load| load.name).collect()
}

fn is_recorded(load: &Load) -> bool {
    matches!(load.goal, Goal::Faster(_))
}

fn measured(load: &Load, columns: &[Column], rounds: &[Vec<Sample>]) -> speed::Load {
    let times =
        |column: Column| hundredths(middle(rounds, |row| ratio_of(columns, row, Column::Peer, column)));
    let peer_seconds = middle(rounds, |row| value(columns, row, Column::Peer));
    speed::Load {
        name: load.name.to_owned(),
        what: load.what.to_owned(),
        tree: times(Column::Ours),
        folder: times(Column::Kept),
        registered: columns.contains(&Column::Registered).then(|| times(Column::Registered)),
        peer_seconds: hundredths(peer_seconds),
    }
}

/// What is smaller is chance.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// What an emulator says of itself.
#[derive(Debug, PartialEq)]
struct Version {
    qemu: String,
    /// What stands in parentheses: who made it.
    package: Option<String>,
}

impl Version {
    fn of(emulator: &Path) -> Result<Self> {
        let done = process::output(Command::new(emulator).arg("--version"))
            .with_context(|| format!("cannot run {}", emulator.display()))?;
        ensure!(done.status.success(), "{} --version {}", emulator.display(), process::ended(done.status));
        let text = String::from_utf8_lossy(&done.stdout);
        Self::read(&text)
            .with_context(|| format!("{} --version says no version, but: {text}", emulator.display()))
    }

    /// Of `qemu-aarch64 version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)`, and lines that do not matter.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.lines().next()?.split_once(" version ")?;
        let (qemu, package) = rest.split_once(" (").unwrap_or((rest, ""));
        let package = package.trim_end().trim_end_matches(')');
        let package = (!package.is_empty()).then(|| package.to_owned());
        Some(Self { qemu: qemu.trim().to_owned(), package })
    }

    /// `Debian 13` for a package of its updates.
    fn publisher(&self) -> String {
        let Some(package) = &self.package else { return "another emulator".to_owned() };
        let release = package.starts_with("Debian ").then(|| package.rsplit_once("deb")).flatten();
        let release = release.and_then(|(_, rest)| rest.split_once('u')).map(|(number, _)| number);
        match release.filter(|number| number.parse::<u32>().is_ok()) {
            Some(number) => format!("Debian {number}"),
            None => package.clone(),
        }
    }

    /// `10.2.2-1` of ours.
    fn release(&self) -> String {
        let name = self.package.as_deref().and_then(|package| package.strip_prefix("anyarch-"));
        name.unwrap_or(&self.qemu).to_owned()
    }
}

/// This machine, without its name: `2 processors, Intel(R) Xeon(R) Processor`.
fn machine() -> Result<String> {
    let number = std::thread::available_parallelism().context("the number of processors is not known")?;
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Ok(described(number.get(), &facts))
}

/// Where the kernel names no model, as on arm64, the kind of processor has to do.
fn described(number: usize, cpuinfo: &str) -> String {
    let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(value);
    let model = model.filter(|model| !model.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{number} processor{}, {model}", if number == 1 { "" } else { "s" })
}

/// By UTC, as everywhere on earth.
fn today() -> Result<String> {
    let done = process::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    ensure!(done.status.success(), "date {}", process::ended(done.status));
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;
    use super::*;

    #[test]
    fn the_published_loads_are_those_that_are_run() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for load in Speed::read(&root).expect("figures").measurements.iter().flat_map(|one| &one.loads) {
            let known = LOADS.iter().find(|known| known.name == load.name && is_recorded(known));
            assert_eq!(known.map(|known| known.what), Some(load.what.as_str()), "{}", load.name);
        }
    }

    #[test]
    fn a_record_has_the_middle_of_all_rounds_for_each_way() {
        let load = &LOADS[0];
        let rows = [[8.0, 2.0, 1.0, 8.0, 4.0], [9.0, 3.0, 1.0, 8.0, 4.0], [7.0, 1.0, 1.0, 8.0, 3.0]];
        let sample = |value: &f64| Sample { value: *value, base: None, processor: 0.0 };
        let rounds = |ways: usize| -> Vec<Vec<Sample>> {
            rows.iter().map(|row| row[..ways].iter().map(sample).collect()).collect()
        };
        let all = measured(load, &load.goal.columns(true), &rounds(5));
        assert_eq!((all.tree, all.folder, all.registered, all.peer_seconds), (4.0, 8.0, Some(2.25), 8.0));
        assert_eq!((all.name.as_str(), all.what.as_str()), (load.name, load.what));
        assert_eq!(measured(load, &load.goal.columns(false), &rounds(4)).registered, None);
    }

    #[test]
    fn loads_that_are_not_timed_are_refused_before_anything_is_measured() {
        let options = options(&["private-memory", "resident-memory"]);
        let target = Target::named("aarch64").expect("a target");
        let (nowhere, file) = (Path::new("/nowhere"), Path::new("/nowhere/file"));
        let error = Record::open(nowhere, target, file, Some(file), &options.chosen(), &options);
        let error = error.expect_err("refused");
        assert!(error.is::<Usage>() && error.to_string().contains("--loads true,commands,gcc,"), "{error:#}");
    }

    #[test]
    fn an_emulator_says_its_version_and_who_made_it() {
        let read = |text: &str| Version::read(text).expect(text);
        let debian = read("qemu-aarch64 version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright (c)\n");
        assert_eq!((debian.qemu.as_str(), debian.publisher().as_str()), ("10.0.13", "Debian 13"));
        let older = read("qemu-arm version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)");
        assert_eq!(older.publisher(), "Debian 12");
        assert_eq!(read("qemu-arm version 11.0 (Debian 1:11.0+ds-2)").publisher(), "Debian 1:11.0+ds-2");
        let ours = read("qemu-aarch64 version 10.2.2 (anyarch-10.2.2-1)\n");
        assert_eq!(ours.release(), "10.2.2-1");
        let plain = read("qemu-aarch64 version 9.1.0\n");
        assert_eq!((plain.publisher().as_str(), plain.release().as_str()), ("another emulator", "9.1.0"));
        assert_eq!(Version::read("hello"), None);
    }

    #[test]
    fn a_machine_is_described_by_its_processors() {
        let x86 = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R) Processor\n";
        assert_eq!(described(2, x86), "2 processors, Intel(R) Xeon(R) Processor");
        let other = described(1, "processor\t: 0\nCPU part\t: 0xd0c\n");
        assert_eq!(other, format!("1 processor, {}", std::env::consts::ARCH));
    }
}
