//! When compilers ran, and what packing took.

use super::Work;
use crate::process::{self, ProcessorTime};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// From the first compiler to the last, and the processor time of packing, whoever notes it.
#[derive(Debug, Default)]
pub struct Span(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    first: Option<(Instant, ProcessorTime)>,
    last: Option<(Instant, ProcessorTime)>,
    packing: f64,
}

impl Span {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a tree begins or ends compiling.
    pub fn note(&self) {
        let now = (Instant::now(), process::processor_time().unwrap_or_default());
        let mut noted = self.noted();
        noted.first.get_or_insert(now);
        noted.last = Some(now);
    }

    /// Adds the processor time of a tarball, in seconds.
    pub fn packed(&self, seconds: f64) {
        self.noted().packing += seconds;
    }

    /// With the processor time of all, which is known at the end.
    pub fn work(&self) -> Work {
        let noted = self.noted();
        let total = process::processor_time().unwrap_or_default();
        let span = noted.first.zip(noted.last);
        let seconds = span.map(|(first, last)| last.0.duration_since(first.0).as_secs_f64());
        let all = |time: ProcessorTime| time.children + time.own;
        let processor = span.map(|(first, last)| all(last.1) - all(first.1));
        Work {
            compile_seconds: seconds.unwrap_or_default(),
            compile_processor_seconds: processor.unwrap_or_default(),
            processor_seconds: total.children,
            own_processor_seconds: total.own - noted.packing,
            packing_processor_seconds: noted.packing,
        }
    }
}
