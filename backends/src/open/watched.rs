//! Owns the knowledge of what a program consumes: a program is ready once it does, not once it lives.
//! Never changes a call on its way to the broker.

use std::sync::Arc;

use async_trait::async_trait;
use longhaul_shared::id::{Epoch, QueueName};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::{
    Broker, BrokerCondition, BrokerError, Depth, PublishError, Source, Subscription,
};
use tokio::sync::watch;

/// A broker that remembers which sources have been subscribed to.
pub(super) struct Watched {
    broker: Arc<dyn Broker>,
    consumed: watch::Sender<Vec<Source>>,
}

impl Watched {
    pub(super) fn new(broker: Arc<dyn Broker>) -> (Self, Consumed) {
        let (consumed, seen) = watch::channel(Vec::new());
        (Self { broker, consumed }, Consumed(seen))
    }
}

/// Tells what has been subscribed to.
#[derive(Clone)]
pub(super) struct Consumed(watch::Receiver<Vec<Source>>);

impl Consumed {
    /// Waits until each of these has been subscribed to at least once; for ever if the broker is dropped before.
    pub(super) async fn all(mut self, sources: &[Source]) {
        let is_all = |consumed: &Vec<Source>| sources.iter().all(|source| consumed.contains(source));
        if self.0.wait_for(is_all).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Broker for Watched {
    async fn publish(&self, batch: Vec<Publication>) -> Vec<Result<(), PublishError>> {
        self.broker.publish(batch).await
    }

    async fn subscribe(&self, source: Source, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError> {
        let subscription = self.broker.subscribe(source.clone(), prefetch).await?;
        self.consumed.send_if_modified(|consumed| {
            let is_new = !consumed.contains(&source);
            if is_new {
                consumed.push(source);
            }
            is_new
        });
        Ok(subscription)
    }

    async fn declare(&self, partitions: u16, queues: &[QueueName]) -> Result<(), BrokerError> {
        self.broker.declare(partitions, queues).await
    }

    async fn has_epoch(&self, epoch: Epoch) -> Result<bool, BrokerError> {
        self.broker.has_epoch(epoch).await
    }

    async fn declare_epoch(&self, epoch: Epoch) -> Result<(), BrokerError> {
        self.broker.declare_epoch(epoch).await
    }

    async fn withdraw_epoch(&self, epoch: Epoch) -> Result<(), BrokerError> {
        self.broker.withdraw_epoch(epoch).await
    }

    async fn depth(&self, destination: &Destination) -> Result<Option<Depth>, BrokerError> {
        self.broker.depth(destination).await
    }

    fn condition(&self) -> BrokerCondition {
        self.broker.condition()
    }

    fn connection_generation(&self) -> u64 {
        self.broker.connection_generation()
    }
}
