//! What the client and the images drag in: programs for users are small, so nothing of what builds emulators is in it.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on has failed")]

use std::process::Command;

/// The packages that a program with this one links or runs at compile time, by `cargo tree`.
fn packages(one: &str) -> Vec<String> {
    let tree = ["tree", "--package", one, "--edges", "normal,build", "--prefix", "none"];
    let output = Command::new(env!("CARGO"))
        .args(tree)
        .args(["--format", "{p}", "--no-dedupe", "--offline", "--locked", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn a_program_for_users_holds_nothing_of_what_builds_emulators() {
    let building =
        ["clap", "clap_complete", "minijinja", "object", "rayon", "sysinfo", "which", "xshell", "xtask"];
    for one in ["anyarch-client", "anyarch-image"] {
        let packages = packages(one);
        for used in [one, "anyarch-manifest", "reqwest", "rustls", "tar"] {
            assert!(packages.iter().any(|name| name == used), "{used} is not in {packages:?}");
        }
        let found: Vec<&str> =
            building.into_iter().filter(|unwanted| packages.iter().any(|name| name == unwanted)).collect();
        assert_eq!(found, Vec::<&str>::new(), "{one}");
    }
}
