//! `rootfs`: the old spelling of what `anyarch` does.

use anyarch_client::error::Usage;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// The old spelling of `anyarch rootfs`
#[derive(Debug, Args)]
pub struct Rootfs {
    /// Target that runs it
    #[arg(short, long, value_name = "TARGET")]
    target: String,
    /// Additional packages
    #[arg(long = "package", value_name = "NAME", value_delimiter = ',')]
    packages: Vec<String>,
    /// A new folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Says how it is spelt now.
pub fn run(arguments: &Rootfs) -> Result<()> {
    let packages = match arguments.packages.is_empty() {
        true => String::new(),
        false => format!(" --include {}", arguments.packages.join(",")),
    };
    let (target, folder) = (&arguments.target, arguments.folder.display());
    Err(Usage(format!(
        "`cargo xtask rootfs` is a command of anyarch: anyarch rootfs --target {target}{packages} {folder}\n  \
         where there is no anyarch yet: cargo run --package anyarch -- rootfs ..."
    ))
    .into())
}
