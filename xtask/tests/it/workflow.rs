//! The GitHub workflow, step by step as a runner would take it: in clean checkouts, with the matrix that the
//! plan gives, its artifacts handed from job to job.

use crate::driver::foreign::TARGET;
use crate::driver::{Driver, checkout, files, mkdir, run, scratch, wants};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use xtask::commands::seed;
use xtask::facts::series::DEFAULT;
use xtask::release::sums;

/// What a push to a branch would build is much; these inputs are what a person may say instead.
const INPUTS: [(&str, &str); 3] = [("targets", TARGET), ("hosts", "amd64,arm64"), ("qemu", "10.2")];
/// Actions that the test stands in for. Others would be passed over silently.
const KNOWN: [&str; 5] = [
    "actions/checkout@",
    "actions/cache@",
    "actions/upload-artifact@",
    "actions/download-artifact@",
    "actions/attest-build-provenance@",
];

fn workflow(name: &str) -> Value {
    let text = fs::read_to_string(checkout().join(".github/workflows").join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

#[test]
fn workflows_build_the_series_that_the_driver_builds_when_nobody_says_another() {
    let mut seen = 0;
    for name in ["build.yml", "release.yml"] {
        let workflow = workflow(name);
        for event in ["workflow_call", "workflow_dispatch"] {
            if let Some(series) = workflow["on"][event]["inputs"]["qemu"]["default"].as_str() {
                assert_eq!(series, DEFAULT, "{name}: {event}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 3);
    let pushed = workflow("build.yml")["env"]["QEMU"].clone();
    assert_eq!(pushed, format!("${{{{ inputs.qemu || '{DEFAULT}' }}}}"));
}

#[test]
fn the_job_that_holds_the_key_compiles_nothing_and_fetches_nothing() {
    let mut holders = Vec::new();
    for path in files(&checkout().join(".github/workflows")) {
        let file = path.file_name().unwrap().to_str().unwrap();
        let workflow = workflow(file);
        assert!(!workflow["env"].to_string().contains("secrets"), "{file}: every job would have it");
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            if job.to_string().contains("secrets") {
                holders.push(format!("{file}: {name}"));
                runs_only_what_the_runner_has(job);
            }
        }
    }
    assert_eq!(holders, ["release.yml: publish"]);
}

fn runs_only_what_the_runner_has(job: &Value) {
    for place in ["uses", "container", "services"] {
        assert!(job[place].is_null(), "{place}: {}", job[place]);
    }
    for step in job["steps"].as_array().unwrap() {
        if let Some(action) = step["uses"].as_str() {
            let mut known = ["actions/download-artifact@", "actions/attest-build-provenance@"].iter();
            assert!(known.any(|known| action.starts_with(known)), "{action}");
        }
        let script = step["run"].as_str().unwrap_or_default();
        for word in ["./", "apt", "cargo", "curl", "docker", "git ", "npm", "pip", "rustup", "wget"] {
            assert!(!script.contains(word), "`{word}` in {script}");
        }
    }
}

#[test]
fn zizmor_finds_nothing_in_the_workflows() {
    finds_nothing("zizmor", &["--offline", "--no-progress", "--persona=pedantic", "."]);
}

/// The advisories' database is not where a package registry is: `check.yml` alone reads it.
#[test]
fn licences_sources_and_duplicates_are_as_deny_toml_allows() {
    finds_nothing("cargo-deny", &["--locked", "check", "bans", "licenses", "sources"]);
}

/// Runs one of the tools that `.ci/run` installs over this checkout.
fn finds_nothing(program: &str, arguments: &[&str]) {
    let Ok(path) = which::which(program) else {
        wants::not_run(&format!("missing on this machine: {program}: pip install -r .github/tools.txt"));
        return;
    };
    let output = Command::new(path).args(arguments).current_dir(checkout()).output().unwrap();
    let text = String::from_utf8_lossy;
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// A runner's machine: a workspace of its own, the files by which steps speak to it.
struct Machine {
    home: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    expressions: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
}

impl Machine {
    fn new(workflow: &Value, job: &Value, expressions: BTreeMap<String, String>) -> Self {
        let home = scratch();
        mkdir(&home.path().join("workspace"));
        let mut machine = Self { home, environment: BTreeMap::new(), expressions, outputs: BTreeMap::new() };
        for level in [workflow, job] {
            for (name, value) in level["env"].as_object().into_iter().flatten() {
                let value = machine.expand(value.as_str().unwrap());
                machine.expressions.insert(format!("env.{name}"), value.clone());
                machine.environment.insert(name.clone(), value);
            }
        }
        machine
    }

    fn workspace(&self) -> PathBuf {
        self.home.path().join("workspace")
    }

    /// `${{ a.b || 'c' }}` with what this machine knows; an expression that nobody knows is a mistake.
    fn expand(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("${{") else { return text.to_owned() };
        let (expression, after) = rest.split_once("}}").unwrap();
        let name = expression.split("||").next().unwrap().trim();
        let value = self.expressions.get(name).unwrap_or_else(|| panic!("nobody knows `{name}`"));
        format!("{before}{value}{}", self.expand(after))
    }

    fn step(&mut self, step: &Value, artifacts: &Path) {
        if let Some(script) = step["run"].as_str() {
            return self.script(step, script);
        }
        let action = step["uses"].as_str().unwrap();
        assert!(KNOWN.iter().any(|known| action.starts_with(known)), "{action}");
        let with = |name: &str| self.expand(step["with"][name].as_str().unwrap_or_default());
        let at = |name: &str| self.workspace().join(with(name));
        if action.starts_with("actions/checkout@") {
            let clone = self.home.path().join("clone");
            let from = checkout();
            run("git", &["clone", "--quiet", from.to_str().unwrap(), clone.to_str().unwrap()]);
            // As the action does, into a folder that earlier steps may have written to.
            run("cp", &["-a", &format!("{}/.", clone.display()), self.workspace().to_str().unwrap()]);
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
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &self.expand(script)]);
        command.current_dir(self.workspace()).stdin(Stdio::null()).envs(&self.environment);
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            command.env(name, self.expand(value.as_str().unwrap()));
        }
        // What the driver needs of others was just compiled; it does for all jobs, as one cache of compiled C does.
        let target = checkout().join("target/workflow");
        seed(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap(), &target).unwrap();
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

fn copy(from: &Path, to: &Path) {
    let contents = format!("{}/.", from.display());
    run("cp", &["-a", &contents, mkdir(to).to_str().unwrap()]);
}

fn inputs() -> BTreeMap<String, String> {
    INPUTS.iter().map(|(name, value)| (format!("inputs.{name}"), (*value).to_owned())).collect()
}

/// What compiles the users' program, which takes longer than all other steps here.
const PROGRAM: &str = "cargo xtask program";

#[test]
#[ignore = "builds QEMU, as root; run by `cargo xtask test`"]
fn the_workflows_steps_make_a_release_from_a_clean_checkout() {
    make_a_release(false);
}

#[test]
#[ignore = "builds QEMU and anyarch, as root; run by `cargo xtask test --long`"]
fn long_the_workflows_steps_make_the_users_program_too() {
    make_a_release(true);
}

fn make_a_release(with_program: bool) {
    if !crate::driver::is_root() {
        wants::not_run("the workflow's containers run as root, and its steps install packages");
        return;
    }
    let workflow = workflow("build.yml");
    let jobs = &workflow["jobs"];
    let home = scratch();
    let steps = |job: &Value| job["steps"].as_array().unwrap().clone();

    let mut planner = Machine::new(&workflow, &jobs["plan"], inputs());
    steps(&jobs["plan"]).iter().for_each(|step| planner.step(step, home.path()));
    assert_eq!(jobs["plan"]["outputs"]["matrix"], "${{ steps.plan.outputs.matrix }}");
    let matrix: Value = serde_json::from_str(&planner.outputs["matrix"]).unwrap();
    let rows = matrix["include"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "a job a host: {matrix}");

    for row in rows {
        let mut known = inputs();
        for (name, value) in row.as_object().unwrap() {
            known.insert(format!("matrix.{name}"), value.as_str().unwrap().to_owned());
        }
        known.insert("hashFiles('patches/**', 'toolchains/**')".into(), "hash".into());
        let mut builder = Machine::new(&workflow, &jobs["build"], known);
        assert_eq!(builder.expand(jobs["build"]["runs-on"].as_str().unwrap()), "ubuntu-24.04");
        let all = steps(&jobs["build"]);
        let is_of_program =
            |step: &&Value| step["run"].as_str().is_some_and(|script| script.contains(PROGRAM));
        assert_eq!(all.iter().filter(is_of_program).count(), 1);
        let chosen = all.iter().filter(|step| with_program || !is_of_program(step));
        chosen.for_each(|step| builder.step(step, home.path()));
    }

    let mut joiner = Machine::new(&workflow, &jobs["join"], inputs());
    steps(&jobs["join"]).iter().for_each(|step| joiner.step(step, home.path()));
    let release = home.path().join("release/10.2.2-1");
    run("sh", &["-c", &format!("cd '{}' && sha256sum --check --strict SHA256SUMS", release.display())]);
    let names: Vec<String> = files(&release).iter().map(|path| path.display().to_string()).collect();
    for host in ["amd64", "arm64"] {
        let tarball = format!("qemu-{TARGET}-10.2.2-1-linux-{host}");
        assert!(names.contains(&format!("{tarball}.tar.xz")), "{names:?}");
        let record: Value =
            serde_json::from_slice(&fs::read(release.join(format!("{tarball}.json"))).unwrap()).unwrap();
        let checks = record["emulator"]["checks"].as_array().unwrap();
        assert!(checks.iter().all(|check| check["passed"].is_string()), "{checks:?}");
    }
    // Another clone, other folders, another driver: the bytes are those that a user gets here.
    assert_eq!(
        anyarch_client::hash::sha256_file(
            &release.join(format!("qemu-{TARGET}-10.2.2-1-linux-amd64.tar.xz"))
        )
        .unwrap(),
        crate::driver::released(TARGET)["sha256"]
    );
    for host in ["amd64", "arm64"] {
        let program = format!("anyarch-10.2.2-1-linux-{host}.tar.xz");
        assert_eq!(names.contains(&program), with_program, "{names:?}");
    }
    published_once(home.path(), with_program);
}

/// The steps of the workflow that publishes, with what the others handed on. GitHub's own program is one that
/// writes down how it was called.
fn published_once(artifacts: &Path, with_program: bool) {
    let workflow = workflow("release.yml");
    let jobs = &workflow["jobs"];
    assert_eq!(jobs["build"]["uses"], "$/.github/workflows/build.yml");
    let mut known = inputs();
    let mut know = |name: &str, value: &str| known.insert(name.to_owned(), value.to_owned());
    know("github.server_url", "https://github.com");
    know("github.repository", "anyarch/anyarch");
    let mut joiner = Machine::new(&workflow, &jobs["join"], known.clone());
    for step in jobs["join"]["steps"].as_array().unwrap() {
        joiner.step(step, artifacts);
        if step["uses"].as_str().is_some_and(|action| action.starts_with("actions/checkout@")) {
            narrow(&joiner.workspace(), with_program);
        }
    }
    assert_eq!(jobs["join"]["outputs"]["release"], "${{ steps.join.outputs.release }}");

    let home = scratch();
    let (private, calls) = (home.path().join("private"), home.path().join("calls"));
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", private.to_str().unwrap()]);
    let mut know = |name: &str, value: &str| known.insert(name.to_owned(), value.to_owned());
    know("needs.join.outputs.release", &joiner.outputs["release"]);
    know("github.token", "token");
    know("secrets.RELEASE_KEY", fs::read_to_string(&private).unwrap().trim_end());
    let mut publisher = Machine::new(&workflow, &jobs["publish"], known);
    fake_gh(home.path(), &calls);
    let path = format!("{}:{}", home.path().display(), std::env::var("PATH").unwrap());
    let more =
        [("PATH", path), ("RUNNER_TEMP", home.path().display().to_string()), ("GITHUB_SHA", "sha".into())];
    publisher.environment.extend(more.map(|(name, value)| (name.to_owned(), value)));
    for step in jobs["publish"]["steps"].as_array().unwrap() {
        publisher.step(step, artifacts);
        assert!(!home.path().join("key").exists(), "the key is still there after {step}");
    }
    let folder = publisher.workspace().join("joined/10.2.2-1");
    // An ed25519 key's signature of the same text is the same each time.
    let again = mkdir(&home.path().join("again")).join("SHA256SUMS");
    fs::copy(folder.join("SHA256SUMS"), &again).unwrap();
    let ours = sums::sign(&again, &private).unwrap();
    assert_eq!(fs::read(folder.join("SHA256SUMS.sig")).unwrap(), fs::read(ours).unwrap(), "as --sign does");
    let calls = fs::read_to_string(calls).unwrap();
    let uploaded: Vec<&str> =
        calls.lines().find(|line| line.starts_with("release upload")).unwrap().split(' ').collect();
    for name in [
        "release.json",
        "index.html",
        "install.sh",
        "SHA256SUMS",
        "SHA256SUMS.sig",
        &format!("qemu-{TARGET}-10.2.2-1-linux-arm64.tar.zst"),
    ] {
        assert!(uploaded.contains(&name) && folder.join(name).is_file(), "{name}: {calls}");
    }
    let order: Vec<&str> = calls.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(order, ["view", "create", "upload", "edit"], "a draft until all is there");
    assert!(!folder.join("key").exists() && !files(&folder).iter().any(|path| path.ends_with("key")));
}

/// Makes the whole matrix as small as what was built, so that the release is complete.
fn narrow(workspace: &Path, with_program: bool) {
    for entry in fs::read_dir(workspace.join("toolchains")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".toml") && !["amd64.toml", "arm64.toml", "tools.toml"].contains(&name.as_str()) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    for host in ["amd64", "arm64"].iter().filter(|_| !with_program) {
        let file = workspace.join(format!("toolchains/{host}.toml"));
        let text = fs::read_to_string(&file).unwrap();
        let (before, rest) = text.split_once("[rust]\n").unwrap();
        let after = rest.find("\n[").map_or("", |at| &rest[at..]);
        fs::write(&file, format!("without_rust = \"not built\"\n{before}{after}")).unwrap();
    }
    let file = workspace.join("patches/10.2/series.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("targets = [").unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    fs::write(&file, format!("{before}targets = [\"{TARGET}\"]{after}")).unwrap();
    // What is corresponding source is what git knows.
    run(
        "git",
        &[
            "-C",
            workspace.to_str().unwrap(),
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@x",
            "commit",
            "-qam",
            "x",
        ],
    );
}

fn fake_gh(folder: &Path, calls: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let program = folder.join("gh");
    let script = format!("#!/bin/sh\necho \"$*\" >> '{}'\n[ \"$2\" != view ]\n", calls.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}
