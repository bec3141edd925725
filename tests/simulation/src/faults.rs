//! Owns the count of everything that went wrong so far: what promises allow is measured against it.
//! Never makes anything go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many faults there were. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct FaultCount(Arc<AtomicU64>);

impl FaultCount {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
