//! Debian packages without root: apt with folders of its own, from wherever this machine's apt gets
//! its packages. Nothing on the system changes; proxies, credentials and mirrors of its
//! configuration hold here too.

mod mirrors;

pub use mirrors::Mirrors;

use crate::download;
use crate::error::Missing;
use crate::facts::native;
use crate::process::{self, capture};
use crate::session::Session;
use anyarch_client::files::{self, TempFolder};
use anyarch_client::lock::Lock;
use anyarch_client::progress::count;
use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use xshell::cmd;

/// Lists that are younger than this are not asked for again.
const MAX_LIST_AGE: Duration = Duration::from_secs(6 * 60 * 60);
/// Debian's own keys, which apt checks every list with.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What holds for every call. Hooks of the machine are for the machine's own package database, and
/// what the signed lists do not vouch for is never taken, whatever the machine's settings allow.
const CONFIGURATION: &str = r#"
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "8";
Acquire::https::Timeout "8";
"#;

/// A file that apt can download: a package, or a file of a source package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct AptFile {
    /// URL of the file.
    #[serde(skip)]
    pub uri: String,
    /// Its file name: `libc6-dev_2.36-9+deb12u10_amd64.deb`.
    pub file: String,
    /// SHA-256 of the file from Debian's signed lists, lower-case hex.
    pub sha256: String,
}

/// An apt with folders of its own, for one Debian suite and architecture.
#[derive(Debug)]
pub struct Apt<'a> {
    session: &'a Session,
    home: PathBuf,
    suite: String,
    arch: String,
    _lock: Lock,
}

impl<'a> Apt<'a> {
    /// Opens the private apt of a suite (`bookworm`) and architecture (`amd64`), with fresh lists of
    /// its binary packages; `source` as architecture stands for source packages.
    pub fn open(session: &'a Session, suite: &str, arch: &str) -> Result<Self> {
        if let Some(odd) = [suite, arch].iter().find(|name| !is_package_name(name)) {
            bail!("Debian has no suite or architecture `{odd}`");
        }
        for tool in ["apt-get", "dpkg-deb"] {
            which::which(tool).map_err(|_| {
                Missing::new(
                    format!("{tool} (Debian's libraries and sources are downloaded with it)"),
                    "use Debian or Ubuntu, or one of their containers",
                )
            })?;
        }
        let home = session.workspace.cache.join("apt").join(format!("{suite}-{arch}"));
        let apt = Self {
            session,
            suite: suite.to_owned(),
            arch: arch.to_owned(),
            _lock: Lock::acquire(&home, &session.progress)?,
            home,
        };
        files::write_file(&apt.home.join("apt.conf"), CONFIGURATION.as_bytes())?;
        apt.update()?;
        Ok(apt)
    }

    fn is_source(&self) -> bool {
        self.arch == "source"
    }

    /// `apt-get` with private folders. What the machine's apt says of sources, pins, hooks and installed
    /// packages is left out; what it says of how to reach servers stays.
    fn apt_get(&self) -> Command {
        let mut command = Command::new("apt-get");
        let folder = |name: &str| self.home.join(name).display().to_string();
        let arch = if self.is_source() { native_arch() } else { &self.arch };
        command.arg(format!("-c={}", folder("apt.conf")));
        let options = [
            format!("Dir::State={}", folder("state")),
            format!("Dir::State::status={}", folder("status")),
            format!("Dir::Cache={}", folder("cache")),
            format!("Dir::Etc::sourcelist={}", folder("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("APT::Architecture={arch}"),
            format!("APT::Architectures={arch}"),
        ];
        for option in options {
            command.args(["-o", &option]);
        }
        command.args(["-q", "-y"]);
        // Messages are read by people who look them up; file names are read by us.
        command.env("LC_ALL", "C.UTF-8");
        command
    }

    /// Lists that are not fresh are got anew: with the security fixes, or else without.
    fn update(&self) -> Result<()> {
        let stamp = self.home.join("updated");
        let lists = self.sources_lists()?;
        let known = fs::read_to_string(self.home.join("sources.list")).is_ok_and(|old| lists.contains(&old));
        let age = fs::metadata(&stamp).and_then(|meta| meta.modified()).ok();
        let is_fresh =
            age.is_some_and(|at| SystemTime::now().duration_since(at).unwrap_or_default() < MAX_LIST_AGE);
        if known && (is_fresh || self.session.offline) {
            return Ok(());
        }
        self.online()?;
        files::remove(&stamp)?;
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            let folder = self.home.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        files::write_file(&self.home.join("status"), b"")?;
        let step =
            self.session.progress.step(format!("package lists of Debian {} {}", self.suite, self.arch));
        let mut outcome = Ok(());
        for (number, list) in lists.iter().enumerate() {
            if number > 0 {
                self.session.progress.say(&format!(
                    "warning: cannot download the security updates of Debian {} {}; continuing without them",
                    self.suite, self.arch
                ));
            }
            outcome = self.update_from(list);
            if outcome.is_ok() {
                break;
            }
        }
        outcome.with_context(|| {
            format!("cannot download the package lists of Debian {} {}", self.suite, self.arch)
        })?;
        files::write_file(&stamp, b"")?;
        step.done("fresh");
        Ok(())
    }

    /// An error if only the cache may be used.
    fn online(&self) -> Result<()> {
        if self.session.offline {
            bail!(
                "some packages of Debian {} {} are not in the cache, and --offline is set",
                self.suite,
                self.arch
            );
        }
        Ok(())
    }

    fn update_from(&self, list: &str) -> Result<()> {
        files::write_file(&self.home.join("sources.list"), list.as_bytes())?;
        let mut update = self.apt_get();
        update.arg("update");
        let log = self.session.workspace.log(&format!("apt-{}-{}", self.suite, self.arch));
        process::LoggedCommand::new(update, &log).run(&self.session.progress, |_| ())
    }

    /// What may stand in sources.list, best first: the machine's own mirrors with our suite.
    fn sources_lists(&self) -> Result<Vec<String>> {
        let kind = if self.is_source() { "deb-src" } else { "deb" };
        let signed =
            if Path::new(KEYRING).is_file() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        let mirrors = Mirrors::of_this_machine()?;
        let main = format!("{kind} {signed}{} {} main\n", mirrors.main, self.suite);
        let mut lists = vec![main.clone()];
        if let Some(security) = mirrors.security.filter(|_| has_security(&self.suite) && !self.is_source()) {
            lists.insert(0, format!("{main}{kind} {signed}{security} {}-security main\n", self.suite));
        }
        Ok(lists)
    }

    /// The newest versions of these packages, without their dependencies.
    pub fn resolve(&self, packages: &[String]) -> Result<Vec<AptFile>> {
        let mut command = self.apt_get();
        command.arg("--print-uris").arg("download").args(packages);
        parse_uris(&capture(command)?, packages.len())
    }

    /// Downloads these packages into the cache, checked.
    pub fn download(&self, packages: &[String]) -> Result<Vec<(AptFile, PathBuf)>> {
        let items = self.resolve(packages)?;
        let missing = self.missing(&items)?;
        if !missing.is_empty() {
            let step = self.session.progress.step(format!(
                "{} of Debian {} {}",
                count(missing.len(), "package"),
                self.suite,
                self.arch
            ));
            let mut command = self.apt_get();
            command.arg("download").args(packages);
            self.receive(command, &missing)?;
            step.done("checked");
        }
        self.kept(items)
    }

    /// Downloads one file of a source package into the cache, checked against `sha256`.
    pub fn source_file(&self, package: &str, version: &str, file: &str, sha256: &str) -> Result<PathBuf> {
        let wanted = format!("{package}={version}");
        let mut list = self.apt_get();
        list.args(["--print-uris", "source", &wanted]);
        let items = parse_uris(&capture(list)?, 1)?;
        let item = items.iter().find(|item| item.file == file);
        let item = item.with_context(|| format!("{wanted} of Debian {} has no file {file}", self.suite))?;
        ensure!(
            item.sha256 == sha256,
            "Debian's {file} does not have the pinned hash\n  its sha256 is {}\n  pinned is    {sha256}",
            item.sha256
        );
        let step = self.session.progress.step(format!("download {file}"));
        let mut get = self.apt_get();
        get.args(["--download-only", "--tar-only", "source", &wanted]);
        self.receive(get, std::slice::from_ref(item))?;
        step.done("checked");
        Ok(download::cached_path(&self.session.workspace, sha256, file))
    }

    fn missing(&self, items: &[AptFile]) -> Result<Vec<AptFile>> {
        let mut missing = Vec::new();
        for item in items {
            if download::cached(&self.session.workspace, &item.sha256, &item.file)?.is_none() {
                missing.push(item.clone());
            }
        }
        Ok(missing)
    }

    fn kept(&self, items: Vec<AptFile>) -> Result<Vec<(AptFile, PathBuf)>> {
        let place = |item: AptFile| {
            let path = download::cached_path(&self.session.workspace, &item.sha256, &item.file);
            (item, path)
        };
        Ok(items.into_iter().map(place).collect())
    }

    /// Runs a download in a private folder and takes what it brought into the cache.
    fn receive(&self, mut command: Command, items: &[AptFile]) -> Result<()> {
        self.online()?;
        let folder = TempFolder::new(&self.home)?;
        command.current_dir(folder.path());
        let log = self.session.workspace.log(&format!("apt-{}-{}", self.suite, self.arch));
        process::LoggedCommand::new(command, &log)
            .run(&self.session.progress, |_| ())
            .with_context(|| format!("cannot download packages of Debian {}", self.suite))?;
        for item in items {
            let file = folder.path().join(&item.file);
            download::add_file(&self.session.workspace, &file, &item.sha256, &item.file)?;
        }
        Ok(())
    }
}

/// Unpacks a package's files below `root`; its scripts are not run.
pub fn unpack(deb: &Path, root: &Path) -> Result<()> {
    let shell = process::shell()?;
    capture(cmd!(shell, "dpkg-deb --extract {deb} {root}")).map(drop)
}

/// The lines `'URI' FILE SIZE SHA256:HASH` of apt's `--print-uris`.
fn parse_uris(text: &str, at_least: usize) -> Result<Vec<AptFile>> {
    let mut items = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('\'')) {
        let mut words = line.split_whitespace();
        let (Some(uri), Some(file), Some(_size), Some(hash)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            bail!("unexpected output of apt: {line}");
        };
        let sha256 =
            hash.strip_prefix("SHA256:").with_context(|| format!("apt gives no SHA-256 for {file}"))?;
        ensure!(!file.contains('/'), "apt gives a file name that contains a folder: {file}");
        items.push(AptFile {
            uri: uri.trim_matches('\'').to_owned(),
            file: file.to_owned(),
            sha256: sha256.to_owned(),
        });
    }
    ensure!(items.len() >= at_least, "apt found {} of {at_least} packages:\n{text}", items.len());
    items.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(items)
}

/// dpkg's name of this machine's architecture.
pub fn native_arch() -> &'static str {
    match native() {
        Ok("386") => "i386",
        Ok("arm/v6") => "armel",
        Ok("arm/v7") => "armhf",
        Ok("mips64le") => "mips64el",
        Ok("ppc64le") => "ppc64el",
        Ok(same) => same,
        Err(_) => std::env::consts::ARCH,
    }
}

/// Whether a name can be one of a package, with `=VERSION` or not. Nothing else reaches apt's command
/// line, where it could pass for an option.
pub fn is_package_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~_".contains(c))
}

/// Suites that are still being made get their fixes directly.
fn has_security(suite: &str) -> bool {
    !matches!(suite, "sid" | "unstable" | "experimental" | "testing" | "forky")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_list_of_files_is_read_with_its_hashes() {
        let text = "Reading package lists...\n'http://m/b_1%3a2_amd64.deb' b_1%3a2_amd64.deb 7 SHA256:bb\n\
                    'http://m/a_1_amd64.deb' a_1_amd64.deb 5 SHA256:aa\n";
        let items = parse_uris(text, 2).expect("read");
        let files: Vec<_> = items.iter().map(|item| (item.file.as_str(), item.sha256.as_str())).collect();
        assert_eq!(files, [("a_1_amd64.deb", "aa"), ("b_1%3a2_amd64.deb", "bb")]);
        assert!(parse_uris(text, 3).is_err(), "a package that apt does not know must not pass");
        assert!(parse_uris("'http://m/x' x 1 MD5Sum:aa\n", 1).is_err(), "only sha256 will do");
    }
}
