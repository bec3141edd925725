//! Owns the hub on which the broker's guarantees are tested, and the steps that most tests take on it.
//! Never asserts a guarantee of its own: each is a file below. Order is never expected.

pub mod consume;
pub mod depth;
pub mod epoch;
pub mod publish;
pub mod redelivery;
pub mod routing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::id::{PartitionId, QueueName};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::{Broker, Delivery, Runtime, Source, Subscription, within};
use longhaul_shared::time::Timestamp;

use super::tasks::soon;
use super::{BrokerSubject, sample};

/// How many partitions the tests' hub has.
const PARTITIONS: u16 = 4;

/// A partition that the tests' hub does not have.
const BEYOND: PartitionId = PartitionId(400);

/// How long a test looks for something that must not come.
const QUIET: Duration = Duration::from_millis(300);

/// A broker with the queues of a fresh hub in it.
pub struct BrokerHub {
    broker: Arc<dyn Broker>,
    runtime: Arc<dyn Runtime>,
    _subject: BrokerSubject,
}

impl BrokerHub {
    /// Declares the hub's queues: intake, dead, four control queues, and the task queues `default` and `gpu`.
    pub async fn new(subject: BrokerSubject) -> Self {
        let queues = [QueueName::default(), sample::queue("gpu")];
        subject
            .port
            .declare(PARTITIONS, &queues)
            .await
            .expect("a fresh hub's queues are declared");
        Self {
            broker: Arc::clone(&subject.port),
            runtime: Arc::clone(&subject.runtime),
            _subject: subject,
        }
    }

    /// Publishes numbered messages, all of which must arrive.
    async fn publish(&self, destination: &Destination, numbers: impl IntoIterator<Item = u64>) {
        let batch: Vec<_> = numbers
            .into_iter()
            .map(|number| message(destination, number))
            .collect();
        let count = batch.len();
        let answers = soon(&self.runtime, "the broker confirms", self.broker.publish(batch)).await;
        assert_eq!(answers, vec![Ok(()); count], "to {destination:?}");
    }

    async fn subscribe(&self, source: Source, prefetch: u16) -> Box<dyn Subscription> {
        let name = format!("{source:?}");
        self.broker
            .subscribe(source, prefetch)
            .await
            .unwrap_or_else(|error| panic!("{name} is there to be subscribed: {error}"))
    }

    async fn next(&self, subscription: &mut dyn Subscription) -> Delivery {
        soon(&self.runtime, "a message arrives", subscription.next())
            .await
            .expect("the subscription goes on")
    }

    /// The next messages; none is acknowledged.
    async fn take(&self, subscription: &mut dyn Subscription, count: usize) -> Vec<Delivery> {
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            taken.push(self.next(subscription).await);
        }
        taken
    }

    async fn assert_quiet(&self, subscription: &mut dyn Subscription, why: &str) {
        if let Ok(next) = within(&self.runtime, QUIET, subscription.next()).await {
            panic!("{why}: {next:?}");
        }
    }
}

fn work() -> Destination {
    Destination::Work(QueueName::default())
}

fn from_work() -> Source {
    Source::Work(QueueName::default())
}

fn message(destination: &Destination, number: u64) -> Publication {
    let time = Timestamp::from_micros(1_795_332_902_000_000);
    sample::publication(destination.clone(), number, time)
}

fn number(delivery: &Delivery) -> u64 {
    sample::number_of(&delivery.message.body)
}

/// The numbers of these deliveries, each of which must be there once.
fn numbers(deliveries: &[Delivery]) -> BTreeSet<u64> {
    let numbers: BTreeSet<_> = deliveries.iter().map(number).collect();
    assert_eq!(
        numbers.len(),
        deliveries.len(),
        "nothing is delivered twice: {deliveries:?}"
    );
    numbers
}
