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

impl Owners {
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

    /// A word for the name of a root: others have other ones.
    ///
    /// # Errors
    /// Those of encoding the ids.
    pub fn key(&self) -> Result<String> {
        Ok(match self {
            Self::Kept { ids } => format!("kept-{}", hash::short_key(ids)?),
            Self::Squashed => "squashed".to_owned(),
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
}
