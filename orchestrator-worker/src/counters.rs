//! Owns what an orchestrator worker counts: one number a thing that is worth knowing but no error.
//! Never labels by instance; exporting them is the metrics endpoint's business.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What this worker has done since it started. Shared by all its loops.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        /// The counters at one moment.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Reads every counter.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Turns committed.
    turns,
    /// Commits applied, parts of large turns counted one by one.
    commits,
    /// Commits answered as repeated.
    commits_repeated,
    /// Commits answered as conflicting: the session was stale.
    conflicts,
    /// Commits answered as fenced: the partition is somebody else's.
    fenced,
    /// Histories replayed because no session was warm.
    replays,
    /// Results of tasks that already had theirs, of old executions, and of ended or unknown instances.
    results_dropped,
    /// Results of tasks that history does not know; parked.
    results_parked,
    /// Instances parked because whoever ran them died.
    instances_parked,
    /// Turns refused by the executor.
    refused,
    /// Work items sent again, for whatever reason.
    resent,
    /// Starts accepted from the intake queue.
    intake_started,
    /// Redeliveries of starts already accepted; acknowledged silently.
    intake_repeated,
    /// Intake messages parked.
    intake_parked,
    /// Control messages parked because they cannot be read.
    control_parked,
    /// Messages that the broker confirmed.
    confirmed,
    /// Publish attempts that did not end in a confirm.
    publish_failed,
    /// Partitions acquired.
    acquired,
    /// Of those, the ones taken from a worker that was gone before its lease expired.
    taken_early,
    /// Partitions lost without having been given back.
    lost,
    /// Partitions rebuilt because the broker lost its data.
    rebuilt,
}

/// One number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub(crate) fn one(&self) {
        self.many(1);
    }

    /// Counts `n` more.
    pub(crate) fn many(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}
