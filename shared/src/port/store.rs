//! Owns the door to the truth: rows, histories, inboxes, outbox, timers and leases of one hub.
//! Never runs an orchestration and never sends a message: it keeps what it is told, atomically.

use std::time::Duration;

use async_trait::async_trait;

use crate::commit::{CommitOutcome, TurnCommit};
use crate::history::HistoryEvent;
use crate::id::{
    Epoch, EventSeq, ExecutionId, ExecutionKey, FunctionName, InstanceId, LeaseToken, MessageId, ParkedId,
    PartitionId, QueueName, StartId, TaskId, WorkerId,
};
use crate::instance::{InstanceRow, StartInstance, Status, WaitingFor};
use crate::message::{Envelope, Publication};
use crate::parked::ParkedMessage;
use crate::time::Timestamp;

use super::era::{Era, StoreRun};
use super::insight::{Census, StoreCondition};

/// The truth of one hub. All methods may be called from any number of tasks at once.
///
/// Accepted means: when a changing method returns `Ok`, what it says survives what the hub's durability mode
/// promises to survive. An [`StoreError::Unavailable`] leaves open whether the change took place; every
/// changing method can therefore be repeated with the same arguments without changing anything twice.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // --- the hub ---------------------------------------------------------------------------------------

    /// The hub's settings, making the hub with these where there is none. An existing hub keeps its own.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] when the hub's schema is outside the range this program reads.
    async fn open_hub(&self, settings: HubSettings) -> Result<HubInfo, StoreError>;

    /// The store's clock, the only one that decides anything for the whole hub.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn time(&self) -> Result<Timestamp, StoreError>;

    /// What whoever owns partitions asks at regular intervals, in one answer.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] when the hub is not there.
    async fn pulse(&self) -> Result<Pulse, StoreError>;

    /// Writes down that a task queue was declared; whether that is news. From then on its absence from the broker tells
    /// that it was lost.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn note_queue(&self, queue: &QueueName) -> Result<bool, StoreError>;

    /// Sets the broker epoch to `next`, if it still is `seen`; returns what it is afterwards.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn advance_epoch(&self, seen: Epoch, next: Epoch) -> Result<Epoch, StoreError>;

    // --- instances -------------------------------------------------------------------------------------

    /// Accepts a start: writes the `Pending` row and puts it into the ready set, once. The same start id gets
    /// the same answer again, whatever has become of the instance.
    ///
    /// # Errors
    /// [`StoreError::Full`] when the store takes no new work.
    async fn create(&self, start: StartInstance) -> Result<Created, StoreError>;

    /// Puts a message into an instance's inbox and the instance into the ready set. A copy (same id) changes
    /// nothing. To a terminal or unknown instance nothing is written.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn post(&self, message: Envelope) -> Result<Posted, StoreError>;

    /// Reads instances; answers in the order asked, `None` for an id without an instance. Row, inbox and
    /// history of one answer MUST belong to one moment.
    ///
    /// # Errors
    /// Per instance, so that one that cannot be read does not hide the others.
    async fn load(&self, requests: Vec<LoadRequest>) -> Vec<Result<Option<LoadedInstance>, StoreError>>;

    /// Reads an execution's events behind `after`, at most `limit` or what one commit appended, whichever is more.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn history(
        &self,
        key: &ExecutionKey,
        after: EventSeq,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError>;

    /// Applies turn commits, each as a whole or not at all; outcomes in the order of the batch.
    ///
    /// For each, checked before the first write: the token is the partition's ([`CommitOutcome::Fenced`]); the
    /// commit id is not the row's last ([`CommitOutcome::Duplicate`]); the row exists, its execution, commit
    /// number and event count are the expected ones, and it is not terminal ([`CommitOutcome::Conflict`]). The
    /// caller MUST have at most one commit of an instance in flight.
    ///
    /// # Errors
    /// Per commit. After [`StoreError::Unavailable`] the very same commit is to be sent again first.
    async fn commit(&self, batch: Vec<TurnCommit>) -> Vec<Result<CommitOutcome, StoreError>>;

    /// Waits until the instance is terminal, at most `at_most`, and returns its row as it is then. Returns early
    /// only with a terminal row; `None` when there is no such instance.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn wait_terminal(
        &self,
        id: &InstanceId,
        at_most: Duration,
    ) -> Result<Option<InstanceRow>, StoreError>;

    /// Lists instances, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn query(&self, query: Query) -> Result<QueryPage, StoreError>;

    // --- what an owner looks after ---------------------------------------------------------------------

    /// Instances of a partition that are to be looked at by now and have been for at least `older_than`, the
    /// longest waiting first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn ready(
        &self,
        partition: PartitionId,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError>;

    /// Timers of a partition that are due by the store's own clock, earliest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn due_timers(&self, partition: PartitionId, limit: usize) -> Result<DueTimers, StoreError>;

    /// Forgets timers that mean nothing any more. Returns `false`, changing nothing, if the token is not the
    /// partition's.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn drop_timers(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        timers: Vec<(ExecutionKey, TaskId)>,
    ) -> Result<bool, StoreError>;

    /// Committed messages that are not known to be confirmed. Read page by page; a message present throughout
    /// is returned at least once.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn outbox(&self, partition: PartitionId, page: PageRequest) -> Result<OutboxPage, StoreError>;

    /// Forgets confirmed messages. Returns `false`, changing nothing, if the token is not the partition's.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget_confirmed(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        messages: Vec<MessageId>,
    ) -> Result<bool, StoreError>;

    /// The instances of a partition that are not terminal, page by page; one open throughout is returned at
    /// least once.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open_instances(
        &self,
        partition: PartitionId,
        page: PageRequest,
    ) -> Result<(Vec<InstanceId>, Option<String>), StoreError>;

    // --- ownership -------------------------------------------------------------------------------------

    /// Says that an orchestrator worker lives for another `ttl` and what it hosts; returns all that live,
    /// ordered by id. A `ttl` of zero takes it off the list.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn heartbeat(&self, worker: WorkerRow, ttl: Duration) -> Result<Vec<WorkerRow>, StoreError>;

    /// Who lives, as a heartbeat would be told now: ordered by id. MUST NOT change anything, and MUST leave out those whose
    /// time is over.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError>;

    /// Takes the lease of a partition if it is free, has expired, or may be taken early as the wish says. The same
    /// nonce again MUST get the same token again.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn acquire_lease(
        &self,
        partition: PartitionId,
        worker: &WorkerId,
        wish: LeaseWish,
    ) -> Result<LeaseOutcome, StoreError>;

    /// Who holds these partitions, in the order asked; `None` for one that nobody holds. A lease that has expired
    /// is held until somebody takes it. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn leases(&self, partitions: Vec<PartitionId>) -> Result<Vec<Option<HeldLease>>, StoreError>;

    /// Extends leases; for each whether it is still held under this token.
    ///
    /// # Errors
    /// [`StoreError`]: then none is known to be extended.
    async fn renew_leases(&self, renewals: Vec<LeaseRenewal>, ttl: Duration)
    -> Result<Vec<bool>, StoreError>;

    /// Writes down that everything that may have been lost up to this era has been sent again in this partition:
    /// the next owner is told by [`LeaseOutcome::Granted`]. The epoch's number never goes back, its nonce is not kept. Returns `false`, changing
    /// nothing, if the token is not the partition's.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn mark_rebuilt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        era: &Era,
    ) -> Result<bool, StoreError>;

    /// Gives a lease back if it is still held under this token.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn release_lease(&self, partition: PartitionId, token: &LeaseToken) -> Result<(), StoreError>;

    // --- poison ----------------------------------------------------------------------------------------

    /// Counts an attempt at an instance, before its code runs: at most one under one token, however often it is
    /// asked for. A commit with [`TurnCommit::survived`] sets the count back to zero. Nothing else of the instance
    /// changes.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn count_attempt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        instance: &InstanceId,
    ) -> Result<Attempted, StoreError>;

    /// Sets the count of attempts at an instance back to zero and puts it into the ready set. To a terminal or
    /// unknown instance nothing is written.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn requeue_instance(&self, id: &InstanceId) -> Result<Requeued, StoreError>;

    /// How many attempts at a piece of work are counted; 0 when none is, or when they were forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<u32, StoreError>;

    /// Counts an attempt at a piece of work, before it runs, and returns how many there are with it. `nonce` names
    /// the attempt: the same one in a row counts once. The count MUST be kept for at least
    /// [`limits::WORK_ATTEMPTS_MEMORY`](crate::limits::WORK_ATTEMPTS_MEMORY) from the last attempt, and MUST not be
    /// kept for ever.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn count_work_attempt(
        &self,
        partition: PartitionId,
        work: MessageId,
        nonce: u128,
    ) -> Result<u32, StoreError>;

    /// Sets the count of attempts at a piece of work back to zero.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget_work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<(), StoreError>;

    // --- parked messages -------------------------------------------------------------------------------

    /// Sets a message aside; a copy (same id) changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Full`] at [`limits::PARKED_MESSAGES_MAX`](crate::limits::PARKED_MESSAGES_MAX).
    async fn park(&self, message: ParkedMessage) -> Result<(), StoreError>;

    /// Lists parked messages, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn parked(&self, page: PageRequest) -> Result<ParkedPage, StoreError>;

    /// Reads one parked message.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn parked_message(&self, id: ParkedId) -> Result<Option<ParkedMessage>, StoreError>;

    /// Forgets a parked message; whether it was there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn unpark(&self, id: ParkedId) -> Result<bool, StoreError>;

    // --- insight ---------------------------------------------------------------------------------------

    /// How these partitions stand, in the order asked; `older_than` says from which age on an instance of the ready set
    /// counts as overdue, by the store's clock. A partition that nobody used yet has nothing. Each number MUST be true at
    /// some moment of the call, but they need not belong to the same one. MUST NOT change anything. It is asked every few
    /// seconds for all partitions of a hub: on a server it MUST NOT cost more the more instances there are.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn census(
        &self,
        partitions: Vec<PartitionId>,
        older_than: Duration,
    ) -> Result<Vec<Census>, StoreError>;

    /// What the store says of itself. MUST NOT change anything, and MUST answer where the server shows only a part: what
    /// is forbidden to ask is `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn condition(&self) -> Result<StoreCondition, StoreError>;
}

/// What a hub is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HubSettings {
    /// How many partitions; fixed for the hub's life.
    pub partitions: u16,
}

/// What is written down about a hub.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HubInfo {
    /// How many partitions it has.
    pub partitions: u16,
    /// The generation of its queues.
    pub epoch: Epoch,
    /// Names its queue type, e.g. `quorum`; empty where the backend has only one.
    pub queue_type: String,
    /// The store's run in which it was made; nothing made in it can have been lost before the next.
    pub born: StoreRun,
}

/// See [`Store::pulse`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pulse {
    /// The store's clock.
    pub time: Timestamp,
    /// The epoch and the run as they are now.
    pub era: Era,
    /// The task queues that were noted, in any order.
    pub queues: Vec<QueueName>,
}

/// What became of a create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Created {
    /// The instance is new and `Pending`.
    New,
    /// This very start was accepted before; the instance stands as said.
    Repeated(Status),
    /// The id belongs to another start. Nothing was changed.
    Taken {
        /// That start's id.
        by: StartId,
        /// Where its instance stands.
        status: Status,
    },
}

/// What became of a message for an inbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Posted {
    /// It is in the inbox, by this call or an earlier one.
    Accepted,
    /// The instance has ended; nothing was written.
    Ended(Status),
    /// There is no such instance; nothing was written.
    Unknown,
    /// The inbox is at [`limits::INBOX_MESSAGES_MAX`](crate::limits::INBOX_MESSAGES_MAX); nothing was written.
    Full,
}

/// What became of the wish to count an attempt at an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempted {
    /// So many attempts are counted now, this one included.
    Counted(u32),
    /// The token is not the partition's; nothing was written.
    Fenced,
    /// There is no such instance, or it has ended; nothing was written.
    Gone,
}

/// What became of the wish to try an instance again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requeued {
    /// No attempt is counted any more, and the instance is to be looked at.
    Accepted,
    /// The instance has ended; nothing was written.
    Ended(Status),
    /// There is no such instance; nothing was written.
    Unknown,
}

/// What to read of an instance, beside its row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadRequest {
    /// Which instance.
    pub id: InstanceId,
    /// Whether to read the whole history of its current execution.
    pub history: bool,
}

/// An instance as it stood at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadedInstance {
    /// Its row.
    pub row: InstanceRow,
    /// Its unread messages, in no particular order.
    pub inbox: Vec<Envelope>,
    /// The events of its current execution; empty unless asked for.
    pub history: Vec<HistoryEvent>,
}

/// A timer that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueTimer {
    /// Whose.
    pub key: ExecutionKey,
    /// Which task.
    pub task: TaskId,
    /// When it was due.
    pub due: Timestamp,
}

/// What is due in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueTimers {
    /// The store's clock at that moment; not before any of [`Self::due`].
    pub now: Timestamp,
    /// Due timers, earliest first.
    pub due: Vec<DueTimer>,
    /// When the next one behind them is due.
    pub next: Option<Timestamp>,
}

/// Where to read on: `None` from the start, else what the page before said. Opaque.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PageRequest {
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// About how many entries to return.
    pub limit: usize,
}

/// Some committed messages.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboxPage {
    /// The messages.
    pub messages: Vec<Publication>,
    /// Where to read on; `None` at the end.
    pub next: Option<String>,
}

/// Some parked messages.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ParkedPage {
    /// The messages.
    pub messages: Vec<ParkedMessage>,
    /// Where to read on; `None` at the end.
    pub next: Option<String>,
    /// How many there are in all.
    pub total: u64,
}

/// Which instances to list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Only these statuses; empty = all.
    pub statuses: Vec<Status>,
    /// Only this orchestration.
    pub name: Option<FunctionName>,
    /// Which page.
    pub page: PageRequest,
}

/// Some instances.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QueryPage {
    /// The instances, newest first.
    pub instances: Vec<InstanceSummary>,
    /// Where to read on; `None` at the end.
    pub next: Option<String>,
}

/// A row without its payloads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstanceSummary {
    /// Its id.
    pub id: InstanceId,
    /// Which orchestration.
    pub name: FunctionName,
    /// Its current pass.
    pub execution: ExecutionId,
    /// Where it stands.
    pub status: Status,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last changed.
    pub changed: Timestamp,
    /// Whose move it is.
    pub waiting_for: Option<WaitingFor>,
}

impl From<&InstanceRow> for InstanceSummary {
    fn from(row: &InstanceRow) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            execution: row.execution,
            status: row.status,
            created: row.created,
            changed: row.changed,
            waiting_for: row.waiting_for.clone(),
        }
    }
}

/// A living orchestrator worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerRow {
    /// Its id.
    pub id: WorkerId,
    /// The orchestrations it hosts.
    pub hosts: Vec<FunctionName>,
}

/// How the lease of a partition is wished for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseWish {
    /// Fresh randomness: the new token MUST differ from every token ever given.
    pub nonce: u128,
    /// How long it lasts without renewal.
    pub ttl: Duration,
    /// Take it from its holder before it expires, if it is still held under this very token and its holder's last
    /// word was that it consumes. Only for who has seen that nobody consumes.
    pub early: Option<LeaseToken>,
}

impl LeaseWish {
    /// The wish for a lease that is free or has expired.
    #[must_use]
    pub const fn new(nonce: u128, ttl: Duration) -> Self {
        Self {
            nonce,
            ttl,
            early: None,
        }
    }
}

/// A partition that somebody holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldLease {
    /// Who.
    pub owner: WorkerId,
    /// Under which token.
    pub token: LeaseToken,
    /// Whether the owner said, when it last renewed, that it consumes the partition's control queue.
    pub consuming: bool,
    /// For how long at most; zero if it has expired.
    pub expires_in: Duration,
}

/// What became of the wish to own a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeaseOutcome {
    /// It is the caller's.
    Granted {
        /// The proof.
        token: LeaseToken,
        /// Whether the owner before did not give it back: it expired, or was taken early.
        after_expiry: bool,
        /// The era last marked as rebuilt in this partition, by whichever owner; epoch 0 and no run if never.
        rebuilt: Era,
    },
    /// Somebody else holds it.
    Held {
        /// Who.
        owner: WorkerId,
        /// For how long at most.
        expires_in: Duration,
    },
}

/// The wish to keep a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseRenewal {
    /// Which.
    pub partition: PartitionId,
    /// The proof.
    pub token: LeaseToken,
    /// Whether the owner consumes the partition's control queue.
    pub consuming: bool,
}

/// Why the store does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or did not answer in time. A change may have taken place: repeat it as it was.
    #[error("[LH1501] the store is not reachable at {address}: {reason}")]
    Unavailable {
        /// Where it was looked for, without credentials.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// It takes no more; running work may still be finished.
    #[error("[LH1503] the store takes nothing new: {reason}")]
    Full {
        /// What it said.
        reason: String,
    },
    /// What it holds cannot be read.
    #[error("[LH1109] {what} cannot be read: {reason}")]
    Unreadable {
        /// Which key or row.
        what: String,
        /// Why.
        reason: String,
    },
    /// The hub belongs to another version, or was made with other settings.
    #[error("[LH1504] {reason}")]
    Incompatible {
        /// In what way, and what to do.
        reason: String,
    },
    /// It is there, and no safe connection can be agreed on with it: its certificate or ours is not accepted. Try
    /// again with backoff: certificates are renewed.
    #[error("[LH1602] no safe connection to the store at {address}: {reason}")]
    Untrusted {
        /// Where it is, without credentials.
        address: String,
        /// What is wrong with which certificate, and what to do.
        reason: String,
    },
    /// It refuses for good: credentials, permissions, unsafe settings.
    #[error("{reason}")]
    Refused {
        /// What it said, with the code.
        reason: String,
    },
}

impl StoreError {
    /// Whether trying again may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Full { .. } | Self::Untrusted { .. }
        )
    }
}
