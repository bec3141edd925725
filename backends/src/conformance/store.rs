//! Owns the hub on which the store's guarantees are tested, and the steps that most tests take on it.
//! Never asserts a guarantee of its own: each is a file below.

pub mod attempts;
pub mod bounds;
pub mod commit;
pub mod create;
pub mod history;
pub mod hub;
pub mod inbox;
pub mod insight;
pub mod lease;
pub mod load;
pub mod open;
pub mod outbox;
pub mod parked;
pub mod query;
pub mod race;
pub mod ready;
pub mod timers;
pub mod wait;
pub mod workers;

use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::commit::{CommitOutcome, Ready, RowChange, TurnCommit};
use longhaul_shared::history::HistoryEvent;
use longhaul_shared::id::{
    CommitId, CommitNumber, EventSeq, ExecutionId, ExecutionKey, InstanceId, LeaseToken, PartitionId,
    WorkerId,
};
use longhaul_shared::instance::{StartInstance, Status};
use longhaul_shared::port::{
    Created, HubSettings, LeaseOutcome, LeaseWish, LoadRequest, LoadedInstance, PageRequest, Runtime, Store,
};
use longhaul_shared::time::Timestamp;

use super::{StoreSubject, sample};

/// How many partitions the tests' hub has.
const PARTITIONS: u16 = 4;

/// A lease that lasts as long as any test.
const LONG: Duration = Duration::from_secs(3_600);

/// A lease that a test sees expire.
const SHORT: Duration = Duration::from_millis(250);

/// A store with a fresh hub in it.
pub struct StoreHub {
    store: Arc<dyn Store>,
    runtime: Arc<dyn Runtime>,
    _subject: StoreSubject,
}

/// An instance as a test that owns its partition knows it.
#[derive(Clone)]
struct Owned {
    key: ExecutionKey,
    partition: PartitionId,
    token: LeaseToken,
    number: CommitNumber,
    seq: EventSeq,
    now: Timestamp,
}

impl StoreHub {
    /// Makes the hub.
    pub async fn new(subject: StoreSubject) -> Self {
        let settings = HubSettings {
            partitions: PARTITIONS,
        };
        subject.port.open_hub(settings).await.expect("a fresh hub opens");
        Self {
            store: Arc::clone(&subject.port),
            runtime: Arc::clone(&subject.runtime),
            _subject: subject,
        }
    }

    async fn now(&self) -> Timestamp {
        self.store.time().await.expect("the store tells the time")
    }

    fn execution(&self) -> ExecutionId {
        ExecutionId::from_bits(self.runtime.random())
    }

    /// A start of this instance that nobody else makes.
    fn a_start(&self, id: &InstanceId) -> StartInstance {
        sample::start(id, &format!("start of {id}"), self.execution())
    }

    /// Accepts an instance.
    async fn create(&self, id: &str) -> StartInstance {
        let start = self.a_start(&sample::id(id));
        let created = self.store.create(start.clone()).await;
        assert_eq!(created, Ok(Created::New), "a first start is new: {id:?}");
        start
    }

    /// Takes a partition's lease for the rest of the test, or takes it over under a token of the test's.
    async fn own(&self, partition: PartitionId) -> LeaseToken {
        self.acquire(partition, "owner", self.runtime.random(), LONG)
            .await
    }

    async fn acquire(&self, partition: PartitionId, worker: &str, nonce: u128, ttl: Duration) -> LeaseToken {
        match self.try_acquire(partition, worker, nonce, ttl).await {
            LeaseOutcome::Granted { token, .. } => token,
            held => panic!("the lease of partition {partition} should be free: {held:?}"),
        }
    }

    async fn try_acquire(
        &self,
        partition: PartitionId,
        worker: &str,
        nonce: u128,
        ttl: Duration,
    ) -> LeaseOutcome {
        self.store
            .acquire_lease(partition, &worker_id(worker), LeaseWish::new(nonce, ttl))
            .await
            .expect("the store answers a wish for a lease")
    }

    /// Accepts an instance and owns its partition.
    async fn owned(&self, id: &str) -> Owned {
        let start = self.create(id).await;
        let token = self.own(PartitionId::of(&start.id, PARTITIONS)).await;
        self.owned_under(start, token).await
    }

    /// The view of whoever owns the partition of a start under this token.
    async fn owned_under(&self, start: StartInstance, token: LeaseToken) -> Owned {
        Owned {
            partition: PartitionId::of(&start.id, PARTITIONS),
            key: ExecutionKey {
                instance: start.id,
                execution: start.execution,
            },
            token,
            number: CommitNumber::default(),
            seq: EventSeq::default(),
            now: self.now().await,
        }
    }

    /// Accepts instances of one partition, which the test owns.
    async fn owned_neighbours(&self, count: usize) -> Vec<Owned> {
        let partition = PartitionId(1);
        let token = self.own(partition).await;
        let mut owned = Vec::with_capacity(count);
        for id in neighbours(partition, "neighbour", count) {
            let start = self.create(id.as_str()).await;
            owned.push(self.owned_under(start, token.clone()).await);
        }
        owned
    }

    /// A commit of `events` numbered events and nothing else; the instance runs on.
    fn turn(&self, owned: &Owned, events: u64) -> TurnCommit {
        let first = owned.seq.0 + 1;
        TurnCommit {
            partition: owned.partition,
            token: owned.token.clone(),
            instance: owned.key.instance.clone(),
            execution: owned.key.execution,
            expected: owned.number,
            id: CommitId::from_bits(self.runtime.random()),
            expected_seq: owned.seq,
            events: (first..first + events)
                .map(|number| sample::event(owned.now, number))
                .collect(),
            row: running(owned.now),
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

    /// A commit that ends the instance.
    fn last_turn(&self, owned: &Owned, status: Status) -> TurnCommit {
        TurnCommit {
            row: RowChange {
                status,
                output: Some(sample::payload(8)),
                ..running(owned.now)
            },
            ..self.turn(owned, 2)
        }
    }

    async fn commit(&self, commit: TurnCommit) -> CommitOutcome {
        let mut outcomes = self.store.commit(vec![commit]).await;
        assert_eq!(outcomes.len(), 1, "one commit has one outcome");
        outcomes.remove(0).expect("the store answers a commit")
    }

    /// Applies a commit, from which the next one goes on.
    async fn apply(&self, commit: TurnCommit, owned: &mut Owned) {
        let (number, seq) = (commit.expected.next(), commit.last_seq());
        let outcome = self.commit(commit).await;
        assert_eq!(outcome, CommitOutcome::Applied, "a commit as expected is applied");
        (owned.number, owned.seq) = (number, seq);
    }

    /// An instance with its whole history, if it is there.
    async fn find(&self, id: &InstanceId) -> Option<LoadedInstance> {
        let request = LoadRequest {
            id: id.clone(),
            history: true,
        };
        let mut loaded = self.store.load(vec![request]).await;
        assert_eq!(loaded.len(), 1, "one request has one answer");
        loaded.remove(0).expect("the instance can be read")
    }

    async fn load(&self, id: &InstanceId) -> LoadedInstance {
        self.find(id)
            .await
            .unwrap_or_else(|| panic!("instance {id:?} is there"))
    }

    /// All that an owner can see of a partition, and all that anybody can see of its instances: two readings
    /// are equal when nothing changed between them.
    async fn picture(&self, partition: PartitionId, ids: &[InstanceId]) -> String {
        let mut loaded = Vec::new();
        for id in ids {
            let mut instance = self.find(id).await;
            if let Some(instance) = &mut instance {
                instance.inbox.sort_by_key(|message| message.id);
            }
            loaded.push(instance);
        }
        let timers = self
            .store
            .due_timers(partition, 1_000)
            .await
            .expect("timers can be read");
        format!(
            "{loaded:#?}\nready {:?}\ntimers {:?} {:?}\noutbox {:?}\nopen {:?}",
            self.ready(partition).await,
            timers.due,
            timers.next,
            self.outbox_ids(partition).await,
            self.open(partition).await,
        )
    }

    async fn ready(&self, partition: PartitionId) -> Vec<InstanceId> {
        self.store
            .ready(partition, Duration::ZERO, 1_000)
            .await
            .expect("the ready set can be read")
    }

    async fn outbox_ids(&self, partition: PartitionId) -> Vec<longhaul_shared::id::MessageId> {
        let page = self
            .store
            .outbox(partition, first_page())
            .await
            .expect("the outbox can be read");
        let mut ids: Vec<_> = page.messages.iter().map(|message| message.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    async fn open(&self, partition: PartitionId) -> Vec<InstanceId> {
        let (mut open, _next) = self
            .store
            .open_instances(partition, first_page())
            .await
            .expect("open instances can be read");
        open.sort();
        open.dedup();
        open
    }
}

fn running(changed: Timestamp) -> RowChange {
    RowChange {
        status: Status::Running,
        changed,
        waiting_for: None,
        output: None,
        failure: None,
    }
}

fn worker_id(text: &str) -> WorkerId {
    WorkerId::new(text).expect("a valid worker id")
}

/// The first of as few pages as there can be.
fn first_page() -> PageRequest {
    PageRequest {
        cursor: None,
        limit: 1_000,
    }
}

/// Ids of instances that all lie in one partition of the tests' hub.
fn neighbours(partition: PartitionId, prefix: &str, count: usize) -> Vec<InstanceId> {
    (0_u32..)
        .map(|number| sample::id(&format!("{prefix} {number}")))
        .filter(|id| PartitionId::of(id, PARTITIONS) == partition)
        .take(count)
        .collect()
}

/// Which numbered events these are.
fn numbers(events: &[HistoryEvent]) -> Vec<u64> {
    use longhaul_shared::history::EventKind;
    events
        .iter()
        .map(|event| match &event.kind {
            EventKind::TaskCompleted(event) => event.dispatch.0,
            other => panic!("no numbered event: {other}"),
        })
        .collect()
}
