//! What a client promises, on the embedded store: nothing here runs an orchestration, so every step is visible.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of these tests may fail them"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longhaul_backends::embedded::Embedded;
use longhaul_backends::runtime::TokioRuntime;
use longhaul_client::{
    Client, HistoryEvent, HubName, InstanceId, LookError, PageRequest, Ports, Query, RequeueError,
    StartError, Status, TerminateError, WaitError,
};
use longhaul_sdk::{Failure, Orchestration, Payload, Timestamp};
use longhaul_shared::commit::{CommitOutcome, Ready, RowChange, TurnCommit};
use longhaul_shared::failure::FailureKind;
use longhaul_shared::history::EventKind;
use longhaul_shared::id::{CommitId, FunctionName, PartitionId, WorkerId};
use longhaul_shared::limits;
use longhaul_shared::message::{Destination, EnvelopeBody, Incoming};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{LeaseOutcome, LeaseWish, LoadRequest, LoadedInstance};

const DOUBLE: Orchestration<u64, u64> = Orchestration::new("double");
const RAW: Orchestration<Payload, Payload> = Orchestration::new("raw");

/// Nothing here takes this long; only a broken wait would.
const LIMIT: Duration = Duration::from_secs(20);

struct Bench {
    client: Client,
    ports: Ports,
}

impl Bench {
    async fn new() -> Self {
        let ports = Embedded::in_memory(Arc::new(TokioRuntime::current())).ports();
        let client = Client::new(ports.clone(), HubName::default()).await.unwrap();
        Self { client, ports }
    }

    async fn load(&self, id: &InstanceId) -> LoadedInstance {
        let request = LoadRequest {
            id: id.clone(),
            history: false,
        };
        let mut loaded = self.ports.store.load(vec![request]).await;
        loaded.remove(0).unwrap().unwrap()
    }

    /// Does what a worker's turn would: commits these events and this row.
    async fn commit(&self, id: &InstanceId, events: Vec<HistoryEvent>, row: RowChange) {
        let store = &self.ports.store;
        let partition = PartitionId::of(id, limits::PARTITIONS_DEFAULT);
        let worker = WorkerId::new("w").unwrap();
        let lease = store
            .acquire_lease(partition, &worker, LeaseWish::new(1, LIMIT))
            .await
            .unwrap();
        let LeaseOutcome::Granted { token, .. } = lease else {
            panic!("the lease is held")
        };
        let now = self.load(id).await.row;
        let commit = TurnCommit {
            partition,
            token: token.clone(),
            instance: id.clone(),
            execution: now.execution,
            expected: now.commit_number,
            id: CommitId::from_bits(u128::from(now.commit_number.0) + 1),
            expected_seq: now.last_seq,
            events,
            row,
            ready: Ready::Settle,
            inbox_add: Vec::new(),
            inbox_remove: Vec::new(),
            outbox_add: Vec::new(),
            outbox_remove: Vec::new(),
            timers_add: Vec::new(),
            timers_remove: Vec::new(),
            survived: false,
        };
        assert_eq!(store.commit(vec![commit]).await, [Ok(CommitOutcome::Applied)]);
        store.release_lease(partition, &token).await.unwrap();
    }

    async fn end(&self, id: &InstanceId, status: Status, output: Option<Payload>, failure: Option<Failure>) {
        let row = RowChange {
            status,
            changed: self.client.time().await.unwrap(),
            waiting_for: None,
            output,
            failure,
        };
        self.commit(id, Vec::new(), row).await;
    }
}

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

#[tokio::test]
async fn a_start_is_pending_and_says_everything_it_was_given() {
    let bench = Bench::new().await;
    let handle = bench
        .client
        .start(DOUBLE, 21)
        .id("a")
        .start_id("s")
        .tag("k", "v")
        .version("2")
        .await
        .unwrap();
    assert_eq!((handle.id(), handle.repeated()), (&id("a"), None));
    assert_eq!(handle.status().await.unwrap(), Some(Status::Pending));

    let row = bench.client.get(&id("a")).await.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.start_id.as_str()), ("double", "s"));
    assert_eq!(
        (row.version.as_deref(), row.tags.get("k").map(String::as_str)),
        (Some("2"), Some("v"))
    );
    assert_eq!(row.input.decode::<u64>().unwrap(), 21);
    assert_eq!(bench.client.get(&id("b")).await.unwrap(), None);

    let query = Query {
        statuses: vec![Status::Pending],
        page: PageRequest {
            cursor: None,
            limit: 10,
        },
        ..Query::default()
    };
    let listed = bench.client.list(query).await.unwrap();
    assert_eq!(listed.instances.len(), 1);
}

#[tokio::test]
async fn the_same_start_id_never_starts_a_second_instance() {
    let bench = Bench::new().await;
    let start = || bench.client.start(DOUBLE, 21).start_id("order-17");
    let first = start().await.unwrap();
    let again = start().await.unwrap();
    assert_eq!(again.id(), first.id());
    assert_eq!(
        (first.repeated(), again.repeated()),
        (None, Some(Status::Pending))
    );
    // Pinned: a later version, and the intake queue, must find the same instance by the same start.
    assert_eq!(first.id().as_str(), "b3b96b27-4811-8d34-a00a-ca8bc29e5157");

    let without = bench.client.start(DOUBLE, 21).await.unwrap();
    assert_ne!(without.id(), first.id());
}

#[tokio::test]
async fn a_taken_id_names_the_start_that_has_it() {
    let bench = Bench::new().await;
    bench
        .client
        .start(DOUBLE, 1)
        .id("a")
        .start_id("one")
        .await
        .unwrap();
    let error = bench
        .client
        .start(DOUBLE, 2)
        .id("a")
        .start_id("two")
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StartError::Taken { id, by, status: Status::Pending } if id.as_str() == "a" && by.as_str() == "one"),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("LH1003") && text.contains("one"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_before_it_reaches_the_store() {
    let bench = Bench::new().await;
    let start = || bench.client.start(RAW, Payload::unit());
    let many = (0..=limits::TAGS_MAX).fold(start(), |start, n| start.tag(n.to_string(), ""));
    let large = Payload {
        data: Bytes::from(vec![b'1'; limits::PAYLOAD_BYTES_MAX + 1]),
        ..Payload::json("1").unwrap()
    };
    for (start, code) in [
        (start().id(""), "LH1005"),
        (start().start_id("a\nb"), "LH1005"),
        (many, "LH1004"),
        (start().tag("k", "v".repeat(limits::TAG_BYTES_MAX + 1)), "LH1004"),
        (
            bench
                .client
                .start_by_name(FunctionName::new("raw").unwrap(), large),
            "LH1105",
        ),
    ] {
        let error = start.await.unwrap_err();
        let source = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(format!("{error}: {source}").contains(code), "{error:?}");
    }
    assert_eq!(bench.client.list(Query::default()).await.unwrap().instances, []);
}

#[tokio::test]
async fn a_wait_ends_with_the_instance_and_returns_what_its_contract_says() {
    let bench = Bench::new().await;
    let handle = bench.client.start(DOUBLE, 21).id("a").await.unwrap();
    let (output, ()) = futures::join!(handle.wait(), async {
        bench
            .end(
                &id("a"),
                Status::Completed,
                Some(Payload::encode(&42).unwrap()),
                None,
            )
            .await;
    });
    assert_eq!(output.unwrap(), 42);

    let raw = bench.client.handle(id("a")).wait_for(LIMIT).await.unwrap();
    assert_eq!(raw, Payload::encode(&42).unwrap());
    assert_eq!(bench.client.handle(id("a")).of(DOUBLE).wait().await.unwrap(), 42);
    let wrong = Orchestration::<(), String>::new("double");
    let error = bench.client.handle(id("a")).of(wrong).wait().await.unwrap_err();
    assert!(matches!(error, WaitError::Undecodable { .. }), "{error:?}");
}

#[tokio::test]
async fn every_other_end_is_an_error_of_its_own() {
    let bench = Bench::new().await;
    for name in ["failed", "terminated", "open"] {
        bench.client.start(DOUBLE, 1).id(name).await.unwrap();
    }
    let failure = Failure::new(FailureKind::Application, "disk full");
    bench
        .end(&id("failed"), Status::Failed, None, Some(failure.clone()))
        .await;
    let reason = Failure::new(FailureKind::Other("terminated".to_owned()), "enough");
    bench
        .end(&id("terminated"), Status::Terminated, None, Some(reason))
        .await;

    let wait = |name: &str| {
        let handle = bench.client.handle(id(name));
        async move { handle.wait_for(Duration::from_millis(1)).await.unwrap_err() }
    };
    assert!(matches!(wait("failed").await, WaitError::Failed { failure: told, .. } if *told == failure));
    assert!(matches!(wait("terminated").await, WaitError::Terminated { reason, .. } if reason == "enough"));
    let open = wait("open").await;
    assert!(
        matches!(
            open,
            WaitError::TimedOut {
                status: Status::Pending,
                ..
            }
        ),
        "{open:?}"
    );
    let unknown = wait("nobody").await.to_string();
    assert_eq!(unknown, "[LH1201] there is no instance nobody in hub default");
}

#[tokio::test]
async fn a_terminate_waits_in_the_inbox() {
    let bench = Bench::new().await;
    let handle = bench.client.start(DOUBLE, 1).id("a").await.unwrap();
    handle.terminate("enough").await.unwrap();
    let inbox = bench.load(&id("a")).await.inbox;
    assert!(
        matches!(&inbox[..], [one] if one.body == EnvelopeBody::Terminate { reason: "enough".to_owned() })
    );

    let too_long = "x".repeat(limits::FAILURE_MESSAGE_BYTES_MAX + 1);
    let error = handle.terminate(too_long).await.unwrap_err();
    assert!(matches!(error, TerminateError::ReasonTooLong { .. }), "{error:?}");
    bench.end(&id("a"), Status::Completed, None, None).await;
    let ended = handle.terminate("").await.unwrap_err();
    assert!(
        matches!(
            ended,
            TerminateError::Ended {
                status: Status::Completed,
                ..
            }
        ),
        "{ended:?}"
    );
    let unknown = bench.client.terminate(&id("nobody"), "").await.unwrap_err();
    assert!(matches!(unknown, TerminateError::Unknown { .. }), "{unknown:?}");
}

#[tokio::test]
async fn a_history_is_read_to_its_end() {
    let bench = Bench::new().await;
    bench.client.start(DOUBLE, 1).id("a").await.unwrap();
    assert_eq!(bench.client.history(&id("a")).await.unwrap(), []);
    let events: Vec<_> = (0..1_500)
        .map(|n| HistoryEvent {
            time: Timestamp::from_micros(n),
            kind: EventKind::OrchestratorStarted,
        })
        .collect();
    for half in events.chunks(750) {
        let row = RowChange {
            status: Status::Running,
            changed: Timestamp::from_micros(1),
            waiting_for: None,
            output: None,
            failure: None,
        };
        bench.commit(&id("a"), half.to_vec(), row).await;
    }
    assert_eq!(bench.client.history(&id("a")).await.unwrap(), events);
    let unknown = bench.client.history(&id("nobody")).await.unwrap_err();
    assert!(matches!(unknown, LookError::Unknown { .. }), "{unknown:?}");
}

#[tokio::test]
async fn a_parked_message_stays_until_the_broker_has_it() {
    let bench = Bench::new().await;
    let message = Incoming {
        message_id: Some("m-1".to_owned()),
        body: Bytes::from_static(b"{}"),
        ..Incoming::default()
    };
    let parked = ParkedMessage::new(
        Destination::Intake,
        "LH1001",
        "a test".to_owned(),
        bench.client.time().await.unwrap(),
        message,
    );
    bench.ports.store.park(parked.clone()).await.unwrap();
    let listed = || async {
        let page = PageRequest {
            cursor: None,
            limit: 10,
        };
        bench.client.parked(page).await.unwrap().total
    };
    let refused = bench.client.requeue(parked.id).await.unwrap_err();
    assert!(matches!(refused, RequeueError::Publish { .. }), "{refused:?}");
    assert_eq!(listed().await, 1);

    bench
        .ports
        .broker
        .declare(limits::PARTITIONS_DEFAULT, &[])
        .await
        .unwrap();
    bench.client.requeue(parked.id).await.unwrap();
    assert_eq!(listed().await, 0);
    let gone = bench.client.requeue(parked.id).await.unwrap_err();
    assert!(matches!(gone, RequeueError::Unknown { .. }), "{gone:?}");
}
