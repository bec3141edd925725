//! Owns what must hold of every history, whatever was done to the hub: of a simulated one and of a real one.
//! Never knows what an orchestration is for; it only replays it.

use std::collections::BTreeMap;

use longhaul_sdk::OrchestrationRegistry;
use longhaul_sdk::testing::replay;
use longhaul_shared::history::{EventKind, ExecutionCompleted, HistoryEvent};
use longhaul_shared::id::{EventSeq, ExecutionKey, TaskId};
use longhaul_shared::instance::{InstanceRow, Status};
use longhaul_shared::port::LoadedInstance;
use longhaul_shared::time::Timestamp;

/// What a check finds.
pub type Checked = Result<(), String>;

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Checks one instance as it was read, row and history of one moment; `orchestrations` are what it may be of.
///
/// # Errors
/// What is wrong with it.
pub fn check(loaded: &LoadedInstance, orchestrations: &OrchestrationRegistry) -> Checked {
    let (row, history) = (&loaded.row, &*loaded.history);
    ensure(row.last_seq == EventSeq(history.len() as u64), || {
        format!(
            "the row says {} events, the history has {}",
            row.last_seq,
            history.len()
        )
    })?;
    if history.is_empty() {
        return ensure(row.status == Status::Pending, || {
            format!("{} without events", row.status)
        });
    }
    check_beginning(row, history)?;
    check_times(row, history)?;
    check_turns(history)?;
    check_tasks(history)?;
    check_end(row, history)?;
    check_replay(row, history, orchestrations)
}

fn check_beginning(row: &InstanceRow, history: &[HistoryEvent]) -> Checked {
    let [first, second, ..] = history else {
        return Err("one event only".to_owned());
    };
    ensure(first.kind == EventKind::OrchestratorStarted, || {
        format!("it starts with {}", first.kind)
    })?;
    let EventKind::ExecutionStarted(started) = &second.kind else {
        return Err(format!("its second event is {}", second.kind));
    };
    let is_rows = started.name == row.name
        && started.input == row.input
        && started.start_id == row.start_id
        && started.tags == row.tags
        && started.trace == row.trace;
    ensure(is_rows, || format!("row and start differ: {row:?}, {started:?}"))?;
    let starts = |event: &&HistoryEvent| matches!(event.kind, EventKind::ExecutionStarted(_));
    ensure(history.iter().filter(starts).count() == 1, || {
        "it starts twice".to_owned()
    })
}

fn check_times(row: &InstanceRow, history: &[HistoryEvent]) -> Checked {
    let mut before = row.created;
    for event in history {
        ensure(event.time >= before, || {
            format!("{} is at {:?}, after {before:?}", event.kind, event.time)
        })?;
        before = event.time;
    }
    ensure(row.changed >= before, || {
        format!("changed at {:?}, before its last event", row.changed)
    })
}

/// A turn begins once the one before is over, except after a crash between the parts of a large turn: then the
/// next one commits what was left, and the number of beginnings exceeds that of ends.
fn check_turns(history: &[HistoryEvent]) -> Checked {
    let mut is_open = false;
    for event in history {
        match event.kind {
            EventKind::OrchestratorStarted => is_open = true,
            EventKind::OrchestratorCompleted => {
                ensure(is_open, || "a turn ends that had not begun".to_owned())?;
                is_open = false;
            }
            EventKind::Unknown(code) => return Err(format!("an event of the unknown kind {code}")),
            _ => ensure(is_open, || format!("{} stands outside a turn", event.kind))?,
        }
    }
    Ok(())
}

/// What a task waits for.
enum Open {
    Result,
    Timer(Timestamp),
}

fn check_tasks(history: &[HistoryEvent]) -> Checked {
    let mut open: BTreeMap<TaskId, Open> = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for event in history {
        let opened = match &event.kind {
            EventKind::TaskScheduled(_) => Some(Open::Result),
            EventKind::TimerCreated(timer) => Some(Open::Timer(timer.due)),
            _ => None,
        };
        let Some(task) = event.kind.task() else { continue };
        if let Some(opened) = opened {
            ensure(seen.insert(task, ()).is_none(), || {
                format!("task {task} is scheduled twice")
            })?;
            open.insert(task, opened);
            continue;
        }
        let answered = match (&event.kind, open.remove(&task)) {
            (EventKind::TaskCompleted(_) | EventKind::TaskFailed(_), Some(Open::Result)) => true,
            (EventKind::TimerFired(fired), Some(Open::Timer(due))) => {
                ensure(event.time >= due, || {
                    format!(
                        "timer {task} fired at {:?}, before it was due at {due:?}",
                        event.time
                    )
                })?;
                fired.due == due
            }
            _ => false,
        };
        ensure(answered, || {
            format!("{} of task {task} answers nothing that is open", event.kind)
        })?;
    }
    Ok(())
}

fn check_end(row: &InstanceRow, history: &[HistoryEvent]) -> Checked {
    let ends: Vec<&ExecutionCompleted> = history
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::ExecutionCompleted(ended) => Some(ended),
            _ => None,
        })
        .collect();
    if !row.status.is_terminal() {
        return ensure(ends.is_empty(), || {
            format!("it has ended, the row says {}", row.status)
        });
    }
    let last_two = history
        .last_chunk::<2>()
        .map(|events| events.each_ref().map(|event| event.kind.name()));
    ensure(
        last_two == Some(["ExecutionCompleted", "OrchestratorCompleted"]),
        || format!("it ends with {last_two:?}"),
    )?;
    let is_rows = |ended: &&ExecutionCompleted| {
        ended.status == row.status && ended.output == row.output && ended.failure == row.failure
    };
    ensure(ends.len() == 1 && ends.iter().all(is_rows), || {
        format!("row and end differ: {row:?}, {ends:?}")
    })
}

/// The code that completed must take the same steps once more.
fn check_replay(
    row: &InstanceRow,
    history: &[HistoryEvent],
    orchestrations: &OrchestrationRegistry,
) -> Checked {
    match orchestrations.get(&row.name) {
        Some(function) if row.status == Status::Completed => {
            replay(&function, key_of(row), history).map_err(|refusal| refusal.to_string())
        }
        _ => Ok(()),
    }
}

/// Names the execution that a row is of.
#[must_use]
pub fn key_of(row: &InstanceRow) -> ExecutionKey {
    ExecutionKey {
        instance: row.id.clone(),
        execution: row.execution,
    }
}

/// The ends of a history, for the message of a failed test.
#[must_use]
pub fn told(loaded: &LoadedInstance) -> String {
    const SHOWN: usize = 15;
    let count = loaded.history.len();
    let mut text = format!("{:?}\n", loaded.row);
    for (index, event) in loaded.history.iter().enumerate() {
        if index < SHOWN || index + SHOWN >= count {
            let task = event.kind.task().map_or(String::new(), |task| format!(" {task}"));
            text.push_str(&format!(
                "{:>6} {:?} {}{task}\n",
                index + 1,
                event.time,
                event.kind
            ));
        }
    }
    text
}
