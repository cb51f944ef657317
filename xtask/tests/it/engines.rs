//! Images of a real release in the engines that people have, by the command lines that they copy. Each engine has a user
//! namespace, and so a table of registrations of its own: nothing is registered on this machine.

use crate::driver::engine::Engine;
use crate::driver::server::Server;
use crate::driver::{Driver, Ended, checkout, exclusive, json, namespace, run, scratch, wants};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Targets whose guest programs the tests have, by Docker's names.
const PLATFORMS: [(&str, &str); 4] =
    [("arm64", "aarch64"), ("arm", "arm"), ("s390x", "s390x"), ("riscv64", "riscv64")];

/// A release of this machine's program and some emulators, and its images as `docker load` takes them.
struct Images {
    home: TempDir,
    release: String,
}

static IMAGES: LazyLock<Images> = LazyLock::new(|| {
    let home = scratch();
    let usual = Driver::usual();
    let targets = PLATFORMS.map(|(_, target)| target).join(",");
    let built = json(&usual, &["build", "--json", "--target", &targets]);
    let program = json(&usual, &["program", "--json"]);
    let parts = home.path().join("parts");
    fs::create_dir(&parts).unwrap();
    for row in built["tarballs"].as_array().unwrap().iter().chain(program["programs"].as_array().unwrap()) {
        for path in [
            row["path"].as_str().unwrap().to_owned(),
            row["path"].as_str().unwrap().replace(".tar.xz", ".json"),
        ] {
            fs::copy(&path, parts.join(Path::new(&path).file_name().unwrap())).unwrap();
        }
    }
    let driver = Driver { out: home.path().join("dist"), ..usual };
    json(&driver, &["release", "--json", parts.to_str().unwrap()]);
    let release = fs::read_dir(&driver.out).unwrap().flatten().map(|entry| entry.file_name());
    let release =
        release.map(|name| name.into_string().unwrap()).find(|name| !name.ends_with(".lock")).unwrap();
    let made = ["image", "--release", driver.out.join(&release).to_str().unwrap(), "--load", "native"]
        .map(str::to_owned);
    driver.succeed(&made.each_ref().map(String::as_str));
    Images { home, release }
});

impl Images {
    /// The archive of an image for `docker load`.
    fn archive(&self, image: &str) -> PathBuf {
        let name = format!("anyarch-{image}-{}-linux-amd64.tar.gz", self.release);
        self.home.path().join(format!("dist/{}-images/docker", self.release)).join(name)
    }

    /// Loads an image, and gives the name that it has then.
    fn load(&self, engine: &Engine, image: &str) -> String {
        let ended = engine.run(&["load", "--quiet", "--input", self.archive(image).to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout.trim().strip_prefix("Loaded image: ").expect("one image").to_owned()
    }
}

/// `docker run` as all of them say it.
fn privileged(engine: &Engine, image: &str, words: &[&str]) -> Ended {
    engine.run(&[&["run", "--network=none", "--rm", "--privileged", image], words].concat())
}

fn supported(ended: &Ended) -> Vec<String> {
    let status: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    status["supported"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// An image of one static program, which starts itself as its child.
fn tiny(engine: &Engine, home: &Path, platform: &str, target: &str) -> String {
    let root = home.join(target);
    fs::create_dir_all(&root).unwrap();
    let known = xtask::facts::Target::named(target).unwrap().known().unwrap();
    fs::write(root.join("tiny"), anyarch_binfmt::tiny::program(known).unwrap()).unwrap();
    fs::set_permissions(root.join("tiny"), fs::Permissions::from_mode(0o755)).unwrap();
    let tag = format!("tiny-{target}");
    engine.import(&root, &format!("linux/{platform}"), &tag);
    tag
}

#[test]
#[ignore = "makes a release and its images, starts dockerd; run by `cargo xtask test --long`"]
fn long_docker_registers_by_the_words_of_the_other_images() {
    let _one = exclusive();
    let home = scratch();
    let engine = Engine::with_a_table_of_its_own();
    let image = IMAGES.load(&engine, "latest");
    let guests = PLATFORMS.map(|(platform, target)| tiny(&engine, home.path(), platform, target));
    // `start` says the word, its child says it, and it ends with 42.
    let runs = |guest: &str| {
        let ended = engine.run(&["run", "--network=none", "--rm", guest, "/tiny", "/tiny", "word"]);
        ended.code == Some(42) && ended.stdout.matches("word").count() == 2
    };
    let all = |expected: bool| {
        for guest in &guests {
            assert_eq!(runs(guest), expected, "{guest}");
        }
    };
    all(false);

    // What `docker/setup-qemu-action` runs, in its order; each must end with 0 or say nothing of an error.
    let inspected = engine.run(&["image", "inspect", &image]);
    assert_eq!(inspected.code, Some(0), "{inspected:?}");
    let version = privileged(&engine, &image, &["--version"]);
    assert!(version.code == Some(0) && version.stdout.starts_with("anyarch "), "{version:?}");
    for words in [&["--uninstall", "qemu-*"][..], &["--install", "arm64,riscv64"], &["--install", "all"]] {
        let ended = privileged(&engine, &image, words);
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
    }
    let platforms = supported(&privileged(&engine, &image, &[]));
    for (platform, _) in PLATFORMS {
        let named = platforms.iter().any(|one| one.split('/').nth(1) == Some(platform));
        assert!(named, "{platform}: {platforms:?}");
    }
    all(true);

    // The other images' ways to take them out, and to register again.
    let cases: [(&[&str], bool); 6] = [
        (&["-r"], false),
        (&["-s", "--", "-p"], true),
        (&["--", "-r"], false),
        (&["--reset", "-p", "yes"], true),
        (&["--uninstall", "arm64,arm,s390x,riscv64"], false),
        (&["--credential", "yes"], true),
    ];
    for (words, expected) in cases {
        let ended = privileged(&engine, &image, words);
        // qus has `-r` behind `--` only.
        if words == ["-r"] {
            assert_eq!(ended.code, Some(2), "{ended:?}");
            let ended = privileged(&engine, &image, &["--", "-r"]);
            assert_eq!(ended.code, Some(0), "{ended:?}");
        } else {
            assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        }
        all(expected);
    }

    // An honest end: without the rights, with a misspelt name, and in an image that lacks the target.
    let without = engine.run(&["run", "--network=none", "--rm", &image, "--install", "arm64"]);
    assert!(without.code == Some(3) && without.stderr.contains("--privileged"), "{without:?}");
    let misspelt = privileged(&engine, &image, &["--install", "arm46"]);
    assert!(misspelt.code == Some(2) && misspelt.stderr.contains("arm64"), "{misspelt:?}");
    let one = IMAGES.load(&engine, "aarch64");
    let lacking = privileged(&engine, &one, &["--install", "s390x"]);
    assert!(lacking.code == Some(1) && lacking.stderr.contains("qemu-s390x"), "{lacking:?}");
    let its_own = privileged(&engine, &one, &["--install", "all"]);
    assert_eq!(its_own.code, Some(0), "{its_own:?}");
}

#[test]
#[ignore = "makes a release and its images, starts dockerd; run by `cargo xtask test --long`"]
fn long_emulators_are_copied_from_images_and_taken_by_the_one_that_registers() {
    let _one = exclusive();
    let home = scratch();
    let engine = Engine::with_a_table_of_its_own();
    let (emulators, buildkit) = (IMAGES.load(&engine, "emulators"), IMAGES.load(&engine, "buildkit"));
    let copied = home.path().join("copied");
    let dockerfile = format!(
        "FROM {emulators} AS emulators\nFROM {buildkit} AS buildkit\nFROM scratch\n\
         COPY --from=emulators /usr/bin/qemu-aarch64 /usr/bin/\nCOPY --from=buildkit /buildkit-qemu-aarch64 /usr/bin/\n"
    );
    let context = engine.context("copies", &dockerfile, &[]);
    let built = engine.build(true, "copies", &context);
    assert_eq!(built.code, Some(0), "{built:?}");
    // An image without a command is no less one that files can be taken from.
    let container = engine.run(&["create", "--network=none", "copies", "nothing"]);
    let source = format!("{}:/usr/bin", container.stdout.trim());
    let taken = engine.run(&["cp", &source, copied.to_str().unwrap()]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let bytes = |name: &str| fs::read(copied.join(name)).unwrap();
    assert_eq!(bytes("qemu-aarch64"), bytes("buildkit-qemu-aarch64"));
    let said = run(copied.join("qemu-aarch64").to_str().unwrap(), &["--version"]);
    assert!(said.contains("anyarch"), "{said}");

    let register = IMAGES.load(&engine, "register");
    let volume = format!("{}:/opt/emulators:ro", copied.display());
    let words = [
        "run",
        "--network=none",
        "--rm",
        "--privileged",
        "--volume",
        &volume,
        "--env",
        "QEMU_BINARY_PATH=/opt/emulators",
    ];
    let ended = engine.run(&[&words[..], &[&register, "--install", "arm64"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let guest = tiny(&engine, home.path(), "arm64", "aarch64");
    let runs =
        || engine.run(&["run", "--network=none", "--rm", &guest, "/tiny", "/tiny", "word"]).code == Some(42);
    assert!(runs());

    // Nor need there be any on the machine: they come from a release, here one in a volume.
    let taken_out = privileged(&engine, &register, &["--uninstall", "qemu-*"]);
    assert!(taken_out.code == Some(0) && !runs(), "{taken_out:?}");
    let volume = format!("{}:/releases:ro", IMAGES.home.path().join("dist").display());
    let words = ["run", "--network=none", "--rm", "--privileged", "--volume", &volume, &register];
    let from = ["--install", "arm64", "--from", "/releases", "--release", &IMAGES.release];
    let ended = engine.run(&[&words[..], &from].concat());
    assert!(ended.code == Some(0) && runs(), "{ended:?}");
}

/// The action's script with these variables, and what it tells the workflow.
fn action(home: &Path, environment: &[(&str, &str)]) -> (Ended, String, String) {
    let (output, path) = (home.join("output"), home.join("path"));
    let mut command = Command::new(checkout().join("action/setup.sh"));
    command.env("GITHUB_OUTPUT", &output).env("GITHUB_PATH", &path).env("HOME", home);
    let ended = Ended::of(command.envs(environment.iter().copied()));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    (ended, read(&output), read(&path))
}

#[test]
fn the_action_refuses_what_makes_no_sense() {
    let home = scratch();
    for (environment, said) in [
        (("ANYARCH_MODE", "magic"), "mode is binfmt or execve, not magic"),
        (("ANYARCH_PLATFORMS", "$(id)"), "these are no platforms"),
        (("ANYARCH_VERSION", "../x"), "this is no release"),
    ] {
        let (ended, ..) = action(home.path(), &[environment]);
        assert!(ended.code == Some(2) && ended.stderr.contains(said), "{ended:?}");
    }
}

#[test]
#[ignore = "makes a release and its images, starts dockerd; run by `cargo xtask test --long`"]
fn long_the_action_registers_by_docker_and_installs_without_it() {
    let _one = exclusive();
    let home = scratch();
    let engine = Engine::with_a_table_of_its_own();
    let image = IMAGES.load(&engine, "latest");
    let (repository, tag) = image.split_once(':').unwrap();
    let address = engine.address();
    let docker = [
        ("DOCKER_HOST", address.as_str()),
        ("ANYARCH_IMAGE", repository),
        ("ANYARCH_VERSION", tag),
        ("ANYARCH_PLATFORMS", "linux/arm64, s390x"),
        ("ANYARCH_RESET", "true"),
    ];
    let (ended, output, _) = action(home.path(), &docker);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let named = output.strip_prefix("platforms=").expect("an output").trim().split(',');
    let named: Vec<&str> = named.collect();
    assert!(["linux/arm64", "linux/s390x"].iter().all(|name| named.contains(name)), "{output}");
    assert!(!named.contains(&"linux/riscv64"), "{output}");
    let guest = tiny(&engine, home.path(), "arm64", "aarch64");
    let ended = engine.run(&["run", "--network=none", "--rm", &guest, "/tiny", "/tiny", "word"]);
    assert_eq!(ended.code, Some(42), "{ended:?}");

    let server = Server::of(&IMAGES.home.path().join("dist"));
    let url = server.url();
    let execve = [
        ("ANYARCH_MODE", "execve"),
        ("ANYARCH_FROM", url.as_str()),
        ("ANYARCH_VERSION", IMAGES.release.as_str()),
        ("ANYARCH_PLATFORMS", "arm64,arm/v7"),
        ("NO_PROXY", "127.0.0.1"),
        ("no_proxy", "127.0.0.1"),
    ];
    fs::remove_file(home.path().join("output")).unwrap();
    let (ended, output, path) = action(home.path(), &execve);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(output.contains("linux/arm64") && output.contains("linux/arm/v7"), "{output}");
    let installed = PathBuf::from(path.trim());
    let said = run(installed.join("qemu-aarch64").to_str().unwrap(), &["--version"]);
    assert!(said.contains("anyarch"), "{said}");
}

#[test]
#[ignore = "makes a release and its images, starts dockerd; run by `cargo xtask test --long`"]
fn long_a_container_that_cannot_write_registers_and_tells_what_has_no_room() {
    let _one = exclusive();
    let home = scratch();
    let engine = Engine::with_a_table_of_its_own();
    let (image, register) = (IMAGES.load(&engine, "latest"), IMAGES.load(&engine, "register"));
    let guest = tiny(&engine, home.path(), "arm64", "aarch64");
    let runs =
        || engine.run(&["run", "--network=none", "--rm", &guest, "/tiny", "/tiny", "word"]).code == Some(42);
    let begin = ["run", "--network=none", "--rm", "--privileged", "--read-only"];
    // The emulators are in the image, so nothing has to be written.
    let ended = engine.run(&[&begin[..], &[&image, "--install", "arm64"]].concat());
    assert!(ended.code == Some(0) && ended.stderr.contains("docker run --tmpfs /run") && runs(), "{ended:?}");
    let ended = engine.run(&[&begin[..], &["--tmpfs", "/run", &image, "--install", "arm64"]].concat());
    assert!(ended.code == Some(0) && !ended.stderr.contains("--tmpfs") && runs(), "{ended:?}");
    let ended = engine.run(&[&begin[..], &[&image, "--uninstall", "qemu-*"]].concat());
    assert!(ended.code == Some(0) && !runs(), "{ended:?}");

    // Those of a release need room.
    let volume = format!("{}:/releases:ro", IMAGES.home.path().join("dist").display());
    let from = ["--install", "arm64", "--from", "/releases", "--release", &IMAGES.release];
    let full = ["--tmpfs", "/usr/local:exec,size=100k", "--env", "ANYARCH_CACHE=/usr/local/cache"];
    for place in [&[][..], &full] {
        let ended = engine.run(&[&begin[..], place, &["--volume", &volume, &register], &from].concat());
        ended.failed(1, &["there is no room for the emulators", "docker run -v anyarch:/usr/local"]);
        assert!(!runs(), "{ended:?}");
    }
    let place = ["--volume", "anyarch:/usr/local", "--env", "ANYARCH_CACHE=/usr/local/cache"];
    let ended = engine.run(&[&begin[..], &place, &["--volume", &volume, &register], &from].concat());
    assert!(ended.code == Some(0) && runs(), "{ended:?}");
}

#[test]
#[ignore = "makes a release and its images, starts dockerd; run by `cargo xtask test --long`"]
fn long_a_container_registers_until_it_is_stopped() {
    let _one = exclusive();
    let home = scratch();
    let engine = Engine::with_a_table_of_its_own();
    let image = IMAGES.load(&engine, "latest");
    let guest = tiny(&engine, home.path(), "arm64", "aarch64");
    let runs =
        || engine.run(&["run", "--network=none", "--rm", &guest, "/tiny", "/tiny", "word"]).code == Some(42);
    // As examples/kubernetes.yaml and the unit of systemd say it, but for a user namespace.
    let begin = ["run", "--detach", "--name", "registers", "--network=none", "--privileged", "--read-only"];
    let words = ["--tmpfs", "/run", &image, "register", "arm64,riscv64", "--replace", "--wait", "--user"];
    let begun = engine.run(&[&begin[..], &words].concat());
    assert_eq!(begun.code, Some(0), "{begun:?}");
    let deadline = Instant::now() + Duration::from_secs(60);
    let logs = || engine.run(&["logs", "registers"]);
    while !logs().stderr.contains("registered until") {
        assert!(Instant::now() < deadline, "{:?}", logs());
        sleep(Duration::from_millis(200));
    }
    assert!(runs());
    let stopped = engine.run(&["stop", "--time", "20", "registers"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    let state = engine.run(&["inspect", "--format", "{{.State.ExitCode}}", "registers"]);
    assert_eq!(state.stdout.trim(), "0", "{:?}", logs());
    assert!(!runs(), "the table still has it");
}

#[test]
#[ignore = "makes a release and its images, starts dockerd; run by `cargo xtask test --long`"]
fn long_containers_that_register_at_once_or_are_killed_leave_nothing_half_done() {
    let _one = exclusive();
    let home = scratch();
    let engine = Engine::with_a_table_of_its_own();
    let image = IMAGES.load(&engine, "latest");
    let guests = PLATFORMS.map(|(platform, target)| tiny(&engine, home.path(), platform, target));
    let all_run = || {
        for guest in &guests {
            let ended = engine.run(&["run", "--network=none", "--rm", guest, "/tiny", "/tiny", "word"]);
            assert_eq!(ended.code, Some(42), "{guest}: {ended:?}");
        }
    };
    let install = ["run", "--network=none", "--rm", "--privileged", &image, "--install", "all"];
    let begun = [0; 3]
        .map(|_| engine.command(&install).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    for one in begun {
        let output = one.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    all_run();
    for milliseconds in [0, 100, 200, 400, 800] {
        let mut run = engine.command(&[&install[..1], &["--name", "killed"], &install[1..]].concat());
        let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(milliseconds));
        let _ = engine.run(&["kill", "killed"]);
        run.wait().unwrap();
        let _ = engine.run(&["rm", "--force", "killed"]);
        let again = engine.run(&install);
        assert_eq!(again.code, Some(0), "after {milliseconds} ms: {again:?}");
    }
    all_run();
}

#[test]
#[ignore = "makes a release and its images; run by `cargo xtask test --long`"]
fn long_podman_registers_by_the_image_as_docker_does() {
    let _one = exclusive();
    wants::insist(&["podman", "runc"], "podman runc");
    let home = scratch();
    let known = xtask::facts::Target::named("aarch64").unwrap().known().unwrap();
    let root = home.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("tiny"), anyarch_binfmt::tiny::program(known).unwrap()).unwrap();
    fs::set_permissions(root.join("tiny"), fs::Permissions::from_mode(0o755)).unwrap();
    run("tar", &["-C", root.to_str().unwrap(), "-cf", home.path().join("tiny.tar").to_str().unwrap(), "."]);
    let script = "cd \"$1\"; mount -t tmpfs none /run; mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
        podman() { command podman --root \"$PWD/store\" --runroot \"$PWD/run\" --storage-driver vfs \\
            --cgroup-manager cgroupfs --runtime runc \"$@\"; }
        image=$(gzip -dc \"$2\" | podman load --quiet | sed -n 's/^Loaded image[^:]*: *//p')
        podman import --quiet --arch arm64 tiny.tar localhost/tiny > /dev/null
        guest() { code=0; podman run --rm --network none localhost/tiny /tiny /tiny word || code=$?; echo $code; }
        guest 2> /dev/null
        podman run --rm --privileged --network none \"$image\" --install arm64 > /dev/null
        guest
        podman run --rm --privileged --network none \"$image\" --uninstall 'qemu-*' > /dev/null
        guest 2> /dev/null";
    let mut command = namespace::mapped();
    command.args([
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-ec",
        script,
    ]);
    command.arg("sh").arg(home.path()).arg(IMAGES.archive("latest"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    namespace::let_in(&mut child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    // Exec format error, then what the two of them say, then the error again.
    assert_eq!(lines.len(), 5, "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines[0] == "126" || lines[0] == "1", "{said}");
    assert!(lines[1].contains("word") && lines[2].contains("word") && lines[3] == "42", "{said}");
    assert_eq!(lines[0], lines[4], "{said}");
}

#[test]
#[ignore = "needs tools of other ecosystems; run by `cargo xtask test --long`"]
fn long_the_files_that_people_copy_are_what_their_readers_take() {
    wants::insist(
        &["check-jsonschema", "kubernetes-validate", "systemd-analyze"],
        "systemd; pip install check-jsonschema kubernetes-validate",
    );
    let cases: [&[&str]; 6] = [
        &["check-jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml"],
        &["check-jsonschema", "--builtin-schema", "vendor.github-workflows", "examples/github.yml"],
        &["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "examples/gitlab-ci.yml"],
        &["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "examples/compose.yaml"],
        &["kubernetes-validate", "--strict", "-k", "1.30", "examples/kubernetes.yaml"],
        &["systemd-analyze", "verify", "--man=no", "./examples/anyarch-register.service"],
    ];
    for words in cases {
        let ended = Ended::of(Command::new(words[0]).args(&words[1..]).current_dir(checkout()));
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
    }
}
