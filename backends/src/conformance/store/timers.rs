//! Owns what holds for timers: due by the store's own clock, never early, gone when they are removed.
//! Never fires one: that is an owner's.

use std::sync::Arc;

use longhaul_shared::commit::{TimerEntry, TurnCommit};
use longhaul_shared::id::{ExecutionKey, LeaseToken, TaskId};
use longhaul_shared::port::{DueTimer, DueTimers};
use longhaul_shared::time::Timestamp;

use super::{LONG, Owned, StoreHub};
use crate::conformance::tasks::until;

async fn due(hub: &StoreHub, owned: &Owned, limit: usize) -> DueTimers {
    let timers = hub.store.due_timers(owned.partition, limit).await;
    let timers = timers.expect("timers can be read");
    for timer in &timers.due {
        assert!(timer.due <= timers.now, "a timer is never early: {timers:?}");
    }
    timers
}

/// Sets timers, each as far behind (below zero) or ahead of the instance's time, in milliseconds.
async fn set(hub: &StoreHub, owned: &mut Owned, timers: &[(u32, i64)]) -> Vec<DueTimer> {
    let set: Vec<_> = timers
        .iter()
        .map(|(task, millis)| TimerEntry {
            task: TaskId(*task),
            due: Timestamp::from_micros(owned.now.micros() + millis * 1_000),
        })
        .collect();
    let turn = TurnCommit {
        timers_add: set.clone(),
        ..hub.turn(owned, 1)
    };
    hub.apply(turn, owned).await;
    let key = &owned.key;
    set.into_iter()
        .map(|timer| DueTimer {
            key: key.clone(),
            task: timer.task,
            due: timer.due,
        })
        .collect()
}

/// Due timers of all instances of the partition come earliest first, with their exact times.
pub async fn due_timers_come_earliest_first(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(3).await;
    let mut all = Vec::new();
    for (at, times) in [[-5_000, -100], [-4_000, -6_000], [-1, -3_000]]
        .into_iter()
        .enumerate()
    {
        all.extend(set(&hub, &mut owned[at], &[(1, times[0]), (u32::MAX, times[1])]).await);
    }
    all.sort_by_key(|timer| timer.due);
    let timers = due(&hub, &owned[0], 10).await;
    assert_eq!(timers.due, all);
    assert_eq!(timers.next, None, "there is none behind them");
}

/// A page holds the earliest timers, and tells when the first one behind it is due, whether that is past or not.
pub async fn a_page_tells_when_the_next_is_due(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let all = set(
        &hub,
        &mut owned,
        &[(1, -300), (2, -200), (3, -100), (4, 3_600_000)],
    )
    .await;
    for limit in 1..=3 {
        let timers = due(&hub, &owned, limit).await;
        assert_eq!(timers.due, all[..limit], "limit {limit}");
        assert_eq!(timers.next, Some(all[limit].due), "limit {limit}");
    }
    assert_eq!(due(&hub, &owned, 4).await.due, all[..3], "the last is not due");
}

/// Nothing but the store's clock makes a timer due.
pub async fn a_timer_becomes_due_by_itself(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    owned.now = hub.now().await;
    let all = set(&hub, &mut owned, &[(1, 150)]).await;
    let found = until(&hub.runtime, "the timer becomes due", || async {
        let timers = due(&hub, &owned, 10).await;
        if timers.due.is_empty() {
            assert_eq!(timers.next, Some(all[0].due));
        }
        (!timers.due.is_empty()).then_some(timers.due)
    })
    .await;
    assert_eq!(found, all);
}

/// A timer in the future is not due, and the store says when it will be.
pub async fn never_early(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let none = due(&hub, &owned, 10).await;
    assert_eq!((none.due, none.next), (Vec::new(), None), "no timers at all");
    let all = set(&hub, &mut owned, &[(1, 7_200_000), (2, 3_600_000)]).await;
    let timers = due(&hub, &owned, 10).await;
    assert_eq!((timers.due, timers.next), (Vec::new(), Some(all[1].due)));
    let now = hub.now().await;
    assert!(
        timers.now <= now && now.since(timers.now) < LONG,
        "the store's own clock"
    );
}

/// Setting a task's timer again moves it; there are not two.
pub async fn setting_again_moves_a_timer(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    set(&hub, &mut owned, &[(1, -1_000), (2, 3_600_000)]).await;
    let ahead = set(&hub, &mut owned, &[(1, 7_200_000)]).await;
    let timers = due(&hub, &owned, 10).await;
    assert_eq!(timers.due, [], "the first was put off");
    assert_ne!(timers.next, Some(ahead[0].due), "the other is still set");
    let back = set(&hub, &mut owned, &[(1, -500), (2, -600)]).await;
    let timers = due(&hub, &owned, 10).await;
    assert_eq!(timers.due, [back[1].clone(), back[0].clone()]);
    assert_eq!(timers.next, None, "each is set once");
}

/// What a commit removes is gone, the rest stays; removing what is not set is no error.
pub async fn removed_timers_are_gone(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(2).await;
    let other = set(&hub, &mut owned[1], &[(1, -50)]).await;
    let all = set(&hub, &mut owned[0], &[(1, -300), (2, -200), (3, -100)]).await;
    let turn = TurnCommit {
        timers_remove: vec![TaskId(1), TaskId(3), TaskId(9)],
        ..hub.turn(&owned[0], 1)
    };
    hub.apply(turn, &mut owned[0]).await;
    assert_eq!(
        due(&hub, &owned[0], 10).await.due,
        [all[1].clone(), other[0].clone()],
        "the same task of another instance stays"
    );
}

/// Timers are dropped for the partition's owner only.
pub async fn dropping_needs_the_token(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let all = set(&hub, &mut owned, &[(1, -300), (2, -200)]).await;
    let key = |execution| ExecutionKey {
        execution,
        ..owned.key.clone()
    };
    let first = vec![(owned.key.clone(), TaskId(1))];
    let drop = |token: LeaseToken, timers| {
        let store = Arc::clone(&hub.store);
        let partition = owned.partition;
        async move { store.drop_timers(partition, &token, timers).await }
    };
    let foreign = LeaseToken::new(9, 9);
    assert_eq!(drop(foreign, first.clone()).await, Ok(false));
    assert_eq!(due(&hub, &owned, 10).await.due, all, "nothing was dropped");
    let other_execution = vec![(key(hub.execution()), TaskId(1))];
    assert_eq!(drop(owned.token.clone(), other_execution).await, Ok(true));
    assert_eq!(
        due(&hub, &owned, 10).await.due,
        all,
        "a task of another execution"
    );
    for _ in 0..2 {
        assert_eq!(drop(owned.token.clone(), first.clone()).await, Ok(true));
        assert_eq!(due(&hub, &owned, 10).await.due, all[1..]);
    }
    assert_eq!(drop(owned.token.clone(), Vec::new()).await, Ok(true));
}
