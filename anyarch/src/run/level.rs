//! How much of a place of its own a run gets: what the machine allows.

use std::ffi::OsStr;

/// How much of a place of its own a run gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Namespaces in a user namespace.
    User,
    /// Namespaces without one: the user is root, and user namespaces are closed.
    Root,
    /// A changed root and nothing else: root may not make namespaces.
    Chroot,
}

impl Level {
    /// The word for the next stage.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Root => "root",
            Self::Chroot => "chroot",
        }
    }

    /// The level that a word means.
    pub fn of(word: &OsStr) -> Option<Self> {
        [Self::User, Self::Root, Self::Chroot].into_iter().find(|level| word == level.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_goes_to_the_next_stage_by_its_word() {
        for level in [Level::User, Level::Root, Level::Chroot] {
            assert_eq!(Level::of(level.word().as_ref()), Some(level));
        }
        assert_eq!(Level::of("sudo".as_ref()), None);
    }
}
