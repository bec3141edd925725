//! Owns the last judgement of a run: what is left in the servers, what every instance became, what callers were told.
//! Never finds an excuse but those that the plan gives.

use std::collections::BTreeSet;

use longhaul_shared::id::InstanceId;
use longhaul_shared::instance::{InstanceRow, Status};
use longhaul_shared::port::LoadedInstance;

use crate::history;
use crate::plan::Planned;
use crate::stage::Told;
use crate::workload::{self, Expected};
use crate::world::World;

/// Whether everything has come to rest: nothing under way, nothing to look after.
#[must_use]
pub fn is_at_rest(world: &World) -> bool {
    left_behind(world).is_none()
}

/// What has not come to rest.
fn left_behind(world: &World) -> Option<String> {
    let messages = world.broker().left();
    if !messages.is_empty() {
        return Some(format!("messages: {}", messages.join(", ")));
    }
    world.store().look(|state| {
        for (partition, kept) in state.partitions() {
            let (outbox, timers) = (kept.outbox.len(), kept.timers());
            if outbox > 0 || timers > 0 {
                return Some(format!(
                    "{outbox} messages in the outbox and {timers} timers of partition {partition}"
                ));
            }
        }
        let open = state
            .instances()
            .find(|(_, instance)| !instance.row.status.is_terminal() || instance.ready.is_some());
        open.map(|(id, instance)| format!("instance {id} is {}", instance.row.status))
    })
}

/// Judges a run that is over; what is wrong goes to the oracle.
pub fn judge(world: &World) {
    let oracle = world.oracle();
    if let Some(left) = left_behind(world) {
        oracle.accuse(format!("left behind: {left}"));
    }
    let loaded = world.store().look(|state| {
        let load = |instance: &crate::store::Instance| LoadedInstance {
            row: instance.row.clone(),
            inbox: instance.inbox.values().cloned().collect(),
            history: instance.history.iter().map(|event| (**event).clone()).collect(),
        };
        let all: Vec<_> = state.instances().map(|(_, instance)| load(instance)).collect();
        all
    });
    let orchestrations = workload::orchestrations(oracle);
    for instance in &loaded {
        let id = &instance.row.id;
        if !instance.row.status.is_terminal() {
            let waits = instance.row.waiting_for.as_ref().map(ToString::to_string);
            oracle.accuse(format!(
                "instance {id} is stuck: {} waiting for {waits:?}\n{}",
                instance.row.status,
                history::told(instance)
            ));
        }
        if let Err(violation) = history::check(instance, &orchestrations) {
            oracle.accuse(format!(
                "history of {id}: {violation}\n{}",
                history::told(instance)
            ));
        }
    }
    for planned in &world.plan().instances {
        let row = loaded
            .iter()
            .map(|instance| &instance.row)
            .find(|row| row.id.as_str() == planned.id);
        judge_instance(world, planned, row);
    }
    judge_executions(world);
}

fn judge_instance(world: &World, planned: &Planned, row: Option<&InstanceRow>) {
    let oracle = world.oracle();
    let account = world.stage().seen().of(&planned.id);
    let Some(row) = row else {
        let excused = oracle.has_amnesia() || (planned.by_message && world.plan().loses_messages());
        if account.accepted && !excused {
            oracle.accuse(format!("instance {} was accepted and is gone", planned.id));
        }
        return;
    };
    if let Some(wrong) = wrong_end(planned, row) {
        oracle.accuse(format!("instance {}: {wrong}", planned.id));
    }
    let now = match row.status {
        Status::Completed => Told::Completed(output(row).unwrap_or(u64::MAX)),
        Status::Failed => Told::Failed(row.failure.as_ref().map(ToString::to_string).unwrap_or_default()),
        Status::Terminated => Told::Terminated,
        Status::Pending | Status::Running => return,
    };
    match account.told {
        Some(told) if told == now || oracle.has_amnesia() => {}
        None if oracle.has_amnesia() => {}
        // Whoever gave up on a start by message may have been too early.
        Some(Told::Unknown) if planned.by_message && world.plan().loses_messages() => {}
        told => oracle.accuse(format!(
            "instance {}: its caller was told {told:?}, it is {now:?}",
            planned.id
        )),
    }
}

fn output(row: &InstanceRow) -> Option<u64> {
    row.output.as_ref()?.to_json_value().as_u64()
}

/// What is wrong with how an instance ended, compared with the answer computed without Longhaul.
fn wrong_end(planned: &Planned, row: &InstanceRow) -> Option<String> {
    let right = |sums: &BTreeSet<u64>| output(row).is_some_and(|sum| sums.contains(&sum));
    let expected = planned.recipe.expected();
    let fine = match (row.status, &expected) {
        (Status::Completed, Expected::OneOf(sums) | Expected::Either(sums)) => right(sums),
        (Status::Failed, Expected::Either(_)) => true,
        (Status::Terminated, _) => planned.terminate_at.is_some(),
        (Status::Pending | Status::Running, _) => true,
        (Status::Failed, Expected::OneOf(_)) => false,
    };
    (!fine).then(|| {
        format!(
            "it is {} with {:?} ({:?}), expected {expected:?}",
            row.status,
            output(row),
            row.failure.as_ref().map(ToString::to_string)
        )
    })
}

/// No task ran more often than once and once more for each fault of its life.
fn judge_executions(world: &World) {
    let oracle = world.oracle();
    if oracle.has_amnesia() {
        return;
    }
    let faults = world.faults();
    for (instance, task, count, before) in oracle.executions() {
        let allowed = 1 + faults - before.min(faults);
        if count > allowed {
            oracle.accuse(told_often(&instance, task, count, allowed));
        }
    }
}

fn told_often(instance: &InstanceId, task: longhaul_shared::id::TaskId, count: u64, allowed: u64) -> String {
    format!("task {task} of {instance} ran {count} times, {allowed} are allowed")
}
