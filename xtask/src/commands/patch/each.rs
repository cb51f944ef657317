//! `patch check --each`: every commit of a series compiles and works.

use super::super::print;
use super::CheckArgs;
use crate::compile::PartialBuild;
use crate::facts::Target;
use crate::patch::{PartialTree, PatchTrial, each};
use crate::plan::{Plan, Profile, Request, TreePlan};
use crate::session::{BuildSession, Session};
use crate::source::PinnedSource;
use crate::{toolchain, verify};
use anyarch_client::error::Usage;
use anyarch_client::hash;
use anyhow::{Context as _, Result};

/// What is seen of a patch that adds files which only a later one has compiled, or changes none that is compiled:
/// that it compiles says little, and it can't work in another way than the one before.
const SAME: &str = "the emulator is as before";

/// What is built after each patch.
pub struct Each {
    plan: Plan,
    tree: TreePlan,
    target: Target,
}

impl Each {
    /// Says what is wrong with the request before anything is downloaded.
    pub fn plan(session: &Session, arguments: &CheckArgs) -> Result<Self> {
        toolchain::can_call(&arguments.tooling)?;
        let plan = Plan::make(&session.workspace, &request(arguments))?;
        let (tree, target) = one_target(&plan)?;
        Ok(Self { plan, tree, target })
    }

    /// Builds and runs an emulator after each patch, in one tree. As each is done, a line tells of it.
    pub fn run(&self, session: &BuildSession, pinned: &PinnedSource) -> Result<Vec<PatchTrial>> {
        let Self { plan, tree, target } = self;
        let toolchain = toolchain::prepare(session, tree.host(), plan.series(), plan.tooling())?;
        let mut source = PartialTree::unpatched(session, plan.series(), pinned)?;
        let build = PartialBuild::open(session, plan, tree, &source, &toolchain)?;
        let mut last = None;
        each(
            &mut source,
            &plan.series().patches,
            PartialTree::add,
            |source| {
                let emulator = build.compile(*target, source)?;
                let bytes = hash::sha256_file(emulator.path())?;
                if last.replace(bytes.clone()) == Some(bytes) {
                    return Ok(SAME.to_owned());
                }
                verify::partial(session, plan.series(), &emulator)
                    .with_context(|| format!("its {} does not work", target.emulator()))
            },
            |tried| if session.json { Ok(()) } else { print(line(tried, plan).as_bytes()) },
        )
    }
}

fn request(arguments: &CheckArgs) -> Request {
    Request {
        targets: vec![arguments.target.clone()],
        // What is built must be run here.
        hosts: vec!["native".to_owned()],
        series: arguments.source.series.clone(),
        profile: Profile::Release,
        tooling: arguments.tooling.clone(),
    }
}

/// The plan's only target, and its tree.
fn one_target(plan: &Plan) -> Result<(TreePlan, Target)> {
    match plan.trees() {
        [tree] if tree.targets().len() == 1 => Ok((tree.clone(), tree.targets()[0])),
        _ => Err(Usage("--each builds one target: pass one with --target".into()).into()),
    }
}

fn line(tried: &PatchTrial, plan: &Plan) -> String {
    let what = match &tried.patch {
        Some(patch) => patch.clone(),
        None => format!("QEMU {} without patches", plan.series().pins.version),
    };
    format!("{what}: compiles, {} ({:.0} s)\n", tried.seen, tried.seconds)
}
