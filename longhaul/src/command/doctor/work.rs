//! Owns the checks of the work itself: what is there, what was set aside, what is late, and what holds all of it up.
//! Never compares with a figure of another machine: it compares two looks with each other.

use std::time::Duration;

use longhaul_shared::id::QueueName;
use longhaul_shared::instance::Status;

use super::check::{Check, counted};
use super::fleet::Looks;
use super::look::Look;
use super::servers::STORE_SLOW;
use crate::span;

/// From which delay on something late is taken for something that is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);
const LATE_AFTER: Duration = Duration::from_secs(5);
/// By how much a backlog must have grown between two looks to count: less may be chance.
const GROWTH_MIN: u64 = 10;
/// From which size on a backlog counts that does not shrink.
const LARGE: u64 = 100;

pub(super) fn instances(look: &Look) -> Check {
    let told = Status::ALL.map(|status| {
        let count: u64 = look.census.iter().map(|census| census.by_status.of(status)).sum();
        format!("{count} {}", status.name().to_lowercase())
    });
    Check::ok("instances", told.join(", "))
}

pub(super) fn parked(look: &Look) -> Check {
    match look.parked {
        0 => Check::ok("parked", "nothing"),
        count => Check::warn(
            "parked",
            format!("{count} set aside"),
            "`longhaul parked list` says why; once the cause is gone, `longhaul parked requeue ID`.",
        ),
    }
}

/// Messages that were there in both looks, and are old.
pub(super) fn outbox(looks: &Looks) -> Check {
    const NAME: &str = "outbox";
    let stuck = looks.first.unsent.intersection(&looks.second.unsent).count();
    let held: u64 = looks.second.census.iter().map(|census| census.outbox).sum();
    if stuck == 0 {
        return Check::ok(NAME, format!("{} on the way", counted(held, "message")));
    }
    Check::fail(
        NAME,
        format!(
            "at least {stuck} of {} committed a while ago and not confirmed by RabbitMQ",
            counted(held, "message")
        ),
        "Owners publish them every five seconds: look at their logs, at `rabbitmq-diagnostics alarms`, and whether every \
         partition has an owner.",
    )
}

/// Instances that should have been looked at.
pub(super) fn ready(looks: &Looks) -> Check {
    const NAME: &str = "turns";
    let overdue = |look: &Look| look.census.iter().map(|census| census.ready_overdue).sum::<u64>();
    let (before, after) = (overdue(&looks.first), overdue(&looks.second));
    let oldest = looks
        .second
        .census
        .iter()
        .filter_map(|census| census.ready_oldest)
        .max();
    let oldest = oldest.unwrap_or_default();
    if before == 0 || after == 0 {
        return Check::ok(NAME, "no instance waits long for its turn");
    }
    let finding = format!(
        "{} due for a turn and not looked at, the first for {}",
        counted(after, "instance"),
        span::shown(oldest)
    );
    let remedy = "See the checks of partitions, owners and bottleneck; `longhaul why ID` tells of one.";
    match oldest >= STUCK_AFTER {
        true => Check::fail(NAME, finding, remedy),
        false => Check::warn(NAME, finding, remedy),
    }
}

pub(super) fn timers(looks: &Looks) -> Check {
    const NAME: &str = "timers";
    let late = |look: &Look| {
        let due = look.census.iter().filter_map(|census| census.next_timer).min();
        due.map_or(Duration::ZERO, |due| look.now.since(due))
    };
    let set: u64 = looks.second.census.iter().map(|census| census.timers).sum();
    let (before, after) = (late(&looks.first), late(&looks.second));
    if before.min(after) < LATE_AFTER {
        return Check::ok(NAME, format!("{} set, none overdue", counted(set, "timer")));
    }
    let finding = format!(
        "{} set, the first overdue by {}",
        counted(set, "timer"),
        span::shown(after)
    );
    let remedy = "The owner of its partition fires it: see the checks of partitions, owners and bottleneck.";
    match after >= STUCK_AFTER {
        true => Check::fail(NAME, finding, remedy),
        false => Check::warn(NAME, finding, remedy),
    }
}

/// How much of something waits, in the first look and in the second.
#[derive(Clone, Copy)]
struct Backlog {
    before: u64,
    after: u64,
}

impl Backlog {
    fn of(looks: &Looks, waiting: impl Fn(&Look) -> u64) -> Self {
        Self {
            before: waiting(&looks.first),
            after: waiting(&looks.second),
        }
    }

    /// Whether it grows, or is large and does not shrink.
    const fn stays_behind(self) -> bool {
        let growth = self.after.saturating_sub(self.before);
        growth >= GROWTH_MIN || (self.after >= LARGE && self.after >= self.before)
    }

    fn told(self, looks: &Looks, what: &str) -> String {
        let apart = looks.second.now.since(looks.first.now).as_secs_f64();
        format!("{what} {} -> {} in {apart:.1} s", self.before, self.after)
    }
}

fn turns_waiting(look: &Look) -> u64 {
    let unread = look.control.iter().flatten().map(|depth| depth.ready);
    let overdue = look.census.iter().map(|census| census.ready_overdue);
    unread.chain(overdue).sum()
}

/// The served task queue that falls behind most, and how many consumers it has.
fn tasks_waiting(looks: &Looks) -> Option<(&QueueName, Backlog, u32)> {
    let behind = looks.second.tasks.iter().filter_map(|(queue, depth)| {
        let before = looks.first.tasks.get(queue).copied().flatten()?.ready;
        let depth = (*depth)?;
        let backlog = Backlog {
            before,
            after: depth.ready,
        };
        (depth.consumers > 0 && backlog.stays_behind()).then_some((queue, backlog, depth.consumers))
    });
    behind.max_by_key(|(_, backlog, _)| backlog.after)
}

/// What grows between two looks, and who should be more.
pub(super) fn bottleneck(looks: &Looks) -> Check {
    const NAME: &str = "bottleneck";
    let turns = Backlog::of(looks, turns_waiting);
    let starts = Backlog::of(looks, |look| look.intake.map_or(0, |depth| depth.ready));
    let takes = [&looks.first, &looks.second].map(|look| look.store_takes);
    let (who, remedy) = if takes.iter().all(|takes| *takes > STORE_SLOW) {
        let [first, second] = takes.map(|takes| takes.as_secs_f64() * 1_000.0);
        let turns = turns.told(looks, "turns waiting");
        (
            format!("the store: it answers in {first:.1} ms and {second:.1} ms; {turns}"),
            "More workers would make it worse: give Redis a faster disk or a core of its own, and bring it nearer.",
        )
    } else if turns.stays_behind() {
        (
            format!("the orchestrator workers: {}", turns.told(looks, "turns waiting")),
            "Start more orchestrator workers, up to one for each partition.",
        )
    } else if starts.stays_behind() {
        (
            format!("the intake: {}", starts.told(looks, "start messages waiting")),
            "Start more orchestrator workers; if Redis is full (see memory), starts wait for room.",
        )
    } else if let Some((queue, tasks, consumers)) = tasks_waiting(looks) {
        let tasks = tasks.told(looks, "tasks waiting");
        (
            format!(
                "the activity workers of queue {queue}: {tasks}, {}",
                counted(consumers.into(), "consumer")
            ),
            "Start more activity workers, or let each run more at once (activity.concurrency).",
        )
    } else {
        let tasks = |look: &Look| look.tasks.values().flatten().map(|depth| depth.ready).sum();
        let tasks = Backlog::of(looks, tasks);
        let waiting = [(starts, "starts"), (turns, "turns"), (tasks, "tasks")];
        let waiting = waiting.map(|(backlog, what)| format!("{} {what}", backlog.after));
        let apart = looks.second.now.since(looks.first.now).as_secs_f64();
        let finding = format!("none in {apart:.1} s: {} wait", waiting.join(", "));
        return Check::ok(NAME, finding);
    };
    Check::warn(NAME, who, remedy)
}
