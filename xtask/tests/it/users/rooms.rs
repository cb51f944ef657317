//! What a command finds in a root, and what makes no sense is refused.

use super::{Guest, program};
use crate::driver::{Ended, is_root, wants};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn a_run_ends_as_its_command_ends() {
    let guest = Guest::new();
    let cases: [(&[&str], Option<i32>); 6] = [
        (&["true"], Some(0)),
        (&["sh", "-c", "exit 7"], Some(7)),
        (&["sh", "-c", "kill -TERM $$"], None),
        (&["/no/such"], Some(127)),
        (&["/etc/passwd"], Some(126)),
        (&["sh", "-c", "sleep 100 & exit 3"], Some(3)),
    ];
    for (words, code) in cases {
        let ended = guest.run(&[], words);
        assert_eq!(ended.code, code, "{words:?}: {ended:?}");
    }
    assert_eq!(guest.run(&["--init"], &["sh", "-c", "echo $$; exit 4"]).code, Some(4));
}

#[test]
fn a_user_is_root_in_it_and_has_all_granted_ids() {
    if let Some(why) = wants::lacks(&["newuidmap"], "uidmap") {
        return wants::not_run(&why);
    }
    let guest = Guest::new();
    let told = guest.script(
        &[],
        "id -u; grep -c . /proc/self/uid_map; touch /tmp/x; chown 7:8 /tmp/x; stat -c %u:%g /tmp/x",
    );
    let told: Vec<&str> = told.lines().collect();
    assert!(told[0] == "0" && told[2] == "7:8", "{told:?}");
    let as_ann = "id -u; id -G; echo $HOME; touch /tmp/y; stat -c %u /tmp/y";
    let ended = guest.run(&["--user", "ann", "--bind", "/tmp:/host"], &["sh", "-c", as_ann]);
    assert!(ended.stdout.starts_with("7\n8 9\n/home/ann\n"), "{ended:?}");
    guest.run(&["--user", "bob"], &["id"]).failed(125, &["there is no user bob in the root's /etc/passwd"]);
}

#[test]
fn where_no_ids_are_granted_there_is_one_and_a_line_says_so() {
    let guest = Guest::new();
    let ended =
        Ended::of(&mut guest.command_with_one_id(&[], &["sh", "-c", "id -u; echo x > /tmp/x; cat /tmp/x"]));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "0\nx\n"), "{ended:?}");
    assert_eq!(ended.stderr.matches("note: there is one user inside").count(), 1, "{ended:?}");
    // Who installs something gives files away, and need not know that nobody took them.
    let script = "touch /tmp/x; chown 7:8 /tmp/x; chgrp -h 9 /tmp/x; stat -c %u:%g /tmp/x";
    let ended = Ended::of(&mut guest.command_with_one_id(&[], &["sh", "-ec", script]));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "0:0\n"), "{ended:?}");
    Ended::of(&mut guest.command_with_one_id(&["--user", "ann"], &["id"]))
        .failed(125, &["the user 7, group 8, is not there"]);
}

#[test]
fn a_command_finds_what_every_system_has_and_nothing_of_the_user() {
    let guest = Guest::new();
    let script = "ls /dev; echo x > /dev/null; head -c 2 /dev/zero | wc -c; stat -c %a /dev; cat /proc/1/comm; \
                  hostname; grep -c nameserver /etc/resolv.conf; grep -c localhost /etc/hosts; \
                  touch /sys/x 2>&1 | grep -c Read-only; echo x > /proc/self/oom_score_adj 2>&1 || true; env; pwd";
    let mut command = guest.command(&["--hostname", "inside", "-e", "A=b c"], &["sh", "-c", script]);
    let ended = Ended::of(command.env("TERM", "dumb").env("SECRET", "x"));
    let told: Vec<&str> = ended.stdout.lines().collect();
    let devices = [
        "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom",
        "zero",
    ];
    assert_eq!(told[..13], devices, "{ended:?}");
    assert_eq!(told[13..17], ["2", "755", "anyarch", "inside"], "{ended:?}");
    let mut variables: Vec<&str> = told.iter().copied().filter(|line| line.contains('=')).collect();
    variables.retain(|line| !["PWD", "SHLVL", "_", "OLDPWD"].contains(&line.split('=').next().unwrap()));
    variables.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(variables, ["A=b c", "HOME=/root", path, "TERM=dumb"], "{ended:?}");
    assert_eq!(told.last(), Some(&"/"), "{ended:?}");
}

/// What root inside could do by being root of this machine, and what anybody's variables would tell.
#[test]
fn a_root_reaches_nothing_of_the_machine_by_proc() {
    let guest = Guest::new();
    let mut command =
        guest.command(&["-e", "KNOWN=1"], &["sh", "-c", "tr '\\0' '\\n' < /proc/1/environ | wc -l"]);
    let ended = Ended::of(command.env("SECRET", "x"));
    assert_eq!(ended.stdout, "0\n", "{ended:?}");
    if !is_root() {
        return wants::partly_not_run("only root could change the machine");
    }
    let script = "for name in sys/kernel/panic sysrq-trigger; do echo 0 2> /dev/null > /proc/$name || echo refused; done; \
                  echo x 2> /dev/null >> /proc/1/exe || echo refused";
    let mut command = Command::new(program());
    command.args(["run", "--bind", "/usr:/usr:ro"]).arg(&guest.root).args(["--", "sh", "-c", script]);
    let ended = Ended::of(command.env("HOME", guest.somebody.home.path()));
    assert_eq!(ended.stdout, "refused\nrefused\nrefused\n", "{ended:?}");
}

#[test]
fn binds_are_seen_where_the_root_leads_and_never_outside() {
    let guest = Guest::new();
    let (home, root) = (guest.somebody.home.path(), &guest.root);
    fs::create_dir(home.join("shared")).unwrap();
    fs::write(home.join("shared/file"), "seen\n").unwrap();
    guest.own(&home.join("shared"));
    // Links that lead out of the root, were they followed from outside.
    symlink("../../../../../../..", root.join("up")).unwrap();
    symlink("/mnt", root.join("absolute")).unwrap();
    symlink(home.join("shared"), root.join("nowhere")).unwrap();
    let shared = home.join("shared").display().to_string();
    let binds = ["/mnt/a/b", "/up/mnt/c", "/absolute/d"].map(|place| format!("{shared}:{place}"));
    let read_only = format!("{shared}:/mnt/ro:ro");
    let options = ["--bind", &binds[0], "--bind", &binds[1], "--bind", &binds[2], "--bind", &read_only];
    let script = "cat /mnt/a/b/file /mnt/c/file /mnt/d/file; echo new > /mnt/c/new; \
                          echo x 2> /dev/null > /mnt/ro/x || echo refused";
    assert_eq!(guest.script(&options, script), "seen\nseen\nseen\nrefused\n");
    let nowhere = format!("{shared}:/nowhere/x");
    guest.run(&["--bind", &nowhere], &["true"]).failed(125, &["cannot make /nowhere/x in the root"]);
    let mut there: Vec<_> =
        fs::read_dir(home.join("shared")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["file", "new"], "nothing was made outside of the root");
    assert!(root.join("mnt/c").is_dir() && !home.join("mnt").exists());
}

/// A mount that another one lies over can't be reached, by nobody: it is in nobody's way.
#[test]
fn what_is_bound_read_only_may_have_mounts_that_others_cover() {
    let guest = Guest::new();
    let shared = guest.somebody.home.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let script = "mkdir \"$1/a\"; mount -t tmpfs one \"$1/a\"; mkdir \"$1/a/b\"; mount -t tmpfs two \"$1/a/b\"; \
                  mount -t tmpfs three \"$1/a\"; mount -t tmpfs four \"$1/a\"; \
                  shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", script, "sh"]).arg(&shared);
    command.arg(program()).args(["run", "--bind", "/usr:/usr:ro", "--bind"]);
    command.arg(format!("{}:/mnt:ro", shared.display())).arg(&guest.root);
    let change = "for name in /mnt/x /mnt/a/x; do echo x 2> /dev/null > $name || echo refused; done";
    let ended = Ended::of(command.args(["--", "sh", "-c", change]).env("HOME", guest.somebody.home.path()));
    assert_eq!(ended.stdout, "refused\nrefused\n", "{ended:?}");
}

#[test]
fn changes_are_refused_or_forgotten_where_that_is_asked_for() {
    let guest = Guest::new();
    let change = "echo x > /etc/made && cat /etc/made; rm -r /mnt && echo gone";
    assert_eq!(guest.script(&["--ephemeral"], change), "x\ngone\n");
    assert!(!guest.root.join("etc/made").exists() && guest.root.join("mnt").exists());
    let refused = "echo x 2> /dev/null > /etc/made || echo refused; echo x > /tmp/x && cat /tmp/x";
    assert_eq!(guest.script(&["--read-only"], refused), "refused\nx\n");
    assert!(!guest.root.join("tmp/x").exists());
    // Nobody listens there, but somebody could.
    let network = "tail -n +3 /proc/net/dev | grep -c :; bash -c ': < /dev/tcp/127.0.0.1/9' 2>&1 | grep -o refused | head -1";
    assert_eq!(guest.script(&["--net", "none"], network), "1\nrefused\n");
}

#[test]
fn an_archive_is_run_in_memory() {
    let guest = Guest::new();
    let archive = guest.somebody.home.path().join("root.tar.gz");
    let (from, to) = (guest.root.to_str().unwrap(), archive.to_str().unwrap());
    crate::driver::run("tar", &["-C", from, "-czf", to, "."]);
    let mut command = guest.somebody.command_with_ids(program());
    command.args([
        "run",
        "--bind",
        "/usr:/usr:ro",
        to,
        "sh",
        "-c",
        "cat /etc/group; touch /made; ls -d /made",
    ]);
    let ended = Ended::of(&mut command);
    assert!(ended.code == Some(0) && ended.stdout.ends_with("ann\n/made\n"), "{ended:?}");
    if which::which("zstd").is_ok() {
        let packed = guest.somebody.home.path().join("root.tar.zst").display().to_string();
        crate::driver::run("tar", &["-C", from, "--zstd", "-cf", &packed, "."]);
        let mut command = guest.somebody.command_with_ids(program());
        let ended = Ended::of(command.args(["run", "--bind", "/usr:/usr:ro", &packed, "cat", "/etc/group"]));
        assert!(ended.code == Some(0) && ended.stdout.ends_with("ann\n"), "{ended:?}");
    } else {
        wants::partly_not_run("zstd is missing on this machine: apt-get install zstd");
    }
    // One that names what is outside.
    let hostile = guest.somebody.home.path().join("hostile.tar").display().to_string();
    let rename = "--transform=s,etc/passwd,../../../../../../../../var/tmp/anyarch-evil,";
    crate::driver::run("tar", &["-P", rename, "-C", from, "-cf", &hostile, "sbin/init", "etc/passwd"]);
    let mut command = guest.somebody.command_with_ids(program());
    Ended::of(command.args(["run", &hostile, "true"])).failed(125, &["cannot unpack", "contains `..`"]);
    assert!(!std::path::Path::new("/var/tmp/anyarch-evil").exists());
    fs::write(&archive, &fs::read(&archive).unwrap()[..600]).unwrap();
    let mut command = guest.somebody.command_with_ids(program());
    let cut = Ended::of(command.args(["run", to, "true"]));
    assert!([2, 125].contains(&cut.code.unwrap()) && cut.stderr.starts_with("error: "), "{cut:?}");
}

#[test]
fn what_makes_no_sense_is_told_and_nothing_is_run() {
    let guest = Guest::new();
    let root = guest.root.to_str().unwrap().to_owned();
    let run = |words: &[&str]| Ended::of(guest.somebody.command(program()).arg("run").args(words));
    run(&["/no/such"]).failed(2, &["/no/such: No such file", "anyarch run --help"]);
    run(&["--bind", "/no/such:/x", &root]).failed(2, &["there is no /no/such"]);
    run(&["--target", "arm46", &root]).failed(2, &["there is no target `arm46`; did you mean"]);
    run(&["--emulator", "/usr/bin/true", &root]).failed(2, &["--emulator /usr/bin/true: it is not qemu-"]);
    run(&["--target", "sparc64", &root])
        .failed(2, &["there is no qemu-sparc64", "anyarch install --target sparc64"]);
    let empty = guest.somebody.home.path().join("empty");
    fs::create_dir_all(empty.join("bin")).unwrap();
    let empty = empty.to_str().unwrap();
    run(&[empty]).failed(2, &["no program that tells its target", "--target TARGET"]);
    let program = |machine: u8| [&b"\x7fELF\x02\x01"[..], &[0; 12], &[machine], &[0; 45]].concat();
    fs::write(format!("{empty}/bin/sh"), program(183)).unwrap();
    fs::write(format!("{empty}/bin/ls"), program(243)).unwrap();
    run(&[empty]).failed(2, &["/bin/sh is for aarch64, /bin/ls for riscv64", "--target aarch64 or"]);
    fs::write(format!("{empty}/bin/sh"), program(250)).unwrap();
    fs::remove_file(format!("{empty}/bin/ls")).unwrap();
    run(&[empty]).failed(2, &["no program of a target that is known: /bin/sh is none"]);
}

#[test]
fn a_plan_is_printed_and_not_carried_out() {
    let guest = Guest::new();
    let ended = guest.run(&["--dry-run", "--json", "--read-only"], &["touch", "/tmp/x"]);
    let plan: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((plan["command"][0].as_str(), plan["read_only"].as_bool()), (Some("touch"), Some(true)));
    assert!(!guest.root.join("tmp/x").exists());
}

/// The kernel counts user namespaces for each in which they are made: in one, there can be no other.
#[test]
fn where_namespaces_are_closed_the_cause_is_told_and_root_does_without() {
    let guest = Guest::new();
    let root = guest.root.to_str().unwrap();
    let within = |options: &[&str], words: &[&str]| {
        let script = format!(
            "echo 0 > /proc/sys/user/max_user_namespaces; exec {} \"$0\" run --bind /usr:/usr:ro \"$@\"",
            options.join(" ")
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-ec", &script]).arg(program()).args(words);
        Ended::of(
            command
                .env_clear()
                .env("PATH", "/usr/bin:/bin:/usr/sbin")
                .env("HOME", guest.somebody.home.path()),
        )
    };
    let ended = within(&[], &[root, "--", "sh", "-c", "echo $0 ran; exit 5"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(5), "sh ran\n"), "{ended:?}");
    assert!(ended.stderr.contains("user namespaces are closed"), "{ended:?}");
    let drop = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    within(&drop, &[root, "--", "true"])
        .failed(125, &["root may not make namespaces here", "--cap-add SYS_ADMIN"]);
    if !is_root() {
        return wants::partly_not_run("becoming another user in a namespace wants root");
    }
    let mut command = guest.somebody.command_with_ids("unshare".as_ref());
    command.args(["--user", "--map-root-user", "--map-auto", "sh", "-ec"]);
    command.arg(
        "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --reuid=9 --regid=9 --clear-groups \"$@\"",
    );
    command.arg("sh").arg(program()).args(["run", root, "true"]);
    Ended::of(&mut command)
        .failed(125, &["refuses user namespaces: user.max_user_namespaces is 0", "sysctl -w"]);
}

#[test]
fn without_a_place_for_a_cache_a_run_goes_on() {
    let guest = Guest::new();
    let mut command = guest.command(&[], &["echo", "ran"]);
    let ended = Ended::of(command.env("ANYARCH_CACHE", "/proc/none").env("HOME", "/nonexistent"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "ran\n"), "{ended:?}");
}
