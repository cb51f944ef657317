//! What the comparison leaves out, and why: `guests/exec/limits.toml`.

use super::guests::Linkage;
use crate::facts::{Target, read_toml};
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::path::Path;

/// The limits that hold for a target on a kernel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    limit: Vec<Limit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    target: Option<String>,
    linked: Option<Linkage>,
    linux: Option<[String; 2]>,
    #[serde(default)]
    cases: Vec<String>,
    reason: String,
}

impl Limits {
    /// Reads the file in the suite's folder; `kernel` is this machine's, as `uname -r` says it.
    pub fn read(suite: &Path, target: Target, kernel: &str) -> Result<Self> {
        let mut limits: Self = read_toml(&suite.join("limits.toml"))?;
        let running = version(kernel)?;
        let mut error = None;
        limits.limit.retain(|limit| {
            let here = limit.linux.as_ref().map_or(Ok(true), |range| is_within(running, range));
            let here = here.unwrap_or_else(|wrong| {
                error = Some(wrong);
                false
            });
            here && limit.target.as_ref().is_none_or(|name| name == target.name)
        });
        error.map_or(Ok(limits), Err)
    }

    /// Why guests that are linked so are not run at all.
    pub fn whole(&self, linked: Linkage) -> Option<&str> {
        self.find(linked, |limit| limit.cases.is_empty())
    }

    /// Why a case is not compared.
    pub fn case(&self, name: &str, linked: Linkage) -> Option<&str> {
        self.find(linked, |limit| limit.cases.iter().any(|beginning| name.starts_with(beginning.as_str())))
    }

    fn find(&self, linked: Linkage, is_meant: impl Fn(&Limit) -> bool) -> Option<&str> {
        let found = self
            .limit
            .iter()
            .find(|limit| is_meant(limit) && limit.linked.is_none_or(|which| which == linked));
        found.map(|limit| limit.reason.as_str())
    }
}

fn is_within(running: (u32, u32), [first, last]: &[String; 2]) -> Result<bool> {
    let (first, last) = (version(first)?, version(last)?);
    ensure!(first <= last, "limits.toml: no Linux is from {first:?} to {last:?}");
    Ok(first <= running && running <= last)
}

/// `6.1` of `6.1.0-21-amd64`.
fn version(release: &str) -> Result<(u32, u32)> {
    let numbers = release.split_once('.').and_then(|(major, rest)| {
        let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    numbers.with_context(|| format!("`{release}` is not a Linux version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(target: &str, kernel: &str) -> Limits {
        let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/exec");
        Limits::read(&suite, Target::named(target).expect("a target"), kernel).expect("limits")
    }

    #[test]
    fn a_limit_of_some_kernels_holds_on_these_alone() {
        for (kernel, is_left_out) in [
            ("5.8.18", false),
            ("5.9.0", true),
            ("6.1.0-21-amd64", true),
            ("6.7-rc1", true),
            ("6.8.0", false),
        ] {
            let reason = limits("aarch64", kernel).case("error_busy_script", Linkage::Statically).is_some();
            assert_eq!(reason, is_left_out, "{kernel}");
        }
        assert!(limits("aarch64", "6.1").case("error_text", Linkage::Statically).is_none());
    }

    #[test]
    fn a_limit_of_one_target_and_linkage_holds_for_no_other() {
        assert!(limits("alpha", "6.18").whole(Linkage::Statically).is_some());
        assert!(limits("alpha", "6.18").whole(Linkage::Dynamically).is_none());
        assert!(limits("aarch64", "6.18").whole(Linkage::Statically).is_none());
    }

    #[test]
    fn each_limit_names_a_target_that_there_is() {
        let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/exec");
        let all: Limits = read_toml(&suite.join("limits.toml")).expect("limits");
        for limit in all.limit {
            assert!(limit.target.as_deref().is_none_or(|name| Target::named(name).is_ok()), "{limit:?}");
            assert!(limit.target.is_some() || !limit.cases.is_empty(), "all cases of all targets: {limit:?}");
        }
    }
}
