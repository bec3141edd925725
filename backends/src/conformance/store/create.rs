//! Owns what holds for starts: each wish is accepted once, whoever sends it and however often.
//! Never looks at what becomes of the instance: see `commit`.

use std::sync::Arc;

use longhaul_shared::commit::CommitOutcome;
use longhaul_shared::id::{CommitNumber, EventSeq, PartitionId};
use longhaul_shared::instance::Status;
use longhaul_shared::port::Created;

use super::{PARTITIONS, StoreHub};
use crate::conformance::sample;
use crate::conformance::tasks::at_once;

/// A new start is a `Pending` row that keeps everything the start said, with nothing else in it.
pub async fn a_start_becomes_a_pending_row(hub: StoreHub) {
    let before = hub.now().await;
    let start = hub.create("nightly").await;
    let after = hub.now().await;
    let loaded = hub.load(&start.id).await;
    let row = loaded.row;
    assert_eq!(row.id, start.id);
    assert_eq!(row.start_id, start.start_id);
    assert_eq!(row.name, start.name);
    assert_eq!(row.version, start.version);
    assert_eq!(row.input, start.input, "the input is kept byte by byte");
    assert_eq!(row.tags, start.tags);
    assert_eq!(row.trace, start.trace);
    assert_eq!(row.execution, start.execution);
    assert_eq!(row.status, Status::Pending);
    assert_eq!(row.commit_number, CommitNumber(0));
    assert_eq!(row.last_seq, EventSeq(0));
    assert_eq!((row.last_commit, row.output), (None, None));
    assert_eq!((row.failure, row.waiting_for), (None, None));
    let moment = before..=after;
    assert!(moment.contains(&row.created), "{} in {moment:?}", row.created);
    assert!(moment.contains(&row.changed), "{} in {moment:?}", row.changed);
    assert!(loaded.history.is_empty() && loaded.inbox.is_empty());
}

/// The same start again is told where its instance stands, and nothing else changes.
pub async fn a_repeated_start_changes_nothing(hub: StoreHub) {
    let start = hub.create("nightly").await;
    let partition = PartitionId::of(&start.id, PARTITIONS);
    let ids = [start.id.clone()];
    let before = hub.picture(partition, &ids).await;
    let mut again = start.clone();
    again.execution = hub.execution();
    for repeated in [start, again] {
        let created = hub.store.create(repeated).await;
        assert_eq!(created, Ok(Created::Repeated(Status::Pending)));
    }
    assert_eq!(hub.picture(partition, &ids).await, before);
}

/// A start is known again whatever became of its instance, and does not make it run again.
pub async fn a_repeated_start_is_known_after_the_end(hub: StoreHub) {
    let start = hub.create("nightly").await;
    let token = hub.own(PartitionId::of(&start.id, PARTITIONS)).await;
    let mut owned = hub.owned_under(start.clone(), token).await;
    let mut again = start;
    for (status, told) in [(None, Status::Running), (Some(Status::Failed), Status::Failed)] {
        let turn = match status {
            None => hub.turn(&owned, 1),
            Some(status) => hub.last_turn(&owned, status),
        };
        hub.apply(turn, &mut owned).await;
        again.execution = hub.execution();
        let created = hub.store.create(again.clone()).await;
        assert_eq!(created, Ok(Created::Repeated(told)));
    }
    assert_eq!(
        hub.ready(owned.partition).await,
        [],
        "an ended instance is not ready"
    );
    let outcome = hub.commit(hub.turn(&owned, 0)).await;
    assert_eq!(
        outcome,
        CommitOutcome::Conflict,
        "an ended instance takes no commit"
    );
}

/// Another start on a taken id is told whose the id is, and changes nothing.
pub async fn another_start_finds_the_id_taken(hub: StoreHub) {
    let first = hub.create("nightly").await;
    let partition = PartitionId::of(&first.id, PARTITIONS);
    let ids = [first.id.clone()];
    let before = hub.picture(partition, &ids).await;
    let other = sample::start(&first.id, "another wish", hub.execution());
    let created = hub.store.create(other).await;
    let taken = Created::Taken {
        by: first.start_id,
        status: Status::Pending,
    };
    assert_eq!(created, Ok(taken));
    assert_eq!(hub.picture(partition, &ids).await, before);
}

/// Of many different starts of one id at once, exactly one is new, and all others are told that one's id.
pub async fn one_of_many_starts_wins(hub: StoreHub) {
    for round in 0..8 {
        let id = sample::id(&format!("contested {round}"));
        let starts: Vec<_> = (0..24)
            .map(|wish| sample::start(&id, &format!("wish {round}.{wish}"), hub.execution()))
            .collect();
        let created = at_once(
            &hub.runtime,
            starts.iter().cloned().map(|start| {
                let store = Arc::clone(&hub.store);
                async move { store.create(start).await.expect("a create is answered") }
            }),
        )
        .await;
        let is_new = |answer: &Created| *answer == Created::New;
        let new: Vec<_> = (0..starts.len()).filter(|at| is_new(&created[*at])).collect();
        assert_eq!(new.len(), 1, "exactly one start is new: {created:?}");
        let winner = &starts[new[0]];
        let row = hub.load(&id).await.row;
        assert_eq!(
            (&row.start_id, row.execution),
            (&winner.start_id, winner.execution)
        );
        let taken = Created::Taken {
            by: winner.start_id.clone(),
            status: Status::Pending,
        };
        assert!(
            created.iter().all(|answer| is_new(answer) || *answer == taken),
            "{created:?}"
        );
    }
}

/// However often one start arrives at once, it is new once.
pub async fn one_start_sent_many_times_is_new_once(hub: StoreHub) {
    let start = hub.a_start(&sample::id("eager"));
    let created = at_once(
        &hub.runtime,
        (0..24).map(|_| {
            let (store, start) = (Arc::clone(&hub.store), start.clone());
            async move { store.create(start).await.expect("a create is answered") }
        }),
    )
    .await;
    let new = created.iter().filter(|answer| **answer == Created::New).count();
    let repeated = Created::Repeated(Status::Pending);
    let known = created.iter().filter(|answer| **answer == repeated).count();
    assert_eq!((new, known), (1, 23), "{created:?}");
}
