//! Owns the broker that measures: what was published and delivered, and which subscriptions are open.
//! Never changes a call on its way to the broker or an answer on its way back.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use longhaul_shared::id::{Epoch, QueueName};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::{
    Acker, Broker, BrokerCondition, BrokerError, Delivery, Depth, PublishError, Runtime, Source, Subscription,
};

use super::consumption::{Consumption, Register};
use super::meter::{BrokerMeter, PublishResult, SourceKind, SubscriptionEnd};

/// A broker that reports to a meter, and knows what is consumed through it.
pub struct MeteredBroker {
    broker: Arc<dyn Broker>,
    runtime: Arc<dyn Runtime>,
    meter: Arc<dyn BrokerMeter>,
    register: Arc<Register>,
}

impl MeteredBroker {
    /// Wraps a broker; times are the runtime's. What is consumed through it, the [`Consumption`] tells.
    #[must_use]
    pub fn new(
        broker: Arc<dyn Broker>,
        runtime: Arc<dyn Runtime>,
        meter: Arc<dyn BrokerMeter>,
    ) -> (Self, Consumption) {
        let (register, consumption) = Register::new();
        let metered = Self {
            broker,
            runtime,
            meter,
            register,
        };
        (metered, consumption)
    }

    fn sign_on(&self, source: Source, subscription: Box<dyn Subscription>) -> MeteredSubscription {
        let kind = SourceKind::from(&source);
        self.register.sign_on(&source);
        self.meter.subscribed(kind);
        MeteredSubscription {
            subscription,
            runtime: Arc::clone(&self.runtime),
            open: Some(Open {
                source,
                kind,
                end: SubscriptionEnd::Closed,
                meter: Arc::clone(&self.meter),
                register: Arc::clone(&self.register),
            }),
        }
    }
}

impl fmt::Debug for MeteredBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeteredBroker").finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for MeteredBroker {
    async fn publish(&self, batch: Vec<Publication>) -> Vec<Result<(), PublishError>> {
        let began = self.runtime.now();
        let results = self.broker.publish(batch).await;
        let took = self.runtime.now().since(began);
        for result in &results {
            self.meter.published(PublishResult::from(result), took);
        }
        results
    }

    async fn subscribe(&self, source: Source, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError> {
        let subscription = self.broker.subscribe(source.clone(), prefetch).await?;
        Ok(Box::new(self.sign_on(source, subscription)))
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

struct MeteredSubscription {
    subscription: Box<dyn Subscription>,
    runtime: Arc<dyn Runtime>,
    /// `None` once it is over.
    open: Option<Open>,
}

/// A subscription that is open. Dropping it says that it is over.
struct Open {
    source: Source,
    kind: SourceKind,
    end: SubscriptionEnd,
    meter: Arc<dyn BrokerMeter>,
    register: Arc<Register>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.register.sign_off(&self.source);
        self.meter.unsubscribed(self.kind, self.end);
    }
}

#[async_trait]
impl Subscription for MeteredSubscription {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        let next = self.subscription.next().await;
        match &next {
            Ok(delivery) => {
                if let Some(open) = &self.open {
                    open.register.delivered(open.kind, self.runtime.now());
                    open.meter.delivered(open.kind, delivery.redelivered);
                }
            }
            Err(_) => {
                if let Some(mut open) = self.open.take() {
                    open.end = SubscriptionEnd::Ended;
                }
            }
        }
        next
    }

    fn acker(&self) -> Arc<dyn Acker> {
        self.subscription.acker()
    }

    async fn close(mut self: Box<Self>) {
        // From here on nothing can be received through it, however long the farewell takes.
        drop(self.open.take());
        self.subscription.close().await;
    }
}
