//! Owns the checks of who works for a hub: workers, partitions with their owners, queues and who receives from them.
//! Never takes one look for the truth where a moment later may show another: it compares two.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_shared::id::{FunctionName, PartitionId, WorkerId};
use longhaul_shared::port::{Depth, HeldLease, HubInfo};

use super::check::{Check, counted};
use super::look::Look;

/// Most names of one kind in a finding.
const NAMES_MAX: usize = 5;

/// Two looks at a hub, some time apart.
pub(super) struct Looks {
    pub(super) hub: HubInfo,
    pub(super) first: Look,
    pub(super) second: Look,
}

impl Looks {
    /// The partitions of which this is so in both looks.
    fn both(&self, is_so: impl Fn(&Look, usize) -> bool) -> Vec<PartitionId> {
        let partitions = PartitionId::all(self.hub.partitions).enumerate();
        partitions
            .filter(|(at, _)| is_so(&self.first, *at) && is_so(&self.second, *at))
            .map(|(_, partition)| partition)
            .collect()
    }
}

pub(super) fn epoch(looks: &Looks) -> Check {
    const NAME: &str = "epoch";
    let epoch = looks.hub.epoch;
    if epoch.number == 0 {
        return Check::warn(
            NAME,
            "the hub has no queues yet: no orchestrator worker has ever run",
            "Start an orchestrator worker.",
        );
    }
    if looks.first.has_epoch || looks.second.has_epoch {
        return Check::ok(NAME, format!("RabbitMQ has the marker of epoch {}", epoch.number));
    }
    Check::fail(
        NAME,
        format!(
            "RabbitMQ does not have the marker of epoch {}: it lost its data, or is another one",
            epoch.number
        ),
        "A living orchestrator worker notices within seconds, declares the queues and sends again what was under way. Is \
         amqp.url the right server?",
    )
}

pub(super) fn queues(looks: &Looks) -> Check {
    const NAME: &str = "queues";
    let missing = |look: &Look| {
        let mut missing = BTreeSet::new();
        let controls = PartitionId::all(looks.hub.partitions).zip(&look.control);
        let controls = controls.filter(|(_, depth)| depth.is_none());
        missing.extend(controls.map(|(partition, _)| format!("ctl.{partition}")));
        let tasks = look.tasks.iter().filter(|(_, depth)| depth.is_none());
        missing.extend(tasks.map(|(queue, _)| format!("act.{queue}")));
        let others = [("intake", look.intake), ("dead", look.dead)];
        let others = others.into_iter().filter(|(_, depth)| depth.is_none());
        missing.extend(others.map(|(name, _)| name.to_owned()));
        missing
    };
    let (before, after) = (missing(&looks.first), missing(&looks.second));
    let missing: Vec<String> = before.intersection(&after).cloned().collect();
    if missing.is_empty() {
        let count = looks.second.control.len() + looks.second.tasks.len() + 2;
        return Check::ok(NAME, format!("all {count} are there"));
    }
    let named = named(missing.iter().map(String::as_str));
    Check::fail(
        NAME,
        format!(
            "{} missing in RabbitMQ: {named}",
            counted(missing.len() as u64, "queue")
        ),
        "A living orchestrator worker notices within about ten seconds and makes them anew; if none lives, start one.",
    )
}

pub(super) fn workers(looks: &Looks) -> Check {
    const NAME: &str = "workers";
    let workers = &looks.second.workers;
    if workers.is_empty() {
        return Check::fail(
            NAME,
            "no orchestrator worker of this hub is alive: nothing moves",
            "Start at least one, two for safety.",
        );
    }
    let all: BTreeSet<&FunctionName> = workers.iter().flat_map(|worker| &worker.hosts).collect();
    let mut lacking: BTreeMap<Vec<&FunctionName>, Vec<&WorkerId>> = BTreeMap::new();
    for worker in workers {
        let hosts: BTreeSet<&FunctionName> = worker.hosts.iter().collect();
        let lacks: Vec<&FunctionName> = all.difference(&hosts).copied().collect();
        if !lacks.is_empty() {
            lacking.entry(lacks).or_default().push(&worker.id);
        }
    }
    let finding = format!(
        "{} alive, hosting {}",
        counted(workers.len() as u64, "orchestrator worker"),
        counted(all.len() as u64, "orchestration")
    );
    if lacking.is_empty() {
        return Check::ok(NAME, finding);
    }
    let differences = lacking.iter().map(|(lacks, workers)| {
        let workers = named(workers.iter().map(|id| id.as_str()));
        let lacks = named(lacks.iter().map(|name| name.as_str()));
        format!("{workers} lacks {lacks}")
    });
    Check::warn(
        NAME,
        format!(
            "{finding}, but not the same: {}",
            differences.collect::<Vec<_>>().join("; ")
        ),
        "Each partition has one owner: deploy the same orchestrations on every orchestrator worker of the hub, or \
         instances wait (LH1108).",
    )
}

pub(super) fn partitions(looks: &Looks) -> Check {
    const NAME: &str = "partitions";
    let unowned = looks.both(|look, at| held(look, at).is_none());
    if !unowned.is_empty() {
        let remedy = match looks.second.workers.is_empty() {
            true => "Start an orchestrator worker.",
            false => {
                "The living workers should have taken them within seconds: look at their logs, and whether they reach Redis \
                 and RabbitMQ."
            }
        };
        let finding = format!(
            "{} of {} partitions have no owner: {}",
            unowned.len(),
            looks.hub.partitions,
            numbered(&unowned)
        );
        return Check::fail(NAME, finding, remedy);
    }
    let mut owners: BTreeMap<&WorkerId, usize> = BTreeMap::new();
    for lease in looks.second.leases.iter().flatten() {
        *owners.entry(&lease.owner).or_default() += 1;
    }
    let living = looks.second.workers.iter().map(|worker| &worker.id);
    let living: BTreeSet<&WorkerId> = living.collect();
    let gone: Vec<&str> = owners
        .keys()
        .filter(|owner| !living.contains(*owner))
        .map(|owner| owner.as_str())
        .collect();
    let shares: Vec<String> = owners.values().map(ToString::to_string).collect();
    let finding = format!(
        "all {} have an owner; by worker: {}",
        looks.hub.partitions,
        shares.join(", ")
    );
    if gone.is_empty() {
        return Check::ok(NAME, finding);
    }
    Check::warn(
        NAME,
        format!(
            "{finding}; some are held by {}, which gives no sign of life",
            named(gone.into_iter())
        ),
        "Others take them when the lease ends (orchestrator.lease_ttl, 10 seconds). If this stays, look at that worker's log.",
    )
}

/// Owners that do not receive.
pub(super) fn deaf(looks: &Looks) -> Check {
    const NAME: &str = "owners";
    let deaf = looks.both(|look, at| {
        let has_consumer = look.control.get(at).copied().flatten();
        held(look, at).is_some() && has_consumer.is_none_or(|depth| depth.consumers == 0)
    });
    if deaf.is_empty() {
        return Check::ok(NAME, "every owner receives from its control queues");
    }
    let owner = |partition: &PartitionId| held(&looks.second, usize::from(partition.0));
    let owners: BTreeSet<&str> = deaf
        .iter()
        .filter_map(owner)
        .map(|lease| lease.owner.as_str())
        .collect();
    Check::fail(
        NAME,
        format!(
            "nobody receives from the control queues of {}: {} (owned by {})",
            counted(deaf.len() as u64, "owned partition"),
            numbered(&deaf),
            named(owners.into_iter())
        ),
        "If the owner died, another takes over within ten seconds. If it lives, restart it: its connection to RabbitMQ is \
         gone and does not come back.",
    )
}

pub(super) fn intake(looks: &Looks) -> Option<Check> {
    const NAME: &str = "intake";
    // A missing queue is told as such.
    let (before, after) = (looks.first.intake?, looks.second.intake?);
    let waiting = counted(after.ready, "start message");
    if is_deserted(before) && is_deserted(after) {
        let finding = format!("{waiting} waiting, and nobody receives them");
        return Some(match looks.second.workers.is_empty() {
            true => Check::warn(NAME, finding, "Start an orchestrator worker."),
            false => Check::fail(
                NAME,
                finding,
                "Look at the orchestrator workers' logs, and restart them.",
            ),
        });
    }
    let finding = format!(
        "{waiting} waiting, {}",
        counted(after.consumers.into(), "consumer")
    );
    Some(Check::ok(NAME, finding))
}

/// Task queues and whether somebody serves them.
pub(super) fn task_queues(looks: &Looks) -> Check {
    const NAME: &str = "tasks";
    let mut deserted = Vec::new();
    let mut served = Vec::new();
    for (queue, depth) in &looks.second.tasks {
        let before = looks.first.tasks.get(queue).copied().flatten();
        let (Some(before), Some(after)) = (before, *depth) else {
            continue;
        };
        match is_deserted(before) && is_deserted(after) {
            true => deserted.push((queue, after.ready)),
            false => served.push(format!(
                "{queue}: {} waiting, {}",
                after.ready,
                counted(after.consumers.into(), "consumer")
            )),
        }
    }
    let waiting = deserted.iter().filter(|(_, ready)| *ready > 0);
    let waiting: Vec<String> = waiting
        .map(|(queue, ready)| format!("{ready} in {queue}"))
        .collect();
    if !waiting.is_empty() {
        return Check::fail(
            NAME,
            format!(
                "tasks wait in queues that no activity worker serves: {}",
                waiting.join(", ")
            ),
            "Start an activity worker for them (activity.queues), or end the instances that named them by mistake.",
        );
    }
    if served.is_empty() {
        return Check::warn(
            NAME,
            "no activity worker serves any task queue; nothing waits there now",
            "Start an activity worker.",
        );
    }
    Check::ok(NAME, format!("queue {}", served.join("; queue ")))
}

fn is_deserted(depth: Depth) -> bool {
    depth.consumers == 0
}

/// The lease of a partition, unless it has run out.
fn held(look: &Look, at: usize) -> Option<&HeldLease> {
    let lease = look.leases.get(at)?.as_ref();
    lease.filter(|lease| !lease.expires_in.is_zero())
}

fn numbered(partitions: &[PartitionId]) -> String {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    named(names.iter().map(String::as_str))
}

fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown: Vec<&str> = names.iter().copied().take(NAMES_MAX).collect();
    match names.len().checked_sub(NAMES_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}
