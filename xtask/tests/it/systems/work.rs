//! What people do in a foreign system: they install services and compilers, and build programs. All of it by
//! `anyarch run`, as an ordinary user, in a system that `anyarch rootfs` made.

use super::debian::Debian;
use crate::driver::wants;
use std::path::Path;
use std::time::Instant;

/// The certificates that Debian's programs trust.
const TRUSTED: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A piece of work.
struct Work {
    /// What it is called in the table of `docs/run.md`.
    name: &'static str,
    /// What apt installs for it.
    packages: &'static str,
    /// Options of `anyarch run`.
    options: &'static [&'static str],
    /// The script, which must end well.
    script: &'static str,
    /// What it says, among other things.
    said: &'static [&'static str],
}

const ALL: [Work; 8] = [
    Work {
        name: "nginx, with its service",
        packages: "nginx-light curl",
        // Ports below 1024 are the machine's; without its network, all are the system's own.
        options: &["--net", "none"],
        script: "service nginx start; curl -fsS http://127.0.0.1/; service nginx status; service nginx stop; \
                 ! curl -fsS http://127.0.0.1/",
        said: &["Welcome to nginx!", "nginx is running"],
    },
    Work {
        name: "postgresql, with its service",
        packages: "postgresql",
        options: &["--net", "none"],
        script: "service postgresql start; cd /tmp\n\
                 su postgres -c 'psql -tAc \"create table t as select generate_series(1, 1000) as a\"'\n\
                 su postgres -c 'psql -tAc \"select sum(a), current_user from t\"'; service postgresql stop",
        said: &["500500|postgres"],
    },
    Work {
        name: "`su`, `useradd`",
        packages: "",
        options: &[],
        script: "useradd --create-home ann; su ann -c 'id -un; touch ~/x; stat -c %U:%G ~/x'; su - ann -c pwd; \
                 userdel --remove ann 2> /dev/null; ! id ann 2> /dev/null",
        said: &["ann\nann:ann\n/home/ann\n"],
    },
    Work {
        name: "gcc, make",
        packages: "gcc libc6-dev make",
        options: &[],
        script: "mkdir -p /root/c; cd /root/c\n\
                 printf '#include <stdio.h>\\nint main(void) { return printf(\"%%d\\\\n\", 6 * 7) != 3; }\\n' > a.c\n\
                 printf 'all: b c\\n\\t./b; ./c\\nb: a.c; gcc -O2 -Wall -Werror -o $@ $<\\n' > Makefile\n\
                 printf 'c: a.c; gcc -static -o $@ $<\\n' >> Makefile; make -s -j2",
        said: &["42\n42\n"],
    },
    Work {
        name: "pip, with an extension in C",
        packages: "python3-venv python3-dev ca-certificates",
        options: &["--env", "PIP_CERT=/etc/ssl/certs/ca-certificates.crt"],
        script: "python3 -m venv /root/venv; /root/venv/bin/pip install --no-binary :all: --quiet markupsafe\n\
                 /root/venv/bin/python -c 'from markupsafe import _speedups, escape; print(escape(\"<\"))'",
        said: &["&lt;\n"],
    },
    Work {
        name: "npm",
        packages: "npm",
        options: &["--env", "NPM_CONFIG_CAFILE=/etc/ssl/certs/ca-certificates.crt"],
        script: "mkdir -p /root/n; cd /root/n; npm init -y > /dev/null; npm install --no-audit is-odd\n\
                 node -e 'console.log(require(\"is-odd\")(7), process.platform)'",
        said: &["true linux\n"],
    },
    Work {
        name: "go build, of two packages",
        packages: "golang-go",
        options: &[],
        script: "mkdir -p /root/g/word; cd /root/g; printf 'module g\\n' > go.mod\n\
                 printf 'package word\\nfunc Of(n int) string { return [2]string{\"even\", \"odd\"}[n & 1] }\\n' > word/word.go\n\
                 printf 'package main\\nimport (\"fmt\"; \"g/word\")\\nfunc main() { fmt.Println(word.Of(7)) }\\n' > m.go\n\
                 go build -o g.out .; ./g.out",
        said: &["odd\n"],
    },
    Work {
        name: "cargo build, cargo test",
        packages: "cargo",
        options: &[],
        script: "cd /root; cargo new --quiet --lib --vcs none l; cd l; cargo test --quiet; cd ..\n\
                 cargo new --quiet --vcs none r; cd r; cargo build --quiet --release; ./target/release/r",
        said: &["test result: ok. 1 passed", "Hello, world!\n"],
    },
];

fn is_worked_in(target: &str) {
    let system = Debian::made(target, &[]);
    let environment = ["--env", "DEBIAN_FRONTEND=noninteractive"];
    let updated = system.anyarch(&environment, &["apt-get", "update"]);
    if updated.code != Some(0) {
        // Its main suite does not change from day to day; that of updates may be of another state than its lists.
        assert!(updated.stderr.contains("Mirror sync in progress"), "{updated:?}");
        wants::partly_not_run(&format!(
            "{target}: the mirror's updates do not fit their lists: try again later"
        ));
        let main = "sed -i -E '/ [a-z]+-(updates|security) /d' /etc/apt/sources.list; apt-get update";
        system.works(&environment, main);
    }
    system.works(&environment, "apt-get upgrade --yes");
    for work in &ALL {
        let begun = Instant::now();
        if !work.packages.is_empty() {
            let install = format!("apt-get install --yes --no-install-recommends {}", work.packages);
            system.works(&environment, &install);
        }
        let installed = begun.elapsed().as_secs();
        // Whom this machine trusts, as its ways to the network may want; packages have written their own list before.
        let trusted = format!("{TRUSTED}:{TRUSTED}:ro");
        let trusted: &[&str] = if Path::new(TRUSTED).exists() { &["--bind", &trusted] } else { &[] };
        let said = system.works(&[&environment, trusted, work.options].concat(), work.script);
        for words in work.said {
            assert!(said.contains(words), "{}: no `{words}` in\n{said}", work.name);
        }
        println!("{target}: {}: {installed} s, then {} s", work.name, begun.elapsed().as_secs() - installed);
    }
    assert_eq!(
        system.works(&[], "dpkg --audit; dpkg-query -W -f '${db:Status-Abbrev}\\n' | sort -u"),
        "ii \n"
    );
}

#[test]
#[ignore = "makes a system and installs a lot; run by `cargo xtask test --long`"]
fn long_an_arm64_system_of_an_ordinary_user_is_worked_in() {
    is_worked_in("aarch64");
}

#[test]
#[ignore = "makes a system and installs a lot; run by `cargo xtask test --long`"]
fn long_an_armhf_system_of_an_ordinary_user_is_worked_in() {
    is_worked_in("arm");
}

#[test]
#[ignore = "makes a system and installs a lot; run by `cargo xtask test --long`"]
fn long_a_riscv64_system_of_an_ordinary_user_is_worked_in() {
    is_worked_in("riscv64");
}
