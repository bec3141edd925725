//! Owns the list of rules that can be broken on purpose, one at a time, to see the oracle notice.
//! Never breaks one in a program: the rules of the loops are broken through a switch that only simulations build.

pub use longhaul_orchestrator_worker::mutant::Broken as BrokenLoop;

/// A broken rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, clap::ValueEnum)]
pub enum Mutant {
    /// Deliveries are acknowledged when they are handed out.
    AckBeforeCommit,
    /// A commit's token is not compared with the lease's.
    NoFence,
    /// A token is a number that a failover can hand out again.
    CounterToken,
    /// What a commit sends is not kept until it is confirmed.
    NoOutbox,
    /// A result that was recorded is recorded again.
    NoDedupe,
    /// Two turns of one instance may run at once.
    TwoTurnsAtOnce,
    /// A commit is applied whatever the row's commit number and event count.
    CommitNumberUnchecked,
    /// A repeated commit is applied again.
    CommitIdUnchecked,
    /// A repeated start is another start.
    StartIdIgnored,
    /// The broker's loss of its data is not noticed: its queues and its marker are there, as if nothing had been.
    LossUnnoticed,
    /// A message leaves the outbox when it is published, not when it is confirmed.
    OutboxRemovedBeforeConfirm,
    /// A message counts as confirmed when it was sent.
    ConfirmNotAwaited,
    /// A timer is removed when it is read, not when its event is committed.
    TimerRemovedEarly,
    /// Nobody sweeps the ready set.
    SweepOff,
    /// Nobody searches the outbox of a partition that is taken over.
    OutboxNotSearched,
    /// A result is matched by its task id alone.
    ResultMatchedByTaskOnly,
    /// A session is kept after its commit conflicted.
    SessionKeptAfterConflict,
    /// A timer fires when it is read, due or not.
    TimerEarly,
}

impl Mutant {
    /// Whether breaking it does harm only where the store forgets what it had accepted.
    #[must_use]
    pub fn needs_a_forgetful_store(self) -> bool {
        matches!(
            self,
            Self::CounterToken | Self::ResultMatchedByTaskOnly | Self::SessionKeptAfterConflict
        )
    }

    /// The switch in the loops that breaks this rule, if it is one of theirs.
    #[must_use]
    pub fn in_loops(self) -> Option<BrokenLoop> {
        match self {
            Self::NoDedupe => Some(BrokenLoop::NoDedupe),
            Self::TwoTurnsAtOnce => Some(BrokenLoop::TwoTurnsAtOnce),
            Self::OutboxNotSearched => Some(BrokenLoop::OutboxNotSearched),
            Self::ResultMatchedByTaskOnly => Some(BrokenLoop::ResultMatchedByTaskOnly),
            Self::SessionKeptAfterConflict => Some(BrokenLoop::SessionKeptAfterConflict),
            _ => None,
        }
    }
}
