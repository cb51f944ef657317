//! Compilers that are called through clusters and stores that a user has: the same bytes, and the work really
//! goes there. The servers run on loopback. ccache has its test in every other one: all builds of tests use it.

use crate::driver::foreign::TARGET;
use crate::driver::{Driver, RELEASE, exclusive, json, mkdir, scratch, wants};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// A server of a cluster on this machine; it ends with this value.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A distcc server on loopback that writes what it compiled to a log.
fn distcc_server(home: &Path, port: u16) -> Server {
    let log = home.join(format!("distccd-{port}.log"));
    let mut command = Command::new("distccd");
    command.args(["--no-detach", "--daemon", "--allow", "127.0.0.1", "--listen", "127.0.0.1", "--jobs", "2"]);
    // It runs as a user of its own, who may not write here.
    command.args(["--port", &port.to_string(), "--log-level", "info", "--log-stderr"]);
    command.stderr(fs::File::create(log).unwrap());
    // Compilers are called by their whole names; only those that are named here may be.
    command.arg("--enable-tcp-insecure").stdin(std::process::Stdio::null());
    Server(command.spawn().unwrap())
}

#[test]
#[ignore = "builds QEMU on a cluster of two servers on loopback; run by `cargo xtask test --long`"]
fn long_a_cluster_of_two_machines_makes_the_same_bytes() {
    let _one = exclusive();
    wants::insist(&["distcc", "distccd"], "distcc");
    LazyLock::force(&RELEASE);
    let home = scratch();
    let ports = [36_321, 36_322];
    let _servers = ports.map(|port| distcc_server(home.path(), port));
    let hosts = ports.map(|port| format!("127.0.0.1:{port}/2")).join(" ");
    mkdir(&home.path().join("distcc"));
    let environment = vec![
        ("DISTCC_HOSTS".to_owned(), hosts),
        ("DISTCC_FALLBACK".to_owned(), "0".to_owned()),
        ("DISTCC_DIR".to_owned(), home.path().join("distcc").display().to_string()),
    ];
    let driver = Driver { environment, ..Driver::warm(home.path()) };
    let arguments = ["build", "--json", "--launcher", "distcc", "--jobs", "4", "--target", TARGET];
    let built = json(&driver, &arguments);
    assert_eq!(built["tarballs"][0]["sha256"], crate::driver::released(TARGET)["sha256"]);
    for port in ports {
        let log = fs::read_to_string(home.path().join(format!("distccd-{port}.log"))).unwrap();
        let jobs = log.matches("COMPILE_OK").count();
        println!("port {port}: {jobs} jobs");
        assert!(jobs > 50, "{log}");
    }
}

#[test]
#[ignore = "builds QEMU through a store on loopback; run by `cargo xtask test --long`"]
fn long_a_store_on_the_network_gives_the_second_build_its_objects() {
    let _one = exclusive();
    wants::insist(&["sccache", "redis-server"], "sccache redis-server");
    LazyLock::force(&RELEASE);
    let home = scratch();
    let mut redis = Command::new("redis-server");
    redis.args(["--port", "36379", "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(home.path());
    redis.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let _store = Server(redis.spawn().unwrap());
    let environment = vec![
        ("SCCACHE_REDIS".to_owned(), "redis://127.0.0.1:36379".to_owned()),
        ("SCCACHE_SERVER_PORT".to_owned(), "36378".to_owned()),
    ];
    let stop = || {
        let _ = Command::new("sccache").arg("--stop-server").env("SCCACHE_SERVER_PORT", "36378").output();
    };
    // In one folder: sccache knows what it compiled by whole names.
    let driver = Driver { environment, ..Driver::warm(&home.path().join("build")) };
    for name in ["first", "second"] {
        let built = json(&driver, &["build", "--json", "--launcher", "sccache", "--target", TARGET]);
        let row = &built["tarballs"][0];
        assert_eq!(row["sha256"], crate::driver::released(TARGET)["sha256"], "{name}");
        assert_eq!(row["up_to_date"], false, "{name}");
        if name == "first" {
            // What the second one finds comes from the store, not from a tree or a server's memory.
            stop();
            fs::remove_dir_all(&driver.trees).unwrap();
            fs::remove_dir_all(&driver.out).unwrap();
        }
    }
    let mut stats = stats_of(Command::new("sccache").args(["--show-stats", "--stats-format=json"]));
    stop();
    let hits = stats["stats"]["cache_hits"]["counts"]["C/C++"].take().as_u64().unwrap_or(0);
    println!("{hits} hits");
    assert!(hits > 300, "{stats}");
}

fn stats_of(command: &mut Command) -> Value {
    let output = command.env("SCCACHE_SERVER_PORT", "36378").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}
