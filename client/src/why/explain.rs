//! Owns the judgement: from what is known of an instance to what it waits for, the greatest obstacle first.
//! Never asks anybody: it is pure.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_shared::id::{FunctionName, QueueName};
use longhaul_shared::instance::{Status, WaitingFor};
use longhaul_shared::time::Timestamp;

use super::evidence::{Evidence, QueueStand};
use super::reason::{Owner, Reason, Wait, Why};
use super::step::{OpenStep, StepKind, open_steps};

/// From which age on a work item in the outbox is worth a word: confirmed ones stay there for a moment, too.
const UNSENT_AFTER: Duration = Duration::from_secs(5);

/// Says what an instance waits for.
#[must_use]
pub fn explain(evidence: &Evidence) -> Why {
    let row = &evidence.row;
    let steps = if row.status.is_terminal() {
        Vec::new()
    } else {
        open_steps(&evidence.history)
    };
    let waits = if row.status.is_terminal() {
        Vec::new()
    } else {
        waits(evidence, &steps)
    };
    Why {
        now: evidence.now,
        id: row.id.clone(),
        name: row.name.clone(),
        status: row.status,
        created: row.created,
        changed: row.changed,
        failure: row.failure.clone(),
        partition: evidence.partition,
        owner: owner(evidence),
        waits,
        steps,
    }
}

fn owner(evidence: &Evidence) -> Owner {
    match &evidence.lease {
        None => Owner::Nobody,
        Some(lease) if lease.expires_in.is_zero() => Owner::Expired(lease.owner.clone()),
        Some(lease) => Owner::Worker(lease.owner.clone()),
    }
}

fn waits(evidence: &Evidence, steps: &[OpenStep]) -> Vec<Wait> {
    let row = &evidence.row;
    let since = |reason, since| Wait { reason, since };
    // The row changes with every attempt that is refused; history does not.
    let quiet_since = evidence.history.last().map_or(row.created, |event| event.time);
    let mut waits = Vec::new();
    let of_owner = ownership(evidence);
    let has_owner = of_owner.is_none();
    waits.extend(of_owner.map(|reason| since(reason, quiet_since)));
    waits.extend(
        somebody_elses_move(evidence, steps).map(|(reason, at)| since(reason, at.unwrap_or(quiet_since))),
    );
    let is_halted = waits.iter().any(|wait| {
        matches!(
            wait.reason,
            Reason::Paused { .. } | Reason::Stuck { .. } | Reason::OrchestrationNotHosted { .. }
        )
    });
    if is_halted {
        return waits;
    }
    if evidence.unread > 0 || (row.status == Status::Pending && has_owner) {
        let unread = evidence.unread;
        waits.push(since(Reason::Turn { unread }, quiet_since));
    }
    waits.extend(tasks(evidence, steps, &waits));
    waits.extend(steps.iter().filter_map(|step| {
        let reason = match &step.kind {
            StepKind::Activity { .. } => return None,
            StepKind::Inline { name } => Reason::Inline {
                name: name.clone(),
                task: step.task,
            },
            StepKind::Timer { due, after_failure } => Reason::Timer {
                task: step.task,
                due: *due,
                due_in: due.since(evidence.now),
                after_failure: after_failure.clone(),
            },
        };
        Some(since(reason, step.since))
    }));
    if waits.is_empty() {
        waits.push(since(Reason::Turn { unread: 0 }, quiet_since));
    }
    waits
}

/// What is wrong with the ownership of its partition, without which nothing goes on.
fn ownership(evidence: &Evidence) -> Option<Reason> {
    if evidence.is_at_rest {
        return Some(Reason::HubAtRest);
    }
    let partition = evidence.partition;
    let nobody_lives = evidence.workers.is_empty();
    match (&evidence.lease, owner(evidence)) {
        // A worker that lives says so at every heartbeat; a lease may outlast it.
        (_, Owner::Nobody | Owner::Expired(_)) if nobody_lives => Some(Reason::NoOrchestratorWorker),
        (None, _) => Some(Reason::NoOwner { partition }),
        (Some(_), Owner::Expired(owner)) => Some(Reason::OwnerSilent { partition, owner }),
        (Some(lease), _) if evidence.control.is_deserted() => {
            let owner = lease.owner.clone();
            Some(Reason::OwnerDeaf { partition, owner })
        }
        (Some(_), _) => None,
    }
}

/// What the row says that it waits for, with the time at which that began if history tells it.
fn somebody_elses_move(evidence: &Evidence, steps: &[OpenStep]) -> Option<(Reason, Option<Timestamp>)> {
    let begun = |is_it: &dyn Fn(&OpenStep) -> bool| {
        let step = steps.iter().find(|step| is_it(step));
        step.map(|step| step.since)
    };
    match evidence.row.waiting_for.as_ref()? {
        WaitingFor::Orchestration { name } => {
            let hosts = |name: &FunctionName| {
                let workers = evidence.workers.iter();
                let those = workers.filter(|worker| worker.hosts.contains(name));
                those.map(|worker| worker.id.clone()).collect()
            };
            let reason = Reason::OrchestrationNotHosted {
                name: name.clone(),
                partition: evidence.partition,
                hosted_by: hosts(name),
            };
            Some((reason, None))
        }
        WaitingFor::Activity { name, queue } => {
            let stand = evidence.queues.get(queue);
            let reason = Reason::ActivityNotHosted {
                name: name.clone(),
                queue: queue.clone(),
                consumers: match stand {
                    Some(QueueStand::There(depth)) => Some(depth.consumers),
                    Some(QueueStand::Missing) => Some(0),
                    Some(QueueStand::Unknown) | None => None,
                },
            };
            let is_it = |step: &OpenStep| match &step.kind {
                StepKind::Activity {
                    name: of, queue: on, ..
                } => of == name && on == queue,
                _ => false,
            };
            Some((reason, begun(&is_it)))
        }
        WaitingFor::Paused { code, message } => {
            let (code, message) = (code.clone(), message.clone());
            Some((Reason::Paused { code, message }, None))
        }
        WaitingFor::Stuck { code, message, .. } => {
            let reason = Reason::Stuck {
                id: evidence.row.id.clone(),
                code: code.clone(),
                message: message.clone(),
            };
            Some((reason, None))
        }
        WaitingFor::ParkedTask {
            task,
            name,
            code,
            parked,
        } => {
            let reason = Reason::TaskParked {
                task: *task,
                name: name.clone(),
                code: code.clone(),
                parked: *parked,
            };
            Some((reason, begun(&|step: &OpenStep| step.task == *task)))
        }
    }
}

/// The open activity tasks, alike ones together, those first that nobody serves. Left out is what was said before.
fn tasks(evidence: &Evidence, steps: &[OpenStep], said: &[Wait]) -> Vec<Wait> {
    let mut groups: BTreeMap<(&QueueName, &FunctionName, bool), Vec<&OpenStep>> = BTreeMap::new();
    for step in steps {
        if let StepKind::Activity { name, queue, .. } = &step.kind
            && !is_said(said, step, name, queue)
        {
            let is_new = evidence.now.since(step.since) < UNSENT_AFTER;
            let unsent = !is_new && evidence.unsent.contains(&step.task);
            groups.entry((queue, name, unsent)).or_default().push(step);
        }
    }
    let mut waits: Vec<Wait> = groups
        .into_iter()
        .filter_map(|((queue, name, unsent), steps)| {
            let first = steps.iter().min_by_key(|step| (step.since, step.task))?;
            let (task, tasks) = (first.task, steps.len());
            let stand = evidence.queues.get(queue).copied().unwrap_or(QueueStand::Unknown);
            let reason = match stand {
                _ if stand.is_deserted() => Reason::NoActivityWorker {
                    name: name.clone(),
                    queue: queue.clone(),
                    task,
                    tasks,
                    ready: match stand {
                        QueueStand::There(depth) => Some(depth.ready),
                        QueueStand::Missing | QueueStand::Unknown => None,
                    },
                },
                _ if unsent => Reason::NotSent { task, tasks },
                stand => Reason::Activity {
                    name: name.clone(),
                    queue: queue.clone(),
                    task,
                    tasks,
                    depth: match stand {
                        QueueStand::There(depth) => Some((depth.ready, depth.consumers)),
                        QueueStand::Missing | QueueStand::Unknown => None,
                    },
                    attempts: evidence.attempts.get(&task).copied().unwrap_or(0),
                },
            };
            Some(Wait {
                reason,
                since: first.since,
            })
        })
        .collect();
    waits.sort_by_key(|wait| (!wait.reason.needs_a_person(), wait.since));
    waits
}

fn is_said(said: &[Wait], step: &OpenStep, name: &FunctionName, queue: &QueueName) -> bool {
    said.iter().any(|wait| match &wait.reason {
        Reason::TaskParked { task, .. } => *task == step.task,
        Reason::ActivityNotHosted {
            name: of, queue: on, ..
        } => of == name && on == queue,
        _ => false,
    })
}
