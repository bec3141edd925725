//! Owns who owns a partition, and which workers live.
//! Never takes a lease from a living owner by itself: it expires by hub time, is given back, or is taken early by
//! who has seen that its owner is gone.
//!
//! A token is good until another is given, also past its expiry: until then nobody else can have acted.

use std::ops::ControlFlow;
use std::time::Duration;

use longhaul_shared::id::{Epoch, LeaseToken, PartitionId, WorkerId};
use longhaul_shared::port::{Era, HeldLease, LeaseOutcome, LeaseRenewal, LeaseWish, StoreError, WorkerRow};
use longhaul_shared::time::Timestamp;

use super::engine::{Batch, View};
use super::keys;
use super::record::{self, LeaseRecord, WorkerRecord, read_lease};

/// Whether this token is the partition's.
pub(super) fn is_held(
    view: &dyn View,
    partition: PartitionId,
    token: &LeaseToken,
) -> Result<bool, StoreError> {
    Ok(read_lease(view, partition)?.is_some_and(|lease| lease.is_held_under(token)))
}

/// Takes a lease if it is free, has expired, or may be taken early. A wish that was already granted is granted again under its token,
/// since the answer may have been lost.
pub(super) fn acquire(
    view: &dyn View,
    now: Timestamp,
    partition: PartitionId,
    worker: WorkerId,
    wish: &LeaseWish,
) -> Result<(Batch, LeaseOutcome), StoreError> {
    let mut batch = Batch::default();
    let lease = match read_lease(view, partition)? {
        Some(lease) if lease.is_held_under(&LeaseToken::new(lease.acquisitions, wish.nonce)) => LeaseRecord {
            expires: now.plus(wish.ttl),
            ..lease
        },
        Some(LeaseRecord {
            owner: Some(owner),
            token,
            expires,
            consuming,
            ..
        }) if expires > now && !may_take_early(&token, consuming, wish) => {
            let expires_in = expires.since(now);
            return Ok((batch, LeaseOutcome::Held { owner, expires_in }));
        }
        before => given(before, now, worker, wish),
    };
    batch.put(keys::lease(partition), record::bytes(&lease));
    let granted = LeaseOutcome::Granted {
        token: LeaseToken::from(lease.token.as_str()),
        after_expiry: lease.after_expiry,
        rebuilt: Era {
            epoch: Epoch::new(lease.rebuilt),
            run: super::hub::run(),
        },
    };
    Ok((batch, granted))
}

/// Whether a lease that is held under this token may be taken before it expires.
fn may_take_early(token: &str, consuming: bool, wish: &LeaseWish) -> bool {
    consuming && wish.early.as_ref().is_some_and(|early| early.as_str() == token)
}

/// Who holds a lease, if anybody does.
pub(super) fn holder(
    view: &dyn View,
    now: Timestamp,
    partition: PartitionId,
) -> Result<Option<HeldLease>, StoreError> {
    let held = read_lease(view, partition)?.and_then(|lease| {
        Some(HeldLease {
            owner: lease.owner?,
            token: LeaseToken::from(lease.token.as_str()),
            consuming: lease.consuming,
            expires_in: lease.expires.since(now),
        })
    });
    Ok(held)
}

/// The lease of a new owner.
fn given(before: Option<LeaseRecord>, now: Timestamp, worker: WorkerId, wish: &LeaseWish) -> LeaseRecord {
    let acquisitions = before.as_ref().map_or(0, |lease| lease.acquisitions) + 1;
    LeaseRecord {
        owner: Some(worker),
        token: LeaseToken::new(acquisitions, wish.nonce).as_str().to_owned(),
        expires: now.plus(wish.ttl),
        consuming: false,
        acquisitions,
        after_expiry: before.as_ref().is_some_and(|lease| lease.owner.is_some()),
        rebuilt: before.map_or(0, |lease| lease.rebuilt),
    }
}

pub(super) fn renew(
    view: &dyn View,
    now: Timestamp,
    renewals: &[LeaseRenewal],
    ttl: Duration,
) -> Result<(Batch, Vec<bool>), StoreError> {
    let mut batch = Batch::default();
    let mut held = Vec::with_capacity(renewals.len());
    for renewal in renewals {
        let lease = held_lease(view, renewal.partition, &renewal.token)?;
        held.push(lease.is_some());
        if let Some(mut lease) = lease {
            lease.expires = now.plus(ttl);
            lease.consuming = renewal.consuming;
            batch.put(keys::lease(renewal.partition), record::bytes(&lease));
        }
    }
    Ok((batch, held))
}

pub(super) fn mark_rebuilt(
    view: &dyn View,
    partition: PartitionId,
    token: &LeaseToken,
    era: &Era,
) -> Result<(Batch, bool), StoreError> {
    let mut batch = Batch::default();
    let lease = held_lease(view, partition, token)?;
    let held = lease.is_some();
    if let Some(mut lease) = lease {
        lease.rebuilt = lease.rebuilt.max(era.epoch.number);
        batch.put(keys::lease(partition), record::bytes(&lease));
    }
    Ok((batch, held))
}

pub(super) fn release(
    view: &dyn View,
    partition: PartitionId,
    token: &LeaseToken,
) -> Result<(Batch, ()), StoreError> {
    let mut batch = Batch::default();
    if let Some(mut lease) = held_lease(view, partition, token)? {
        lease.owner = None;
        lease.consuming = false;
        batch.put(keys::lease(partition), record::bytes(&lease));
    }
    Ok((batch, ()))
}

/// Ends the leases of processes that had the state before, and takes their workers off the list: they are gone.
pub(super) fn forget_predecessors(
    view: &dyn View,
    batch: &mut Batch,
    partitions: u16,
) -> Result<(), StoreError> {
    for partition in PartitionId::all(partitions) {
        if let Some(lease) = read_lease(view, partition)?.filter(|lease| lease.owner.is_some()) {
            let ended = LeaseRecord {
                expires: Timestamp::default(),
                consuming: false,
                ..lease
            };
            batch.put(keys::lease(partition), record::bytes(&ended));
        }
    }
    view.scan(keys::under(keys::workers()), &mut |key, _worker| {
        batch.delete(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })
}

fn held_lease(
    view: &dyn View,
    partition: PartitionId,
    token: &LeaseToken,
) -> Result<Option<LeaseRecord>, StoreError> {
    Ok(read_lease(view, partition)?.filter(|lease| lease.is_held_under(token)))
}

/// Notes that a worker lives for another `ttl`, forgets those that do not, and lists the rest.
pub(super) fn heartbeat(
    view: &dyn View,
    now: Timestamp,
    worker: WorkerRow,
    ttl: Duration,
) -> Result<(Batch, Vec<WorkerRow>), StoreError> {
    let mut batch = Batch::default();
    let mut living = Vec::new();
    each_worker(view, &mut |key, row, expires| {
        if expires <= now {
            batch.delete(key.to_vec());
        } else if row.id != worker.id {
            living.push(row);
        }
    })?;
    if ttl.is_zero() {
        batch.delete(keys::worker(&worker.id));
    } else {
        let record = WorkerRecord {
            expires: now.plus(ttl),
            hosts: worker.hosts.clone(),
        };
        batch.put(keys::worker(&worker.id), record::bytes(&record));
        living.push(worker);
        living.sort_by(|one, other| one.id.cmp(&other.id));
    }
    Ok((batch, living))
}

/// Lists the living, ordered by id.
pub(super) fn workers(view: &dyn View, now: Timestamp) -> Result<Vec<WorkerRow>, StoreError> {
    let mut living = Vec::new();
    // Their keys stand in the order of their ids.
    each_worker(view, &mut |_key, row, expires| {
        if expires > now {
            living.push(row);
        }
    })?;
    Ok(living)
}

/// Visits every worker on the list, living or not, with its key and when its time is over.
fn each_worker(view: &dyn View, each: &mut dyn FnMut(&[u8], WorkerRow, Timestamp)) -> Result<(), StoreError> {
    view.scan(keys::under(keys::workers()), &mut |key, value| {
        let what = || format!("the worker {}", key.escape_ascii());
        let known: WorkerRecord = record::parse(value, what)?;
        let id = key
            .get(1..)
            .and_then(|id| std::str::from_utf8(id).ok())
            .and_then(|id| WorkerId::new(id).ok())
            .ok_or_else(|| record::foreign_key(key))?;
        let row = WorkerRow {
            id,
            hosts: known.hosts,
        };
        each(key, row, known.expires);
        Ok(ControlFlow::Continue(()))
    })
}
