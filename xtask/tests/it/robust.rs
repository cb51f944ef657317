//! What nobody typed on purpose: random input for the plain C parts of the patches, emulators with
//! sanitizers, guests that fail all the time, and a benchmark that is interrupted.

use crate::driver::{Driver, checkout, files, is_root, mkdir, run, scratch, wants};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A part of the patches that can be compiled alone.
struct Part {
    /// Of its harness.
    name: &'static str,
    /// What is linked with the harness.
    sources: &'static [&'static str],
    /// What the harness includes.
    included: &'static [&'static str],
    /// Whether it changes IDs.
    wants_root: bool,
}

const PARTS: [Part; 4] = [
    Part { name: "script", sources: &["execve-script.c"], included: &["execve-script.h"], wants_root: false },
    Part { name: "args", sources: &["execve-args.c"], included: &["execve-args.h"], wants_root: false },
    Part { name: "proof", sources: &["execve-proof.c"], included: &["execve-proof.h"], wants_root: true },
    Part {
        name: "descriptors",
        sources: &["own-proc.c"],
        included: &["own-proc.h", "reserved-fd.c", "reserved-fd.h"],
        wants_root: false,
    },
];
const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];
/// Random scripts that the kernel is asked about, besides those that a fuzzer leaves.
const SCRIPTS: &str = "3000";

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&Driver::usual().succeed(arguments)).unwrap()
}

/// The parts that can be run by whoever runs this.
fn parts() -> Vec<&'static Part> {
    let (run, left): (Vec<_>, Vec<_>) = PARTS.iter().partition(|part| !part.wants_root || is_root());
    for part in left {
        wants::partly_not_run(&format!("the harness {} (it wants to be root)", part.name));
    }
    run
}

/// The patched `linux-user` of the default series. The parts are the same files in all.
fn linux_user() -> PathBuf {
    Path::new(json(&["source", "--json"])["tree"].as_str().unwrap()).join("linux-user")
}

/// A compiler's ways to a fuzzer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Engine {
    /// clang's.
    LibFuzzer,
    /// Our own, with gcc.
    Driver,
}

/// Harnesses, compiled.
struct Fuzzers {
    home: tempfile::TempDir,
    engine: Engine,
}

impl Fuzzers {
    /// Compiles the harnesses of `parts` with what is in `linux_user`.
    fn compile(engine: Engine, linux_user: &Path, parts: &[&Part]) -> Self {
        let fuzzers = Self { home: scratch(), engine };
        let sysroot = json(&["toolchain", "--json"])["sysroot"].as_str().unwrap().to_owned();
        let library = format!("{sysroot}/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let headers = [
            format!("-I{}", checkout().join("guests/fuzz/include").display()),
            format!("-I{}", linux_user.display()),
            format!("-I{sysroot}/usr/include/glib-2.0"),
            format!("-I{library}/glib-2.0/include"),
        ];
        let libraries = [format!("-L{library}"), "-lglib-2.0".into(), "-lpcre2-8".into(), "-lm".into()];
        let options = |more: &[&str]| -> Vec<String> {
            let all = ["-g", "-O1", "-fno-omit-frame-pointer"].iter().chain(&SANITIZERS).chain(more);
            all.map(|option| (*option).to_owned()).chain(headers.clone()).collect()
        };
        for part in parts {
            let name = part.name;
            let mut sources = vec![checkout().join("guests/fuzz").join(format!("{name}.c"))];
            sources.extend(part.sources.iter().map(|source| linux_user.join(source)));
            let sources: Vec<String> = sources.iter().map(|path| path.display().to_string()).collect();
            let output = ["-o".to_owned(), fuzzers.program(name).display().to_string()];
            match engine {
                Engine::LibFuzzer => {
                    let clang = clang().unwrap();
                    let all = [options(&["-fsanitize=fuzzer"]), sources, output.to_vec()];
                    run(&clang, &[all.concat(), libraries.to_vec()].concat());
                }
                Engine::Driver => {
                    // What is traced must not be the tracer.
                    let objects: Vec<String> = sources
                        .iter()
                        .enumerate()
                        .map(|(number, source)| {
                            let object = format!("{}/{name}-{number}.o", fuzzers.home.path().display());
                            let object = ["-c".to_owned(), source.clone(), "-o".to_owned(), object];
                            run(
                                "gcc",
                                &[options(&["-fsanitize-coverage=trace-pc"]), object.to_vec()].concat(),
                            );
                            object[3].clone()
                        })
                        .collect();
                    let main = checkout().join("guests/fuzz/driver.c").display().to_string();
                    let all = [options(&[]), objects, vec![main], output.to_vec(), libraries.to_vec()];
                    run("gcc", &all.concat());
                }
            }
        }
        fuzzers
    }

    fn program(&self, part: &str) -> PathBuf {
        self.home.path().join(part)
    }

    /// Where a part's inputs are kept.
    fn corpus(&self, part: &str) -> PathBuf {
        self.home.path().join(format!("corpus-{part}"))
    }

    /// Runs the fuzzer of a part for so long.
    fn run(&self, part: &str, seconds: u32) -> Output {
        let corpus = self.corpus(part);
        mkdir(&corpus);
        let mut command = Command::new(self.program(part));
        match self.engine {
            Engine::LibFuzzer => command
                .arg(format!("-max_total_time={seconds}"))
                .args(["-max_len=600", "-print_final_stats=1"])
                .arg(&corpus),
            Engine::Driver => command.args(["--seconds", &seconds.to_string(), "--keep"]).arg(&corpus),
        };
        command.current_dir(self.home.path()).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs these parts side by side: nothing must be found.
    fn find_nothing(&self, parts: &[&Part], seconds: u32) {
        thread::scope(|scope| {
            for part in parts {
                scope.spawn(move || {
                    let part = part.name;
                    let output = self.run(part, seconds);
                    let text = text(&output);
                    assert!(output.status.success(), "{part}: {:?}\n{text}", self.engine);
                    let told = text.lines().rev().filter(|line| {
                        ["runs in", "stat::number_of_exec", "cov: "].iter().any(|word| line.contains(word))
                    });
                    println!("{part}, {:?}: {}", self.engine, told.take(2).collect::<Vec<_>>().join("; "));
                });
            }
        });
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A clang whose libFuzzer works, with its sanitizers.
fn clang() -> Option<String> {
    let home = scratch();
    let source = home.path().join("empty.c");
    fs::write(&source, "int LLVMFuzzerTestOneInput(const char *d, long n) { return 0; }\n").unwrap();
    let names = ["clang-19", "clang", "clang-16", "clang-14"].iter().map(|name| (*name).to_owned());
    names.into_iter().find(|name| {
        let compile = Command::new(name)
            .args(["-fsanitize=fuzzer,address,undefined", "-o"])
            .arg(home.path().join("empty"))
            .arg(&source)
            .output();
        compile.is_ok_and(|output| output.status.success())
    })
}

/// Both engines where there is a clang. gcc's is always there, so something always runs.
fn engines() -> Vec<Engine> {
    match clang() {
        Some(_) => vec![Engine::Driver, Engine::LibFuzzer],
        None => {
            // Ours is always there, and clang with its sanitizers takes half a gigabyte.
            wants::partly_not_run("libFuzzer (to fix it: apt-get install clang-19 libclang-rt-19-dev)");
            vec![Engine::Driver]
        }
    }
}

/// Asks this kernel about random scripts and about those in `corpus`.
fn compare_with_the_kernel(linux_user: &Path, corpus: &Path) {
    let home = scratch();
    let program = home.path().join("kernel");
    let fuzz = checkout().join("guests/fuzz");
    let mut compile = Command::new("gcc");
    compile.args(["-O2", "-static", "-o"]).arg(&program);
    compile.arg(format!("-I{}", fuzz.join("include").display()));
    compile.arg(format!("-I{}", linux_user.display()));
    compile.arg(fuzz.join("kernel.c")).arg(linux_user.join("execve-script.c"));
    assert!(compile.status().unwrap().success());
    let scripts = home.path().join("scripts");
    let mut ask = Command::new(&program);
    ask.args(["1", SCRIPTS]).arg(mkdir(&scripts));
    ask.args(files(corpus).iter().map(|file| corpus.join(file)));
    let output = ask.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    println!("{}", text(&output).trim());
}

#[test]
#[ignore = "compiles C and takes 10 s; run by `cargo xtask test`"]
fn random_input_does_no_harm_and_scripts_are_read_as_the_kernel_reads_them() {
    let linux_user = linux_user();
    let parts = parts();
    for engine in engines() {
        let fuzzers = Fuzzers::compile(engine, &linux_user, &parts);
        fuzzers.find_nothing(&parts, 10);
        compare_with_the_kernel(&linux_user, &fuzzers.corpus("script"));
    }
}

#[test]
#[ignore = "takes twenty minutes; run by `cargo xtask test --long`"]
fn long_random_input_for_ten_minutes_does_no_harm() {
    let linux_user = linux_user();
    let parts = parts();
    for engine in engines() {
        let fuzzers = Fuzzers::compile(engine, &linux_user, &parts);
        fuzzers.find_nothing(&parts, 600);
        compare_with_the_kernel(&linux_user, &fuzzers.corpus("script"));
    }
}

/// A part, a file of it, a line of that, and what somebody might have written instead.
const MISTAKES: [(&str, &str, &str, &str); 20] = [
    ("script", "execve-script.c", "EXECVE_SCRIPT_SIZE - 1;", "EXECVE_SCRIPT_SIZE;"),
    ("script", "execve-script.c", "c == ' ' || c == '\\t'", "c == ' '"),
    ("script", "execve-script.c", "if (!name || !find_word_end(name, last)) {", "if (!name) {"),
    ("script", "execve-script.c", "if (sep && *sep != '\\0') {", "if (sep) {"),
    ("args", "execve-args.c", "if (*argv) {\n            argv++;", "if (*argv) {\n            argv += 0;"),
    ("args", "execve-args.c", "g_ptr_array_add(args, (char *)\"--\");", ""),
    ("args", "execve-args.c", "if (*path == '/' || *path == '\\0') {", "if (*path == '/') {"),
    ("args", "execve-args.c", "if (!args[i]) {", "if (i && !args[i]) {"),
    ("args", "execve-args.c", "fds[i] < (i < 2 ? 0 : -1)", "fds[i] < -1"),
    ("args", "execve-args.c", "if (fds[i] >= 0 && fds[i] == fds[j]) {", "if (i < 2 && fds[i] == fds[j]) {"),
    ("proof", "execve-proof.c", "return ids_differ() && fd >= 0", "return fd >= 0"),
    ("proof", "execve-proof.c", "st.st_gid == getegid() &&", ""),
    ("proof", "execve-proof.c", "F_SEAL_GROW | F_SEAL_WRITE)", "F_SEAL_GROW)"),
    ("proof", "execve-proof.c", "fsgid = setfsgid(getegid());", "fsgid = getegid();"),
    ("proof", "execve-proof.c", "\"qemu execve child of %d\", getpid()", "\"qemu execve child\""),
    ("descriptors", "reserved-fd.c", "newfd < lim.rlim_cur) {", "newfd <= lim.rlim_cur) {"),
    ("descriptors", "reserved-fd.c", "ok = fd >= 0 || may_spare(slot);", "ok = true;"),
    (
        "descriptors",
        "reserved-fd.c",
        "slots[i] >= first && slots[i] <= end",
        "slots[i] > first && slots[i] <= end",
    ),
    ("descriptors", "reserved-fd.c", "if (old >= 0 && old != fd) {", "if (old > 0 && false) {"),
    ("descriptors", "own-proc.c", "same_file(dirfd, dir, fdinfo)", "false"),
];

#[test]
#[ignore = "compiles C; run by `cargo xtask test`"]
fn the_fuzzers_find_mistakes() {
    let linux_user = linux_user();
    let parts = parts();
    for (name, file, right, wrong) in MISTAKES {
        let Some(part) = parts.iter().find(|part| part.name == name) else { continue };
        let home = scratch();
        for source in part.sources.iter().chain(part.included) {
            let mut text = fs::read_to_string(linux_user.join(source)).unwrap();
            if *source == file {
                assert!(text.contains(right), "{right}");
                text = text.replacen(right, wrong, 1);
            }
            fs::write(home.path().join(source), text).unwrap();
        }
        let fuzzers = Fuzzers::compile(Engine::Driver, home.path(), &[part]);
        let output = fuzzers.run(name, 30);
        assert!(!output.status.success(), "`{wrong}` was not found:\n{}", text(&output));
        assert!(fuzzers.home.path().join("crash").is_file(), "what finds `{wrong}` is not kept");
    }
}

#[test]
#[ignore = "fetches QEMU's source; run by `cargo xtask test`"]
fn each_system_call_that_takes_a_descriptor_is_in_the_table() {
    let linux_user = linux_user();
    let ask = |folder: &Path| {
        let script = checkout().join("guests/fuzz/table.sh");
        Command::new("sh").arg(script).arg(folder).output().unwrap()
    };
    let output = ask(&linux_user);
    assert!(output.status.success(), "{}", text(&output));
    println!("{}", text(&output).trim());

    // What the script must complain about, each alone.
    let planted = [
        ("#ifdef TARGET_NR_tee\n    [TARGET_NR_tee] = FD(1) | FD(2),\n#endif\n", "", "tee: missing"),
        (
            "[TARGET_NR_tee] = FD(1) | FD(2)",
            "[TARGET_NR_tee] = FD(1)",
            "tee: descriptors are the arguments 1 2",
        ),
        ("TARGET_NR_fdatasync", "TARGET_NR_datasync", "datasync: no target has this call"),
        ("[TARGET_NR_chdir] = PATH(1)", "[TARGET_NR_chdir] = FD(1)", "chdir: takes a descriptor?"),
    ];
    let list = fs::read_to_string(linux_user.join("guest-fd.list")).unwrap();
    for (right, wrong, complaint) in planted {
        let home = scratch();
        run("cp", &["-a".into(), format!("{}/.", linux_user.display()), home.path().display().to_string()]);
        assert!(list.contains(right), "{right}");
        fs::write(home.path().join("guest-fd.list"), list.replace(right, wrong)).unwrap();
        let output = ask(home.path());
        assert!(!output.status.success() && text(&output).contains(complaint), "{}", text(&output));
    }
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test --long`"]
fn long_the_contract_holds_under_sanitizers() {
    // One with 64, one with 32 bits, one big-endian.
    for target in ["aarch64", "arm", "s390x"] {
        let reports = json(&["verify", "--json", "--profile", "sanitized", "--target", target]);
        for check in reports[0]["report"]["checks"].as_array().unwrap() {
            println!("{target}: {check}");
            assert!(check["passed"].is_string(), "{target}: {check}");
        }
    }
}

#[test]
fn emulators_with_sanitizers_are_never_packed() {
    let home = scratch();
    let ended = Driver::warm(home.path()).run(&["build", "--profile", "sanitized", "--target", "arm"]);
    ended.failed(2, &["never packaged", "cargo xtask verify --profile sanitized"]);
}

/// The formats that are registered on this machine, and the mounts that have to do with that.
fn registered() -> (Vec<PathBuf>, Vec<String>) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains("binfmt_misc")).map(str::to_owned);
    (files(Path::new("/proc/sys/fs/binfmt_misc")), mounts.collect())
}

/// Processes of a benchmark below `folder`.
fn benchmark_processes(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(folder.to_str().unwrap()) && line.contains("start-")).collect()
}

#[test]
#[ignore = "builds QEMU; run by `cargo xtask test`"]
fn what_an_exec_costs_is_measured_and_nothing_stays_registered() {
    let packages = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross";
    if let Some(why) = wants::lacks(&["aarch64-linux-gnu-gcc"], packages) {
        Driver::usual().run(&["bench", "exec"]).failed(3, &["aarch64-linux-gnu-gcc", "apt-get install"]);
        return wants::not_run(&why);
    }
    let before = registered();
    let figures = json(&["bench", "exec", "--json", "--children", "60"]);
    let figures = figures.as_array().unwrap();
    assert_eq!(figures.len(), 4, "processor time and elapsed time of two programs");
    for figure in figures {
        let value = figure["value"].as_f64().unwrap();
        println!("{}: {value:.3}, {}", figure["what"], figure["from"]);
        // Far from the goal, which so few children cannot show; near enough to tell a mistake. What
        // elapses on a busy machine tells nothing.
        let is_steady = figure["what"].as_str().unwrap().ends_with("processor time");
        assert!(value > 0.1 && (value < 1.5 || !is_steady), "{figure}");
        for cost in figure["details"]["costs"].as_array().unwrap() {
            assert_eq!(cost["children"], 60);
        }
    }
    assert_eq!(registered(), before);

    let driver = Driver::usual();
    for signal in ["INT", "TERM", "KILL"] {
        let mut run = driver.start(&["bench", "exec", "--children", "5000"]);
        run.wait_for("start 5000 children");
        thread::sleep(Duration::from_millis(700));
        assert!(!benchmark_processes(&driver.trees).is_empty(), "{signal} comes too early or too late");
        run.signal(signal);
        run.end();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !benchmark_processes(&driver.trees).is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(benchmark_processes(&driver.trees), Vec::<String>::new(), "left running by {signal}");
        assert_eq!(registered(), before, "left registered by {signal}");
    }
}

/// A format that nothing has, so that its registration changes nothing for anybody.
const FORMAT: &str = ":anyarch-test:M::anyarch\\x00never:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff:/bin/true:F";

#[test]
#[ignore = "registers a format for a second, as root; run by `cargo xtask test`"]
fn on_older_kernels_a_format_is_unregistered_however_its_program_ends() {
    let home = scratch();
    let program = home.path().join("binfmt");
    let source = checkout().join("guests/bench/binfmt.c");
    run("gcc", &["-O1", "-static", "-o", program.to_str().unwrap(), source.to_str().unwrap()]);
    let folder = mkdir(&home.path().join("mounted")).to_owned();
    // Somebody has to have it mounted all the time, as on most machines: with the last mount, all
    // formats go.
    let mut mounted = Command::new(&program);
    let mut mounted = mounted.arg("machine").arg(&folder).args(["", "/bin/sleep", "60"]).spawn().unwrap();
    let start = |script: &str| {
        let mut command = Command::new(&program);
        command.arg("machine").arg(&folder).args([FORMAT, "/bin/sh", "-c", script]).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    // Its own folder is where it was before the mount; the program sees the mounted one by name.
    let seen = start(&format!("ls '{}'", folder.display())).wait_with_output().unwrap();
    if seen.status.code() == Some(3) {
        // Not what could be installed: the kernel's own, or a container's settings.
        wants::not_run(String::from_utf8_lossy(&seen.stderr).trim());
        mounted.wait().unwrap();
        return;
    }
    assert!(String::from_utf8_lossy(&seen.stdout).contains("anyarch-test"), "{seen:?}");
    assert!(!is_registered(&program, &folder), "a good end");

    for signal in ["TERM", "KILL"] {
        let mut sleeper = start("exec sleep 60");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_registered(&program, &folder) {
            assert!(Instant::now() < deadline, "never registered");
            thread::sleep(Duration::from_millis(10));
        }
        run("kill", &["-s", signal, &sleeper.id().to_string()]);
        // Whoever reads what the program prints has waited for the cleaning up, too.
        std::io::copy(sleeper.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
        sleeper.wait().unwrap();
        assert!(!is_registered(&program, &folder), "left registered by {signal}");
    }
    mounted.kill().unwrap();
    mounted.wait().unwrap();
}

/// Whether the test's format is registered on this machine.
fn is_registered(program: &Path, folder: &Path) -> bool {
    let output = Command::new(program).arg("machine").arg(folder).args(["", "/bin/ls"]).arg(folder).output();
    String::from_utf8_lossy(&output.unwrap().stdout).contains("anyarch-test")
}
