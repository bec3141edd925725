//! Owns looking at who owns which partition, and measuring when partitions that had lost their owner resume.
//! Never breaks anything itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use longhaul_examples::contracts::HELLO_SEQUENCE;
use longhaul_shared::id::{LeaseToken, PartitionId, WorkerId};
use longhaul_shared::instance::Status;
use longhaul_shared::port::{HeldLease, Monotonic};

use crate::site::{DEADLINE, Site};

/// Who holds which partition at this moment.
pub(crate) async fn leases(site: &Site) -> BTreeMap<PartitionId, HeldLease> {
    let partitions: Vec<_> = site.partitions().collect();
    let held = site.insist("the store tells the leases", async || {
        site.ports.store.leases(partitions.clone()).await
    });
    let held = held.await;
    partitions
        .iter()
        .zip(held)
        .filter_map(|(partition, lease)| Some((*partition, lease?)))
        .collect()
}

/// Waits until every partition is held by somebody who consumes for it, and has been for `steady`.
pub(super) async fn settled(site: &Site, steady: Duration) -> BTreeMap<PartitionId, HeldLease> {
    let mut since: Option<(BTreeMap<PartitionId, LeaseToken>, Monotonic)> = None;
    site.wait_until("every partition has its owner", DEADLINE, async || {
        let held = leases(site).await;
        let now = site.ports.runtime.now();
        let is_whole = held.len() == site.partitions().count() && held.values().all(|lease| lease.consuming);
        let tokens = tokens(&held);
        match &since {
            Some((known, begun)) if is_whole && *known == tokens => {
                (now.since(*begun) >= steady).then_some(held)
            }
            _ => {
                since = is_whole.then_some((tokens, now));
                None
            }
        }
    })
    .await
}

/// The tokens alone. They never repeat: equal ones before and after mean that nothing changed hands in between.
pub(super) fn tokens(held: &BTreeMap<PartitionId, HeldLease>) -> BTreeMap<PartitionId, LeaseToken> {
    let token = |(partition, lease): (&PartitionId, &HeldLease)| (*partition, lease.token.clone());
    held.iter().map(token).collect()
}

/// The worker that owns the most, and what it owns.
pub(super) fn busiest(held: &BTreeMap<PartitionId, HeldLease>) -> (WorkerId, BTreeSet<PartitionId>) {
    let mut by_owner: BTreeMap<WorkerId, BTreeSet<PartitionId>> = BTreeMap::new();
    for (partition, lease) in held {
        by_owner
            .entry(lease.owner.clone())
            .or_default()
            .insert(*partition);
    }
    by_owner.into_iter().max_by_key(|(_, owned)| owned.len()).unwrap()
}

/// When partitions that lost their owner worked again, counted from `since`.
pub(super) struct Resumed {
    /// When the last of them had given a new instance its first turn.
    pub(super) first_turns: Duration,
    /// When the last of those instances had completed.
    pub(super) completed: Duration,
}

/// Starts an instance in each of these partitions, and measures.
pub(super) async fn resumed(
    site: &Site,
    name: &str,
    partitions: &BTreeSet<PartitionId>,
    since: Monotonic,
) -> Resumed {
    let runs = partitions.iter().map(async |partition| {
        let id = site.id_in(*partition, name);
        let run = site.start_new(HELLO_SEQUENCE, &id, ()).await;
        let what = format!("{id} has had a turn");
        site.wait_until(&what, DEADLINE, async || {
            let row = site.client.get(run.id()).await.ok()??;
            (row.status != Status::Pending).then_some(())
        })
        .await;
        let first_turn = site.ports.runtime.now().since(since);
        site.output(&run).await;
        (first_turn, site.ports.runtime.now().since(since))
    });
    let measured = join_all(runs).await;
    Resumed {
        first_turns: measured.iter().map(|(first_turn, _)| *first_turn).max().unwrap(),
        completed: measured.iter().map(|(_, completed)| *completed).max().unwrap(),
    }
}

/// Says how long a recovery took, in one line.
pub(super) fn report(what: &str, took: Duration) {
    eprintln!("recovery: {what} {:.2}", took.as_secs_f64());
}
