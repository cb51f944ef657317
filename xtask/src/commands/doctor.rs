//! `doctor`: what this machine lacks, with the command that gets it.

use super::show;
use crate::apt::{self, Mirrors};
use crate::exit::{Lacks, Usage};
use crate::facts::{Host, Series, series};
use crate::session::Session;
use crate::toolchain;
use anyhow::Result;
use serde::Serialize;
use std::path::Path;

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
    ("apt-get", "sysroots and Debian's source", "use Debian, Ubuntu or a container of theirs"),
    ("dpkg-deb", "sysroots", "use Debian, Ubuntu or a container of theirs"),
    ("sh", "QEMU's configure", "apt-get install dash"),
];

/// Programs that only some things want.
const OPTIONAL: [(&str, &str, &str); 3] = [
    ("xz", "unpacking tarballs with tar", "apt-get install xz-utils"),
    ("unshare", "guest systems without root (tests, the tour)", "apt-get install util-linux"),
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
    needed.extend(compilers(session)?);
    needed.extend(settings(session)?);
    let optional: Vec<Finding> = OPTIONAL.iter().map(find).collect();

    let result =
        serde_json::json!({ "needed": needed, "optional": optional, "cache": session.workspace.cache });
    show(session, &result, || {
        let line = |finding: &Finding| match &finding.found {
            Some(found) => format!("ok       {:<22} {found}\n", finding.what),
            None => format!(
                "missing  {:<22} for {}\n         to get it: {}\n",
                finding.what, finding.wanted_for, finding.get
            ),
        };
        let mut text: String = needed.iter().map(line).collect();
        text.push_str("wanted by some commands:\n");
        text.extend(optional.iter().map(line));
        text.push_str(&format!("cache: {}\n", session.workspace.cache.display()));
        text
    })?;
    match needed.iter().find(|finding| finding.found.is_none()) {
        Some(missing) => Err(Lacks::new(&missing.what, &missing.get).into()),
        None => Ok(()),
    }
}

/// The compiler of the machine's own host.
fn compilers(session: &Session) -> Result<Option<Finding>> {
    let hosts = Host::all(&session.workspace.root.join("toolchains"))?;
    let host = match Host::named("native", &hosts) {
        Ok(host) => host,
        Err(Usage(_)) => return Ok(None),
    };
    Ok(Some(Finding {
        what: format!("compiler for {}", host.platform),
        wanted_for: format!("emulators for {}", host.platform),
        found: toolchain::compilers(host).ok().map(|(cc, _)| cc.display().to_string()),
        get: host.compiler.install.clone(),
    }))
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
            "checking what mirrors send",
            keyring,
            "apt-get install debian-archive-keyring",
        ),
        finding(
            "a cache without blanks".to_owned(),
            "QEMU's configure",
            cache_fits,
            "export ANYARCH_CACHE=FOLDER, with no blank or colon in its name",
        ),
    ])
}
