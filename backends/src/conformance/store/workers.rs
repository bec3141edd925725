//! Owns what holds for the list of living workers.
//! Never expects a worker to be forgotten at a moment: only that it is.

use std::time::Duration;

use longhaul_shared::port::WorkerRow;

use super::{LONG, SHORT, StoreHub, worker_id};
use crate::conformance::sample;
use crate::conformance::tasks::until;

fn worker(id: &str, hosts: &[&str]) -> WorkerRow {
    WorkerRow {
        id: worker_id(id),
        hosts: hosts.iter().map(|name| sample::name(name)).collect(),
    }
}

async fn beat(hub: &StoreHub, row: &WorkerRow, ttl: Duration) -> Vec<WorkerRow> {
    let living = hub.store.heartbeat(row.clone(), ttl).await;
    living.expect("a heartbeat is answered")
}

/// Everybody who lives is listed, ordered by id, with what they said last.
pub async fn living_workers_are_listed_by_id(hub: StoreHub) {
    let b = worker("b", &["backup", "restore"]);
    assert_eq!(beat(&hub, &b, LONG).await, std::slice::from_ref(&b));
    let a10 = worker("a.10", &[]);
    assert_eq!(beat(&hub, &a10, LONG).await, [a10.clone(), b.clone()]);
    let a9 = worker("a-9", &["backup"]);
    assert_eq!(beat(&hub, &a9, LONG).await, [a9.clone(), a10.clone(), b]);
    let b = worker("b", &["backup"]);
    assert_eq!(beat(&hub, &b, LONG).await, [a9, a10, b], "it hosts less now");
}

/// A worker that stops saying that it lives leaves the list by itself.
pub async fn a_worker_that_is_silent_is_forgotten(hub: StoreHub) {
    let (silent, living) = (worker("silent", &["backup"]), worker("living", &[]));
    beat(&hub, &silent, SHORT).await;
    until(&hub.runtime, "the silent worker is forgotten", || async {
        let listed = beat(&hub, &living, LONG).await;
        assert!(listed.contains(&living));
        (listed.len() == 1).then_some(())
    })
    .await;
    let back = beat(&hub, &silent, LONG).await;
    assert_eq!(back, [living, silent], "it may come back");
}

/// A time to live of zero takes a worker off the list at once.
pub async fn a_worker_takes_itself_off_the_list(hub: StoreHub) {
    let (one, two) = (worker("one", &[]), worker("two", &[]));
    beat(&hub, &one, LONG).await;
    beat(&hub, &two, LONG).await;
    for _ in 0..2 {
        let left = beat(&hub, &one, Duration::ZERO).await;
        assert_eq!(left, std::slice::from_ref(&two));
    }
}
