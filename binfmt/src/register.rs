//! `register`: from now on the kernel runs a target's programs by an emulator.

use crate::Setting;
use crate::act::Act;
use crate::emulator::Emulator;
use crate::look::{self, Wanting};
use crate::place::{Circumstances, Mounted, Scope};
use crate::plan::{self, Asked, By, Plan, Registered, Taken, There, Wanted};
use crate::podman::{self, For};
use crate::table::Table;
use crate::target::{self, ALL, spoken};
use crate::tiny::{self, Runs};
use anyarch_client::error::Usage;
use anyarch_manifest::layout;
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;
use std::io::{Write as _, stdout};
use std::path::PathBuf;

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  sudo anyarch register arm64
  sudo anyarch register arm64,riscv64 --persist
  sudo anyarch register all --replace
  sudo anyarch register all --wait         # until it is stopped: for services and containers
  anyarch register arm64 --podman          # no root: for your own podman's containers
  anyarch register arm64 --dry-run         # say what would be done";

/// Have the kernel run the programs of other machines, here and in containers and chroots
///
/// Registers emulators with binfmt_misc, and has the kernel run a small program for each target before it says that
/// it is done. Lasts until the next boot, or with --persist until `unregister`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Register {
    /// Targets, by the names of QEMU, Debian, Docker or the kernel; `all` for every emulator that is there
    #[arg(value_name = "TARGET", value_delimiter = ',', required = true)]
    pub targets: Vec<String>,
    /// The emulator's file, for one target [default: in the folders of --emulators]
    #[arg(long, value_name = "FILE")]
    pub emulator: Option<PathBuf>,
    /// Folder with the emulators [default: that of this program, /usr/local/bin,
    /// /usr/libexec/anyarch, /usr/bin]
    #[arg(long, value_name = "DIR", conflicts_with = "emulator")]
    pub emulators: Option<PathBuf>,
    /// Take the place of emulators that others have registered
    #[arg(long)]
    pub replace: bool,
    /// Register again at every boot
    #[arg(long)]
    pub persist: bool,
    /// Give set-user-ID programs the rights of their owner (flag C)
    ///
    /// `sudo` and `su` of a foreign system then work. It makes the emulator a program that anyone can start with
    /// root's rights, so an emulator that others than root can change is refused.
    #[arg(long)]
    pub credentials: bool,
    /// Register emulators of ours under their plain name: each program starts for itself, and shares no translations
    #[arg(long)]
    pub no_execve: bool,
    /// For whom.
    #[command(flatten)]
    pub scope: For,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Root folder of the files that --persist writes [default: /]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// Registers, proves that it works, and says so.
///
/// # Errors
/// [`crate::place::Obstacle`] where nothing can be registered, [`Taken`] where others have, [`Usage`] for what
/// makes no sense; else what went wrong, with what is left of it. It returns well only if everything that was asked
/// for works.
pub fn run(setting: &Setting<'_>, register: &Register) -> Result<()> {
    let targets = target::named(&register.targets)?;
    if register.emulator.is_some() && targets.len() != 1 {
        bail!(Usage("--emulator FILE is for one target; --emulators DIR for several".to_owned()));
    }
    if register.scope.podman {
        podman::run_inside()?;
        if register.persist && !register.dry_run {
            let unit = podman::keep()?;
            setting.progress.say(&format!("{} registers again when you log in", unit.display()));
        }
        return Ok(());
    }
    let wanting = Wanting { user: register.scope.user, root: register.root.as_deref() };
    let circumstances = Circumstances::look()?;
    let obstacle = circumstances.obstacle(wanting.scope());
    if let (Some(obstacle), false) = (&obstacle, register.dry_run) {
        bail!(obstacle.clone());
    }
    // By what can be seen, so that nothing is mounted for what cannot be done.
    let seen = look::there(&circumstances, &wanting, None)?;
    let asked = register.asked(setting, &targets, &seen)?;
    let first = plan::register(&asked, &seen);
    if register.dry_run {
        let first = first?;
        tell(setting, &first);
        let _ = write!(stdout(), "{first}");
        // It was not asked to work.
        obstacle.inspect(|why| setting.progress.say(&format!("as things are, it would fail: {why}")));
        return Ok(());
    }
    // What is seen may be the machine's table, which does not count for a namespace that gets its own.
    first.map(drop).or_else(|error| if error.is::<Taken>() { Ok(()) } else { Err(error) })?;
    let table = circumstances.open()?;
    let _lock = table.lock(setting.progress)?;
    // Another run may have changed what there is.
    let plan = plan::register(&asked, &look::there(&circumstances, &wanting, Some(&table))?)?;
    tell(setting, &plan);
    Act { table: &table, circumstances: &circumstances, progress: setting.progress }
        .carry_out(&plan.steps)?;
    if circumstances.scope == Scope::UserNamespace && circumstances.mounted == Mounted::Nothing {
        setting.progress.say(
            "note: the table of a user namespace lasts as long as something has it mounted: here, as long as this mount \
             namespace, such as a container",
        );
    }
    report(setting, &plan.registered, circumstances.scope, register.persist, &table)
}

fn tell(setting: &Setting<'_>, plan: &Plan) {
    plan.notes.iter().for_each(|note| setting.progress.say(note));
}

/// Says what is registered, to people or as JSON.
fn report(
    setting: &Setting<'_>,
    registered: &[Registered],
    scope: Scope,
    is_kept: bool,
    table: &Table,
) -> Result<()> {
    for Registered { target, registration, release } in registered {
        setting.progress.say(&format!(
            "{}: the kernel runs its programs by {}{}, flags {}",
            spoken(target),
            registration.interpreter,
            release.as_ref().map(|release| format!(" ({release})")).unwrap_or_default(),
            registration.flags
        ));
    }
    if setting.json {
        let rows = registered.iter().map(|Registered { target, registration, release }| {
            json!({
                "name": registration.name,
                "target": target.name,
                "release": release,
                "interpreter": registration.interpreter,
                "flags": registration.flags,
                "scope": scope,
                "persistent": is_kept,
                "entry": table.folder.join(&registration.name),
            })
        });
        let text = json!({ "registered": rows.collect::<Vec<_>>() });
        writeln!(stdout(), "{text:#}").context("cannot print what was registered")?;
    }
    Ok(())
}

impl Register {
    /// What the arguments say, with an emulator for each target.
    fn asked(&self, setting: &Setting<'_>, targets: &[&'static Target], there: &There) -> Result<Asked> {
        let folders = self.emulators.as_ref().map_or(&setting.folders[..], std::slice::from_ref);
        let is_all = self.targets.iter().any(|name| name == ALL);
        let mut wanted = Vec::new();
        for &target in targets {
            if runs_natively(target, there)? {
                wanted.push(Wanted { target, by: By::Machine });
                continue;
            }
            let emulator = match &self.emulator {
                Some(path) => Some(Emulator::read(target, path)?),
                None => Emulator::find(target, folders)?,
            };
            match emulator {
                Some(emulator) => wanted.push(Wanted { target, by: By::Emulator(emulator) }),
                None if is_all => {}
                None => bail!(no_emulator(target, folders)),
            }
        }
        if is_all && !wanted.iter().any(|one| matches!(one.by, By::Emulator(_))) {
            bail!(no_emulator(targets[0], folders));
        }
        Ok(Asked {
            wanted,
            credentials: self.credentials,
            replace: self.replace,
            intercept: !self.no_execve,
            persist: self.persist,
        })
    }
}

fn no_emulator(target: &Target, folders: &[PathBuf]) -> anyhow::Error {
    let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    anyhow::anyhow!(
        "there is no {} in {}\n  run `sudo anyarch install --target {} --prefix /usr/local`, or pass --emulators DIR",
        layout::program(target.name),
        places.join(", "),
        spoken(target)
    )
}

/// Whether the machine runs a target's programs itself: it is the target of this very program, or a program of it runs
/// though nobody has registered anything for it.
fn runs_natively(target: &Target, there: &There) -> Result<bool> {
    if look::own_target()? == Some(target) {
        return Ok(true);
    }
    if there.entries.iter().any(|(entry, _)| entry.is_enabled && entry.claims(target)) {
        return Ok(false);
    }
    Ok(tiny::by_kernel(target)? == Runs::Natively)
}
