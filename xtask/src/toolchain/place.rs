//! Where compilers run: on this machine, or in a container of docker's or podman's that sees the same
//! folders under the same names, so that the same bytes come out.

use super::tooling::{CompilerSource, ToolchainOptions};
use crate::error::Missing;
use crate::facts::Host;
use crate::process::{self, capture};
use crate::session::Session;
use anyarch_client::files;
use anyarch_client::hash;
use anyhow::{Context as _, Result, ensure};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use xshell::cmd;

/// Programs that run images, in the order in which they are tried, each with what makes it work where it does not:
/// docker wants its engine, podman its companions for users without privilege.
const ENGINES: [(&str, &str); 2] =
    [("docker", "systemctl start docker"), ("podman", "apt-get install podman uidmap")];
/// An engine on another machine may never answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Variables that tell programs how to reach the network.
const PROXIES: [&str; 6] = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// Where compilers run: on this machine or in a container.
#[derive(Debug, Clone)]
pub enum Place {
    /// On this machine.
    Machine,
    /// In a container.
    Container(Container),
}

/// An image that is ready, and what its containers see.
#[derive(Debug, Clone)]
pub struct Container {
    engine: PathBuf,
    image: String,
    /// Folders of ours, seen under the same name.
    folders: Vec<PathBuf>,
}

impl Place {
    /// This machine, or an image for the host with these Debian packages, which is made first.
    pub fn prepare(
        session: &Session,
        host: &Host,
        tooling: &ToolchainOptions,
        packages: &[&str],
    ) -> Result<Self> {
        match tooling.toolchain {
            CompilerSource::Machine => Ok(Self::Machine),
            CompilerSource::Container => {
                Container::prepare(session, host, &tooling.image, packages).map(Self::Container)
            }
        }
    }

    /// A command as it is called here. In a container it gets only the variables that were set for it.
    pub fn command(&self, command: Command) -> Command {
        match self {
            Self::Machine => command,
            Self::Container(container) => container.command(&command),
        }
    }

    /// The file that a path leads to there, without links and `..`; none if there is no such file.
    pub fn real(&self, path: &Path) -> Option<PathBuf> {
        let mut command = Command::new("realpath");
        command.arg("--canonicalize-existing").arg(path);
        capture(self.command(command)).ok().map(|real| PathBuf::from(real.trim_end()))
    }

    /// A file of the machine or the image.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let Self::Container(_) = self else {
            return fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        };
        let mut command = Command::new("cat");
        command.arg(path);
        let output = process::output(&mut self.command(command))?;
        ensure!(output.status.success(), "cannot read {} in the image", path.display());
        Ok(output.stdout)
    }

    /// Where programs are looked for, after those that the build brings along.
    pub fn path(&self) -> std::ffi::OsString {
        match self {
            Self::Machine => env::var_os("PATH").unwrap_or_default(),
            Self::Container(_) => "/usr/local/bin:/usr/bin:/bin".into(),
        }
    }

    /// Suffix for names of folders.
    pub fn suffix(&self) -> &'static str {
        match self {
            Self::Machine => "",
            Self::Container(_) => "-container",
        }
    }
}

/// The program that runs images on this machine: the first that answers, since a docker may be there whose
/// engine is not running.
pub fn engine() -> Result<PathBuf, Missing> {
    let mut silent = Vec::new();
    for (name, command) in ENGINES {
        let Ok(program) = which::which(name) else { continue };
        match answer(&program) {
            Ok(()) => return Ok(program),
            Err(why) => silent.push((format!("{} does not answer: {why}", program.display()), command)),
        }
    }
    let Some((_, command)) = silent.first() else {
        return Err(Missing::new("docker or podman", "apt-get install podman"));
    };
    let told: Vec<&str> = silent.iter().map(|(told, _)| told.as_str()).collect();
    Err(Missing::new(format!("a container engine that works ({})", told.join("; ")), *command))
}

/// Asks a program whether it can run images; gives the last line of what it complains.
fn answer(program: &Path) -> Result<(), String> {
    let shell = process::shell().map_err(|error| error.to_string())?;
    let mut command = cmd!(shell, "{program} info").into();
    let output = process::output_within(TIMEOUT, &mut command).map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it does not say why").to_owned())
}

impl Container {
    /// Makes the host's image, if it is not there.
    fn prepare(session: &Session, host: &Host, base: &str, packages: &[&str]) -> Result<Self> {
        let engine = engine()?;
        let recipe = session.workspace.root.join("toolchains/Containerfile");
        let text = fs::read(&recipe).with_context(|| format!("cannot read {}", recipe.display()))?;
        // The base goes by what it is now, not by its name alone.
        let known = image_id(&engine, base);
        let key = hash::short_key(&(hash::sha256(&text), base, known, &packages))?;
        let image = format!("localhost/anyarch-toolchain:{}-{key}", host.file_name());
        if image_id(&engine, &image).is_none() {
            let step = session.progress.step(format!("image with compilers for {}", host.platform));
            let mut build = Command::new(&engine);
            build.args(["build", "--network=host", "--tag", &image, "--file"]).arg(&recipe);
            build.arg(format!("--build-arg=BASE={base}"));
            build.arg(format!("--build-arg=PACKAGES={}", packages.join(" ")));
            for name in PROXIES.iter().filter(|name| env::var_os(name).is_some()) {
                build.arg(format!("--build-arg={name}"));
            }
            // The recipe takes no file from here.
            let context = files::TempFolder::new(&session.workspace.trees)?;
            build.arg(context.path());
            let log = session.workspace.log(&format!("image-{}", host.file_name()));
            process::LoggedCommand::new(build, &log)
                .run(&session.progress, |_| ())
                .with_context(|| format!("cannot build the image with compilers for {}", host.platform))?;
            step.done(&image);
        }
        let workspace = &session.workspace;
        Ok(Self { engine, image, folders: vec![workspace.cache.clone(), workspace.trees.clone()] })
    }

    fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new(&self.engine);
        // --init: a process 1 that hands signals on, so that an interrupted build ends.
        command.args(["run", "--rm", "--init", "--network=none"]);
        command.arg(self.user());
        for folder in &self.folders {
            command.arg(format!("--volume={0}:{0}", folder.display()));
        }
        if let Some(folder) = inner.get_current_dir() {
            command.arg("--workdir").arg(folder);
        }
        for (name, value) in inner.get_envs() {
            if let Some(value) = value {
                command.arg(format!("--env={}={}", name.to_string_lossy(), value.to_string_lossy()));
            }
        }
        command.arg(&self.image).arg(inner.get_program()).args(inner.get_args());
        command
    }

    /// Files belong to the user. Podman without root maps that user to the container's root.
    fn user(&self) -> String {
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        if self.engine.ends_with("podman") && !user.is_root() {
            return "--userns=keep-id".to_owned();
        }
        format!("--user={}:{}", user.as_raw(), group.as_raw())
    }
}

/// The id of an image that the engine has.
fn image_id(engine: &Path, image: &str) -> Option<String> {
    let shell = process::shell().ok()?;
    let format = "{{.Id}}";
    let id = capture(cmd!(shell, "{engine} image inspect --format {format} {image}")).ok()?;
    Some(id.trim().to_owned())
}
