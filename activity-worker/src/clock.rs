//! Owns how an activity worker comes to know hub time: it asks the store now and then.
//! Never decides anything by it: it only measures how long work items waited.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use longhaul_shared::port::{HubClock, Ports};
use longhaul_shared::time::Timestamp;

/// Hub time, as good as the store's last answer. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct AskedClock(Arc<OnceLock<HubClock>>);

impl AskedClock {
    /// What the store's clock shows now, about; `None` as long as it never answered.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.0.get().map(HubClock::now)
    }

    /// Asks for as long as it is polled. Clocks drift by far less than a millisecond in a minute.
    pub(crate) async fn keep(self, ports: Ports, ask_every: Duration) {
        loop {
            match ports.store.time().await {
                Ok(now) => self
                    .0
                    .get_or_init(|| HubClock::new(Arc::clone(&ports.runtime), now))
                    .set(now),
                Err(error) => tracing::debug!(%error, "the store could not be asked for its time"),
            }
            ports.runtime.sleep(ask_every).await;
        }
    }
}
