//! What has to be done for what is asked for, by what is there: decided without doing any of it.

use crate::emulator::{Emulator, INTERCEPTING};
use crate::format::{Format, Registration, can_be_told};
use crate::persist::{self, System};
use crate::step::Step;
use crate::table::{Entry, own_name};
use crate::target::spoken;
use anyarch_client::error::Usage;
use anyarch_manifest::layout;
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result, bail};
use std::fmt;
use std::path::{Path, PathBuf};

/// What somebody wants to be registered.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The targets, each with its emulator.
    pub wanted: Vec<Wanted>,
    /// The flag `C`, too.
    pub credentials: bool,
    /// Registrations of others are taken out.
    pub replace: bool,
    /// Emulators of ours get a name that has them start their guests' children.
    pub intercept: bool,
    /// At every boot again.
    pub persist: bool,
}

/// A target, and how its programs are to run.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The target.
    pub target: &'static Target,
    /// What is to run them.
    pub by: By,
}

/// What runs a target's programs.
#[derive(Debug, Clone)]
pub enum By {
    /// The machine does.
    Machine,
    /// This emulator shall.
    Emulator(Emulator),
}

/// What is there.
#[derive(Debug, Clone)]
pub struct There {
    /// Whether the table is mounted.
    pub is_mounted: bool,
    /// What is registered, and who has done that, if somebody knows.
    pub entries: Vec<(Entry, Option<String>)>,
    /// Whether emulators can be told that they get `argv[0]`.
    pub keeps_argv0: bool,
    /// Whether it is the machine's table, and not that of a user namespace.
    pub is_machine: bool,
    /// The folder for links that last until the next boot, if there is one that can be written to.
    pub link_folder: Option<PathBuf>,
    /// What registers at boot.
    pub system: Option<System>,
    /// The root folder of its files.
    pub root: PathBuf,
}

/// What will be done, and what is to be said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// For people.
    pub notes: Vec<String>,
    /// What is registered then, with the emulator's release.
    pub registered: Vec<Registered>,
}

/// A registration that a plan makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Whose programs.
    pub target: &'static Target,
    /// How.
    pub registration: Registration,
    /// The emulator's release, if known.
    pub release: Option<String>,
}

/// Others have registered an emulator for the same programs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Taken(String);

impl fmt::Display for Plan {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(to, "{step}"))
    }
}

/// The plan of a registration.
///
/// # Errors
/// [`Taken`] when others have registered for these programs and are not to be replaced; [`Usage`] when what is asked
/// for must not be done. Nothing of it is planned then.
pub fn register(asked: &Asked, there: &There) -> Result<Plan> {
    let mut plan = Plan::default();
    if !there.is_mounted {
        plan.steps.push(Step::Mount);
    }
    are_free(asked, there)?;
    for Wanted { target, by } in &asked.wanted {
        match by {
            By::Machine => {
                plan.notes.push(format!("{}: this machine runs its programs itself", spoken(target)));
            }
            By::Emulator(emulator) => plan.add(asked, there, target, emulator)?,
        }
    }
    Ok(plan)
}

/// Others that have registered an emulator for a target.
fn others<'a>(there: &'a There, target: &Target) -> impl Iterator<Item = &'a (Entry, Option<String>)> {
    let (target, own) = (*target, own_name(target));
    there.entries.iter().filter(move |(entry, _)| {
        entry.is_enabled && entry.name != own && !entry.is_untouchable() && entry.claims(&target)
    })
}

/// Whether nobody else has registered for what is asked for, or does not count.
fn are_free(asked: &Asked, there: &There) -> Result<(), Taken> {
    if asked.replace {
        return Ok(());
    }
    let (mut lines, mut names) = (Vec::new(), Vec::new());
    for wanted in asked.wanted.iter().filter(|wanted| matches!(wanted.by, By::Emulator(_))) {
        for (entry, owner) in others(there, wanted.target) {
            let name = spoken(wanted.target);
            names.push(name);
            lines.push(format!(
                "programs for {name} already go to {}, registered as {}{}",
                entry.interpreter.display(),
                entry.name,
                owner.as_ref().map(|owner| format!(" by {owner}")).unwrap_or_default()
            ));
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    names.dedup();
    lines.push(format!("  to take its place: anyarch register --replace {}", names.join(" ")));
    Err(Taken(lines.join("\n")))
}

impl Plan {
    fn add(
        &mut self,
        asked: &Asked,
        there: &There,
        target: &'static Target,
        emulator: &Emulator,
    ) -> Result<()> {
        let name = spoken(target);
        // In a namespace, whoever has made it has all rights there.
        if let (Some(why), true) = (&emulator.changeable, there.is_machine) {
            let path = emulator.path.display();
            if asked.credentials {
                bail!(Usage(format!(
                    "--credentials would make {path} a program that runs as root, and {why}\n  \
                     install it where only root can write: /usr/local"
                )));
            }
            self.notes.push(format!("{name}: {why}, and so decides what runs in the place of {path}"));
        }
        self.steps.push(Step::Try { target, emulator: emulator.path.clone() });
        let interpreter = self.interpreter(asked, there, target, emulator);
        let registration = Registration {
            name: own_name(target),
            format: Format::of(target),
            interpreter: can_be_told(&interpreter)
                .with_context(|| format!("the kernel takes no path like {}", interpreter.display()))?
                .to_owned(),
            flags: flags(asked, there),
        };
        if there.entries.iter().any(|(entry, _)| entry.name == registration.name) {
            self.steps.push(Step::Unregister { name: registration.name.clone(), owner: None });
        }
        self.steps.push(Step::Register(registration.clone()));
        self.steps.push(Step::Check { target, name: registration.name.clone() });
        // Only now: what was registered last counts, and if it does not run, theirs do again.
        for (entry, owner) in others(there, target) {
            let owner = owner.clone().or_else(|| Some("somebody else".to_owned()));
            self.steps.push(Step::Unregister { name: entry.name.clone(), owner });
            if let Some(path) = persist::persistent(&there.root, &entry.name) {
                self.notes.push(format!(
                    "{name}: {} brings {} back at the next boot{}",
                    path.display(),
                    entry.name,
                    if asked.persist { ", and ours as well" } else { "; --persist does so with ours" }
                ));
            }
        }
        if asked.persist {
            let system = there.system.context(
                "nothing that is known registers at boot here: neither systemd, nor binfmt-support, nor OpenRC\n  \
                 without --persist it is registered until the next boot; have `anyarch register` run at each",
            )?;
            self.steps.extend(persist::keep(system, &there.root, &registration, target));
        }
        self.registered.push(Registered { target, registration, release: emulator.release.clone() });
        Ok(())
    }

    /// The path that is registered: a link where the emulator's own name does not have it start children.
    fn interpreter(&mut self, asked: &Asked, there: &There, target: &Target, emulator: &Emulator) -> PathBuf {
        let own = emulator.path.clone();
        if !asked.intercept || !emulator.is_ours || Emulator::is_intercepting(&own) {
            return own;
        }
        let beside = || own.parent().map(Path::to_owned);
        let Some(folder) = (if asked.persist { beside() } else { there.link_folder.clone() }) else {
            self.notes.push(format!(
                "{}: nothing can be written to /run, so programs will not share translations; \
                 `docker run --tmpfs /run` or XDG_RUNTIME_DIR changes that",
                spoken(target)
            ));
            return own;
        };
        let at = folder.join(format!("{}{INTERCEPTING}", layout::program(target.name)));
        self.steps.push(Step::Link { at: at.clone(), to: own });
        at
    }
}

/// `F`, so that the emulator is found in other roots; `P`, so that programs get the `argv[0]` that they were given.
fn flags(asked: &Asked, there: &There) -> String {
    let mut flags = "F".to_owned();
    if there.keeps_argv0 {
        flags.push('P');
    }
    if asked.credentials {
        flags.push('C');
    }
    flags
}

/// The plan that undoes registrations of ours, now and at boot.
pub fn unregister(targets: &[&'static Target], there: &There) -> Plan {
    let mut plan = Plan::default();
    let entries: Vec<Entry> = there.entries.iter().map(|(entry, _)| entry.clone()).collect();
    for target in targets {
        let mut steps = persist::forget(&there.root, target);
        let name = own_name(target);
        if entries.iter().any(|entry| entry.name == name) {
            steps.push(Step::Unregister { name, owner: None });
        }
        steps.extend(persist::links(&there.root, target, &entries).into_iter().map(Step::Delete));
        if steps.is_empty() {
            plan.notes.push(format!("{}: we have not registered it", spoken(target)));
        }
        plan.steps.extend(steps);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> &'static Target {
        Target::find(name).expect("known")
    }

    fn emulator(target: &Target) -> Emulator {
        let path = PathBuf::from(format!("/e/qemu-{target}"));
        Emulator { path, is_ours: true, release: None, changeable: None }
    }

    fn asked(names: &[&str]) -> Asked {
        let wanted = names.iter().map(|name| {
            let target = target(name);
            Wanted { target, by: By::Emulator(emulator(target)) }
        });
        Asked {
            wanted: wanted.collect(),
            credentials: false,
            replace: false,
            intercept: true,
            persist: false,
        }
    }

    fn there() -> There {
        There {
            is_mounted: true,
            entries: Vec::new(),
            keeps_argv0: true,
            is_machine: true,
            link_folder: Some("/run/anyarch".into()),
            system: Some(System::Systemd),
            root: "/nowhere".into(),
        }
    }

    fn entry(name: &str, magic: &str) -> (Entry, Option<String>) {
        let text = format!("enabled\ninterpreter /usr/bin/{name}\nflags: F\noffset 0\nmagic {magic}\n");
        (Entry::parse(name, &text).expect("an entry"), Some("the package qemu-user-static".to_owned()))
    }

    const AARCH64: &str = "7f454c460201010000000000000000000200b700";

    fn words(asked: &Asked, there: &There) -> Vec<String> {
        let plan = register(asked, there).expect("a plan");
        plan.to_string().lines().map(|line| line.split(" :").next().unwrap_or(line).to_owned()).collect()
    }

    #[test]
    fn an_emulator_is_tried_linked_registered_and_checked() {
        let expected = [
            "try a program for aarch64 in /e/qemu-aarch64",
            "link /run/anyarch/qemu-aarch64-execve to /e/qemu-aarch64",
            "register",
            "check that the kernel runs a program for aarch64",
        ];
        assert_eq!(words(&asked(&["arm64"]), &there()), expected);
        let mounted = words(&asked(&["arm64"]), &There { is_mounted: false, ..there() });
        assert_eq!(mounted[0], "mount binfmt_misc on /proc/sys/fs/binfmt_misc");
        assert_eq!(mounted[1..], expected);
    }

    #[test]
    fn the_flags_are_those_that_are_asked_for_and_that_the_kernel_has() {
        let flags = |asked: &Asked, there: &There| {
            register(asked, there).expect("a plan").registered[0].registration.flags.clone()
        };
        let plain = asked(&["arm64"]);
        assert_eq!(flags(&plain, &there()), "FP");
        assert_eq!(flags(&Asked { credentials: true, ..plain.clone() }, &there()), "FPC");
        assert_eq!(flags(&plain, &There { keeps_argv0: false, ..there() }), "F");
    }

    #[test]
    fn only_our_emulators_get_a_name_that_has_them_start_children() {
        let interpreter = |asked: &Asked, there: &There| {
            register(asked, there).expect("a plan").registered[0].registration.interpreter.clone()
        };
        let with = |change: fn(&mut Emulator)| {
            let mut asked = asked(&["arm64"]);
            let mut emulator = emulator(target("arm64"));
            change(&mut emulator);
            asked.wanted[0].by = By::Emulator(emulator);
            asked
        };
        let ours = with(|_| ());
        assert_eq!(interpreter(&ours, &there()), "/run/anyarch/qemu-aarch64-execve");
        assert_eq!(
            interpreter(&Asked { persist: true, ..ours.clone() }, &there()),
            "/e/qemu-aarch64-execve",
            "what lasts lies where the emulator does"
        );
        assert_eq!(interpreter(&Asked { intercept: false, ..ours.clone() }, &there()), "/e/qemu-aarch64");
        assert_eq!(interpreter(&with(|one| one.is_ours = false), &there()), "/e/qemu-aarch64");
        assert_eq!(interpreter(&with(|one| one.path = "/e/my-execve".into()), &there()), "/e/my-execve");
        assert_eq!(interpreter(&ours, &There { link_folder: None, ..there() }), "/e/qemu-aarch64");
    }

    #[test]
    fn others_are_named_and_replaced_only_on_demand_and_last() {
        let there = There {
            entries: vec![
                entry("qemu-aarch64", AARCH64),
                entry("WSLInterop", "7f454c46"),
                entry("python", "42"),
            ],
            ..there()
        };
        let error = register(&asked(&["riscv64", "arm64"]), &there).expect_err("taken");
        assert!(error.is::<Taken>());
        assert_eq!(
            error.to_string(),
            "programs for arm64 already go to /usr/bin/qemu-aarch64, registered as qemu-aarch64 by the package \
             qemu-user-static\n  to take its place: anyarch register --replace arm64"
        );
        let steps = words(&Asked { replace: true, ..asked(&["arm64"]) }, &there);
        assert_eq!(steps[4..], ["unregister qemu-aarch64 (of the package qemu-user-static)"]);
        assert_eq!(words(&asked(&["riscv64"]), &there).len(), 4);
    }

    #[test]
    fn registering_again_takes_the_emulator_that_is_there_now() {
        let there = There { entries: vec![entry("anyarch-aarch64", AARCH64)], ..there() };
        let steps = words(&asked(&["arm64"]), &there);
        assert_eq!(steps[2..4], ["unregister anyarch-aarch64", "register"]);
        let disabled = There { entries: vec![entry("x", AARCH64)], ..there };
        let mut off = disabled.clone();
        off.entries[0].0.is_enabled = false;
        assert!(register(&asked(&["arm64"]), &disabled).is_err());
        assert!(register(&asked(&["arm64"]), &off).is_ok(), "what is turned off is in nobody's way");
    }

    #[test]
    fn what_the_machine_runs_itself_is_left_alone() {
        let mut asked = asked(&["amd64"]);
        asked.wanted[0].by = By::Machine;
        let there = There { entries: vec![entry("all-programs", "7f454c46")], ..there() };
        let plan = register(&asked, &there).expect("a plan");
        assert_eq!(plan.steps, []);
        assert_eq!(plan.notes, ["amd64: this machine runs its programs itself"]);
    }

    #[test]
    fn what_others_can_change_never_gets_roots_rights() {
        let mut asked = asked(&["arm64"]);
        let why = "user 1000 can change /e/qemu-aarch64".to_owned();
        asked.wanted[0].by =
            By::Emulator(Emulator { changeable: Some(why.clone()), ..emulator(target("arm64")) });
        assert!(register(&asked, &there()).expect("a plan").notes[0].contains(&why));
        let asked = Asked { credentials: true, ..asked };
        assert_eq!(register(&asked, &There { is_machine: false, ..there() }).expect("a plan").notes, [""; 0]);
        let error = register(&asked, &there()).expect_err("refused");
        assert!(error.is::<Usage>() && error.to_string().contains(&why), "{error}");
    }

    #[test]
    fn what_lasts_wants_something_that_registers_at_boot() {
        let asked = Asked { persist: true, ..asked(&["arm64"]) };
        let steps = words(&asked, &there());
        assert_eq!(steps.last().expect("steps"), "write /nowhere/etc/binfmt.d/zz-anyarch-aarch64.conf");
        let error = register(&asked, &There { system: None, ..there() }).expect_err("none");
        assert!(error.to_string().contains("neither systemd"), "{error}");
    }

    #[test]
    fn unregistering_takes_out_ours_and_nothing_else() {
        let there = There {
            entries: vec![entry("anyarch-aarch64", AARCH64), entry("qemu-aarch64", AARCH64)],
            ..there()
        };
        let plan = unregister(&[target("arm64"), target("arm")], &there);
        assert_eq!(plan.steps, [Step::Unregister { name: "anyarch-aarch64".to_owned(), owner: None }]);
        assert_eq!(
            plan.notes,
            ["arm64", "arm/v7"][1..]
                .iter()
                .map(|name| format!("{name}: we have not registered it"))
                .collect::<Vec<_>>()
        );
    }
}
