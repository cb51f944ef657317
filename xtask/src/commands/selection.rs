//! Which emulators a command is about: options that several commands take.

use crate::facts::series;
use crate::plan::{Profile, Request};
use crate::toolchain::Tooling;
use clap::Args;

/// Which emulators.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// Targets: QEMU's names or Debian's, Docker's and the kernel's; `all` for every one
    #[arg(short, long = "target", value_name = "TARGET", value_delimiter = ',', required = true)]
    pub targets: Vec<String>,
    /// Hosts: Docker's platform names; `native` for this machine's, `all` for every one
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',', default_value = "native")]
    pub hosts: Vec<String>,
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// How to compile
    #[arg(long, value_enum, default_value_t)]
    pub profile: Profile,
    /// How compilers are called.
    #[command(flatten)]
    pub tooling: Tooling,
}

impl Selection {
    /// As a request for a plan.
    pub fn request(&self) -> Request {
        Request {
            targets: self.targets.clone(),
            hosts: self.hosts.clone(),
            series: self.series.clone(),
            profile: self.profile,
            tooling: self.tooling.clone(),
        }
    }
}
