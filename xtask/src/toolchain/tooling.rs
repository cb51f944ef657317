//! How compilers are called: by this machine or in a container, through a cache or a cluster.

use clap::{Args, ValueEnum};
use serde::Serialize;

/// Options for the way compilers are run. None of them changes the bytes of an emulator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize)]
pub struct ToolchainOptions {
    /// Call compilers through a compiler cache or cluster that is set up on this machine
    ///
    /// Its own variables (CCACHE_DIR, SCCACHE_REDIS, DISTCC_HOSTS, ...) are passed on. With a cluster, pass
    /// --jobs for all of its machines.
    #[arg(long, value_enum, value_name = "PROGRAM", env = "ANYARCH_LAUNCHER")]
    pub launcher: Option<Launcher>,
    /// Where compilers come from: this machine, or an image that is made from toolchains/Containerfile
    #[arg(long, value_enum, value_name = "WHERE", default_value_t)]
    pub toolchain: CompilerSource,
    /// With `--toolchain container`: the base image, Debian bookworm or derived from it
    #[arg(long, value_name = "IMAGE", default_value = "docker.io/library/debian:bookworm-slim")]
    pub image: String,
}

/// Where compilers come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CompilerSource {
    /// The compilers installed on this machine.
    #[default]
    Machine,
    /// An image with the same packages, run by docker or podman.
    Container,
}

/// A compiler cache or a distributed compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Launcher {
    /// Keeps what was compiled in a folder, or with CCACHE_REMOTE_STORAGE on a server.
    Ccache,
    /// Keeps it in a folder or in a store on the network.
    Sccache,
    /// Compiles on the machines of DISTCC_HOSTS.
    Distcc,
    /// Compiles on the machines that icecc's scheduler knows.
    Icecc,
}

impl Launcher {
    /// Name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Ccache => "ccache",
            Self::Sccache => "sccache",
            Self::Distcc => "distcc",
            Self::Icecc => "icecc",
        }
    }

    /// Prefixes of its own environment variables.
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Ccache => &["CCACHE_"],
            // The stores that it can be told to use bring variables of their own.
            Self::Sccache => &["SCCACHE_", "AWS_", "AZURE_", "GOOGLE_", "ACTIONS_"],
            Self::Distcc => &["DISTCC_"],
            Self::Icecc => &["ICECC_"],
        }
    }
}
