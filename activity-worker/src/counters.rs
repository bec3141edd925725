//! Owns what an activity worker counts. Never labels by instance; exporting is the metrics endpoint's business.

use std::sync::atomic::{AtomicU64, Ordering};

/// What this worker has done since it started. Shared by all its loops.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) completed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) not_hosted: AtomicU64,
    pub(crate) overran: AtomicU64,
    pub(crate) parked: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Activities that returned a result.
    pub completed: u64,
    /// Activities that failed, panicked or timed out.
    pub failed: u64,
    /// Work items whose activity this worker does not host.
    pub not_hosted: u64,
    /// Runs given up because they took too long; begun again, or parked.
    pub overran: u64,
    /// Work items that could not be read, or whose activity kills workers or never returns.
    pub parked: u64,
}

impl Counters {
    /// Reads every counter.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            completed: read(&self.completed),
            failed: read(&self.failed),
            not_hosted: read(&self.not_hosted),
            overran: read(&self.overran),
            parked: read(&self.parked),
        }
    }
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
