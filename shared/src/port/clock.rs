//! Owns a worker's idea of hub time: the store's clock, carried forward on the local monotonic one.
//! Never decides that a timer is due: the store does, by its own clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::runtime::Runtime;
use crate::time::Timestamp;

/// An estimate of hub time, as good as the last sample. Cheap to share.
pub struct HubClock {
    runtime: Arc<dyn Runtime>,
    /// Hub time minus monotonic time, in microseconds, at the last sample.
    offset_micros: AtomicI64,
}

impl fmt::Debug for HubClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubClock").finish_non_exhaustive()
    }
}

impl HubClock {
    /// A clock set by its first sample.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>, sample: Timestamp) -> Self {
        let clock = Self {
            runtime,
            offset_micros: AtomicI64::new(0),
        };
        clock.set(sample);
        clock
    }

    /// Sets the clock by an answer of the store that has just arrived.
    pub fn set(&self, sample: Timestamp) {
        self.offset_micros.store(
            sample.micros().saturating_sub(self.monotonic_micros()),
            Ordering::Relaxed,
        );
    }

    /// What the store's clock shows now, about.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let offset = self.offset_micros.load(Ordering::Relaxed);
        Timestamp::from_micros(offset.saturating_add(self.monotonic_micros()))
    }

    fn monotonic_micros(&self) -> i64 {
        i64::try_from(self.runtime.now().0.as_micros()).unwrap_or(i64::MAX)
    }
}
