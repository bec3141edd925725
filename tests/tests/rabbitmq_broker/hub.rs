//! A hub of one's own on some broker, and what tests do with it again and again.
//! Never judges what a test is about: it only fails where a step on the way does.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicGetOptions;
use longhaul_backends::rabbitmq::{QueueType, RabbitBroker, RabbitConfig, Role};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::id::{Epoch, HubName, MessageId, PartitionId, QueueName};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::{Broker, BrokerError, Delivery, Runtime, Source, Subscription, within};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;
use longhaul_tests::servers::{RabbitServer, Servers};

use super::foreign::raw;

/// Longest wait of a test for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// The partition whose queue tests use.
pub(crate) const CONTROL: PartitionId = PartitionId(7);
pub(crate) const PARTITIONS: u16 = 8;
/// A partition without a queue.
pub(crate) const NOWHERE: PartitionId = PartitionId(PARTITIONS);

/// A hub of its own on some broker.
pub(crate) struct Hub {
    pub(crate) name: HubName,
    pub(crate) url: String,
    pub(crate) clock: Arc<dyn Runtime>,
    pub(crate) broker: Arc<RabbitBroker>,
}

impl Hub {
    pub(crate) async fn connect(
        clock: Arc<dyn Runtime>,
        url: String,
        queue_type: QueueType,
        role: Role,
    ) -> Self {
        let name = HubName::new(format!("t{:032x}", clock.random())).unwrap();
        let broker = RabbitBroker::connect(config(&url, &name, queue_type, role), Arc::clone(&clock))
            .await
            .unwrap();
        Self {
            name,
            url,
            clock,
            broker,
        }
    }

    /// On the shared broker, with its queues.
    pub(crate) async fn declared(clock: Arc<dyn Runtime>, queue_type: QueueType) -> Self {
        let hub = Self::connect(clock, shared_rabbit(), queue_type, Role::Orchestrator).await;
        hub.broker
            .declare(PARTITIONS, &[QueueName::default()])
            .await
            .unwrap();
        hub
    }

    pub(crate) fn queue(&self, end: &str) -> String {
        format!("lh.{}.v1.{end}", self.name)
    }

    pub(crate) async fn in_time<T>(&self, future: impl Future<Output = T>) -> T {
        within(&self.clock, DEADLINE, future).await.expect("in time")
    }

    /// Looks until there is something to see.
    pub(crate) async fn poll<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(seen) = look().await {
                    return seen;
                }
                self.clock.sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = within(&self.clock, DEADLINE, looking).await;
        seen.unwrap_or_else(|_| panic!("gave up waiting until {what}"))
    }

    /// RabbitMQ 3.10 writes down within a second or so which log belongs to a new quorum queue. Killed before, it
    /// has the queue afterwards, but neither its messages nor a leader.
    pub(crate) async fn queue_is_on_disk(&self, server: &RabbitServer, end: &str) {
        let name = self.queue(end);
        self.poll("the queue is on disk", async || {
            let written = files(server.directory())
                .filter(|path| path.ends_with("names.dets"))
                .any(|path| {
                    let bytes = std::fs::read(path).unwrap();
                    bytes.windows(name.len()).any(|window| window == name.as_bytes())
                });
            written.then_some(())
        })
        .await;
    }

    pub(crate) async fn publish_all(&self, batch: Vec<Publication>) {
        let outcomes = self.in_time(self.broker.publish(batch)).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    pub(crate) async fn publish_range(&self, numbers: RangeInclusive<u64>) {
        self.publish_all(numbered(numbers)).await;
    }

    /// As an outbox would: until it is confirmed.
    pub(crate) async fn publish_again(&self, number: u64) {
        let message = message(number, Destination::Control(CONTROL));
        self.poll("the message is confirmed", async || {
            let outcomes = self.broker.publish(vec![message.clone()]).await;
            outcomes.iter().all(Result::is_ok).then_some(())
        })
        .await;
    }

    pub(crate) async fn subscribe(&self, source: Source, prefetch: u16) -> Box<dyn Subscription> {
        self.in_time(self.broker.subscribe(source, prefetch))
            .await
            .unwrap()
    }

    pub(crate) async fn subscribe_again(&self, source: Source, prefetch: u16) -> Box<dyn Subscription> {
        self.poll("a subscription works again", async || {
            self.broker.subscribe(source.clone(), prefetch).await.ok()
        })
        .await
    }

    pub(crate) async fn receive(&self, subscription: &mut dyn Subscription) -> Delivery {
        self.in_time(subscription.next()).await.unwrap()
    }

    /// The next deliveries with the numbers they were published under, sorted by these.
    pub(crate) async fn receive_many(
        &self,
        subscription: &mut dyn Subscription,
        count: u64,
    ) -> Vec<(u64, Delivery)> {
        let mut deliveries = Vec::new();
        for _ in 0..count {
            let delivery = self.receive(subscription).await;
            deliveries.push((number_of(delivery.message.message_id.as_deref()), delivery));
        }
        deliveries.sort_by_key(|(number, _)| *number);
        deliveries
    }

    pub(crate) async fn next_error(&self, subscription: &mut dyn Subscription) -> BrokerError {
        let ending = async {
            loop {
                if let Err(error) = subscription.next().await {
                    return error;
                }
            }
        };
        self.in_time(ending).await
    }

    /// Whether the first epoch is there, on a connection younger than this generation.
    pub(crate) async fn epoch_after(&self, generation: u64) -> Result<bool, BrokerError> {
        self.poll("the broker tells of its epoch", async || {
            let asked = self.broker.connection_generation() > generation;
            match self.broker.has_epoch(Epoch::new(1)).await {
                Err(error) if error.is_retryable() => None,
                answer => asked.then_some(answer),
            }
        })
        .await
    }

    /// Empties the control queue, as another client would, and checks that it held exactly these.
    pub(crate) async fn expect_left(&self, expected: impl IntoIterator<Item = u64>) {
        let expected: BTreeSet<u64> = expected.into_iter().collect();
        assert_eq!(self.take_until(&expected).await, expected);
    }

    /// The same where copies and more are welcome.
    pub(crate) async fn expect_at_least(&self, expected: impl IntoIterator<Item = u64>) {
        self.take_until(&expected.into_iter().collect()).await;
    }

    async fn take_until(&self, expected: &BTreeSet<u64>) -> BTreeSet<u64> {
        let (_connection, channel) = raw(&self.url).await;
        let mut left = BTreeSet::new();
        let taking = async {
            loop {
                let options = BasicGetOptions { no_ack: true };
                let got = channel
                    .basic_get(self.queue("ctl.007").into(), options)
                    .await
                    .unwrap();
                match got {
                    Some(message) => {
                        let id = message.delivery.properties.message_id().as_ref();
                        left.insert(number_of(id.map(|id| id.as_str())));
                    }
                    // What goes back to a queue may take a moment.
                    None if left.is_superset(expected) => return,
                    None => self.clock.sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let taken = within(&self.clock, DEADLINE, taking).await;
        assert!(taken.is_ok(), "missing: {:?}", expected.difference(&left));
        left
    }
}

pub(crate) fn run(test: impl AsyncFnOnce(Arc<dyn Runtime>)) {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let clock: Arc<dyn Runtime> = Arc::new(TokioRuntime::new(tokio.handle().clone()));
    // This thread is none of the runtime's workers, so a test may block it to start or stop a server.
    tokio.block_on(test(clock));
}

pub(crate) fn shared_rabbit() -> String {
    Servers::shared_rabbit().unwrap().to_owned()
}

/// Times short enough for tests that wait for them to be over.
fn config(url: &str, hub: &HubName, queue_type: QueueType, role: Role) -> RabbitConfig {
    RabbitConfig {
        connection_wait: Duration::from_secs(2),
        confirm_timeout: Duration::from_secs(2),
        ..RabbitConfig::new(url, hub.clone(), queue_type, role)
    }
}

pub(crate) async fn connect(clock: &Arc<dyn Runtime>, url: &str) -> Result<Arc<RabbitBroker>, BrokerError> {
    let config = RabbitConfig {
        connect_timeout: Duration::from_secs(1),
        ..config(url, &HubName::default(), QueueType::Quorum, Role::Client)
    };
    within(clock, DEADLINE, RabbitBroker::connect(config, Arc::clone(clock)))
        .await
        .expect("in time")
}

/// All files under a directory, as far as they can be seen.
fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let mut open = vec![directory.to_path_buf()];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let kind = if entry.path().is_dir() {
                &mut open
            } else {
                &mut found
            };
            kind.push(entry.path());
        }
    }
    found.into_iter()
}

pub(crate) fn message(number: u64, destination: Destination) -> Publication {
    Publication {
        destination,
        id: MessageId::from_bits(number.into()),
        kind: "work".to_owned(),
        correlation: None,
        content_type: "application/msgpack".to_owned(),
        time: Timestamp::from_micros(1_795_332_902_123_456),
        trace: TraceContext::default(),
        body: format!("body of {number}").into(),
    }
}

pub(crate) fn numbered(numbers: RangeInclusive<u64>) -> Vec<Publication> {
    numbers
        .map(|number| message(number, Destination::Control(CONTROL)))
        .collect()
}

fn number_of(message_id: Option<&str>) -> u64 {
    message_id
        .unwrap()
        .parse::<MessageId>()
        .unwrap()
        .bits()
        .try_into()
        .unwrap()
}
