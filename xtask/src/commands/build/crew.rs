//! What hosts that are made at the same time share: the emulators that run those of other hosts, the first error,
//! the threads that verify and pack.

use super::span::Span;
use crate::children;
use crate::facts::{Host, Target};
use crate::verify::{Runner, Verified};
use anyhow::{Error, Result, anyhow, bail};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The emulators of this machine that run those of other hosts, as they become ready.
pub struct Crew {
    members: Mutex<BTreeMap<&'static str, Option<Result<Verified, String>>>>,
    changed: Condvar,
    first_error: Mutex<Option<Error>>,
    /// When the others compiled.
    pub span: Span,
    /// What verifies and packs: one pool for all hosts, since a thread that has packed keeps its memory.
    pub packers: ThreadPool,
}

impl Crew {
    /// These are to be made, and so many threads verify and pack.
    pub fn new(wanted: &[Target], packers: usize) -> Result<Self> {
        Ok(Self {
            members: Mutex::new(wanted.iter().map(|target| (target.name, None)).collect()),
            changed: Condvar::new(),
            first_error: Mutex::new(None),
            span: Span::default(),
            packers: ThreadPoolBuilder::new().num_threads(packers).build()?,
        })
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<Result<Verified, String>>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are to be made.
    pub fn wanted(&self) -> Vec<Target> {
        self.members().keys().filter_map(|name| Target::named(name).ok()).collect()
    }

    /// Tells those who wait that one is ready, or will never be.
    pub fn publish(&self, target: Target, outcome: Result<Verified, String>) {
        if let Some(member) = self.members().get_mut(target.name) {
            member.get_or_insert(outcome);
        }
        self.changed.notify_all();
    }

    /// Tells those who wait that no more will be ready.
    pub fn give_up(&self, reason: &str) {
        for member in self.members().values_mut() {
            member.get_or_insert_with(|| Err(reason.to_owned()));
        }
        self.changed.notify_all();
    }

    /// What runs programs of this host, once it is ready; none for this machine's own host, and none where this
    /// machine has nothing that would. Where that failed, so did the host: nothing unproven is packed.
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
                    bail!("{}, which would run it, failed: {reason}", target.emulator())
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

    /// The error that ended all, if one did.
    pub fn first_error(&self) -> Option<Error> {
        self.first_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why a host that did not fail itself has come to nothing.
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
        let failed = Crew::new(&[target], 1).expect("a crew");
        failed.publish(target, Err("it hangs".to_owned()));
        let never_made = Crew::new(&[target], 1).expect("a crew");
        never_made.give_up("no compiler");
        for (crew, why) in [(failed, "it hangs"), (never_made, "no compiler")] {
            let error = crew.runner(&host).expect_err("no runner").to_string();
            assert_eq!(error, format!("{}, which would run it, failed: {why}", target.emulator()));
        }
    }

    #[test]
    fn who_waits_for_a_runner_hears_that_it_failed() {
        let (host, target) = foreign();
        let crew = Crew::new(&[target], 1).expect("a crew");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| crew.runner(&host));
            crew.publish(target, Err("it hangs".to_owned()));
            assert!(waiting.join().expect("no panic").is_err());
        });
    }

    #[test]
    fn a_host_that_nothing_here_runs_needs_no_runner() {
        let (host, _) = foreign();
        assert!(Crew::new(&[], 1).expect("a crew").runner(&host).expect("no error").is_none());
        let native = hosts().into_iter().find(Host::is_native);
        let own = native.map(|native| (native.as_target().expect("a target"), native));
        if let Some((target, native)) = own {
            assert!(Crew::new(&[target], 1).expect("a crew").runner(&native).expect("no error").is_none());
        }
    }
}
