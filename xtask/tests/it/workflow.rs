//! The GitHub workflow, step by step as a runner would take it: in clean checkouts, with the matrix that the
//! plan gives, its artifacts handed from job to job.

mod machine;
mod publish;

use crate::driver::foreign::TARGET;
use crate::driver::{checkout, files, run, scratch, wants};
use machine::{Machine, workflow};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use xtask::facts::series::DEFAULT;

/// What a push to a branch would build is much; these inputs are what a person may say instead.
const INPUTS: [(&str, &str); 3] = [("targets", TARGET), ("hosts", "amd64,arm64"), ("qemu", "10.2")];
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
    publish::all_steps(home.path(), with_program);
}
