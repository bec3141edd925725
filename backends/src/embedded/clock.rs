//! Owns what time it is in an embedded hub: the door to the wall clock, and a reading that never goes back.
//! Never waits: spans are the [`Runtime`]'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use longhaul_shared::port::{Monotonic, Runtime};
use longhaul_shared::time::Timestamp;

/// Tells the date to an embedded hub. It may go back: the store does not follow it.
pub trait Clock: Send + Sync + 'static {
    /// What time it is.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the embedded hub's one door to the date"
    )]
    fn now(&self) -> Timestamp {
        // A clock set before 1970 counts as 1970.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().plus(since_1970)
    }
}

/// A date that runs with a [`Runtime`]'s clock, so that a simulation owns both.
pub struct RuntimeClock {
    runtime: Arc<dyn Runtime>,
    made: Monotonic,
    start: Timestamp,
}

impl RuntimeClock {
    /// The clock that shows `start` now.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>, start: Timestamp) -> Self {
        let made = runtime.now();
        Self { runtime, made, start }
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        self.start.plus(self.runtime.now().since(self.made))
    }
}

/// Hub time: a clock that is held where it was whenever the one behind it goes back.
pub(super) struct HubClock {
    clock: Arc<dyn Clock>,
    newest_micros: AtomicI64,
}

impl HubClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            newest_micros: AtomicI64::new(i64::MIN),
        }
    }

    /// Never shows less than `seen` from now on.
    pub(super) fn not_before(&self, seen: Timestamp) {
        self.newest_micros.fetch_max(seen.micros(), Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> Timestamp {
        let read = self.clock.now().micros();
        let newest = self.newest_micros.fetch_max(read, Ordering::SeqCst);
        Timestamp::from_micros(read.max(newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_time_stands_still_while_the_clock_is_behind() {
        struct Scripted(AtomicI64);
        impl Clock for Scripted {
            fn now(&self) -> Timestamp {
                Timestamp::from_micros(self.0.load(Ordering::SeqCst))
            }
        }
        let scripted = Arc::new(Scripted(AtomicI64::new(100)));
        let clock = HubClock::new(Arc::clone(&scripted) as Arc<dyn Clock>);
        let mut seen = Vec::new();
        for micros in [100, 90, 110, 105] {
            scripted.0.store(micros, Ordering::SeqCst);
            seen.push(clock.now().micros());
        }
        clock.not_before(Timestamp::from_micros(200));
        seen.push(clock.now().micros());
        assert_eq!(seen, [100, 100, 110, 110, 200]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_runs_with_its_runtime() {
        let runtime: Arc<dyn Runtime> = Arc::new(crate::runtime::TokioRuntime::current());
        let start = Timestamp::from_micros(1_000_000);
        let clock = RuntimeClock::new(Arc::clone(&runtime), start);
        assert_eq!(clock.now(), start);
        let hour = std::time::Duration::from_secs(3_600);
        runtime.sleep(hour).await;
        assert!(clock.now().since(start) >= hour);
    }
}
