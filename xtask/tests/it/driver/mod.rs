//! The driver as a user runs it: a process with private folders, and servers on loopback to talk to.

pub mod encrypted;
pub mod engine;
pub mod foreign;
pub mod namespace;
pub mod refused;
pub mod releases;
pub mod server;
pub mod wants;

use anyarch_client::files::TempFolder;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;
use tempfile::TempDir;
use xtask::facts::Series;

/// The checkout that is tested.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The folder for what tests make; on the disk of the build trees, never in a small `/tmp`.
pub fn scratch() -> TempDir {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    tempfile::Builder::new().prefix("t").tempdir_in(folder).unwrap()
}

/// Builds are long and use every processor: one at a time, also where each test is a process (`cargo nextest`).
/// Dropping the file lets the next one begin.
pub fn exclusive() -> File {
    let file = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("machine.lock")).unwrap();
    file.lock().unwrap();
    file
}

/// What a command that succeeds says with `--json`.
pub fn json(driver: &Driver, arguments: &[&str]) -> Value {
    serde_json::from_str(&driver.succeed(arguments)).unwrap()
}

/// The driver with its checkout, cache, build trees and output in folders of our choice.
#[derive(Debug, Clone)]
pub struct Driver {
    pub root: PathBuf,
    pub cache: Option<PathBuf>,
    pub trees: PathBuf,
    pub out: PathBuf,
    pub environment: Vec<(String, String)>,
}

impl Driver {
    /// Everything below `home`, the cache as well: a machine that has nothing yet.
    pub fn fresh(home: &Path) -> Self {
        Self {
            root: checkout(),
            cache: Some(home.join("cache")),
            trees: home.join("trees"),
            out: home.join("out"),
            environment: Vec::new(),
        }
    }

    /// Build trees and output below `home`, downloads and sysroots from this user's cache, and compiled C
    /// from other tests where there is a ccache.
    pub fn warm(home: &Path) -> Self {
        Self { cache: None, environment: Self::launcher(), ..Self::fresh(home) }
    }

    /// Where compiled C is kept for all tests.
    pub fn ccache() -> PathBuf {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ccache")
    }

    fn launcher() -> Vec<(String, String)> {
        if which::which("ccache").is_err() {
            return Vec::new();
        }
        let folder = Self::ccache().display().to_string();
        vec![("ANYARCH_LAUNCHER".into(), "ccache".into()), ("CCACHE_DIR".into(), folder)]
    }

    /// As a user runs it in the checkout, with the trees and releases that are there.
    pub fn usual() -> Self {
        let root = checkout();
        Self {
            cache: None,
            trees: root.join("target/anyarch"),
            out: root.join("target/anyarch-out"),
            environment: Self::launcher(),
            root,
        }
    }

    pub fn arguments(&self, arguments: &[&str]) -> Vec<String> {
        let at = |option: &str, path: &Path| [option.to_owned(), path.display().to_string()];
        let mut all: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        all.extend(at("--root", &self.root));
        all.extend(at("--build-dir", &self.trees));
        all.extend(at("--out", &self.out));
        all
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(self.arguments(arguments));
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command.env_remove("ANYARCH_ROOT").env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        if let Some(cache) = &self.cache {
            command.env("ANYARCH_CACHE", cache);
        }
        // A user's own would go before the driver's.
        command.env_remove("CCACHE_BASEDIR");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    /// The driver started by `sh`, after `setup`, in namespaces of its own (`unshare` options).
    pub fn unshared(&self, namespaces: &[&str], setup: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user"]).args(namespaces);
        command.args(["sh", "-ec", &format!("{setup}\nexec \"$@\""), "sh", env!("CARGO_BIN_EXE_xtask")]);
        command.args(self.arguments(arguments));
        self.prepare(&mut command);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(arguments))
    }

    /// Runs to the end, which must be a good one; gives stdout.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}\n{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Starts it with its messages on a pipe.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut child =
            self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { lines: BufReader::new(child.stderr.take().unwrap()), child, said: String::new() }
    }
}

/// Three targets whose guest program Debian has, so that it must really run: 64 bits, 32 bits, big-endian. Every run
/// builds them; `--long` builds all 33.
pub const WITH_GUESTS: &str = "aarch64,arm,s390x";

/// One of them, whose execve contract is looked at by every run. That of s390x, which is big-endian, is looked at beside
/// upstream's, by `upstream`.
pub const SHORT_CONTRACT: &str = "aarch64";

/// Targets whose execve contract is looked at by `--long`: all of those, and two unusual ones, m68k (big-endian, 32 bits, aligned to
/// 2 bytes) and hppa (big-endian, the stack grows upwards, other numbers of signals). `.ci/run` has their compilers.
pub const WITH_CONTRACT: &str = "aarch64,arm,i386,mips64el,ppc64le,riscv64,s390x,x86_64,m68k,hppa";

/// The release that other tests compare with or use, built once where users build it.
pub static RELEASE: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let json = Driver::usual().succeed(&["build", "--json", "--target", WITH_GUESTS]);
    let built: Value = serde_json::from_str(&json).unwrap();
    built["tarballs"].as_array().unwrap().clone()
});

pub fn released(target: &str) -> &'static Value {
    RELEASE.iter().find(|row| row["target"] == target).unwrap()
}

pub fn tarball(target: &str) -> PathBuf {
    PathBuf::from(released(target)["path"].as_str().unwrap())
}

/// The emulator as a user gets it: unpacked from its tarball.
pub fn emulator(target: &str, prefix: &Path) -> PathBuf {
    unpack(&tarball(target), target, prefix)
}

/// The same of another series than the usual one.
pub fn emulator_of(series: &str, target: &str, prefix: &Path) -> PathBuf {
    let json = Driver::usual().succeed(&["build", "--json", "--qemu", series, "--target", target]);
    let built: Value = serde_json::from_str(&json).unwrap();
    unpack(Path::new(built["tarballs"][0]["path"].as_str().unwrap()), target, prefix)
}

/// The emulator that a tarball holds, unpacked.
pub fn unpack(tarball: &Path, target: &str, prefix: &Path) -> PathBuf {
    fs::create_dir_all(prefix).unwrap();
    run("tar", &["-C", prefix.to_str().unwrap(), "-xJf", tarball.to_str().unwrap()]);
    prefix.join("bin").join(format!("qemu-{target}"))
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    run("id", &["-u"]).trim() == "0"
}

/// A new folder below one that every user can enter. What a static holds is never dropped: a later run removes that.
pub fn public_folder() -> TempFolder {
    TempFolder::new(&Path::new("/var/tmp").join(format!("anyarch-{}", run("id", &["-u"]).trim()))).unwrap()
}

/// An ordinary user with a folder of their own: `nobody`, when the tests run as root.
#[derive(Debug)]
pub struct Somebody {
    pub home: TempFolder,
    is_root: bool,
}

impl Somebody {
    pub fn new() -> Self {
        let home = public_folder();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let is_root = is_root();
        if is_root {
            run("chown", &["nobody", home.path().to_str().unwrap()]);
        }
        Self { home, is_root }
    }

    /// A program that can't gain a privilege, whatever it starts.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(if self.is_root { Path::new("setpriv") } else { program });
        if self.is_root {
            command.args(Self::BECOME).arg("--no-new-privs").arg(program);
        }
        self.settle(command)
    }

    /// A program that may call `newuidmap`, the system's way to give a user's namespace the ids that
    /// `/etc/subuid` grants: to `nobody` it grants 65,536 of them for this program alone.
    pub fn command_with_ids(&self, program: &Path) -> Command {
        if !self.is_root {
            return self.settle(Command::new(program));
        }
        let granted = self.home.path().join("granted");
        fs::write(&granted, "nobody:1879048192:65536\n").unwrap();
        // Seen in this mount namespace only: the system's own files stay as they are.
        let grant = "mount --bind \"$1\" /etc/subuid; mount --bind \"$1\" /etc/subgid; shift; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", grant, "sh"]).arg(granted);
        command.arg("setpriv").args(Self::BECOME).arg(program);
        self.settle(command)
    }

    const BECOME: [&str; 3] = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"];

    fn settle(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        command
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { code: status.code(), stdout: text(&stdout), stderr: text(&stderr) }
    }

    /// It must have failed with this code, and said all of this.
    pub fn failed(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        for words in said {
            assert!(self.stderr.contains(words), "no `{words}` in\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// A run that goes on.
#[derive(Debug)]
pub struct Running {
    pub child: Child,
    pub lines: BufReader<std::process::ChildStderr>,
    pub said: String,
}

impl Running {
    /// Reads its messages until one holds `words`.
    pub fn wait_for(&mut self, words: &str) {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            self.said.push_str(&line);
            if line.contains(words) {
                return;
            }
            line.clear();
        }
        panic!("it ended without a word of `{words}`:\n{}", self.said);
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// The same for a run that may have ended.
    pub fn signal_if_running(&mut self, name: &str) {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(name);
        }
    }

    /// Waits for the end; gives the exit code, none if a signal ended it.
    pub fn end(&mut self) -> Option<i32> {
        // A child that outlives it may hold the pipe, so this does not read to the end of it.
        self.child.wait().unwrap().code()
    }

    /// Reads all there is to come and waits for the end.
    pub fn finish(mut self) -> (Option<i32>, String) {
        self.lines.read_to_string(&mut self.said).unwrap();
        (self.child.wait().unwrap().code(), self.said)
    }
}

/// All files below a folder, with their paths relative to it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(listed) = fs::read_dir(&next) else { continue };
        for entry in listed.flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A copy of the checkout's data with other pins.
pub struct Data {
    pub root: PathBuf,
    pub series: Series,
}

impl Data {
    /// Copies `patches/`, `toolchains/` and `guests/` to `root`.
    pub fn copy(root: &Path) -> Self {
        for folder in ["patches", "toolchains", "guests"] {
            run("cp", &["-r", checkout().join(folder).to_str().unwrap(), mkdir(root).to_str().unwrap()]);
        }
        let series = Series::read(&root.join("patches"), "10.2").unwrap();
        Self { root: root.to_owned(), series }
    }

    /// Replaces `old` in `series.toml`, where it must stand.
    pub fn pin(&self, old: &str, new: &str) -> &Self {
        let path = self.root.join("patches/10.2/series.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{old}");
        fs::write(&path, text.replace(old, new)).unwrap();
        self
    }

    /// No provider but the ones that a test names afterwards: nobody listens there.
    pub fn cut_off(&self) -> &Self {
        let pins = &self.series.pins;
        self.pin(&pins.git.url, "git://127.0.0.1:1/qemu.git");
        self.pin(&pins.tarball.url, "http://127.0.0.1:1/qemu-10.2.2.tar.xz")
    }
}

pub fn mkdir(path: &Path) -> &Path {
    fs::create_dir_all(path).unwrap();
    path
}

/// Runs a program that must succeed; gives its stdout.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A tarball of a small tree that has what the driver looks at: a version, and a file to patch.
pub fn small_source(home: &Path) -> PathBuf {
    let tree = home.join("qemu-10.2.2");
    for (name, text) in [("VERSION", "10.2.2\n"), ("linux-user/main.c", "int one;\nint two;\nint three;\n")] {
        fs::create_dir_all(tree.join(name).parent().unwrap()).unwrap();
        fs::write(tree.join(name), text).unwrap();
    }
    let path = home.join("qemu-10.2.2.tar.xz");
    run("tar", &["-C", home.to_str().unwrap(), "-cJf", path.to_str().unwrap(), "qemu-10.2.2"]);
    path
}

/// Data for [`small_source`]: its hash pinned as upstream's, one patch that fits it.
pub fn small_data(home: &Path) -> (Data, PathBuf) {
    let source = small_source(home);
    let data = Data::copy(&home.join("root"));
    for patch in &data.series.patches {
        fs::remove_file(&patch.path).unwrap();
    }
    let patch = "--- a/linux-user/main.c\n+++ b/linux-user/main.c\n@@ -1,3 +1,3 @@\n int one;\n-int two;\n+int 2;\n int three;\n";
    fs::write(data.root.join("patches/10.2/fixes/0001-two.patch"), patch).unwrap();
    data.cut_off();
    data.pin(
        data.series.pins.tarball.sha256.as_ref().unwrap(),
        &anyarch_client::hash::sha256_file(&source).unwrap(),
    );
    (data, source)
}

/// Serves one answer to every request, for as long as the test runs; gives the address.
pub fn serve(status: &'static str, body: Vec<u8>) -> String {
    serve_part(status, body.len(), body)
}

/// The same, announcing `length` bytes and sending `body`.
pub fn serve_part(status: &'static str, length: usize, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = BufReader::new(connection.try_clone().unwrap());
            let mut line = String::new();
            while request.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = connection.write_all(head.as_bytes());
            let _ = connection.write_all(&body);
        }
    });
    format!("http://{address}")
}
