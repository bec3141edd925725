//! Owns counting what stands in a partition, for those who look after the system.
//! Never keeps a count: each is made by looking, which a hub of one process can afford.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use longhaul_shared::id::PartitionId;
use longhaul_shared::instance::Status;
use longhaul_shared::port::{Census, StatusCounts, StoreError};
use longhaul_shared::time::Timestamp;

use super::engine::View;
use super::keys;
use super::record;

/// How these partitions of a hub of `partitions_all` stand.
pub(super) fn run(
    view: &dyn View,
    now: Timestamp,
    partitions_all: u16,
    partitions: &[PartitionId],
    older_than: Duration,
) -> Result<Vec<Census>, StoreError> {
    let by_status = by_status(view, partitions_all)?;
    let census = |id: &PartitionId| {
        let mut census = Census {
            by_status: by_status.get(id).copied().unwrap_or_default(),
            outbox: count(view, keys::under(keys::outbox(*id)))?,
            timers: count(view, keys::under(keys::timers(*id)))?,
            next_timer: next_timer(view, *id)?,
            ..Census::default()
        };
        count_ready(view, now, *id, older_than, &mut census)?;
        Ok(census)
    };
    partitions.iter().map(census).collect()
}

/// The instances of all partitions in one walk: the index knows no partitions.
fn by_status(
    view: &dyn View,
    partitions_all: u16,
) -> Result<BTreeMap<PartitionId, StatusCounts>, StoreError> {
    let mut counts: BTreeMap<PartitionId, StatusCounts> = BTreeMap::new();
    for status in Status::ALL {
        view.scan(keys::under(keys::index(status)), &mut |key, _name| {
            let place = keys::place_of(key).and_then(keys::read_place);
            let (_created, id) = place.ok_or_else(|| record::foreign_key(key))?;
            let counts = counts.entry(PartitionId::of(&id, partitions_all)).or_default();
            *counts.of_mut(status) += 1;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(counts)
}

fn count(view: &dyn View, range: Range<Vec<u8>>) -> Result<u64, StoreError> {
    let mut count = 0;
    view.scan(range, &mut |_key, _value| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

fn next_timer(view: &dyn View, partition: PartitionId) -> Result<Option<Timestamp>, StoreError> {
    let mut first = None;
    view.scan(keys::under(keys::timers(partition)), &mut |key, _value| {
        let (due, _key, _task) = keys::read_timer(key).ok_or_else(|| record::foreign_key(key))?;
        first = Some(due);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(first)
}

fn count_ready(
    view: &dyn View,
    now: Timestamp,
    partition: PartitionId,
    older_than: Duration,
    census: &mut Census,
) -> Result<(), StoreError> {
    view.scan(keys::under(keys::ready(partition)), &mut |key, _value| {
        let (since, _id) = keys::read_ready(key).ok_or_else(|| record::foreign_key(key))?;
        if since > now {
            return Ok(ControlFlow::Break(()));
        }
        census.ready_oldest.get_or_insert(now.since(since));
        if since.plus(older_than) > now {
            return Ok(ControlFlow::Break(()));
        }
        census.ready_overdue += 1;
        Ok(ControlFlow::Continue(()))
    })
}
