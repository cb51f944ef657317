//! A Docker engine of the test's own: `docker.io` as Debian packs it, with folders, sockets, control
//! groups and namespaces that are nobody else's. What this machine's own engine holds is not touched.

use super::{Ended, is_root, mkdir, namespace, run};
use anyarch_client::files::TempFolder;
use rustix::process::Signal;
use serde_json::json;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xtask::process::end_with_parent;

/// Seconds that one command may take.
const LIMIT: &str = "900";
/// Where Debian puts the two programs; a `docker` of another kind may stand before them in `PATH`.
const DAEMON: &str = "/usr/sbin/dockerd";
const CLIENT: &str = "/usr/bin/docker";

/// A running engine; it ends with this value, or with the thread that started it.
#[derive(Debug)]
pub struct Engine {
    namespaces: Child,
    /// Images and logs.
    data: TempFolder,
    /// Sockets, whose paths must be short.
    sockets: TempDir,
    cgroup: String,
}

/// The environment of guests and engines, with the ways to the network that this machine has.
pub fn environment() -> Vec<(String, String)> {
    let fixed = [
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LC_ALL", "C.UTF-8"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        // What debootstrap must be told to do without device files of its own.
        ("container", "lxc"),
    ];
    let proxies = ["http_proxy", "https_proxy", "no_proxy"];
    let proxies = proxies.iter().filter_map(|name| Some(((*name).to_owned(), env::var(name).ok()?)));
    fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).chain(proxies).collect()
}

impl Engine {
    /// Starts it and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(&[], false)
    }

    /// One that finds programs in this folder before others.
    pub fn that_finds(folder: &Path) -> Self {
        Self::start_with(&[folder], false)
    }

    /// One in a user namespace, as an engine inside a system container has it: there `binfmt_misc` is a table of its
    /// own (Linux 6.7), and a privileged container changes nothing of this machine.
    pub fn with_a_table_of_its_own() -> Self {
        Self::start_with(&[], true)
    }

    fn start_with(folders: &[&Path], in_user_namespace: bool) -> Self {
        assert!(is_root(), "this test starts dockerd and needs root");
        assert!(Path::new(DAEMON).exists(), "missing on this machine: dockerd: apt-get install docker.io");
        let data = TempFolder::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("systems")).unwrap();
        let sockets = tempfile::Builder::new().prefix("anyarch-").tempdir_in("/tmp").unwrap();
        let cgroup = format!("anyarch-{}", std::process::id());
        // The machine's own settings would meet the options below.
        fs::write(data.path().join("daemon.json"), "{}").unwrap();
        let log = File::create(data.path().join("dockerd.log")).unwrap();
        let data_at = |option: &str, name: &str| format!("{option}={}", data.path().join(name).display());
        let mut command = match in_user_namespace {
            true => namespace::mapped(),
            false => Command::new("env"),
        };
        end_with_parent(&mut command, Signal::KILL, None);
        command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        if in_user_namespace {
            // As a machine has it mounted: a table of a user namespace goes with its last mount.
            let mounts = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; exec \"$@\"";
            command.args(["sh", "-ec", mounts, "sh"]);
        }
        command.arg(DAEMON);
        command.args([data_at("--config-file", "daemon.json"), data_at("--data-root", "images")]);
        command.arg(format!("--exec-root={}", sockets.path().join("exec").display()));
        command.arg(format!("--pidfile={}", sockets.path().join("pid").display()));
        command.arg(format!("--host=unix://{}", sockets.path().join("docker").display()));
        // No bridge, no rules, no forwarding: the machine's network stays as it is.
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        command.args(["--ip-forward=false", "--ip-masq=false"]);
        command.args([
            "--exec-opt=native.cgroupdriver=cgroupfs".to_owned(),
            format!("--cgroup-parent={cgroup}"),
        ]);
        let folders = folders.iter().map(|folder| (*folder).to_owned());
        let usual = env::var_os("PATH").unwrap();
        let path = folders.chain(env::split_paths(&usual));
        command.env("PATH", env::join_paths(path).unwrap());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        if !in_user_namespace {
            command.stdin(Stdio::null());
        }
        let mut engine = Self { namespaces: command.spawn().unwrap(), data, sockets, cgroup };
        if in_user_namespace {
            namespace::let_in(&mut engine.namespaces);
        }
        engine.wait_until_it_answers();
        engine
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.run(&["version"]).code != Some(0) {
            let log = fs::read_to_string(self.data.path().join("dockerd.log")).unwrap();
            assert!(Instant::now() < deadline, "dockerd does not answer:\n{log}");
            sleep(Duration::from_millis(200));
        }
    }

    /// `docker` with these words, and settings of no user.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", LIMIT, CLIENT]).args(words).env_clear().envs(environment());
        command.env("DOCKER_HOST", self.address());
        command.env("DOCKER_CONFIG", self.data.path().join("client")).env("HOME", self.data.path());
        command
    }

    /// What `DOCKER_HOST` says to reach it.
    pub fn address(&self) -> String {
        format!("unix://{}", self.sockets.path().join("docker").display())
    }

    pub fn run(&self, words: &[&str]) -> Ended {
        Ended::of(&mut self.command(words))
    }

    /// Makes an image of a root file system.
    pub fn import(&self, root: &Path, platform: &str, tag: &str) {
        let mut tar = Command::new("tar")
            .args(["--numeric-owner", "-C", root.to_str().unwrap(), "-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut import = self.command(&["import", "--platform", platform, "-", tag]);
        let ended = Ended::of(import.stdin(tar.stdout.take().unwrap()));
        assert_eq!((tar.wait().unwrap().code(), ended.code), (Some(0), Some(0)), "{ended:?}");
    }

    /// Makes an image of a root file system that says which architecture it is of. What `docker import` makes says that
    /// of this machine, whatever it is told, and BuildKit takes no such image for another platform.
    pub fn import_as(&self, root: &Path, architecture: &str, tag: &str) {
        let folder = self.data.path().join("import");
        let at = |name: &str| mkdir(&folder).join(name);
        let (layer, archive) = (at("layer.tar"), at("image.tar"));
        let words = ["--numeric-owner", "-C", root.to_str().unwrap(), "-cf", layer.to_str().unwrap(), "."];
        run("tar", &words);
        let layers = format!("sha256:{}", anyarch_client::hash::sha256_file(&layer).unwrap());
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [layers] },
        });
        let list = json!([{ "Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"] }]);
        fs::write(at("config.json"), config.to_string()).unwrap();
        fs::write(at("manifest.json"), list.to_string()).unwrap();
        let words = ["-C", folder.to_str().unwrap(), "-cf", archive.to_str().unwrap()];
        run("tar", &[&words[..], &["config.json", "layer.tar", "manifest.json"]].concat());
        let ended = self.run(&["load", "--quiet", "--input", archive.to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        fs::remove_dir_all(folder).unwrap();
    }

    /// A build context with this `Dockerfile` and these files.
    pub fn context(&self, name: &str, dockerfile: &str, files: &[&Path]) -> PathBuf {
        let folder = self.data.path().join(name);
        fs::write(mkdir(&folder).join("Dockerfile"), dockerfile).unwrap();
        for file in files {
            fs::copy(file, folder.join(file.file_name().unwrap())).unwrap();
        }
        folder
    }

    /// `docker build` by one of its two builders, with this machine's network.
    pub fn build(&self, with_buildkit: bool, tag: &str, context: &Path) -> Ended {
        self.build_with(with_buildkit, &["--tag", tag], context)
    }

    /// The same with other options.
    pub fn build_with(&self, with_buildkit: bool, options: &[&str], context: &Path) -> Ended {
        let mut words = [&["build", "--network=host"], options].concat();
        // Docker knows these names without an ARG, and keeps their values out of the image.
        for name in ["http_proxy", "https_proxy", "no_proxy"] {
            words.extend(["--build-arg", name]);
        }
        words.push(context.to_str().unwrap());
        let mut command = self.command(&words);
        Ended::of(command.env("DOCKER_BUILDKIT", if with_buildkit { "1" } else { "0" }))
    }

    /// The daemon, as this process sees it.
    fn daemon(&self) -> Option<String> {
        let pid = self.namespaces.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon() {
            let _ = Command::new("kill").args(["-TERM", &daemon]).status();
            let deadline = Instant::now() + Duration::from_secs(30);
            while self.namespaces.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
                sleep(Duration::from_millis(100));
            }
        }
        let _ = self.namespaces.kill();
        let _ = self.namespaces.wait();
        remove_cgroups(Path::new("/sys/fs/cgroup"), &self.cgroup);
    }
}

/// Removes the empty control groups of that name, under whatever controllers.
fn remove_cgroups(folder: &Path, name: &str) {
    for controller in fs::read_dir(folder).into_iter().flatten().flatten() {
        remove_cgroup(&controller.path().join(name));
    }
    remove_cgroup(&folder.join(name));
}

fn remove_cgroup(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
