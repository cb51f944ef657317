//! Which packages make the smallest system that apt can work in: those that every system has, apt, and what they need.

use crate::rootfs::packages::{Index, Package};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;

/// Packages that dpkg installs before all others, as far as there are such: their scripts' programs and users.
const FIRST: [&str; 6] = ["base-passwd", "base-files", "dpkg", "libc6", "perl-base", "mawk"];

/// Turns a system with split folders into one with merged ones. Ours begin merged.
const CONVERTER: &str = "usrmerge";

/// The packages of a new system, in the order in which dpkg is to have them.
///
/// # Errors
/// When the suite lacks one of them.
pub fn packages(index: &Index<'_>) -> Result<Vec<Package>> {
    let chosen = closure(index, index.required().chain(["apt"]))?;
    let first = FIRST.iter().filter(|name| chosen.contains(**name)).copied();
    let others = chosen.iter().filter(|name| !FIRST.contains(name)).copied();
    first.chain(others).map(|name| index.package(name)).collect()
}

/// Packages with all that they need.
fn closure<'a>(index: &Index<'a>, roots: impl Iterator<Item = &'a str>) -> Result<BTreeSet<&'a str>> {
    let mut chosen: BTreeSet<&str> = roots.collect();
    let mut ahead: Vec<&str> = chosen.iter().copied().collect();
    while let Some(name) = ahead.pop() {
        for group in index.needs(name) {
            let serves = |one: &&str| {
                chosen.contains(one) || index.providers(one).iter().any(|provider| chosen.contains(provider))
            };
            if group.iter().any(serves) {
                continue;
            }
            let next = pick(index, &group).with_context(|| format!("{name} needs {}", group.join(" or ")))?;
            chosen.insert(next);
            ahead.push(next);
        }
    }
    Ok(chosen)
}

/// The first of a group that there is, else whoever serves as one of them.
fn pick<'a>(index: &Index<'a>, group: &[&'a str]) -> Result<&'a str> {
    let there = group.iter().copied().filter(|name| index.has(name));
    let other = |name: &&str| *name != CONVERTER;
    let named = there.clone().find(other).or_else(|| there.clone().next());
    named
        .or_else(|| group.iter().find_map(|name| index.providers(name).first().copied()))
        .context("the suite has no such package")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str) -> Result<Vec<String>> {
        Ok(packages(&Index::read(text))?.into_iter().map(|package| package.name).collect())
    }

    fn package(name: &str, more: &str) -> String {
        let hash = "c".repeat(64);
        format!("Package: {name}\nVersion: 1\nFilename: pool/{name}.deb\nSize: 1\nSHA256: {hash}\n{more}\n")
    }

    #[test]
    fn a_system_has_what_is_required_and_apt_with_all_they_need() {
        let all = [
            package("adduser", ""),
            package("apt", "Depends: adduser, keyring | other, default-x | y\n"),
            package("base-passwd", "Essential: yes\nPre-Depends: usrmerge | usr-is-merged\n"),
            package("keyring", "Depends: apt\n"),
            package("unused", ""),
            package("usr-is-merged", ""),
            package("usrmerge", ""),
            package("x-impl", "Provides: default-x\n"),
        ];
        let names = chosen(&all.concat()).expect("chosen");
        assert_eq!(names, ["base-passwd", "adduser", "apt", "keyring", "usr-is-merged", "x-impl"]);
        let error = format!("{:#}", chosen(&package("apt", "Depends: gone\n")).expect_err("incomplete"));
        assert!(error.contains("apt needs gone"), "{error}");
    }
}
