//! User namespaces that root makes, with the ids that images have. `unshare` of bookworm maps root's ids by `newuidmap`,
//! which needs a grant even for root; root may write the maps itself.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A command that begins a user namespace, and waits there for [`let_in`]. What it runs is added as arguments.
pub fn mapped() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--", "sh", "-c", "read -r mapped; exec \"$@\" < /dev/null", "sh"]);
    command.stdin(Stdio::piped());
    command
}

/// Gives its ids to the namespace of such a command, and lets the command go on.
pub fn let_in(child: &mut Child) {
    let process = format!("/proc/{}", child.id());
    let namespace = |process: &str| fs::read_link(Path::new(process).join("ns/user")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while namespace(&process) == namespace("/proc/self") {
        assert!(Instant::now() < deadline, "there are no user namespaces here");
        sleep(Duration::from_millis(10));
    }
    for name in ["uid_map", "gid_map"] {
        fs::write(Path::new(&process).join(name), "0 0 65536\n").unwrap();
    }
    writeln!(child.stdin.take().unwrap()).unwrap();
}
