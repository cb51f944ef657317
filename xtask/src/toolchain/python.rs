//! meson, ninja and their kind, in a private Python environment.

use super::PackageRoot;
use super::place::Place;
use crate::error::Missing;
use crate::process::{self, capture};
use crate::session::Session;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_client::lock::Lock;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the environment must have in the end.
const PROGRAMS: [&str; 3] = ["meson", "ninja", "pkg-config"];
/// Counted up when the environment is made in another way.
const RECIPE: u32 = 3;

/// Python and pip without those settings of the user's that change what is installed where; how pip
/// reaches its index stays the user's.
fn alone(mut command: Command) -> Command {
    for name in ["PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV"]
    {
        command.env_remove(name);
    }
    command.env("PYTHONNOUSERSITE", "1").env("PIP_USER", "0");
    command
}

/// The name of our copy of the list beside the wheels.
const LIST: &str = "requirements.txt";

/// What these files of `toolchains/` pin, as one list.
pub fn packages<'a>(folder: &Path, lists: impl Iterator<Item = &'a PathBuf>) -> Result<String> {
    lists
        .map(|list| {
            let path = folder.join(list);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        })
        .collect()
}

/// The environment with what the list pins, at `<cache>/python/<key>`: as it is, else
/// made. `tools` holds the pip that fills it, since a Debian Python comes without.
pub fn prepare(
    session: &Session,
    packages: &str,
    oldest: &str,
    tools: &PackageRoot,
    at: &Place,
) -> Result<PathBuf> {
    let (python, version) = interpreter_at(at, oldest)?;
    let key = hash::short_key(&(RECIPE, hash::sha256(packages.as_bytes()), &python, &version, at.suffix()))?;
    let place = session.workspace.cache.join("python").join(key);
    let _lock = Lock::acquire(&place, &session.progress)?;
    let stamp = place.join("complete");
    if stamp.is_file() {
        return Ok(place);
    }
    let step = session.progress.step("Python environment with meson and ninja");
    let log = session.workspace.log("python");
    let wheels = wheels(session, packages, oldest, tools)?;
    // Its scripts hold its path, so it is made in place; the stamp says that it is whole.
    files::remove(&place)?;
    fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
    // QEMU's configure makes an environment inside this one, and looks for a pip in it unless this one
    // lets the machine's packages through.
    let mut venv = Command::new(&python);
    venv.args(["-m", "venv", "--system-site-packages", "--without-pip"]).arg(&place);
    process::LoggedCommand::new(at.command(alone(venv)), &log)
        .run(&session.progress, |_| ())
        .context("cannot make a Python environment")?;
    let mut install = Command::new(place.join("bin/python3"));
    install.arg(pip_of(tools)?).args(["install", "--no-index", "--find-links"]).arg(&wheels);
    install.args(["--require-hashes", "--only-binary", ":all:", "--no-deps"]);
    install.args(["--ignore-installed", "--no-compile", "--disable-pip-version-check", "--no-input"]);
    // The checkout itself need not be seen from where this runs.
    install.arg("--no-cache-dir").arg("--requirement").arg(wheels.join(LIST));
    process::LoggedCommand::new(at.command(alone(install)), &log)
        .run(&session.progress, |_| ())
        .context("pip cannot install meson and ninja")?;
    for program in PROGRAMS {
        ensure!(
            place.join("bin").join(program).is_file(),
            "pip installed no {program} into {}",
            place.display()
        );
    }
    files::write_file(&stamp, b"")?;
    step.done("ready");
    Ok(place)
}

/// The folder with the pinned wheels, at `<cache>/downloads/wheels-<key>`. This machine's Python gets them,
/// since its pip knows how to reach an index; they hold for every Python 3 of this machine's kind.
fn wheels(session: &Session, packages: &str, oldest: &str, tools: &PackageRoot) -> Result<PathBuf> {
    let key = hash::short_key(&(hash::sha256(packages.as_bytes()), std::env::consts::ARCH))?;
    let folder = session.workspace.downloads().join(format!("wheels-{key}"));
    let _lock = Lock::acquire(&folder, &session.progress)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    if session.offline {
        bail!(
            "the build tools are not in the cache, and --offline is set\n\
               run `cargo xtask toolchain` once with a network"
        );
    }
    let (python, _) = interpreter(oldest)?;
    files::publish_dir(&folder, |folder| {
        let list = folder.join(LIST);
        files::write_file(&list, packages.as_bytes())?;
        let mut download = Command::new(python);
        download.arg(pip_of(tools)?).args(["download", "--require-hashes", "--only-binary", ":all:"]);
        download.args(["--no-deps", "--disable-pip-version-check", "--no-input", "--retries=1", "--dest"]);
        download.arg(folder).arg("--requirement").arg(list);
        process::LoggedCommand::new(alone(download), &session.workspace.log("wheels"))
            .run(&session.progress, |_| ())
            .context("pip cannot download meson and ninja from PyPI")
    })?;
    Ok(folder)
}

/// pip inside its wheel, which Python runs as it is.
fn pip_of(tools: &PackageRoot) -> Result<PathBuf> {
    let folder = tools.path().join("usr/share/python-wheels");
    let listed = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let is_pip = |name: &str| name.starts_with("pip-") && name.ends_with(".whl");
    let wheel = listed.flatten().find(|entry| entry.file_name().to_str().is_some_and(is_pip));
    Ok(wheel.with_context(|| format!("no pip in {}", folder.display()))?.path().join("pip"))
}

/// The machine's Python, real path and version.
pub fn interpreter(oldest: &str) -> Result<(PathBuf, String)> {
    which::which("python3").map_err(|_| lacks(oldest, ""))?;
    interpreter_at(&Place::Machine, oldest)
}

fn lacks(oldest: &str, found: &str) -> Missing {
    Missing::new(format!("Python {oldest} or newer{found}"), "apt-get install python3")
}

fn interpreter_at(place: &Place, oldest: &str) -> Result<(PathBuf, String)> {
    let asked = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2], sys.version_info[:2] >= tuple(map(int, sys.argv[1].split('.'))))";
    let mut command = Command::new("python3");
    command.args(["-c", asked, oldest]);
    let said = capture(place.command(alone(command)))?;
    let words: Vec<&str> = said.split_whitespace().collect();
    match words[..] {
        [path, version, "True"] => Ok((PathBuf::from(path), version.to_owned())),
        [_, version, _] => Err(lacks(oldest, &format!(" (this machine's is {version})")).into()),
        _ => bail!("unexpected output of python3: {said}"),
    }
}

/// The names and versions that a requirements file pins, for the list of what a build was made with.
pub fn requirements(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with([' ', '#']) && line.contains("=="))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_python_tool_is_pinned_with_a_hash() {
        let lists = ["python.txt", "python-wheel.txt"].map(PathBuf::from);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains");
        let text = packages(&folder, lists.iter()).expect("readable");
        let names = requirements(&text);
        assert!(
            ["meson", "ninja", "pkgconf", "pycotap", "wheel"]
                .iter()
                .all(|n| names.iter().any(|p| p.starts_with(n)))
        );
        let joined = text.replace("\\\n", " ");
        for line in joined.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
        }
    }
}
