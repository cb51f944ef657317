//! What patches are about. Each topic is a folder of patches that can be taken without the later ones.

use super::unknown;
use anyarch_client::error::Usage;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// A topic. This order is the one in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// A guest's children run in the emulator, without binfmt_misc: what the project is for.
    Execve,
    /// Fixes of bugs in upstream QEMU.
    Fixes,
    /// Patches that make emulators faster.
    Fast,
}

/// All topics, in the order in which they are applied.
pub const TOPICS: [Topic; 3] = [Topic::Execve, Topic::Fixes, Topic::Fast];

impl Topic {
    /// The name of its folders, and what stands in a commit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Execve => "execve",
            Self::Fixes => "fixes",
            Self::Fast => "fast",
        }
    }

    /// The earlier topics that it is built on. Without the others it applies, too; `patch check` shows it.
    pub fn needs(self) -> &'static [Topic] {
        match self {
            Self::Execve | Self::Fixes => &[],
            Self::Fast => &[Self::Execve],
        }
    }

    /// The topic with what it is built on, in order, which is what its patches apply after and with.
    pub fn with_needs(self) -> Vec<Topic> {
        let mut all = self.needs().to_vec();
        all.push(self);
        all
    }

    /// `execve fixes fast`
    pub fn names(of: &[Topic]) -> String {
        of.iter().map(|topic| topic.name()).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Topic {
    type Err = Usage;

    fn from_str(name: &str) -> Result<Self, Usage> {
        let found = TOPICS.into_iter().find(|topic| topic.name() == name);
        found.ok_or_else(|| unknown("topic", name, TOPICS.iter().map(|topic| topic.name())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_needs_only_earlier_ones_and_all_that_these_need() {
        for (place, topic) in TOPICS.into_iter().enumerate() {
            assert!(topic.needs().is_sorted(), "{topic}");
            for need in topic.needs() {
                assert!(TOPICS[..place].contains(need), "{topic} needs {need}");
                assert!(need.needs().iter().all(|theirs| topic.needs().contains(theirs)), "{topic}: {need}");
            }
        }
        assert!(TOPICS.is_sorted(), "the order of patches is the order of the values");
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_all_of_them() {
        for topic in TOPICS {
            assert_eq!(topic.name().parse::<Topic>().ok(), Some(topic));
        }
        let error = "fxes".parse::<Topic>().expect_err("refused").to_string();
        assert!(error.contains("did you mean `fixes`?") && error.contains("execve fast fixes"), "{error}");
    }
}
