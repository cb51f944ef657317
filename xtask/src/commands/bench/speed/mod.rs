//! What people run in a foreign root file system, under our emulator and under a peer's.
//!
//! All columns take turns. A run begins with nothing of an earlier one: a namespace, a `/tmp` and a tree of
//! emulators of its own. Only that with a folder has what a run before the first round has translated.

mod column;
mod figures;
mod loads;
mod readings;
mod record;
mod system;

use super::emulator::{EmulatorOptions, build};
use super::rounds::in_turns;
use super::{Figure, Setting};
use crate::error::Missing;
use crate::facts::Target;
use crate::release::speed::{Speed, drawing};
use crate::session::BuildSession;
use anyarch_client::error::Usage;
use anyarch_client::files::TempFolder;
use anyhow::{Context as _, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;
use column::Column;
use loads::{LOADS, Load, Need};
use record::Record;
use std::path::{Path, PathBuf};
use system::System;

pub use figures::SpeedDetails;

/// Options of `bench speed`.
#[derive(Debug, Args)]
pub struct SpeedOptions {
    /// speed: Debian of the target, with gcc, python3 and xz, in which everything runs; it stays as it is
    ///
    /// Two ways to make one: `anyarch rootfs --target aarch64 --include gcc,libc6-dev,python3,xz-utils DIR`,
    /// or, as root, `debootstrap --foreign --arch=arm64 --variant=minbase
    /// --include=gcc,libc6-dev,python3,xz-utils bookworm DIR` and, with an emulator copied into it,
    /// `chroot DIR /qemu-aarch64 --execve self /debootstrap/debootstrap --second-stage`.
    #[arg(long, value_name = "DIR")]
    pub system: Option<PathBuf>,
    /// speed: static emulator to compare with; it is registered in binfmt_misc (F flag)
    ///
    /// That of Debian 13 is in its package qemu-user: `apt-get download qemu-user`, then
    /// `dpkg-deb -x qemu-user_*.deb peer`, and `--peer peer/usr/bin/qemu-aarch64`.
    #[arg(long, value_name = "FILE")]
    pub peer: Option<PathBuf>,
    /// speed: also measure our emulator when it is registered in binfmt_misc (F flag)
    #[arg(long)]
    pub registered: bool,
    /// speed: what to run; everything if not given
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = load_names())]
    pub loads: Vec<String>,
    /// speed: number of times that each emulator runs each load
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// speed: write the figures of timed loads into dist/speed.toml, and draw docs/speed.svg anew
    ///
    /// Each load is written as soon as it was measured. Loads that were not measured, and other targets, keep the
    /// figures and the day that they have.
    #[arg(long)]
    pub record: bool,
    /// speed: the machine in words, for --record; by default its number of processors and their model
    #[arg(long, value_name = "TEXT", requires = "record")]
    pub machine: Option<String>,
    /// speed: measure nothing; draw docs/speed.svg anew from dist/speed.toml
    #[arg(long, conflicts_with_all = ["record", "machine"])]
    pub draw: bool,
}

fn load_names() -> PossibleValuesParser {
    PossibleValuesParser::new(LOADS.iter().map(|load| load.name))
}

impl SpeedOptions {
    /// Those that are asked for, in the order of the table.
    fn chosen(&self) -> Vec<&'static Load> {
        let is_chosen =
            |load: &&Load| self.loads.is_empty() || self.loads.iter().any(|name| name == load.name);
        LOADS.iter().filter(is_chosen).collect()
    }

    /// The chosen ones that `root` has the programs for. Asked for by name, a load must run.
    fn runnable(&self, root: &Path, target: Target) -> Result<(Vec<&'static Load>, Vec<Need>)> {
        let has = |load: &&Load| load.needs.is_none_or(|need| need.is_in(root));
        let (loads, others): (Vec<&'static Load>, Vec<&'static Load>) =
            self.chosen().into_iter().partition(has);
        let missing: Vec<_> = others.into_iter().filter_map(|load| load.needs).collect();
        if !self.loads.is_empty() && !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|need| need.package()).collect();
            return Err(Missing::new(
                format!("{} in {}", names.join(", "), root.display()),
                how_to_make(target, &missing),
            )
            .into());
        }
        Ok((loads, missing))
    }

    fn system(&self, target: Target) -> Result<PathBuf> {
        let system = self.system.clone().ok_or_else(|| {
            Missing::new(
                format!("a root file system of {} (--system DIR)", target.name),
                how_to_make(target, &[]),
            )
        })?;
        system.canonicalize().with_context(|| format!("cannot find {}", system.display()))
    }

    /// Those of `loads` that this user can run: what changes a root needs root, who has the ids of all its files. Asked
    /// for by name, a load must run.
    fn allowed(
        &self,
        loads: Vec<&'static Load>,
        is_root: bool,
    ) -> Result<(Vec<&'static Load>, Vec<&'static str>), Usage> {
        let (allowed, others): (Vec<&'static Load>, Vec<&'static Load>) =
            loads.into_iter().partition(|load| is_root || !load.changes);
        let others: Vec<_> = others.into_iter().map(|load| load.name).collect();
        if !self.loads.is_empty() && !others.is_empty() {
            let names = others.join(", ");
            return Err(Usage(format!(
                "{names}: its files have several owners; run the same command as root"
            )));
        }
        Ok((allowed, others))
    }

    /// The peer's emulator, if one of `loads` needs it.
    fn peer(&self, target: Target, loads: &[&Load]) -> Result<Option<PathBuf>> {
        let is_needed = loads.iter().any(|load| load.goal.columns(false).contains(&Column::Peer));
        if self.peer.is_none() && is_needed {
            return Err(Missing::new(
                "an emulator to compare with (--peer FILE), such as Debian 13's",
                format!(
                    "apt-get download qemu-user && dpkg-deb -x qemu-user_*.deb peer, on Debian 13; then \
                     --peer peer/usr/bin/qemu-{}",
                    target.name
                ),
            )
            .into());
        }
        Ok(self.peer.clone())
    }
}

/// The command that makes a root with what loads need, and more.
fn how_to_make(target: Target, more: &[Need]) -> String {
    let mut packages = vec!["gcc", "libc6-dev", "python3", "xz-utils"];
    let mut then = String::new();
    for need in more {
        match need {
            Need::Program(name) => packages.push(name),
            Need::Download(name) => {
                then = format!(" && anyarch run DIR apt-get install --yes --download-only {name}");
            }
        }
    }
    format!("anyarch rootfs --target {} --include {} DIR{then}", target.name, packages.join(","))
}

/// Runs the loads, one after the other, each by all its columns in turns.
pub fn measure(
    session: &BuildSession,
    ours: &EmulatorOptions,
    options: &SpeedOptions,
) -> Result<Vec<Figure>> {
    if options.draw {
        draw(session)?;
        return Ok(Vec::new());
    }
    let target = ours.target()?;
    let root = options.system(target)?;
    let (loads, missing) = options.runnable(&root, target)?;
    for need in missing {
        session.progress.say(&format!("not run: {}, which {} has not", need.package(), root.display()));
    }
    let (loads, refused) = options.allowed(loads, rustix::process::geteuid().is_root())?;
    for name in refused {
        session.progress.say(&format!("not run: {name}, which root alone can measure"));
    }
    let peer = options.peer(target, &loads)?;
    let emulator = match &ours.emulator {
        Some(path) => path.clone(),
        None => build(&Setting::new(session, &ours.tooling)?, target)?,
    };
    let checkout = &session.workspace.root;
    let open = || Record::open(checkout, target, &emulator, peer.as_deref(), &loads, options);
    let record = options.record.then(open).transpose()?;
    let home = TempFolder::new(&session.workspace.trees)?;
    let sources = checkout.join("guests/bench");
    let system = System::prepare(target, &sources, home.path(), root, &emulator, peer.as_deref())?;
    let mut figures = Vec::new();
    for load in loads {
        let columns = load.goal.columns(options.registered);
        let step = session.progress.step(format!("run {} by {} emulators", load.name, columns.len()));
        if columns.contains(&Column::Kept) {
            system.run(Column::Kept, load)?;
        }
        let rounds = in_turns(options.rounds as usize, columns.len(), |_, way| {
            let run = system.run(columns[way], load)?;
            load.goal.read(&run).with_context(|| format!("by {}", columns[way].name()))
        });
        let rounds = rounds.with_context(|| format!("the load {}", load.name))?;
        if let Some(record) = &record {
            record.add(load, &columns, &rounds)?;
        }
        figures.push(figures::figure(load, &columns, &rounds, system.registered()));
        step.done("ran");
    }
    Ok(figures)
}

fn draw(session: &BuildSession) -> Result<()> {
    let root = &session.workspace.root;
    drawing::write(&Speed::read(root)?, root)?;
    session.progress.say(&format!("drew {}", drawing::FILE));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn options(loads: &[&str]) -> SpeedOptions {
        let loads = loads.iter().map(|name| (*name).to_owned()).collect();
        SpeedOptions {
            system: None,
            peer: None,
            registered: false,
            loads,
            rounds: 1,
            record: false,
            machine: None,
            draw: false,
        }
    }

    #[test]
    fn loads_are_chosen_by_name_and_run_in_the_order_of_the_table() {
        let names = |loads: &[&str]| -> Vec<&str> {
            options(loads).chosen().into_iter().map(|load| load.name).collect()
        };
        assert_eq!(names(&["xz", "true"]), ["true", "xz"]);
        assert_eq!(names(&[]).len(), LOADS.len());
    }

    #[test]
    fn a_load_whose_program_the_root_lacks_is_an_error_where_it_was_asked_for() {
        let target = Target::named("aarch64").expect("a target");
        let root = tempfile::tempdir().expect("a folder");
        let names = |options: &SpeedOptions| -> Result<Vec<&str>> {
            Ok(options.runnable(root.path(), target)?.0.into_iter().map(|load| load.name).collect())
        };
        let all = names(&options(&[])).expect("loads");
        assert!(all.contains(&"true") && !all.contains(&"npm"), "{all:?}");
        let text = format!("{:#}", names(&options(&["npm"])).expect_err("no npm"));
        assert!(text.contains("npm in "), "{text}");
        std::fs::create_dir_all(root.path().join("usr/bin")).expect("a folder");
        std::fs::write(root.path().join("usr/bin/npm"), "").expect("a file");
        assert_eq!(names(&options(&["npm"])).expect("npm"), ["npm"]);
        let text = format!("{:#}", names(&options(&["apt"])).expect_err("nothing is downloaded"));
        assert!(text.contains("ca-certificates in "), "{text}");
        let advice = how_to_make(target, &[Need::Download("ca-certificates")]);
        assert!(
            advice.ends_with(" DIR && anyarch run DIR apt-get install --yes --download-only ca-certificates")
        );
        let downloads = root.path().join("var/cache/apt/archives");
        std::fs::create_dir_all(&downloads).expect("a folder");
        std::fs::write(downloads.join("ca-certificates_20230311_all.deb"), "").expect("a file");
        assert_eq!(names(&options(&["apt"])).expect("apt"), ["apt"]);
    }

    #[test]
    fn a_load_that_changes_the_root_is_for_root() {
        let (apt, one) = (options(&["apt"]), options(&["true"]));
        assert_eq!(apt.allowed(apt.chosen(), true).expect("root").0.len(), 1);
        let error = apt.allowed(apt.chosen(), false).expect_err("a user").to_string();
        assert!(error.starts_with("apt: ") && error.ends_with("as root"), "{error}");
        assert_eq!(one.allowed(one.chosen(), false).expect("any user").0.len(), 1);
        let (loads, refused) = options(&[]).allowed(options(&[]).chosen(), false).expect("the others");
        assert_eq!((loads.len(), refused), (LOADS.len() - 1, vec!["apt"]));
    }

    #[test]
    fn a_peer_and_a_system_are_asked_for_where_they_are_needed() {
        let target = Target::named("aarch64").expect("a target");
        let error = |options: &SpeedOptions| {
            options.peer(target, &options.chosen()).err().map(|error| error.to_string())
        };
        assert!(error(&options(&["true"])).is_some_and(|text| text.contains("apt-get download qemu-user")));
        assert_eq!(error(&options(&["second-run", "resident-memory"])), None);
        let text = options(&[]).system(target).expect_err("no system").to_string();
        assert!(text.contains("anyarch rootfs --target aarch64"), "{text}");
    }
}
