//! Owns the answer to a loss, the broker's or the store's: everything open in a partition is sent again.
//! Never runs without evidence: only another era sets it off.
//!
//! No task is sent twice by it: one whose work item still waits in the outbox is left to the relay, and an
//! instance sends its open tasks again at most once a rebuild, in its first turn, before it takes new steps.

use std::sync::Arc;

use longhaul_shared::id::{InstanceId, LeaseToken, PartitionId};
use longhaul_shared::port::{Acker, DeliveryTag, Era, PageRequest, Ports, StoreError};
use tokio::sync::mpsc;

use crate::counters::Counters;
use crate::dispatch::Event;
use crate::gather::Receipt;

/// How many instances are sent again before the next are read.
const PAGE: usize = 256;

/// A partition whose lost work is to be sent again.
pub(crate) struct Rebuild {
    pub(crate) ports: Ports,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) partition: PartitionId,
    pub(crate) token: LeaseToken,
    pub(crate) era: Era,
}

impl Rebuild {
    /// Has every open instance of the partition looked at, since each sends its open tasks again in its next turn
    /// ([`Event::Rebuilding`] has said so); then writes down that this era is dealt with. If the partition is
    /// lost on the way, the next owner begins anew.
    ///
    /// # Errors
    /// [`StoreError`]: to be run again.
    pub(crate) async fn run(&self) -> Result<(), StoreError> {
        let partition = self.partition;
        let mut cursor = None;
        let mut instances = 0;
        loop {
            let request = PageRequest { cursor, limit: PAGE };
            let (ids, next) = self.ports.store.open_instances(partition, request).await?;
            instances += ids.len();
            if !self.send_again(ids).await {
                return Ok(());
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        if self
            .ports
            .store
            .mark_rebuilt(partition, &self.token, &self.era)
            .await?
        {
            self.counters.rebuilt.one();
            tracing::debug!(%partition, epoch = %self.era.epoch, instances, "everything open was sent again");
        }
        let _ = self.events.send(Event::Rebuilt { partition }).await;
        Ok(())
    }

    /// Gives each instance a turn and waits until all of them are committed; `false` if the partition is lost.
    async fn send_again(&self, ids: Vec<InstanceId>) -> bool {
        if ids.is_empty() {
            return true;
        }
        let (settled, mut is_settled) = mpsc::unbounded_channel();
        let acker: Arc<dyn Acker> = Arc::new(Settled(settled));
        let receipts = Receipt::shares(acker, DeliveryTag(1), ids.len());
        for (instance, receipt) in ids.into_iter().zip(receipts) {
            let event = Event::Resend {
                partition: self.partition,
                instance,
                receipt,
            };
            if self.events.send(event).await.is_err() {
                return false;
            }
        }
        // The receipts are dropped unsettled when the partition is lost.
        is_settled.recv().await.is_some()
    }
}

/// Tells that the last receipt of a page was settled.
struct Settled(mpsc::UnboundedSender<()>);

impl Acker for Settled {
    fn ack(&self, _tag: DeliveryTag) {
        // Nobody listens once the rebuild was stopped.
        let _ = self.0.send(());
    }
}
