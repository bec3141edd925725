//! Owns the answer to a loss, the broker's or the store's: everything open in a partition is sent again.
//! Never runs without evidence: only another era sets it off.
//!
//! No task is sent twice by it: one whose work item still waits in the outbox is left to the relay, and an
//! instance sends its open tasks again at most once a rebuild, in its first turn, before it takes new steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::id::{InstanceId, LeaseToken, PartitionId};
use longhaul_shared::port::{Acker, DeliveryTag, Era, PageRequest, Ports, Receipt, StoreError};
use tokio::sync::mpsc;

use crate::dispatch::Event;
use crate::metrics::Metrics;

/// How many instances are sent again before the next are read.
const PAGE: usize = 256;
/// How long an instance that could not be sent again rests before it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A partition whose lost work is to be sent again.
pub(crate) struct Rebuild {
    pub(crate) ports: Ports,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) partition: PartitionId,
    pub(crate) token: LeaseToken,
    pub(crate) era: Era,
}

impl Rebuild {
    /// Has every open instance of the partition looked at, since each sends its open tasks again in its next turn
    /// ([`Event::Rebuilding`] has said so); then writes down that this era is dealt with. One that cannot be read
    /// now keeps none of the others waiting, and the era open. If the partition is lost on the way, the next owner
    /// begins anew; whoever lost it stops this.
    ///
    /// # Errors
    /// [`StoreError`]: to be run again.
    pub(crate) async fn run(&self) -> Result<(), StoreError> {
        let partition = self.partition;
        let mut cursor = None;
        let mut instances = 0;
        let mut unsettled = BTreeSet::new();
        loop {
            let request = PageRequest { cursor, limit: PAGE };
            let (ids, next) = self.ports.store.open_instances(partition, request).await?;
            instances += ids.len();
            unsettled.extend(self.send_again(ids).await);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        while !unsettled.is_empty() {
            tracing::debug!(%partition, instances = unsettled.len(), "not sent again yet; tried again in {AGAIN_AFTER:?}");
            self.ports.runtime.sleep(AGAIN_AFTER).await;
            unsettled = self.send_again(unsettled).await;
        }
        if self
            .ports
            .store
            .mark_rebuilt(partition, &self.token, &self.era)
            .await?
        {
            self.metrics.rebuilt();
            tracing::debug!(%partition, epoch = %self.era.epoch, instances, "everything open was sent again");
        }
        let _ = self.events.send(Event::Rebuilt { partition }).await;
        Ok(())
    }

    /// Gives each instance a turn and waits until all of them are over; which of them came to no good end, because
    /// the instance cannot be read now, or the partition is lost.
    async fn send_again(&self, ids: impl IntoIterator<Item = InstanceId>) -> BTreeSet<InstanceId> {
        let (settled, mut is_settled) = mpsc::unbounded_channel();
        let acker: Arc<dyn Acker> = Arc::new(Settled(settled));
        let mut left = BTreeMap::new();
        for (instance, number) in ids.into_iter().zip(1..) {
            let tag = DeliveryTag(number);
            left.insert(tag, instance.clone());
            let event = Event::Resend {
                partition: self.partition,
                instance,
                receipt: Receipt::whole(Arc::clone(&acker), tag),
            };
            // A receipt that nobody takes is not settled.
            let _ = self.events.send(event).await;
        }
        // From here on the receipts alone keep the channel open.
        drop(acker);
        while let Some(tag) = is_settled.recv().await {
            left.remove(&tag);
        }
        left.into_values().collect()
    }
}

/// Tells that a receipt was settled.
struct Settled(mpsc::UnboundedSender<DeliveryTag>);

impl Acker for Settled {
    fn ack(&self, tag: DeliveryTag) {
        // Nobody listens once the rebuild was stopped.
        let _ = self.0.send(tag);
    }
}
