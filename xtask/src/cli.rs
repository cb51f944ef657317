//! The command line. `--help` of each command is its manual.

use crate::exit::Usage;
use crate::facts::{Topic, series};
use crate::plan::{Profile, Request};
use crate::release::page;
use crate::toolchain::Tooling;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// Builds, proves and packs patched QEMU user-mode emulators from pinned source.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 done, 1 failed, 2 wrong use, 3 the machine lacks something (`doctor` tells what).
Downloads and sysroots are kept in $ANYARCH_CACHE, else $XDG_CACHE_HOME/anyarch, else ~/.cache/anyarch.
Nothing here needs root or changes the system. Ctrl-C is safe: the same command goes on from there.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Print results as JSON on stdout; messages still go to stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Show each program that is run (-v), and all that it prints (-vv)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Compilers at a time [default: one a processor, fewer if memory is short]
    #[arg(short, long, value_name = "N", global = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Go on with the others when one fails; the exit code still says so
    #[arg(short, long, global = true)]
    pub keep_going: bool,
    /// Use nothing but the cache
    #[arg(long, global = true)]
    pub offline: bool,
    /// The anyarch checkout to work on [default: the one this driver belongs to]
    #[arg(long, value_name = "DIR", global = true, env = "ANYARCH_ROOT")]
    pub root: Option<PathBuf>,
    /// Where source and build trees go [default: target/anyarch]
    #[arg(long, value_name = "DIR", global = true)]
    pub build_dir: Option<PathBuf>,
    /// Where releases go [default: dist]
    #[arg(long, value_name = "DIR", global = true)]
    pub out: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build, verify and pack emulators: the whole way from pinned source to tarballs
    ///
    /// Ends with `dist/<release>/qemu-<target>-<release>-linux-<host>.tar.xz` and a table that says
    /// how big they are and how long it took. What is up to date is not made again.
    #[command(after_help = "\
Examples:
  cargo xtask build --target aarch64
  cargo xtask build --target aarch64,riscv64,s390x -j 8
  cargo xtask build --target all
  cargo xtask build --target arm64 --source ~/qemu-10.2.2.tar.xz --offline")]
    Build(Build),
    /// Print the whole matrix of targets and hosts: what would be done, and what is done; touches nothing
    #[command(after_help = "\
Examples:
  cargo xtask plan
  cargo xtask plan --target all --host arm/v7 --qemu 7.2
  cargo xtask plan --format github")]
    Plan(PlanArgs),
    /// Get the pinned QEMU source, check it, unpack and patch it
    ///
    /// Tried in this order: --source, the cache, upstream's git at the pinned tag, upstream's tarball,
    /// Debian's source package through this machine's own apt settings. The first that answers is
    /// taken, checked against the pins in `patches/<series>/series.toml`, and named.
    Source(SourceArgs),
    /// Prepare a host's toolchain: sysroot, meson, ninja, bison, flex; no root needed
    Toolchain(ToolchainArgs),
    /// Check emulators: ELF header, --version, a guest program with children, the execve contract
    ///
    /// Compiles what is not compiled yet. Every check is run, also those that passed before, and more
    /// than `build` runs: the execve contract takes some 15 s a target, and needs a C compiler for the
    /// target. What this machine can't run is reported as not run, with the reason.
    ///
    /// With --upstream or --tcg the same source is compiled once more without our patches, in a tree
    /// of its own that nothing is packed from, and both emulators must behave alike.
    #[command(after_help = "\
Examples:
  cargo xtask verify --target aarch64
  cargo xtask verify --target all --upstream
  cargo xtask verify --target aarch64,s390x --tcg --json
  cargo xtask verify --target aarch64 --reproduce ~/Downloads/10.2.2-1")]
    Verify(Verify),
    /// Pack emulators, compiling and verifying those that are not yet
    Package(Selection),
    /// Join the folders that several jobs or machines made into one release, and describe it
    ///
    /// Every tarball is compared with its record, inside and out, and with the pins of this checkout: other
    /// pins, other toolchains for the same host, or one name with different bytes are refused. Beside the
    /// tarballs are written: release.json, the corresponding source, an SBOM, provenance, an installer, a
    /// page and SHA256SUMS. Any web server or object store can serve the folder as it is.
    #[command(after_help = "\
Examples:
  cargo xtask release
  cargo xtask release --out joined ci/amd64 ci/arm64 ci/riscv64
  cargo xtask release --zst --sign ~/.ssh/release_key --base https://example.org/anyarch")]
    Release(ReleaseArgs),
    /// Download released emulators for a target: only those, checked before a byte is used
    ///
    /// Reads the release's manifest from the first mirror that has it, downloads the archives that are asked for,
    /// checks them, and puts `bin/qemu-<target>` and its texts below the prefix. What is up to date is not downloaded
    /// again; a transfer that broke off goes on where it stood. HTTPS_PROXY, HTTP_PROXY and NO_PROXY are heeded.
    #[command(after_help = "\
Examples:
  cargo xtask fetch --target aarch64 --from https://example.org/anyarch --key anyarch.pub
  cargo xtask fetch --target arm64,riscv64 --release 10.2.2-1 --from /mnt/mirror --prefix ~/qemu
  ANYARCH_FROM='https://a.example https://b.example' cargo xtask fetch --target all --keep-going")]
    Fetch(Fetch),
    /// Keep the patches of a series in shape
    #[command(subcommand)]
    Patch(Patch),
    /// Unpack a foreign Debian root file system into a folder, without root
    ///
    /// A minimal system (shell, coreutils, dpkg, apt) of the target's architecture, through this
    /// machine's own apt settings. Packages are unpacked, not configured: their scripts did not run.
    #[command(after_help = "\
Example:
  cargo xtask rootfs --target aarch64 /tmp/arm64
  tar -C /tmp/arm64 --strip-components=1 -xJf dist/10.2.2-1/qemu-aarch64-*.tar.xz bin/qemu-aarch64
  unshare --map-root-user --root /tmp/arm64 /qemu-aarch64 --execve self /bin/sh")]
    Rootfs(Rootfs),
    /// Run everything that must hold: formatting, lints, unit tests, real builds, real guests
    Test(Test),
    /// Measure: build time and memory, one tree against many, idle runs, the cost of an exec, sizes
    ///
    /// Every figure is a ratio of two runs on this machine, one after the other. The results go to
    /// stdout; `docs/benchmarks.md` holds those that were published.
    Bench(Bench),
    /// Say what this machine lacks, with the command that gets it
    Doctor,
    /// Remove what was made here, by kind
    Clean(Clean),
    /// Print a completion script for a shell
    ///
    /// The script completes the driver called by name; put its folder (target/debug) into PATH as
    /// `xtask`, or alias it.
    Completions {
        /// The shell
        shell: Shell,
    },
}

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

/// `plan`: what `build` takes, with the whole matrix for what is not said.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("targets", |targets| targets.required(false).default_value("all")))]
#[command(mut_arg("hosts", |hosts| hosts.default_value("all")))]
pub struct PlanArgs {
    /// Which emulators.
    #[command(flatten)]
    pub selection: Selection,
    /// As a table, as data, or as the matrix of a GitHub workflow: a job a host
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people; with --json, data.
    #[default]
    Table,
    /// Everything, as JSON.
    Json,
    /// One line of JSON for a workflow's `matrix`.
    Github,
}

/// `release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Folders with tarballs and their records, or folders of such folders [default: the release's own]
    #[arg(value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Fail if a pair of the whole matrix is missing
    #[arg(long)]
    pub complete: bool,
    /// Also pack with zstd: a little bigger, faster to unpack
    #[arg(long)]
    pub zst: bool,
    /// Sign SHA256SUMS with this SSH key: without a passphrase, or one that an agent holds
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Where the release will be served: the address above its folder, for the page and the installer
    #[arg(long, value_name = "URL", value_parser = base_address)]
    pub base: Option<String>,
    /// Who built it, as a URI, for the provenance [default: the workflow, where GitHub names one]
    #[arg(long, value_name = "URI")]
    pub builder: Option<String>,
}

/// An address that goes into a page and a shell script as it is.
fn base_address(text: &str) -> Result<String, Usage> {
    page::checked_base(text).map(str::to_owned)
}

/// `fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// Targets: QEMU's names or Debian's, Docker's and the kernel's; `all` for all that the release has
    #[arg(short, long = "target", value_name = "TARGET", value_delimiter = ',', required = true)]
    pub targets: Vec<String>,
    /// Hosts: Docker's platform names; `native` for this machine's, `all` for all that the release has
    ///
    /// With several, the emulators of each go to a folder of its own: DIR/arm-v7/bin/qemu-<target>.
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',', default_value = "native")]
    pub hosts: Vec<String>,
    /// The release [default: this checkout's own of the series]
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// The QEMU series, where no release is named
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// A mirror: the address (http, https, file) or folder that the release's folder lies below
    ///
    /// Several are tried in this order. Without one: those of ANYARCH_FROM, separated by blanks, else the
    /// releases of this checkout, if it has that one.
    #[arg(long, value_name = "URL|DIR")]
    pub from: Vec<String>,
    /// Take the release only if one of these OpenSSH public keys, one a line, signed its checksums
    #[arg(long, value_name = "FILE", env = "ANYARCH_KEY")]
    pub key: Option<PathBuf>,
    /// Where `bin/` and `share/doc/` are [default: ~/.local]
    #[arg(long, value_name = "DIR")]
    pub prefix: Option<PathBuf>,
}

/// `build`.
#[derive(Debug, Args)]
pub struct Build {
    /// Which emulators.
    #[command(flatten)]
    pub selection: Selection,
    /// Take QEMU's source from here: a tarball, an unpacked tree, a git checkout or URL
    ///
    /// It is checked against the pins of the series like any other.
    #[arg(long, value_name = "TREE|TARBALL|URL")]
    pub source: Option<String>,
    /// Print the plan and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Which emulators.
    #[command(flatten)]
    pub selection: Selection,
    /// Compare with the same QEMU without our patches: with --execve off, the same system calls
    ///
    /// Needs strace.
    #[arg(long)]
    pub upstream: bool,
    /// Run QEMU's own tests (tests/tcg) in both: ours must pass each as often, --execve off and on
    ///
    /// A test that fails in any of them is run up to ten times in all; what passes less often, by more
    /// than chance, is a failure. Needs make and a C compiler for the target; tests that want gdb are run
    /// where gdb-multiarch is installed. There are no plugins in our builds, nor tests of them.
    #[arg(long)]
    pub tcg: bool,
    /// Build once more from scratch and compare with the released archives in DIR, byte by byte
    ///
    /// Says where the first difference is, if there is one. What the archives say that they were made from
    /// and with must be the same here, or nothing is built.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["upstream", "tcg"])]
    pub reproduce: Option<PathBuf>,
}

/// `source`.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Take it from here: a tarball, an unpacked tree, a git checkout or URL
    #[arg(long, value_name = "TREE|TARBALL|URL")]
    pub source: Option<String>,
}

/// `toolchain`.
#[derive(Debug, Args)]
pub struct ToolchainArgs {
    /// The host
    #[arg(long, value_name = "HOST", default_value = "native")]
    pub host: String,
    /// The QEMU series
    #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
    pub series: String,
    /// Get the newest packages instead of keeping those at hand
    #[arg(long)]
    pub refresh: bool,
    /// How compilers are called.
    #[command(flatten)]
    pub tooling: Tooling,
}

/// `patch`.
#[derive(Debug, Subcommand)]
pub enum Patch {
    /// Apply every patch to a fresh copy of the source; fuzz is an error, moved hunks are told
    ///
    /// Each topic is also applied with no others but those that it is built on. With --each, patches are
    /// applied one by one in a tree of their own, and after each an emulator for this machine is compiled
    /// and run: a commit that only a later one mends fails.
    #[command(after_help = "\
Examples:
  cargo xtask patch check --qemu 10.0
  cargo xtask patch check --each --launcher ccache")]
    Check(CheckArgs),
    /// Make DIR a git repository: the source as first commit, each patch as one more
    Open {
        /// A new folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Only the patches of these topics: execve, fixes, fast; all, if none is said
        #[arg(long = "topic", value_name = "TOPIC", value_delimiter = ',')]
        topics: Vec<Topic>,
        /// Which source.
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Write the commits of such a repository back into `patches/`, by the `Topic:` lines of their messages
    Refresh {
        /// The folder that `patch open` made
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The QEMU series
        #[arg(long = "qemu", value_name = "SERIES", default_value = series::DEFAULT)]
        series: String,
    },
}

/// `patch check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Which source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Also compile and run an emulator after each patch
    #[arg(long)]
    pub each: bool,
    /// --each: the target
    #[arg(short, long, value_name = "TARGET", default_value = "aarch64", requires = "each")]
    pub target: String,
    /// How compilers are called.
    #[command(flatten)]
    pub tooling: Tooling,
}

/// `rootfs`.
#[derive(Debug, Args)]
pub struct Rootfs {
    /// The target that runs it; those that Debian has
    #[arg(short, long, value_name = "TARGET")]
    pub target: String,
    /// Further packages, with all they depend on
    #[arg(long = "package", value_name = "NAME", value_delimiter = ',')]
    pub packages: Vec<String>,
    /// A new folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Also run the proofs that take long
    #[arg(long)]
    pub long: bool,
    /// Only tests whose name holds this
    pub filter: Option<String>,
}

/// `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure
    #[arg(value_enum, required = true)]
    pub what: Vec<Measure>,
    /// How `exec` measures.
    #[command(flatten)]
    pub exec: ExecOptions,
}

/// How `bench exec` measures.
#[derive(Debug, Args)]
pub struct ExecOptions {
    /// exec: the target whose programs are started; needs a C compiler for it
    #[arg(short, long, value_name = "TARGET", default_value = "aarch64")]
    pub target: String,
    /// exec: how many children each way starts
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub children: u32,
    /// exec: measure this emulator instead of one that is built here
    #[arg(long, value_name = "FILE")]
    pub emulator: Option<PathBuf>,
    /// exec: measure this one, too, by binfmt_misc: the same emulator without our patches
    #[arg(long, value_name = "FILE")]
    pub unpatched: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// A cold build of one target against a bare `configure && ninja` with the same flags
    Cold,
    /// All targets in one tree against a tree for each (three are built, the rest is scaled)
    Trees,
    /// The same command again, when nothing is to do
    Idle,
    /// All targets for this machine and two others at once: how busy the processors are
    Matrix,
    /// A clean build of all targets through a full ccache, against one through an empty one
    Ccache,
    /// The plan of every target on every host
    Plan,
    /// Starting children by interception against binfmt_misc with the F flag
    Exec,
    /// The archives in the output folder against the emulators of Debian packages, packed by xz -9e
    Sizes,
    /// What keeps an emulator small, and by how much: built without each of these measures
    Bytes,
}

/// `clean`.
#[derive(Debug, Args)]
pub struct Clean {
    /// What to remove
    #[arg(value_enum, required = true)]
    pub kinds: Vec<Kind>,
    /// Say what would go, and how big it is; remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// Source and build trees of this checkout
    Trees,
    /// Releases in dist/
    Releases,
    /// Sysroots, build tools and guests in the cache
    Toolchains,
    /// Downloads in the cache
    Downloads,
    /// All of these
    All,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// `--help` shows the defaults of these very arguments.
    #[test]
    fn a_plan_takes_what_a_build_takes_and_is_of_everything_if_nothing_is_said() {
        let request = |words: &[&str]| match Cli::try_parse_from(words).expect("well formed").command {
            Command::Plan(plan) => Some(plan.selection.request()),
            Command::Build(build) => Some(build.selection.request()),
            _ => None,
        };
        let parsed = |words: &[&str]| request(words).expect("one of the two");
        let plan = parsed(&["xtask", "plan"]);
        assert_eq!((&plan.targets[..], &plan.hosts[..]), (&["all".to_owned()][..], &["all".to_owned()][..]));
        let said = ["--target", "arm,sh4", "--host", "arm64", "--qemu", "7.2", "--toolchain", "container"];
        let both = ["plan", "build"].map(|command| parsed(&[&["xtask", command], &said[..]].concat()));
        assert_eq!(both[0].targets, ["arm", "sh4"]);
        assert_eq!(both[0], both[1]);
        assert!(Cli::try_parse_from(["xtask", "build"]).is_err(), "a build says what it builds");
    }

    #[test]
    fn the_command_line_is_consistent_and_every_option_is_explained() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            assert!(command.get_about().is_some(), "{} says nothing of itself", command.get_name());
            for option in command.get_arguments() {
                assert!(option.get_help().is_some(), "{} of {}", option.get_id(), command.get_name());
            }
        }
    }
}
