//! Owns actions: what a turn decides and history has not recorded yet.
//! Never performs one: the host commits it as an event and sends what it asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_shared::failure::Failure;
use longhaul_shared::history::{EventKind, ExecutionCompleted, Place, TaskScheduled, TimerCreated};
use longhaul_shared::id::{Fingerprint, FunctionName, TaskId};
use longhaul_shared::instance::Status;
use longhaul_shared::payload::Payload;
use longhaul_shared::time::Timestamp;

/// One decision of a turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Run a task: on an activity worker, or as an inline step on this one.
    ScheduleTask {
        /// The task.
        task: TaskId,
        /// The activity's name, or the inline step's.
        name: FunctionName,
        /// Where it runs.
        place: Place,
        /// What a result must carry to be believed.
        fingerprint: Fingerprint,
        /// The author's input; none for an inline step.
        input: Option<Payload>,
        /// How long one run may take.
        timeout: Option<Duration>,
        /// Its tags.
        tags: BTreeMap<String, String>,
        /// Which attempt at the author's call it is, from 1; not recorded.
        attempt: u32,
    },
    /// Set a timer.
    CreateTimer {
        /// The timer.
        task: TaskId,
        /// When it is due; may be past.
        due: Timestamp,
    },
    /// The orchestration has returned. Always the last action of a turn.
    Complete {
        /// What.
        outcome: Result<Payload, Failure>,
    },
}

impl Action {
    /// The durable step that the action begins; none for [`Action::Complete`].
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::ScheduleTask { task, .. } | Self::CreateTimer { task, .. } => Some(*task),
            Self::Complete { .. } => None,
        }
    }

    /// The event that records the action.
    #[must_use]
    pub fn into_event(self) -> EventKind {
        match self {
            Self::ScheduleTask {
                task,
                name,
                place,
                fingerprint,
                input,
                timeout,
                tags,
                attempt: _,
            } => EventKind::TaskScheduled(TaskScheduled {
                task,
                name,
                fingerprint,
                place,
                input,
                timeout,
                tags,
            }),
            Self::CreateTimer { task, due } => EventKind::TimerCreated(TimerCreated { task, due }),
            Self::Complete { outcome: Ok(output) } => EventKind::ExecutionCompleted(ExecutionCompleted {
                status: Status::Completed,
                output: Some(output),
                failure: None,
            }),
            Self::Complete {
                outcome: Err(failure),
            } => EventKind::ExecutionCompleted(ExecutionCompleted {
                status: Status::Failed,
                output: None,
                failure: Some(failure),
            }),
        }
    }
}
