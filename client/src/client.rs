//! Owns the client itself: the ports, the hub they belong to, and the wake-up that every change ends with.
//! Never spawns a task: what a call begins ends with it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::codec;
use longhaul_shared::id::{HubName, InstanceId, PartitionId};
use longhaul_shared::limits;
use longhaul_shared::port::{HubSettings, Monotonic, Ports, StoreError, within};
use longhaul_shared::time::Timestamp;

/// How long a call waits for the broker to confirm a wake-up. The workers find the instance without it within
/// seconds, so there is no point in waiting longer.
const WAKE_WITHIN: Duration = Duration::from_secs(2);

/// The door to a hub for those who start, watch and control orchestrations. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    ports: Ports,
    hub: HubName,
    partitions: u16,
    /// The store's clock when the client was made, and this process's at the same moment.
    since: (Timestamp, Monotonic),
}

impl Client {
    /// A client of the hub that the ports lead to. A hub that does not exist yet is made, with the default number
    /// of partitions.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be reached, or its hub is outside the range this program reads.
    pub async fn new(ports: Ports, hub: HubName) -> Result<Self, StoreError> {
        let settings = HubSettings {
            partitions: limits::PARTITIONS_DEFAULT,
        };
        Self::with_hub_settings(ports, hub, settings).await
    }

    /// As [`Self::new`], but a hub that does not exist yet is made with these settings: for programs that are told
    /// the same as the hub's workers.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn with_hub_settings(
        ports: Ports,
        hub: HubName,
        settings: HubSettings,
    ) -> Result<Self, StoreError> {
        let info = ports.store.open_hub(settings).await?;
        let since = (ports.store.time().await?, ports.runtime.now());
        Ok(Self {
            inner: Arc::new(Inner {
                ports,
                hub,
                partitions: info.partitions,
                since,
            }),
        })
    }

    /// The hub's name.
    #[must_use]
    pub fn hub(&self) -> &HubName {
        &self.inner.hub
    }

    /// What the store's clock shows: the only one that decides anything for the whole hub.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn time(&self) -> Result<Timestamp, StoreError> {
        self.inner.ports.store.time().await
    }

    /// How many partitions the hub has.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.inner.partitions
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.inner.ports
    }

    /// About what the store's clock shows, without asking it: good enough to date a message.
    pub(crate) fn about_now(&self) -> Timestamp {
        let (then, reading) = self.inner.since;
        then.plus(self.inner.ports.runtime.now().since(reading))
    }

    /// Tells the owner of an instance that something is new there. It need not arrive: the owner also looks by
    /// itself, only later.
    pub(crate) async fn wake(&self, instance: &InstanceId) {
        let ports = self.ports();
        let partition = PartitionId::of(instance, self.inner.partitions);
        let message = codec::wake_message(partition, instance.clone(), self.about_now());
        let published = ports.broker.publish(vec![message]);
        match within(&ports.runtime, WAKE_WITHIN, published).await {
            Ok(outcomes) => {
                if let Some(Err(error)) = outcomes.into_iter().next() {
                    tracing::debug!(instance_id = %instance, %error, "a wake-up was not sent; the owner finds the instance by itself");
                }
            }
            Err(elapsed) => {
                tracing::debug!(instance_id = %instance, %elapsed, "a wake-up was not confirmed; the owner finds the instance by itself");
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("hub", &self.inner.hub)
            .field("partitions", &self.inner.partitions)
            .finish_non_exhaustive()
    }
}
