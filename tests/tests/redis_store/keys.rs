//! What the keys hold, byte by byte, and that no call leaves a change half done.
//! Never looks through the store what it can look up in Redis itself.

use std::collections::BTreeMap;

use longhaul_shared::commit::{CommitOutcome, TimerEntry, TurnCommit};
use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::id::{
    CommitId, CommitNumber, Epoch, EventSeq, ExecutionId, ExecutionKey, InstanceId, LeaseToken, MessageId,
    PartitionId, QueueName, TaskId,
};
use longhaul_shared::instance::{StartInstance, Status, WaitingFor};
use longhaul_shared::message::{Destination, Incoming};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{Created, Posted, Store, StoreError};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;
use longhaul_tests::servers::RedisServer;
use redis::Commands;

use crate::bench::{Bench, PARTITIONS, SETTINGS, change, envelope, publication, says, start};

#[tokio::test]
async fn the_fields_of_a_row_are_pinned() {
    let mut bench = Bench::shared().await;
    let start = StartInstance {
        version: Some("2".to_owned()),
        input: Payload::json("7").unwrap(),
        tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        trace: TraceContext::from_headers(Some("00-aa-bb-01"), None),
        ..start("order/7")
    };
    bench.store.create(start.clone()).await.unwrap();
    let row = bench.key(&start.id, "i:order/7");
    let mut fields: BTreeMap<String, Vec<u8>> = bench.raw.hgetall(&row).unwrap();
    let (created, changed) = (fields.remove("cr").unwrap(), fields.remove("ch").unwrap());
    assert_eq!(
        (created.len(), &created),
        (16, &changed),
        "microseconds since 1970"
    );
    let execution = [&[0; 14][..], &[0xfe, 0xed]].concat();
    let expected: &[(&str, &[u8])] = &[
        ("cn", b"0"),
        ("ex", &execution),
        ("in", b"\x82\xa1e\x02\xa1d\xc4\x017"),
        ("nm", b"backup"),
        ("si", b"start-order/7"),
        ("sq", b"0"),
        ("st", b"6"),
        ("tc", b"\x81\xa2tp\xab00-aa-bb-01"),
        ("tg", b"\x81\xa1k\xa1v"),
        ("vr", b"2"),
    ];
    check_fields(&fields, expected);

    let mut turn = bench.first_turn(&start, 2);
    turn.id = CommitId::from_bits(7);
    turn.row.waiting_for = Some(WaitingFor::Paused {
        code: "LH1".to_owned(),
        message: "m".to_owned(),
    });
    bench.commit(&turn).await.unwrap();
    let mut last = bench.first_turn(&start, 0);
    last.id = CommitId::from_bits(8);
    (last.expected, last.expected_seq) = (CommitNumber(1), EventSeq(2));
    last.row = change(Status::Failed);
    last.row.output = Some(Payload::unit());
    last.row.failure = Some(Failure::new(FailureKind::Panicked, "why"));
    let waiting: Vec<u8> = bench.raw.hget(&row, "wf").unwrap();
    assert_eq!(waiting, b"\x81\xa1p\x82\xa1c\xa3LH1\xa1m\xa1m");
    assert_eq!(bench.commit(&last).await.unwrap(), CommitOutcome::Applied);
    let after: BTreeMap<String, Vec<u8>> = bench.raw.hgetall(&row).unwrap();
    let commit = [&[0; 15][..], &[8]].concat();
    let expected: &[(&str, &[u8])] = &[
        ("ch", b"1800000000000001"),
        ("cn", b"2"),
        ("cr", &created),
        ("ex", &execution),
        ("fl", b"\x82\xa1k\xa8panicked\xa1m\xa3why"),
        ("in", b"\x82\xa1e\x02\xa1d\xc4\x017"),
        ("lc", &commit),
        ("nm", b"backup"),
        ("out", b"\x82\xa1e\x01\xa1d\xc4\x01\xc0"),
        ("si", b"start-order/7"),
        ("sq", b"2"),
        ("st", b"3"),
        ("tc", b"\x81\xa2tp\xab00-aa-bb-01"),
        ("tg", b"\x81\xa1k\xa1v"),
        ("vr", b"2"),
    ];
    check_fields(&after, expected);
}

fn check_fields(found: &BTreeMap<String, Vec<u8>>, expected: &[(&str, &[u8])]) {
    let found: Vec<(&str, &[u8])> = found
        .iter()
        .map(|(name, value)| (name.as_str(), &value[..]))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_commit_changes_these_keys_and_no_others() {
    let mut bench = Bench::shared().await;
    let start = bench.create("a").await;
    let id = start.id.clone();
    let [
        row,
        inbox,
        ready,
        outbox,
        timers,
        open,
        all,
        pending,
        running,
        completed,
    ] = [
        "i:a", "in:a", "ready", "outbox", "timers", "open", "ix:all", "ix:st:6", "ix:st:0", "ix:st:1",
    ]
    .map(|name| bench.key(&id, name));
    let history = bench.key(&id, "h:a:0000000000000000000000000000feed");
    let created: f64 = bench.raw.zscore(&all, "a").unwrap();
    for key in [&ready, &open, &pending] {
        assert_eq!(bench.raw.zscore::<_, _, f64>(key, "a").unwrap(), created, "{key}");
    }
    assert_eq!(
        bench.store.post(envelope(&id, 1)).await.unwrap(),
        Posted::Accepted
    );

    let mut turn = bench.first_turn(&start, 3);
    turn.inbox_add = vec![envelope(&id, 2)];
    turn.inbox_remove = vec![MessageId::from_bits(1)];
    turn.outbox_add = vec![publication(10), publication(11)];
    let due = Timestamp::from_micros(1_900_000_000_000_003);
    turn.timers_add = [1, 2]
        .map(|task| TimerEntry {
            task: TaskId(task),
            due,
        })
        .to_vec();
    assert_eq!(bench.commit(&turn).await.unwrap(), CommitOutcome::Applied);
    let entries: Vec<(String, BTreeMap<String, Vec<u8>>)> = bench.raw.xrange_all(&history).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].0, "1-3");
    assert_eq!(entries[0].1.keys().collect::<Vec<_>>(), ["e"]);
    assert_eq!(ids_in(&inbox, &mut bench.raw), [2]);
    assert_eq!(ids_in(&outbox, &mut bench.raw), [10, 11]);
    let timer = [&start.execution.bytes()[..], &[0, 0, 0, 1], b"a"].concat();
    for (key, member, score) in [
        (&timers, &timer[..], Some(1_900_000_000_000_003.0)),
        (&open, b"a", Some(1_800_000_000_000_001.0)),
        // Something is left in the inbox, so the instance stays in the ready set.
        (&ready, b"a", Some(created)),
        (&pending, b"a", None),
        (&running, b"a", Some(created)),
    ] {
        let found: Option<f64> = bench.raw.zscore(key, member).unwrap();
        assert_eq!(found, score, "{key}");
    }

    let mut last = bench.first_turn(&start, 1);
    (last.expected, last.expected_seq) = (CommitNumber(1), EventSeq(3));
    last.row = change(Status::Completed);
    last.outbox_remove = vec![MessageId::from_bits(10), MessageId::from_bits(11)];
    last.timers_remove = vec![TaskId(1), TaskId(2)];
    assert_eq!(bench.commit(&last).await.unwrap(), CommitOutcome::Applied);
    assert_eq!(bench.commit(&last).await.unwrap(), CommitOutcome::Duplicate);
    let tag = bench.key(&id, "*");
    let mut left: Vec<String> = bench.raw.keys(&tag).unwrap();
    left.sort();
    let mut expected = vec![all, completed.clone(), history, bench.key(&id, "lease"), row];
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(bench.raw.zscore::<_, _, f64>(&completed, "a").unwrap(), created);
}

/// The message ids that name the fields of a hash.
fn ids_in(key: &str, raw: &mut redis::Connection) -> Vec<u128> {
    let names: Vec<Vec<u8>> = raw.hkeys(key).unwrap();
    let ids = names
        .iter()
        .map(|name| u128::from_be_bytes(name[..].try_into().unwrap()));
    let mut ids: Vec<u128> = ids.collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn what_may_not_be_committed_changes_no_byte() {
    let server = RedisServer::with_config(&[("enable-debug-command", "yes")]).unwrap();
    let mut bench = Bench::on(&server).await;
    let start = bench.create("a").await;
    bench.commit(&bench.first_turn(&start, 2)).await.unwrap();
    let mut next = bench.first_turn(&start, 1);
    (next.expected, next.expected_seq) = (CommitNumber(1), EventSeq(2));
    next.outbox_add = vec![publication(1)];
    let before = digest(&mut bench.raw);
    let mut refused = async |expected: CommitOutcome, change: &dyn Fn(&mut TurnCommit)| {
        let mut wrong = next.clone();
        change(&mut wrong);
        assert_eq!(bench.commit(&wrong).await.unwrap(), expected, "{wrong:?}");
        assert_eq!(digest(&mut bench.raw), before, "{wrong:?}");
    };
    use CommitOutcome::{Conflict, Fenced};
    let other = LeaseToken::new(9, 9);
    refused(Fenced, &|commit| commit.token = other.clone()).await;
    refused(Conflict, &|commit| commit.expected = CommitNumber(0)).await;
    refused(Conflict, &|commit| commit.expected = CommitNumber(2)).await;
    refused(Conflict, &|commit| commit.expected_seq = EventSeq(1)).await;
    refused(Conflict, &|commit| commit.execution = ExecutionId::from_bits(1)).await;
    refused(Conflict, &|commit| {
        commit.instance = InstanceId::new("b").unwrap()
    })
    .await;
    assert_eq!(bench.commit(&next).await.unwrap(), CommitOutcome::Applied);
}

fn digest(raw: &mut redis::Connection) -> String {
    redis::cmd("DEBUG").arg("DIGEST").query(raw).unwrap()
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_named_and_nothing_is_written() {
    let server = RedisServer::with_config(&[("enable-debug-command", "yes")]).unwrap();
    let mut bench = Bench::on(&server).await;
    let start = bench.create("a").await;
    let mut turn = bench.first_turn(&start, 1);
    turn.outbox_add = vec![publication(1)];
    turn.timers_add = vec![TimerEntry {
        task: TaskId(1),
        due: Timestamp::from_micros(1),
    }];
    let history = "h:a:0000000000000000000000000000feed";
    for name in ["in:a", "ready", "outbox", "timers", "open", "ix:st:0", history] {
        let key = bench.key(&start.id, name);
        let aside = format!("{key}:aside");
        let had: bool = bench.raw.exists(&key).unwrap();
        if had {
            let _: () = bench.raw.rename(&key, &aside).unwrap();
        }
        let _: () = bench.raw.set(&key, "foreign").unwrap();
        let before = digest(&mut bench.raw);
        let error = bench.commit(&turn).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { .. }), "{error:?}");
        says(&error, &["LH1109", if name == history { "i:a" } else { &key }]);
        assert_eq!(digest(&mut bench.raw), before, "{key}");
        let _: () = bench.raw.del(&key).unwrap();
        if had {
            let _: () = bench.raw.rename(&aside, &key).unwrap();
        }
    }
    assert_eq!(bench.commit(&turn).await.unwrap(), CommitOutcome::Applied);
}

#[tokio::test]
async fn every_change_may_be_sent_twice() {
    let server = RedisServer::with_config(&[("enable-debug-command", "yes")]).unwrap();
    let mut bench = Bench::on(&server).await;
    let start = bench.create("a").await;
    let token = bench.tokens[usize::from(PartitionId::of(&start.id, PARTITIONS).0)].clone();
    let partition = PartitionId::of(&start.id, PARTITIONS);
    let parked = ParkedMessage::new(
        Destination::Intake,
        "LH1001",
        "unreadable".to_owned(),
        Timestamp::from_micros(5),
        Incoming::default(),
    );
    let mut turn = bench.first_turn(&start, 2);
    turn.outbox_add = vec![publication(1), publication(2)];
    turn.timers_add = vec![TimerEntry {
        task: TaskId(1),
        due: Timestamp::from_micros(1),
    }];
    let key = ExecutionKey {
        instance: start.id.clone(),
        execution: start.execution,
    };
    let store = bench.store.clone();
    let mut digests: Vec<[String; 2]> = Vec::new();
    macro_rules! twice {
        ($call:expr) => {{
            let mut after = || digest(&mut bench.raw);
            let (first, once) = ($call.await, after());
            let (second, again) = ($call.await, after());
            digests.push([once, again]);
            (first, second)
        }};
    }
    twice!(store.open_hub(SETTINGS)).1.unwrap();
    assert_eq!(
        twice!(store.create(start.clone())).1.unwrap(),
        Created::Repeated(Status::Pending)
    );
    assert_eq!(
        twice!(store.post(envelope(&start.id, 1))).1.unwrap(),
        Posted::Accepted
    );
    let outcomes = twice!(store.commit(vec![turn.clone()]));
    assert_eq!(
        outcomes,
        (
            vec![Ok(CommitOutcome::Applied)],
            vec![Ok(CommitOutcome::Duplicate)]
        )
    );
    twice!(store.forget_confirmed(partition, &token, vec![MessageId::from_bits(1)]))
        .1
        .unwrap();
    assert!(
        twice!(store.drop_timers(partition, &token, vec![(key.clone(), TaskId(1))]))
            .1
            .unwrap()
    );
    let era = store.pulse().await.unwrap().era;
    let next = Epoch { number: 1, nonce: 7 };
    assert_eq!(
        twice!(store.advance_epoch(Epoch::default(), next)).1.unwrap(),
        next
    );
    let queue = QueueName::new("gpu").unwrap();
    assert_eq!(twice!(store.note_queue(&queue)), (Ok(true), Ok(false)));
    assert!(twice!(store.mark_rebuilt(partition, &token, &era)).1.unwrap());
    twice!(store.park(parked.clone())).1.unwrap();
    assert_eq!(twice!(store.unpark(parked.id)), (Ok(true), Ok(false)));
    twice!(store.release_lease(partition, &token)).1.unwrap();
    for [once, again] in digests {
        assert_eq!(once, again);
    }
}
