//! Owns the list of rules that the protocol rests on, so that each can be broken.
//! Never decides what breaking one does: that stands where the rule is kept.

/// A rule that the model is to break. The checker has to notice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Broken {
    /// Inputs are acknowledged when the turn begins.
    AckAfterCommit,
    /// A commit is taken whoever sends it.
    Fence,
    /// A commit is taken whatever number it expects.
    CommitNumber,
    /// What a commit sends is only in the worker's memory.
    Outbox,
    /// What a commit sends that was in already is published from memory, whether or not the outbox still holds it.
    SearchAfterRepeat,
    /// Nobody searches the outbox for what an owner before has left there.
    OutboxSearch,
    /// A message leaves the outbox when it is sent, not when it is confirmed.
    ForgetAfterConfirm,
    /// A result is news even if its task is closed.
    Dedupe,
    /// Nobody looks at the ready set.
    Sweep,
    /// Nobody looks whether the broker still has its data.
    EpochCheck,
    /// The marker of an epoch is named by its number alone, whoever began it.
    MarkerNonce,
    /// A partition is marked as rebuilt before its open tasks are sent again.
    MarkAfterResend,
    /// A rebuild leaves out messages whose confirm may come from the broker that is gone.
    UnsentAfterAnswers,
    /// Open tasks are sent again because somebody looked, without evidence that they are lost.
    ResendOnEvidence,
    /// A work item is acknowledged before its report is confirmed.
    AckAfterReport,
    /// Answers of an instance that cannot go on are acknowledged without being kept.
    KeepAnswers,
    /// A handover gives the lease back without emptying the outbox first.
    Drain,
}

impl Broken {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::AckAfterCommit,
        Self::Fence,
        Self::CommitNumber,
        Self::Outbox,
        Self::SearchAfterRepeat,
        Self::OutboxSearch,
        Self::ForgetAfterConfirm,
        Self::Dedupe,
        Self::Sweep,
        Self::EpochCheck,
        Self::MarkerNonce,
        Self::MarkAfterResend,
        Self::UnsentAfterAnswers,
        Self::ResendOnEvidence,
        Self::AckAfterReport,
        Self::KeepAnswers,
        Self::Drain,
    ];
}
