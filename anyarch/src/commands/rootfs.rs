//! `rootfs`: a foreign Debian in a folder, configured, made by an ordinary user.

use crate::commands::run::owner;
use crate::names;
use crate::releases::Place as Releases;
use crate::rootfs::archive::{Archive, PUBLIC};
use crate::rootfs::choose;
use crate::rootfs::fill::{self, ARCHIVES, Filling, Packed};
use crate::rootfs::packages::{Index, Package};
use crate::rootfs::place::Place;
use crate::rootfs::signed::Verifier;
use crate::rootfs::stage::{self, Work};
use crate::rootfs::system::System;
use crate::run::emulator;
use crate::run::ids::{self, Ids};
use crate::run::plan::Network;
use crate::session::Session;
use anyarch_client::error::Usage;
use anyarch_client::progress::count;
use anyarch_client::{claim, interrupt, machine};
use anyarch_manifest::debian::{DEBIAN, Debian};
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// Make a foreign Debian in a folder, configured, without root
///
/// The packages come from Debian's archive, checked from its keys on; the system's own dpkg installs them, in the
/// emulator. `anyarch run DIR -- apt-get install ...` works in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  anyarch rootfs --target arm64 ~/arm64
  anyarch rootfs --target riscv64 --suite trixie --include gcc,libc6-dev ~/riscv64
  anyarch run ~/arm64 -- apt-get install --yes hello")]
pub struct Rootfs {
    /// Target, by any usual name: one that Debian releases a system for
    #[arg(short, long, value_name = "TARGET")]
    target: String,
    /// Debian's suite [default: bookworm, or the oldest that has the target]
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// Additional packages, which the system's own apt installs with their dependencies
    #[arg(long, value_name = "PACKAGES", value_delimiter = ',')]
    include: Vec<String>,
    /// Where Debian's archive is; the system gets its packages there, too
    #[arg(long, value_name = "URL", env = "ANYARCH_DEBIAN_MIRROR", default_value = PUBLIC, hide_env_values = true)]
    mirror: String,
    /// Keys that vouch for the archive [default: those of the package debian-archive-keyring]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    keyring: Option<PathBuf>,
    /// Take a suite also when its mirror should have a newer one by now: a snapshot of sid, or of security updates
    #[arg(long)]
    allow_expired: bool,
    /// The emulator [default: from ~/.local/bin, PATH, /usr/libexec/anyarch or the cache, else it is fetched]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    emulator: Option<PathBuf>,
    #[command(flatten)]
    releases: Releases,
    /// A new folder, or an empty one
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made<'a> {
    folder: &'a Path,
    target: &'static str,
    architecture: &'static str,
    suite: String,
    mirror: &'a str,
    packages: Vec<Installed<'a>>,
    include: &'a [String],
}

/// A package of the system.
#[derive(Debug, Serialize)]
struct Installed<'a> {
    package: &'a str,
    version: &'a str,
    sha256: &'a str,
}

/// Makes the system, and says where it is.
pub fn run(session: &Session, arguments: &Rootfs) -> Result<()> {
    let target = names::target(&arguments.target)?;
    let debian = debian(target)?;
    let suite = suite(debian, arguments.suite.as_deref())?;
    if let Some(odd) = arguments.include.iter().find(|name| !is_package_name(name)) {
        bail!(Usage(format!("--include: `{odd}` is not a package name")));
    }
    let archive = Archive::new(session, &arguments.mirror)?;
    let verifier = Verifier::of_this_machine(arguments.keyring.as_deref())?;
    let is_own = machine::native().is_ok_and(|host| target.platforms.contains(&host));
    let emulator = match is_own && arguments.emulator.is_none() {
        true => None,
        false => Some(emulator::find(session, target, arguments.emulator.as_deref(), &arguments.releases)?),
    };
    let ids = ids::choose(&owner());
    if let Ids::One { why, .. } = &ids {
        session.progress.say(&format!("note: all files will be of one owner, yourself ({why})"));
    }
    let place = Place::claim(&arguments.folder, |left| {
        session.progress.say(&format!("removing what a run left that was killed: {}", left.display()));
        stage::ask(&ids, &Work::Remove(left.into()))
    })?;
    let running = Arc::new(AtomicU32::new(0));
    end_when_interrupted(&place, &ids, &running)?;
    let system = System { session, root: place.root(), emulator, ids, running };
    let made = make(&archive, &verifier, debian, suite, &system, &place, arguments);
    // What was interrupted failed because of that, and is removed by whoever interrupts it.
    interrupt::wait_if_interrupted();
    let packages = match made {
        Ok(packages) => packages,
        Err(error) => {
            let removed = stage::ask(&system.ids, &Work::Remove(place.root().into()));
            removed
                .and_then(|()| place.leave())
                .unwrap_or_else(|why| session.progress.say(&format!("{why:#}")));
            return Err(error);
        }
    };
    let folder = place.folder.clone();
    place.finish()?;
    let made = Made {
        folder: &folder,
        target: target.name,
        architecture: debian.architecture,
        suite: suite.to_owned(),
        mirror: &archive.address,
        packages: packages
            .iter()
            .map(|one| Installed { package: &one.name, version: &one.version, sha256: &one.sha256 })
            .collect(),
        include: &arguments.include,
    };
    session.show(&made, || format!("{}\n", folder.display()))
}

/// Ends what runs in the system, and removes it, when somebody interrupts this.
fn end_when_interrupted(place: &Place, ids: &Ids, running: &Arc<AtomicU32>) -> Result<()> {
    let (root, ids, running) = (place.root(), ids.clone(), Arc::clone(running));
    let partial = root.parent().map(Path::to_owned).unwrap_or_default();
    interrupt::install(move || {
        let pid = i32::try_from(running.load(Ordering::SeqCst)).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        // What cannot be removed now, the next run removes.
        let removed = stage::ask(&ids, &Work::Remove(root.as_path().into()));
        let _ = removed.and_then(|()| anyarch_client::files::remove(&partial));
    })
}

/// Debian's systems for a target.
fn debian(target: &Target) -> Result<&'static Debian, Usage> {
    Debian::of(target.name).ok_or_else(|| {
        let all: Vec<&str> = DEBIAN.iter().map(|debian| debian.target).collect();
        Usage(format!("Debian releases no system for {}; it does for: {}", target.name, all.join(" ")))
    })
}

/// The suite that is asked for. Of those that are not known, the archive says what they have.
fn suite<'a>(debian: &'static Debian, asked: Option<&'a str>) -> Result<&'a str, Usage> {
    let Some(suite) = asked else { return Ok(debian.usual_suite()) };
    let is_known = DEBIAN.iter().any(|other| other.suites.contains(&suite));
    if is_known && !debian.suites.contains(&suite) {
        return Err(Usage(format!(
            "Debian {suite} has no {}; suites that have it: {}",
            debian.architecture,
            debian.suites.join(" ")
        )));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    match !suite.is_empty()
        && suite.starts_with(|c: char| c.is_ascii_alphanumeric())
        && suite.chars().all(is_plain)
    {
        true => Ok(suite),
        false => Err(Usage(format!("--suite: `{suite}` is not the name of a suite"))),
    }
}

/// Whether a word can name a package. Nothing else reaches apt's command line, where it could pass for an option.
fn is_package_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~_".contains(c))
}

/// All the work, from the keys to a system in which every package is installed.
fn make(
    archive: &Archive<'_>,
    verifier: &Verifier,
    debian: &Debian,
    suite: &str,
    system: &System<'_>,
    place: &Place,
    arguments: &Rootfs,
) -> Result<Vec<Package>> {
    let session = system.session;
    let _claim =
        claim::shared(&session.cache).context("set ANYARCH_CACHE to a folder that you can write to")?;
    let release = archive.suite(suite, verifier)?;
    let is_past = release.is_past(SystemTime::now());
    if let (true, false, Some(until)) = (is_past, arguments.allow_expired, &release.valid_until) {
        bail!(
            "{suite} of {} was valid until {until}: it may lack what was mended since\n  \
             to fix it: take another mirror (--mirror URL), or, for a snapshot, pass --allow-expired",
            archive.address
        );
    }
    let text = archive.index(suite, &release, release.packages(debian.architecture)?)?;
    let packages = choose::packages(&Index::read(&text))?;
    drop(text);
    let places = archive.packages(&packages)?;
    let step = session.progress.step(format!("unpack {}", count(packages.len(), "package")));
    let packed = packages.iter().zip(&places).map(|(package, place)| Packed {
        place: place.as_path().into(),
        name: package.file.1.clone(),
        sha256: package.sha256.clone(),
    });
    let filling = Filling {
        root: place.make_root()?.into(),
        architecture: debian.architecture.to_owned(),
        packages: packed.collect(),
        files: files(archive, suite, &system.ids, is_past),
    };
    stage::ask(&system.ids, &Work::Fill(filling))?;
    step.done("done");
    install(system, &packages)?;
    include(system, &arguments.include)?;
    stage::ask(&system.ids, &Work::Settle(place.root().into()))?;
    let odd = fill::states(&place.root())?.into_iter().find(|(_, state)| state != "install ok installed");
    match odd {
        Some((package, state)) => bail!("{package} is not installed as it should be: {state}"),
        None => Ok(packages),
    }
}

/// What a system is told of where it is.
fn files(archive: &Archive<'_>, suite: &str, ids: &Ids, is_past: bool) -> Vec<(String, String)> {
    let main = &archive.address;
    let mut sources = format!("deb {main} {suite} main\n");
    let updates = format!("{suite}-updates");
    if archive.has(&updates) {
        sources += &format!("deb {main} {updates} main\n");
        let (security, fixes) = (format!("{main}-security"), format!("{suite}-security"));
        let has_fixes = archive.beside(&security).is_some_and(|beside| beside.has(&fixes));
        if has_fixes {
            sources += &format!("deb {security} {fixes} main\n");
        } else {
            let text =
                format!("note: {security} has no {fixes}: add one to /etc/apt/sources.list of the system");
            archive.session.progress.say(&text);
        }
    }
    let mut files = vec![
        ("/etc/apt/sources.list".to_owned(), sources),
        ("/etc/hostname".to_owned(), "anyarch\n".to_owned()),
        ("/etc/fstab".to_owned(), "# Whoever runs this system mounts what it needs.\n".to_owned()),
    ];
    let mut apt = String::new();
    if matches!(ids, Ids::One { .. }) {
        apt += "// There is one user: apt cannot become another one.\nAPT::Sandbox::User \"root\";\n";
    }
    if is_past {
        apt += "// The mirror is a snapshot.\nAcquire::Check-Valid-Until \"false\";\n";
    }
    if !apt.is_empty() {
        files.push(("/etc/apt/apt.conf.d/90anyarch".to_owned(), apt));
    }
    files
}

/// Has the system's own dpkg install the packages, whose files are there already.
fn install(system: &System<'_>, packages: &[Package]) -> Result<()> {
    let step = system.session.progress.step("install them by the system's own dpkg");
    let places: Vec<String> =
        packages.iter().map(|package| format!("{ARCHIVES}/{}", package.file.1)).collect();
    // Each is unpacked, then configured. Before that, none of its dependencies is installed.
    let mut words = vec!["dpkg", "--force-depends", "--install"];
    words.extend(places.iter().map(String::as_str));
    let (mut done, all) = (0, 2 * packages.len() as u64);
    system.run(&["/sbin/ldconfig"], Network::None, |_| ())?;
    system.run(&words, Network::None, |line| {
        if line.starts_with("Unpacking ") || line.starts_with("Setting up ") {
            done += 1;
        }
        step.count(done, all, line);
    })?;
    step.done("done");
    Ok(())
}

/// Has the system's own apt install more packages.
fn include(system: &System<'_>, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let step = system.session.progress.step("update its lists of packages");
    system.run(&["apt-get", "update"], Network::Host, |_| ())?;
    step.done("done");
    let step = system.session.progress.step(format!("install {}", names.join(" ")));
    let mut words = vec!["apt-get", "install", "--yes", "--no-install-recommends", "--"];
    words.extend(names.iter().map(String::as_str));
    system.run(&words, Network::Host, |_| ())?;
    step.done("done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_chosen_by_what_they_have() {
        let of = |target| debian(names::target(target).expect("known")).expect("Debian has it");
        assert_eq!(suite(of("arm64"), None).expect("usual"), "bookworm");
        assert_eq!(suite(of("riscv64"), None).expect("usual"), "trixie");
        assert_eq!(suite(of("arm64"), Some("stable")).expect("the archive says"), "stable");
        let error = suite(of("riscv64"), Some("bookworm")).expect_err("not yet").to_string();
        assert_eq!(error, "Debian bookworm has no riscv64; suites that have it: trixie forky sid");
        for odd in ["", "../x", "a b", "-o"] {
            assert!(suite(of("arm64"), Some(odd)).is_err(), "{odd}");
        }
        let error = debian(names::target("sh4").expect("known")).expect_err("a port").to_string();
        assert!(error.contains("no system for sh4; it does for: aarch64 arm"), "{error}");
    }

    #[test]
    fn nothing_but_names_of_packages_reaches_apt() {
        assert!(["gcc", "libc6-dev", "g++", "hello=2.10-3"].into_iter().all(is_package_name));
        assert!(!["", "-o", "a b", "../x", "$(x)"].into_iter().any(is_package_name));
    }
}
