//! Podman's containers of one user: the namespace that they all share, which lasts as long as podman's pause process.

use anyarch_client::error::Usage;
use anyarch_client::files;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// For whom: options that all commands have.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct For {
    /// Only for the user namespace that this runs in: `unshare -Urm`, a rootless container (Linux 6.7 or newer)
    #[arg(long, conflicts_with = "podman")]
    pub user: bool,
    /// Only for your own podman's containers, without root (Linux 6.7 or newer)
    #[arg(long)]
    pub podman: bool,
}

/// The user's unit that registers again when they log in.
const UNIT: &str = "anyarch-binfmt.service";
const WANTED_BY: &str = "default.target.wants";

/// Runs this very command in podman's namespace, with `--user` in the place of `--podman`.
///
/// # Errors
/// When there is no podman, root asks for it, or the command fails there.
pub fn run_inside() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        bail!(Usage("root's podman uses the machine's table; leave --podman out".to_owned()));
    }
    let words = inside(env::args_os())?;
    let ended = Command::new("podman").arg("unshare").args(&words).stdin(Stdio::null()).status();
    let ended = ended
        .context("cannot run podman; install it, or use `anyarch run`, which needs nothing registered")?;
    if !ended.success() {
        bail!("`podman unshare {}` ended with {ended}", shown(&words));
    }
    Ok(())
}

/// The words of this command, as they are said inside. What lasts is made outside.
fn inside(words: impl Iterator<Item = OsString>) -> Result<Vec<OsString>> {
    let program = env::current_exe().context("cannot find this program")?;
    let told = words.skip(1).filter(|word| word != "--persist");
    let told = told.map(|word| if word == "--podman" { "--user".into() } else { word });
    Ok([program.into_os_string()].into_iter().chain(told).collect())
}

fn shown(words: &[OsString]) -> String {
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Has the user's systemd run this command again, when they log in.
///
/// # Errors
/// When there is no home, or it cannot be written to.
pub fn keep() -> Result<PathBuf> {
    let mut words = vec![env::current_exe().context("cannot find this program")?.into_os_string()];
    words.extend(env::args_os().skip(1).filter(|word| word != "--persist"));
    let folder = folder()?;
    write_unit(&folder, &words)?;
    Ok(folder.join(UNIT))
}

/// Undoes [`keep`]. Gives the unit that was removed, if there was one.
///
/// # Errors
/// When there is no home, or it cannot be written to.
pub fn forget() -> Result<Option<PathBuf>> {
    let folder = folder()?;
    let unit = folder.join(UNIT);
    let was_there = unit.symlink_metadata().is_ok();
    files::remove(&folder.join(WANTED_BY).join(UNIT))?;
    files::remove(&unit)?;
    Ok(was_there.then_some(unit))
}

/// The folder of the user's units.
fn folder() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    Ok(config.context("neither HOME nor XDG_CONFIG_HOME is set")?.join("systemd/user"))
}

fn write_unit(folder: &Path, words: &[OsString]) -> Result<()> {
    let words: Vec<String> = words.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    let text = format!(
        "[Unit]\nDescription=Programs of other machines in podman's containers\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={}\n\n[Install]\nWantedBy=default.target\n",
        words.join(" ")
    );
    files::write_file(&folder.join(UNIT), text.as_bytes())?;
    // What `systemctl --user enable` makes.
    let link = folder.join(WANTED_BY).join(UNIT);
    files::create_parent(&link)?;
    match symlink(Path::new("..").join(UNIT), &link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && fs::read_link(&link).is_ok() => Ok(()),
        made => made.with_context(|| format!("cannot make {}", link.display())),
    }
}

/// A word of `ExecStart`, so that systemd reads just that.
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_the_same_is_said_for_that_namespace() {
        let words = ["anyarch", "register", "--podman", "--persist", "arm64"].map(OsString::from);
        let inside = inside(words.into_iter()).expect("words");
        assert_eq!(inside[1..], ["register", "--user", "arm64"]);
        assert!(Path::new(&inside[0]).is_absolute());
    }

    #[test]
    fn a_unit_registers_again_and_is_enabled() {
        let home = tempfile::tempdir().expect("a folder");
        let words = ["/a b/anyarch", "register", "--podman", "100%$"].map(OsString::from);
        for _ in 0..2 {
            write_unit(home.path(), &words).expect("written");
        }
        let unit = fs::read_to_string(home.path().join(WANTED_BY).join(UNIT)).expect("a unit");
        assert!(
            unit.contains("\nExecStart=\"/a b/anyarch\" \"register\" \"--podman\" \"100%%$$\"\n"),
            "{unit}"
        );
    }
}
