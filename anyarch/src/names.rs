//! Targets by the names that people write.

use anyarch_client::error::{Usage, nearest};
use anyarch_manifest::target::{TARGETS, Target};

/// The target of a name of any kind.
///
/// # Errors
/// [`Usage`] where there is none, with the nearest name.
pub fn target(name: &str) -> Result<&'static Target, Usage> {
    Target::find(name).ok_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        let aliases = TARGETS.iter().flat_map(|target| target.aliases).copied();
        let hint = nearest(name, &names.iter().copied().chain(aliases).collect::<Vec<_>>());
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Usage(format!("there is no target `{name}`{hint}\n  all of them: {}", names.join(" ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_target_is_answered_with_the_nearest_name() {
        assert_eq!(target("linux/arm/v7").expect("known").name, "arm");
        for (written, meant) in [("arm46", "arm64"), ("risvc64", "riscv64")] {
            let error = target(written).expect_err("unknown").to_string();
            assert!(
                error.contains(&format!("there is no target `{written}`; did you mean `{meant}`?")),
                "{error}"
            );
        }
    }
}
