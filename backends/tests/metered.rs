//! Runs the wrappers that measure against a hub in memory, and reads what they tell.
//! Never tests what they wrap, nor that they leave it as it is: the conformance suites do.

#![cfg(feature = "embedded")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use longhaul_backends::embedded::Embedded;
use longhaul_backends::metered::{
    BrokerMeter, Consumption, MeteredBroker, MeteredStore, PublishResult, SourceKind, StoreErrorKind,
    StoreMeter, StoreOp, SubscriptionEnd,
};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::commit::{Ready, RowChange, TurnCommit};
use longhaul_shared::id::{
    CommitId, CommitNumber, Epoch, EventSeq, ExecutionId, InstanceId, LeaseToken, MessageId, PartitionId,
    QueueName,
};
use longhaul_shared::instance::{StartInstance, Status};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::payload::{Encoding, Payload};
use longhaul_shared::port::{
    Acker, Broker, BrokerCondition, BrokerError, Delivery, DeliveryTag, Depth, HubSettings, PublishError,
    Runtime, Source, Store, Subscription,
};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;

/// Writes down what it is told.
#[derive(Default)]
struct Notes {
    broker: Mutex<Vec<String>>,
    store: Mutex<Vec<(StoreOp, Duration, Option<StoreErrorKind>)>>,
}

impl Notes {
    fn note(&self, line: String) {
        self.broker.lock().unwrap().push(line);
    }

    fn of_broker(&self) -> Vec<String> {
        std::mem::take(&mut *self.broker.lock().unwrap())
    }

    fn of_store(&self) -> Vec<(StoreOp, Duration, Option<StoreErrorKind>)> {
        std::mem::take(&mut *self.store.lock().unwrap())
    }
}

impl BrokerMeter for Notes {
    fn published(&self, result: PublishResult, _took: Duration) {
        self.note(format!("published {}", result.name()));
    }

    fn delivered(&self, source: SourceKind, redelivered: bool) {
        self.note(format!("delivered {} {redelivered}", source.name()));
    }

    fn subscribed(&self, source: SourceKind) {
        self.note(format!("subscribed {}", source.name()));
    }

    fn unsubscribed(&self, source: SourceKind, end: SubscriptionEnd) {
        self.note(format!("unsubscribed {} {}", source.name(), end.name()));
    }
}

impl StoreMeter for Notes {
    fn answered(&self, op: StoreOp, took: Duration, error: Option<StoreErrorKind>) {
        self.store.lock().unwrap().push((op, took, error));
    }
}

/// The wrappers around a hub in memory that nobody has opened.
struct Bench {
    broker: MeteredBroker,
    consumption: Consumption,
    store: MeteredStore,
    notes: Arc<Notes>,
    runtime: Arc<dyn Runtime>,
}

impl Bench {
    async fn new() -> Self {
        let runtime = runtime();
        let embedded = Embedded::in_memory(Arc::clone(&runtime));
        let notes = Arc::new(Notes::default());
        let (broker, consumption) = metered(embedded.broker(), &notes);
        broker.declare(2, &[QueueName::default()]).await.unwrap();
        let meter = Arc::clone(&notes) as Arc<dyn StoreMeter>;
        let store = MeteredStore::new(embedded.store(), Arc::clone(&runtime), meter);
        Self {
            broker,
            consumption,
            store,
            notes,
            runtime,
        }
    }
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime::current())
}

fn metered(broker: Arc<dyn Broker>, notes: &Arc<Notes>) -> (MeteredBroker, Consumption) {
    let meter = Arc::clone(notes) as Arc<dyn BrokerMeter>;
    MeteredBroker::new(broker, runtime(), meter)
}

fn control(partition: u16) -> Source {
    Source::Control(PartitionId(partition))
}

fn message(destination: Destination) -> Publication {
    Publication {
        destination,
        id: MessageId::from_bits(1),
        kind: "wake".to_owned(),
        correlation: None,
        content_type: "application/msgpack".to_owned(),
        time: Timestamp::default(),
        trace: TraceContext::default(),
        body: bytes::Bytes::new(),
    }
}

fn start() -> StartInstance {
    StartInstance {
        id: InstanceId::new("a").unwrap(),
        start_id: "a".parse().unwrap(),
        name: "backup".parse().unwrap(),
        version: None,
        input: Payload {
            encoding: Encoding::Bytes,
            data: bytes::Bytes::new(),
        },
        tags: std::collections::BTreeMap::new(),
        trace: TraceContext::default(),
        execution: ExecutionId::from_bits(1),
    }
}

fn commit() -> TurnCommit {
    TurnCommit {
        partition: PartitionId(0),
        token: LeaseToken::new(1, 1),
        instance: InstanceId::new("a").unwrap(),
        execution: ExecutionId::from_bits(1),
        expected: CommitNumber::default(),
        id: CommitId::from_bits(1),
        expected_seq: EventSeq::default(),
        events: Vec::new(),
        row: RowChange {
            status: Status::Running,
            changed: Timestamp::default(),
            waiting_for: None,
            output: None,
            failure: None,
        },
        ready: Ready::Settle,
        inbox_add: Vec::new(),
        inbox_remove: Vec::new(),
        outbox_add: Vec::new(),
        outbox_remove: Vec::new(),
        timers_add: Vec::new(),
        timers_remove: Vec::new(),
        survived: false,
    }
}

#[tokio::test]
async fn a_source_is_consumed_as_long_as_a_subscription_of_it_is_open() {
    let Bench {
        broker,
        consumption,
        notes,
        ..
    } = Bench::new().await;
    let both = [control(0), Source::Intake];
    assert!(consumption.is_consuming(&[]) && !consumption.is_consuming(&both));
    let mut ready = Box::pin(consumption.until_consuming(both.to_vec()));
    let first = broker.subscribe(control(0), 1).await.unwrap();
    let second = broker.subscribe(control(0), 1).await.unwrap();
    let other = broker.subscribe(control(1), 1).await.unwrap();
    assert!(ready.as_mut().now_or_never().is_none(), "the intake is missing");
    let intake = broker.subscribe(Source::Intake, 1).await.unwrap();
    assert!(consumption.is_consuming(&both));
    assert!(ready.now_or_never().is_some());
    assert_eq!(consumption.open(SourceKind::Control), 3);
    first.close().await;
    assert!(consumption.is_consuming(&both), "the second goes on");
    drop(second);
    assert!(!consumption.is_consuming(&both));
    assert!(consumption.is_consuming(&[Source::Intake]));
    drop((intake, other));
    assert_eq!(consumption.open(SourceKind::Control), 0);
    let told = notes.of_broker();
    let ends = told.iter().filter(|line| line.starts_with("unsubscribed"));
    assert_eq!(ends.filter(|line| line.ends_with("closed")).count(), 4);
}

#[tokio::test]
async fn a_subscription_that_ends_is_not_open_though_it_is_held() {
    let notes = Arc::new(Notes::default());
    let (broker, consumption) = metered(Arc::new(Broken), &notes);
    let mut ended = broker.subscribe(Source::Intake, 1).await.unwrap();
    assert!(consumption.is_consuming(&[Source::Intake]));
    for _ in 0..2 {
        assert!(ended.next().await.is_err());
        assert!(!consumption.is_consuming(&[Source::Intake]));
    }
    ended.close().await;
    assert_eq!(
        notes.of_broker(),
        ["subscribed intake", "unsubscribed intake ended"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_published_and_delivered_is_told() {
    let Bench {
        broker,
        consumption,
        notes,
        runtime,
        ..
    } = Bench::new().await;
    let work = Destination::Work(QueueName::default());
    let nowhere = Destination::Control(PartitionId(99));
    broker.publish(vec![message(work), message(nowhere)]).await;
    assert_eq!(notes.of_broker(), ["published ack", "published returned"]);
    assert_eq!(consumption.last_delivery(SourceKind::Work), None);
    for redelivered in ["false", "true"] {
        runtime.sleep(Duration::from_secs(1)).await;
        let source = Source::Work(QueueName::default());
        let mut subscription = broker.subscribe(source, 1).await.unwrap();
        subscription.next().await.unwrap();
        let told = consumption.last_delivery(SourceKind::Work).unwrap();
        assert!(runtime.now().since(told) < Duration::from_millis(10), "{told:?}");
        drop(subscription);
        let delivered = format!("delivered work {redelivered}");
        let expected = ["subscribed work", delivered.as_str(), "unsubscribed work closed"];
        assert_eq!(notes.of_broker(), expected);
    }
    assert_eq!(consumption.last_delivery(SourceKind::Control), None);
}

#[tokio::test(start_paused = true)]
async fn every_call_of_the_store_is_told_with_its_time_and_its_error() {
    let Bench { store, notes, .. } = Bench::new().await;
    assert!(store.pulse().await.is_err(), "there is no hub yet");
    let told = notes.of_store();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].0, told[0].2),
        (StoreOp::Pulse, Some(StoreErrorKind::Incompatible))
    );
    store.open_hub(HubSettings { partitions: 1 }).await.unwrap();
    store.create(start()).await.unwrap();
    let long = Duration::from_secs(3_600);
    store.wait_terminal(&start().id, long).await.unwrap();
    let told = notes.of_store();
    let ops: Vec<_> = told.iter().map(|(op, _, error)| (*op, *error)).collect();
    let expected = [StoreOp::OpenHub, StoreOp::Create, StoreOp::WaitTerminal].map(|op| (op, None));
    assert_eq!(ops, expected);
    assert!(told[1].1 < long && told[2].1 >= long, "{told:?}");
}

#[tokio::test]
async fn a_batch_is_told_once_with_its_first_error() {
    let Bench { store, notes, .. } = Bench::new().await;
    let outcomes = store.commit(vec![commit(), commit()]).await;
    assert!(
        outcomes.len() == 2 && outcomes.iter().all(Result::is_err),
        "there is no hub yet"
    );
    let told = notes.of_store();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].0, told[0].2),
        (StoreOp::Commit, Some(StoreErrorKind::Incompatible))
    );
}

#[test]
fn every_method_of_the_store_has_its_op() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/port/store.rs");
    let text = std::fs::read_to_string(path).unwrap();
    let methods = text.lines().filter_map(|line| line.strip_prefix("    async fn "));
    let methods: Vec<_> = methods.filter_map(|line| line.split('(').next()).collect();
    let mut names: Vec<_> = StoreOp::ALL.iter().map(|op| op.name()).collect();
    assert!(names.len() > 30, "{names:?}");
    for method in &methods {
        assert!(names.contains(method), "{method} has no op");
    }
    names.retain(|name| !methods.contains(name));
    assert_eq!(names, [""; 0], "there are no such methods");
}

/// A broker of which every subscription has ended.
struct Broken;

fn gone<T>() -> Result<T, BrokerError> {
    Err(BrokerError::Missing {
        queue: "gone".to_owned(),
    })
}

#[async_trait]
impl Broker for Broken {
    async fn publish(&self, batch: Vec<Publication>) -> Vec<Result<(), PublishError>> {
        batch.iter().map(|_| Err(PublishError::Nacked)).collect()
    }

    async fn subscribe(&self, _source: Source, _prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError> {
        Ok(Box::new(Self))
    }

    async fn declare(&self, _partitions: u16, _queues: &[QueueName]) -> Result<(), BrokerError> {
        gone()
    }

    async fn has_epoch(&self, _epoch: Epoch) -> Result<bool, BrokerError> {
        gone()
    }

    async fn declare_epoch(&self, _epoch: Epoch) -> Result<(), BrokerError> {
        gone()
    }

    async fn withdraw_epoch(&self, _epoch: Epoch) -> Result<(), BrokerError> {
        gone()
    }

    async fn depth(&self, _destination: &Destination) -> Result<Option<Depth>, BrokerError> {
        gone()
    }

    fn condition(&self) -> BrokerCondition {
        BrokerCondition {
            kind: "broken",
            version: None,
            is_connected: false,
            is_blocked: false,
            unconfirmed: 0,
        }
    }

    fn connection_generation(&self) -> u64 {
        0
    }
}

#[async_trait]
impl Subscription for Broken {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        gone()
    }

    fn acker(&self) -> Arc<dyn Acker> {
        Arc::new(Self)
    }

    async fn close(self: Box<Self>) {}
}

impl Acker for Broken {
    fn ack(&self, _tag: DeliveryTag) {}
}
