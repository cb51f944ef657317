//! A machine that takes the steps of a job as a runner would, in folders of its own.

use crate::driver::{Driver, checkout, files, is_root, mkdir, run, scratch};
use anyarch_client::files::TempFolder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use xtask::commands::seed;

/// Actions that the test stands in for. Others would be passed over silently.
const KNOWN: [&str; 5] = [
    "actions/checkout@",
    "actions/cache@",
    "actions/upload-artifact@",
    "actions/download-artifact@",
    "actions/attest-build-provenance@",
];

/// One of the workflows.
pub fn workflow(name: &str) -> Value {
    let text = fs::read_to_string(checkout().join(".github/workflows").join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// A runner's machine: a workspace of its own, the files by which steps speak to it.
pub struct Machine {
    home: tempfile::TempDir,
    pub environment: BTreeMap<String, String>,
    expressions: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, String>,
}

/// A clone of this checkout. All machines have copies with the times of its files.
static CLONE: LazyLock<TempFolder> = LazyLock::new(|| {
    let folder = TempFolder::new(&Machine::target()).unwrap();
    let from = checkout();
    run("git", &["clone", "--quiet", from.to_str().unwrap(), folder.path().to_str().unwrap()]);
    folder
});

impl Machine {
    pub fn new(workflow: &Value, job: &Value, expressions: BTreeMap<String, String>) -> Self {
        let home = scratch();
        for folder in ["workspace", "temp"] {
            mkdir(&home.path().join(folder));
        }
        let mut machine = Self { home, environment: BTreeMap::new(), expressions, outputs: BTreeMap::new() };
        for level in [workflow, job] {
            for (name, value) in level["env"].as_object().into_iter().flatten() {
                let value = machine.expand(value.as_str().unwrap());
                machine.expressions.insert(format!("env.{name}"), value.clone());
                machine.environment.insert(name.clone(), value);
            }
        }
        for (name, folder) in [("GITHUB_WORKSPACE", Self::mounted()), ("RUNNER_TEMP", machine.temp())] {
            machine.environment.insert(name.to_owned(), folder.display().to_string());
        }
        machine
    }

    /// Where steps put what the next job has not.
    pub fn temp(&self) -> PathBuf {
        self.home.path().join("temp")
    }

    /// Where all machines compile the driver and its trees.
    pub fn target() -> PathBuf {
        checkout().join("target/workflow")
    }

    /// Has steps find the programs of a folder before all others.
    pub fn find_first(&mut self, folder: &Path) {
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        self.environment.insert("PATH".to_owned(), path);
    }

    pub fn workspace(&self) -> PathBuf {
        self.home.path().join("workspace")
    }

    /// Where steps see the workspace. It is one place for all jobs, as on GitHub's runners: what cargo compiled of one
    /// clone, it takes for the next one.
    fn mounted() -> PathBuf {
        Self::target().join("workspace")
    }

    /// `${{ a.b || 'c' }}` with what this machine knows; an expression that nobody knows is a mistake.
    pub fn expand(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("${{") else { return text.to_owned() };
        let (expression, after) = rest.split_once("}}").unwrap();
        let name = expression.split("||").next().unwrap().trim();
        let value = self.expressions.get(name).unwrap_or_else(|| panic!("nobody knows `{name}`"));
        format!("{before}{value}{}", self.expand(after))
    }

    pub fn step(&mut self, step: &Value, artifacts: &Path) {
        if let Some(script) = step["run"].as_str() {
            return self.script(step, script);
        }
        let action = step["uses"].as_str().unwrap();
        assert!(KNOWN.iter().any(|known| action.starts_with(known)), "{action}");
        let with = |name: &str| self.expand(step["with"][name].as_str().unwrap_or_default());
        let at = |name: &str| self.workspace().join(with(name));
        if action.starts_with("actions/checkout@") {
            // As the action does, into a folder that earlier steps may have written to.
            copy(CLONE.path(), &self.workspace());
        } else if action.starts_with("actions/upload-artifact@") {
            assert!(!files(&at("path")).is_empty(), "{} is empty", at("path").display());
            copy(&at("path"), &artifacts.join(with("name")));
        } else if action.starts_with("actions/attest-build-provenance@") {
            assert!(at("subject-checksums").is_file(), "{}", at("subject-checksums").display());
        } else if action.starts_with("actions/download-artifact@") {
            if !with("name").is_empty() {
                return copy(&artifacts.join(with("name")), &at("path"));
            }
            let prefix = with("pattern").trim_end_matches('*').to_owned();
            for entry in fs::read_dir(artifacts).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if name.starts_with(&prefix) {
                    copy(&entry.path(), &at("path").join(name));
                }
            }
        }
    }

    /// A script as the runner runs it, with the files for outputs, variables and paths.
    fn script(&mut self, step: &Value, script: &str) {
        let file = |name: &str| self.home.path().join(name);
        let mut command = Command::new("unshare");
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args([
            "--mount",
            "sh",
            "-ec",
            "mount --bind \"$1\" \"$2\"; cd \"$2\"; shift 2; exec \"$@\"",
            "sh",
        ]);
        command.arg(self.workspace()).arg(mkdir(&Self::mounted()));
        command.args(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", &self.expand(script)]);
        command.stdin(Stdio::null()).envs(&self.environment);
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            command.env(name, self.expand(value.as_str().unwrap()));
        }
        // What the driver needs of others was just compiled; it does for all jobs, as one cache of compiled C does.
        // Tests that run at the same time would copy into each other's way.
        static SEEDING: Mutex<()> = Mutex::new(());
        let target = Self::target();
        {
            let _one = SEEDING.lock().unwrap_or_else(PoisonError::into_inner);
            seed(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap(), &target).unwrap();
        }
        command.env("CARGO_TARGET_DIR", target);
        command.env("CCACHE_DIR", Driver::ccache());
        for name in ["GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH"] {
            fs::write(file(name), "").unwrap();
            command.env(name, file(name));
        }
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{}\n{}{}",
            step["name"],
            text(&output.stdout),
            text(&output.stderr)
        );
        let pairs = |name: &str| {
            let text = fs::read_to_string(file(name)).unwrap();
            let pairs = text.lines().map(|line| line.split_once('=').unwrap());
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
        };
        let (outputs, mut variables) = (pairs("GITHUB_OUTPUT"), pairs("GITHUB_ENV"));
        // Downloads and compiled C of this user's will do: the machine is not new for each job.
        variables.retain(|(name, _)| name != "ANYARCH_CACHE" && name != "CCACHE_DIR");
        let as_expression = |(name, value): &(String, String)| (format!("env.{name}"), value.clone());
        self.expressions.extend(variables.iter().map(as_expression));
        self.environment.extend(variables);
        self.outputs.extend(outputs);
    }
}

pub fn copy(from: &Path, to: &Path) {
    let contents = format!("{}/.", from.display());
    run("cp", &["-a", &contents, mkdir(to).to_str().unwrap()]);
}
