//! What hosts that are made at the same time share: the emulators that run those of other hosts, the first error,
//! the threads that verify and pack.

use super::compile_timer::CompileTimer;
use crate::children;
use crate::facts::{Host, Target};
use crate::verify::{Runner, Verified};
use anyhow::{Error, Result, anyhow, bail};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Emulators of this machine that run those of other hosts in their tests, as they become ready. The threads
/// of all hosts share this value.
pub struct Runners {
    members: Mutex<BTreeMap<&'static str, Option<Result<Verified, String>>>>,
    changed: Condvar,
    first_error: Mutex<Option<Error>>,
    /// When compilers ran, and what packing took.
    pub timer: CompileTimer,
    /// Threads that verify and pack: one pool for all hosts, because a thread that has packed keeps its memory.
    pub packers: ThreadPool,
}

impl Runners {
    /// `wanted` are the targets whose emulators will be built; `packers` is the number of threads that verify
    /// and pack.
    pub fn new(wanted: &[Target], packers: usize) -> Result<Self> {
        Ok(Self {
            members: Mutex::new(wanted.iter().map(|target| (target.name, None)).collect()),
            changed: Condvar::new(),
            first_error: Mutex::new(None),
            timer: CompileTimer::default(),
            packers: ThreadPoolBuilder::new().num_threads(packers).build()?,
        })
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<Result<Verified, String>>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Targets whose emulators will be built.
    pub fn wanted(&self) -> Vec<Target> {
        self.members().keys().filter_map(|name| Target::named(name).ok()).collect()
    }

    /// Tells waiting threads that an emulator is ready, or why it never will be.
    pub fn publish(&self, target: Target, outcome: Result<Verified, String>) {
        if let Some(member) = self.members().get_mut(target.name) {
            member.get_or_insert(outcome);
        }
        self.changed.notify_all();
    }

    /// Tells waiting threads that no further emulator will become ready.
    pub fn give_up(&self, reason: &str) {
        for member in self.members().values_mut() {
            member.get_or_insert_with(|| Err(reason.to_owned()));
        }
        self.changed.notify_all();
    }

    /// Waits for the emulator that runs programs of this host. None for this machine's own host, or if there
    /// is no such emulator. If that emulator failed, this is an error: nothing untested is packed.
    pub fn runner(&self, host: &Host) -> Result<Option<Runner>> {
        if host.is_native() {
            return Ok(None);
        }
        let target = host.as_target()?;
        let mut members = self.members();
        loop {
            match members.get(target.name) {
                None => return Ok(None),
                Some(Some(Ok(verified))) => return Ok(Some(Runner::new(verified, host))),
                Some(Some(Err(reason))) => {
                    bail!("{}, which is needed to run it, failed: {reason}", target.emulator())
                }
                Some(None) => members = self.changed.wait(members).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Ends all that is running for other hosts; only the first error counts, the others follow from it.
    pub fn halt(&self, error: Error, host: &Host) -> Error {
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(error);
            children::halt();
        }
        anyhow!(was_stopped(host))
    }

    /// The error that stopped all builds, if there is one.
    pub fn first_error(&self) -> Option<Error> {
        self.first_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The message for a host that was stopped because another one failed.
pub fn was_stopped(host: &Host) -> String {
    format!("{} was stopped", host.platform)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::plan::tests::workspace;
    use std::thread;

    fn hosts() -> Vec<Host> {
        Host::all(&workspace().root.join("toolchains")).expect("hosts")
    }

    /// A host that is not this machine, and the target that stands for it.
    pub fn foreign() -> (Host, Target) {
        let host = hosts().into_iter().find(|host| !host.is_native()).expect("another host");
        let target = host.as_target().expect("a target");
        (host, target)
    }

    #[test]
    fn a_host_fails_with_the_emulator_that_would_run_its_own() {
        let (host, target) = foreign();
        let failed = Runners::new(&[target], 1).expect("runners");
        failed.publish(target, Err("it hangs".to_owned()));
        let never_made = Runners::new(&[target], 1).expect("runners");
        never_made.give_up("no compiler");
        for (all_runners, why) in [(failed, "it hangs"), (never_made, "no compiler")] {
            let error = all_runners.runner(&host).expect_err("no runner").to_string();
            assert_eq!(error, format!("{}, which is needed to run it, failed: {why}", target.emulator()));
        }
    }

    #[test]
    fn who_waits_for_a_runner_hears_that_it_failed() {
        let (host, target) = foreign();
        let all_runners = Runners::new(&[target], 1).expect("runners");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| all_runners.runner(&host));
            all_runners.publish(target, Err("it hangs".to_owned()));
            assert!(waiting.join().expect("no panic").is_err());
        });
    }

    #[test]
    fn a_host_that_nothing_here_runs_needs_no_runner() {
        let (host, _) = foreign();
        assert!(Runners::new(&[], 1).expect("runners").runner(&host).expect("no error").is_none());
        let native = hosts().into_iter().find(Host::is_native);
        let own = native.map(|native| (native.as_target().expect("a target"), native));
        if let Some((target, native)) = own {
            assert!(
                Runners::new(&[target], 1).expect("runners").runner(&native).expect("no error").is_none()
            );
        }
    }
}
