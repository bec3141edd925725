//! Owns what holds at the bounds: the largest commits, the longest and strangest texts.
//! Never goes beyond them: `limits` says where they are, and who keeps to them.

use std::collections::BTreeSet;

use longhaul_shared::commit::{TimerEntry, TurnCommit};
use longhaul_shared::history::{EventKind, HistoryEvent, Place, TaskCompleted, TaskScheduled};
use longhaul_shared::id::{
    Dispatch, EventSeq, Fingerprint, InstanceId, PartitionId, QueueName, StartId, TaskId,
};
use longhaul_shared::instance::Status;
use longhaul_shared::limits::{
    COMMIT_ACTIONS_MAX, INSTANCE_ID_BYTES_MAX, PAYLOAD_BYTES_MAX, START_ID_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX,
};
use longhaul_shared::message::Destination;
use longhaul_shared::port::{Created, PageRequest, Posted, Query};

use super::{PARTITIONS, StoreHub};
use crate::conformance::sample;

/// A commit of `COMMIT_ACTIONS_MAX` tasks, each with its event, its message and its timer, is applied whole;
/// so is the one that confirms and removes them all.
pub async fn a_commit_of_many_actions_is_whole(hub: StoreHub) {
    let mut owned = hub.owned("wide").await;
    let tasks: Vec<_> = (1..).map(TaskId).take(COMMIT_ACTIONS_MAX).collect();
    let scheduled = |task: &TaskId| HistoryEvent {
        time: owned.now,
        kind: EventKind::TaskScheduled(TaskScheduled {
            task: *task,
            name: sample::name("copy"),
            fingerprint: Fingerprint(u64::from(task.0)),
            place: Place::Queue(QueueName::default()),
            input: Some(sample::payload_of(8)),
            timeout: None,
            tags: std::collections::BTreeMap::new(),
        }),
    };
    let destination = Destination::Work(QueueName::default());
    let turn = TurnCommit {
        events: tasks.iter().map(scheduled).collect(),
        outbox_add: (0..tasks.len() as u64)
            .map(|number| sample::publication(destination.clone(), number, owned.now))
            .collect(),
        timers_add: tasks
            .iter()
            .map(|task| TimerEntry {
                task: *task,
                due: owned.now,
            })
            .collect(),
        ..hub.turn(&owned, 0)
    };
    hub.apply(turn.clone(), &mut owned).await;
    assert_eq!(hub.load(&owned.key.instance).await.history, turn.events);
    let timers = hub
        .store
        .due_timers(owned.partition, 10_000)
        .await
        .expect("timers");
    assert_eq!(timers.due.len(), tasks.len());
    let sent: BTreeSet<_> = turn.outbox_add.iter().map(|message| message.id).collect();
    let mut kept = BTreeSet::new();
    let mut page = PageRequest {
        cursor: None,
        limit: 500,
    };
    loop {
        let read = hub
            .store
            .outbox(owned.partition, page.clone())
            .await
            .expect("outbox");
        kept.extend(read.messages.iter().map(|message| message.id));
        if read.next.is_none() {
            break;
        }
        page.cursor = read.next;
    }
    assert_eq!(kept, sent);
    let undo = TurnCommit {
        outbox_remove: sent.into_iter().collect(),
        timers_remove: tasks,
        ..hub.turn(&owned, 1)
    };
    hub.apply(undo, &mut owned).await;
    assert_eq!(hub.outbox_ids(owned.partition).await, []);
    let timers = hub.store.due_timers(owned.partition, 10).await.expect("timers");
    assert_eq!((timers.due, timers.next), (Vec::new(), None));
}

/// A commit with two payloads of nearly `PAYLOAD_BYTES_MAX`, about 1 MiB in all, is applied whole; so is the
/// largest input and output.
pub async fn a_commit_of_many_bytes_is_whole(hub: StoreHub) {
    let large = sample::payload_of(PAYLOAD_BYTES_MAX);
    let mut start = hub.a_start(&sample::id("heavy"));
    start.input = large.clone();
    assert_eq!(hub.store.create(start.clone()).await, Ok(Created::New));
    let token = hub.own(PartitionId::of(&start.id, PARTITIONS)).await;
    let mut owned = hub.owned_under(start, token).await;
    let output = sample::payload_of(PAYLOAD_BYTES_MAX - 1_024);
    let events: Vec<_> = (1..=2)
        .map(|task| HistoryEvent {
            time: owned.now,
            kind: EventKind::TaskCompleted(TaskCompleted {
                task: TaskId(task),
                dispatch: Dispatch(1),
                output: output.clone(),
            }),
        })
        .collect();
    for _ in 0..3 {
        let turn = TurnCommit {
            events: events.clone(),
            ..hub.turn(&owned, 0)
        };
        hub.apply(turn, &mut owned).await;
    }
    let mut last = hub.last_turn(&owned, Status::Completed);
    last.events = events[..1].to_vec();
    last.row.output = Some(large.clone());
    hub.apply(last, &mut owned).await;
    let loaded = hub.load(&owned.key.instance).await;
    assert_eq!(loaded.row.last_seq, EventSeq(7));
    assert!(loaded.row.input == large, "the input is kept byte by byte");
    assert!(
        loaded.row.output == Some(large),
        "the output is kept byte by byte"
    );
    assert_eq!(loaded.history.len(), 7);
    for (event, at) in loaded.history.iter().zip([0, 1, 0, 1, 0, 1, 0]) {
        assert!(*event == events[at], "an event is kept byte by byte");
    }
}

/// Ids that a store may be tempted to take for something else.
fn awkward_ids() -> Vec<InstanceId> {
    let texts = [
        " ",
        "  ",
        "a",
        "a ",
        " a",
        "A",
        "ä",
        "a\u{308}",
        "0",
        "00",
        "-1",
        "1e3",
        "nil",
        "null",
        "NaN",
        "*",
        "?",
        "[a]",
        "a*",
        "{a}",
        "{",
        "}",
        "{}",
        "a{b}c",
        ":",
        "a:",
        ":a",
        "a:b",
        "a::b",
        "a:b:c",
        "p001",
        "{default:p001}",
        "%",
        "%s",
        "a%20b",
        "$1",
        "\\",
        "\\n",
        "\\x00",
        "'",
        "\"",
        "`",
        ";",
        "--",
        "/",
        "../..",
        "a/b",
        "a.b",
        "#",
        "@",
        "~",
        "\u{a0}",
        "\u{200b}",
        "\u{202e}abc",
        "\u{feff}",
        "\u{fffd}",
        "\u{10ffff}",
        "日本語",
        "🦀",
        "🦀🦀",
    ];
    let mut ids: Vec<_> = texts.iter().map(|text| sample::id(text)).collect();
    for filler in ["x", "ÿ", "\u{10ffff}"] {
        let longest = filler.repeat(INSTANCE_ID_BYTES_MAX / filler.len());
        ids.push(sample::id(&longest));
        ids.push(sample::id(&longest[filler.len()..]));
    }
    // Every character below U+0800 that an id may hold, which is every first byte of one and two.
    let allowed = ('\0'..'\u{800}').filter(|c| !c.is_control());
    for run in allowed.collect::<Vec<_>>().chunks(48) {
        ids.push(sample::id(&run.iter().collect::<String>()));
    }
    ids
}

/// Instances with the strangest ids live side by side: none is taken for another, by any method.
pub async fn awkward_ids_are_told_apart(hub: StoreHub) {
    let ids = awkward_ids();
    let all: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(all.len(), ids.len(), "the test's ids differ");
    let mut tokens = Vec::new();
    for partition in PartitionId::all(PARTITIONS) {
        tokens.push(hub.own(partition).await);
    }
    let mut owned = Vec::new();
    for id in &ids {
        let start = hub.create(id.as_str()).await;
        let token = tokens[usize::from(PartitionId::of(id, PARTITIONS).0)].clone();
        owned.push(hub.owned_under(start, token).await);
    }
    for one in &mut owned {
        let id = &one.key.instance;
        assert_eq!(hub.store.post(sample::letter(id, 1)).await, Ok(Posted::Accepted));
        let turn = TurnCommit {
            timers_add: vec![TimerEntry {
                task: TaskId(1),
                due: one.now,
            }],
            ..hub.turn(one, id.as_str().len() as u64)
        };
        hub.apply(turn, one).await;
    }
    let (mut ready, mut open, mut timers) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for partition in PartitionId::all(PARTITIONS) {
        ready.extend(hub.ready(partition).await);
        open.extend(hub.open(partition).await);
        let due = hub.store.due_timers(partition, 1_000).await.expect("timers");
        timers.extend(due.due.into_iter().map(|timer| timer.key.instance));
    }
    assert_eq!(ready, all, "the ready set");
    assert_eq!(open, all, "the open set");
    assert_eq!(timers, all, "the timers");
    let mut listed = BTreeSet::new();
    let mut query = Query::default();
    query.page.limit = 7;
    loop {
        let page = hub.store.query(query.clone()).await.expect("a list");
        listed.extend(page.instances.into_iter().map(|summary| summary.id));
        if page.next.is_none() {
            break;
        }
        query.page.cursor = page.next;
    }
    assert_eq!(listed, all, "the list");
    for one in &owned {
        let id = &one.key.instance;
        let loaded = hub.load(id).await;
        assert_eq!(loaded.row.id, *id);
        assert_eq!(loaded.row.start_id.as_str(), format!("start of {id}"));
        assert_eq!(loaded.row.execution, one.key.execution);
        assert_eq!(loaded.inbox, [sample::letter(id, 1)], "{id:?}");
        assert_eq!(loaded.history.len(), id.as_str().len(), "{id:?}");
    }
}

/// Names, start ids and tags of full length are kept.
pub async fn long_texts_are_kept(hub: StoreHub) {
    let mut start = hub.a_start(&sample::id("a"));
    start.start_id = StartId::new("\u{10ffff}".repeat(START_ID_BYTES_MAX / 4)).expect("a valid start id");
    start.name = sample::name(&"n".repeat(longhaul_shared::limits::NAME_BYTES_MAX));
    start.version = Some("v\"\\\n ü".to_owned());
    start.tags = (0..TAGS_MAX)
        .map(|number| {
            let key = format!("{number:0>width$}", width = TAG_BYTES_MAX);
            (key, "🦀".repeat(TAG_BYTES_MAX / 4))
        })
        .collect();
    assert_eq!(hub.store.create(start.clone()).await, Ok(Created::New));
    let row = hub.load(&start.id).await.row;
    assert_eq!((&row.start_id, &row.name), (&start.start_id, &start.name));
    assert_eq!((&row.version, &row.tags), (&start.version, &start.tags));
    let created = hub.store.create(start).await;
    assert_eq!(created, Ok(Created::Repeated(Status::Pending)));
}
