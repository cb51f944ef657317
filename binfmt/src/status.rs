//! `status`: which programs run here, and who has registered what.

use crate::Setting;
use crate::emulator;
use crate::look::{self, Wanting};
use crate::persist;
use crate::place::{Cause, Circumstances, FOLDER, Mounted, Scope};
use crate::podman;
use crate::table::Entry;
use crate::tiny::{self, Runs};
use anyarch_manifest::target::{TARGETS, Target};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

/// Show which programs run here, and who has registered what
///
/// Each is tried: a small program of the target runs, or it does not.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  anyarch status
  anyarch status --podman")]
pub struct StatusArgs {
    /// In your own podman's namespace
    #[arg(long)]
    pub podman: bool,
    /// Taken for what `--podman` says inside; the namespace that this runs in is shown in any case
    #[arg(long, hide = true)]
    pub user: bool,
    /// Root folder of the system's files [default: /]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// What runs here. The first two are what tools read that tonistiigi/binfmt prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Docker's platforms whose programs run, the machine's own first.
    pub supported: Vec<String>,
    /// The names of all registrations, others' too.
    pub emulators: Vec<String>,
    /// The registrations for programs of other machines.
    pub details: Vec<Detail>,
}

/// A registration, for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Its name.
    pub name: String,
    /// QEMU's name of the target.
    pub target: &'static str,
    /// Docker's platform, if it has a name for it.
    pub platform: Option<String>,
    /// The emulator's release, if it is an installed one of ours.
    pub release: Option<String>,
    /// What is registered.
    pub interpreter: PathBuf,
    /// One letter each.
    pub flags: String,
    /// Who has registered it, as far as anything tells.
    pub owner: Option<String>,
    /// For whom.
    pub scope: Scope,
    /// The file that registers it at boot.
    pub persistent: Option<PathBuf>,
    /// Whether a program of the target was just run by an emulator.
    pub runs: bool,
}

/// Looks, tries, and prints: a table, or JSON.
///
/// # Errors
/// When `/proc` is missing, the table cannot be read, or nothing can be printed.
pub fn run(setting: &Setting<'_>, arguments: &StatusArgs) -> Result<()> {
    if arguments.podman {
        return podman::run_inside();
    }
    let circumstances = Circumstances::look()?;
    let root = arguments.root.as_deref();
    let status = look(&circumstances, root.unwrap_or(Path::new("/")))?;
    if circumstances.mounted == Mounted::Nothing {
        setting.progress.say(&format!("binfmt_misc is not mounted on {FOLDER}: nothing can be seen of it"));
    } else if circumstances.is_disabled {
        setting.progress.say(&Cause::Disabled.obstacle(circumstances.linux).to_string());
    }
    let text = match setting.json {
        true => serde_json::to_string_pretty(&status).context("cannot write JSON")?,
        false => status.to_string().trim_end().to_owned(),
    };
    writeln!(stdout(), "{text}").context("cannot print what is registered")
}

/// What runs here, tried now.
///
/// # Errors
/// When the table cannot be read, or no process can be made.
pub fn look(circumstances: &Circumstances, root: &Path) -> Result<Status> {
    let scope = circumstances.visible_scope();
    let wanting = Wanting { user: scope == Scope::UserNamespace, root: Some(root) };
    let there = look::there(circumstances, &wanting, None)?;
    let mut runs = BTreeMap::new();
    for target in TARGETS {
        runs.insert(target.name, tiny::by_kernel(target)?);
    }
    let is = |target: &Target, how: &Runs| runs.get(target.name) == Some(how);
    let platforms = |how: Runs| {
        let targets = TARGETS.iter().filter(move |target| is(target, &how));
        targets.flat_map(|target| target.platforms).map(|platform| format!("linux/{platform}"))
    };
    let mut supported: Vec<String> = platforms(Runs::Natively).collect();
    // This program's own comes first, with its levels.
    let own = look::own_target()?;
    supported.sort_by_key(|name| Target::find(name) != own);
    if supported.first().is_some_and(|first| first == "linux/amd64") {
        supported.splice(1..1, levels().iter().map(|level| format!("linux/amd64/{level}")));
    }
    supported.extend(platforms(Runs::Emulated));
    let details = there.entries.iter().flat_map(|(entry, owner)| {
        let claimed = TARGETS.iter().filter(|target| entry.claims(target));
        claimed.map(|target| {
            let runs = entry.is_enabled && is(target, &Runs::Emulated);
            detail(entry, owner.as_ref(), target, scope, root, runs)
        })
    });
    Ok(Status {
        supported,
        emulators: there.entries.iter().map(|(entry, _)| entry.name.clone()).collect(),
        details: details.collect(),
    })
}

fn detail(
    entry: &Entry,
    owner: Option<&String>,
    target: &Target,
    scope: Scope,
    root: &Path,
    runs: bool,
) -> Detail {
    Detail {
        name: entry.name.clone(),
        target: target.name,
        platform: target.platforms.first().map(|platform| format!("linux/{platform}")),
        release: emulator::release(target, &entry.interpreter),
        interpreter: entry.interpreter.clone(),
        flags: entry.flags.clone(),
        owner: owner.cloned(),
        scope,
        persistent: persist::persistent(root, &entry.name),
        runs,
    }
}

/// The levels of x86-64 that this processor has, which Docker takes for variants.
#[cfg(target_arch = "x86_64")]
fn levels() -> Vec<&'static str> {
    use std::is_x86_feature_detected as has;
    let v2 = has!("sse4.2") && has!("ssse3") && has!("popcnt") && has!("cmpxchg16b");
    let v3 =
        v2 && has!("avx2") && has!("bmi1") && has!("bmi2") && has!("fma") && has!("lzcnt") && has!("movbe");
    let v4 =
        v3 && has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    [(v2, "v2"), (v3, "v3"), (v4, "v4")].into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn levels() -> Vec<&'static str> {
    Vec::new()
}

impl fmt::Display for Status {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "programs run for: {}", self.supported.join(" "))?;
        for one in &self.details {
            let known = |text: Option<&str>| text.unwrap_or("unknown").to_owned();
            writeln!(
                to,
                "\n{}: {}, {}",
                one.name,
                one.target,
                if one.runs { "runs" } else { "does not run" }
            )?;
            writeln!(to, "  emulator    {} ({})", one.interpreter.display(), known(one.release.as_deref()))?;
            writeln!(to, "  flags       {}", one.flags)?;
            writeln!(to, "  by          {}", known(one.owner.as_deref()))?;
            let scope = match one.scope {
                Scope::Machine => "the machine",
                Scope::UserNamespace => "this user namespace",
            };
            writeln!(to, "  for         {scope}")?;
            let kept = one.persistent.as_ref().map(|path| path.display().to_string());
            writeln!(to, "  at boot     {}", kept.as_deref().unwrap_or("no"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let detail = Detail {
            name: "anyarch-aarch64".to_owned(),
            target: "aarch64",
            platform: Some("linux/arm64".to_owned()),
            release: None,
            interpreter: "/run/anyarch/qemu-aarch64-execve".into(),
            flags: "PF".to_owned(),
            owner: Some("anyarch".to_owned()),
            scope: Scope::UserNamespace,
            persistent: None,
            runs: true,
        };
        let emulators = vec!["anyarch-aarch64".to_owned(), "python3.11".to_owned()];
        Status { supported: vec!["linux/amd64".to_owned()], emulators, details: vec![detail] }
    }

    #[test]
    fn tools_find_the_keys_that_they_know_and_ours_beside_them() {
        let json = serde_json::to_value(status()).expect("JSON");
        assert_eq!(json["supported"][0], "linux/amd64");
        assert_eq!(json["emulators"][1], "python3.11");
        let detail = json["details"][0].as_object().expect("an object");
        let keys: Vec<&str> = detail.keys().map(String::as_str).collect();
        let known = "name target platform release interpreter flags owner scope persistent runs";
        assert_eq!(keys.join(" "), known);
        assert_eq!(
            (&detail["scope"], &detail["persistent"]),
            (&"user-namespace".into(), &serde_json::Value::Null)
        );
    }

    #[test]
    fn people_read_what_runs_and_whose_it_is() {
        let text = status().to_string();
        for line in
            ["anyarch-aarch64: aarch64, runs", "  for         this user namespace", "  at boot     no"]
        {
            assert!(text.lines().any(|said| said == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_machines_own_programs_are_supported_first() {
        let circumstances = Circumstances::look().expect("seen");
        let status = look(&circumstances, Path::new("/nowhere")).expect("seen");
        let first = Target::find(&status.supported[0]).expect("a platform");
        assert_eq!(first.name, std::env::consts::ARCH);
    }
}
