//! Owns how an instance is accepted, given a message, and read.
//! Never changes an instance that has begun: that is a commit's.

use std::ops::ControlFlow;

use longhaul_shared::history::{HistoryEvent, decode_events};
use longhaul_shared::id::{CommitNumber, EventSeq, ExecutionKey, InstanceId, PartitionId};
use longhaul_shared::instance::{InstanceRow, StartInstance, Status};
use longhaul_shared::limits::INBOX_MESSAGES_MAX;
use longhaul_shared::message::Envelope;
use longhaul_shared::port::{Created, LoadRequest, LoadedInstance, Posted, StoreError};
use longhaul_shared::time::Timestamp;

use super::engine::{Batch, View};
use super::keys;
use super::record::{self, Birth, Ending, Head, read_birth, read_ending, read_head, unreadable};

/// Accepts a start, once.
pub(super) fn create(
    view: &dyn View,
    now: Timestamp,
    partitions: u16,
    start: StartInstance,
) -> Result<(Batch, Created), StoreError> {
    let mut batch = Batch::default();
    if let Some(head) = read_head(view, &start.id)? {
        let birth = read_birth(view, &start.id)?;
        let answer = if birth.start_id == start.start_id {
            Created::Repeated(head.status)
        } else {
            Created::Taken {
                by: birth.start_id,
                status: head.status,
            }
        };
        return Ok((batch, answer));
    }
    let id = start.id;
    let partition = PartitionId::of(&id, partitions);
    let head = Head {
        name: start.name,
        created: now,
        execution: start.execution,
        status: Status::Pending,
        commit_number: CommitNumber::default(),
        last_commit: None,
        last_seq: EventSeq::default(),
        changed: now,
        waiting_for: None,
        ready: Some(now),
        inbox: 0,
        has_ending: false,
        attempts: 0,
        counted: None,
    };
    let birth = Birth {
        start_id: start.start_id,
        version: start.version,
        input: start.input,
        tags: start.tags,
        trace: start.trace,
    };
    batch.put(keys::head(&id), record::bytes(&head));
    batch.put(keys::birth(&id), record::bytes(&birth));
    batch.put(keys::ready_entry(partition, now, &id), Vec::new());
    batch.put(keys::open_entry(partition, &id), Vec::new());
    let name = head.name.as_str().as_bytes().to_vec();
    batch.put(keys::index_entry(head.status, head.created, &id), name);
    Ok((batch, Created::New))
}

/// Puts a message into an inbox, once.
pub(super) fn post(
    view: &dyn View,
    now: Timestamp,
    partitions: u16,
    message: &Envelope,
) -> Result<(Batch, Posted), StoreError> {
    let mut batch = Batch::default();
    let id = &message.instance;
    let Some(mut head) = read_head(view, id)? else {
        return Ok((batch, Posted::Unknown));
    };
    if head.status.is_terminal() {
        return Ok((batch, Posted::Ended(head.status)));
    }
    let entry = keys::inbox_entry(id, message.id);
    if view.get(&entry)?.is_some() {
        return Ok((batch, Posted::Accepted));
    }
    if head.inbox >= INBOX_MESSAGES_MAX {
        return Ok((batch, Posted::Full));
    }
    batch.put(entry, record::bytes(message));
    head.inbox += 1;
    let since = head.ready.map_or(now, |ready| ready.min(now));
    set_ready(
        &mut batch,
        PartitionId::of(id, partitions),
        id,
        &mut head,
        Some(since),
    );
    batch.put(keys::head(id), record::bytes(&head));
    Ok((batch, Posted::Accepted))
}

/// Moves an instance within the ready set, into it or out of it.
pub(super) fn set_ready(
    batch: &mut Batch,
    partition: PartitionId,
    id: &InstanceId,
    head: &mut Head,
    ready: Option<Timestamp>,
) {
    if head.ready == ready {
        return;
    }
    if let Some(before) = head.ready {
        batch.delete(keys::ready_entry(partition, before, id));
    }
    if let Some(since) = ready {
        batch.put(keys::ready_entry(partition, since, id), Vec::new());
    }
    head.ready = ready;
}

/// Reads one instance.
pub(super) fn load(view: &dyn View, request: &LoadRequest) -> Result<Option<LoadedInstance>, StoreError> {
    let Some(row) = row(view, &request.id)? else {
        return Ok(None);
    };
    let history = if request.history {
        let key = ExecutionKey {
            instance: row.id.clone(),
            execution: row.execution,
        };
        history(view, &key, EventSeq::default(), usize::MAX)?
    } else {
        Vec::new()
    };
    Ok(Some(LoadedInstance {
        inbox: inbox(view, &request.id)?,
        row,
        history,
    }))
}

/// Reads a row.
pub(super) fn row(view: &dyn View, id: &InstanceId) -> Result<Option<InstanceRow>, StoreError> {
    let Some(head) = read_head(view, id)? else {
        return Ok(None);
    };
    let birth = read_birth(view, id)?;
    let ending = if head.has_ending {
        read_ending(view, id)?
    } else {
        Ending::default()
    };
    Ok(Some(head.row(id.clone(), birth, ending)))
}

/// Reads a row that is terminal; `Some(None)` = it is not yet, `None` = there is no such instance.
pub(super) fn terminal_row(
    view: &dyn View,
    id: &InstanceId,
) -> Result<Option<Option<InstanceRow>>, StoreError> {
    match read_head(view, id)? {
        None => Ok(None),
        Some(head) if head.status.is_terminal() => row(view, id).map(Some),
        Some(_) => Ok(Some(None)),
    }
}

fn inbox(view: &dyn View, id: &InstanceId) -> Result<Vec<Envelope>, StoreError> {
    let mut messages = Vec::new();
    view.scan(keys::under(keys::inbox(id)), &mut |_key, value| {
        messages.push(record::parse(value, || {
            format!("a message in the inbox of instance {id}")
        })?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(messages)
}

/// Reads the events behind `after`, whole commits at a time as far as they fit `limit`, and at least one.
pub(super) fn history(
    view: &dyn View,
    key: &ExecutionKey,
    after: EventSeq,
    limit: usize,
) -> Result<Vec<HistoryEvent>, StoreError> {
    let what = || {
        format!(
            "the history of instance {}, execution {}",
            key.instance, key.execution
        )
    };
    let mut events = Vec::new();
    let prefix = keys::history(&key.instance, key.execution);
    let range = keys::under_after(prefix.clone(), &after.0.to_be_bytes());
    let mut next = after.plus(1);
    view.scan(range, &mut |entry, value| {
        let commit = decode_events(value).map_err(|error| unreadable(what(), &error))?;
        let last = entry
            .get(prefix.len()..)
            .and_then(|seq| <[u8; 8]>::try_from(seq).ok())
            .map(u64::from_be_bytes)
            .ok_or_else(|| record::foreign_key(entry))?;
        let first = (last + 1).saturating_sub(commit.len() as u64);
        if first > next.0 {
            let gap = format!("the events from {next} to {} are missing", first - 1);
            return Err(unreadable(what(), &gap));
        }
        let known = usize::try_from(next.0 - first).unwrap_or(usize::MAX);
        let new = commit.len().saturating_sub(known);
        if !events.is_empty() && events.len().saturating_add(new) > limit {
            return Ok(ControlFlow::Break(()));
        }
        events.extend(commit.into_iter().skip(known));
        next = EventSeq(last + 1);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(events)
}
