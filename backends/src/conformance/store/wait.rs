//! Owns what holds for waiting: whoever waits for an end is woken by it.
//! Never measures how fast, only that it is far sooner than the time the waiter had.

use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::instance::{InstanceRow, Status};

use super::{LONG, Owned, StoreHub};
use crate::conformance::sample;
use crate::conformance::tasks::{Running, run, soon};

/// Waits an hour for an instance, in a task of its own.
fn wait(hub: &StoreHub, owned: &Owned) -> Running<InstanceRow> {
    let (store, id) = (Arc::clone(&hub.store), owned.key.instance.clone());
    run(&hub.runtime, async move {
        let row = store.wait_terminal(&id, LONG).await;
        row.expect("a wait is answered").expect("the instance is there")
    })
}

/// A waiter returns with the terminal row when the instance ends, not when anything else happens to it.
pub async fn the_end_wakes_who_waits(hub: StoreHub) {
    for round in 0..10 {
        let id = format!("round {round}");
        let start = hub.create(&id).await;
        let partition = longhaul_shared::id::PartitionId::of(&start.id, super::PARTITIONS);
        let token = hub.own(partition).await;
        let mut owned = hub.owned_under(start, token.clone()).await;
        let waiter = wait(&hub, &owned);
        for _ in 0..round {
            hub.apply(hub.turn(&owned, 1), &mut owned).await;
        }
        hub.apply(hub.last_turn(&owned, Status::Completed), &mut owned)
            .await;
        let row = waiter.answer("the end wakes who waits").await;
        assert_eq!(row, hub.load(&owned.key.instance).await.row, "round {round}");
        assert_eq!(row.status, Status::Completed);
        hub.store
            .release_lease(partition, &token)
            .await
            .expect("a lease is given back");
    }
}

/// Who comes after the end does not wait.
pub async fn an_ended_instance_is_told_at_once(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    hub.apply(hub.last_turn(&owned, Status::Failed), &mut owned).await;
    for at_most in [LONG, Duration::ZERO] {
        let told = hub.store.wait_terminal(&owned.key.instance, at_most);
        let row = soon(&hub.runtime, "an end that lies behind is told", told).await;
        let row = row.expect("a wait is answered").expect("the instance is there");
        assert_eq!(
            (row.status, row.output),
            (Status::Failed, Some(sample::payload(8)))
        );
    }
}

/// When the time is up, the row is told as it is.
pub async fn an_open_instance_is_told_when_time_is_up(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    hub.apply(hub.turn(&owned, 1), &mut owned).await;
    let at_most = Duration::from_millis(100);
    let before = hub.runtime.now();
    let told = hub.store.wait_terminal(&owned.key.instance, at_most);
    let row = soon(&hub.runtime, "the time is up", told).await;
    let waited = hub.runtime.now().since(before);
    let row = row.expect("a wait is answered").expect("the instance is there");
    assert_eq!(row, hub.load(&owned.key.instance).await.row);
    assert!(waited >= at_most, "it returned after {waited:?} without an end");
}

/// An instance that is not there is told as such.
pub async fn an_unknown_instance_is_not_waited_for(hub: StoreHub) {
    let nobody = sample::id("nobody");
    let told = hub.store.wait_terminal(&nobody, Duration::from_millis(100));
    let row = soon(&hub.runtime, "the time is up", told).await;
    assert_eq!(row, Ok(None));
}

/// All that wait for one instance are woken by its end, and none by another's.
pub async fn every_waiter_is_woken(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(20).await;
    let waiters: Vec<Vec<_>> = owned
        .iter()
        .map(|one| (0..10).map(|_| wait(&hub, one)).collect())
        .collect();
    for one in owned.iter_mut().rev() {
        hub.apply(hub.last_turn(one, Status::Terminated), one).await;
    }
    for (one, waiters) in owned.iter().zip(waiters) {
        for waiter in waiters {
            let row = waiter.answer("every waiter is woken").await;
            assert_eq!(row.id, one.key.instance);
            assert_eq!(row.status, Status::Terminated);
        }
    }
}
