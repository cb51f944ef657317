//! What would be done. Pure: it reads the data files and nothing else, so it can be printed, tested
//! and carried out later.

use crate::exit::Usage;
use crate::facts::{Host, Series, Target};
use crate::progress::count;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// How emulators are compiled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// What ships: optimised, stripped.
    #[default]
    Release,
    /// For work on QEMU: quick to build, with assertions and symbols.
    Dev,
    /// For proofs: ends at a wrong access to memory and at undefined behaviour. It wants the machine's
    /// own C library, so it is dynamic, and it is never packed.
    Sanitized,
}

impl Profile {
    /// Its name in folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
            Self::Sanitized => "sanitized",
        }
    }

    /// What QEMU's configure is told.
    pub fn configure(self) -> &'static [&'static str] {
        match self {
            Self::Release => &["--disable-debug-info"],
            Self::Dev => &["--enable-debug-info", "--enable-debug-tcg", "-Doptimization=1"],
            Self::Sanitized => {
                &["--enable-asan", "--enable-ubsan", "--enable-debug-info", "-Doptimization=1"]
            }
        }
    }

    /// Whether its emulators need nothing of the machine that they run on.
    pub fn is_static(self) -> bool {
        self != Self::Sanitized
    }
}

/// What somebody asks for, in their words.
#[derive(Debug, Clone)]
pub struct Request {
    /// Targets by any name, or `all`.
    pub targets: Vec<String>,
    /// Hosts by any name, `native` or `all`.
    pub hosts: Vec<String>,
    /// The series.
    pub series: String,
    /// How to compile.
    pub profile: Profile,
}

/// What is going to be made.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// `10.2.2-1`, and `10.2.2-1-dev` for the dev profile.
    pub release: String,
    /// How it is compiled.
    pub profile: Profile,
    /// What it is made from.
    pub series: Series,
    /// One build tree a host.
    pub trees: Vec<TreePlan>,
    /// What was asked for with `all`, and can't be.
    pub impossible: Vec<Impossible>,
}

/// A build tree: a host and the targets that are built in it.
#[derive(Debug, Clone, Serialize)]
pub struct TreePlan {
    /// What the emulators run on.
    pub host: Host,
    /// What is built now.
    pub targets: Vec<Target>,
    /// What the tree is configured for: all targets of the series. Bytes do depend on this list,
    /// so it does not follow from what is asked for today.
    pub configured: Vec<Target>,
}

/// A pair that no build can make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Impossible {
    /// The target's name.
    pub target: String,
    /// The host's name.
    pub host: String,
    /// Why, and what to do instead.
    pub reason: String,
}

impl Plan {
    /// Makes the plan for a request, or says what is wrong with the request.
    pub fn make(workspace: &Workspace, request: &Request) -> Result<Self> {
        let series = Series::read(&workspace.root.join("patches"), &request.series)?;
        let known = Host::all(&workspace.root.join("toolchains"))?;
        let hosts = select_hosts(&request.hosts, &known)?;
        let targets = select_targets(&request.targets, &series)?;
        let configured = series.targets()?;
        let trees = hosts.iter().map(|host| TreePlan {
            host: host.clone(),
            targets: targets.clone(),
            configured: configured.clone(),
        });
        Ok(Self {
            release: match request.profile {
                Profile::Release => series.release(),
                // Nothing that is made for work on QEMU may pass for a release.
                other => format!("{}-{}", series.release(), other.name()),
            },
            profile: request.profile,
            trees: trees.collect(),
            impossible: impossible(&request.targets, &hosts, &series),
            series,
        })
    }

    /// How many emulators it makes.
    pub fn pairs(&self) -> usize {
        self.trees.iter().map(|tree| tree.targets.len()).sum()
    }

    /// The plan as people read it.
    pub fn table(&self) -> String {
        let mut text = format!(
            "release {} (QEMU {} with {} of ours, {} profile): {}\n",
            self.release,
            self.series.pins.tag,
            count(self.series.patches.len(), "change"),
            self.profile.name(),
            count(self.pairs(), "emulator")
        );
        let rows =
            self.trees.iter().flat_map(|tree| tree.targets.iter().map(move |target| (target, &tree.host)));
        let _ = writeln!(text, "{:<14} {:<8} tarball", "target", "host");
        for (target, host) in rows {
            let _ = writeln!(
                text,
                "{:<14} {:<8} {}",
                target.name,
                host.platform,
                tarball(target, &self.release, host)
            );
        }
        for none in &self.impossible {
            let _ = writeln!(text, "{:<14} {:<8} not possible: {}", none.target, none.host, none.reason);
        }
        text
    }
}

/// The name of a pair's tarball.
pub fn tarball(target: &Target, release: &str, host: &Host) -> String {
    format!("qemu-{}-{release}-linux-{}.tar.xz", target.name, host.file_name())
}

fn select_hosts(names: &[String], known: &[Host]) -> Result<Vec<Host>> {
    let mut hosts: Vec<Host> = Vec::new();
    for name in names {
        let named = if name == "all" { known.to_vec() } else { vec![Host::named(name, known)?.clone()] };
        for host in named {
            if !hosts.iter().any(|seen| seen.platform == host.platform) {
                hosts.push(host);
            }
        }
    }
    Ok(hosts)
}

fn select_targets(names: &[String], series: &Series) -> Result<Vec<Target>> {
    let has = series.targets()?;
    let mut targets = Vec::new();
    for name in names {
        if name == "all" {
            targets.extend(&has);
            continue;
        }
        let target =
            if name == "native" { Target::named(std::env::consts::ARCH)? } else { Target::named(name)? };
        if !has.contains(&target) {
            let reason = series.pins.left_out.get(target.name);
            let reason = reason.map_or("QEMU has it in other series only", String::as_str);
            bail!(Usage(format!("QEMU {} has no target {}: {reason}", series.pins.series, target.name)));
        }
        targets.push(target);
    }
    // QEMU's order, each once, however they were asked for.
    Ok(has.into_iter().filter(|target| targets.contains(target)).collect())
}

fn impossible(names: &[String], hosts: &[Host], series: &Series) -> Vec<Impossible> {
    if !names.iter().any(|name| name == "all") {
        return Vec::new();
    }
    let pair = |host: &Host, target: &String, reason: &String| Impossible {
        target: target.clone(),
        host: host.platform.clone(),
        reason: reason.clone(),
    };
    let left_out = &series.pins.left_out;
    hosts.iter().flat_map(|host| left_out.iter().map(|(target, reason)| pair(host, target, reason))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn plan(targets: &[&str], hosts: &[&str]) -> Result<Plan> {
        let workspace = Workspace {
            root: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
            cache: PathBuf::new(),
            trees: PathBuf::new(),
            out: PathBuf::new(),
        };
        let request = Request {
            targets: targets.iter().map(|name| (*name).to_owned()).collect(),
            hosts: hosts.iter().map(|name| (*name).to_owned()).collect(),
            series: crate::facts::series::DEFAULT.to_owned(),
            profile: Profile::Release,
        };
        Plan::make(&workspace, &request)
    }

    #[test]
    fn all_targets_of_the_default_series_are_thirty_three() {
        let plan = plan(&["all"], &["amd64"]).expect("a plan");
        assert_eq!(plan.pairs(), 33);
        assert!(
            plan.impossible.iter().any(|none| none.target == "cris" && none.reason.contains("up to 9.1"))
        );
    }

    #[test]
    fn a_target_is_planned_once_whatever_it_is_called() {
        let plan = plan(&["riscv64", "arm64", "aarch64"], &["amd64", "linux/amd64"]).expect("a plan");
        let names: Vec<_> = plan.trees[0].targets.iter().map(|target| target.name).collect();
        assert_eq!(names, ["aarch64", "riscv64"]);
        assert_eq!(plan.trees.len(), 1);
    }

    #[test]
    fn what_a_tree_is_configured_for_does_not_follow_from_what_is_asked_for() {
        let one = plan(&["aarch64"], &["amd64"]).expect("a plan");
        let all = plan(&["all"], &["amd64"]).expect("a plan");
        assert_eq!(one.trees[0].configured, all.trees[0].configured);
    }

    #[test]
    fn a_tarball_says_what_it_is() {
        let plan = plan(&["aarch64"], &["amd64"]).expect("a plan");
        let name = tarball(&plan.trees[0].targets[0], &plan.release, &plan.trees[0].host);
        assert_eq!(name, format!("qemu-aarch64-{}-linux-amd64.tar.xz", plan.release));
        assert!(plan.table().contains(&name));
    }

    #[test]
    fn a_request_that_cannot_be_is_wrong_use() {
        for (targets, hosts) in [(["aarch46"], ["amd64"]), (["cris"], ["amd64"]), (["arm"], ["amd46"])] {
            let error = plan(&targets, &hosts).expect_err("refused");
            assert_eq!(crate::exit::code(&error), 2, "{error:#}");
        }
    }
}
