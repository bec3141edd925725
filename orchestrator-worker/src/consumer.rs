//! Owns the subscription to a partition's control queue: subscribing again whenever it ends, closing it in order.
//! Never looks into a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use longhaul_shared::id::PartitionId;
use longhaul_shared::message::Destination;
use longhaul_shared::port::{BrokerError, Delays, Ports, Source, Subscription};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Event;
use crate::era::Missing;

/// Delays between attempts to subscribe.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Receives the control messages of a partition, subscribing again whenever that ends.
pub(crate) struct Consumer {
    pub(crate) ports: Ports,
    pub(crate) partition: PartitionId,
    pub(crate) prefetch: u16,
    pub(crate) events: mpsc::Sender<Event>,
    /// Whether it consumes now.
    pub(crate) consuming: Arc<AtomicBool>,
    /// Told when the queue is not there: it was declared before anybody could own the partition.
    pub(crate) missing: Missing,
    pub(crate) stop: CancellationToken,
}

impl Consumer {
    /// Receives until told to stop.
    pub(crate) async fn run(self) {
        let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
        while !self.stop.is_cancelled() {
            let subscribe = std::pin::pin!(
                self.ports
                    .broker
                    .subscribe(Source::Control(self.partition), self.prefetch)
            );
            let cancelled = std::pin::pin!(self.stop.cancelled());
            let subscribed = match select(subscribe, cancelled).await {
                Either::Left((subscribed, _)) => subscribed,
                Either::Right(((), _)) => return,
            };
            let error = match subscribed {
                Ok(subscription) => {
                    delays.reset();
                    self.consuming.store(true, Ordering::Relaxed);
                    let error = self.receive(subscription).await;
                    self.consuming.store(false, Ordering::Relaxed);
                    error
                }
                Err(error) => Some(error),
            };
            if let Some(BrokerError::Missing { .. }) = &error {
                self.missing.tell(Destination::Control(self.partition));
            }
            if let Some(error) = error {
                let delay = delays.next_delay();
                tracing::warn!(partition = %self.partition, %error, "control messages do not come; tried again in {delay:?}");
                let sleep = self.ports.runtime.sleep(delay);
                select(sleep, std::pin::pin!(self.stop.cancelled())).await;
            }
        }
    }

    /// Receives until told to stop (`None`) or until the subscription ends.
    async fn receive(&self, mut subscription: Box<dyn Subscription>) -> Option<BrokerError> {
        let acker = subscription.acker();
        loop {
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    subscription.close().await;
                    return None;
                }
                received = subscription.next() => received,
            };
            match received {
                Ok(delivery) => {
                    let event = Event::Delivered {
                        partition: self.partition,
                        delivery,
                        acker: Arc::clone(&acker),
                    };
                    if self.events.send(event).await.is_err() {
                        return None;
                    }
                }
                Err(error) => return Some(error),
            }
        }
    }
}
