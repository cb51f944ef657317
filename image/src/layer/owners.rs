//! Who owns the files of an unpacked root: whom the image says, where this process may give files away, else the user.

use anyarch_client::hash;
use anyhow::Result;
use rustix::process::geteuid;
use std::fs;

/// Whose files they become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// Those that the image says: root's own, or of a user namespace that has many ids. With them stay set-user-ID bits
    /// and capabilities.
    Kept {
        /// The ids that this process has, as the kernel lists them: elsewhere the same files have other owners.
        ids: String,
    },
    /// The user's, all of them. Set-user-ID bits are cleared: they would hand out the user's own rights.
    Squashed,
}

/// The map of ids where no user namespace is.
const ALL: &str = "0 0 4294967295";

impl Owners {
    /// The word for roots that are all the user's.
    const SQUASHED: &str = "squashed";

    /// What this process can do. A caller that unpacks in a user namespace asks there.
    pub fn possible() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let (users, groups) = (read("uid_map"), read("gid_map"));
        let is_many = |map: &str| count(map) > 1;
        if geteuid().is_root() && is_many(&users) && is_many(&groups) {
            Self::Kept { ids: normal(&users) + "/" + &normal(&groups) }
        } else {
            Self::Squashed
        }
    }

    /// Whether whoever has these owners can remove what was unpacked under the name `key`: one's own, or all where one
    /// is root over every id.
    pub fn can_remove(&self, key: &str) -> bool {
        let has_all = matches!(self, Self::Kept { ids } if ids.starts_with(ALL));
        has_all || key == Self::SQUASHED || self.key().is_ok_and(|own| own == key)
    }

    /// A word for the name of a root: others have other ones.
    ///
    /// # Errors
    /// Those of encoding the ids.
    pub fn key(&self) -> Result<String> {
        Ok(match self {
            Self::Kept { ids } => format!("kept-{}", hash::short_key(ids)?),
            Self::Squashed => Self::SQUASHED.to_owned(),
        })
    }
}

/// How many ids a map of the kernel has: lines of `INSIDE OUTSIDE COUNT`.
fn count(map: &str) -> u64 {
    map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
}

fn normal(map: &str) -> String {
    map.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_as_the_kernel_lists_them() {
        assert_eq!(count("         0       1000          1\n"), 1);
        assert_eq!(count("0 1000 1\n1 100000 65536\n"), 65537);
        assert_eq!(count(""), 0);
        let here = Owners::possible();
        assert_eq!(here.key().expect("a key"), Owners::possible().key().expect("a key"));
    }

    #[test]
    fn what_was_unpacked_with_other_ids_is_removed_by_those_who_can() {
        let kept = |ids: &str| Owners::Kept { ids: ids.to_owned() };
        let (root, user) = (kept("0 0 4294967295/0 0 4294967295"), kept("0 1000 1 1 100000 65536/0 1000 1"));
        let key = |owners: &Owners| owners.key().expect("a key");
        for (owners, key, can) in [
            (&root, key(&user), true),
            (&user, key(&user), true),
            (&user, key(&root), false),
            (&Owners::Squashed, key(&user), false),
            (&Owners::Squashed, key(&Owners::Squashed), true),
        ] {
            assert_eq!(owners.can_remove(&key), can, "{owners:?} {key}");
        }
    }
}
