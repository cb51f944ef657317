//! What would be done. Pure: it reads the data files and nothing else, so it can be printed, tested
//! and carried out later.

use crate::facts::series::Pins;
use crate::facts::{Host, Series, Target, native};
use crate::toolchain::ToolchainOptions;
use crate::workspace::Workspace;
use anyarch_client::error::Usage;
use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Build profile: how emulators are compiled.
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
    /// Name of the profile, as it is used in paths and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
            Self::Sanitized => "sanitized",
        }
    }

    /// Options of QEMU's configure for this profile.
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

/// A request from the command line, before names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Targets by any name, or `all`.
    pub targets: Vec<String>,
    /// Hosts by any name, `native` or `all`.
    pub hosts: Vec<String>,
    /// The series.
    pub series: String,
    /// Build profile.
    pub profile: Profile,
    /// How compilers are run: on this machine or in a container, through a cache or a cluster.
    pub tooling: ToolchainOptions,
}

/// What will be built. Only [`Plan::make`] makes one.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    release: String,
    profile: Profile,
    tooling: ToolchainOptions,
    series: Series,
    trees: Vec<TreePlan>,
    /// The emulators of this machine that run those for other hosts, so that these can be proven here: a plan with
    /// one tree, of this series or of a newer one.
    runners: Option<Box<Self>>,
    impossible: Vec<Impossible>,
}

/// A build tree: a host and the targets that are built in it. It comes from a [`Plan`].
#[derive(Debug, Clone, Serialize)]
pub struct TreePlan {
    host: Host,
    targets: Vec<Target>,
    configured: Vec<Target>,
}

/// A pair of target and host that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Impossible {
    /// The target's name.
    pub target: String,
    /// The host's name.
    pub host: String,
    /// Why it cannot be built, and what to do instead.
    pub reason: String,
}

impl Plan {
    /// Makes the plan for a request, or says what is wrong with the request.
    pub fn make(workspace: &Workspace, request: &Request) -> Result<Self> {
        let patches = workspace.root.join("patches");
        let series = Series::read(&patches, &request.series)?;
        let known = Host::all(&workspace.root.join("toolchains"))?;
        let hosts = select_hosts(&request.hosts, &known)?;
        let left_out = left_out(&series, &patches)?;
        let targets = select_targets(&request.targets, &series, &left_out)?;
        if request.profile == Profile::Sanitized {
            can_be_sanitized(&series, &hosts)?;
        }
        let limits = Limits::of(&series, &patches)?;
        let mut impossible = Vec::new();
        let mut trees = Vec::new();
        for host in &hosts {
            let (possible, not) = limits.split(&targets, host);
            impossible.extend(not);
            if request.targets.iter().any(|name| name == "all") {
                impossible.extend(left_out.iter().map(|(name, reason)| Impossible::new(name, host, reason)));
            }
            if !possible.is_empty() {
                trees.push(TreePlan::new(host, possible, &series, &limits)?);
            }
        }
        let asked_by_name = |names: &[String]| !names.iter().any(|name| name == "all");
        if let Some(first) = impossible.first()
            && (trees.is_empty() || asked_by_name(&request.targets) && asked_by_name(&request.hosts))
        {
            bail!(Usage(format!("no qemu-{} for {}: {}", first.target, first.host, first.reason)));
        }
        let runners = runners(workspace, request, &series, &trees, &known)?;
        Ok(Self { runners, impossible, ..Self::of(request, series, trees) })
    }

    fn of(request: &Request, series: Series, trees: Vec<TreePlan>) -> Self {
        Self {
            release: release(&series, request.profile),
            profile: request.profile,
            tooling: request.tooling.clone(),
            series,
            trees,
            runners: None,
            impossible: Vec::new(),
        }
    }

    /// `10.2.2-1`, and `10.2.2-1-dev` for the dev profile.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// How it is compiled.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// How compilers are run: on this machine or in a container, through a cache or a cluster.
    pub fn tooling(&self) -> &ToolchainOptions {
        &self.tooling
    }

    /// The series that it is built from, with its patches.
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// One build tree a host.
    pub fn trees(&self) -> &[TreePlan] {
        &self.trees
    }

    /// Pairs that `all` includes but that cannot be built.
    pub fn impossible(&self) -> &[Impossible] {
        &self.impossible
    }

    /// The tree whose emulators run those for other hosts, with the plan that it belongs to.
    pub fn runners(&self) -> Option<(&Self, &TreePlan)> {
        let plan = self.runners.as_deref()?;
        plan.trees.first().map(|tree| (plan, tree))
    }

    /// Whether its own series has what runs its emulators for other hosts.
    pub fn runs_its_own(&self) -> bool {
        self.runners().is_none_or(|(plan, _)| plan.series.pins.series == self.series.pins.series)
    }

    /// Whether one of this machine's emulators runs programs of another host.
    pub fn runs(&self, host: &Host) -> bool {
        let Some((_, tree)) = self.runners() else { return false };
        host.as_target().is_ok_and(|wanted| tree.targets.contains(&wanted))
    }

    /// How many emulators it makes.
    pub fn pairs(&self) -> usize {
        self.trees.iter().map(|tree| tree.targets.len()).sum()
    }
}

impl TreePlan {
    fn new(host: &Host, targets: Vec<Target>, series: &Series, limits: &Limits) -> Result<Self> {
        let (configured, _) = limits.split(&series.targets()?, host);
        Ok(Self { host: host.clone(), targets, configured })
    }

    /// Host that the emulators run on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Targets to build now.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Targets that the tree is configured for: all that the series has for this host. The bytes of an
    /// emulator depend on this list, so it does not depend on the request.
    pub fn configured(&self) -> &[Target] {
        &self.configured
    }
}

/// What runs the emulators of these trees that are for other hosts than this machine; none where this
/// machine is no host itself, or the series that runs them lacks the target.
fn runners(
    workspace: &Workspace,
    request: &Request,
    series: &Series,
    trees: &[TreePlan],
    known: &[Host],
) -> Result<Option<Box<Plan>>> {
    let Some(native) = known.iter().find(|host| host.is_native()) else { return Ok(None) };
    let mut wanted = Vec::new();
    for tree in trees.iter().filter(|tree| !tree.host.is_native()) {
        wanted.push(tree.host.as_target()?);
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let patches = workspace.root.join("patches");
    let other = series.pins.build.runners.as_ref().map(|name| Series::read(&patches, name)).transpose()?;
    let series = other.unwrap_or_else(|| series.clone());
    let limits = Limits::of(&series, &patches)?;
    let (targets, _) = limits.split(&series.targets()?, native);
    let targets: Vec<Target> = targets.into_iter().filter(|target| wanted.contains(target)).collect();
    if targets.is_empty() {
        return Ok(None);
    }
    let tree = TreePlan::new(native, targets, &series, &limits)?;
    Ok(Some(Box::new(Plan::of(request, series, vec![tree]))))
}

/// Which targets a series has for a host.
struct Limits {
    /// Why a host of 32 bits has none of 64, if so.
    narrow_lacks: Option<String>,
    /// Why some hosts have none at all.
    hosts: BTreeMap<String, String>,
}

impl Limits {
    fn of(series: &Series, patches: &Path) -> Result<Self> {
        let Pins { series, build, left_out_hosts, .. } = &series.pins;
        let mut hosts = BTreeMap::new();
        for (host, reason) in left_out_hosts {
            let which = which_series(patches, "it", |pins| !pins.left_out_hosts.contains_key(host))?;
            hosts.insert(host.clone(), format!("{reason}; {which}"));
        }
        let narrow_lacks = if build.wide_on_narrow {
            None
        } else {
            let which = which_series(patches, "them", |pins| pins.build.wide_on_narrow)?;
            Some(format!("QEMU {series} has no 64-bit targets on 32-bit hosts; {which}"))
        };
        Ok(Self { narrow_lacks, hosts })
    }

    /// The targets that a host can have, and those that it can't.
    fn split(&self, targets: &[Target], host: &Host) -> (Vec<Target>, Vec<Impossible>) {
        if let Some(reason) = self.hosts.get(&host.platform) {
            let lacks = targets.iter().map(|target| Impossible::new(target.name, host, reason));
            return (Vec::new(), lacks.collect());
        }
        let Some(reason) = self.narrow_lacks.as_ref().filter(|_| host.elf.bits == 32) else {
            return (targets.to_vec(), Vec::new());
        };
        let (wide, narrow): (Vec<Target>, Vec<Target>) = targets.iter().partition(|target| target.bits > 32);
        let lacks = wide.iter().map(|target| Impossible::new(target.name, host, reason));
        (narrow, lacks.collect())
    }
}

/// Which series of this checkout can do something, and what to say to get one.
fn which_series(patches: &Path, what: &str, can: impl Fn(&Pins) -> bool) -> Result<String> {
    let mut able = Vec::new();
    for name in Series::names(patches)? {
        if can(&Series::pins(patches, &name)?) {
            able.push(name);
        }
    }
    Ok(match &able[..] {
        [] => format!("no series of this checkout has {what}"),
        [one] => format!("{one} has {what}: --qemu {one}"),
        [.., last] => format!("{} have {what}: --qemu {last}", able.join(" and ")),
    })
}

impl Impossible {
    fn new(target: &str, host: &Host, reason: &str) -> Self {
        Self { target: target.to_owned(), host: host.platform.clone(), reason: reason.to_owned() }
    }
}

/// Sanitized emulators are dynamic, and so only for this machine.
fn can_be_sanitized(series: &Series, hosts: &[Host]) -> Result<()> {
    if let Some(host) = hosts.iter().find(|host| !host.is_native()) {
        bail!(Usage(format!(
            "sanitized emulators need the libraries of the machine that builds them: not possible for {}",
            host.platform
        )));
    }
    if !series.pins.build.sanitizers {
        let name = &series.pins.series;
        bail!(Usage(format!("QEMU {name} cannot be built sanitized here; newer series can")));
    }
    Ok(())
}

/// The name of what is made from a series.
pub fn release(series: &Series, profile: Profile) -> String {
    match profile {
        Profile::Release => series.release(),
        // Nothing that is made for work on QEMU may pass for a release.
        other => format!("{}-{}", series.release(), other.name()),
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
    // This machine's own first: its emulators prove the others.
    hosts.sort_by_key(|host| !host.is_native());
    Ok(hosts)
}

fn select_targets(
    names: &[String],
    series: &Series,
    left_out: &BTreeMap<String, String>,
) -> Result<Vec<Target>> {
    let has = series.targets()?;
    let mut targets = Vec::new();
    for name in names {
        if name == "all" {
            targets.extend(&has);
            continue;
        }
        let target = Target::named(if name == "native" { native()? } else { name })?;
        if !has.contains(&target) {
            let reason = left_out.get(target.name);
            let reason = reason.map_or("only other series of QEMU have it", String::as_str);
            bail!(Usage(format!("QEMU {} has no target {}: {reason}", series.pins.series, target.name)));
        }
        targets.push(target);
    }
    // QEMU's order, each once, however they were asked for.
    Ok(has.into_iter().filter(|target| targets.contains(target)).collect())
}

/// Targets of other series that somebody who says `all` may miss, each with the reason and the series that has it.
fn left_out(series: &Series, patches: &Path) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for (target, reason) in &series.pins.left_out {
        let which = which_series(patches, "it", |pins| pins.build.targets.contains(target))?;
        all.insert(target.clone(), format!("{reason}; {which}"));
    }
    Ok(all)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    /// This checkout, and no other folders.
    pub fn workspace() -> Workspace {
        Workspace {
            root: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
            cache: PathBuf::new(),
            trees: PathBuf::new(),
            out: PathBuf::new(),
        }
    }

    pub fn request(targets: &[&str], hosts: &[&str]) -> Request {
        Request {
            targets: targets.iter().map(|name| (*name).to_owned()).collect(),
            hosts: hosts.iter().map(|name| (*name).to_owned()).collect(),
            series: crate::facts::series::DEFAULT.to_owned(),
            profile: Profile::Release,
            tooling: ToolchainOptions::default(),
        }
    }

    fn plan(targets: &[&str], hosts: &[&str]) -> Result<Plan> {
        Plan::make(&workspace(), &request(targets, hosts))
    }

    #[test]
    fn all_targets_of_the_default_series_are_thirty_three() {
        let plan = plan(&["all"], &["amd64"]).expect("a plan");
        assert_eq!(plan.pairs(), 33);
    }

    #[test]
    fn a_target_that_only_another_series_has_is_told_with_that_series() {
        for series in ["10.0", "10.2", "11.0"] {
            let all = Request { series: series.into(), ..request(&["all"], &["amd64"]) };
            let plan = Plan::make(&workspace(), &all).expect("a plan");
            for (target, last) in [("cris", "9.1"), ("nios2", "9.0")] {
                let told = format!("QEMU has it up to {last}; 7.2 has it: --qemu 7.2");
                let none = plan.impossible.iter().find(|none| none.target == target);
                assert_eq!(none.map(|none| none.reason.as_str()), Some(told.as_str()), "{series}");
                let one = Request { series: series.into(), ..request(&[target], &["amd64"]) };
                let error = Plan::make(&workspace(), &one).expect_err("refused").to_string();
                assert!(error.ends_with(&told), "{error}");
            }
        }
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
    }

    #[test]
    fn a_request_that_cannot_be_is_wrong_use() {
        let requests = [
            ("aarch46", "amd64"),
            ("cris", "amd64"),
            ("arm", "amd46"),
            ("x86_64", "arm/v7"),
            ("s390x", "386"),
        ];
        for (target, host) in requests {
            let (targets, hosts) = ([target], [host]);
            let error = plan(&targets, &hosts).expect_err("refused");
            assert_eq!(crate::error::code(&error), 2, "{error:#}");
        }
    }

    #[test]
    fn a_32_bit_host_has_no_64_bit_targets_and_the_plan_says_which_series_has() {
        let plan = plan(&["all"], &["arm/v7"]).expect("a plan");
        assert!(plan.trees[0].targets.iter().all(|target| target.bits == 32));
        let none = plan.impossible.iter().find(|none| none.target == "x86_64").expect("not possible");
        assert!(none.reason.contains("--qemu 7.2"), "{}", none.reason);
        let old = Request { series: "7.2".into(), ..request(&["all"], &["all"]) };
        let plan = Plan::make(&workspace(), &old).expect("a plan");
        let hosts = Host::all(&workspace().root.join("toolchains")).expect("hosts").len();
        let hosts = hosts - plan.series.pins.left_out_hosts.len();
        assert!(hosts >= 10, "{:?}", plan.impossible);
        assert_eq!(plan.pairs(), 35 * hosts, "with 7.2 every host gets every target");
    }

    #[test]
    fn a_host_that_a_series_lacks_is_told_with_the_newest_one_that_has_it() {
        let error = plan(&["arm"], &["mipsle"]).expect_err("10.2 has no such host");
        assert_eq!(crate::error::code(&error), 2);
        let told = "no qemu-arm for mipsle: QEMU 10.2 has no 32-bit MIPS hosts; 10.0 has it: --qemu 10.0";
        assert_eq!(error.to_string(), told);
        let all = plan(&["arm"], &["all"]).expect("the others");
        assert!(all.trees.iter().all(|tree| tree.host.platform != "mipsle"));
        assert_eq!(all.impossible.len(), 1, "{:?}", all.impossible);
        let old = Request { series: "10.0".into(), ..request(&["all"], &["mipsle"]) };
        let plan = Plan::make(&workspace(), &old).expect("a plan");
        assert!(plan.pairs() > 0 && plan.trees[0].targets.iter().all(|target| target.bits == 32));
        for host in ["386", "arm/v6", "arm/v7"] {
            let new = Request { series: "11.0".into(), ..request(&["arm"], &[host]) };
            let error = Plan::make(&workspace(), &new).expect_err("11.0 has no 32-bit hosts").to_string();
            assert!(error.contains("QEMU 11.0 has no 32-bit hosts; "), "{error}");
            assert!(error.ends_with("10.2 have it: --qemu 10.2"), "{error}");
        }
    }

    #[test]
    fn emulators_for_other_hosts_are_proven_by_this_machines_own() {
        let plan = plan(&["arm", "sh4"], &["arm64", "arm/v6", "arm/v7"]).expect("a plan");
        let names = |tree: &TreePlan| tree.targets.iter().map(|target| target.name).collect::<Vec<_>>();
        if std::env::consts::ARCH == "x86_64" {
            let (of, tree) = plan.runners().expect("runners");
            assert_eq!((tree.host.platform.as_str(), names(tree)), ("amd64", vec!["aarch64", "arm"]));
            assert!(of.series.pins.series == "10.2" && plan.runs_its_own());
        }
        assert_eq!(plan.trees.len(), 3);
        assert!(plan.trees.iter().all(|tree| names(tree) == ["arm", "sh4"]));
    }

    #[test]
    fn a_series_may_leave_the_proof_of_other_hosts_to_a_newer_one() {
        let old = Request { series: "7.2".into(), ..request(&["cris"], &["386"]) };
        let plan = Plan::make(&workspace(), &old).expect("a plan");
        if std::env::consts::ARCH == "x86_64" {
            let (of, tree) = plan.runners().expect("runners");
            assert_eq!((of.release.as_str(), tree.targets.len()), ("10.2.2-1", 1));
            assert!(!plan.runs_its_own() && plan.runs(&plan.trees[0].host));
        }
        assert_eq!(plan.release, "7.2.0-1");
    }
}
