//! What may happen to a server in use, and what the store makes of it.
//! Each test has a server of its own, unless it only asks for much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use longhaul_backends::redis::{Durability, RedisStore, RedisTimeouts};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::commit::{CommitOutcome, TimerEntry};
use longhaul_shared::id::{CommitNumber, EventSeq, MessageId, PartitionId, TaskId};
use longhaul_shared::instance::{StartInstance, Status};
use longhaul_shared::port::{Created, LoadRequest, PageRequest, Runtime, Store, StoreError};
use longhaul_shared::time::Timestamp;
use longhaul_tests::servers::RedisServer;
use redis::Commands;

use crate::bench::{
    Bench, DEADLINE, PARTITIONS, SETTINGS, change, config, envelope, publication, says, start,
};

#[tokio::test]
async fn scripts_that_the_server_forgets_are_sent_again() {
    let server = RedisServer::start().unwrap();
    let bench = Bench::on(&server).await;
    let done = AtomicBool::new(false);
    let mut raw = redis::aio::ConnectionManager::new(redis::Client::open(server.url()).unwrap())
        .await
        .unwrap();
    let flushing = async {
        while !done.load(Ordering::Relaxed) {
            let _: () = redis::cmd("SCRIPT")
                .arg("FLUSH")
                .query_async(&mut raw)
                .await
                .unwrap();
            bench.runtime.sleep(Duration::from_millis(5)).await;
        }
    };
    let working = async {
        for round in 0..20 {
            let starts = join_all(
                (0..16)
                    .map(|at| start(&format!("{round}-{at}")))
                    .map(async |start| {
                        bench.insist(|| bench.store.create(start.clone())).await;
                        start
                    }),
            )
            .await;
            let mut batch: Vec<_> = starts.iter().map(|start| bench.first_turn(start, 1)).collect();
            while !batch.is_empty() {
                let outcomes = bench.store.commit(batch.clone()).await;
                let mut again = outcomes.into_iter().map(|outcome| match outcome {
                    Ok(CommitOutcome::Applied | CommitOutcome::Duplicate) => false,
                    Err(StoreError::Unavailable { .. }) => true,
                    other => panic!("{other:?}"),
                });
                batch.retain(|_| again.next().unwrap());
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    futures::join!(flushing, working);
    assert_eq!(bench.count_open().await, 320);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_keeps_every_accepted_create_and_commit() {
    let mut server = RedisServer::start().unwrap();
    let bench = Bench::on(&server).await;
    let enough = AtomicBool::new(false);
    let worker = async |lane: usize| {
        let mut accepted: Vec<StartInstance> = Vec::new();
        while !enough.load(Ordering::Relaxed) {
            let start = start(&format!("{lane}-{}", accepted.len()));
            bench.insist(|| bench.store.create(start.clone())).await;
            let turn = bench.first_turn(&start, 2);
            let outcome = bench.insist(|| bench.commit(&turn)).await;
            assert!(
                matches!(outcome, CommitOutcome::Applied | CommitOutcome::Duplicate),
                "{outcome:?}"
            );
            accepted.push(start);
        }
        accepted
    };
    let killing = async {
        for _ in 0..3 {
            let before = bench.insist(|| bench.store.time()).await;
            let busy = |now: Timestamp| now.since(before) > Duration::from_millis(150);
            while !busy(bench.insist(|| bench.store.time()).await) {
                bench.runtime.sleep(Duration::from_millis(10)).await;
            }
            tokio::task::block_in_place(|| {
                server.kill();
                server.restart().unwrap();
            });
        }
        enough.store(true, Ordering::Relaxed);
    };
    let (accepted, ()) = futures::join!(join_all((0..8).map(worker)), killing);
    let accepted: Vec<StartInstance> = accepted.into_iter().flatten().collect();
    assert!(accepted.len() > 8, "{}", accepted.len());
    let requests = accepted.iter().map(|start| LoadRequest {
        id: start.id.clone(),
        history: true,
    });
    for (loaded, start) in bench
        .store
        .load(requests.collect())
        .await
        .into_iter()
        .zip(&accepted)
    {
        let loaded = loaded.unwrap().unwrap_or_else(|| panic!("{} is lost", start.id));
        assert_eq!(loaded.row.commit_number, CommitNumber(1), "{}", start.id);
        assert_eq!(loaded.history.len(), 2, "{}", start.id);
    }
}

#[tokio::test]
async fn a_commit_may_have_9000_events_messages_and_timers() {
    let bench = Bench::shared().await;
    let start = bench.create("large").await;
    let mut turn = bench.first_turn(&start, 9_000);
    turn.outbox_add = (1..=9_000).map(publication).collect();
    turn.inbox_add = (1..=9_000).map(|id| envelope(&start.id, id)).collect();
    let due = Timestamp::from_micros(5);
    turn.timers_add = (1..=9_000)
        .map(|task| TimerEntry {
            task: TaskId(task),
            due,
        })
        .collect();
    assert_eq!(bench.commit(&turn).await.unwrap(), CommitOutcome::Applied);
    let request = LoadRequest {
        id: start.id.clone(),
        history: true,
    };
    let loaded = bench.store.load(vec![request]).await.remove(0).unwrap().unwrap();
    assert_eq!((loaded.history.len(), loaded.inbox.len()), (9_000, 9_000));

    let mut last = bench.first_turn(&start, 1);
    (last.expected, last.expected_seq) = (CommitNumber(1), EventSeq(9_000));
    last.row = change(Status::Completed);
    last.outbox_remove = (1..=9_000).map(MessageId::from_bits).collect();
    last.timers_remove = (1..=9_000).map(TaskId).collect();
    assert_eq!(bench.commit(&last).await.unwrap(), CommitOutcome::Applied);
    let partition = PartitionId::of(&start.id, PARTITIONS);
    let page = PageRequest {
        cursor: None,
        limit: 10,
    };
    assert_eq!(
        bench.store.outbox(partition, page).await.unwrap(),
        Default::default()
    );
    assert_eq!(bench.store.due_timers(partition, 10).await.unwrap().due, []);
}

#[tokio::test]
async fn a_full_server_refuses_starts_and_lets_running_work_end() {
    let server = RedisServer::start().unwrap();
    let mut bench = Bench::on(&server).await;
    let start_a = bench.create("a").await;
    let limit = |raw: &mut redis::Connection, percent: u64| {
        let info: redis::InfoDict = redis::cmd("INFO").arg("memory").query(raw).unwrap();
        let used: u64 = info.get("used_memory").unwrap();
        let most = (used * 100 / percent).to_string();
        let _: () = redis::cmd("CONFIG")
            .arg("SET")
            .arg("maxmemory")
            .arg(most)
            .query(raw)
            .unwrap();
    };
    let full = async |bench: &Bench| {
        let begun = bench.runtime.now();
        loop {
            match bench
                .store
                .create(start(&format!("{}", bench.runtime.random())))
                .await
            {
                Err(error @ StoreError::Full { .. }) => break says(&error, &["LH1503"]),
                Ok(Created::New) if bench.runtime.now().since(begun) < DEADLINE => {
                    bench.runtime.sleep(Duration::from_millis(50)).await;
                }
                other => panic!("{other:?}"),
            }
        }
    };
    limit(&mut bench.raw, 85);
    full(&bench).await;
    assert_eq!(
        bench.store.create(start_a.clone()).await.unwrap(),
        Created::Repeated(Status::Pending)
    );

    limit(&mut bench.raw, 200);
    full(&bench).await;
    let posted = bench.store.post(envelope(&start_a.id, 1)).await.unwrap_err();
    assert!(matches!(posted, StoreError::Full { .. }), "{posted:?}");
    let mut turn = bench.first_turn(&start_a, 5);
    turn.outbox_add = vec![publication(1)];
    turn.row = change(Status::Completed);
    assert_eq!(bench.commit(&turn).await.unwrap(), CommitOutcome::Applied);
    let token = turn.token.clone();
    assert!(
        bench
            .store
            .forget_confirmed(turn.partition, &token, vec![MessageId::from_bits(1)])
            .await
            .unwrap()
    );

    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "0"])
        .query(&mut bench.raw)
        .unwrap();
    let created = bench.insist(|| bench.store.create(start("b"))).await;
    assert_eq!(created, Created::New);
}

#[tokio::test]
async fn a_server_that_stops_answering_is_an_error_in_time_and_none_afterwards() {
    let mut server = RedisServer::start().unwrap();
    let short = Duration::from_millis(500);
    let timeouts = RedisTimeouts {
        connect: short,
        response: short,
        replicate: short,
    };
    let bench = Bench::with(&server.url(), |config| config.timeouts = timeouts).await;
    let start = bench.create("a").await;
    let turn = bench.first_turn(&start, 1);
    server.freeze().unwrap();
    let begun = bench.runtime.now();
    for _ in 0..4 {
        let error = bench.commit(&turn).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    }
    assert!(bench.runtime.now().since(begun) < DEADLINE);
    server.thaw().unwrap();
    let outcome = bench.insist(|| bench.commit(&turn)).await;
    assert!(
        matches!(outcome, CommitOutcome::Applied | CommitOutcome::Duplicate),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left_for_a_new_connection() {
    let (server, other) = (RedisServer::start().unwrap(), RedisServer::start().unwrap());
    let mut bench = Bench::on(&server).await;
    let start = bench.create("a").await;
    let turn = bench.first_turn(&start, 1);
    replicate(&mut bench.raw, Some(&other)).await;
    let error = bench.commit(&turn).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(
        error.to_string().contains("READONLY") || error.to_string().contains("MASTERDOWN"),
        "{error}"
    );
    replicate(&mut bench.raw, None).await;
    // The data went with the failover; what matters is that somebody answers.
    let outcome = bench.insist(|| bench.commit(&turn)).await;
    assert!(
        matches!(outcome, CommitOutcome::Fenced | CommitOutcome::Applied),
        "{outcome:?}"
    );
}

async fn replicate(raw: &mut redis::Connection, primary: Option<&RedisServer>) {
    let (host, port) = match primary {
        Some(primary) => ("127.0.0.1".to_owned(), primary.port().to_string()),
        None => ("NO".to_owned(), "ONE".to_owned()),
    };
    let _: () = redis::cmd("REPLICAOF").arg(host).arg(port).query(raw).unwrap();
}

#[tokio::test]
async fn replicated_means_that_a_replica_has_it() {
    let (server, replica) = (RedisServer::start().unwrap(), RedisServer::start().unwrap());
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
    let mut settings = config(&server.url(), "h");
    settings.durability = Durability::Replicated;
    settings.timeouts.replicate = Duration::from_millis(100);
    let store = RedisStore::connect(settings, runtime.clone()).await.unwrap();
    let error = store.open_hub(SETTINGS).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    says(&error, &["no replica"]);
    // It is there now, and reading needs no replica.
    assert_eq!(store.open_hub(SETTINGS).await.unwrap().partitions, PARTITIONS);
    let error = store.create(start("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");

    let mut raw = redis::Client::open(replica.url())
        .unwrap()
        .get_connection()
        .unwrap();
    replicate(&mut raw, Some(&server)).await;
    let begun = runtime.now();
    while let Err(error) = store.create(start("a")).await {
        assert!(
            error.is_retryable() && runtime.now().since(begun) < DEADLINE,
            "{error}"
        );
        runtime.sleep(Duration::from_millis(20)).await;
    }
    let partition = PartitionId::of(&start("a").id, PARTITIONS);
    let kept: bool = raw.exists(format!("{{h:p{partition}}}:i:a")).unwrap();
    assert!(kept, "the replica does not have what was accepted");

    replicate(&mut raw, None).await;
    let begun = runtime.now();
    // It takes the primary a moment to notice.
    while store.create(start("b")).await.is_ok() {
        assert!(runtime.now().since(begun) < DEADLINE);
        runtime.sleep(Duration::from_millis(20)).await;
    }
    let error = store.create(start("b")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    let error = store.post(envelope(&start("a").id, 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_password_that_changes_is_an_error_only_while_it_is_wrong() {
    let server = RedisServer::start().unwrap();
    let mut bench = Bench::on(&server).await;
    let set = |raw: &mut redis::Connection, password: &str| {
        let _: () = redis::cmd("CONFIG")
            .arg(&["SET", "requirepass", password])
            .query(raw)
            .unwrap();
        let _: usize = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal"])
            .query(raw)
            .unwrap();
    };
    set(&mut bench.raw, "secret");
    for id in ["a", "b"] {
        let error = bench.store.create(start(id)).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        says(&error, &["NOAUTH"]);
    }
    set(&mut bench.raw, "");
    bench.insist(|| bench.store.create(start("a"))).await;
    bench.insist(|| bench.store.time()).await;
}
