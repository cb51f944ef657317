//! The room that a case runs in: namespaces of its own, with ids of nobody on this machine, a limit on processes, an
//! empty file system for what it makes, and a limit of time. What a case leaves running ends with the room.

use super::Lane;
use super::cases::Case;
use super::results::{self, Ended};
use crate::children::RegisteredChild;
use crate::error::Missing;
use crate::process::{output_within, spawn};
use crate::verify::alone;
use anyarch_client::interrupt;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a case may take: twice as long as LTP gives most of them.
const LIMIT: Duration = Duration::from_secs(60);

/// The most processes in all rooms together.
const PROCESSES: &str = "--nproc=600";

/// Where the ids of a room begin on this machine, if root may choose them: those of no user and of no container.
const IDS: u32 = 1_500_000_000;

/// What happens inside before the case begins. Its arguments: the folder for the case, and the case's command. The room's
/// root cannot change what belongs to the machine, such as limits and who is killed first where memory ends: without the
/// capability, LTP does not try. It does not like to be the first process either.
const INSIDE: &str = "\
mount -t tmpfs -o size=1g,mode=1777 tmpfs \"$1\"
cd \"$1\"
shift
if command -v ip > /dev/null; then ip link set lo up; fi
code=0
setpriv --bounding-set -sys_resource -- \"$@\" || code=$?
exit $code";

/// A place for rooms.
#[derive(Debug)]
pub struct Rooms {
    /// An empty folder that every room sees, and covers for itself.
    folder: PathBuf,
    keeper: Child,
    _registered: RegisteredChild,
}

impl Rooms {
    /// Rooms whose folder lies in `home`; tries whether there can be any.
    pub fn new(home: &Path) -> Result<Self> {
        for program in ["nsenter", "prlimit", "setpriv", "unshare"] {
            which::which(program).map_err(|_| Missing::new(program, "apt-get install util-linux"))?;
        }
        let folder = home.join("room");
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let (keeper, registered) = keeper().context("the cases of LTP want a user namespace")?;
        let rooms = Self { folder, keeper, _registered: registered };
        let mut command = rooms.command();
        command.arg("true");
        let said = output_within(LIMIT, &mut command)?;
        if !said.status.success() {
            bail!("the cases of LTP have no room here: {}", String::from_utf8_lossy(&said.stderr).trim());
        }
        Ok(rooms)
    }

    /// Runs a case.
    pub fn run(&self, lane: &Lane, case: &Case) -> Result<Ended> {
        let mut command = self.command();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", lane.programs.display()));
        command.args(&lane.emulator).arg(lane.programs.join(&case.program)).args(&case.arguments);
        match output_within(LIMIT, &mut command) {
            Ok(output) => Ok(results::read(output.status, &[output.stdout, output.stderr].concat())),
            Err(error) if interrupt::interrupted() => Err(error),
            Err(_) => Ok(Ended::Failed(format!("took longer than {} s", LIMIT.as_secs()))),
        }
    }

    /// A command that enters a new room; what it runs there is added as arguments.
    fn command(&self) -> Command {
        let mut command = alone(Path::new("nsenter"));
        command
            .args(["--user", "--setuid", "0", "--setgid", "0", "--target"])
            .arg(self.keeper.id().to_string());
        command.args([
            "--",
            "prlimit",
            PROCESSES,
            "--core=0",
            "--",
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
        ]);
        command.args(["--mount", "--mount-proc", "--uts", "--ipc", "--net", "--cgroup", "--"]);
        command.args(["sh", "-ec", INSIDE, "sh"]).arg(&self.folder);
        command.env("TMPDIR", &self.folder).env("LTP_COLORIZE_OUTPUT", "n");
        command
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        // It may have been ended with us already.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// A process that does nothing in a new user namespace, which has 65,536 ids. Root gives it those that nobody has;
/// others, those of /etc/subuid and /etc/subgid.
fn keeper() -> Result<(Child, RegisteredChild)> {
    let is_root = rustix::process::geteuid().is_root();
    let mut command = Command::new("unshare");
    command.arg("--user");
    if !is_root {
        command.args(["--map-root-user", "--map-auto"]);
    }
    command.args(["--", "sleep", "infinity"]).stdin(Stdio::null()).stdout(Stdio::null());
    let (mut child, registered) = spawn(&mut command, None)?;
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let namespace = |process: &Path| fs::read_link(process.join("ns/user")).ok();
    let has_ids = || fs::read_to_string(process.join("uid_map")).is_ok_and(|map| !map.trim().is_empty());
    let begun = Instant::now();
    while namespace(&process) == namespace(Path::new("/proc/self")) || !is_root && !has_ids() {
        if let Some(status) = child.try_wait()? {
            bail!(
                "`unshare --user` {}: an ordinary user needs ids in /etc/subuid and /etc/subgid",
                crate::process::ended(status)
            );
        }
        if begun.elapsed() > LIMIT {
            bail!("`unshare --user` did not begin");
        }
        sleep(Duration::from_millis(10));
    }
    if is_root {
        for name in ["uid_map", "gid_map"] {
            let map = process.join(name);
            fs::write(&map, format!("0 {IDS} 65536\n"))
                .with_context(|| format!("cannot write {}", map.display()))?;
        }
    }
    Ok((child, registered))
}
