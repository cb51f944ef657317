//! Options that several commands share: targets, hosts, series, profile, toolchain.

use crate::facts::series;
use crate::plan::{Profile, Request};
use crate::toolchain::ToolchainOptions;
use clap::Args;

/// Targets, hosts, series, profile and toolchain.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// Targets, by the names of QEMU, Debian, Docker or the kernel; `all` for every target
    #[arg(short, long = "target", value_name = "TARGET", value_delimiter = ',', required = true)]
    pub targets: Vec<String>,
    /// Hosts, by Docker's platform names; `native` for this machine, `all` for every host
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',', default_value = "native")]
    pub hosts: Vec<String>,
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Build profile
    #[arg(long, value_enum, default_value_t)]
    pub profile: Profile,
    /// How compilers are run: on this machine or in a container, through a cache or a cluster.
    #[command(flatten)]
    pub tooling: ToolchainOptions,
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
