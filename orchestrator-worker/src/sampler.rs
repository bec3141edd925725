//! Owns the look, every few seconds, at what no loop sees as it happens: how the owned partitions stand in the store,
//! who owns the others, and how deep the queues are.
//! Never changes anything, and never holds up a loop: what cannot be asked now is asked the next time.

use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::id::{PartitionId, QueueName};
use longhaul_shared::message::Destination;
use longhaul_shared::port::{BrokerError, HeldLease, PageRequest, Ports, StoreError};
use tokio::sync::watch;

use crate::metrics::{Metrics, QueueLook, Stand};
use crate::relay::Relay;

/// What a sampler looks at, and how often.
pub(crate) struct Sampler {
    pub(crate) ports: Ports,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) relay: Relay,
    /// What this worker owns now.
    pub(crate) owned: watch::Receiver<Vec<PartitionId>>,
    /// How many partitions the hub has.
    pub(crate) partitions: u16,
    pub(crate) every: Duration,
    /// From which age on an instance of the ready set is overdue.
    pub(crate) overdue: Duration,
}

impl Sampler {
    /// Looks until it is dropped.
    pub(crate) async fn run(self) {
        let mut was_first = false;
        loop {
            let owned = self.owned.borrow().clone();
            if let Err(error) = self.look_at_partitions(&owned).await {
                tracing::debug!(%error, "the store could not be asked how the partitions stand");
            }
            self.look_at_relay().await;
            // What belongs to the hub as a whole is shown once: by whoever owns the first partition.
            let is_first = owned.contains(&PartitionId(0));
            if is_first {
                self.look_at_hub().await;
            } else if was_first {
                self.metrics.leaves_hub_to_others();
            }
            was_first = is_first;
            self.ports.runtime.sleep(self.every).await;
        }
    }

    async fn look_at_partitions(&self, owned: &[PartitionId]) -> Result<(), StoreError> {
        let store = &self.ports.store;
        let mut stand = Stand::default();
        for census in store.census(owned.to_vec(), self.overdue).await? {
            stand.add(&census);
        }
        self.metrics.partitions_stand(&stand);
        let leases = store.leases(PartitionId::all(self.partitions).collect()).await?;
        let is_held = |lease: &&HeldLease| !lease.expires_in.is_zero();
        let held = leases.iter().flatten().filter(is_held).count();
        self.metrics.partitions_unowned(leases.len().saturating_sub(held));
        Ok(())
    }

    async fn look_at_relay(&self) {
        let oldest = self.relay.oldest().await;
        let age = oldest.map(|since| self.ports.runtime.now().since(since));
        self.metrics.outbox_oldest(age.unwrap_or_default());
    }

    async fn look_at_hub(&self) {
        let page = PageRequest {
            cursor: None,
            limit: 1,
        };
        match self.ports.store.parked(page).await {
            Ok(page) => self.metrics.parked_total(page.total),
            Err(error) => tracing::debug!(%error, "the store could not be asked what is parked"),
        }
        match self.ports.store.pulse().await {
            Ok(pulse) => {
                if let Err(error) = self.look_at_queues(pulse.queues).await {
                    tracing::debug!(%error, "RabbitMQ could not be asked how deep the queues are");
                }
            }
            Err(error) => tracing::debug!(%error, "the store could not be asked which queues there are"),
        }
        match self.ports.store.condition().await {
            Ok(condition) => self.metrics.store_is(&condition),
            Err(error) => tracing::debug!(%error, "the store could not be asked how it fares"),
        }
    }

    async fn look_at_queues(&self, used: Vec<QueueName>) -> Result<(), BrokerError> {
        let works = std::iter::once(QueueName::default())
            .chain(used)
            .map(Destination::Work);
        for destination in [Destination::Intake, Destination::Dead].into_iter().chain(works) {
            let depth = self.ports.broker.depth(&destination).await?;
            let depth = depth.unwrap_or_default();
            self.metrics.queue(&QueueLook {
                destination: &destination,
                ready: depth.ready,
                consumers: depth.consumers,
            });
        }
        Ok(())
    }
}
