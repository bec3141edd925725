//! Owns the distribution of work within one process: queues in memory, handed out with acknowledgements.
//! Never outlives the process: after a restart it is a broker that lost its data, and the hosts rebuild from
//! the store as they do after the loss of RabbitMQ.
//!
//! A work queue comes to be when it is declared or first published to; control, intake and dead queues when
//! they are declared. Subscribing makes none, as with RabbitMQ.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use longhaul_shared::id::{Epoch, PartitionId, QueueName};
use longhaul_shared::message::{Destination, Incoming, Publication};
use longhaul_shared::port::{
    Acker, Broker, BrokerCondition, BrokerError, Delivery, DeliveryTag, Depth, PublishError, Source,
    Subscription,
};
use tokio::sync::Notify;

/// The broker of one process. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct EmbeddedBroker {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<Destination, Queue>,
    epochs: BTreeSet<Epoch>,
    consumers: BTreeMap<ConsumerId, Consumer>,
    consumers_ever: u64,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Queued>,
    consumers: BTreeSet<ConsumerId>,
}

#[derive(Clone)]
struct Queued {
    message: Incoming,
    redelivered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ConsumerId(u64);

struct Consumer {
    queue: Destination,
    prefetch: usize,
    unacked: BTreeMap<DeliveryTag, Queued>,
    delivered_ever: u64,
    /// Rung when there may be something to receive.
    bell: Arc<Notify>,
}

impl EmbeddedBroker {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn publish(&mut self, publication: Publication) -> Result<(), PublishError> {
        let destination = publication.destination.clone();
        let queue = match &destination {
            Destination::Work(_) => self.queues.entry(destination.clone()).or_default(),
            _ => self
                .queues
                .get_mut(&destination)
                .ok_or(PublishError::Unroutable {
                    destination: destination.clone(),
                })?,
        };
        // Nothing in this process can read the copies of what was parked, so none are kept.
        if destination != Destination::Dead {
            queue.messages.push_back(Queued {
                message: publication.into(),
                redelivered: false,
            });
            self.ring(&destination);
        }
        Ok(())
    }

    fn subscribe(&mut self, queue: Destination, prefetch: u16) -> Option<(ConsumerId, Arc<Notify>)> {
        let consumers = &mut self.queues.get_mut(&queue)?.consumers;
        let id = ConsumerId(self.consumers_ever);
        self.consumers_ever += 1;
        consumers.insert(id);
        let bell = Arc::new(Notify::new());
        let consumer = Consumer {
            queue,
            prefetch: usize::from(prefetch.max(1)),
            unacked: BTreeMap::new(),
            delivered_ever: 0,
            bell: Arc::clone(&bell),
        };
        self.consumers.insert(id, consumer);
        Some((id, bell))
    }

    /// Hands out the first message of the consumer's queue, if there is one and it may have one more.
    fn deliver(&mut self, id: ConsumerId) -> Option<Delivery> {
        let consumer = self.consumers.get_mut(&id)?;
        if consumer.unacked.len() >= consumer.prefetch {
            return None;
        }
        let queued = self.queues.get_mut(&consumer.queue)?.messages.pop_front()?;
        consumer.delivered_ever += 1;
        let tag = DeliveryTag(consumer.delivered_ever);
        consumer.unacked.insert(tag, queued.clone());
        Some(Delivery {
            tag,
            redelivered: queued.redelivered,
            message: queued.message,
        })
    }

    fn ack(&mut self, id: ConsumerId, tag: DeliveryTag) {
        if let Some(consumer) = self.consumers.get_mut(&id)
            && consumer.unacked.remove(&tag).is_some()
        {
            consumer.bell.notify_one();
        }
    }

    /// Ends a consumer; what it did not acknowledge stands first in its queue again, in the old order.
    fn cancel(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.remove(&id) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&consumer.queue) {
            queue.consumers.remove(&id);
            for (_tag, mut queued) in consumer.unacked.into_iter().rev() {
                queued.redelivered = true;
                queue.messages.push_front(queued);
            }
        }
        self.ring(&consumer.queue);
    }

    /// Wakes everybody who could receive from a queue. Whoever finds it empty waits again.
    fn ring(&self, queue: &Destination) {
        let listening = self
            .queues
            .get(queue)
            .into_iter()
            .flat_map(|queue| &queue.consumers);
        for consumer in listening.filter_map(|id| self.consumers.get(id)) {
            consumer.bell.notify_one();
        }
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn publish(&self, batch: Vec<Publication>) -> Vec<Result<(), PublishError>> {
        let mut state = self.lock();
        batch
            .into_iter()
            .map(|publication| state.publish(publication))
            .collect()
    }

    async fn subscribe(&self, source: Source, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError> {
        let queue = source.destination();
        let subscribed = self.lock().subscribe(queue, prefetch);
        let (id, bell) = subscribed.ok_or_else(|| BrokerError::Missing {
            queue: format!("{source:?}"),
        })?;
        Ok(Box::new(EmbeddedSubscription {
            tap: Arc::new(Tap {
                broker: self.clone(),
                id,
            }),
            bell,
        }))
    }

    async fn declare(&self, partitions: u16, queues: &[QueueName]) -> Result<(), BrokerError> {
        let controls = PartitionId::all(partitions).map(Destination::Control);
        let works = queues.iter().cloned().map(Destination::Work);
        let mut state = self.lock();
        for destination in [Destination::Intake, Destination::Dead]
            .into_iter()
            .chain(controls)
            .chain(works)
        {
            state.queues.entry(destination).or_default();
        }
        Ok(())
    }

    async fn has_epoch(&self, epoch: Epoch) -> Result<bool, BrokerError> {
        Ok(self.lock().epochs.contains(&epoch))
    }

    async fn declare_epoch(&self, epoch: Epoch) -> Result<(), BrokerError> {
        self.lock().epochs.insert(epoch);
        Ok(())
    }

    async fn withdraw_epoch(&self, epoch: Epoch) -> Result<(), BrokerError> {
        self.lock().epochs.remove(&epoch);
        Ok(())
    }

    async fn depth(&self, destination: &Destination) -> Result<Option<Depth>, BrokerError> {
        let state = self.lock();
        let queue = state.queues.get(destination);
        Ok(queue.map(|queue| Depth {
            ready: queue.messages.len() as u64,
            consumers: u32::try_from(queue.consumers.len()).unwrap_or(u32::MAX),
        }))
    }

    fn condition(&self) -> BrokerCondition {
        BrokerCondition {
            kind: "embedded",
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            is_connected: true,
            is_blocked: false,
            unconfirmed: 0,
        }
    }

    fn connection_generation(&self) -> u64 {
        // It lives and dies with this process.
        0
    }
}

struct EmbeddedSubscription {
    tap: Arc<Tap>,
    bell: Arc<Notify>,
}

/// One consumer's way to the queues.
struct Tap {
    broker: EmbeddedBroker,
    id: ConsumerId,
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        loop {
            // A ring before the wait is kept by the bell, so none is missed between look and wait.
            let delivered = self.tap.broker.lock().deliver(self.tap.id);
            match delivered {
                Some(delivery) => return Ok(delivery),
                None => self.bell.notified().await,
            }
        }
    }

    fn acker(&self) -> Arc<dyn Acker> {
        Arc::clone(&self.tap) as Arc<dyn Acker>
    }

    async fn close(self: Box<Self>) {}
}

impl Drop for EmbeddedSubscription {
    fn drop(&mut self) {
        self.tap.broker.lock().cancel(self.tap.id);
    }
}

impl Acker for Tap {
    fn ack(&self, tag: DeliveryTag) {
        self.broker.lock().ack(self.id, tag);
    }
}
