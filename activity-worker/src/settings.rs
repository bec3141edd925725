//! Owns what an operator may tune of an activity worker: each bound and span with its default and reason.
//! Never reads a file or the environment: `main` does, and fills this in.

use std::time::Duration;

use longhaul_shared::id::QueueName;

/// How an activity worker behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The task queues it serves.
    pub queues: Vec<QueueName>,
    /// Activities of one queue that run at once. Also how many messages it may hold unacknowledged; a work item that
    /// finds no free slot for a second is sent on, so that other workers get it.
    pub concurrency: u16,
    /// How long one run may take that has no timeout of its own: then it is given up and begun again. Half of
    /// RabbitMQ's `consumer_timeout` of 30 minutes, after which the broker would give the item to somebody else.
    pub attempt_max: Duration,
    /// How long a shutdown waits for running activities; those that are not done then run again elsewhere.
    pub drain_max: Duration,
    /// How often the store is asked for its time, by which it is measured how long work items waited. Zero = never,
    /// for a worker that nobody watches.
    pub sample_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queues: vec![QueueName::default()],
            concurrency: 64,
            attempt_max: Duration::from_secs(15 * 60),
            drain_max: Duration::from_secs(10),
            sample_every: Duration::from_secs(5),
        }
    }
}
