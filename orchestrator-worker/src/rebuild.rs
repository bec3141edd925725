//! Owns the answer to a broker that lost its data: everything open in a partition is sent again.
//! Never runs without evidence: only the missing marker of an epoch sets it off.

use std::sync::Arc;

use longhaul_shared::id::{Epoch, LeaseToken, PartitionId};
use longhaul_shared::port::{Acker, DeliveryTag, PageRequest, Ports, StoreError};
use tokio::sync::mpsc;

use crate::counters::Counters;
use crate::dispatch::Event;
use crate::gather::Receipt;

/// How many instances are sent again before the next are read.
const PAGE: usize = 256;

/// Gives every open instance of a partition a turn that sends its open tasks again, then writes down that this
/// epoch is dealt with. If the partition is lost on the way, the next owner begins anew.
///
/// # Errors
/// [`StoreError`]: to be run again.
pub(crate) async fn rebuild(
    ports: &Ports,
    events: &mpsc::Sender<Event>,
    counters: &Counters,
    partition: PartitionId,
    token: &LeaseToken,
    epoch: Epoch,
) -> Result<(), StoreError> {
    let mut cursor = None;
    let mut instances = 0;
    loop {
        let (ids, next) = ports
            .store
            .open_instances(partition, PageRequest { cursor, limit: PAGE })
            .await?;
        instances += ids.len();
        let (settled, mut is_settled) = mpsc::unbounded_channel();
        let acker: Arc<dyn Acker> = Arc::new(Settled(settled));
        let receipts = Receipt::shares(acker, DeliveryTag(1), ids.len());
        let is_empty = ids.is_empty();
        for (instance, receipt) in ids.into_iter().zip(receipts) {
            if events
                .send(Event::Resend {
                    partition,
                    instance,
                    receipt,
                })
                .await
                .is_err()
            {
                return Ok(());
            }
        }
        // The receipts are dropped unsettled when the partition is lost: then nothing is marked.
        if !is_empty && is_settled.recv().await.is_none() {
            return Ok(());
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    if ports.store.mark_rebuilt(partition, token, epoch).await? {
        counters.rebuilt.one();
        tracing::info!(%partition, %epoch, instances, "everything open was sent again");
    }
    Ok(())
}

/// Tells that the last receipt of a page was settled.
struct Settled(mpsc::UnboundedSender<()>);

impl Acker for Settled {
    fn ack(&self, _tag: DeliveryTag) {
        // Nobody listens once the rebuild was stopped.
        let _ = self.0.send(());
    }
}
