//! What the commands print and leave alone.

use crate::driver::server::{ALWAYS, Server, Wrong};
use crate::driver::{Driver, Ended, files, run, scratch, small_data, wants};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use xtask::facts::Host;

const COMMANDS: [&str; 17] = [
    "build",
    "plan",
    "source",
    "toolchain",
    "verify",
    "program",
    "release",
    "image",
    "package",
    "fetch",
    "patch",
    "series",
    "test",
    "bench",
    "doctor",
    "clean",
    "completions",
];

#[test]
fn help_names_every_command_and_each_has_its_own() {
    let home = scratch();
    let driver = Driver::fresh(home.path());
    let all = driver.succeed(&["--help"]);
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is not in --help");
        let own = driver.succeed(&[command, "--help"]);
        assert!(own.contains("Usage: cargo xtask") && own.lines().count() > 8, "{own}");
        let wide = own.lines().find(|line| line.chars().count() > 100);
        assert_eq!(wide, None, "{command}");
    }
}

#[test]
fn plan_and_dry_run_say_the_same_and_touch_nothing() {
    let home = scratch();
    let driver = Driver::fresh(home.path());
    let plan = driver.succeed(&["plan", "--host", "native"]);
    assert_eq!(plan, driver.succeed(&["build", "--target", "all", "--dry-run"]));
    assert_eq!(plan.lines().filter(|line| line.ends_with(" .")).count(), 33, "{plan}");
    assert!(plan.contains("nios2") && plan.contains("not possible"), "{plan}");
    let json: Value =
        serde_json::from_str(&driver.succeed(&["plan", "--target", "arm64", "--json"])).unwrap();
    assert_eq!(json["plan"]["trees"][0]["targets"][0], "aarch64");
    assert_eq!(json["plan"]["series"]["tag"], "v10.2.2");
    let hosts = Host::all(&driver.root.join("toolchains")).unwrap();
    let wide = hosts.iter().filter(|host| host.elf.bits == 64).count();
    assert_eq!(json["pairs"].as_array().unwrap().len(), wide, "a 64-bit target on every 64-bit host");
    assert_eq!(json["pairs"][0]["state"], "planned");
    let github = driver.succeed(&["plan", "--format", "github"]);
    assert_eq!(github.lines().count(), 1, "a workflow's output is one line: {github}");
    let jobs: Value = serde_json::from_str(&github).unwrap();
    let lacking = json["plan"]["series"]["left_out_hosts"].as_object().unwrap().len();
    assert_eq!(jobs["include"].as_array().unwrap().len(), hosts.len() - lacking, "{jobs}");
    assert_eq!(files(home.path()), Vec::<PathBuf>::new());
}

#[test]
fn series_are_compared_with_upstreams_tags_and_nothing_is_made() {
    let home = scratch();
    let upstream = home.path().join("qemu.git");
    let upstream = upstream.to_str().unwrap();
    run("git", &["init", "--quiet", "--bare", upstream]);
    let git = |words: &[&str]| {
        let who = ["-c", "user.name=x", "-c", "user.email=x@localhost", "-C", upstream];
        run("git", &[&who[..], words].concat())
    };
    let tree = git(&["hash-object", "-w", "-t", "tree", "/dev/null"]);
    let commit = git(&["commit-tree", "-m", "x", tree.trim()]);
    for tag in ["v10.2.2", "v10.2.19", "v99.0.1", "v99.1.0-rc0"] {
        git(&["tag", tag, commit.trim()]);
    }
    let driver = Driver::fresh(&home.path().join("driver"));
    let told = driver.succeed(&["series", "check", "--from", upstream]);
    assert!(told.contains("10.2   10.2.2    behind: upstream has 10.2.19\n"), "{told}");
    assert!(told.contains("upstream has 99.0.1, a series that is not here"), "{told}");
    let json: Value =
        serde_json::from_str(&driver.succeed(&["series", "check", "--json", "--from", upstream])).unwrap();
    assert_eq!(json["not_here"], serde_json::json!(["99.0.1"]));
    driver.run(&["series", "check", "--offline"]).failed(1, &["cannot ask http", "--offline is set"]);
    assert_eq!(files(&home.path().join("driver")), Vec::<PathBuf>::new());
}

#[test]
fn completions_are_a_script_that_the_shell_reads() {
    let home = scratch();
    let script = home.path().join("completions");
    fs::write(&script, Driver::fresh(home.path()).succeed(&["completions", "bash"])).unwrap();
    let script = script.to_str().unwrap();
    run("bash", &["-n", script]);
    let complete = |words: &str, at: usize, word: &str, before: &str| {
        let set = format!("COMP_WORDS=({words}); COMP_CWORD={at}");
        let script =
            format!(". {script}; {set}; _xtask xtask '{word}' '{before}'; echo \"${{COMPREPLY[@]}}\"");
        run("bash", &["-c", &script]).trim().to_owned()
    };
    assert_eq!(complete("xtask ver", 1, "ver", "xtask"), "verify");
    for (option, word, completed) in
        [("--target", "loon", "loongarch64"), ("--host", "s3", "s390x"), ("--qemu", "7", "7.2")]
    {
        assert_eq!(complete(&format!("xtask build {option} {word}"), 3, word, option), completed);
    }
}

#[test]
fn a_terminal_gets_live_lines_and_a_log_plain_ones() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    let mut driver = Driver::fresh(home.path());
    driver.root = data.root;
    let arguments = driver.arguments(&["source", "--source", source.to_str().unwrap()]).join(" ");
    let on_terminal = |variables: &str| {
        let _ = fs::remove_dir_all(&driver.trees);
        let line = format!("{variables} {} {arguments}", env!("CARGO_BIN_EXE_xtask"));
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        script
            .env("TERM", "xterm")
            .env("ANYARCH_CACHE", driver.cache.as_ref().unwrap())
            .env_remove("NO_COLOR");
        let ended = Ended::of(&mut script);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        ended.stdout
    };
    assert!(on_terminal("").contains("\x1b["), "no live line on a terminal");
    for variables in ["NO_COLOR=1", "TERM=dumb"] {
        let plain = on_terminal(variables);
        assert!(!plain.contains('\x1b') && plain.contains("unpack and patch"), "{plain}");
    }
    fs::remove_dir_all(&driver.trees).unwrap();
    let piped = driver.run(&["source", "--source", source.to_str().unwrap()]);
    assert!(
        !piped.stderr.contains('\x1b') && piped.stderr.contains("s] unpack and patch"),
        "{}",
        piped.stderr
    );
    assert_eq!(piped.stdout.lines().count(), 1, "stdout is for the result");
}

#[test]
fn clean_removes_what_was_asked_for_and_nothing_of_others() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    let mut driver = Driver::fresh(home.path());
    driver.root = data.root;
    driver.succeed(&["source", "--source", source.to_str().unwrap()]);
    fs::create_dir_all(driver.out.join("10.2.2-1")).unwrap();
    fs::write(driver.out.join("10.2.2-1/SHA256SUMS"), "").unwrap();
    fs::create_dir_all(driver.out.join("mine")).unwrap();
    fs::write(driver.out.join("mine/letter"), "dear").unwrap();
    let cache = driver.cache.clone().unwrap();
    for kind in ["apt", "sysroots", "headers", "tools", "python", "guests"] {
        fs::create_dir_all(cache.join(kind).join("some")).unwrap();
    }
    let before = files(home.path());
    let told = driver.succeed(&["clean", "all", "--dry-run"]);
    assert!(told.contains("would remove") && files(home.path()) == before, "{told}");
    // Who works there is not disturbed.
    let working = fs::File::open(driver.trees.join("CACHEDIR.TAG")).unwrap();
    working.lock_shared().unwrap();
    for kinds in ["trees", "releases", "all"] {
        driver.run(&["clean", kinds]).failed(1, &["nothing was removed", "another run is using"]);
    }
    let in_cache = fs::File::open(cache.join("CACHEDIR.TAG")).unwrap();
    in_cache.lock_shared().unwrap();
    let refused = driver.run(&["toolchain", "--refresh"]);
    refused.failed(1, &["nothing was refreshed", "another run is using"]);
    driver.run(&["clean", "downloads"]).failed(1, &["nothing was removed"]);
    assert_eq!(files(home.path()), before);
    drop((working, in_cache));
    driver.succeed(&["clean", "trees"]);
    assert!(!driver.trees.exists() && cache.join("downloads").exists());
    driver.succeed(&["clean", "all"]);
    assert_eq!(files(&driver.out), [Path::new("mine/letter")]);
    let left = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> = left.filter(|path| path.is_dir()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn doctor_tells_machines_what_it_tells_people() {
    let home = scratch();
    let driver = Driver::fresh(home.path());
    let json: Value = serde_json::from_str(&driver.succeed(&["doctor", "--json"])).unwrap();
    let needed = json["needed"].as_array().unwrap();
    assert!(needed.iter().any(|one| one["what"] == "git" && one["found"].is_string()));
    assert!(needed.iter().all(|one| !one["get"].as_str().unwrap().is_empty()));
}

/// Files and folders on the way, anywhere below a folder.
fn on_the_way(folder: &Path) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        path.components().any(|part| part.as_os_str().to_string_lossy().starts_with(".partial-"))
    };
    files(folder).into_iter().filter(is_one).collect()
}

/// As containers of a CI that share a cache: to each of them, the other's processes are not there.
#[test]
fn what_a_run_in_another_container_is_at_is_not_swept_and_what_a_killed_one_left_is() {
    let home = scratch();
    let (data, source) = small_data(home.path());
    let server = Server::of(home.path());
    server.wrong(".tar.xz", Wrong::Stall(100), ALWAYS);
    data.pin("http://127.0.0.1:1/qemu", &format!("{}/qemu", server.url()));
    let mut driver = Driver::fresh(home.path());
    driver.root = data.root;
    let elsewhere = |arguments: &[&str]| {
        let mut command = driver.unshared(&["--pid", "--fork", "--mount-proc"], "", arguments);
        Ended::of(&mut command)
    };
    let probe = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return wants::not_run("this machine has no namespaces for `unshare --user --pid`");
    }

    let mut living = driver.start(&["patch", "check"]);
    server.wait_for(".tar.xz", 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    let downloads = driver.cache.clone().unwrap().join("downloads");
    while on_the_way(&downloads).is_empty() {
        assert!(Instant::now() < deadline, "nothing is on its way in {}", downloads.display());
        thread::sleep(Duration::from_millis(5));
    }
    let before = on_the_way(home.path());
    assert!(before.iter().any(|path| path.ends_with("jobserver")), "{before:?}");
    // It looks into the same folders: that of the trees, and that of the very download.
    let check = ["patch", "check", "--source", source.to_str().unwrap()];
    let ended = elsewhere(&check);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(on_the_way(home.path()), before, "the other run still needs it");

    living.signal("KILL");
    assert_eq!(living.end(), None);
    assert_eq!(on_the_way(home.path()), before);
    assert_eq!(elsewhere(&check).code, Some(0));
    assert_eq!(on_the_way(home.path()), Vec::<PathBuf>::new(), "nobody needs it");
}
