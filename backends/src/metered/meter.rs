//! Owns what the wrappers report, and to whom: two small traits, and closed sets of names for labels.
//! Never counts anything itself.

use std::time::Duration;

use longhaul_shared::port::{PublishError, Source, StoreError};

/// Is told what a store answered. MUST NOT wait, and MUST be cheap: every call of the program comes by.
pub trait StoreMeter: Send + Sync + 'static {
    /// A call was answered after so long; of a batch, `error` is that of the first part that failed. A call whose
    /// caller did not wait for the answer is not told.
    fn answered(&self, op: StoreOp, took: Duration, error: Option<StoreErrorKind>);
}

/// Is told what a broker did. MUST NOT wait, and MUST be cheap: every message of the program comes by.
pub trait BrokerMeter: Send + Sync + 'static {
    /// The broker answered for one message, or did not, after so long.
    fn published(&self, result: PublishResult, took: Duration);

    /// A message was handed out.
    fn delivered(&self, source: SourceKind, redelivered: bool);

    /// A subscription began.
    fn subscribed(&self, source: SourceKind);

    /// A subscription is over; told once for each that began.
    fn unsubscribed(&self, source: SourceKind, end: SubscriptionEnd);
}

/// Nobody listens.
impl StoreMeter for () {
    fn answered(&self, _op: StoreOp, _took: Duration, _error: Option<StoreErrorKind>) {}
}

/// Nobody listens.
impl BrokerMeter for () {
    fn published(&self, _result: PublishResult, _took: Duration) {}

    fn delivered(&self, _source: SourceKind, _redelivered: bool) {}

    fn subscribed(&self, _source: SourceKind) {}

    fn unsubscribed(&self, _source: SourceKind, _end: SubscriptionEnd) {}
}

/// A closed set of things, each with its name in a label.
macro_rules! names {
    ($(#[$about:meta])* $Set:ident { $($(#[$meaning:meta])* $Thing:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $Set {
            $($(#[$meaning])* $Thing,)+
        }

        impl $Set {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$Thing),+];

            /// Its value in a label. Fixed: dashboards know it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Thing => $name,)+
                }
            }
        }
    };
}

names! {
    /// A method of the [`Store`](longhaul_shared::port::Store).
    StoreOp {
        /// `open_hub`.
        OpenHub = "open_hub",
        /// `time`.
        Time = "time",
        /// `pulse`.
        Pulse = "pulse",
        /// `note_queue`.
        NoteQueue = "note_queue",
        /// `advance_epoch`.
        AdvanceEpoch = "advance_epoch",
        /// `create`.
        Create = "create",
        /// `post`.
        Post = "post",
        /// `load`.
        Load = "load",
        /// `history`.
        History = "history",
        /// `commit`.
        Commit = "commit",
        /// `wait_terminal`: how long it took tells how long an instance ran.
        WaitTerminal = "wait_terminal",
        /// `query`.
        Query = "query",
        /// `ready`.
        Ready = "ready",
        /// `due_timers`.
        DueTimers = "due_timers",
        /// `drop_timers`.
        DropTimers = "drop_timers",
        /// `outbox`.
        Outbox = "outbox",
        /// `forget_confirmed`.
        ForgetConfirmed = "forget_confirmed",
        /// `open_instances`.
        OpenInstances = "open_instances",
        /// `heartbeat`.
        Heartbeat = "heartbeat",
        /// `workers`.
        Workers = "workers",
        /// `acquire_lease`.
        AcquireLease = "acquire_lease",
        /// `leases`.
        Leases = "leases",
        /// `renew_leases`.
        RenewLeases = "renew_leases",
        /// `mark_rebuilt`.
        MarkRebuilt = "mark_rebuilt",
        /// `release_lease`.
        ReleaseLease = "release_lease",
        /// `count_attempt`.
        CountAttempt = "count_attempt",
        /// `requeue_instance`.
        RequeueInstance = "requeue_instance",
        /// `work_attempts`.
        WorkAttempts = "work_attempts",
        /// `count_work_attempt`.
        CountWorkAttempt = "count_work_attempt",
        /// `forget_work_attempts`.
        ForgetWorkAttempts = "forget_work_attempts",
        /// `park`.
        Park = "park",
        /// `parked`.
        Parked = "parked",
        /// `parked_message`.
        ParkedMessage = "parked_message",
        /// `unpark`.
        Unpark = "unpark",
        /// `census`.
        Census = "census",
        /// `condition`.
        Condition = "condition",
    }
}

impl StoreOp {
    /// Whether its time is spent waiting for something to happen, and so says nothing of the store.
    #[must_use]
    pub const fn is_wait(self) -> bool {
        matches!(self, Self::WaitTerminal)
    }
}

names! {
    /// The kind of a [`StoreError`].
    StoreErrorKind {
        /// [`StoreError::Unavailable`].
        Unavailable = "unavailable",
        /// [`StoreError::Full`].
        Full = "full",
        /// [`StoreError::Unreadable`].
        Unreadable = "unreadable",
        /// [`StoreError::Incompatible`].
        Incompatible = "incompatible",
        /// [`StoreError::Refused`].
        Refused = "refused",
        /// Its certificate, or ours, is not accepted.
        Untrusted = "untrusted",
    }
}

impl From<&StoreError> for StoreErrorKind {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::Unavailable,
            StoreError::Full { .. } => Self::Full,
            StoreError::Unreadable { .. } => Self::Unreadable,
            StoreError::Incompatible { .. } => Self::Incompatible,
            StoreError::Refused { .. } => Self::Refused,
            StoreError::Untrusted { .. } => Self::Untrusted,
        }
    }
}

names! {
    /// What became of a message that was published.
    PublishResult {
        /// The broker answers for it.
        Ack = "ack",
        /// [`PublishError::Nacked`].
        Nack = "nack",
        /// [`PublishError::Unroutable`].
        Returned = "returned",
        /// [`PublishError::Unknown`].
        Unknown = "unknown",
    }
}

impl From<&Result<(), PublishError>> for PublishResult {
    fn from(result: &Result<(), PublishError>) -> Self {
        match result {
            Ok(()) => Self::Ack,
            Err(PublishError::Nacked) => Self::Nack,
            Err(PublishError::Unroutable { .. }) => Self::Returned,
            Err(PublishError::Unknown { .. }) => Self::Unknown,
        }
    }
}

names! {
    /// The kind of a [`Source`].
    SourceKind {
        /// [`Source::Control`].
        Control = "control",
        /// [`Source::Intake`].
        Intake = "intake",
        /// [`Source::Work`].
        Work = "work",
    }
}

impl From<&Source> for SourceKind {
    fn from(source: &Source) -> Self {
        match source {
            Source::Control(_) => Self::Control,
            Source::Intake => Self::Intake,
            Source::Work(_) => Self::Work,
        }
    }
}

names! {
    /// How a subscription came to its end.
    SubscriptionEnd {
        /// This program closed or dropped it.
        Closed = "closed",
        /// It ended by itself: the connection was lost, the queue deleted, the consumer cancelled.
        Ended = "ended",
    }
}
