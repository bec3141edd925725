//! What arrives twice, late, or was never asked for: it changes nothing, and what is strange is kept and shown.

use futures::future::join_all;
use longhaul_examples::contracts::{HELLO_SEQUENCE, JOURNAL_CHAIN, JournalRequest};
use longhaul_shared::codec;
use longhaul_shared::history::{EventKind, HistoryEvent};
use longhaul_shared::id::{EventSeq, ExecutionKey, Fingerprint, TaskId};
use longhaul_shared::message::{Destination, Envelope, TaskIdentity, TaskResult};
use longhaul_shared::payload::Payload;
use longhaul_shared::port::LoadedInstance;
use longhaul_shared::time::Timestamp;

use crate::journal::Journal;
use crate::site::{DEADLINE, Site, instance};

/// More lines than a test ever lets be written.
const ENDLESS: u64 = 100_000;

pub(crate) async fn wakes_sent_twice_change_nothing(site: &Site) {
    const INSTANCES: u64 = 20;
    const LINES: u64 = 3;
    let journal = Journal::at(site.path("journal"));
    let ids: Vec<_> = (0..INSTANCES).map(|n| format!("woken-{n}")).collect();
    let mut runs = Vec::new();
    for id in &ids {
        runs.push(site.start_new(JOURNAL_CHAIN, id, journal.request(LINES)).await);
        site.wake(id).await;
    }
    for (id, run) in ids.iter().zip(&runs) {
        site.wake(id).await;
        site.wake(id).await;
        assert_eq!(site.output(run).await, LINES);
        site.wake(id).await;
    }
    let ended = join_all(ids.iter().map(|id| site.load(id))).await;
    // Whatever was sent to a partition before is dealt with once a later start there has run.
    for partition in site.partitions() {
        let id = site.id_in(partition, "later");
        let run = site.start_new(HELLO_SEQUENCE, &id, ()).await;
        site.output(&run).await;
    }
    for (id, ended) in ids.iter().zip(ended) {
        assert_eq!(site.load(id).await, ended);
        assert_eq!(ended.history.len() as u64, 4 * (LINES + 1), "{id}");
        journal.check(id, LINES, 1);
    }
}

pub(crate) async fn a_copy_of_a_result_is_dropped(site: &Site) {
    const LINES: u64 = 30;
    let journal = Journal::at(site.path("journal"));
    let request = JournalRequest {
        each_ms: 30,
        ..journal.request(LINES)
    };
    let run = site.start_new(JOURNAL_CHAIN, "copied", request).await;
    let answered = site
        .wait_until("some lines are answered", DEADLINE, async || {
            let loaded = site.load("copied").await;
            (answers(&loaded.history) >= 3).then_some(loaded)
        })
        .await;
    // Believed once more, any of them would spoil the sum.
    for (identity, dispatch) in scheduled(&answered).into_iter().take(3) {
        let copy = Envelope::task_done(
            identity,
            dispatch,
            TaskResult::Completed(Payload::encode(&1_000).unwrap()),
        );
        for _ in 0..3 {
            send(site, &copy).await;
        }
    }
    assert_eq!(site.output(&run).await, LINES);
    let ended = site.load("copied").await;
    assert_eq!(answers(&ended.history) as u64, LINES);
    journal.check("copied", LINES, 1);

    // Another result, for an instance that has ended.
    for (identity, dispatch) in scheduled(&ended) {
        send(
            site,
            &Envelope::task_done(identity, dispatch, TaskResult::Completed(Payload::unit())),
        )
        .await;
    }
    let neighbour = site.neighbour_of("copied");
    let run = site.start_new(HELLO_SEQUENCE, &neighbour, ()).await;
    site.output(&run).await;
    assert_eq!(site.load("copied").await, ended);
    assert_eq!(site.parked(0).await, [], "a copy is nothing strange");
}

pub(crate) async fn a_result_of_an_unknown_task_is_parked_and_listed(site: &Site) {
    let journal = Journal::at(site.path("journal"));
    let request = JournalRequest {
        each_ms: 30,
        ..journal.request(ENDLESS)
    };
    site.start_new(JOURNAL_CHAIN, "deceived", request).await;
    let loaded = site
        .wait_until("a line is answered", DEADLINE, async || {
            let loaded = site.load("deceived").await;
            (answers(&loaded.history) >= 1).then_some(loaded)
        })
        .await;
    let (known, dispatch) = scheduled(&loaded).remove(0);
    let never_scheduled = TaskIdentity {
        task: TaskId(4_000_000),
        scheduled_seq: EventSeq(2),
        ..known.clone()
    };
    // The next task, which will be scheduled, but elsewhere and under another fingerprint.
    let guessed = TaskIdentity {
        task: TaskId(4_000_001),
        fingerprint: Fingerprint(known.fingerprint.0 ^ 1),
        ..known
    };
    let result = || TaskResult::Completed(Payload::encode(&1_000).unwrap());
    for forged in [never_scheduled, guessed] {
        let forged = Envelope::task_done(forged, dispatch, result());
        // A copy of what is strange is kept once.
        send(site, &forged).await;
        send(site, &forged).await;
    }
    let parked = site.parked(2).await;
    assert_eq!(parked.len(), 2);
    for message in parked {
        assert_eq!(message.code, "LH1404");
        assert_eq!(
            message.origin,
            Destination::Control(site.partition(&instance("deceived")))
        );
        assert!(message.reason.contains("deceived"), "{}", message.reason);
        let envelopes = codec::decode_control(&message.body).unwrap();
        assert_eq!(envelopes.len(), 1, "it can be sent again as it is");
    }
    site.terminate("deceived", "the test is over").await;
    site.ended("deceived").await;
}

fn answers(history: &[HistoryEvent]) -> usize {
    history
        .iter()
        .filter(|event| matches!(event.kind, EventKind::TaskCompleted(_)))
        .count()
}

/// The identities of the tasks that have been answered, with the dispatches that were.
fn scheduled(loaded: &LoadedInstance) -> Vec<(TaskIdentity, longhaul_shared::id::Dispatch)> {
    let key = ExecutionKey {
        instance: loaded.row.id.clone(),
        execution: loaded.row.execution,
    };
    let answered = loaded.history.iter().filter_map(|event| match &event.kind {
        EventKind::TaskCompleted(completed) => Some(completed),
        _ => None,
    });
    answered
        .map(|completed| {
            let (seq, fingerprint) = loaded
                .history
                .iter()
                .zip(1..)
                .find_map(|(event, seq)| match &event.kind {
                    EventKind::TaskScheduled(task) if task.task == completed.task => {
                        Some((seq, task.fingerprint))
                    }
                    _ => None,
                })
                .unwrap();
            let identity = TaskIdentity {
                key: key.clone(),
                task: completed.task,
                scheduled_seq: EventSeq(seq),
                fingerprint,
            };
            (identity, completed.dispatch)
        })
        .collect()
}

async fn send(site: &Site, envelope: &Envelope) {
    let partition = site.partition(&envelope.instance);
    let body = codec::encode(&[envelope]);
    site.publish(codec::control_message(partition, body, Timestamp::default()))
        .await;
}
