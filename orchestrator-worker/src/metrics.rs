//! Owns what an orchestrator worker measures: each metric's name, unit, buckets and labels, and a function for each
//! thing that happens.
//! Never labels by instance, and never measures what a replay repeats: only what is committed or refused counts.

use std::time::Duration;

use longhaul_shared::code::{self, Code};
use longhaul_shared::commit::CommitOutcome;
use longhaul_shared::id::FunctionName;
use longhaul_shared::instance::Status;
use longhaul_shared::message::Destination;
use longhaul_shared::port::{Census, StatusCounts, StoreCondition};
use longhaul_telemetry::{COUNTS, EVENTS, Family, Names, SECONDS, instruments, prometheus};

/// Most orchestrations that are told apart; an instance may be started under any name.
const NAMES_MAX: usize = 200;

instruments! {
    /// The instruments, each with its one name.
    struct Instruments {
        /// Instances whose first turn is committed.
        started: IntCounterVec = "longhaul_orchestrations_started_total" ["orchestration"];
        /// Instances that ended, by how they ended.
        finished: IntCounterVec = "longhaul_orchestrations_finished_total" ["orchestration", "status"];
        /// From the acceptance of an instance to its end.
        duration: HistogramVec = "longhaul_orchestration_duration_seconds" ["orchestration", "status"] in SECONDS;
        /// Instances of the partitions that this worker owns. The sum over all workers is the hub.
        instances: IntGaugeVec = "longhaul_orchestrations" ["status"];
        /// Instances of owned partitions that should have had a turn by now. Above zero for long, something is stuck.
        ready_pending: IntGauge = "longhaul_ready_pending";
        /// How long the longest of those has been waiting; 0 if there is none.
        ready_oldest: Gauge = "longhaul_ready_oldest_age_seconds";

        /// How long an instance's oldest input waited in this worker for its turn.
        turn_queue: Histogram = "longhaul_turn_queue_seconds" in SECONDS;
        /// How long turns took, by how they ended: `settled`; `rested`, the instance cannot be read or written;
        /// `fenced`, the partition is another worker's by now; `halted`, the worker stops.
        turn_duration: HistogramVec = "longhaul_turn_duration_seconds" ["outcome"] in SECONDS;
        /// How long a turn waited for its commit to be answered.
        turn_commit: Histogram = "longhaul_turn_commit_seconds" in SECONDS;
        /// How many inputs a turn dealt with.
        turn_messages: Histogram = "longhaul_turn_messages" in COUNTS;
        /// Turns that could not go on, by reason: the instance waits, nothing of it is lost.
        turn_failures: IntCounterVec = "longhaul_turn_failures_total" ["reason"];
        /// Commits by the store's answer. `conflict` and `duplicate` are harmless and rare, `fenced` tells of a former owner.
        commits: IntCounterVec = "longhaul_commits_total" ["outcome"];
        /// Commits refused because the partition is another worker's by now.
        fenced: IntCounter = "longhaul_fencing_rejections_total";

        /// How long it took to replay a history, without reading it.
        replay: Histogram = "longhaul_replay_seconds" in SECONDS;
        /// How many events the replayed histories had.
        replay_events: Histogram = "longhaul_replay_events" in EVENTS;
        /// Turns that found their session in memory.
        cache_hits: IntCounter = "longhaul_cache_hits_total";
        /// Turns that had to read their history.
        cache_misses: IntCounter = "longhaul_cache_misses_total";
        /// Sessions given up for others.
        cache_evictions: IntCounter = "longhaul_cache_evictions_total";
        /// Sessions in memory.
        cache_entries: IntGauge = "longhaul_cache_entries";
        /// How many events the histories of ended instances have.
        history_events: Histogram = "longhaul_history_events" in EVENTS;
        /// Histories that grew past the mark from which on their length is a danger.
        history_warnings: IntCounter = "longhaul_history_warnings_total";

        /// Tasks scheduled because the one before had failed, as their retry policies say.
        retries: IntCounter = "longhaul_activity_retries_total";
        /// Results that came late or twice, of tasks that had theirs.
        duplicates_dropped: IntCounter = "longhaul_activity_duplicates_dropped_total";
        /// Work items sent again: something was lost, or nobody hosted the activity.
        redispatched: IntCounter = "longhaul_outbox_redispatched_total";
        /// Start messages taken from the intake queue, by what became of them.
        intake: IntCounterVec = "longhaul_intake_messages_total" ["outcome"];
        /// What was set aside because it cannot be processed, by where it came from and the code of the reason.
        dead_lettered: IntCounterVec = "longhaul_dead_lettered_total" ["source", "reason"];

        /// Partitions that this worker owns.
        owned: IntGauge = "longhaul_partitions_owned";
        /// Partitions of the hub, the same on every worker.
        partitions: IntGauge = "longhaul_partitions";
        /// Partitions of the hub that nobody holds, as this worker last saw it: take the greatest of all workers.
        unowned: IntGauge = "longhaul_partitions_unowned";
        /// Partitions that came and went: `acquired`, of those `taken_early` from a worker that was gone, `released`, `lost`.
        lease_changes: IntCounterVec = "longhaul_lease_changes_total" ["kind"];
        /// How long it took to renew the leases.
        lease_renew: Histogram = "longhaul_lease_renew_seconds" in SECONDS;
        /// Partitions whose open tasks were sent again, because a server lost something.
        rebuilt: IntCounter = "longhaul_partitions_rebuilt_total";

        /// Committed messages of owned partitions that are not known to be with the broker.
        outbox: IntGauge = "longhaul_outbox_pending";
        /// How long the oldest message that this worker holds has been waiting for the broker; 0 if there is none.
        outbox_oldest: Gauge = "longhaul_outbox_oldest_age_seconds";
        /// Timers of owned partitions that have not fired.
        timers: IntGauge = "longhaul_timers_pending";
        /// From the time for which a timer is set to the commit of its turn.
        timer_lag: Histogram = "longhaul_timer_lag_seconds" in SECONDS;

        /// Messages and instances of the hub that were set aside and wait for a person. Shown by the owner of partition 0.
        parked: IntGauge = "longhaul_parked";
        /// Messages in a queue that nobody has received: `intake`, `dead`, `work:<task queue>`. Shown by the owner of partition 0.
        queue_ready: IntGaugeVec = "longhaul_queue_ready" ["queue"];
        /// Consumers of a queue. Shown by the owner of partition 0.
        queue_consumers: IntGaugeVec = "longhaul_queue_consumers" ["queue"];
        /// How much of the memory that Redis may use is in use; 0 if it has no bound. Shown by the owner of partition 0.
        memory: Gauge = "longhaul_redis_memory_ratio";
        /// Always 1: how Redis keeps what it accepted, and what it does when it is full. Shown by the owner of partition 0.
        persistence: IntGaugeVec = "longhaul_redis_persistence_info" ["appendonly", "appendfsync", "eviction"];
        /// What this worker may do at once, by what is in use and what is free: `turns`, and of them `replays`.
        slots: IntGaugeVec = "longhaul_worker_slots" ["kind", "state"];
    }
}

/// Everything that an orchestrator worker measures. Shared by all its loops.
#[derive(Debug)]
pub struct Metrics {
    instruments: Instruments,
    names: Names,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            instruments: Instruments::default(),
            names: Names::at_most(NAMES_MAX),
        };
        metrics.show_zeros();
        metrics
    }
}

/// How a turn ended, seen from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TurnOutcome {
    Settled,
    Rested,
    Fenced,
    Halted,
}

impl TurnOutcome {
    const ALL: [Self; 4] = [Self::Settled, Self::Rested, Self::Fenced, Self::Halted];

    const fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Rested => "rested",
            Self::Fenced => "fenced",
            Self::Halted => "halted",
        }
    }
}

/// What became of a start message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    Started,
    Repeated,
    Parked,
}

impl Taken {
    const ALL: [Self; 3] = [Self::Started, Self::Repeated, Self::Parked];

    const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Repeated => "repeated",
            Self::Parked => "parked",
        }
    }
}

/// What became of the lease of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeaseChange {
    Acquired,
    TakenEarly,
    Released,
    Lost,
}

impl LeaseChange {
    const ALL: [Self; 4] = [Self::Acquired, Self::TakenEarly, Self::Released, Self::Lost];

    const fn name(self) -> &'static str {
        match self {
            Self::Acquired => "acquired",
            Self::TakenEarly => "taken_early",
            Self::Released => "released",
            Self::Lost => "lost",
        }
    }
}

/// What may be done only so often at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    Turns,
    Replays,
}

impl Slot {
    const fn name(self) -> &'static str {
        match self {
            Self::Turns => "turns",
            Self::Replays => "replays",
        }
    }
}

const FAILURES: [&str; 9] = [
    "nondeterminism",
    "not_durable",
    "panic",
    "stalled",
    "not_hosted",
    "unreadable",
    "conflict",
    "killed",
    "other",
];

/// What keeps a turn from going on, for the label.
fn failure(code: Code) -> &'static str {
    match code {
        code::NONDETERMINISM => "nondeterminism",
        code::NOT_DURABLE => "not_durable",
        code::ORCHESTRATION_PANICKED => "panic",
        code::ORCHESTRATION_STALLED => "stalled",
        code::ORCHESTRATION_NOT_HOSTED => "not_hosted",
        code::HISTORY_UNREADABLE | code::UNKNOWN_EVENT => "unreadable",
        code::INSTANCE_STUCK => "killed",
        _ => "other",
    }
}

const COMMIT_OUTCOMES: [CommitOutcome; 4] = [
    CommitOutcome::Applied,
    CommitOutcome::Duplicate,
    CommitOutcome::Conflict,
    CommitOutcome::Fenced,
];

const fn outcome(outcome: CommitOutcome) -> &'static str {
    match outcome {
        CommitOutcome::Applied => "applied",
        CommitOutcome::Duplicate => "duplicate",
        CommitOutcome::Conflict => "conflict",
        CommitOutcome::Fenced => "fenced",
    }
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Terminated => "terminated",
    }
}

/// How the partitions of a worker stand, all of them together.
#[derive(Debug, Default)]
pub(crate) struct Stand {
    instances: StatusCounts,
    ready_overdue: u64,
    ready_oldest: Duration,
    outbox: u64,
    timers: u64,
}

impl Stand {
    pub(crate) fn add(&mut self, census: &Census) {
        for status in Status::ALL {
            *self.instances.of_mut(status) += census.by_status.of(status);
        }
        self.ready_overdue += census.ready_overdue;
        self.ready_oldest = self.ready_oldest.max(census.ready_oldest.unwrap_or_default());
        self.outbox += census.outbox;
        self.timers += census.timers;
    }
}

/// How a queue was found.
#[derive(Debug)]
pub(crate) struct QueueLook<'a> {
    pub(crate) destination: &'a Destination,
    pub(crate) ready: u64,
    pub(crate) consumers: u32,
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

    /// A counter that has not counted shows 0: whoever looks at its rate must see the first time, too.
    fn show_zeros(&self) {
        let of = &self.instruments;
        for label in FAILURES {
            of.turn_failures.with_label_values(&[label]);
        }
        for label in TurnOutcome::ALL {
            of.turn_duration.with_label_values(&[label.name()]);
        }
        for label in Taken::ALL {
            of.intake.with_label_values(&[label.name()]);
        }
        for label in LeaseChange::ALL {
            of.lease_changes.with_label_values(&[label.name()]);
        }
        for label in COMMIT_OUTCOMES {
            of.commits.with_label_values(&[outcome(label)]);
        }
    }

    // --- turns -----------------------------------------------------------------------------------------

    /// A turn of so many inputs begins, the oldest of which waited for so long.
    pub(crate) fn turn_begins(&self, inputs: usize, waited: Duration) {
        self.instruments.turn_messages.observe(number(inputs));
        self.instruments.turn_queue.observe(waited.as_secs_f64());
    }

    pub(crate) fn turn_ended(&self, outcome: TurnOutcome, took: Duration) {
        let duration = &self.instruments.turn_duration;
        duration
            .with_label_values(&[outcome.name()])
            .observe(took.as_secs_f64());
    }

    /// A turn could not go on.
    pub(crate) fn turn_failed(&self, code: Code) {
        self.instruments
            .turn_failures
            .with_label_values(&[failure(code)])
            .inc();
    }

    /// A turn was tried again too often.
    pub(crate) fn turn_conflicted(&self) {
        self.instruments
            .turn_failures
            .with_label_values(&["conflict"])
            .inc();
    }

    pub(crate) fn turn_committed(&self, took: Duration) {
        self.instruments.turn_commit.observe(took.as_secs_f64());
    }

    pub(crate) fn commit_answered(&self, answer: CommitOutcome) {
        self.instruments
            .commits
            .with_label_values(&[outcome(answer)])
            .inc();
        if answer == CommitOutcome::Fenced {
            self.instruments.fenced.inc();
        }
    }

    /// The first turn of an instance is committed.
    pub(crate) fn started(&self, orchestration: &FunctionName) {
        let name = self.names.label(orchestration.as_str());
        self.instruments.started.with_label_values(&[name]).inc();
    }

    /// The last turn of an instance is committed, so long after it was accepted.
    pub(crate) fn finished(&self, orchestration: &FunctionName, end: Status, took: Duration, events: u64) {
        let labels = [self.names.label(orchestration.as_str()), status(end)];
        self.instruments.finished.with_label_values(&labels).inc();
        self.instruments
            .duration
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
        self.instruments.history_events.observe(number(events));
    }

    pub(crate) fn history_grew_long(&self) {
        self.instruments.history_warnings.inc();
    }

    pub(crate) fn timer_fired(&self, lag: Duration) {
        self.instruments.timer_lag.observe(lag.as_secs_f64());
    }

    // --- sessions --------------------------------------------------------------------------------------

    pub(crate) fn session_was_warm(&self) {
        self.instruments.cache_hits.inc();
    }

    pub(crate) fn session_was_cold(&self) {
        self.instruments.cache_misses.inc();
    }

    /// A history of so many events was replayed.
    pub(crate) fn replayed(&self, events: usize, took: Duration) {
        self.instruments.replay_events.observe(number(events));
        self.instruments.replay.observe(took.as_secs_f64());
    }

    pub(crate) fn session_evicted(&self) {
        self.instruments.cache_evictions.inc();
    }

    pub(crate) fn sessions(&self, kept: usize) {
        self.instruments.cache_entries.set(whole(kept));
    }

    pub(crate) fn slots(&self, slot: Slot, used: usize, of: usize) {
        let slots = &self.instruments.slots;
        slots.with_label_values(&[slot.name(), "used"]).set(whole(used));
        slots
            .with_label_values(&[slot.name(), "free"])
            .set(whole(of.saturating_sub(used)));
    }

    // --- messages --------------------------------------------------------------------------------------

    pub(crate) fn duplicates_dropped(&self, count: u64) {
        self.instruments.duplicates_dropped.inc_by(count);
    }

    /// So many tasks are scheduled as further attempts at an author's calls.
    pub(crate) fn retried(&self, tasks: u64) {
        self.instruments.retries.inc_by(tasks);
    }

    pub(crate) fn redispatched(&self, items: u64) {
        self.instruments.redispatched.inc_by(items);
    }

    pub(crate) fn intake(&self, taken: Taken) {
        self.instruments.intake.with_label_values(&[taken.name()]).inc();
    }

    /// A message was set aside.
    pub(crate) fn parked(&self, origin: &Destination, code: Code) {
        let source = match origin {
            Destination::Control(_) => "control",
            Destination::Work(_) => "work",
            Destination::Intake => "intake",
            Destination::Dead => "dead",
        };
        self.dead_lettered(source, code);
    }

    /// An instance was set aside.
    pub(crate) fn instance_parked(&self) {
        self.dead_lettered("instance", code::INSTANCE_STUCK);
    }

    fn dead_lettered(&self, source: &str, code: Code) {
        self.instruments
            .dead_lettered
            .with_label_values(&[source, &code.to_string()])
            .inc();
    }

    // --- partitions ------------------------------------------------------------------------------------

    pub(crate) fn lease_changed(&self, change: LeaseChange) {
        self.instruments
            .lease_changes
            .with_label_values(&[change.name()])
            .inc();
    }

    pub(crate) fn leases_renewed(&self, took: Duration) {
        self.instruments.lease_renew.observe(took.as_secs_f64());
    }

    pub(crate) fn owns(&self, partitions: usize, of: u16) {
        self.instruments.owned.set(whole(partitions));
        self.instruments.partitions.set(i64::from(of));
    }

    /// How many partitions the worker owns.
    #[must_use]
    pub fn partitions_owned(&self) -> usize {
        usize::try_from(self.instruments.owned.get()).unwrap_or_default()
    }

    pub(crate) fn rebuilt(&self) {
        self.instruments.rebuilt.inc();
    }

    // --- what is looked at -----------------------------------------------------------------------------

    /// How the owned partitions stand.
    pub(crate) fn partitions_stand(&self, stand: &Stand) {
        let of = &self.instruments;
        for at in Status::ALL {
            of.instances
                .with_label_values(&[status(at)])
                .set(signed(stand.instances.of(at)));
        }
        of.ready_pending.set(signed(stand.ready_overdue));
        of.ready_oldest.set(stand.ready_oldest.as_secs_f64());
        of.outbox.set(signed(stand.outbox));
        of.timers.set(signed(stand.timers));
    }

    pub(crate) fn partitions_unowned(&self, count: usize) {
        self.instruments.unowned.set(whole(count));
    }

    pub(crate) fn outbox_oldest(&self, age: Duration) {
        self.instruments.outbox_oldest.set(age.as_secs_f64());
    }

    pub(crate) fn parked_total(&self, count: u64) {
        self.instruments.parked.set(signed(count));
    }

    pub(crate) fn queue(&self, look: &QueueLook<'_>) {
        let name = match look.destination {
            Destination::Intake => "intake".to_owned(),
            Destination::Dead => "dead".to_owned(),
            Destination::Control(_) => "control".to_owned(),
            Destination::Work(queue) => format!("work:{}", self.names.label(queue.as_str())),
        };
        let of = &self.instruments;
        of.queue_ready.with_label_values(&[&name]).set(signed(look.ready));
        of.queue_consumers
            .with_label_values(&[&name])
            .set(i64::from(look.consumers));
    }

    /// How the store says it fares: how full it is, and what it does with what it accepted.
    pub(crate) fn store_is(&self, condition: &StoreCondition) {
        let of = &self.instruments;
        of.memory.set(condition.memory_ratio().unwrap_or_default());
        let unknown = || "unknown".to_owned();
        let kept = &condition.persistence;
        let said = |text: &Option<String>| text.clone().unwrap_or_else(unknown);
        let labels = [
            said(&kept.appendonly),
            said(&kept.appendfsync),
            said(&kept.eviction),
        ];
        of.persistence.reset();
        of.persistence
            .with_label_values(&labels.each_ref().map(String::as_str))
            .set(1);
    }

    /// Somebody else shows what belongs to the hub as a whole.
    pub(crate) fn leaves_hub_to_others(&self) {
        let of = &self.instruments;
        of.parked.set(0);
        of.queue_ready.reset();
        of.queue_consumers.reset();
        of.persistence.reset();
        of.memory.set(0.0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a bucket is not that exact")]
fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_made_and_registered_once() {
        let registry = prometheus::Registry::new();
        Metrics::default().register(&registry).unwrap();
        let twice = Metrics::default().register(&registry);
        assert!(twice.is_err());
    }

    #[test]
    fn names_follow_the_rules() {
        for family in Metrics::FAMILIES {
            let is_counter = family.kind == longhaul_telemetry::Kind::Counter;
            assert!(family.name.starts_with("longhaul_"), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
            assert!(
                !family.labels.iter().any(|label| label.contains("id")),
                "{}",
                family.name
            );
        }
    }

    #[test]
    fn a_worker_that_has_handed_everything_over_shows_no_instances() {
        let metrics = Metrics::default();
        let mut census = Census::default();
        census.by_status.running = 7;
        let mut stand = Stand::default();
        stand.add(&census);
        metrics.partitions_stand(&stand);
        let running = || {
            metrics
                .instruments
                .instances
                .with_label_values(&["running"])
                .get()
        };
        assert_eq!(running(), 7);
        metrics.partitions_stand(&Stand::default());
        assert_eq!(running(), 0, "the new owner shows them");
    }

    #[test]
    fn what_keeps_a_turn_from_going_on_has_a_known_label() {
        for code in code::ALL {
            assert!(FAILURES.contains(&failure(*code)), "{code}");
        }
    }
}
