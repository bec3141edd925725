//! Owns what holds for the counts of attempts: they survive whoever counted, until an attempt is survived.
//! Never expects a store to decide how many are too many.

use longhaul_shared::commit::{Ready, RowChange, TurnCommit};
use longhaul_shared::id::{LeaseToken, MessageId, PartitionId};
use longhaul_shared::instance::{Status, WaitingFor};
use longhaul_shared::port::{Attempted, Posted, Requeued};

use super::{Owned, PARTITIONS, SHORT, StoreHub, running};
use crate::conformance::sample;
use crate::conformance::tasks::{at_once, until};

impl StoreHub {
    async fn count(&self, owned: &Owned) -> Attempted {
        let id = &owned.key.instance;
        let counted = self.store.count_attempt(owned.partition, &owned.token, id);
        counted.await.expect("the store counts")
    }

    /// The token of a new owner, once the lease of the one before has run out.
    async fn take_over(&self, owned: &Owned) -> LeaseToken {
        let nonce = self.runtime.random();
        until(&self.runtime, "the lease runs out", || async {
            let outcome = self.try_acquire(owned.partition, "next", nonce, SHORT).await;
            match outcome {
                longhaul_shared::port::LeaseOutcome::Granted { token, .. } => Some(token),
                longhaul_shared::port::LeaseOutcome::Held { .. } => None,
            }
        })
        .await
    }
}

fn stuck(hub: &StoreHub, owned: &Owned) -> TurnCommit {
    TurnCommit {
        ready: Ready::Rest,
        row: RowChange {
            status: Status::Running,
            waiting_for: Some(WaitingFor::Stuck {
                code: "LH1110".to_owned(),
                message: "[LH1110] it kills\nits workers".to_owned(),
                attempts: 1,
            }),
            ..running(owned.now)
        },
        ..hub.turn(owned, 0)
    }
}

/// Every owner counts once, however often it asks; the count is in the row and changes nothing else there.
pub async fn each_owner_counts_one_attempt(hub: StoreHub) {
    let start = hub.create("a").await;
    let partition = PartitionId::of(&start.id, PARTITIONS);
    let token = hub.acquire(partition, "first", hub.runtime.random(), SHORT).await;
    let mut owned = hub.owned_under(start, token).await;
    let before = hub.load(&owned.key.instance).await.row;
    assert_eq!(before.attempts, 0, "nothing is counted at first");
    for expected in 1..=3 {
        for _ in 0..2 {
            assert_eq!(hub.count(&owned).await, Attempted::Counted(expected));
        }
        let mut row = hub.load(&owned.key.instance).await.row;
        assert_eq!(row.attempts, expected);
        row.attempts = 0;
        assert_eq!(row, before, "the rest of the row stays");
        owned.token = hub.take_over(&owned).await;
    }
}

/// A commit that says that the worker survived sets the count back, with events or without.
pub async fn surviving_sets_the_attempts_back(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    for events in [1, 0] {
        hub.count(&owned).await;
        let turn = TurnCommit {
            survived: true,
            ..hub.turn(&owned, events)
        };
        hub.apply(turn, &mut owned).await;
        assert_eq!(hub.load(&owned.key.instance).await.row.attempts, 0);
    }
    assert_eq!(
        hub.count(&owned).await,
        Attempted::Counted(1),
        "and it counts again under the same token"
    );
}

/// A commit for which no code ran keeps the count: it proves nothing.
pub async fn other_commits_keep_the_attempts(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    hub.count(&owned).await;
    hub.apply(hub.turn(&owned, 0), &mut owned).await;
    let commit = stuck(&hub, &owned);
    let waiting_for = commit.row.waiting_for.clone();
    hub.apply(commit, &mut owned).await;
    let row = hub.load(&owned.key.instance).await.row;
    assert_eq!((row.attempts, row.waiting_for), (1, waiting_for));
    assert_eq!(
        hub.count(&owned).await,
        Attempted::Counted(1),
        "this owner has counted already"
    );
}

/// A commit that lets the instance rest takes it off the ready set with its inbox unread; a message brings it back.
pub async fn what_rests_is_not_ready_with_an_unread_inbox(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let id = owned.key.instance.clone();
    assert_eq!(hub.store.post(sample::letter(&id, 1)).await, Ok(Posted::Accepted));
    let commit = TurnCommit {
        inbox_add: vec![sample::letter(&id, 2)],
        ..stuck(&hub, &owned)
    };
    hub.apply(commit, &mut owned).await;
    assert_eq!(hub.ready(owned.partition).await, []);
    assert_eq!(hub.load(&id).await.inbox.len(), 2, "its messages are kept");
    let third = hub.store.post(sample::letter(&id, 3)).await;
    assert_eq!(third, Ok(Posted::Accepted));
    assert_eq!(hub.ready(owned.partition).await, [id]);
}

/// Only the owner counts, and only what can run.
pub async fn counting_needs_the_token_and_an_open_instance(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let ids = [owned.key.instance.clone()];
    let before = hub.picture(owned.partition, &ids).await;
    let foreign = Owned {
        token: LeaseToken::new(77, 7),
        ..owned.clone()
    };
    assert_eq!(hub.count(&foreign).await, Attempted::Fenced);
    assert_eq!(hub.picture(owned.partition, &ids).await, before);
    let nobody = super::neighbours(owned.partition, "nobody", 1).remove(0);
    let counted = hub
        .store
        .count_attempt(owned.partition, &owned.token, &nobody)
        .await;
    assert_eq!(counted, Ok(Attempted::Gone));
    assert_eq!(hub.find(&nobody).await, None, "counting makes no instance");
    hub.apply(hub.last_turn(&owned, Status::Completed), &mut owned)
        .await;
    let before = hub.picture(owned.partition, &ids).await;
    assert_eq!(hub.count(&owned).await, Attempted::Gone);
    assert_eq!(hub.picture(owned.partition, &ids).await, before);
}

/// A requeue forgets the attempts and has the instance looked at; it changes nothing that has ended or is not there.
pub async fn a_requeue_sets_attempts_back_and_wakes(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let id = owned.key.instance.clone();
    hub.count(&owned).await;
    hub.apply(stuck(&hub, &owned), &mut owned).await;
    for _ in 0..2 {
        assert_eq!(hub.store.requeue_instance(&id).await, Ok(Requeued::Accepted));
        assert_eq!(hub.load(&id).await.row.attempts, 0);
        assert_eq!(hub.ready(owned.partition).await, std::slice::from_ref(&id));
    }
    assert_eq!(
        hub.count(&owned).await,
        Attempted::Counted(1),
        "the same owner counts anew"
    );
    hub.apply(hub.last_turn(&owned, Status::Failed), &mut owned).await;
    let ids = [id.clone()];
    let before = hub.picture(owned.partition, &ids).await;
    let requeued = hub.store.requeue_instance(&id).await;
    assert_eq!(requeued, Ok(Requeued::Ended(Status::Failed)));
    assert_eq!(hub.picture(owned.partition, &ids).await, before);
    let nobody = sample::id("nobody");
    assert_eq!(hub.store.requeue_instance(&nobody).await, Ok(Requeued::Unknown));
    assert_eq!(hub.find(&nobody).await, None);
}

/// Attempts at work are counted by partition and work, once for each nonce, until they are forgotten.
pub async fn attempts_at_work_are_counted_until_forgotten(hub: StoreHub) {
    let (here, there) = (PartitionId(1), PartitionId(2));
    let work = MessageId::of(&[b"work"]);
    let other = MessageId::of(&[b"other"]);
    assert_eq!(hub.store.work_attempts(here, work).await, Ok(0));
    for expected in 1..=3 {
        let nonce = hub.runtime.random();
        for _ in 0..2 {
            let counted = hub.store.count_work_attempt(here, work, nonce).await;
            assert_eq!(counted, Ok(expected), "a repeated count is the same attempt");
        }
        assert_eq!(hub.store.work_attempts(here, work).await, Ok(expected));
    }
    assert_eq!(hub.store.work_attempts(there, work).await, Ok(0));
    assert_eq!(hub.store.count_work_attempt(here, other, 1).await, Ok(1));
    for _ in 0..2 {
        assert_eq!(hub.store.forget_work_attempts(here, work).await, Ok(()));
        assert_eq!(hub.store.work_attempts(here, work).await, Ok(0));
    }
    assert_eq!(hub.store.work_attempts(here, other).await, Ok(1));
    assert_eq!(hub.store.count_work_attempt(here, work, 1).await, Ok(1));
}

/// Many who count at once lose no attempt.
pub async fn many_count_at_once(hub: StoreHub) {
    let work = MessageId::of(&[b"work"]);
    let counts = (0..16).map(|nonce| {
        let store = std::sync::Arc::clone(&hub.store);
        async move { store.count_work_attempt(PartitionId(0), work, nonce).await }
    });
    let mut counts: Vec<_> = at_once(&hub.runtime, counts)
        .await
        .into_iter()
        .map(|count| count.expect("the store counts"))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=16).collect::<Vec<_>>());
}
