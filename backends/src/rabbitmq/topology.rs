//! Owns the queues of a hub: their names and arguments, and how they are declared or looked for.
//! Never changes a queue that exists: other arguments need other names.

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use longhaul_shared::id::{Epoch, HubName, PartitionId, QueueName};
use longhaul_shared::message::Destination;
use longhaul_shared::port::{BrokerError, Depth};

use super::connection::Link;
use super::properties::short;
use super::refusal;

/// Deliveries after which a quorum queue drops a message: never, in effect. `-1` means "at the first
/// redelivery" to RabbitMQ 3.10, and absence means 20 to RabbitMQ 4. Poison is counted in the store instead.
const DELIVERY_LIMIT: i32 = 1_000_000;

/// What kind of queues a hub has. Fixed when its first queue is declared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum QueueType {
    /// Replicated and written to disk before a confirm.
    #[default]
    Quorum,
    /// For a single broker: half the latency, and any restart of the broker counts as a loss of its data.
    Classic,
}

impl QueueType {
    /// `quorum` or `classic`, as RabbitMQ and the hub's settings call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
        }
    }

    /// Part of a queue's identity for ever: RabbitMQ keeps what it does not know, and then insists on it.
    fn arguments(self) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(self.as_str().into()));
        if self == Self::Quorum {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
        }
        arguments
    }
}

/// A hub's queues.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    hub: HubName,
    queue_type: QueueType,
}

impl Topology {
    pub(super) fn new(hub: HubName, queue_type: QueueType) -> Self {
        Self { hub, queue_type }
    }

    /// The queue of a destination. The default exchange routes by this name.
    pub(super) fn queue(&self, destination: &Destination) -> String {
        let hub = &self.hub;
        match destination {
            Destination::Control(partition) => format!("lh.{hub}.v1.ctl.{partition}"),
            Destination::Work(queue) => format!("lh.{hub}.v1.act.{queue}"),
            Destination::Intake => format!("lh.{hub}.v1.intake"),
            Destination::Dead => format!("lh.{hub}.v1.dead"),
        }
    }

    /// The queue whose absence tells that the broker lost its data.
    pub(super) fn epoch_queue(&self, epoch: Epoch) -> String {
        format!("lh.{}.v1.epoch.{epoch}", self.hub)
    }

    /// All queues that orchestrator workers answer for.
    pub(super) fn queues(&self, partitions: u16, queues: &[QueueName]) -> Vec<String> {
        let work = queues.iter().cloned().map(Destination::Work);
        [Destination::Intake, Destination::Dead]
            .into_iter()
            .chain(work)
            .chain(PartitionId::all(partitions).map(Destination::Control))
            .map(|destination| self.queue(&destination))
            .collect()
    }

    /// Makes a queue exist. A refusal costs the channel, not the connection.
    pub(super) async fn declare(
        &self,
        link: &Link,
        channel: &Channel,
        queue: &str,
    ) -> Result<(), BrokerError> {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(short(queue), options, self.queue_type.arguments());
        link.rpc("queue.declare", declared)
            .await?
            .map(drop)
            .map_err(|error| refusal::of_queue(link.address(), queue, &error))
    }
}

/// Looks whether a queue exists, without making it, and how it stands. If it does not, the channel is gone.
///
/// # Errors
/// [`BrokerError::Missing`] if it does not exist.
pub(super) async fn look_for(link: &Link, channel: &Channel, queue: &str) -> Result<Depth, BrokerError> {
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let found = channel.queue_declare(short(queue), options, FieldTable::default());
    link.rpc("queue.declare", found)
        .await?
        .map(|queue| Depth {
            ready: u64::from(queue.message_count()),
            consumers: queue.consumer_count(),
        })
        .map_err(|error| refusal::of_queue(link.address(), queue, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_pinned() {
        let topology = Topology::new(HubName::new("shop").unwrap(), QueueType::Quorum);
        let queue = |destination| topology.queue(&destination);
        assert_eq!(queue(Destination::Control(PartitionId(7))), "lh.shop.v1.ctl.007");
        assert_eq!(
            queue(Destination::Work(QueueName::default())),
            "lh.shop.v1.act.default"
        );
        assert_eq!(queue(Destination::Intake), "lh.shop.v1.intake");
        assert_eq!(queue(Destination::Dead), "lh.shop.v1.dead");
        assert_eq!(topology.epoch_queue(Epoch::new(3)), "lh.shop.v1.epoch.3");
    }

    #[test]
    fn the_longest_name_fits_into_amqp() {
        let longest = "x".repeat(longhaul_shared::limits::NAME_BYTES_MAX);
        let topology = Topology::new(HubName::new(&longest).unwrap(), QueueType::Quorum);
        let queue = topology.queue(&Destination::Work(QueueName::new(&longest).unwrap()));
        assert!(queue.len() <= 255);
        assert_eq!(short(&queue).as_str(), queue);
    }

    #[test]
    fn arguments_are_pinned() {
        let names = |queue_type: QueueType| -> Vec<String> {
            let arguments = queue_type.arguments();
            arguments
                .inner()
                .iter()
                .map(|(name, value)| format!("{name}={value:?}"))
                .collect()
        };
        assert_eq!(names(QueueType::Classic).len(), 1);
        assert_eq!(names(QueueType::Quorum).len(), 2);
        let quorum = names(QueueType::Quorum).join(" ");
        assert!(quorum.contains("x-delivery-limit=LongInt(1000000)"), "{quorum}");
    }
}
