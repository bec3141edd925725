//! Owns what both ports tell those who look after a system: counts, depths, and what a server says of itself.
//! Never steers anything: loops decide by what the other methods answer.

use std::time::Duration;

use crate::instance::Status;
use crate::time::Timestamp;

use super::era::StoreRun;

/// How a partition stands. See [`Store::census`](super::Store::census).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// How many instances there are in each status.
    pub by_status: StatusCounts,
    /// How many instances have been due to be looked at for at least the age that was asked for.
    pub ready_overdue: u64,
    /// How long the one that has waited longest has been due, however short; `None` while none is due.
    pub ready_oldest: Option<Duration>,
    /// How many committed messages are not known to be confirmed.
    pub outbox: u64,
    /// How many timers are set, due ones included.
    pub timers: u64,
    /// When the first of them is or was due.
    pub next_timer: Option<Timestamp>,
}

/// A number for each status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StatusCounts {
    /// See [`Status::Pending`].
    pub pending: u64,
    /// See [`Status::Running`].
    pub running: u64,
    /// See [`Status::Completed`].
    pub completed: u64,
    /// See [`Status::Failed`].
    pub failed: u64,
    /// See [`Status::Terminated`].
    pub terminated: u64,
}

impl StatusCounts {
    /// The number of this status.
    #[must_use]
    pub const fn of(&self, status: Status) -> u64 {
        match status {
            Status::Pending => self.pending,
            Status::Running => self.running,
            Status::Completed => self.completed,
            Status::Failed => self.failed,
            Status::Terminated => self.terminated,
        }
    }

    /// The number of this status, to be changed.
    pub const fn of_mut(&mut self, status: Status) -> &mut u64 {
        match status {
            Status::Pending => &mut self.pending,
            Status::Running => &mut self.running,
            Status::Completed => &mut self.completed,
            Status::Failed => &mut self.failed,
            Status::Terminated => &mut self.terminated,
        }
    }
}

/// What a store says of itself. What it has none of, or does not tell, is `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreCondition {
    /// What it is: `redis`, `valkey`, `embedded`, `memory`, `simulated`.
    pub kind: &'static str,
    /// Its version, as it writes it.
    pub version: Option<String>,
    /// Its run, as a pulse tells it.
    pub run: StoreRun,
    /// How much memory its data takes, in bytes.
    pub memory_used_bytes: Option<u64>,
    /// How much it may take, in bytes; `None` if there is no bound.
    pub memory_max_bytes: Option<u64>,
    /// Whether it takes changes itself.
    pub role: Option<StoreRole>,
    /// How many servers follow it at this moment.
    pub replicas: u32,
    /// The settings that decide whether it keeps what it accepts.
    pub persistence: Persistence,
    /// Whether its last write to disk succeeded.
    pub is_last_write_ok: Option<bool>,
}

impl StoreCondition {
    /// The share of its memory that is taken, from 0 to about 1; `None` without a bound.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share needs no more than three digits"
    )]
    pub fn memory_ratio(&self) -> Option<f64> {
        let (used, max) = (self.memory_used_bytes?, self.memory_max_bytes?);
        (max > 0).then(|| used as f64 / max as f64)
    }
}

/// Whether a server takes changes or follows one that does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StoreRole {
    /// It takes changes.
    Primary,
    /// It only follows.
    Replica,
}

impl StoreRole {
    /// The name that people see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

/// Settings in the server's own words; `None` where it has no such setting, or does not show it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Persistence {
    /// Whether it keeps a log of all changes: `yes` or `no`.
    pub appendonly: Option<String>,
    /// When that log is synced: `always`, `everysec`, `no`.
    pub appendfsync: Option<String>,
    /// What it drops when its memory is full; `noeviction` is the only safe one.
    pub eviction: Option<String>,
}

/// How a queue stands. See [`Broker::depth`](super::Broker::depth).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Depth {
    /// How many messages wait to be handed out; those handed out and not acknowledged are left out.
    pub ready: u64,
    /// How many consumers it has, on whatever connection.
    pub consumers: u32,
}

/// How the way to the broker stands, as far as this program knows without asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerCondition {
    /// What it is: `rabbitmq`, `embedded`, `simulated`.
    pub kind: &'static str,
    /// Its version, as it writes it; `None` if it was not told.
    pub version: Option<String>,
    /// Whether this program can publish and receive.
    pub is_connected: bool,
    /// Whether it takes no messages at the moment, being short of memory or disk.
    pub is_blocked: bool,
    /// How many messages this program has handed over of which it is not known yet what became of them.
    pub unconfirmed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_number_of_its_own() {
        let mut counts = StatusCounts::default();
        for (status, number) in Status::ALL.into_iter().zip(1..) {
            *counts.of_mut(status) = number;
        }
        let told = Status::ALL.map(|status| counts.of(status));
        assert_eq!(told, [1, 2, 3, 4, 5]);
    }
}
