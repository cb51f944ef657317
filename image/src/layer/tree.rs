//! The folder that an image is unpacked into. Every step goes from an open folder to an entry in it, and follows no
//! link of the kernel's: links are read and walked here, with the unpacked root as `/`, as a program in it would meet
//! them. So nothing that a layer says leads out. `openat2` could do the same, but not every machine has it: gVisor and
//! older container engines lack it.

use super::folder::{Folder, LIST, WALK, entries, kind, name, remove_folder};
use super::owners::Owners;
use crate::member::shown;
use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RawMode, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, readlinkat, statat, symlinkat,
    unlinkat, utimensat,
};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

/// The most folders in one another. Each takes a descriptor on the way down; real images have a tenth.
const MAX_DEPTH: usize = 200;

/// The most bytes of all paths of an image: they are kept in memory. A million files have half of it.
const MAX_NOTED: usize = 256 << 20;

/// The most links on the way to a name, as the kernel has it.
const MAX_LINKS: usize = 40;

/// A folder that only its owner may enter, until all layers are there.
const PRIVATE: Mode = Mode::RWXU;

/// What a member says of what it puts there, besides its kind.
#[derive(Debug, Clone)]
pub struct Looks {
    /// Permissions, with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    /// The numbers of its user and its group.
    pub owner: (u64, u64),
    /// When it was changed, in seconds since 1970.
    pub time: i64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The tree that grows.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    owners: Owners,
    /// Modes and times that folders get at the end: until then all can be written.
    folders: BTreeMap<Vec<u8>, (u32, i64)>,
    /// What the current layer has put there.
    own: BTreeSet<Vec<u8>>,
    /// The last folder that was walked to, by the parts that led there.
    last: Option<(Vec<Vec<u8>>, Rc<Folder>)>,
    /// Extended attributes that the file system does not take.
    lost: u64,
    /// How many bytes all paths have that were kept in mind.
    noted: usize,
}

impl Tree {
    /// The tree in an empty folder of ours.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new(folder: &Path, owners: Owners) -> Result<Self> {
        let root = openat(CWD, folder, LIST, Mode::empty());
        let root = root.with_context(|| format!("cannot open {}", folder.display()))?;
        let folders = BTreeMap::from([(Vec::new(), (0o755, 0))]);
        Ok(Self { root, owners, folders, own: BTreeSet::new(), last: None, lost: 0, noted: 0 })
    }

    /// Begins the next layer: what there is now is of lower ones.
    pub fn next_layer(&mut self) {
        self.own.clear();
    }

    /// How many extended attributes could not be kept.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Walks to a folder. Missing ones are made if `make` says so; else the outcome is `None`, as where a file is on
    /// the way.
    ///
    /// # Errors
    /// When a file is where a folder is to be made, or there are too many links or folders.
    pub fn walk(&mut self, parts: &[&[u8]], make: bool) -> Result<Option<Rc<Folder>>> {
        if let Some((way, folder)) = &self.last
            && way.iter().eq(parts.iter())
        {
            return Ok(Some(Rc::clone(folder)));
        }
        // To be gone, the next one last.
        let mut ahead: Vec<Vec<u8>> = parts.iter().rev().map(|part| part.to_vec()).collect();
        let mut behind: Vec<Folder> = Vec::new();
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            if part == b".." {
                behind.pop();
                continue;
            }
            let here = behind.last().map_or(self.root.as_fd(), |folder| folder.descriptor.as_fd());
            let path = behind.last().map_or_else(|| part.clone(), |folder| folder.below(&part));
            match openat(here, name(&part), WALK, Mode::empty()) {
                Ok(descriptor) => {
                    ensure!(
                        behind.len() < MAX_DEPTH,
                        "refused: more than {MAX_DEPTH} folders in one another"
                    );
                    behind.push(Folder { descriptor, path });
                }
                Err(Errno::NOENT) if !make => return Ok(None),
                Err(Errno::NOENT) => {
                    mkdirat(here, name(&part), PRIVATE)
                        .with_context(|| format!("cannot create {}", shown(&path)))?;
                    self.note_folder(path, (0o755, 0))?;
                    ahead.push(part);
                }
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let Ok(link) = readlinkat(here, name(&part), Vec::new()) else {
                        if !make {
                            return Ok(None);
                        }
                        bail!("refused: {} is a file, and something shall be below it", shown(&path));
                    };
                    links += 1;
                    ensure!(
                        links <= MAX_LINKS,
                        "refused: more than {MAX_LINKS} links on the way to {}",
                        shown(&path)
                    );
                    let link = link.as_bytes();
                    if link.starts_with(b"/") {
                        behind.clear();
                    }
                    let steps = link.split(|b| *b == b'/').filter(|step| !step.is_empty() && *step != b".");
                    ahead.extend(steps.rev().map(<[u8]>::to_vec));
                }
                Err(error) => return Err(error).with_context(|| format!("cannot open {}", shown(&path))),
            }
        }
        let folder = match behind.pop() {
            Some(folder) => folder,
            None => Folder {
                descriptor: self.root.try_clone().context("cannot open the root")?,
                path: Vec::new(),
            },
        };
        let folder = Rc::new(folder);
        self.last = Some((parts.iter().map(|part| part.to_vec()).collect(), Rc::clone(&folder)));
        Ok(Some(folder))
    }

    /// The folder that something is to be put into; it is made if need be.
    ///
    /// # Errors
    /// As [`Tree::walk`].
    pub fn parent(&mut self, parts: &[&[u8]]) -> Result<Rc<Folder>> {
        let above = parts.split_last().map_or(&[][..], |(_, above)| above);
        self.walk(above, true)?.context("a folder that was just made is gone")
    }

    /// Whether a link to a folder stands at `parts`, of which `into` holds the last one.
    ///
    /// # Errors
    /// As [`Tree::walk`].
    pub fn is_linked(&mut self, into: &Folder, parts: &[&[u8]]) -> Result<bool> {
        let Some(last) = parts.last() else { return Ok(false) };
        Ok(kind(into, last)? == Some(FileType::Symlink) && self.walk(parts, false)?.is_some())
    }

    /// Says how the root folder itself looks.
    ///
    /// # Errors
    /// When its owner cannot be set.
    pub fn set_root(&mut self, looks: &Looks) -> Result<()> {
        if let Some((user, group)) = self.owner(looks)? {
            fchown(&self.root, Some(user), Some(group)).map_err(|error| cannot_own(error, looks))?;
        }
        self.folders.insert(Vec::new(), (self.mode(looks), looks.time));
        Ok(())
    }

    /// Puts a folder there, or says how the one that is there looks from now on.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn put_folder(&mut self, into: &Folder, part: &[u8], looks: &Looks) -> Result<()> {
        let is_there = statat(&into.descriptor, name(part), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        if !is_there {
            self.take_away(into, part)?;
            mkdirat(&into.descriptor, name(part), PRIVATE)?;
        }
        if let Some((user, group)) = self.owner(looks)? {
            let own =
                chownat(&into.descriptor, name(part), Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW);
            own.map_err(|error| cannot_own(error, looks))?;
        }
        self.note_folder(into.below(part), (self.mode(looks), looks.time))?;
        self.note_own(into, part)
    }

    /// Puts a file there, instead of whatever is there.
    ///
    /// # Errors
    /// When it cannot be written, or `from` ends before `size` bytes.
    pub fn put_file(
        &mut self,
        into: &Folder,
        part: &[u8],
        looks: &Looks,
        from: &mut impl Read,
        size: u64,
    ) -> Result<()> {
        self.take_away(into, part)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&into.descriptor, name(part), flags, Mode::RUSR | Mode::WUSR)?);
        ensure!(io::copy(from, &mut file)? == size, "it is truncated");
        if let Some((user, group)) = self.owner(looks)? {
            fchown(&file, Some(user), Some(group)).map_err(|error| cannot_own(error, looks))?;
        }
        // Both after the owner, whose change clears set-user-ID bits and capabilities.
        fchmod(&file, Mode::from_raw_mode(self.mode(looks) as RawMode))?;
        self.set_xattrs(&file, looks)?;
        futimens(&file, &times(looks.time))?;
        self.note_own(into, part)
    }

    /// Puts a symbolic link there. What it says is not looked at: it is followed within the root only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn put_link(&mut self, into: &Folder, part: &[u8], looks: &Looks, link: &[u8]) -> Result<()> {
        self.take_away(into, part)?;
        symlinkat(name(link), &into.descriptor, name(part))?;
        if let Some((user, group)) = self.owner(looks)? {
            let own =
                chownat(&into.descriptor, name(part), Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW);
            own.map_err(|error| cannot_own(error, looks))?;
        }
        utimensat(&into.descriptor, name(part), &times(looks.time), AtFlags::SYMLINK_NOFOLLOW)?;
        self.note_own(into, part)
    }

    /// Gives what lies at `parts` of the root a further name.
    ///
    /// # Errors
    /// When nothing is there, or a folder.
    pub fn put_name(&mut self, into: &Folder, part: &[u8], parts: &[&[u8]]) -> Result<()> {
        let Some((last, above)) = parts.split_last() else { bail!("refused: a further name for the root") };
        let from = self
            .walk(above, false)?
            .with_context(|| format!("{} is not there", shown(&parts.join(&b'/'))))?;
        let there = statat(&from.descriptor, name(last), AtFlags::SYMLINK_NOFOLLOW);
        let there = there.with_context(|| format!("{} is not there", shown(&parts.join(&b'/'))))?;
        let is_folder = FileType::from_raw_mode(there.st_mode) == FileType::Directory;
        ensure!(!is_folder, "refused: a further name for a folder");
        if from.below(last) == into.below(part) {
            return Ok(());
        }
        self.take_away(into, part)?;
        // Where the link itself is named, it is not followed.
        linkat(&from.descriptor, name(last), &into.descriptor, name(part), AtFlags::empty())?;
        self.note_own(into, part)
    }

    /// Puts a named pipe there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn put_pipe(&mut self, into: &Folder, part: &[u8], looks: &Looks) -> Result<()> {
        self.take_away(into, part)?;
        let mode = Mode::from_raw_mode(self.mode(looks) as RawMode);
        mknodat(&into.descriptor, name(part), FileType::Fifo, mode, 0)?;
        if let Some((user, group)) = self.owner(looks)? {
            let own =
                chownat(&into.descriptor, name(part), Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW);
            own.map_err(|error| cannot_own(error, looks))?;
        }
        self.note_own(into, part)
    }

    /// Takes away what lower layers have under a name.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn take_away_lower(&mut self, from: &Folder, part: &[u8]) -> Result<()> {
        let path = from.below(part);
        let Some(kind) = kind(from, part)? else { return Ok(()) };
        let inside = [&path[..], b"/"].concat();
        let holds_own = self.own.range(inside.clone()..).next().is_some_and(|own| own.starts_with(&inside));
        if !holds_own && !self.own.contains(&path) {
            return self.take_away(from, part);
        }
        if kind == FileType::Directory {
            let descriptor = openat(&from.descriptor, name(part), WALK, Mode::empty())?;
            self.empty(&Folder { descriptor, path })?;
        }
        Ok(())
    }

    /// Takes away all that lower layers have in a folder.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn empty(&mut self, folder: &Folder) -> Result<()> {
        for part in entries(folder)? {
            self.take_away_lower(folder, &part)?;
        }
        Ok(())
    }

    /// Takes away what is there, with all below it.
    fn take_away(&mut self, from: &Folder, part: &[u8]) -> Result<()> {
        let Some(kind) = kind(from, part)? else { return Ok(()) };
        // It may be on the way that led there.
        self.last = None;
        let path = from.below(part);
        if kind != FileType::Directory {
            unlinkat(&from.descriptor, name(part), AtFlags::empty())?;
        } else {
            remove_folder(from, part)?;
            let inside = [&path[..], b"/"].concat();
            let is_inside = |one: &[u8]| one.starts_with(&inside);
            while let Some(one) = self
                .folders
                .range(inside.clone()..)
                .next()
                .map(|(one, _)| one.clone())
                .filter(|one| is_inside(one))
            {
                self.folders.remove(&one);
            }
            while let Some(one) =
                self.own.range(inside.clone()..).next().cloned().filter(|one| is_inside(one))
            {
                self.own.remove(&one);
            }
            self.folders.remove(&path);
        }
        self.own.remove(&path);
        Ok(())
    }

    /// Gives the folders their modes and times, the deepest first.
    ///
    /// # Errors
    /// When one cannot be changed.
    pub fn finish(mut self) -> Result<()> {
        for (path, (mode, time)) in std::mem::take(&mut self.folders).into_iter().rev() {
            let cannot = || format!("cannot finish the folder {}", shown(&path));
            let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
            let folder = match parts.split_last() {
                None => self.root.try_clone().with_context(cannot)?,
                Some((last, above)) => {
                    let above = self.walk(above, false)?.with_context(cannot)?;
                    openat(&above.descriptor, name(last), LIST, Mode::empty()).with_context(cannot)?
                }
            };
            fchmod(&folder, Mode::from_raw_mode(mode as RawMode)).with_context(cannot)?;
            futimens(&folder, &times(time)).with_context(cannot)?;
        }
        Ok(())
    }

    /// Keeps in mind that the current layer has put something there.
    fn note_own(&mut self, into: &Folder, part: &[u8]) -> Result<()> {
        let path = into.below(part);
        self.note(&path)?;
        self.own.insert(path);
        Ok(())
    }

    fn note_folder(&mut self, path: Vec<u8>, looks: (u32, i64)) -> Result<()> {
        self.note(&path)?;
        self.folders.insert(path, looks);
        Ok(())
    }

    fn note(&mut self, path: &[u8]) -> Result<()> {
        self.noted += path.len();
        ensure!(self.noted <= MAX_NOTED, "refused: its names have more than {MAX_NOTED} bytes");
        Ok(())
    }

    fn owner(&self, looks: &Looks) -> Result<Option<(Uid, Gid)>> {
        if self.owners == Owners::Squashed {
            return Ok(None);
        }
        // The last number means "unchanged" to the kernel.
        let id = |id: u64| u32::try_from(id).ok().filter(|id| *id < u32::MAX);
        let (Some(user), Some(group)) = (id(looks.owner.0), id(looks.owner.1)) else {
            bail!("refused: its owner {}:{} is no user", looks.owner.0, looks.owner.1);
        };
        Ok(Some((Uid::from_raw(user), Gid::from_raw(group))))
    }

    fn mode(&self, looks: &Looks) -> u32 {
        looks.mode & if self.owners == Owners::Squashed { 0o1777 } else { 0o7777 }
    }

    /// Keeps what counts for programs: capabilities, where owners are kept, and the attributes of users, but none that
    /// steer an overlay.
    fn set_xattrs(&mut self, file: &File, looks: &Looks) -> Result<()> {
        for (key, value) in &looks.xattrs {
            let is_capability = key == b"security.capability" && self.owners != Owners::Squashed;
            let is_user = key.starts_with(b"user.") && !key.starts_with(b"user.overlay.");
            if !is_capability && !is_user {
                continue;
            }
            match fsetxattr(file, name(key), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP | Errno::PERM) => self.lost += 1,
                Err(error) => return Err(error).with_context(|| format!("cannot set {}", shown(key))),
            }
        }
        Ok(())
    }
}

fn cannot_own(error: Errno, looks: &Looks) -> anyhow::Error {
    let (user, group) = looks.owner;
    let advice = if error == Errno::INVAL {
        ": this user namespace has no such number; give it more in /etc/subuid and /etc/subgid"
    } else {
        ""
    };
    anyhow::Error::new(io::Error::from(error)).context(format!("its owner cannot be {user}:{group}{advice}"))
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
