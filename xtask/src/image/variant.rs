//! Which images there are, and what each holds.

use anyarch_client::error::{Usage, nearest};
use anyarch_manifest::Manifest;
use anyarch_manifest::target::{TARGETS, Target};
use std::collections::BTreeSet;

/// An image of a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// The users' program and all emulators of a host.
    All,
    /// The users' program alone.
    Register,
    /// All emulators of a host alone.
    Emulators,
    /// Emulators under the names that BuildKit looks for.
    Buildkit,
    /// The users' program and the emulator of one target, by QEMU's name.
    Target(String),
}

/// Those that are none of a target's, by their tags.
const WHOLE: [(&str, Variant); 4] = [
    ("latest", Variant::All),
    ("register", Variant::Register),
    ("emulators", Variant::Emulators),
    ("buildkit", Variant::Buildkit),
];

impl Variant {
    /// Every image that a release can be made into.
    pub fn of(manifest: &Manifest) -> Vec<Self> {
        let targets: BTreeSet<&str> = manifest.artifacts.iter().map(|one| one.target.as_str()).collect();
        let targets = targets.into_iter().map(|target| Self::Target(target.to_owned()));
        WHOLE.into_iter().map(|(_, variant)| variant).chain(targets).collect()
    }

    /// The images by these names: tags, or targets by any name.
    ///
    /// # Errors
    /// [`Usage`] for one that is not known, with the nearest.
    pub fn named(names: &[String]) -> Result<Vec<Self>, Usage> {
        let mut all = Vec::new();
        for name in names {
            let whole = WHOLE.into_iter().find(|(tag, _)| tag == name).map(|(_, variant)| variant);
            let target = || Target::find(name).map(|target| Self::Target(target.name.to_owned()));
            let variant = whole.or_else(target).ok_or_else(|| unknown(name))?;
            if !all.contains(&variant) {
                all.push(variant);
            }
        }
        Ok(all)
    }

    /// The tag under which it is found.
    pub fn tag(&self) -> &str {
        match self {
            Self::Target(target) => target,
            whole => WHOLE.iter().find(|(_, variant)| variant == whole).map_or("latest", |(tag, _)| tag),
        }
    }

    /// The tags that it has in a release: one that moves, and one that stays.
    pub fn tags(&self, release: &str) -> [String; 2] {
        let stays = match self {
            Self::All => release.to_owned(),
            other => format!("{}-{release}", other.tag()),
        };
        [self.tag().to_owned(), stays]
    }

    /// Whether the users' program is in it.
    pub fn has_program(&self) -> bool {
        !matches!(self, Self::Emulators | Self::Buildkit)
    }

    /// What people read of it.
    pub fn description(&self) -> String {
        match self {
            Self::All => {
                "anyarch and all its QEMU user-mode emulators: registers them with the kernel".to_owned()
            }
            Self::Register => "anyarch alone: registers emulators of a volume".to_owned(),
            Self::Emulators => "anyarch's QEMU user-mode emulators, to be copied from".to_owned(),
            Self::Buildkit => {
                "anyarch's QEMU user-mode emulators under the names that BuildKit looks for".to_owned()
            }
            Self::Target(target) => format!("anyarch and its QEMU user-mode emulator for {target}"),
        }
    }
}

fn unknown(name: &str) -> Usage {
    let targets = TARGETS.iter().map(|target| target.name);
    let known: Vec<&str> = WHOLE.iter().map(|(tag, _)| *tag).chain(targets).collect();
    let aliases = TARGETS.iter().flat_map(|target| target.aliases).copied();
    let near = nearest(name, &known.iter().copied().chain(aliases).collect::<Vec<_>>());
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Usage(format!("there is no image `{name}`{hint}\n  all of them: {}", known.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_go_by_tags_and_by_every_name_of_a_target() {
        let names = ["latest", "arm64", "aarch64", "buildkit"].map(str::to_owned);
        let found = Variant::named(&names).expect("known");
        assert_eq!(found, [Variant::All, Variant::Target("aarch64".to_owned()), Variant::Buildkit]);
        assert_eq!(found[0].tags("10.2.2-1"), ["latest", "10.2.2-1"]);
        assert_eq!(found[1].tags("10.2.2-1"), ["aarch64", "aarch64-10.2.2-1"]);
        let error = Variant::named(&["arch64".to_owned()]).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `aarch64`?"), "{error}");
    }

    #[test]
    fn no_target_is_called_as_another_image() {
        for (tag, variant) in WHOLE {
            assert_eq!(Target::find(tag), None);
            assert_eq!(variant.tag(), tag);
        }
    }
}
