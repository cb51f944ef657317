//! When compilers ran, and what packing took.

use super::BuildTimes;
use crate::process::{self, ProcessorTime};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Measures the time from the first compilation to the last, and the processor time of packing.
#[derive(Debug, Default)]
pub struct CompileTimer(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    first: Option<(Instant, ProcessorTime)>,
    last: Option<(Instant, ProcessorTime)>,
    packing: f64,
}

impl CompileTimer {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a tree starts or stops compiling now.
    pub fn note(&self) {
        let now = (Instant::now(), process::processor_time().unwrap_or_default());
        let mut noted = self.noted();
        noted.first.get_or_insert(now);
        noted.last = Some(now);
    }

    /// Adds the processor time that packing a tarball took, in seconds.
    pub fn packed(&self, seconds: f64) {
        self.noted().packing += seconds;
    }

    /// The measured times; to be called at the end of the build.
    pub fn work(&self) -> BuildTimes {
        let noted = self.noted();
        let total = process::processor_time().unwrap_or_default();
        let span = noted.first.zip(noted.last);
        let seconds = span.map(|(first, last)| last.0.duration_since(first.0).as_secs_f64());
        let all = |time: ProcessorTime| time.children + time.own;
        let processor = span.map(|(first, last)| all(last.1) - all(first.1));
        BuildTimes {
            compile_seconds: seconds.unwrap_or_default(),
            compile_processor_seconds: processor.unwrap_or_default(),
            processor_seconds: total.children,
            own_processor_seconds: total.own - noted.packing,
            packing_processor_seconds: noted.packing,
        }
    }
}
