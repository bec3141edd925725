//! Owns the steps of an execution that history holds as begun and not as answered.
//! Never tells what becomes of them: that is not in history.

use std::collections::BTreeMap;
use std::fmt;

use longhaul_shared::history::{EventKind, HistoryEvent, Place};
use longhaul_shared::id::{EventSeq, Fingerprint, FunctionName, QueueName, TaskId};
use longhaul_shared::time::Timestamp;

/// A step that was begun and has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenStep {
    /// Its id.
    pub task: TaskId,
    /// What it is.
    pub kind: StepKind,
    /// When history recorded its beginning.
    pub since: Timestamp,
    /// Where in history.
    pub seq: EventSeq,
}

/// What an open step is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// An activity task.
    Activity {
        /// The activity.
        name: FunctionName,
        /// The queue it was sent to.
        queue: QueueName,
        /// What a result has to carry.
        fingerprint: Fingerprint,
    },
    /// A step that the orchestrator worker runs itself.
    Inline {
        /// Its name.
        name: FunctionName,
    },
    /// A timer.
    Timer {
        /// When it is due.
        due: Timestamp,
        /// The task that had failed when it was set: most likely it is the pause before that is tried again.
        after_failure: Option<(TaskId, FunctionName)>,
    },
}

impl fmt::Display for OpenStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = self.task;
        match &self.kind {
            StepKind::Activity { name, queue, .. } => {
                write!(f, "activity {name} (task {task}) on queue {queue}")
            }
            StepKind::Inline { name } => write!(f, "inline step {name} (task {task})"),
            StepKind::Timer {
                due,
                after_failure: Some((failed, name)),
            } => write!(
                f,
                "timer (task {task}) due at {due}, set when {name} (task {failed}) had failed: the pause before its \
                 next attempt"
            ),
            StepKind::Timer { due, .. } => write!(f, "timer (task {task}) due at {due}"),
        }
    }
}

/// The open steps of a history, by task id.
pub(super) fn open_steps(history: &[HistoryEvent]) -> Vec<OpenStep> {
    let mut open: BTreeMap<TaskId, OpenStep> = BTreeMap::new();
    let mut names: BTreeMap<TaskId, FunctionName> = BTreeMap::new();
    // The activity that failed last in the turn that is being read.
    let mut failed: Option<(TaskId, FunctionName)> = None;
    for (seq, event) in (1_u64..).zip(history) {
        match &event.kind {
            EventKind::OrchestratorStarted => failed = None,
            EventKind::TaskFailed(answer) => {
                let name = names.get(&answer.task).cloned();
                failed = name.map(|name| (answer.task, name));
            }
            _ => {}
        }
        let kind = match &event.kind {
            EventKind::TaskScheduled(scheduled) => match &scheduled.place {
                Place::Queue(queue) => {
                    names.insert(scheduled.task, scheduled.name.clone());
                    StepKind::Activity {
                        name: scheduled.name.clone(),
                        queue: queue.clone(),
                        fingerprint: scheduled.fingerprint,
                    }
                }
                Place::Inline => StepKind::Inline {
                    name: scheduled.name.clone(),
                },
            },
            EventKind::TimerCreated(created) => StepKind::Timer {
                due: created.due,
                after_failure: failed.take(),
            },
            other => {
                if let Some(task) = other.task() {
                    open.remove(&task);
                }
                continue;
            }
        };
        if let Some(task) = event.kind.task() {
            let step = OpenStep {
                task,
                kind,
                since: event.time,
                seq: EventSeq(seq),
            };
            open.insert(task, step);
        }
    }
    open.into_values().collect()
}
