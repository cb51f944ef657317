//! The emulator that is measured.

use super::{Setting, plan_with};
use crate::compile::BuildTree;
use crate::facts::{Target, native};
use crate::toolchain::ToolchainOptions;
use anyarch_client::error::Usage;
use anyhow::{Context as _, Result};
use clap::Args;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Options of the measures that run an emulator.
#[derive(Debug, Args)]
pub struct EmulatorOptions {
    /// exec, speed: target of the programs that are run; exec needs a C compiler for it
    #[arg(short, long, value_name = "TARGET", default_value = "aarch64")]
    pub target: String,
    /// exec, speed: measure this emulator instead of building one
    #[arg(long, value_name = "FILE")]
    pub emulator: Option<PathBuf>,
    /// How the emulator is compiled. Other measures compile with this machine's compilers alone.
    #[command(flatten)]
    pub tooling: ToolchainOptions,
}

impl EmulatorOptions {
    /// The target.
    pub fn target(&self) -> Result<Target> {
        Ok(Target::named(&self.target)?)
    }

    /// The target, if this machine needs an emulator for it. The kernel runs the machine's own programs itself.
    pub fn foreign_target(&self) -> Result<Target> {
        let target = self.target()?;
        let own = Target::named(native()?)?.name;
        let narrow = match own {
            "x86_64" => "i386",
            "aarch64" => "arm",
            other => other,
        };
        if [own, narrow].contains(&target.name) {
            return Err(Usage(format!("this machine runs programs for {} itself", target.name)).into());
        }
        Ok(target)
    }
}

/// The last byte of `e_ident`, which is padding: the kernel does not look at it, and compilers leave it zero.
pub const MARK: u64 = 15;

/// The emulator in the usual build tree, which is made if need be.
pub fn build(bench: &Setting<'_>, target: Target) -> Result<PathBuf> {
    let plan = plan_with(bench.session, &[target.name], &bench.tooling)?;
    let tree = &plan.trees()[0];
    let source = crate::commands::source::patched(bench.session, plan.series(), None)?;
    let build = BuildTree::open(bench.session, &plan, tree, &source, &bench.toolchain)?;
    let emulators = build.compile(tree.targets(), &source)?.all()?;
    Ok(emulators.first().context("no emulator was made")?.path().to_owned())
}

/// A copy of an emulator: it stays the same file, whatever is built meanwhile, and how it came to lie
/// in memory (which makes up to 4 %) is the same for all that are compared.
pub fn copy(home: &Path, emulator: &Path, name: &str) -> Result<PathBuf> {
    let to = home.join(name);
    fs::copy(emulator, &to).with_context(|| format!("cannot copy {}", emulator.display()))?;
    mark(&to)?;
    Ok(to)
}

/// Marks one of this machine's own programs: under [`registration`](super::binfmt::registration), it is run by this
/// machine also where the target's programs are of the same kind.
pub fn mark(program: &Path) -> Result<()> {
    let what = || format!("cannot mark {}", program.display());
    let file = fs::OpenOptions::new().write(true).open(program).with_context(what)?;
    file.write_all_at(&[1], MARK).with_context(what)
}
