//! Owns the worker's idea of hub time: the store's clock, asked now and then and carried forward on the local one.
//! Never decides anything: it only measures how long work items waited.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use longhaul_shared::port::{Ports, Runtime};
use longhaul_shared::time::Timestamp;

/// An estimate of hub time, as good as the last answer.
pub(crate) struct HubClock {
    runtime: Arc<dyn Runtime>,
    /// Hub time minus monotonic time, in microseconds; [`i64::MIN`] before the first answer.
    offset_micros: Arc<AtomicI64>,
}

impl HubClock {
    /// A clock and the loop that sets it, to be run as a task. Clocks drift by far less than a millisecond in a minute.
    pub(crate) fn new(
        ports: &Ports,
        ask_every: Duration,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let offset_micros = Arc::new(AtomicI64::new(i64::MIN));
        let clock = Self {
            runtime: Arc::clone(&ports.runtime),
            offset_micros: Arc::clone(&offset_micros),
        };
        (clock, keep(ports.clone(), offset_micros, ask_every))
    }

    /// What the store's clock shows now, about; `None` as long as it never answered.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        let offset = self.offset_micros.load(Ordering::Relaxed);
        let is_set = offset != i64::MIN;
        is_set.then(|| Timestamp::from_micros(offset.saturating_add(monotonic_micros(&*self.runtime))))
    }
}

async fn keep(ports: Ports, offset_micros: Arc<AtomicI64>, ask_every: Duration) {
    loop {
        match ports.store.time().await {
            Ok(now) => {
                let offset = now.micros().saturating_sub(monotonic_micros(&*ports.runtime));
                offset_micros.store(offset, Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(%error, "the store could not be asked for its time"),
        }
        ports.runtime.sleep(ask_every).await;
    }
}

fn monotonic_micros(runtime: &dyn Runtime) -> i64 {
    i64::try_from(runtime.now().0.as_micros()).unwrap_or(i64::MAX)
}
