//! Owns what a history says is open: which tasks and timers of the execution still wait for an answer.
//! Never looks at an author's code; a sidecar's executions have the same ledger.
//!
//! It is how the host notices copies: a result is believed only if the ledger holds its task open, scheduled at
//! the same place with the same fingerprint.

use std::collections::BTreeMap;

use longhaul_shared::history::{EventKind, HistoryEvent, Place};
use longhaul_shared::id::{EventSeq, Fingerprint, FunctionName, QueueName, TaskId};
use longhaul_shared::message::TaskIdentity;
use longhaul_shared::time::Timestamp;

use crate::mutant::{Broken, is_broken};

/// The open tasks of one execution, folded from its events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    last_seq: EventSeq,
    last_time: Timestamp,
    started: bool,
    turn_open: bool,
    tasks: BTreeMap<TaskId, OpenTask>,
    /// Ids of all tasks ever scheduled, as ranges: ids rise, but a step that was never polled leaves a gap.
    scheduled: BTreeMap<TaskId, TaskId>,
}

/// A task that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenTask {
    pub(crate) scheduled_seq: EventSeq,
    pub(crate) kind: OpenKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpenKind {
    Activity {
        name: FunctionName,
        queue: QueueName,
        fingerprint: Fingerprint,
    },
    Inline {
        fingerprint: Fingerprint,
    },
    Timer {
        due: Timestamp,
    },
}

/// What the ledger knows of a task that a message names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// It waits for exactly this.
    Open(&'a OpenTask),
    /// It has its answer already.
    Closed,
    /// History never scheduled it, or scheduled something else under its id.
    Unknown,
}

impl Ledger {
    /// Takes in committed events, which follow those taken in before.
    pub(crate) fn record(&mut self, events: &[HistoryEvent]) {
        for event in events {
            self.last_seq = self.last_seq.plus(1);
            self.last_time = self.last_time.max(event.time);
            self.record_one(&event.kind);
        }
    }

    fn record_one(&mut self, kind: &EventKind) {
        let scheduled_seq = self.last_seq;
        match kind {
            EventKind::OrchestratorStarted => self.turn_open = true,
            EventKind::OrchestratorCompleted => self.turn_open = false,
            EventKind::ExecutionStarted(_) => self.started = true,
            EventKind::TaskScheduled(task) => {
                let fingerprint = task.fingerprint;
                let kind = match &task.place {
                    Place::Queue(queue) => OpenKind::Activity {
                        name: task.name.clone(),
                        queue: queue.clone(),
                        fingerprint,
                    },
                    Place::Inline => OpenKind::Inline { fingerprint },
                };
                self.open(task.task, OpenTask { scheduled_seq, kind });
            }
            EventKind::TimerCreated(timer) => {
                self.open(
                    timer.task,
                    OpenTask {
                        scheduled_seq,
                        kind: OpenKind::Timer { due: timer.due },
                    },
                );
            }
            EventKind::TaskCompleted(answer) => {
                self.tasks.remove(&answer.task);
            }
            EventKind::TaskFailed(answer) => {
                self.tasks.remove(&answer.task);
            }
            EventKind::TimerFired(timer) => {
                self.tasks.remove(&timer.task);
            }
            EventKind::ExecutionCompleted(_) | EventKind::ExecutionTerminated(_) | EventKind::Unknown(_) => {}
        }
    }

    fn open(&mut self, task: TaskId, open: OpenTask) {
        self.tasks.insert(task, open);
        match self.scheduled.last_entry() {
            Some(mut range) if range.get().next() == task => {
                range.insert(task);
            }
            _ => {
                self.scheduled.insert(task, task);
            }
        }
    }

    /// How many events there are.
    pub(crate) fn last_seq(&self) -> EventSeq {
        self.last_seq
    }

    /// The time of the last event.
    pub(crate) fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// Whether the first turn has been committed, at least in part.
    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// Whether the last turn was committed only in part, so that the rest of it is still to come.
    pub(crate) fn is_turn_open(&self) -> bool {
        self.turn_open
    }

    /// What stands open under this id, whoever asks.
    pub(crate) fn open_task(&self, task: TaskId) -> Option<&OpenTask> {
        self.tasks.get(&task)
    }

    /// Everything that stands open.
    pub(crate) fn open_tasks(&self) -> impl Iterator<Item = (TaskId, &OpenTask)> {
        self.tasks.iter().map(|(task, open)| (*task, open))
    }

    /// What is known of the task that a message claims to answer.
    pub(crate) fn standing(&self, identity: &TaskIdentity) -> Standing<'_> {
        match self.tasks.get(&identity.task) {
            Some(open) if open.answers_to(identity) => Standing::Open(open),
            Some(_) => Standing::Unknown,
            None if self.was_scheduled(identity.task) => Standing::Closed,
            None => Standing::Unknown,
        }
    }

    fn was_scheduled(&self, task: TaskId) -> bool {
        self.scheduled
            .range(..=task)
            .next_back()
            .is_some_and(|(_, last)| task <= *last)
    }
}

impl OpenTask {
    fn answers_to(&self, identity: &TaskIdentity) -> bool {
        let fingerprint = match &self.kind {
            OpenKind::Activity { fingerprint, .. } | OpenKind::Inline { fingerprint } => *fingerprint,
            OpenKind::Timer { .. } => return false,
        };
        is_broken(Broken::ResultMatchedByTaskOnly)
            || (self.scheduled_seq == identity.scheduled_seq && fingerprint == identity.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use longhaul_shared::history::{TaskCompleted, TaskScheduled, TimerCreated};
    use longhaul_shared::id::{Dispatch, ExecutionId, ExecutionKey, InstanceId};
    use longhaul_shared::payload::Payload;

    use super::*;

    fn event(kind: EventKind) -> HistoryEvent {
        HistoryEvent {
            time: Timestamp::from_micros(1),
            kind,
        }
    }

    fn scheduled(task: u32) -> HistoryEvent {
        event(EventKind::TaskScheduled(TaskScheduled {
            task: TaskId(task),
            name: FunctionName::new("a").unwrap(),
            fingerprint: Fingerprint(7),
            place: Place::Queue(QueueName::default()),
            input: None,
            timeout: None,
            tags: BTreeMap::new(),
        }))
    }

    fn completed(task: u32) -> HistoryEvent {
        let output = Payload::unit();
        event(EventKind::TaskCompleted(TaskCompleted {
            task: TaskId(task),
            dispatch: Dispatch(1),
            output,
        }))
    }

    fn identity(task: u32, seq: u64, fingerprint: u64) -> TaskIdentity {
        TaskIdentity {
            key: ExecutionKey {
                instance: InstanceId::new("i").unwrap(),
                execution: ExecutionId::from_bits(1),
            },
            task: TaskId(task),
            scheduled_seq: EventSeq(seq),
            fingerprint: Fingerprint(fingerprint),
        }
    }

    #[test]
    fn a_result_is_open_closed_or_unknown() {
        let mut ledger = Ledger::default();
        ledger.record(&[scheduled(1), scheduled(2), scheduled(5), completed(2)]);
        assert!(matches!(ledger.standing(&identity(1, 1, 7)), Standing::Open(_)));
        assert_eq!(
            ledger.standing(&identity(1, 2, 7)),
            Standing::Unknown,
            "scheduled elsewhere"
        );
        assert_eq!(
            ledger.standing(&identity(1, 1, 8)),
            Standing::Unknown,
            "another fingerprint"
        );
        assert_eq!(ledger.standing(&identity(2, 2, 7)), Standing::Closed);
        assert_eq!(
            ledger.standing(&identity(3, 3, 7)),
            Standing::Unknown,
            "in the gap"
        );
        assert_eq!(
            ledger.standing(&identity(6, 6, 7)),
            Standing::Unknown,
            "beyond the end"
        );
    }

    #[test]
    fn a_timer_is_no_task_to_answer() {
        let mut ledger = Ledger::default();
        let due = Timestamp::from_micros(9);
        ledger.record(&[event(EventKind::TimerCreated(TimerCreated {
            task: TaskId(1),
            due,
        }))]);
        assert_eq!(ledger.standing(&identity(1, 1, 0)), Standing::Unknown);
        assert_eq!(ledger.open_task(TaskId(1)).unwrap().kind, OpenKind::Timer { due });
    }

    #[test]
    fn a_turn_committed_in_part_stays_open() {
        let mut ledger = Ledger::default();
        ledger.record(&[event(EventKind::OrchestratorStarted), scheduled(1)]);
        assert!(ledger.is_turn_open());
        ledger.record(&[event(EventKind::OrchestratorCompleted)]);
        assert!(!ledger.is_turn_open());
    }
}
