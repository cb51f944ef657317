//! The targets that somebody asks for, by the names that they write.

use anyarch_client::error::{Usage, nearest};
use anyarch_manifest::target::{TARGETS, Target};

/// The word for every target.
pub const ALL: &str = "all";

/// Targets by names of any kind, each once, in the table's order. `all` is every one.
///
/// # Errors
/// [`Usage`] for a name that means no target, with the nearest one that does.
pub fn named(names: &[String]) -> Result<Vec<&'static Target>, Usage> {
    let mut chosen = Vec::new();
    for name in names.iter().filter(|name| *name != ALL) {
        chosen.push(Target::find(name).ok_or_else(|| unknown(name))?);
    }
    let is_asked = |target: &&Target| names.iter().any(|name| name == ALL) || chosen.contains(target);
    Ok(TARGETS.iter().filter(is_asked).collect())
}

fn unknown(name: &str) -> Usage {
    let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let aliases = TARGETS.iter().flat_map(|target| target.aliases).copied();
    let hint = nearest(name, &known.iter().copied().chain(aliases).collect::<Vec<_>>());
    let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Usage(format!("there is no target `{name}`{hint}\n  all of them: {}", known.join(" ")))
}

/// What people call a target: Docker's name of it where there is one, else QEMU's.
pub fn spoken(target: &Target) -> &'static str {
    target.platforms.first().unwrap_or(&target.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(written: &[&str]) -> Result<Vec<&'static str>, Usage> {
        let written: Vec<String> = written.iter().map(|&name| name.to_owned()).collect();
        Ok(named(&written)?.iter().map(|target| target.name).collect())
    }

    #[test]
    fn targets_go_by_every_name_and_come_once() {
        assert_eq!(names(&["riscv64", "arm64", "aarch64"]).expect("known"), ["aarch64", "riscv64"]);
        assert_eq!(names(&["all"]).expect("known").len(), TARGETS.len());
    }

    #[test]
    fn a_misspelt_target_is_answered_with_the_nearest_name() {
        for (written, meant) in [("arm46", "arm64"), ("risvc64", "riscv64"), ("ppc46le", "ppc64le")] {
            let error = names(&["all", written]).expect_err("unknown").to_string();
            assert!(
                error.contains(&format!("there is no target `{written}`; did you mean `{meant}`?")),
                "{error}"
            );
        }
    }
}
