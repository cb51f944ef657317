//! meson, ninja and their kind, in a private Python environment.

use super::Root;
use crate::exit::Lacks;
use crate::process::{self, capture};
use crate::session::Session;
use crate::store::{self, Lock};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use xshell::{Shell, cmd};

/// What the environment must have in the end.
const PROGRAMS: [&str; 3] = ["meson", "ninja", "pkg-config"];
/// Counted up when the environment is made in another way.
const RECIPE: u32 = 2;

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

/// The environment with what the requirements file pins, at `<cache>/python/<key>`: as it is, else
/// made. `tools` holds the pip that fills it, since a Debian Python comes without.
pub fn prepare(session: &Session, requirements: &Path, oldest: &str, tools: &Root) -> Result<PathBuf> {
    let (python, version) = interpreter(oldest)?;
    let pinned = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let key = store::short_key(&(RECIPE, store::sha256(&pinned), &python, &version))?;
    let place = session.workspace.cache.join("python").join(key);
    let _lock = Lock::acquire(&place, &session.progress)?;
    let stamp = place.join("complete");
    if stamp.is_file() {
        return Ok(place);
    }
    if session.offline {
        bail!(
            "the build tools are not in the cache, and --offline is set\n\
               run `cargo xtask toolchain` once with a network"
        );
    }
    let step = session.progress.step("Python environment with meson and ninja");
    // Its scripts hold its path, so it is made in place; the stamp says that it is whole.
    store::remove(&place)?;
    fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
    let log = session.workspace.log("python");
    // QEMU's configure makes an environment inside this one, and looks for a pip in it unless this one
    // lets the machine's packages through.
    let mut venv = Command::new(&python);
    venv.args(["-m", "venv", "--system-site-packages", "--without-pip"]).arg(&place);
    process::Logged::new(alone(venv), &log)
        .run(&session.progress, |_| ())
        .context("cannot make a Python environment")?;
    let mut install = Command::new(place.join("bin/python3"));
    install.arg(pip_of(tools)?).args(["install", "--require-hashes", "--only-binary", ":all:", "--no-deps"]);
    install.args(["--ignore-installed", "--no-compile", "--disable-pip-version-check", "--no-input"]);
    install.args(["--retries=1", "--requirement"]).arg(requirements);
    process::Logged::new(alone(install), &log)
        .run(&session.progress, |_| ())
        .context("meson and ninja can't be got from PyPI by pip")?;
    for program in PROGRAMS {
        ensure!(
            place.join("bin").join(program).is_file(),
            "pip has put no {program} into {}",
            place.display()
        );
    }
    store::write_file(&stamp, b"")?;
    step.done("ready");
    Ok(place)
}

/// pip inside its wheel, which Python runs as it is.
fn pip_of(tools: &Root) -> Result<PathBuf> {
    let folder = tools.path().join("usr/share/python-wheels");
    let listed = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let is_pip = |name: &str| name.starts_with("pip-") && name.ends_with(".whl");
    let wheel = listed.flatten().find(|entry| entry.file_name().to_str().is_some_and(is_pip));
    Ok(wheel.with_context(|| format!("no pip in {}", folder.display()))?.path().join("pip"))
}

/// The machine's Python, real path and version.
pub fn interpreter(oldest: &str) -> Result<(PathBuf, String)> {
    let lacks =
        |found: &str| Lacks::new(format!("Python {oldest} or newer{found}"), "apt-get install python3");
    let python = which::which("python3").map_err(|_| lacks(""))?;
    let shell = Shell::new().context("no current folder")?;
    let asked = "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2], sys.version_info[:2] >= tuple(map(int, sys.argv[1].split('.'))))";
    let said = capture(alone(cmd!(shell, "{python} -c {asked} {oldest}").into()))?;
    let words: Vec<&str> = said.split_whitespace().collect();
    match words[..] {
        [path, version, "True"] => Ok((PathBuf::from(path), version.to_owned())),
        [_, version, _] => Err(lacks(&format!(" (this machine's is {version})")).into()),
        _ => bail!("{} says something unexpected: {said}", python.display()),
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
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains/python.txt");
        let text = fs::read_to_string(path).expect("readable");
        let names = requirements(&text);
        assert!(
            ["meson", "ninja", "pkgconf", "pycotap"].iter().all(|n| names.iter().any(|p| p.starts_with(n)))
        );
        let joined = text.replace("\\\n", " ");
        for line in joined.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
        }
    }
}
