//! Owns what holds for the ready set: an owner that was sent no message still finds what waits for it.
//! Never expects an instance to be listed to the microsecond: a store may keep coarser times.

use std::slice;
use std::time::Duration;

use longhaul_shared::commit::{Ready, TurnCommit};
use longhaul_shared::id::PartitionId;
use longhaul_shared::port::Posted;

use super::{LONG, PARTITIONS, StoreHub};
use crate::conformance::sample;
use crate::conformance::tasks::until;

/// A new start is ready at once, and has not been so for long.
pub async fn a_start_is_ready(hub: StoreHub) {
    let start = hub.create("a").await;
    let partition = PartitionId::of(&start.id, PARTITIONS);
    assert_eq!(hub.ready(partition).await, slice::from_ref(&start.id));
    let old = hub.store.ready(partition, LONG, 10).await;
    assert_eq!(old, Ok(Vec::new()), "nothing waits for an hour yet");
    let older_than = Duration::from_millis(50);
    let found = until(&hub.runtime, "a start gets old", || async {
        let ready = hub
            .store
            .ready(partition, older_than, 10)
            .await
            .expect("ready set");
        (!ready.is_empty()).then_some(ready)
    })
    .await;
    assert_eq!(found, [start.id]);
}

/// Instances come in the order in which they began to wait, at most as many as asked for.
pub async fn the_longest_waiting_comes_first(hub: StoreHub) {
    let owned = hub.owned_neighbours(5).await;
    let order = [3, 0, 4, 1, 2];
    // One reading of the clock for all: on a busy machine the instances are made far apart.
    let past = longhaul_shared::time::Timestamp::from_micros(owned[0].now.micros() - 60_000_000);
    for (place, at) in order.into_iter().enumerate() {
        let mut one = owned[at].clone();
        let since = Duration::from_millis(100 * (place as u64 + 1));
        let turn = TurnCommit {
            ready: Ready::At(past.plus(since)),
            ..hub.turn(&one, 1)
        };
        hub.apply(turn, &mut one).await;
    }
    let expected = order.map(|at| owned[at].key.instance.clone());
    assert_eq!(hub.ready(owned[0].partition).await, expected);
    for limit in 1..=5 {
        let some = hub.store.ready(owned[0].partition, Duration::ZERO, limit).await;
        assert_eq!(some.as_deref(), Ok(&expected[..limit]), "limit {limit}");
    }
}

/// A commit that settles an instance without an inbox takes it off the ready set.
pub async fn settled_leaves_the_ready_set(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    hub.apply(hub.turn(&owned, 1), &mut owned).await;
    assert_eq!(hub.ready(owned.partition).await, []);
    hub.apply(hub.turn(&owned, 1), &mut owned).await;
    assert_eq!(hub.ready(owned.partition).await, [], "and it may leave twice");
}

/// A commit that settles an instance leaves it ready as long as its inbox holds something, whether that was
/// posted or set aside by the commit.
pub async fn an_unread_inbox_keeps_it_ready(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let id = owned.key.instance.clone();
    let (posted, set_aside) = (sample::letter(&id, 1), sample::letter(&id, 2));
    assert_eq!(hub.store.post(posted.clone()).await, Ok(Posted::Accepted));
    hub.apply(hub.turn(&owned, 1), &mut owned).await;
    assert_eq!(
        hub.ready(owned.partition).await,
        slice::from_ref(&id),
        "an unread message"
    );
    let turn = TurnCommit {
        inbox_remove: vec![posted.id],
        ..hub.turn(&owned, 1)
    };
    hub.apply(turn, &mut owned).await;
    assert_eq!(hub.ready(owned.partition).await, [], "all is read");
    let turn = TurnCommit {
        inbox_add: vec![set_aside],
        ..hub.turn(&owned, 1)
    };
    hub.apply(turn, &mut owned).await;
    assert_eq!(hub.ready(owned.partition).await, [id], "a message was set aside");
}

/// An instance that is to be looked at later is not ready before its time, and is from then on.
pub async fn a_later_look_waits_for_its_time(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let id = owned.key.instance.clone();
    let far = TurnCommit {
        ready: Ready::At(owned.now.plus(LONG)),
        ..hub.turn(&owned, 1)
    };
    hub.apply(far, &mut owned).await;
    assert_eq!(hub.ready(owned.partition).await, [], "an hour from now");
    let at = hub.now().await.plus(Duration::from_millis(100));
    let soon = TurnCommit {
        ready: Ready::At(at),
        ..hub.turn(&owned, 1)
    };
    hub.apply(soon, &mut owned).await;
    until(&hub.runtime, "its time comes", || async {
        let ready = hub.ready(owned.partition).await;
        let now = hub.now().await;
        let is_ready = ready.contains(&id);
        assert!(
            !is_ready || now >= at,
            "it is ready {:?} too early",
            at.since(now)
        );
        is_ready.then_some(())
    })
    .await;
}

/// A message makes its instance ready at once, also one that was to be looked at later.
pub async fn a_message_makes_it_ready_at_once(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let id = owned.key.instance.clone();
    let far = TurnCommit {
        ready: Ready::At(owned.now.plus(LONG)),
        ..hub.turn(&owned, 1)
    };
    for turn in [hub.turn(&owned, 1), far] {
        let turn = TurnCommit {
            expected: owned.number,
            expected_seq: owned.seq,
            inbox_remove: vec![sample::message_id(owned.number.0)],
            ..turn
        };
        hub.apply(turn, &mut owned).await;
        assert_eq!(hub.ready(owned.partition).await, []);
        let letter = sample::letter(&id, owned.number.0);
        assert_eq!(hub.store.post(letter).await, Ok(Posted::Accepted));
        assert_eq!(hub.ready(owned.partition).await, slice::from_ref(&id));
    }
}

/// A partition's ready set holds its own instances only.
pub async fn only_the_partition_is_listed(hub: StoreHub) {
    let mut all = Vec::new();
    for number in 0..24 {
        all.push(hub.create(&format!("instance {number}")).await.id);
    }
    let mut seen = 0;
    for partition in PartitionId::all(PARTITIONS) {
        let ready = hub.ready(partition).await;
        let own: Vec<_> = all
            .iter()
            .filter(|id| PartitionId::of(id, PARTITIONS) == partition)
            .collect();
        assert_eq!(ready.len(), own.len(), "{ready:?}");
        assert!(own.iter().all(|id| ready.contains(id)), "{ready:?}");
        seen += ready.len();
    }
    assert_eq!(seen, all.len());
}
