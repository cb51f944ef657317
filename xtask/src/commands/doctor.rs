//! `doctor`: what is missing on this machine, with the command that installs it.

use super::show;
use crate::apt::{self, Mirrors};
use crate::error::{INSTALL, Missing};
use crate::facts::{Host, Series, series};
use crate::session::Session;
use crate::toolchain::{self, Compilers, Rustc};
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::path::Path;

/// List what is missing on this machine, with the commands that install it
#[derive(Debug, Args)]
pub struct Doctor;

#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    wanted_for: String,
    found: Option<String>,
    get: String,
}

/// Programs that must be on the machine, what for, and the command that gets them on Debian.
const PROGRAMS: [(&str, &str, &str); 5] = [
    ("git", "patches and source from git", "apt-get install git"),
    ("python3", "QEMU's configure", "apt-get install python3"),
    ("apt-get", "sysroots and Debian's source", "use Debian or Ubuntu, or one of their containers"),
    ("dpkg-deb", "sysroots", "use Debian or Ubuntu, or one of their containers"),
    ("sh", "QEMU's configure", "apt-get install dash"),
];

/// Programs that only some things want.
const OPTIONAL: [(&str, &str, &str); 8] = [
    ("xz", "unpacking tarballs with tar", "apt-get install xz-utils"),
    ("unshare", "guest systems without root (tests, the tour)", "apt-get install util-linux"),
    ("docker", "--toolchain container (or podman)", "apt-get install docker.io"),
    ("podman", "--toolchain container (or docker)", "apt-get install podman"),
    ("ccache", "--launcher ccache", "apt-get install ccache"),
    ("sccache", "--launcher sccache", "apt-get install sccache"),
    ("distcc", "--launcher distcc", "apt-get install distcc"),
    ("strace", "the test that interception is inert when off", "apt-get install strace"),
];

/// Looks for everything that the project cannot get by itself. Exit code 3 if a needed thing is missing.
pub fn run(session: &Session) -> Result<()> {
    let find = |(name, what, get): &(&str, &str, &str)| Finding {
        what: (*name).to_owned(),
        wanted_for: (*what).to_owned(),
        found: which::which(name).ok().map(|path| path.display().to_string()),
        get: (*get).to_owned(),
    };
    let mut needed: Vec<Finding> = PROGRAMS.iter().map(find).collect();
    let (own, others): (Vec<_>, Vec<_>) = compilers(session)?.into_iter().partition(|(is_own, _)| *is_own);
    needed.extend(own.into_iter().map(|(_, finding)| finding));
    needed.extend(settings(session)?);
    let others: Vec<Finding> = others.into_iter().map(|(_, finding)| finding).collect();
    let all_hosts = one_command(&others);
    let optional: Vec<Finding> = OPTIONAL.iter().map(find).collect();
    let rust = rust(session)?;

    let result = serde_json::json!({
        "needed": needed,
        "hosts": others,
        "all_hosts": all_hosts,
        "rust": rust,
        "optional": optional,
        "cache": session.workspace.cache,
    });
    show(session, &result, || {
        let line = |finding: &Finding| match &finding.found {
            Some(found) => format!("ok       {:<22} {found}\n", finding.what),
            None => format!(
                "missing  {:<22} for {}\n         to fix it: {}\n",
                finding.what, finding.wanted_for, finding.get
            ),
        };
        let mut text: String = needed.iter().map(line).collect();
        text.push_str("to build emulators for other hosts (or pass --toolchain container):\n");
        text.extend(others.iter().map(line));
        if let Some(command) = &all_hosts {
            text.push_str(&format!("for all hosts: {command}\n"));
        }
        text.push_str("to build anyarch, the users' program (`cargo xtask program`):\n");
        text.extend(rust.iter().map(line));
        text.push_str("optional, needed by some commands:\n");
        text.extend(optional.iter().map(line));
        text.push_str(&format!("cache: {}\n", session.workspace.cache.display()));
        text
    })?;
    match needed.iter().find(|finding| finding.found.is_none()) {
        Some(missing) => Err(Missing::new(&missing.what, &missing.get).into()),
        None => Ok(()),
    }
}

/// The compilers of every host: of this machine's own first, which every build wants, then of the others.
fn compilers(session: &Session) -> Result<Vec<(bool, Finding)>> {
    let mut hosts = Host::all(&session.workspace.root.join("toolchains"))?;
    hosts.sort_by_key(|host| !host.is_native());
    let finding = |host: &Host| {
        let found = Compilers::find(host);
        let get = format!("{INSTALL}{}", Compilers::packages(host).join(" "));
        let finding = Finding {
            what: format!("compiler for {}", host.platform),
            wanted_for: format!("emulators for {}", host.platform),
            found: found.ok().map(|found| found.cc.display().to_string()),
            get,
        };
        (host.is_native(), finding)
    };
    Ok(hosts.iter().map(finding).collect())
}

/// Rust's standard library for each host that has one.
fn rust(session: &Session) -> Result<Vec<Finding>> {
    let root = &session.workspace.root;
    let hosts = Host::all(&root.join("toolchains"))?;
    let finding = |host: &Host| {
        let rust = host.rust.as_ref()?;
        Some(Finding {
            what: format!("Rust for {}", host.platform),
            wanted_for: format!("anyarch for {}", host.platform),
            found: Rustc::find(root, rust).ok().map(|_| rust.target.clone()),
            get: format!("rustup {}", rust.rustup()),
        })
    };
    Ok(hosts.iter().filter_map(finding).collect())
}

/// The packages that several commands would install, in one.
fn one_command(findings: &[Finding]) -> Option<String> {
    let missing = findings.iter().filter(|finding| finding.found.is_none());
    let mut packages: Vec<&str> = missing
        .filter_map(|finding| finding.get.strip_prefix(INSTALL))
        .flat_map(|all| all.split(' '))
        .collect();
    packages.sort_unstable();
    packages.dedup();
    (!packages.is_empty()).then(|| format!("{INSTALL}{}", packages.join(" ")))
}

/// What is there, but may not do: Python's version, apt's mirrors and keys, the name of the cache.
fn settings(session: &Session) -> Result<Vec<Finding>> {
    let series = Series::read(&session.workspace.root.join("patches"), series::DEFAULT)?;
    let finding = |what: String, wanted_for: &str, found: Option<String>, get: &str| Finding {
        what,
        wanted_for: wanted_for.to_owned(),
        found,
        get: get.to_owned(),
    };
    let python = toolchain::interpreter(&series.pins.build.python).ok();
    let keyring = Path::new(apt::KEYRING).is_file().then(|| apt::KEYRING.to_owned());
    let cache = &session.workspace.cache;
    let cache_fits = toolchain::refuse_blanks(cache, "", "").is_ok().then(|| cache.display().to_string());
    Ok(vec![
        finding(
            format!("Python {} or newer", series.pins.build.python),
            "QEMU's configure",
            python.map(|(path, version)| format!("{} ({version})", path.display())),
            "apt-get install python3",
        ),
        finding(
            "a Debian mirror".to_owned(),
            "sysroots and Debian's source",
            Mirrors::of_this_machine().ok().map(|_| "in apt's configuration".to_owned()),
            "export ANYARCH_DEBIAN_MIRROR=URI, with the address of a Debian mirror",
        ),
        finding(
            "Debian's keys".to_owned(),
            "to check Debian's signatures",
            keyring,
            "apt-get install debian-archive-keyring",
        ),
        finding(
            "a cache folder without spaces in its path".to_owned(),
            "QEMU's configure",
            cache_fits,
            "export ANYARCH_CACHE=FOLDER, a path without spaces and colons",
        ),
    ])
}
