//! Job slots that everything shares which keeps a processor busy: a jobserver, as GNU make describes it
//! under "POSIX Jobserver Interaction". ninja takes its compilers' slots from it, the driver those of its
//! own work, so that trees of several hosts neither overrun the machine nor leave it idle.

use anyarch_client::files::TempFolder;
use anyhow::{Context as _, Result};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Estimated memory of one compiler or linker process of a QEMU build, in bytes. gcc took up to 425 MB with
/// QEMU 10.2.2 (the peak of `VmHWM`, seen once by hand), and a machine has more to do than this.
pub const JOB_MEMORY: u64 = 700_000_000;

/// The slots of one run of the driver.
#[derive(Debug)]
pub struct Slots {
    count: usize,
    fifo: File,
    makeflags: String,
    _home: TempFolder,
}

/// A slot that is taken until it is dropped.
#[derive(Debug)]
pub struct Slot<'a>(&'a Slots);

impl Slots {
    /// This many slots, shared by a named pipe in a folder of their own inside `folder`.
    pub fn new(folder: &Path, count: usize) -> Result<Self> {
        let home = TempFolder::new(folder)?;
        let path = home.path().join("jobserver");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .with_context(|| format!("cannot make the pipe {}", path.display()))?;
        // Read and write: a pipe without a writer would be at its end when no slot is free.
        let mut fifo = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        fifo.write_all(&vec![b'+'; count]).context("cannot fill the job slots")?;
        let makeflags = format!("-j{count} --jobserver-auth=fifo:{}", path.display());
        Ok(Self { count, fifo, makeflags, _home: home })
    }

    /// Waits for a free slot.
    pub fn take(&self) -> Result<Slot<'_>> {
        (&self.fifo).read_exact(&mut [0]).context("cannot take a job slot")?;
        Ok(Slot(self))
    }

    /// The number of slots.
    pub fn count(&self) -> usize {
        self.count
    }

    /// `MAKEFLAGS` for a child that shares them. It may run one job without asking: its caller holds that
    /// job's slot.
    pub fn makeflags(&self) -> &str {
        &self.makeflags
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // A pipe that cannot be written any more has nobody left who waits for it.
        let _ = (&self.0.fifo).write_all(b"+");
    }
}

/// How many jobs a machine can take that has this many processors and this much memory to give.
pub fn fitting(processors: usize, memory: u64) -> usize {
    let fit = usize::try_from(memory / JOB_MEMORY).unwrap_or(usize::MAX);
    processors.min(fit).max(1)
}

/// The memory that new programs may take, in bytes: the machine's, or less where a control group sets a
/// limit, as containers and CI do.
pub fn free_memory() -> u64 {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    // Where nothing can be learned, nothing is held back.
    let Ok(system) = System::new_with_specifics(kind) else { return u64::MAX };
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn never_more_work_than_slots_and_every_slot_comes_back() {
        let home = tempfile::tempdir().expect("a folder");
        let slots = Slots::new(home.path(), 3).expect("slots");
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let _slot = slots.take().expect("a slot");
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 3);
        let all: Vec<_> = (0..3).map(|_| slots.take().expect("a slot")).collect();
        assert_eq!(all.len(), slots.count());
    }

    #[test]
    fn little_memory_means_few_jobs_but_always_one() {
        let gigabyte = 1_000_000_000;
        assert_eq!(fitting(64, 24 * gigabyte), 34);
        assert_eq!(fitting(2, 24 * gigabyte), 2);
        assert_eq!(fitting(8, 2 * gigabyte), 2);
        assert_eq!(fitting(8, 0), 1);
        assert!(free_memory() > 0);
    }
}
