//! The kernel's table of formats: a folder with a file for each, and one to register by.

use crate::format::Registration;
use crate::tiny;
use anyarch_client::progress::Progress;
use anyarch_manifest::target::Target;
use anyhow::{Context as _, Result};
use data_encoding::HEXLOWER;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What the names of our own registrations begin with; QEMU's name of the target follows.
pub const OURS: &str = "anyarch-";
/// What is not a format in that folder.
const CONTROLS: [&str; 2] = ["register", "status"];
/// What Windows registers for its own programs in its Linux. It is never touched.
const WSL: &str = "WSLInterop";

/// The name under which a target is registered.
pub fn own_name(target: &Target) -> String {
    format!("{OURS}{target}")
}

/// One registration, as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it counts.
    pub is_enabled: bool,
    /// What runs its programs.
    pub interpreter: PathBuf,
    /// One letter each.
    pub flags: String,
    /// Where `magic` begins in a file.
    pub offset: usize,
    /// The bytes that its programs have there; none if it goes by the end of a file's name.
    pub magic: Vec<u8>,
    /// The bits that count; empty if all do.
    pub mask: Vec<u8>,
}

impl Entry {
    /// Reads what the kernel shows of a registration. `None` if that is of another shape.
    pub fn parse(name: &str, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let is_enabled = lines.next()? == "enabled";
        let (mut interpreter, mut flags, mut offset) = (None, String::new(), 0);
        let (mut magic, mut mask) = (Vec::new(), Vec::new());
        for line in lines {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "interpreter" => interpreter = Some(PathBuf::from(value)),
                "flags:" => value.trim().clone_into(&mut flags),
                "offset" => offset = value.parse().ok()?,
                "magic" => magic = HEXLOWER.decode(value.as_bytes()).ok()?,
                "mask" => mask = HEXLOWER.decode(value.as_bytes()).ok()?,
                _ => {}
            }
        }
        Some(Self {
            name: name.to_owned(),
            is_enabled,
            interpreter: interpreter?,
            flags,
            offset,
            magic,
            mask,
        })
    }

    /// Whether a file that begins so goes to this registration.
    pub fn takes(&self, file: &[u8]) -> bool {
        let Some(bytes) = file.get(self.offset..).and_then(|rest| rest.get(..self.magic.len())) else {
            return false;
        };
        let mask = |at: usize| self.mask.get(at).copied().unwrap_or(0xff);
        let mut pairs = self.magic.iter().zip(bytes).enumerate();
        !self.magic.is_empty() && pairs.all(|(at, (magic, byte))| (magic ^ byte) & mask(at) == 0)
    }

    /// Whether programs of a target go to this registration.
    pub fn claims(&self, target: &Target) -> bool {
        tiny::program(target).is_ok_and(|program| self.takes(&program))
    }

    /// Whether it is one of ours.
    pub fn is_ours(&self) -> bool {
        self.name.starts_with(OURS)
    }

    /// Whether it is another system's own, which stays whatever is asked.
    pub fn is_untouchable(&self) -> bool {
        self.name.starts_with(WSL)
    }
}

/// A table that formats can be registered in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Where it is mounted.
    pub folder: PathBuf,
}

/// Keeps other runs out of a table until it is dropped.
#[derive(Debug)]
pub struct TableLock {
    _folder: File,
}

impl Table {
    /// All registrations, by name. None where no table is mounted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let listed = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.with_context(|| format!("cannot list {}", self.folder.display()))?,
        };
        let mut entries = Vec::new();
        for file in listed {
            let file = file.with_context(|| format!("cannot list {}", self.folder.display()))?;
            let name = file.file_name().to_string_lossy().into_owned();
            if CONTROLS.contains(&name.as_str()) {
                continue;
            }
            // Another run may just have removed it.
            let Ok(text) = fs::read_to_string(file.path()) else { continue };
            entries.extend(Entry::parse(&name, &text));
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Locks the table, for all containers that share it: the lock is on the mounted folder itself, and the kernel
    /// lets go of it when the process ends, however that comes about. Waits for other runs, with a word to the user.
    ///
    /// # Errors
    /// When the folder cannot be opened or locked.
    pub fn lock(&self, progress: &Progress) -> Result<TableLock> {
        let cannot = || format!("cannot lock {}", self.folder.display());
        let folder = File::open(&self.folder).with_context(cannot)?;
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.say("waiting for another run to finish registering");
                folder.lock().with_context(cannot)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        Ok(TableLock { _folder: folder })
    }

    /// Registers a format. The kernel takes a line as a whole or not at all.
    ///
    /// # Errors
    /// When it does not take it.
    pub fn register(&self, registration: &Registration) -> io::Result<()> {
        self.write("register", &registration.line())
    }

    /// Takes a registration out. It is no error if there is none.
    ///
    /// # Errors
    /// When the kernel does not let it go.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match self.write(name, "-1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        File::options().write(true).open(path)?.write_all(text.as_bytes())
    }

    /// Whether its registrations count, or all of them are turned off.
    pub fn is_enabled(&self) -> bool {
        fs::read_to_string(status(&self.folder)).is_ok_and(|text| text.trim() == "enabled")
    }
}

/// The file that turns all registrations on and off, and says which.
pub fn status(folder: &Path) -> PathBuf {
    folder.join("status")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyarch_manifest::target::TARGETS;

    /// As Debian's package has it: any OS ABI, no padding.
    const DEBIANS: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    fn claimed(entry: &Entry) -> Vec<&'static str> {
        TARGETS.iter().filter(|target| entry.claims(target)).map(|target| target.name).collect()
    }

    #[test]
    fn a_registration_is_read_as_the_kernel_shows_it() {
        let entry = Entry::parse("qemu-aarch64", DEBIANS).expect("an entry");
        assert_eq!(entry.interpreter, Path::new("/usr/libexec/qemu-binfmt/aarch64-binfmt-P"));
        assert_eq!((entry.flags.as_str(), entry.offset, entry.magic.len()), ("POCF", 0, 20));
        assert!(entry.is_enabled && !entry.is_ours() && !entry.is_untouchable());
        assert_eq!(Entry::parse("x", ""), None);
        assert_eq!(Entry::parse("x", "enabled\ninterpreter /x\nmagic 7\n"), None);
    }

    #[test]
    fn others_registrations_are_known_by_whose_programs_they_take() {
        let entry = |text: &str| Entry::parse("x", text).expect("an entry");
        let of = |what: &str| entry(&format!("enabled\ninterpreter /x\nflags: \n{what}\n"));
        assert_eq!(claimed(&entry(DEBIANS)), ["aarch64"]);
        assert_eq!(claimed(&of("offset 0\nmagic 7f454c46")).len(), TARGETS.len());
        assert_eq!(claimed(&of("offset 18\nmagic 002b")), ["sparc64"]);
        assert_eq!(claimed(&of("offset 0\nmagic 4d5a")), Vec::<&str>::new());
        assert_eq!(claimed(&of("extension .exe")), Vec::<&str>::new());
        assert_eq!(claimed(&of("offset 200000\nmagic 00")), Vec::<&str>::new());
    }

    #[test]
    fn windows_own_registrations_are_untouchable() {
        let entry = |name| Entry::parse(name, "enabled\ninterpreter /init\n").expect("an entry");
        assert!(entry("WSLInterop").is_untouchable() && entry("WSLInterop-late").is_untouchable());
    }

    #[test]
    fn where_nothing_is_mounted_nothing_is_registered() {
        let table = Table { folder: PathBuf::from("/nowhere/binfmt_misc") };
        assert_eq!(table.entries().expect("none"), []);
        assert!(!table.is_enabled());
    }
}
