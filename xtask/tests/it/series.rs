//! The execve contract is one and the same in every QEMU series.

use crate::driver::foreign::{TARGET, all_proven};
use crate::driver::{Driver, checkout, json, wants};
use serde_json::Value;
use xtask::facts::Series;
use xtask::facts::series::DEFAULT;

/// Verifies these targets of a series; gives the targets for which the contract was really run.
fn verified(series: &str, targets: &str) -> Vec<String> {
    let json = Driver::usual().succeed(&["verify", "--json", "--qemu", series, "--target", targets]);
    let reports: Vec<Value> = serde_json::from_str(&json).unwrap();
    let mut proven = Vec::new();
    for report in reports {
        let target = report["target"].as_str().unwrap();
        let checks = report["report"]["checks"].as_array().unwrap();
        let contract = checks.iter().find(|check| check["name"] == "contract").unwrap();
        println!("{series} {target}: {contract}");
        if contract["passed"].is_string() {
            proven.push(target.to_owned());
        }
    }
    proven
}

/// It is the farthest from the usual one; `providers` applies the patches of all.
#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn the_oldest_series_makes_an_emulator_that_runs_guests_and_their_children() {
    let oldest = &Series::names(&checkout().join("patches")).unwrap()[0];
    let built = json(&Driver::usual(), &["build", "--json", "--qemu", oldest, "--target", TARGET]);
    let rows = built["tarballs"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    all_proven(rows);
    let checks = rows[0]["emulator"]["checks"].as_array().unwrap();
    for name in ["version", "start", "guest"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name}: {checks:?}");
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_the_other_series_keep_the_contract_and_say_their_version() {
    let lacks = wants::lacks(&["aarch64-linux-gnu-gcc"], "gcc-aarch64-linux-gnu libc6-dev-arm64-cross");
    for series in wants::series_with_source().into_iter().filter(|name| name != DEFAULT) {
        let proven = verified(&series, "aarch64");
        assert_eq!(proven.is_empty(), lacks.is_some(), "{series}");
    }
    if let Some(why) = lacks {
        wants::partly_not_run(&why);
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_every_series_keeps_the_contract_for_every_target_with_a_compiler() {
    for series in wants::series_with_source() {
        let pins = Series::read(&checkout().join("patches"), &series).unwrap();
        let all = pins.pins.build.targets.len();
        assert!(all >= 33, "{series}");
        let proven = verified(&series, "all");
        for target in ["aarch64", "arm", "i386", "mips64el", "ppc64le", "riscv64", "s390x", "x86_64"] {
            assert!(proven.iter().any(|proven| proven == target), "{series}: {target} of {proven:?}");
        }
    }
}
