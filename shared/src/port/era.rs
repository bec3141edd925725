//! Owns what tells that something may have been lost: the queues' epoch and the store's run.
//! Never says what is done about it.

use crate::id::Epoch;

/// Names one run of the store's server: another name tells that another server answers, or the same one after a
/// restart, so that changes which it had accepted may be gone, unless it keeps them in every run.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StoreRun(pub String);

/// What may have been lost: everything sent before the broker's epoch, and what the store accepted before its run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Era {
    /// The generation of the hub's queues.
    pub epoch: Epoch,
    /// The run of the store.
    pub run: StoreRun,
}
