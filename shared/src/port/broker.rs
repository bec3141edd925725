//! Owns the door to the broker: messages out with a confirm each, messages in with an ack each.
//! Never promises order, and never delivers only once: whoever reads must notice copies.

use std::sync::Arc;

use async_trait::async_trait;

use crate::id::{Epoch, PartitionId, QueueName};
use crate::message::{Destination, Incoming, Publication};

use super::insight::{BrokerCondition, Depth};

/// Distributes work: durable queues, at-least-once, no order.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes messages and waits until the broker answered for each; results stand in the order of the batch.
    ///
    /// `Ok` for a message MUST mean that it is in a durable queue, as safely as the hub's queue type says. A
    /// message MUST NOT be reported as `Ok` when it could not be routed. Publishing a copy is always harmless.
    ///
    /// # Cancel safety
    /// Not: dropping the future leaves the outcome of every message unknown.
    async fn publish(&self, batch: Vec<Publication>) -> Vec<Result<(), PublishError>>;

    /// Starts to receive from a source, at most `prefetch` messages being unacknowledged at once.
    ///
    /// # Errors
    /// [`BrokerError::Missing`] when the queue does not exist; otherwise whatever keeps the broker from serving.
    async fn subscribe(&self, source: Source, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError>;

    /// Makes the queues that orchestrator workers answer for exist: intake, dead, the control queues of all
    /// `partitions`, and these task queues. Idempotent.
    ///
    /// # Errors
    /// [`BrokerError`]; some of the queues may exist afterwards.
    async fn declare(&self, partitions: u16, queues: &[QueueName]) -> Result<(), BrokerError>;

    /// Whether the broker still holds the marker of this epoch. MUST NOT create it. `false` tells that the
    /// broker lost its data since the marker was declared.
    ///
    /// # Errors
    /// [`BrokerError`] when it could not be asked.
    async fn has_epoch(&self, epoch: Epoch) -> Result<bool, BrokerError>;

    /// Leaves the marker of this epoch. Idempotent.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn declare_epoch(&self, epoch: Epoch) -> Result<(), BrokerError>;

    /// Takes the marker of this epoch away, whether or not it is there.
    ///
    /// # Errors
    /// [`BrokerError`].
    async fn withdraw_epoch(&self, epoch: Epoch) -> Result<(), BrokerError>;

    /// How many messages wait in a queue and how many consumers it has; `None` if it does not exist. MUST NOT create
    /// it. Once nothing changes the numbers MUST become the true ones, but for a queue whose messages the backend does not
    /// keep (the dead queue of a hub in one process). Until then they may be behind, and RabbitMQ may answer twice 0 for a
    /// quorum queue that is too busy to be counted in time: one answer of 0 is no proof that nobody consumes.
    ///
    /// # Errors
    /// [`BrokerError`] when the broker could not be asked.
    async fn depth(&self, destination: &Destination) -> Result<Option<Depth>, BrokerError>;

    /// How the way to the broker stands. Never waits and asks nobody, so it may be behind by a moment.
    fn condition(&self) -> BrokerCondition;

    /// A number that changes whenever the broker may have been lost or replaced since it was last read: a new
    /// connection. Loops that see it change check the epoch before they trust the queues.
    fn connection_generation(&self) -> u64;
}

/// What to receive from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// The control queue of a partition.
    Control(PartitionId),
    /// A task queue.
    Work(QueueName),
    /// The intake queue.
    Intake,
}

impl Source {
    /// The destination that feeds this source.
    #[must_use]
    pub fn destination(&self) -> Destination {
        match self {
            Self::Control(partition) => Destination::Control(*partition),
            Self::Work(queue) => Destination::Work(queue.clone()),
            Self::Intake => Destination::Intake,
        }
    }
}

/// Tells one delivery from another within a subscription.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeliveryTag(pub u64);

/// A message handed over, to be acknowledged once it is dealt with.
#[derive(Debug)]
pub struct Delivery {
    /// What to acknowledge.
    pub tag: DeliveryTag,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// The message.
    pub message: Incoming,
}

/// A stream of deliveries.
#[async_trait]
pub trait Subscription: Send {
    /// The next delivery; waits for one.
    ///
    /// # Errors
    /// [`BrokerError`] when the subscription has ended for whatever reason: connection lost, queue deleted,
    /// consumer cancelled. It stays ended; everything unacknowledged will be delivered again to somebody.
    ///
    /// # Cancel safety
    /// Safe: a dropped future loses no delivery.
    async fn next(&mut self) -> Result<Delivery, BrokerError>;

    /// The handle that acknowledges this subscription's deliveries. After the subscription has ended its acks
    /// MUST have no effect, least of all on the deliveries of another subscription.
    fn acker(&self) -> Arc<dyn Acker>;

    /// Ends the subscription: acks given before are sent first, then everything unacknowledged goes back to the
    /// queue at once. MUST return only when no further delivery can be handed out.
    async fn close(self: Box<Self>);
}

/// Acknowledges deliveries. Never blocks; an ack that gets lost makes a redelivery, which is harmless.
pub trait Acker: Send + Sync {
    /// The delivery is dealt with.
    fn ack(&self, tag: DeliveryTag);
}

/// Why the broker does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// It cannot be reached, or the connection broke. Try again with backoff.
    #[error("[LH1401] RabbitMQ is not reachable at {address}: {reason}")]
    Unavailable {
        /// Where it was looked for, without credentials.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The queue does not exist: nobody declared it yet, or the broker lost it.
    #[error("the queue {queue} does not exist: an orchestrator worker of the hub declares it")]
    Missing {
        /// The queue's name.
        queue: String,
    },
    /// It is there, and no safe connection can be agreed on with it: its certificate or ours is not accepted. Try
    /// again with backoff: certificates are renewed.
    #[error("[LH1602] no safe connection to RabbitMQ at {address}: {reason}")]
    Untrusted {
        /// Where it is, without credentials.
        address: String,
        /// What is wrong with which certificate, and what to do.
        reason: String,
    },
    /// The broker refuses for good: credentials, permissions, or a queue declared with other arguments.
    #[error("[LH1401] RabbitMQ at {address} refuses: {reason}")]
    Refused {
        /// Which broker, without credentials.
        address: String,
        /// What it said.
        reason: String,
    },
}

impl BrokerError {
    /// Whether trying again may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// Why a message is not known to be in a queue. It may be there all the same, except where said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No queue of that name exists: the message is nowhere.
    #[error("the message was returned: there is no queue for {destination:?}")]
    Unroutable {
        /// Where it was to go.
        destination: Destination,
    },
    /// The broker refused to take it: the message is nowhere.
    #[error("the broker refused the message")]
    Nacked,
    /// No answer came: the message may be there or not. Publish it again.
    #[error("no confirm came: {reason}")]
    Unknown {
        /// What happened instead.
        reason: String,
    },
}
