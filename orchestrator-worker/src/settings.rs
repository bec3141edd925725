//! Owns what an operator may tune of an orchestrator worker: each bound and span with its default and reason.
//! Never reads a file or the environment: `main` does, and fills this in.

use std::time::Duration;

#[cfg(doc)]
use longhaul_shared::limits;

/// How an orchestrator worker behaves. Defaults suit a fleet of a few workers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a partition's lease lasts without renewal. A hung worker's partitions rest for that long; a killed
    /// one's are taken early.
    pub lease_ttl: Duration,
    /// How often leases are renewed and the list of workers is read; at most a third of [`Self::lease_ttl`].
    pub lease_renew: Duration,
    /// How often a partition that should be this worker's, but is not yet, is tried for, and how often this worker
    /// looks whether another is gone whose partitions fall to it.
    pub acquire_poll: Duration,
    /// How long this worker's connection to the broker must have stood before it takes a partition early, from a
    /// worker that consumes no more: after a restart of the broker, whoever lives has come back by then.
    pub early_connected: Duration,
    /// How far the two looks lie apart that must find no consumer before a partition is taken early.
    pub early_looks: Duration,
    /// How long a handover or a shutdown waits for turns in progress before they are abandoned (and run again
    /// by the next owner).
    pub drain_max: Duration,
    /// Most turns in progress at once; further instances wait in memory, their deliveries unacknowledged.
    pub turns_max: usize,
    /// Most histories being read and replayed at once, of those turns.
    pub replays_max: usize,
    /// Bytes of histories held for replay, about, at which no further history is read until some are replayed. How
    /// large one is shows when it has been read: the histories being read at that moment, at most 16, come on top.
    pub replay_bytes_max: usize,
    /// Most sessions kept warm; the least recently used go first and are replayed when needed.
    pub sessions_max: usize,
    /// Unacknowledged control messages a partition may hold.
    pub control_prefetch: u16,
    /// Unacknowledged intake messages.
    pub intake_prefetch: u16,
    /// Most work items that share a message; 1 = none do. At most
    /// [`WORK_ITEMS_PER_MESSAGE_MAX`](limits::WORK_ITEMS_PER_MESSAGE_MAX).
    pub work_items_max: u16,
    /// How long the work items that share a message take to run at most, one after the other, by what is known of
    /// their activities: what takes longer travels alone.
    pub work_per_message: Duration,
    /// How many runs must be known of an activity before its work items share messages.
    pub quick_after_runs: u16,
    /// How often the ready set is swept for instances whose wake-up got lost.
    pub sweep_every: Duration,
    /// How long an instance must have been ready before the sweep takes it: its wake-up is on its way.
    pub sweep_age: Duration,
    /// How often the outbox is searched for messages that the relay does not hold.
    pub outbox_every: Duration,
    /// How long confirmed messages wait for a commit to carry them out of the outbox.
    pub forget_after: Duration,
    /// How long one turn of an author's code may compute before it is set aside as stalled.
    pub stall_after: Duration,
    /// First delay before something that nobody hosts, or that is paused, is tried again; it doubles.
    pub retry_first: Duration,
    /// Longest such delay.
    pub retry_max: Duration,
    /// How often the metrics that no loop sees as they happen are looked at: the store's counts, the depths of
    /// queues. Zero = never, for a worker that nobody watches.
    pub sample_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(10),
            lease_renew: Duration::from_secs(3),
            acquire_poll: Duration::from_millis(300),
            early_connected: Duration::from_secs(5),
            early_looks: Duration::from_millis(500),
            drain_max: Duration::from_secs(5),
            turns_max: 512,
            replays_max: 64,
            replay_bytes_max: 64 * 1024 * 1024,
            sessions_max: 10_000,
            control_prefetch: 512,
            intake_prefetch: 128,
            work_items_max: 64,
            work_per_message: Duration::from_millis(1),
            quick_after_runs: 16,
            sweep_every: Duration::from_secs(1),
            sweep_age: Duration::from_secs(1),
            outbox_every: Duration::from_secs(5),
            forget_after: Duration::from_millis(200),
            stall_after: Duration::from_secs(5),
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            sample_every: Duration::from_secs(5),
        }
    }
}

impl Settings {
    /// The delay before attempt `times + 1` of something that did not work `times` times (from 1).
    #[must_use]
    pub fn retry_delay(&self, times: u32) -> Duration {
        let doublings = times.saturating_sub(1).min(16);
        self.retry_first
            .saturating_mul(1 << doublings)
            .min(self.retry_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_one_second_to_a_minute() {
        let settings = Settings::default();
        let delays: Vec<_> = (1..=8)
            .map(|times| settings.retry_delay(times).as_secs())
            .collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(settings.retry_delay(u32::MAX).as_secs(), 60);
    }
}
