//! `run`: a foreign system in one command, nobody root, nothing registered.

use crate::names;
use crate::releases::Place;
use crate::run::handover::{self, SELF};
use crate::run::ids::{self, Owner};
use crate::run::plan::{self, Found, Network, Plan, Request};
use crate::run::root::{Root, Source};
use crate::run::translations;
use crate::run::{emulator, enter, image, kept};
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::machine;
use anyarch_image::{Ask, Platform};
use anyarch_manifest::target::Target;
use anyhow::{Result, anyhow};
use clap::Args;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

/// Run a program in a foreign root file system or image, without root and with nothing registered
///
/// What runs in a folder can change it. An image stays as it is: changes are in memory, as with --ephemeral.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  anyarch run --platform linux/arm64 debian:bookworm-slim  an image of a registry; changes are in memory
  anyarch run /srv/arm64                                   a shell in a folder
  anyarch run /srv/arm64 -- apt-get install -y hello       root inside, nobody outside
  anyarch run alpine-riscv64.tar.gz -- /bin/sh -c 'uname -m'
  anyarch run --ephemeral --bind ~/src:/src:ro --workdir /src /srv/armhf -- make
  anyarch run --user nobody --net none /srv/s390x -- id
  anyarch run --keep web debian:bookworm -- apt-get update  the same changes are there in the next run with this name

It ends as the command ends: with its code, or by its signal. 125: the run itself failed; 126, 127: the command
cannot be executed, is not there; 2: usage error.")]
pub struct Run {
    /// The root: a folder; a tar archive (plain, gzip, xz, zstd), which is unpacked in memory; or an image
    ///
    /// An image is the name of one in a registry (debian:bookworm-slim, ghcr.io/owner/name:1.2), an OCI layout, or an
    /// archive of `docker save`: a path, or oci:PATH, oci-archive:PATH, docker-archive:PATH, with :NAME behind it where
    /// several are in it. A file or folder that is there counts before the name of an image; docker://NAME is always one.
    #[arg(value_name = "DIR|TARBALL|IMAGE", value_hint = clap::ValueHint::AnyPath)]
    root: PathBuf,
    /// The command [default: that of the image, else /bin/bash or /bin/sh]; the entry point of an image stands before it
    #[arg(value_name = "CMD", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
    /// What to emulate, by any usual name [default: what the image or the root's programs say]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// The platform of an image [default: that of --target, this machine's, or the only one]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// When to ask the registry what the name of an image means: if it was not pulled before, or always
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Pull::Missing)]
    pull: Pull,
    /// Ask the registry of the image over plain HTTP: whoever is on the way can change what is pulled, and see logins
    #[arg(long)]
    plain_http: bool,
    /// The emulator [default: from ~/.local/bin, PATH, /usr/libexec/anyarch or the cache, else it is fetched]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    emulator: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Show a file or folder of this machine in the root; `:ro` at the end: it cannot be changed there
    #[arg(long, value_name = "SRC:DST[:ro]")]
    bind: Vec<OsString>,
    /// Set a variable; a name alone takes the value that you have
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Folder of the root to begin in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// User of the root, by name or number [default: that of the image, else root]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Name of the machine inside [default: anyarch]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Network inside: this machine's, or none
    #[arg(long, value_name = "NET", value_enum, default_value_t = Network::Host)]
    net: Network,
    /// Refuse changes of the root; /tmp, /run and /var/tmp are in memory
    #[arg(long, conflicts_with = "ephemeral")]
    read_only: bool,
    /// Keep changes of the root in memory, and drop them at the end
    #[arg(long)]
    ephemeral: bool,
    /// Keep changes under a name, beside the root or image, for later runs with this name (`anyarch kept`)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["ephemeral", "read_only"])]
    keep: Option<String>,
    /// Program that stands before the command, instead of an image's entry point; empty for none
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<OsString>,
    /// Processor to emulate (the emulator's `-cpu`)
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
    /// Make the command process 1 itself, as the init of a system wants; else a small one of ours is
    #[arg(long)]
    init: bool,
    /// Do not keep translations for the next run
    #[arg(long)]
    no_cache: bool,
    /// Print the plan and start nothing; an image and an emulator are fetched for it
    #[arg(long)]
    dry_run: bool,
}

/// When a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Pull {
    /// If the name was not pulled before.
    Missing,
    /// Always: the name may mean something newer.
    Always,
}

impl From<Pull> for Ask {
    fn from(pull: Pull) -> Self {
        match pull {
            Pull::Missing => Self::Once,
            Pull::Always => Self::Always,
        }
    }
}

impl Run {
    /// The words of the command.
    #[cfg(test)]
    pub fn command(&self) -> &[OsString] {
        &self.command
    }
}

/// Plans the run and hands over to the process that carries it out.
pub fn run(session: &Session, arguments: &Run) -> Result<()> {
    let plan = plan(session, arguments)?;
    if arguments.dry_run {
        return session.show(&plan, || plan.text());
    }
    let mut plan = plan;
    if let (Some(folder), Some(emulator)) = (&plan.translations, &plan.emulator)
        && let Err(error) = translations::make(folder.path(), &plan.root, emulator)
    {
        session.progress.detail(&format!("translations are not kept: {error:#}"));
        plan.translations = None;
    }
    let handed = handover::write(&plan)?;
    let mut next = handover::next(SELF, enter::STAGE);
    next.arg(handover::inherit(&handed)?);
    Err(anyhow!(next.exec()).context("cannot start this program again; is /proc mounted?"))
}

fn plan(session: &Session, arguments: &Run) -> Result<Plan> {
    let named = arguments.target.as_deref().map(names::target).transpose()?;
    let root = root(session, arguments, named)?;
    let target = match named {
        Some(target) => Some(target),
        None => {
            let target = root.target()?;
            // What this machine runs itself needs no emulator, unless one is asked for.
            let is_own = machine::native().is_ok_and(|host| target.platforms.contains(&host));
            (!is_own || arguments.emulator.is_some()).then_some(target)
        }
    };
    let find = |target| emulator::find(session, target, arguments.emulator.as_deref(), &arguments.place);
    let emulator = target.map(find).transpose()?;
    let translations = match (&emulator, arguments.no_cache, &root.source) {
        (Some(emulator), false, Source::Folder(_) | Source::Image { .. }) => {
            Some(translations::folder(&session.cache, &root.source, emulator)?)
        }
        _ => None,
    };
    let kept = match &arguments.keep {
        Some(name) => Some(kept::named(&kept::home()?, name, &root.source)?),
        None => None,
    };
    let request = Request {
        command: arguments.command.clone(),
        entrypoint: arguments.entrypoint.clone(),
        binds: arguments.bind.clone(),
        environment: arguments.env.clone(),
        workdir: arguments.workdir.clone(),
        user: arguments.user.clone(),
        hostname: arguments.hostname.clone(),
        cpu: arguments.cpu.clone(),
        network: arguments.net,
        read_only: arguments.read_only,
        ephemeral: kept.is_none() && (arguments.ephemeral || matches!(root.source, Source::Image { .. })),
        is_init: arguments.init,
    };
    let found = Found {
        root: root.source,
        defaults: root.defaults,
        emulator,
        ids: ids::choose(&owner()),
        translations,
        kept,
        variables: env::vars_os().collect(),
    };
    Ok(plan::plan(&request, found)?)
}

/// The root that is asked for. An image is pulled, for the platform that is named, or that of the target.
fn root(session: &Session, arguments: &Run, target: Option<&Target>) -> Result<Root> {
    let Some(source) = image::named(&arguments.root)? else {
        if arguments.platform.is_some() {
            return Err(Usage(
                "--platform is for images; --target says what the programs of a root are".to_owned(),
            )
            .into());
        }
        if arguments.plain_http {
            return Err(Usage(image::ONLY_REGISTRIES.to_owned()).into());
        }
        return Root::named(&arguments.root);
    };
    let platform = arguments.platform.clone().or(target.and_then(|one| Platform::of_target(one.name)));
    image::pull(session, &source, platform.as_ref(), arguments.pull.into(), arguments.plain_http)
}

/// Who runs this program, and what the system grants them.
pub fn owner() -> Owner {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let user = rustix::process::geteuid().as_raw();
    let path = env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    Owner {
        user,
        group: rustix::process::getegid().as_raw(),
        name: name(&read("/etc/passwd"), user).or_else(|| env::var("USER").ok()),
        subuid: read("/etc/subuid"),
        subgid: read("/etc/subgid"),
        has_newuidmap: has("newuidmap") && has("newgidmap"),
        uid_map: read("/proc/self/uid_map"),
        gid_map: read("/proc/self/gid_map"),
    }
}

/// The name of a user in `/etc/passwd`. Those of directories have theirs in `USER`.
fn name(passwd: &str, user: u32) -> Option<String> {
    let lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut known = lines.filter(|fields| fields.len() > 2 && fields[2].parse() == Ok(user));
    known.next().map(|fields| fields[0].to_owned())
}
