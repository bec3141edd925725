//! What these tests begin with: a store of a hub of its own, and the values it is given.
//! Never tests anything by itself.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use longhaul_backends::redis::{RedisConfig, RedisStore};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::commit::{CommitOutcome, Ready, RowChange, TurnCommit};
use longhaul_shared::history::{EventKind, HistoryEvent};
use longhaul_shared::id::{
    CommitId, CommitNumber, EventSeq, ExecutionId, FunctionName, HubName, InstanceId, LeaseToken, MessageId,
    PartitionId, QueueName, StartId, WorkerId,
};
use longhaul_shared::instance::{StartInstance, Status};
use longhaul_shared::message::{Destination, Envelope, Publication};
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{
    Created, HubSettings, LeaseOutcome, LeaseWish, PageRequest, Query, Runtime, Store, StoreError,
};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;
use longhaul_tests::servers::{RedisServer, Servers};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const PARTITIONS: u16 = 4;
pub(crate) const TTL: Duration = Duration::from_secs(600);

/// A store of a hub of its own, with the token of every partition.
pub(crate) struct Bench {
    pub(crate) store: Arc<RedisStore>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) hub: String,
    pub(crate) tokens: Vec<LeaseToken>,
    pub(crate) raw: redis::Connection,
}

impl Bench {
    /// On the shared server, for tests that do it no harm.
    pub(crate) async fn shared() -> Self {
        Self::with(Servers::shared_redis().unwrap(), |_| ()).await
    }

    pub(crate) async fn on(server: &RedisServer) -> Self {
        Self::with(&server.url(), |_| ()).await
    }

    pub(crate) async fn with(url: &str, change: impl FnOnce(&mut RedisConfig)) -> Self {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
        let hub = format!("t{:032x}", runtime.random());
        let mut config = config(url, &hub);
        change(&mut config);
        let store = RedisStore::connect(config, runtime.clone()).await.unwrap();
        store.open_hub(SETTINGS).await.unwrap();
        let worker = WorkerId::new("w").unwrap();
        let mut tokens = Vec::new();
        for partition in PartitionId::all(PARTITIONS) {
            match store
                .acquire_lease(partition, &worker, LeaseWish::new(runtime.random(), TTL))
                .await
                .unwrap()
            {
                LeaseOutcome::Granted { token, .. } => tokens.push(token),
                held @ LeaseOutcome::Held { .. } => panic!("{held:?}"),
            }
        }
        let raw = redis::Client::open(url).unwrap().get_connection().unwrap();
        Self {
            store,
            runtime,
            hub,
            tokens,
            raw,
        }
    }

    /// The key of this name in the partition of an instance.
    pub(crate) fn key(&self, id: &InstanceId, name: &str) -> String {
        format!("{{{}:p{}}}:{name}", self.hub, PartitionId::of(id, PARTITIONS))
    }

    pub(crate) async fn create(&self, id: &str) -> StartInstance {
        let start = start(id);
        assert_eq!(self.store.create(start.clone()).await.unwrap(), Created::New);
        start
    }

    /// A commit that a new instance takes: its first turn, with `events` events.
    pub(crate) fn first_turn(&self, start: &StartInstance, events: usize) -> TurnCommit {
        let partition = PartitionId::of(&start.id, PARTITIONS);
        TurnCommit {
            partition,
            token: self.tokens[usize::from(partition.0)].clone(),
            instance: start.id.clone(),
            execution: start.execution,
            expected: CommitNumber(0),
            id: CommitId::from_bits(self.runtime.random()),
            expected_seq: EventSeq(0),
            events: (0..events).map(event).collect(),
            row: change(Status::Running),
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

    /// A commit that ends a new instance at once.
    pub(crate) fn only_turn(&self, start: &StartInstance) -> TurnCommit {
        let row = change(Status::Completed);
        TurnCommit {
            row,
            ..self.first_turn(start, 1)
        }
    }

    pub(crate) async fn commit(&self, commit: &TurnCommit) -> Result<CommitOutcome, StoreError> {
        self.store.commit(vec![commit.clone()]).await.remove(0)
    }

    /// Asks until the store answers, as every loop that commits does.
    pub(crate) async fn insist<T, F>(&self, mut ask: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let begun = self.runtime.now();
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) if error.is_retryable() && self.runtime.now().since(begun) < DEADLINE => {
                    self.runtime.sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) async fn count_open(&self) -> usize {
        let query = Query {
            page: PageRequest {
                cursor: None,
                limit: 1_000,
            },
            ..Query::default()
        };
        self.store.query(query).await.unwrap().instances.len()
    }
}

pub(crate) const SETTINGS: HubSettings = HubSettings {
    partitions: PARTITIONS,
};

pub(crate) fn config(url: &str, hub: &str) -> RedisConfig {
    RedisConfig::new(url, HubName::new(hub).unwrap())
}

pub(crate) fn start(id: &str) -> StartInstance {
    StartInstance {
        id: InstanceId::new(id).unwrap(),
        start_id: StartId::new(format!("start-{id}")).unwrap(),
        name: FunctionName::new("backup").unwrap(),
        version: None,
        input: Payload::unit(),
        tags: BTreeMap::new(),
        trace: TraceContext::default(),
        execution: ExecutionId::from_bits(0xfeed),
    }
}

pub(crate) fn change(status: Status) -> RowChange {
    RowChange {
        status,
        changed: Timestamp::from_micros(1_800_000_000_000_001),
        waiting_for: None,
        output: None,
        failure: None,
    }
}

pub(crate) fn event(at: usize) -> HistoryEvent {
    HistoryEvent {
        time: Timestamp::from_micros(i64::try_from(at).unwrap() + 1),
        kind: EventKind::OrchestratorStarted,
    }
}

pub(crate) fn envelope(instance: &InstanceId, id: u128) -> Envelope {
    Envelope::terminate(MessageId::from_bits(id), instance.clone(), "enough".to_owned())
}

pub(crate) fn publication(id: u128) -> Publication {
    Publication {
        destination: Destination::Work(QueueName::default()),
        id: MessageId::from_bits(id),
        kind: "work".to_owned(),
        correlation: None,
        content_type: "application/msgpack".to_owned(),
        time: Timestamp::from_micros(1),
        trace: TraceContext::default(),
        body: Payload::unit().data,
    }
}

pub(crate) async fn refusal(config: RedisConfig) -> StoreError {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
    RedisStore::connect(config, runtime).await.err().unwrap()
}

/// One line that holds all of these, and no password.
pub(crate) fn says(error: &StoreError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
    assert!(!text.contains("secret") && !text.contains('\n'), "{text:?}");
}
