//! Owns what holds for a commit: all of it or nothing, once, by the partition's owner, from where it was expected.
//! Never runs two at once: see `race`.

use std::time::Duration;

use longhaul_shared::commit::{CommitOutcome, Ready, RowChange, TimerEntry, TurnCommit};
use longhaul_shared::id::{CommitId, CommitNumber, EventSeq, LeaseToken, PartitionId, QueueName, TaskId};
use longhaul_shared::instance::{Status, WaitingFor};
use longhaul_shared::message::Destination;
use longhaul_shared::port::Posted;

use super::{LONG, Owned, PARTITIONS, SHORT, StoreHub, neighbours, numbers, running};
use crate::conformance::sample;
use crate::conformance::tasks::until;

/// A commit that changes something of every kind.
fn full_turn(hub: &StoreHub, owned: &Owned) -> TurnCommit {
    TurnCommit {
        inbox_add: vec![sample::letter(&owned.key.instance, 70)],
        outbox_add: vec![sample::publication(
            Destination::Work(QueueName::default()),
            owned.number.0 + 80,
            owned.now,
        )],
        timers_add: vec![TimerEntry {
            task: TaskId(1),
            due: owned.now,
        }],
        ..hub.turn(owned, 3)
    }
}

/// Events, row, inbox, outbox, timers and ready set are all there after one commit.
pub async fn everything_is_applied_at_once(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let turn = full_turn(&hub, &owned);
    hub.apply(turn.clone(), &mut owned).await;
    let loaded = hub.load(&owned.key.instance).await;
    assert_eq!(loaded.history, turn.events);
    assert_eq!(loaded.inbox, turn.inbox_add);
    assert_eq!(loaded.row.status, Status::Running);
    assert_eq!(loaded.row.commit_number, CommitNumber(1));
    assert_eq!(loaded.row.last_commit, Some(turn.id));
    assert_eq!(loaded.row.last_seq, EventSeq(3));
    assert_eq!(loaded.row.changed, turn.row.changed);
    assert_eq!(hub.outbox_ids(owned.partition).await, [turn.outbox_add[0].id]);
    let timers = hub.store.due_timers(owned.partition, 10).await.expect("timers");
    assert_eq!(timers.due.len(), 1, "{timers:?}");
    assert_eq!(
        hub.ready(owned.partition).await,
        [owned.key.instance],
        "an instance with an inbox is ready"
    );
}

/// A commit without events raises the commit number and leaves the history as it is.
pub async fn a_commit_without_events_counts(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    for events in [2, 0, 0, 1] {
        hub.apply(hub.turn(&owned, events), &mut owned).await;
    }
    let loaded = hub.load(&owned.key.instance).await;
    assert_eq!(loaded.row.commit_number, CommitNumber(4));
    assert_eq!(loaded.row.last_seq, EventSeq(3));
    assert_eq!(numbers(&loaded.history), [1, 2, 3]);
}

/// Each commit writes every field of its row change, also those that it leaves empty; the rest never changes.
pub async fn the_row_becomes_what_the_commit_says(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let born = hub.load(&owned.key.instance).await.row;
    let paused = WaitingFor::Paused {
        code: "LH1100".to_owned(),
        message: "one line\nand another".to_owned(),
    };
    let activity = WaitingFor::Activity {
        name: sample::name("copy"),
        queue: sample::queue("gpu"),
    };
    let changes = [
        (Status::Running, Some(paused), None, None),
        (Status::Running, Some(activity), Some(sample::payload(3)), None),
        (Status::Running, None, None, None),
        (Status::Failed, None, None, Some(sample::failure())),
    ];
    for (step, (status, waiting_for, output, failure)) in changes.into_iter().enumerate() {
        let change = RowChange {
            status,
            changed: owned.now.plus(Duration::from_micros(step as u64)),
            waiting_for,
            output,
            failure,
        };
        let turn = TurnCommit {
            row: change.clone(),
            ..hub.turn(&owned, 1)
        };
        hub.apply(turn, &mut owned).await;
        let mut row = hub.load(&owned.key.instance).await.row;
        let written = RowChange {
            status: row.status,
            changed: row.changed,
            waiting_for: row.waiting_for.take(),
            output: row.output.take(),
            failure: row.failure.take(),
        };
        assert_eq!(written, change, "step {step}");
        (row.status, row.changed) = (born.status, born.changed);
        (row.commit_number, row.last_seq) = (born.commit_number, born.last_seq);
        row.last_commit = None;
        assert_eq!(row, born, "what a start said never changes");
    }
}

/// The very same commit again is a duplicate and changes nothing; once another followed, it conflicts.
pub async fn a_repeated_commit_changes_nothing(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let turn = full_turn(&hub, &owned);
    hub.apply(turn.clone(), &mut owned).await;
    let ids = [owned.key.instance.clone()];
    let before = hub.picture(owned.partition, &ids).await;
    for _ in 0..3 {
        assert_eq!(hub.commit(turn.clone()).await, CommitOutcome::Duplicate);
    }
    assert_eq!(hub.picture(owned.partition, &ids).await, before);

    let last = hub.last_turn(&owned, Status::Completed);
    hub.apply(last.clone(), &mut owned).await;
    let ended = hub.picture(owned.partition, &ids).await;
    assert_eq!(
        hub.commit(last).await,
        CommitOutcome::Duplicate,
        "also of the commit that ended it"
    );
    assert_eq!(
        hub.commit(turn).await,
        CommitOutcome::Conflict,
        "not the last any more"
    );
    assert_eq!(hub.picture(owned.partition, &ids).await, ended);
}

/// A commit that expects another number, length, execution or instance than there is changes nothing.
pub async fn an_unexpected_commit_conflicts(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    hub.apply(full_turn(&hub, &owned), &mut owned).await;
    let ids = [owned.key.instance.clone(), sample::id("nobody")];
    let before = hub.picture(owned.partition, &ids).await;
    let good = full_turn(&hub, &owned);
    let behind = CommitNumber(0);
    let ahead = CommitNumber(2);
    let mut wrong: Vec<(&str, TurnCommit)> = Vec::new();
    for (what, expected) in [("an older number", behind), ("a later number", ahead)] {
        wrong.push((
            what,
            TurnCommit {
                expected,
                ..good.clone()
            },
        ));
    }
    for (what, expected_seq) in [("fewer events", EventSeq(2)), ("more events", EventSeq(4))] {
        wrong.push((
            what,
            TurnCommit {
                expected_seq,
                ..good.clone()
            },
        ));
    }
    let execution = hub.execution();
    wrong.push((
        "another execution",
        TurnCommit {
            execution,
            ..good.clone()
        },
    ));
    let unknown = TurnCommit {
        instance: neighbours(owned.partition, "nobody", 1).remove(0),
        expected: CommitNumber(0),
        expected_seq: EventSeq(0),
        ..good.clone()
    };
    wrong.push(("an unknown instance", unknown));
    for (what, commit) in wrong {
        let commit = TurnCommit {
            id: CommitId::from_bits(hub.runtime.random()),
            ..commit
        };
        assert_eq!(hub.commit(commit).await, CommitOutcome::Conflict, "{what}");
        assert_eq!(hub.picture(owned.partition, &ids).await, before, "{what}");
    }
    assert_eq!(
        hub.commit(good).await,
        CommitOutcome::Applied,
        "nothing was in its way"
    );
}

/// A token that is not the partition's changes nothing: never given, of another partition, given back, or of
/// a lease that somebody else has since.
pub async fn a_foreign_token_is_fenced(hub: StoreHub) {
    let start = hub.create("a").await;
    let partition = PartitionId::of(&start.id, PARTITIONS);
    let elsewhere = hub.own(PartitionId((partition.0 + 1) % PARTITIONS)).await;
    let given_back = hub.own(partition).await;
    hub.store
        .release_lease(partition, &given_back)
        .await
        .expect("a lease is given back");
    let lost = hub.acquire(partition, "slow", hub.runtime.random(), SHORT).await;
    let token = until(&hub.runtime, "the lease expires", || async {
        match hub.try_acquire(partition, "next", 2, LONG).await {
            longhaul_shared::port::LeaseOutcome::Granted { token, .. } => Some(token),
            longhaul_shared::port::LeaseOutcome::Held { .. } => None,
        }
    })
    .await;
    let mut owned = hub.owned_under(start, token).await;
    let ids = [owned.key.instance.clone()];
    let before = hub.picture(partition, &ids).await;
    let made_up = LeaseToken::new(1, 1);
    for (what, token) in [
        ("of another partition", elsewhere),
        ("given back", given_back),
        ("lost", lost),
        ("never given", made_up),
        ("empty", LeaseToken::from("")),
    ] {
        let commit = TurnCommit {
            token,
            ..full_turn(&hub, &owned)
        };
        assert_eq!(hub.commit(commit).await, CommitOutcome::Fenced, "a token {what}");
        assert_eq!(hub.picture(partition, &ids).await, before, "a token {what}");
    }
    hub.apply(full_turn(&hub, &owned), &mut owned).await;
}

/// Without the token, even a commit that is in already or would conflict is fenced; also where the partition
/// never had an owner.
pub async fn fencing_comes_before_everything(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let turn = full_turn(&hub, &owned);
    hub.apply(turn.clone(), &mut owned).await;
    hub.store
        .release_lease(owned.partition, &owned.token)
        .await
        .expect("a lease is given back");
    assert_eq!(
        hub.commit(turn.clone()).await,
        CommitOutcome::Fenced,
        "a duplicate"
    );
    let expected = CommitNumber(9);
    let conflicting = TurnCommit {
        expected,
        ..turn.clone()
    };
    assert_eq!(hub.commit(conflicting).await, CommitOutcome::Fenced, "a conflict");
    let partition = PartitionId((owned.partition.0 + 1) % PARTITIONS);
    let nobodys = TurnCommit { partition, ..turn };
    assert_eq!(hub.commit(nobodys).await, CommitOutcome::Fenced, "no owner ever");
}

/// Each commit of a batch has its own outcome, in the order of the batch; a bad one takes no other with it.
pub async fn a_batch_is_judged_one_by_one(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(4).await;
    let known = hub.turn(&owned[1], 1);
    hub.apply(known.clone(), &mut owned[1]).await;
    let conflicting = TurnCommit {
        expected: CommitNumber(5),
        ..hub.turn(&owned[2], 1)
    };
    let fenced = TurnCommit {
        token: LeaseToken::new(9, 9),
        ..hub.turn(&owned[3], 1)
    };
    let batch = vec![
        fenced,
        hub.turn(&owned[0], 2),
        known,
        conflicting,
        hub.turn(&owned[3], 4),
    ];
    let outcomes = hub.store.commit(batch).await;
    use CommitOutcome::{Applied, Conflict, Duplicate, Fenced};
    assert_eq!(outcomes, [Fenced, Applied, Duplicate, Conflict, Applied].map(Ok));
    for (owned, events) in owned.iter().zip([2, 1, 0, 4]) {
        let row = hub.load(&owned.key.instance).await.row;
        assert_eq!(row.last_seq, EventSeq(events), "{:?}", owned.key.instance);
    }
    assert_eq!(
        hub.store.commit(Vec::new()).await,
        [],
        "an empty batch has no outcomes"
    );
}

/// The commit that ends an instance empties its inbox, takes it off the ready and the open set, and keeps its
/// output, history and outbox.
pub async fn the_end_empties_inbox_and_sets(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    hub.apply(full_turn(&hub, &owned), &mut owned).await;
    let id = owned.key.instance.clone();
    for number in 0..20 {
        let posted = hub.store.post(sample::letter(&id, number)).await;
        assert_eq!(posted, Ok(Posted::Accepted));
    }
    let last = TurnCommit {
        ready: Ready::At(owned.now),
        inbox_add: vec![sample::letter(&id, 99)],
        timers_remove: vec![TaskId(1)],
        outbox_add: vec![sample::publication(Destination::Intake, 5, owned.now)],
        row: RowChange {
            status: Status::Completed,
            output: Some(sample::payload(8)),
            ..running(owned.now)
        },
        ..hub.turn(&owned, 2)
    };
    hub.apply(last, &mut owned).await;
    let loaded = hub.load(&id).await;
    assert_eq!(loaded.row.status, Status::Completed);
    assert_eq!(loaded.row.output, Some(sample::payload(8)));
    assert_eq!(loaded.inbox, [], "the inbox is empty");
    assert_eq!(numbers(&loaded.history), [1, 2, 3, 4, 5]);
    assert_eq!(hub.ready(owned.partition).await, [], "it is not ready");
    assert_eq!(hub.open(owned.partition).await, [], "it is not open");
    assert_eq!(
        hub.outbox_ids(owned.partition).await.len(),
        2,
        "messages are still to be sent"
    );
    let timers = hub.store.due_timers(owned.partition, 10).await.expect("timers");
    assert_eq!((timers.due, timers.next), (Vec::new(), None));
    let late = hub.store.post(sample::letter(&id, 100)).await;
    assert_eq!(late, Ok(Posted::Ended(Status::Completed)));
    assert_eq!(hub.commit(hub.turn(&owned, 1)).await, CommitOutcome::Conflict);
}
