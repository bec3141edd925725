//! Owns the turn commit: everything one turn (or one part of a large turn) changes, as one value.
//! Never applies itself: a [`Store`](crate::port::Store) does, all of it or nothing.
//!
//! The only way an instance changes after its create. Repeating a commit with the same id changes nothing, so
//! an unknown outcome is settled by sending the very same commit again.

use crate::failure::Failure;
use crate::history::HistoryEvent;
use crate::id::{
    CommitId, CommitNumber, EventSeq, ExecutionId, InstanceId, LeaseToken, MessageId, PartitionId, TaskId,
};
use crate::instance::{Status, WaitingFor};
use crate::message::{Envelope, Publication};
use crate::payload::Payload;
use crate::time::Timestamp;

/// What one turn changes.
#[derive(Clone, PartialEq, Debug)]
pub struct TurnCommit {
    /// The partition of [`Self::instance`].
    pub partition: PartitionId,
    /// Proof of owning it.
    pub token: LeaseToken,
    /// Whose turn.
    pub instance: InstanceId,
    /// The execution that the turn belongs to; must be the row's.
    pub execution: ExecutionId,
    /// The row's commit number before this commit; it rises by one.
    pub expected: CommitNumber,
    /// Names this very commit.
    pub id: CommitId,
    /// How many events the execution had before this commit.
    pub expected_seq: EventSeq,
    /// What to append; may be empty.
    pub events: Vec<HistoryEvent>,
    /// What the row becomes.
    pub row: RowChange,
    /// What becomes of the instance's place in the ready set.
    pub ready: Ready,
    /// Envelopes that cannot be dealt with now.
    pub inbox_add: Vec<Envelope>,
    /// Inbox messages that this commit deals with.
    pub inbox_remove: Vec<MessageId>,
    /// What is to be sent because of this commit.
    pub outbox_add: Vec<Publication>,
    /// Messages of the partition (of any instance) that the broker has confirmed.
    pub outbox_remove: Vec<MessageId>,
    /// Timers to set.
    pub timers_add: Vec<TimerEntry>,
    /// Timers to forget: fired, or of no use any more. The commit that ends an execution lists all that are left.
    pub timers_remove: Vec<TaskId>,
    /// Whether the count of attempts goes back to zero: the instance was counted, its code ran, and the worker lived.
    pub survived: bool,
}

/// What becomes of the row. Every field is written; input, name and the like never change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowChange {
    /// Where the instance stands now. A terminal status also empties the inbox, leaves the ready and the open
    /// set, and tells the waiters.
    pub status: Status,
    /// When it changed.
    pub changed: Timestamp,
    /// Whose move it is.
    pub waiting_for: Option<WaitingFor>,
    /// What it returned.
    pub output: Option<Payload>,
    /// Why it failed or was terminated.
    pub failure: Option<Failure>,
}

/// The ready set tells the owner which instances to look at without having been sent a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// The instance leaves it, unless its inbox still holds something.
    Settle,
    /// The instance is to be looked at once hub time reaches this.
    At(Timestamp),
    /// The instance leaves it, whatever its inbox holds: nobody looks at it until something new comes.
    Rest,
}

/// A time at which a task of an execution wants attention: a timer is due, or an activity is to be sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerEntry {
    /// The task.
    pub task: TaskId,
    /// When.
    pub due: Timestamp,
}

/// What became of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitOutcome {
    /// It is in.
    Applied,
    /// It was in already: the same commit id is the row's last.
    Duplicate,
    /// The row is not where the commit expected it: the caller's cache is stale. Nothing was changed.
    Conflict,
    /// The token is not the partition's: the caller is not its owner. Nothing was changed.
    Fenced,
}

impl TurnCommit {
    /// How many events the execution has after this commit.
    #[must_use]
    pub fn last_seq(&self) -> EventSeq {
        self.expected_seq.plus(self.events.len() as u64)
    }
}
