//! Owns what an activity worker measures: each metric's name, unit, buckets and labels, and a function for each thing
//! that happens.
//! Never labels by instance.

use std::time::Duration;

use longhaul_shared::code::Code;
use longhaul_shared::id::{FunctionName, QueueName};
use longhaul_telemetry::{BYTES, Family, Names, SECONDS, instruments, prometheus};

/// Most activities, and queues, that are told apart: a work item may name any.
const NAMES_MAX: usize = 200;

instruments! {
    /// The instruments, each with its one name.
    struct Instruments {
        /// From the scheduling of a task to the start of its run, by the hub's clock; what is sent again counts from the first time.
        queue: HistogramVec = "longhaul_activity_queue_seconds" ["queue"] in SECONDS;
        /// How long runs took, by how they ended.
        duration: HistogramVec = "longhaul_activity_duration_seconds" ["activity", "outcome"] in SECONDS;
        /// Work items dealt with: `completed`, `failed` (its own timeout included), `overran` the longest time that a
        /// run may take, `not_hosted` here, `parked`.
        attempts: IntCounterVec = "longhaul_activity_attempts_total" ["activity", "outcome"];
        /// Sizes of what activities are given and what they return.
        payload: HistogramVec = "longhaul_payload_bytes" ["direction"] in BYTES;
        /// What was set aside because it cannot be processed, by where it came from and the code of the reason.
        dead_lettered: IntCounterVec = "longhaul_dead_lettered_total" ["source", "reason"];
        /// Runs that may be in progress at once, by what is in use and what is free, over all queues.
        slots: IntGaugeVec = "longhaul_worker_slots" ["kind", "state"];
    }
}

/// Everything that an activity worker measures. Shared by all its loops.
#[derive(Debug)]
pub struct Metrics {
    instruments: Instruments,
    names: Names,
    queues: Names,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            instruments: Instruments::default(),
            names: Names::at_most(NAMES_MAX),
            queues: Names::at_most(NAMES_MAX),
        }
    }
}

/// What became of a work item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Completed,
    Failed,
    Overran,
    NotHosted,
    Parked,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Overran => "overran",
            Self::NotHosted => "not_hosted",
            Self::Parked => "parked",
        }
    }
}

impl Metrics {
    /// What each metric is called, and what it tells.
    pub const FAMILIES: &'static [Family] = Instruments::FAMILIES;

    /// Shows everything to whoever gathers from a registry.
    ///
    /// # Errors
    /// When the registry has metrics of the same names already.
    pub fn register(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.instruments.register(registry)
    }

    /// So many activities may run at once, over all queues.
    pub(crate) fn may_run(&self, at_once: usize) {
        let free = self.instruments.slots.with_label_values(&["activities", "free"]);
        free.set(i64::try_from(at_once).unwrap_or(i64::MAX));
        self.instruments.slots.with_label_values(&["activities", "used"]);
    }

    /// A delivery takes a slot, until what is returned is dropped.
    pub(crate) fn takes_slot(&self) -> Slot<'_> {
        self.move_slots(1);
        Slot(self)
    }

    fn move_slots(&self, by: i64) {
        let slots = &self.instruments.slots;
        slots.with_label_values(&["activities", "used"]).add(by);
        slots.with_label_values(&["activities", "free"]).sub(by);
    }

    /// A run begins, so long after its task was scheduled, as far as that is known.
    pub(crate) fn begun(&self, queue: &QueueName, waited: Option<Duration>, input_bytes: usize) {
        if let Some(waited) = waited {
            let queue = self.queues.label(queue.as_str());
            self.instruments
                .queue
                .with_label_values(&[queue])
                .observe(waited.as_secs_f64());
        }
        self.payload("input", input_bytes);
    }

    /// A run has ended.
    pub(crate) fn ran(&self, activity: &FunctionName, outcome: Outcome, took: Duration) {
        let labels = [self.names.label(activity.as_str()), outcome.name()];
        self.instruments
            .duration
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
        self.instruments.attempts.with_label_values(&labels).inc();
    }

    /// A work item was dealt with, and nothing ran.
    pub(crate) fn did_not_run(&self, activity: &FunctionName, outcome: Outcome) {
        let labels = [self.names.label(activity.as_str()), outcome.name()];
        self.instruments.attempts.with_label_values(&labels).inc();
    }

    /// An activity has returned so many bytes.
    pub(crate) fn returned(&self, bytes: usize) {
        self.payload("output", bytes);
    }

    #[expect(clippy::cast_precision_loss, reason = "a bucket is not that exact")]
    fn payload(&self, direction: &str, bytes: usize) {
        self.instruments
            .payload
            .with_label_values(&[direction])
            .observe(bytes as f64);
    }

    /// A message of a task queue was set aside.
    pub(crate) fn parked(&self, code: Code) {
        self.instruments
            .dead_lettered
            .with_label_values(&["work", &code.to_string()])
            .inc();
    }
}

/// One of the slots in which activities run; free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a>(&'a Metrics);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.move_slots(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_made_and_registered_once() {
        let registry = prometheus::Registry::new();
        Metrics::default().register(&registry).unwrap();
        assert!(Metrics::default().register(&registry).is_err());
    }

    #[test]
    fn a_slot_is_free_again_whatever_became_of_the_run() {
        let metrics = Metrics::default();
        metrics.may_run(2);
        let state = |state| {
            metrics
                .instruments
                .slots
                .with_label_values(&["activities", state])
                .get()
        };
        let slot = metrics.takes_slot();
        assert_eq!((state("used"), state("free")), (1, 1));
        drop(slot);
        assert_eq!((state("used"), state("free")), (0, 2));
    }
}
