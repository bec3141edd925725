//! Owns the counts of attempts at instances and at pieces of work, by which poison is told.
//! Never decides how many are too many: the workers do.

use std::ops::ControlFlow;

use longhaul_shared::id::{InstanceId, LeaseToken, MessageId, PartitionId};
use longhaul_shared::limits::WORK_ATTEMPTS_MEMORY;
use longhaul_shared::port::{Attempted, Requeued, StoreError};
use longhaul_shared::time::Timestamp;

use super::engine::{Batch, View};
use super::instance::set_ready;
use super::keys;
use super::lease;
use super::record::{self, WorkAttempts, read_head};

/// Counts an attempt at an instance, one for each token.
pub(super) fn count(
    view: &dyn View,
    partition: PartitionId,
    token: &LeaseToken,
    id: &InstanceId,
) -> Result<(Batch, Attempted), StoreError> {
    let mut batch = Batch::default();
    if !lease::is_held(view, partition, token)? {
        return Ok((batch, Attempted::Fenced));
    }
    let Some(mut head) = read_head(view, id)?.filter(|head| !head.status.is_terminal()) else {
        return Ok((batch, Attempted::Gone));
    };
    if head.counted.as_deref() != Some(token.as_str()) {
        head.attempts = head.attempts.saturating_add(1);
        head.counted = Some(token.as_str().to_owned());
        batch.put(keys::head(id), record::bytes(&head));
    }
    Ok((batch, Attempted::Counted(head.attempts)))
}

/// Forgets the attempts at an instance and puts it into the ready set.
pub(super) fn requeue(
    view: &dyn View,
    now: Timestamp,
    partitions: u16,
    id: &InstanceId,
) -> Result<(Batch, Requeued), StoreError> {
    let mut batch = Batch::default();
    let Some(mut head) = read_head(view, id)? else {
        return Ok((batch, Requeued::Unknown));
    };
    if head.status.is_terminal() {
        return Ok((batch, Requeued::Ended(head.status)));
    }
    let since = head.ready.map_or(now, |ready| ready.min(now));
    let partition = PartitionId::of(id, partitions);
    set_ready(&mut batch, partition, id, &mut head, Some(since));
    head.attempts = 0;
    head.counted = None;
    batch.put(keys::head(id), record::bytes(&head));
    Ok((batch, Requeued::Accepted))
}

/// How many attempts at a piece of work are remembered.
pub(super) fn of_work(
    view: &dyn View,
    now: Timestamp,
    partition: PartitionId,
    work: MessageId,
) -> Result<u32, StoreError> {
    Ok(remembered(view, now, partition, work)?.map_or(0, |attempts| attempts.count))
}

/// Counts an attempt at a piece of work, and forgets what is too old to be remembered.
pub(super) fn count_work(
    view: &dyn View,
    now: Timestamp,
    partition: PartitionId,
    work: MessageId,
    nonce: u128,
) -> Result<(Batch, u32), StoreError> {
    let mut batch = Batch::default();
    view.scan(keys::under(keys::attempts(partition)), &mut |key, value| {
        if is_over(&parse(value, key)?, now) {
            batch.delete(key.to_vec());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let before = remembered(view, now, partition, work)?;
    let nonce = format!("{nonce:032x}");
    let count = match before {
        Some(before) if before.nonce == nonce => before.count,
        Some(before) => before.count.saturating_add(1),
        None => 1,
    };
    let attempts = WorkAttempts {
        count,
        nonce,
        last: now,
    };
    batch.put(keys::attempts_at(partition, work), record::bytes(&attempts));
    Ok((batch, count))
}

/// Forgets the attempts at a piece of work.
pub(super) fn forget_work(partition: PartitionId, work: MessageId) -> Batch {
    let mut batch = Batch::default();
    batch.delete(keys::attempts_at(partition, work));
    batch
}

fn remembered(
    view: &dyn View,
    now: Timestamp,
    partition: PartitionId,
    work: MessageId,
) -> Result<Option<WorkAttempts>, StoreError> {
    let key = keys::attempts_at(partition, work);
    let stored = view.get(&key)?.map(|value| parse(&value, &key)).transpose()?;
    Ok(stored.filter(|attempts| !is_over(attempts, now)))
}

fn is_over(attempts: &WorkAttempts, now: Timestamp) -> bool {
    attempts.last.plus(WORK_ATTEMPTS_MEMORY) <= now
}

fn parse(value: &[u8], key: &[u8]) -> Result<WorkAttempts, StoreError> {
    record::parse(value, || format!("the attempts {}", key.escape_ascii()))
}
