//! Owns the words of an explanation: each thing that an instance can wait for, and what would unblock it.
//! Never decides which of them is the case.

use std::fmt;
use std::time::Duration;

use longhaul_shared::failure::Failure;
use longhaul_shared::id::{FunctionName, InstanceId, ParkedId, PartitionId, QueueName, TaskId, WorkerId};
use longhaul_shared::instance::Status;
use longhaul_shared::time::Timestamp;

use super::step::OpenStep;

/// Why an instance does not move, or that it has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// The hub's clock when it was looked.
    pub now: Timestamp,
    /// The instance.
    pub id: InstanceId,
    /// Its orchestration.
    pub name: FunctionName,
    /// Where it stands.
    pub status: Status,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last changed.
    pub changed: Timestamp,
    /// Why it failed, or why it was terminated.
    pub failure: Option<Failure>,
    /// Its partition.
    pub partition: PartitionId,
    /// Who owns that.
    pub owner: Owner,
    /// What it waits for; what stands in the way of everything else comes first. Empty once it has ended.
    pub waits: Vec<Wait>,
    /// Every step that is open.
    pub steps: Vec<OpenStep>,
}

/// Who owns a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Nobody.
    Nobody,
    /// A worker whose lease is running.
    Worker(WorkerId),
    /// A worker that did not renew its lease.
    Expired(WorkerId),
}

/// One thing that an instance waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    /// What.
    pub reason: Reason,
    /// Since when.
    pub since: Timestamp,
}

/// What an instance can wait for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The hub is in one process, and that does not run at the moment.
    HubAtRest,
    /// No orchestrator worker of the hub lives.
    NoOrchestratorWorker,
    /// Nobody owns its partition, though workers live.
    NoOwner {
        /// The partition.
        partition: PartitionId,
    },
    /// The lease of its partition's owner has run out.
    OwnerSilent {
        /// The partition.
        partition: PartitionId,
        /// Its owner.
        owner: WorkerId,
    },
    /// The owner of its partition does not receive.
    OwnerDeaf {
        /// The partition.
        partition: PartitionId,
        /// Its owner.
        owner: WorkerId,
    },
    /// The owner of its partition does not host its orchestration.
    OrchestrationNotHosted {
        /// The orchestration.
        name: FunctionName,
        /// The partition.
        partition: PartitionId,
        /// The living workers that host it.
        hosted_by: Vec<WorkerId>,
    },
    /// Its code cannot go on from its history.
    Paused {
        /// The error code.
        code: String,
        /// What happened, in full.
        message: String,
    },
    /// Whoever ran it died; it is parked.
    Stuck {
        /// The instance.
        id: InstanceId,
        /// The error code.
        code: String,
        /// What happened, in full.
        message: String,
    },
    /// The work item of a task is parked.
    TaskParked {
        /// Which task.
        task: TaskId,
        /// Its activity.
        name: FunctionName,
        /// The error code.
        code: String,
        /// The parked message.
        parked: ParkedId,
    },
    /// The activity workers that were asked do not host an activity.
    ActivityNotHosted {
        /// The activity.
        name: FunctionName,
        /// The queue.
        queue: QueueName,
        /// How many consumers the queue has, if that is known.
        consumers: Option<u32>,
    },
    /// Nobody serves the queue of open tasks.
    NoActivityWorker {
        /// The activity.
        name: FunctionName,
        /// The queue.
        queue: QueueName,
        /// The first of the tasks.
        task: TaskId,
        /// How many tasks.
        tasks: usize,
        /// How many messages wait in the queue, of whatever instance; `None` if the queue does not exist.
        ready: Option<u64>,
    },
    /// Work items of open tasks are not known to have reached RabbitMQ.
    NotSent {
        /// The first of the tasks.
        task: TaskId,
        /// How many tasks.
        tasks: usize,
    },
    /// Activities are in their queue, or run.
    Activity {
        /// The activity.
        name: FunctionName,
        /// The queue.
        queue: QueueName,
        /// The first of the tasks.
        task: TaskId,
        /// How many tasks.
        tasks: usize,
        /// How many messages wait in the queue and how many consumers it has, if that is known.
        depth: Option<(u64, u32)>,
        /// How often the first of them was begun by workers that may have died of it.
        attempts: u32,
    },
    /// A timer.
    Timer {
        /// Which.
        task: TaskId,
        /// When it is due.
        due: Timestamp,
        /// How long it still takes; zero if it is overdue.
        due_in: Duration,
        /// The task that had failed when it was set.
        after_failure: Option<(TaskId, FunctionName)>,
    },
    /// The owner of its partition runs a step of it itself.
    Inline {
        /// The step.
        name: FunctionName,
        /// Its task.
        task: TaskId,
    },
    /// Its next turn: something is new for it, and its owner has not come to it.
    Turn {
        /// How many messages it has not read.
        unread: usize,
    },
}

impl Reason {
    /// Whether somebody has to do something: it does not go on by itself.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::HubAtRest
            | Self::NoOrchestratorWorker
            | Self::OrchestrationNotHosted { .. }
            | Self::Paused { .. }
            | Self::Stuck { .. }
            | Self::TaskParked { .. }
            | Self::ActivityNotHosted { .. }
            | Self::NoActivityWorker { .. } => true,
            Self::NoOwner { .. }
            | Self::OwnerSilent { .. }
            | Self::OwnerDeaf { .. }
            | Self::NotSent { .. }
            | Self::Activity { .. }
            | Self::Timer { .. }
            | Self::Inline { .. }
            | Self::Turn { .. } => false,
        }
    }

    /// A short name, for programs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::HubAtRest => "hub_at_rest",
            Self::NoOrchestratorWorker => "no_orchestrator_worker",
            Self::NoOwner { .. } => "no_owner",
            Self::OwnerSilent { .. } => "owner_silent",
            Self::OwnerDeaf { .. } => "owner_deaf",
            Self::OrchestrationNotHosted { .. } => "orchestration_not_hosted",
            Self::Paused { .. } => "paused",
            Self::Stuck { .. } => "stuck",
            Self::TaskParked { .. } => "task_parked",
            Self::ActivityNotHosted { .. } => "activity_not_hosted",
            Self::NoActivityWorker { .. } => "no_activity_worker",
            Self::NotSent { .. } => "not_sent",
            Self::Activity { .. } => "activity",
            Self::Timer { .. } => "timer",
            Self::Inline { .. } => "inline_step",
            Self::Turn { .. } => "turn",
        }
    }

    /// The error code that explains it, if there is one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Paused { code, .. } | Self::Stuck { code, .. } | Self::TaskParked { code, .. } => {
                Some(code)
            }
            Self::OrchestrationNotHosted { .. } => Some("LH1108"),
            Self::ActivityNotHosted { .. } => Some("LH1301"),
            _ => None,
        }
    }

    /// What would unblock it.
    #[must_use]
    pub fn remedy(&self) -> String {
        const IF_IT_STAYS: &str = "if this stays, `longhaul doctor`";
        match self {
            Self::HubAtRest => {
                "run the program that hosts it on this directory: it goes on where it was".to_owned()
            }
            Self::NoOrchestratorWorker => {
                "start an orchestrator worker of this hub; it takes the partition within a second".to_owned()
            }
            Self::NoOwner { .. } | Self::OwnerSilent { .. } => {
                format!(
                    "a living orchestrator worker takes the partition by itself within seconds; {IF_IT_STAYS}"
                )
            }
            Self::OwnerDeaf { owner, .. } => format!(
                "worker {owner} subscribes again, or another takes over, by itself within seconds; if not, restart it"
            ),
            Self::OrchestrationNotHosted { name, hosted_by, .. } => hosting(name, hosted_by),
            Self::Paused { code, .. } => {
                format!("deploy code that can go on from its history, and it does; `longhaul explain {code}`")
            }
            Self::Stuck { id, code, .. } => format!(
                "find what ends its workers (`longhaul explain {code}`), deploy corrected code, then `longhaul parked \
                 requeue {id}`"
            ),
            Self::TaskParked { parked, code, .. } => {
                format!(
                    "remove the cause (`longhaul explain {code}`), then `longhaul parked requeue {parked}`"
                )
            }
            Self::ActivityNotHosted { name, queue, .. } => format!(
                "deploy an activity worker that registers {name} and serves queue {queue}: the task is sent again by \
                 itself"
            ),
            Self::NoActivityWorker { name, queue, .. } => {
                format!("start an activity worker that serves queue {queue} and registers {name}")
            }
            Self::NotSent { .. } => {
                format!("the owner of the partition publishes it as soon as RabbitMQ takes it; {IF_IT_STAYS}")
            }
            Self::Activity {
                depth: Some((1.., _)),
                ..
            } => "a free activity worker; if the queue keeps growing, start more of them".to_owned(),
            Self::Activity { .. } => {
                "the answer of the activity; its worker's log may tell how far it is".to_owned()
            }
            Self::Timer { due_in, .. } if due_in.is_zero() => {
                format!("the owner of the partition, which is behind; {IF_IT_STAYS}")
            }
            Self::Timer { due, .. } => format!("time: it goes on by itself at {due}"),
            Self::Inline { .. } => "the end of that step, in the orchestrator worker itself".to_owned(),
            Self::Turn { .. } => {
                format!("the owner of the partition, within about two seconds; {IF_IT_STAYS}")
            }
        }
    }

    /// What is wrong with the hub or with the instance as a whole; `None` for what is ordinary waiting.
    fn of_the_instance(&self) -> Option<String> {
        Some(match self {
            Self::HubAtRest => {
                "the program that runs this hub: none does while a command looks into its directory"
                    .to_owned()
            }
            Self::NoOrchestratorWorker => "an orchestrator worker: none of this hub is alive".to_owned(),
            Self::NoOwner { partition } => format!("an owner: nobody holds partition {partition}"),
            Self::OwnerSilent { partition, owner } => format!(
                "a new owner: the lease of partition {partition} has run out, worker {owner} did not renew it"
            ),
            Self::OwnerDeaf { partition, owner } => format!(
                "its owner: worker {owner} holds partition {partition}, and nobody receives from its control queue"
            ),
            Self::OrchestrationNotHosted {
                name,
                partition,
                hosted_by,
            } => {
                let others = match hosted_by.as_slice() {
                    [] => ", and no other that is alive does".to_owned(),
                    others => format!("; {} does", listed(others)),
                };
                format!(
                    "a worker that hosts orchestration {name}: the owner of partition {partition} does not{others}"
                )
            }
            Self::Paused { code, message } => coded("corrected code", code, message),
            Self::Stuck { code, message, .. } => coded("a person, being parked", code, message),
            Self::TaskParked { task, name, code, .. } => {
                format!("a person: the work item of activity {name} (task {task}) is parked [{code}]")
            }
            Self::ActivityNotHosted {
                name,
                queue,
                consumers,
            } => {
                let served = match consumers {
                    Some(0) => format!("nobody serves queue {queue}"),
                    Some(count) => format!("queue {queue} is served by {count}, and who was asked does not"),
                    None => format!("who was asked on queue {queue} does not"),
                };
                format!("an activity worker that hosts {name}: {served}")
            }
            Self::NoActivityWorker { .. }
            | Self::NotSent { .. }
            | Self::Activity { .. }
            | Self::Timer { .. }
            | Self::Inline { .. }
            | Self::Turn { .. } => return None,
        })
    }
}

impl fmt::Display for Reason {
    /// What it waits for; a message of several lines stays so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(told) = self.of_the_instance() {
            return f.write_str(&told);
        }
        match self {
            Self::NoActivityWorker {
                name,
                queue,
                task,
                tasks,
                ready,
            } => {
                write!(f, "activity {name} ({}): ", numbered(*task, *tasks))?;
                match ready {
                    None => write!(f, "queue {queue} does not exist yet, so nobody serves it"),
                    Some(ready) => {
                        write!(
                            f,
                            "no activity worker serves queue {queue}, in which {}",
                            messages(*ready)
                        )
                    }
                }
            }
            Self::NotSent { task, tasks } => {
                let numbered = numbered(*task, *tasks);
                write!(f, "RabbitMQ to take its work: {numbered} still in the outbox")
            }
            Self::Activity {
                name,
                queue,
                task,
                tasks,
                depth,
                attempts,
            } => {
                write!(
                    f,
                    "activity {name} ({}) on queue {queue}",
                    numbered(*task, *tasks)
                )?;
                match depth {
                    Some((0, _)) => f.write_str(": no message waits there, so it is being run")?,
                    Some((ready, consumers)) => write!(
                        f,
                        ": being run, or waiting there (messages waiting: {ready}, consumers: {consumers})"
                    )?,
                    None => {}
                }
                match attempts {
                    0 => Ok(()),
                    attempts => write!(f, "; {attempts} runs did not come to an end"),
                }
            }
            Self::Timer {
                task,
                due,
                due_in,
                after_failure,
            } => {
                match after_failure {
                    Some((failed, name)) => write!(
                        f,
                        "the next attempt of {name} (task {failed} failed): its pause, timer {task}, "
                    )?,
                    None => write!(f, "timer (task {task}), ")?,
                }
                let since = if due_in.is_zero() { "since" } else { "at" };
                write!(f, "due {since} {due}")
            }
            Self::Inline { name, task } => write!(f, "inline step {name} (task {task}), run by its owner"),
            Self::Turn { unread } if *unread > 0 => {
                write!(f, "its next turn, for which {unread} unread messages are there")
            }
            _ => f.write_str("its next turn"),
        }
    }
}

fn hosting(name: &FunctionName, hosted_by: &[WorkerId]) -> String {
    match hosted_by {
        [] => format!(
            "deploy an orchestrator worker that registers {name}, and it goes on by itself; or end the instance if \
             the name is misspelt"
        ),
        _ => format!(
            "deploy the same orchestrations on every orchestrator worker of the hub: each partition has one owner, \
             and this one's does not register {name}"
        ),
    }
}

fn coded(whom: &str, code: &str, message: &str) -> String {
    match message.contains(code) {
        true => format!("{whom}: {message}"),
        false => format!("{whom}: [{code}] {message}"),
    }
}

fn numbered(task: TaskId, tasks: usize) -> String {
    match tasks {
        1 => format!("task {task}"),
        tasks => format!("{tasks} tasks from {task} on"),
    }
}

fn messages(count: u64) -> String {
    match count {
        1 => "1 message waits".to_owned(),
        count => format!("{count} messages wait"),
    }
}

fn listed(workers: &[WorkerId]) -> String {
    let names: Vec<&str> = workers.iter().map(WorkerId::as_str).collect();
    names.join(", ")
}
