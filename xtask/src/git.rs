//! git: a pinned commit without history, in a repository of the cache; and the program as every stage calls it.

use crate::process::{self, capture, ended};
use crate::session::Session;
use crate::unpack::{self, Rules};
use anyarch_client::files;
use anyarch_client::lock::Lock;
use anyhow::{Context as _, Result, bail, ensure};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use xshell::{Cmd, Shell, cmd};

/// A server that does not take a connection in this time is not there. git itself would wait minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

fn place(session: &Session, commit: &str) -> PathBuf {
    session.workspace.cache.join("git").join(commit)
}

/// Path of the cached repository that has this commit completely, if there is one. Its objects are checked
/// against their names, as downloads are against their hashes; a damaged one is removed.
pub fn cached(session: &Session, commit: &str) -> Result<Option<PathBuf>> {
    let repository = place(session, commit);
    if !repository.join("HEAD").is_file() {
        return Ok(None);
    }
    let shell = process::shell()?;
    let sound = git(&shell).arg("-C").arg(&repository).args(["fsck", "--no-progress", "--no-dangling"]);
    if capture(sound).is_ok() {
        return Ok(Some(repository));
    }
    files::remove(&repository)?;
    Ok(None)
}

/// git without the settings of the user and the machine, which could change bytes or ask questions.
pub fn git(shell: &Shell) -> Cmd<'_> {
    git_of_user(shell)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_CONFIG_COUNT")
        .env_remove("GIT_CONFIG_PARAMETERS")
}

/// git for a checkout of the user, whoever owns it. Only its own settings could do harm, and they are not used here.
pub fn at<'a>(shell: &'a Shell, checkout: &Path) -> Cmd<'a> {
    git(shell).arg("-c").arg(format!("safe.directory={}", checkout.display())).arg("-C").arg(checkout)
}

/// git as the user set it up, with their proxies and credentials, but never a question.
fn git_of_user(shell: &Shell) -> Cmd<'_> {
    let quiet_ssh =
        std::env::var("GIT_SSH_COMMAND").unwrap_or("ssh -oBatchMode=yes -oConnectTimeout=5".into());
    cmd!(
        shell,
        "git -c core.autocrlf=false -c core.fsmonitor=false -c gc.auto=0 -c advice.detachedHead=false"
    )
    .args(["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=15"])
    .env("GIT_TERMINAL_PROMPT", "0")
    .env("GIT_ASKPASS", "true")
    .env("GIT_SSH_COMMAND", quiet_ssh)
    .env_remove("GIT_DIR")
    .env_remove("GIT_WORK_TREE")
    .env_remove("GIT_INDEX_FILE")
}

/// Fetches the commit that `reference` names at `url`, which must be `commit`.
pub fn fetch(session: &Session, url: &str, reference: &str, commit: &str) -> Result<PathBuf> {
    let repository = place(session, commit);
    let _lock = Lock::acquire(&repository, &session.progress)?;
    if let Some(repository) = cached(session, commit)? {
        return Ok(repository);
    }
    can_be_asked(session, url)?;
    let shell = process::shell()?;
    let step = session.progress.step(format!("git fetch {reference} of {url}"));
    files::publish_dir(&repository, |folder| {
        init(&shell, folder)?;
        let log = session.workspace.log("git-fetch");
        let fetch = git_of_user(&shell).arg("-C").arg(folder).args([
            "fetch",
            "--progress",
            "--depth=1",
            "--no-tags",
            "--",
            url,
            reference,
        ]);
        process::LoggedCommand::new(fetch, &log)
            .run(&session.progress, |_| ())
            .with_context(|| format!("cannot fetch {reference} from {url}"))?;
        let found = capture(git(&shell).arg("-C").arg(folder).args(["rev-parse", "FETCH_HEAD^{commit}"]))?;
        let found = found.trim();
        ensure!(
            found == commit,
            "{reference} of {url} is not the pinned commit, so it was discarded\n  \
             it is      {found}\n  pinned is  {commit}"
        );
        capture(git(&shell).arg("-C").arg(folder).args(["update-ref", "refs/heads/pinned", commit]))?;
        Ok(())
    })?;
    step.done("the pinned commit");
    Ok(repository)
}

/// The names of the tags at `url`.
pub fn tags(session: &Session, url: &str) -> Result<Vec<String>> {
    can_be_asked(session, url)?;
    let shell = process::shell()?;
    let listed = capture(git_of_user(&shell).args(["ls-remote", "--tags", "--refs", "--", url]))?;
    let names = listed.lines().filter_map(|line| line.split_once("\trefs/tags/"));
    Ok(names.map(|(_, name)| name.to_owned()).collect())
}

/// The commit that a tag names at `url`, if there is that tag.
pub fn commit_of_tag(session: &Session, url: &str, tag: &str) -> Result<Option<String>> {
    can_be_asked(session, url)?;
    let shell = process::shell()?;
    let name = format!("refs/tags/{tag}");
    // What an annotated tag stands for has a line of its own.
    let peeled = format!("{name}^{{}}");
    let listed = capture(git_of_user(&shell).args(["ls-remote", "--", url, &name, &peeled]))?;
    let id = |wanted: &str| {
        let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
        lines.find(|(_, name)| *name == wanted).map(|(id, _)| id.to_owned())
    };
    Ok(id(&peeled).or_else(|| id(&name)))
}

/// A file of a commit, and when the commit was made, in seconds since 1970.
pub fn file_and_time(repository: &Path, commit: &str, file: &str) -> Result<(String, u64)> {
    let shell = process::shell()?;
    let ask = |arguments: &[&str]| capture(git(&shell).arg("-C").arg(repository).args(arguments));
    let text = ask(&["show", &format!("{commit}:{file}")])?;
    let time = ask(&["log", "-1", "--format=%ct", commit])?;
    Ok((text, time.trim().parse().context("git tells no time")?))
}

/// An error if `url` is elsewhere and nothing from there can come.
fn can_be_asked(session: &Session, url: &str) -> Result<()> {
    if Path::new(url).exists() {
        return Ok(());
    }
    if session.offline {
        bail!("{url} is not on this machine, and --offline is set");
    }
    answers(url)
}

/// Creates a bare repository that stores and exports files unchanged, whatever their git attributes are.
pub fn init(shell: &Shell, repository: &Path) -> Result<()> {
    capture(git(shell).args(["init", "--quiet", "--bare"]).arg(repository))?;
    let attributes = b"* -text -filter -ident -export-subst -export-ignore\n";
    files::write_file(&repository.join("info/attributes"), attributes)
}

/// Finds out in seconds whether a server can be reached at all; through a proxy only git can tell.
fn answers(url: &str) -> Result<()> {
    let Ok(parsed) = reqwest::Url::parse(url) else {
        return Ok(()); // ssh's short form; ssh has a limit of its own.
    };
    let proxies = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    if proxies.iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(());
    }
    let usual = match parsed.scheme() {
        "https" => Some(443),
        "http" => Some(80),
        "git" => Some(9418),
        _ => None,
    };
    let (Some(host), Some(port)) = (parsed.host_str().map(str::to_owned), parsed.port().or(usual)) else {
        return Ok(());
    };
    // Looking up a name has no limit of its own, so it is done aside; a thread that is late ends with us.
    let (tell, told) = mpsc::channel();
    let asked = host.clone();
    thread::spawn(move || tell.send(connect(&asked, port)));
    match told.recv_timeout(CONNECT_TIMEOUT) {
        Ok(answer) => answer,
        Err(_) => bail!("{host} does not answer within {} s", CONNECT_TIMEOUT.as_secs()),
    }
}

fn connect(host: &str, port: u16) -> Result<()> {
    let addresses = (host, port).to_socket_addrs().with_context(|| format!("cannot resolve {host}"))?;
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error).with_context(|| format!("{host} cannot be reached")),
        None => bail!("{host} has no address"),
    }
}

/// Writes a commit or tree of a repository into an existing empty folder.
pub fn export(repository: &Path, id: &str, into: &Path, leave_out: &[PathBuf]) -> Result<()> {
    let shell = process::shell()?;
    let mut archive =
        Command::from(git(&shell).arg("-C").arg(repository).args(["archive", "--format=tar", id]));
    archive.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let (mut child, _registered) = process::spawn(&mut archive, None)?;
    let stream = child.stdout.take().context("git has no output")?;
    let unpacked = unpack::tar(stream, into, Rules { strip_top: false, leave_out });
    let status = child.wait().context("cannot wait for git")?;
    unpacked.with_context(|| format!("cannot unpack git's export of {id}"))?;
    ensure!(status.success(), "git archive {id} {}", ended(status));
    Ok(())
}
