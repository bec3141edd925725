//! Owns how a turn's commit is judged and written.
//! Never writes a part of one: everything is checked first, then everything is written.
//!
//! Where a commit names one thing twice, what it takes away goes before what it adds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use longhaul_shared::commit::{CommitOutcome, Ready, TurnCommit};
use longhaul_shared::history::encode_events;
use longhaul_shared::id::{ExecutionKey, MessageId, PartitionId};
use longhaul_shared::port::StoreError;
use longhaul_shared::time::Timestamp;

use super::duties;
use super::engine::{Batch, View};
use super::instance::set_ready;
use super::keys;
use super::lease;
use super::record::{self, Ending, Head, read_head, unreadable};

/// Applies a commit or says why not.
pub(super) fn apply(
    view: &dyn View,
    now: Timestamp,
    partitions: u16,
    commit: &TurnCommit,
) -> Result<(Batch, CommitOutcome), StoreError> {
    match judge(view, partitions, commit)? {
        Verdict::Refused(outcome) => Ok((Batch::default(), outcome)),
        Verdict::Accepted(head) => Ok((write(view, now, commit, *head)?, CommitOutcome::Applied)),
    }
}

enum Verdict {
    Accepted(Box<Head>),
    Refused(CommitOutcome),
}

fn judge(view: &dyn View, partitions: u16, commit: &TurnCommit) -> Result<Verdict, StoreError> {
    if !lease::is_held(view, commit.partition, &commit.token)? {
        return Ok(Verdict::Refused(CommitOutcome::Fenced));
    }
    let in_partition = PartitionId::of(&commit.instance, partitions) == commit.partition;
    let head = if in_partition {
        read_head(view, &commit.instance)?
    } else {
        None
    };
    let Some(head) = head else {
        return Ok(Verdict::Refused(CommitOutcome::Conflict));
    };
    if head.last_commit == Some(commit.id) {
        return Ok(Verdict::Refused(CommitOutcome::Duplicate));
    }
    let is_expected = head.execution == commit.execution
        && head.commit_number == commit.expected
        && head.last_seq == commit.expected_seq
        && !head.status.is_terminal();
    Ok(if is_expected {
        Verdict::Accepted(Box::new(head))
    } else {
        Verdict::Refused(CommitOutcome::Conflict)
    })
}

fn write(view: &dyn View, now: Timestamp, commit: &TurnCommit, mut head: Head) -> Result<Batch, StoreError> {
    let mut batch = Batch::default();
    write_events(&mut batch, commit)?;
    write_timers(&mut batch, view, commit)?;
    write_outbox(&mut batch, commit);
    head.inbox = write_inbox(&mut batch, view, commit, head.inbox)?;
    let ready = match commit.ready {
        _ if commit.row.status.is_terminal() => None,
        Ready::At(time) => Some(time),
        Ready::Settle if head.inbox > 0 => Some(head.ready.map_or(now, |ready| ready.min(now))),
        Ready::Settle | Ready::Rest => None,
    };
    set_ready(&mut batch, commit.partition, &commit.instance, &mut head, ready);
    write_row(&mut batch, commit, head);
    Ok(batch)
}

fn write_events(batch: &mut Batch, commit: &TurnCommit) -> Result<(), StoreError> {
    if commit.events.is_empty() {
        return Ok(());
    }
    let stored = encode_events(&commit.events).map_err(|error| {
        let what = format!("an event that instance {} is to commit", commit.instance);
        unreadable(what, &error)
    })?;
    let key = keys::history_entry(&commit.instance, commit.execution, commit.last_seq());
    batch.put(key, stored);
    Ok(())
}

fn write_timers(batch: &mut Batch, view: &dyn View, commit: &TurnCommit) -> Result<(), StoreError> {
    let key = ExecutionKey {
        instance: commit.instance.clone(),
        execution: commit.execution,
    };
    for task in &commit.timers_remove {
        duties::drop_timer(batch, view, commit.partition, &key, *task)?;
    }
    let added: BTreeMap<_, _> = commit
        .timers_add
        .iter()
        .map(|timer| (timer.task, timer.due))
        .collect();
    for (task, due) in added {
        duties::drop_timer(batch, view, commit.partition, &key, task)?;
        batch.put(keys::timer(commit.partition, due, &key, task), Vec::new());
        batch.put(keys::timer_of(&key, task), keys::time_bytes(due).to_vec());
    }
    Ok(())
}

fn write_outbox(batch: &mut Batch, commit: &TurnCommit) {
    for message in &commit.outbox_remove {
        batch.delete(keys::outbox_entry(commit.partition, *message));
    }
    for message in &commit.outbox_add {
        let entry = keys::outbox_entry(commit.partition, message.id);
        batch.put(entry, record::bytes(message));
    }
}

/// Writes what becomes of the inbox; returns how many messages it holds then. An envelope that a commit sets
/// aside was already accepted, so the bound of an inbox does not refuse it.
fn write_inbox(
    batch: &mut Batch,
    view: &dyn View,
    commit: &TurnCommit,
    before: usize,
) -> Result<usize, StoreError> {
    let id = &commit.instance;
    if commit.row.status.is_terminal() {
        if before > 0 {
            view.scan(keys::under(keys::inbox(id)), &mut |entry, _value| {
                batch.delete(entry.to_vec());
                Ok(ControlFlow::Continue(()))
            })?;
        }
        return Ok(0);
    }
    let holds = |message: MessageId| -> Result<bool, StoreError> {
        Ok(before > 0 && view.get(&keys::inbox_entry(id, message))?.is_some())
    };
    let mut removed = BTreeSet::new();
    for message in &commit.inbox_remove {
        if holds(*message)? && removed.insert(*message) {
            batch.delete(keys::inbox_entry(id, *message));
        }
    }
    let mut added = BTreeSet::new();
    for envelope in &commit.inbox_add {
        let is_there = holds(envelope.id)? && !removed.contains(&envelope.id);
        if !is_there && added.insert(envelope.id) {
            batch.put(keys::inbox_entry(id, envelope.id), record::bytes(envelope));
        }
    }
    Ok((before + added.len()).saturating_sub(removed.len()))
}

fn write_row(batch: &mut Batch, commit: &TurnCommit, head: Head) {
    let id = &commit.instance;
    let row = &commit.row;
    if row.status != head.status {
        batch.delete(keys::index_entry(head.status, head.created, id));
        let name = head.name.as_str().as_bytes().to_vec();
        batch.put(keys::index_entry(row.status, head.created, id), name);
    }
    if row.status.is_terminal() {
        batch.delete(keys::open_entry(commit.partition, id));
    }
    let has_ending = row.output.is_some() || row.failure.is_some();
    if has_ending {
        let ending = Ending {
            output: row.output.clone(),
            failure: row.failure.clone(),
        };
        batch.put(keys::ending(id), record::bytes(&ending));
    } else if head.has_ending {
        batch.delete(keys::ending(id));
    }
    let (attempts, counted) = match commit.survived {
        true => (0, None),
        false => (head.attempts, head.counted),
    };
    let head = Head {
        attempts,
        counted,
        status: row.status,
        commit_number: commit.expected.next(),
        last_commit: Some(commit.id),
        last_seq: commit.last_seq(),
        changed: row.changed,
        waiting_for: row.waiting_for.clone(),
        has_ending,
        ..head
    };
    batch.put(keys::head(id), record::bytes(&head));
}
