//! Owns the instance row: everything a reader may want to know of an instance without its history.
//! Never changes by itself: only a create or a turn's commit writes it, but for the count of attempts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::id::{
    CommitId, CommitNumber, EventSeq, ExecutionId, FunctionName, InstanceId, ParkedId, QueueName, StartId,
    TaskId,
};
use crate::payload::Payload;
use crate::time::Timestamp;
use crate::trace::TraceContext;

/// Where an instance stands. The codes are the Durable Task protocol's: pinned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Status {
    /// It has run at least one turn and is not at its end.
    Running = 0,
    /// It returned an output.
    Completed = 1,
    /// It failed.
    Failed = 3,
    /// Somebody ended it.
    Terminated = 5,
    /// It was accepted and has not run yet.
    Pending = 6,
}

impl Status {
    /// Every status, in the order a person would list them.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Terminated,
    ];

    /// Whether nothing can change any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Terminated)
    }

    /// The stored code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name that people see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Terminated => "Terminated",
            Self::Pending => "Pending",
        }
    }
}

impl From<Status> for u8 {
    fn from(status: Status) -> Self {
        status.code()
    }
}

impl TryFrom<u8> for Status {
    type Error = String;
    fn try_from(code: u8) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|status| status.code() == code)
            .ok_or_else(|| format!("status {code} is not known to this version"))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What an open instance waits for when that is somebody else's move, for people and for `longhaul list`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WaitingFor {
    /// No orchestrator worker that owns its partition hosts the orchestration.
    #[serde(rename = "o")]
    Orchestration {
        /// The orchestration nobody hosts.
        #[serde(rename = "n")]
        name: FunctionName,
    },
    /// No activity worker of the queue hosts an activity.
    #[serde(rename = "a")]
    Activity {
        /// The activity nobody hosts.
        #[serde(rename = "n")]
        name: FunctionName,
        /// The queue on which it was looked for.
        #[serde(rename = "q")]
        queue: QueueName,
    },
    /// Its code cannot go on from its history: paused until other code is deployed, or it is terminated.
    #[serde(rename = "p")]
    Paused {
        /// The error code, e.g. `LH1100`.
        #[serde(rename = "c")]
        code: String,
        /// What happened, in full; begins with the code.
        #[serde(rename = "m")]
        message: String,
    },
    /// Whoever runs it dies: parked until somebody requeues it, or it is terminated.
    #[serde(rename = "s")]
    Stuck {
        /// The error code, e.g. `LH1110`.
        #[serde(rename = "c")]
        code: String,
        /// What happened, in full; begins with the code.
        #[serde(rename = "m")]
        message: String,
        /// How many attempts were made and counted.
        #[serde(rename = "n")]
        attempts: u32,
    },
    /// The work item of a task was parked: somebody has to requeue it.
    #[serde(rename = "k")]
    ParkedTask {
        /// Which task.
        #[serde(rename = "t")]
        task: TaskId,
        /// Its activity.
        #[serde(rename = "n")]
        name: FunctionName,
        /// The error code, e.g. `LH1302`.
        #[serde(rename = "c")]
        code: String,
        /// The parked message to requeue.
        #[serde(rename = "p")]
        parked: ParkedId,
    },
}

impl fmt::Display for WaitingFor {
    /// One line; the message of a pause may hold more, of which the first is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orchestration { name } => write!(f, "a worker that hosts orchestration {name}"),
            Self::Activity { name, queue } => {
                write!(f, "a worker of queue {queue} that hosts activity {name}")
            }
            Self::Paused { code, message } => {
                write!(
                    f,
                    "paused [{code}] {}",
                    message.lines().next().unwrap_or_default()
                )
            }
            Self::Stuck { code, attempts, .. } => {
                write!(
                    f,
                    "stuck [{code}] after {attempts} attempts: longhaul parked requeue"
                )
            }
            Self::ParkedTask {
                name, code, parked, ..
            } => {
                write!(
                    f,
                    "parked activity {name} [{code}]: longhaul parked requeue {parked}"
                )
            }
        }
    }
}

/// Everything known of an instance but its history and inbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstanceRow {
    /// Its id.
    pub id: InstanceId,
    /// Which orchestration it runs.
    pub name: FunctionName,
    /// The version asked for, if any.
    pub version: Option<String>,
    /// Its current pass.
    pub execution: ExecutionId,
    /// Where it stands.
    pub status: Status,
    /// How many commits it has seen.
    pub commit_number: CommitNumber,
    /// The last of them.
    pub last_commit: Option<CommitId>,
    /// How many events its current execution has.
    pub last_seq: EventSeq,
    /// The wish that started it.
    pub start_id: StartId,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last changed.
    pub changed: Timestamp,
    /// What it was given.
    pub input: Payload,
    /// What it returned.
    pub output: Option<Payload>,
    /// Why it failed, or why it was terminated.
    pub failure: Option<Failure>,
    /// Whose move it is, when it is not its own and not a timer's or a running activity's.
    pub waiting_for: Option<WaitingFor>,
    /// How many attempts at it were counted since its worker last survived one, see
    /// [`Store::count_attempt`](crate::port::Store::count_attempt).
    pub attempts: u32,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Where its start came from.
    pub trace: TraceContext,
}

/// A wish to start an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartInstance {
    /// The id wished for.
    pub id: InstanceId,
    /// Names this wish: repeating it changes nothing.
    pub start_id: StartId,
    /// Which orchestration.
    pub name: FunctionName,
    /// The version asked for, if any.
    pub version: Option<String>,
    /// What to give it.
    pub input: Payload,
    /// Its tags; at most [`limits::TAGS_MAX`](crate::limits::TAGS_MAX).
    pub tags: BTreeMap<String, String>,
    /// Where the wish came from.
    pub trace: TraceContext,
    /// The execution it shall get if it is new.
    pub execution: ExecutionId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_are_pinned() {
        let codes: Vec<_> = Status::ALL.iter().map(|s| (s.code(), s.name())).collect();
        assert_eq!(
            codes,
            [
                (6, "Pending"),
                (0, "Running"),
                (1, "Completed"),
                (3, "Failed"),
                (5, "Terminated")
            ]
        );
        assert!(Status::try_from(2).is_err());
    }
}
