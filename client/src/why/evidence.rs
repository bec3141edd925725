//! Owns what is known of an instance and its surroundings at one moment: all that an explanation is made from.
//! Never reads anything itself.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_shared::history::HistoryEvent;
use longhaul_shared::id::{PartitionId, QueueName, TaskId};
use longhaul_shared::instance::InstanceRow;
use longhaul_shared::port::{Depth, HeldLease, WorkerRow};
use longhaul_shared::time::Timestamp;

/// What is known of an instance and its surroundings.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The hub's clock.
    pub now: Timestamp,
    /// The instance's row.
    pub row: InstanceRow,
    /// How many messages it has not read.
    pub unread: usize,
    /// Its history.
    pub history: Vec<HistoryEvent>,
    /// Its partition.
    pub partition: PartitionId,
    /// Whether the hub is in one process, and that does not run: then its queues say nothing.
    pub is_at_rest: bool,
    /// Who holds the partition.
    pub lease: Option<HeldLease>,
    /// The orchestrator workers that live.
    pub workers: Vec<WorkerRow>,
    /// How the control queue of its partition stands. An answer that nobody receives from it must have been given twice.
    pub control: QueueStand,
    /// How the task queues stand on which it has open tasks.
    pub queues: BTreeMap<QueueName, QueueStand>,
    /// Its open tasks whose work items are in the outbox: not known to have reached RabbitMQ.
    pub unsent: BTreeSet<TaskId>,
    /// How often an open task was begun by workers that may have died of it; absent if never.
    pub attempts: BTreeMap<TaskId, u32>,
}

/// How a queue stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueStand {
    /// It could not be asked.
    Unknown,
    /// It does not exist.
    Missing,
    /// It exists.
    There(Depth),
}

impl QueueStand {
    /// Whether it is known that nobody receives from it.
    #[must_use]
    pub fn is_deserted(self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Missing => true,
            Self::There(depth) => depth.consumers == 0,
        }
    }
}
