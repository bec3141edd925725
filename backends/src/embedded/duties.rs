//! Owns what an owner looks after in its partition: ready set, timers, outbox, open instances.
//! Never decides what is to be done about any of it.

use std::ops::ControlFlow;
use std::time::Duration;

use longhaul_shared::id::{ExecutionKey, InstanceId, LeaseToken, MessageId, PartitionId, TaskId};
use longhaul_shared::port::{DueTimer, DueTimers, OutboxPage, PageRequest, StoreError};
use longhaul_shared::time::Timestamp;

use super::engine::{Batch, View};
use super::keys;
use super::lease;
use super::page;
use super::record;

pub(super) fn ready(
    view: &dyn View,
    now: Timestamp,
    partition: PartitionId,
    older_than: Duration,
    limit: usize,
) -> Result<Vec<InstanceId>, StoreError> {
    let mut found = Vec::new();
    view.scan(keys::under(keys::ready(partition)), &mut |key, _value| {
        let (since, id) = keys::read_ready(key).ok_or_else(|| record::foreign_key(key))?;
        if found.len() >= limit || since.plus(older_than) > now {
            return Ok(ControlFlow::Break(()));
        }
        found.push(id);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

pub(super) fn due_timers(
    view: &dyn View,
    now: Timestamp,
    partition: PartitionId,
    limit: usize,
) -> Result<DueTimers, StoreError> {
    let mut timers = DueTimers {
        now,
        due: Vec::new(),
        next: None,
    };
    view.scan(keys::under(keys::timers(partition)), &mut |key, _value| {
        let (due, key, task) = keys::read_timer(key).ok_or_else(|| record::foreign_key(key))?;
        if timers.due.len() >= limit || due > now {
            timers.next = Some(due);
            return Ok(ControlFlow::Break(()));
        }
        timers.due.push(DueTimer { key, task, due });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(timers)
}

pub(super) fn drop_timers(
    view: &dyn View,
    partition: PartitionId,
    token: &LeaseToken,
    timers: &[(ExecutionKey, TaskId)],
) -> Result<(Batch, bool), StoreError> {
    let mut batch = Batch::default();
    let held = lease::is_held(view, partition, token)?;
    if held {
        for (key, task) in timers {
            drop_timer(&mut batch, view, partition, key, *task)?;
        }
    }
    Ok((batch, held))
}

/// Forgets a timer if it is set.
pub(super) fn drop_timer(
    batch: &mut Batch,
    view: &dyn View,
    partition: PartitionId,
    key: &ExecutionKey,
    task: TaskId,
) -> Result<(), StoreError> {
    let by_task = keys::timer_of(key, task);
    if let Some(due) = view.get(&by_task)? {
        let due = keys::read_time(&due).ok_or_else(|| record::foreign_key(&by_task))?;
        batch.delete(keys::timer(partition, due, key, task));
        batch.delete(by_task);
    }
    Ok(())
}

pub(super) fn outbox(
    view: &dyn View,
    partition: PartitionId,
    request: &PageRequest,
) -> Result<OutboxPage, StoreError> {
    let prefix = keys::outbox(partition);
    let after = page::after_message(request)?;
    let mut messages = Vec::new();
    let next = page::read(view, prefix, after.as_deref(), request, &mut |_key, value| {
        messages.push(record::parse(value, || {
            format!("a message in the outbox of partition {partition}")
        })?);
        Ok(())
    })?;
    let next = next.map(|place| page::message_cursor(&place));
    Ok(OutboxPage { messages, next })
}

pub(super) fn forget_confirmed(
    view: &dyn View,
    partition: PartitionId,
    token: &LeaseToken,
    messages: &[MessageId],
) -> Result<(Batch, bool), StoreError> {
    let mut batch = Batch::default();
    let held = lease::is_held(view, partition, token)?;
    if held {
        for message in messages {
            batch.delete(keys::outbox_entry(partition, *message));
        }
    }
    Ok((batch, held))
}

pub(super) fn open_instances(
    view: &dyn View,
    partition: PartitionId,
    request: &PageRequest,
) -> Result<(Vec<InstanceId>, Option<String>), StoreError> {
    let after = request.cursor.as_deref().map(|id| id.as_bytes().to_vec());
    let mut instances = Vec::new();
    let prefix = keys::open(partition);
    let next = page::read(view, prefix, after.as_deref(), request, &mut |key, _value| {
        instances.push(keys::read_open(key).ok_or_else(|| record::foreign_key(key))?);
        Ok(())
    })?;
    let next = next.map(|place| String::from_utf8_lossy(&place).into_owned());
    Ok((instances, next))
}
