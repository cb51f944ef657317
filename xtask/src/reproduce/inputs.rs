//! What a released emulator was made from and with, against what this checkout and machine would make it from
//! and with: other inputs mean other bytes, so nothing is built before they are the same.

use super::Difference;
use crate::compile::BuildInfo;
use crate::facts::Host;
use serde::Serialize;
use std::fmt;

/// A difference between the build info of a released emulator and that of this checkout and machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputDifference {
    /// What differs, with both values.
    #[serde(flatten)]
    pub difference: Difference,
    /// How to get the value of the release.
    pub advice: String,
}

impl fmt::Display for InputDifference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}\n    to get the same: {}", self.difference, self.advice)
    }
}

/// All differences, in the order in which they are best resolved.
pub fn input_differences(released: &BuildInfo, here: &BuildInfo, host: &Host) -> Vec<InputDifference> {
    let checkout = format!("git checkout {}", released.release);
    let compilers = "--toolchain container, with the --image whose Debian has that version".to_owned();
    let packages = format!(
        "cargo xtask toolchain --host {} --refresh; ANYARCH_DEBIAN_MIRROR names a mirror that has that version",
        host.platform
    );
    let one = |what: &str, old: &str, new: &str| {
        (old != new).then(|| Difference::new(what, old, new)).into_iter().collect::<Vec<_>>()
    };
    let commit = |build_info: &BuildInfo| build_info.commit.clone().unwrap_or_else(|| "unknown".to_owned());
    let profile = |build_info: &BuildInfo| build_info.profile.name();
    let groups: [(&str, Vec<Difference>); 3] = [
        (
            &checkout,
            [
                one("release", &released.release, &here.release),
                one("tag", &released.tag, &here.tag),
                one("commit", &commit(released), &commit(here)),
                files("patch", &released.patches, &here.patches),
                one("profile", profile(released), profile(here)),
                one("triple", &released.triple, &here.triple),
                words("compiler options", &released.compiler_options, &here.compiler_options),
                words("options of configure", &released.configure, &here.configure),
                words("compiler flags", &released.cflags, &here.cflags),
                files("header", released.header.as_slice(), here.header.as_slice()),
                files("linker script", released.link_script.as_slice(), here.link_script.as_slice()),
                words("linker flags", &released.ldflags, &here.ldflags),
            ]
            .concat(),
        ),
        (
            &compilers,
            [
                one("compiler", &released.compiler, &here.compiler),
                one("linker", &released.linker, &here.linker),
            ]
            .concat(),
        ),
        (&packages, files("package", &released.sysroot, &here.sysroot)),
    ];
    let advised = |(advice, found): (&str, Vec<Difference>)| {
        let advice = advice.to_owned();
        found.into_iter().map(move |difference| InputDifference { difference, advice: advice.clone() })
    };
    groups.into_iter().flat_map(advised).collect()
}

/// Words of two lists that only one of them has; their order, if that alone differs.
fn words(what: &str, old: &[String], new: &[String]) -> Vec<Difference> {
    if old == new {
        return Vec::new();
    }
    let only = |these: &[String], those: &[String]| {
        let own: Vec<&str> = these.iter().filter(|word| !those.contains(word)).map(String::as_str).collect();
        if own.is_empty() { "none".to_owned() } else { own.join(" ") }
    };
    let (only_old, only_new) = (only(old, new), only(new, old));
    if only_old == only_new {
        return vec![Difference::new(format!("{what}, their order"), old.join(" "), new.join(" "))];
    }
    vec![Difference::new(what, only_old, only_new)]
}

/// Files that are known by name and hash: each that is missing, added or different; their order, if that
/// alone differs.
fn files(what: &str, old: &[(String, String)], new: &[(String, String)]) -> Vec<Difference> {
    let mut found = Vec::new();
    let counterpart = |list: &[(String, String)], name: &str| {
        let same = |(other, _): &&(String, String)| stem(other) == stem(name);
        list.iter().find(same).cloned()
    };
    for (name, hash) in old {
        match counterpart(new, name) {
            None => found.push(Difference::new(format!("{what} {}", stem(name)), name, "missing")),
            Some((other, _)) if other != *name => {
                found.push(Difference::new(format!("{what} {}", stem(name)), name, other));
            }
            Some((_, other)) if other != *hash => {
                found.push(Difference::new(format!("{what} {name}"), hash, other));
            }
            Some(_) => {}
        }
    }
    for (name, _) in new.iter().filter(|(name, _)| counterpart(old, name).is_none()) {
        found.push(Difference::new(format!("{what} {}", stem(name)), "missing", name));
    }
    if found.is_empty() && old != new {
        let names = |list: &[(String, String)]| {
            list.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
        };
        found.push(Difference::new(format!("order of each {what}"), names(old), names(new)));
    }
    found
}

/// A Debian package by its name alone; any other file by its whole name.
fn stem(name: &str) -> &str {
    if name.ends_with(".deb") { name.split('_').next().unwrap_or(name) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Host;
    use std::path::Path;

    fn released() -> BuildInfo {
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        BuildInfo {
            release: "10.2.2-1".into(),
            tag: "v10.2.2".into(),
            commit: None,
            patches: vec![
                ("common/execve/0001-a.patch".into(), "aa".into()),
                ("0002-b.patch".into(), "bb".into()),
            ],
            profile: crate::plan::Profile::Release,
            triple: "x86_64-linux-gnu".into(),
            compiler: "(Debian 12.2.0-14) 12.2.0".into(),
            compiler_options: Vec::new(),
            linker: "2.40".into(),
            sysroot: vec![("libc6-dev_2.36-9_amd64.deb".into(), "cc".into())],
            configure: text(&["--static", "--target-list=arm-linux-user"]),
            cflags: text(&["-ffunction-sections"]),
            header: None,
            link_script: None,
            ldflags: text(&["-static-pie"]),
        }
    }

    #[test]
    fn each_fact_that_differs_is_told_with_both_values_and_what_to_do() {
        let hosts = Host::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains")).expect("hosts");
        let host = Host::named("amd64", &hosts).expect("amd64");
        type Change = fn(&mut BuildInfo);
        let cases: [(Change, &str, &str); 9] = [
            (
                |build_info| build_info.tag = "v10.2.1".into(),
                "tag: v10.2.2 | v10.2.1",
                "git checkout 10.2.2-1",
            ),
            (
                |build_info| build_info.patches[1].1 = "b2".into(),
                "patch 0002-b.patch: bb | b2",
                "git checkout",
            ),
            (
                |build_info| drop(build_info.patches.pop()),
                "patch 0002-b.patch: 0002-b.patch | missing",
                "git checkout",
            ),
            (
                |build_info| build_info.patches.reverse(),
                "order of each patch: common/execve/0001-a.patch",
                "git checkout",
            ),
            (
                |build_info| build_info.compiler = "(Debian 14.2.0-19) 14.2.0".into(),
                "compiler: (Debian 12.2.0-14) 12.2.0 | (Debian 14.2.0-19) 14.2.0",
                "--toolchain container",
            ),
            (|build_info| build_info.linker = "2.44".into(), "linker: 2.40 | 2.44", "--toolchain container"),
            (
                |build_info| {
                    build_info.sysroot[0] = ("libc6-dev_2.36-9+deb12u1_amd64.deb".into(), "dd".into());
                },
                "package libc6-dev: libc6-dev_2.36-9_amd64.deb | libc6-dev_2.36-9+deb12u1_amd64.deb",
                "cargo xtask toolchain --host amd64 --refresh",
            ),
            (|build_info| build_info.cflags.push("-g".into()), "compiler flags: none | -g", "git checkout"),
            (
                |build_info| build_info.configure.reverse(),
                "options of configure, their order: --static --target",
                "git checkout",
            ),
        ];
        assert_eq!(input_differences(&released(), &released(), host), []);
        for (change, said, advice) in cases {
            let mut here = released();
            change(&mut here);
            let found = input_differences(&released(), &here, host);
            assert_eq!(found.len(), 1, "{found:?}");
            let text = found[0].to_string();
            assert!(text.starts_with(said) && text.contains(advice), "{text} should say {said}");
        }
    }
}
