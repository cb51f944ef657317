//! The emulators that are compared, and how each comes to run the root file system's programs.

/// A column of the table of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The peer's emulator, registered in binfmt_misc with the F flag.
    Peer,
    /// Ours with interception, as it comes.
    Ours,
    /// The same with a folder that has what an earlier run translated.
    Kept,
    /// The same without the cache of translations.
    Uncached,
    /// Ours, registered like the peer's.
    Registered,
    /// Ours with interception; it tells of every process what it translated.
    Logged,
}

impl Column {
    /// What people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer, binfmt_misc F",
            Self::Ours => "ours, --execve self",
            Self::Kept => "ours, --tb-cache /FOLDER",
            Self::Uncached => "ours, --tb-cache off",
            Self::Registered => "ours, binfmt_misc F",
            Self::Logged => "ours, -d tb_cache",
        }
    }

    /// Options of our emulator; none where binfmt_misc starts one.
    pub fn options(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Peer | Self::Registered => None,
            Self::Ours => Some(&["--execve", "self"]),
            Self::Kept => Some(&["--execve", "self", "--tb-cache", "/tmp/in/kept"]),
            Self::Uncached => Some(&["--execve", "self", "--tb-cache", "off"]),
            Self::Logged => Some(&["--execve", "self", "-d", "tb_cache"]),
        }
    }
}
