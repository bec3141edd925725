//! Waiting for the end of instances, and listing them.
//! Never about what a row holds.

use std::time::Duration;

use futures::future::join_all;
use longhaul_shared::commit::{CommitOutcome, TurnCommit};
use longhaul_shared::id::{CommitId, EventSeq, ExecutionKey, InstanceId};
use longhaul_shared::instance::Status;
use longhaul_shared::port::{LoadRequest, PageRequest, Query, Store};
use longhaul_shared::time::Timestamp;
use longhaul_tests::servers::RedisServer;
use redis::Commands;

use crate::bench::{Bench, DEADLINE, event};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_waiters_share_one_connection_and_survive_its_loss() {
    let server = RedisServer::start().unwrap();
    let mut bench = Bench::on(&server).await;
    let starts = join_all((0..100).map(|at| {
        let id = format!("w{at}");
        let bench = &bench;
        async move { bench.create(&id).await }
    }))
    .await;
    let waiting = join_all((0..2_000).map(|at| {
        let id = starts[at % starts.len()].id.clone();
        let store = bench.store.clone();
        async move { store.wait_terminal(&id, DEADLINE).await }
    }));
    let listeners = |raw: &mut redis::Connection| -> usize {
        let list: String = redis::cmd("CLIENT")
            .arg(&["LIST", "TYPE", "pubsub"])
            .query(raw)
            .unwrap();
        list.lines().filter(|line| line.contains("sub=4")).count()
    };
    let begun = bench.runtime.now();
    let turns: Vec<TurnCommit> = starts.iter().map(|start| bench.only_turn(start)).collect();
    let raw = &mut bench.raw;
    let (store, runtime) = (&bench.store, &bench.runtime);
    let end = async |turns: &[TurnCommit]| {
        let outcomes = store.commit(turns.to_vec()).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| *outcome == Ok(CommitOutcome::Applied))
        );
    };
    let ending = async {
        while listeners(raw) != 1 {
            assert!(runtime.now().since(begun) < DEADLINE, "nobody listens");
            runtime.sleep(Duration::from_millis(20)).await;
        }
        // The first half ends while everybody listens, the second while nobody does.
        let (heard, missed) = turns.split_at(50);
        end(heard).await;
        let _: usize = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "pubsub"])
            .query(raw)
            .unwrap();
        end(missed).await;
    };
    let (rows, ()) = futures::join!(waiting, ending);
    for row in rows {
        assert_eq!(row.unwrap().unwrap().status, Status::Completed);
    }
}

#[tokio::test]
async fn a_list_over_all_partitions_is_newest_first_and_complete_in_pages_of_any_size() {
    let mut bench = Bench::shared().await;
    for at in 0..60 {
        bench.create(&format!("i{at}")).await;
    }
    // Equal times, as a clock that was set back makes them.
    for at in 0..10 {
        let id = InstanceId::new(format!("i{at}")).unwrap();
        for index in ["ix:all", "ix:st:6"] {
            let _: () = bench.raw.zadd(bench.key(&id, index), id.as_str(), 7).unwrap();
        }
        let _: () = bench
            .raw
            .hset(bench.key(&id, &format!("i:{id}")), "cr", 7)
            .unwrap();
    }
    for (limit, statuses) in [
        (1, vec![]),
        (7, vec![Status::Running, Status::Pending]),
        (100, vec![]),
    ] {
        let mut listed: Vec<(Timestamp, InstanceId)> = Vec::new();
        let mut cursor = None;
        loop {
            let page = PageRequest { cursor, limit };
            let query = Query {
                statuses: statuses.clone(),
                name: None,
                page,
            };
            let page = bench.store.query(query).await.unwrap();
            assert!(page.instances.len() <= limit);
            listed.extend(
                page.instances
                    .into_iter()
                    .map(|summary| (summary.created, summary.id)),
            );
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(listed.len(), 60, "pages of {limit}");
        assert!(
            listed.windows(2).all(|pair| pair[0] > pair[1]),
            "pages of {limit}"
        );
    }
}

#[tokio::test]
async fn a_long_history_is_read_in_pages_from_anywhere() {
    let bench = Bench::shared().await;
    let start = bench.create("long").await;
    let mut turn = bench.first_turn(&start, 0);
    for commit in 0..700_u64 {
        turn.events = (0..3)
            .map(|at| event(usize::try_from(turn.expected_seq.0).unwrap() + at))
            .collect();
        turn.id = CommitId::from_bits(u128::from(commit) + 1);
        assert_eq!(bench.commit(&turn).await.unwrap(), CommitOutcome::Applied);
        turn.expected = turn.expected.next();
        turn.expected_seq = turn.last_seq();
    }
    let key = ExecutionKey {
        instance: start.id.clone(),
        execution: start.execution,
    };
    let all: Vec<i64> = (1..=2_100).collect();
    let read = async |after, limit| -> Vec<i64> {
        let events = bench.store.history(&key, EventSeq(after), limit).await.unwrap();
        events.into_iter().map(|event| event.time.micros()).collect()
    };
    assert_eq!(read(0, 5_000).await, all);
    assert_eq!(read(0, 4).await, all[..4]);
    assert_eq!(read(1, 700).await, all[1..701]);
    assert_eq!(read(1_001, 2).await, all[1_001..1_003]);
    assert_eq!(read(2_099, 2).await, all[2_099..]);
    assert!(read(2_100, 2).await.is_empty());
    let request = LoadRequest {
        id: start.id,
        history: true,
    };
    let loaded = bench.store.load(vec![request]).await.remove(0).unwrap().unwrap();
    assert_eq!(loaded.history.len(), 2_100);
}
