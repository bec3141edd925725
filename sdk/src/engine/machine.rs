//! Owns what all durable steps share: a step is pending until history records it, waits, is answered, is closed.
//! Never polls or wakes: it hands wakers out, for its caller to use when no lock is held.
//!
//! ```text
//! built -- first poll --> pending -- recorded --> open -- answer --> answered -- poll --> closed
//!                            |                     |                    |
//!                            +------ dropped ------+----> abandoned     +-- dropped --> closed
//! ```
//! An abandoned step is still recorded and still runs; its answer is ignored.

pub(crate) mod activity;
pub(crate) mod run;
pub(crate) mod slot;
pub(crate) mod timer;

use longhaul_shared::history::EventKind;
use longhaul_shared::id::TaskId;

use self::activity::ActivityMachine;
use self::run::RunMachine;
use self::slot::{Leftovers, WrongKind};
use self::timer::TimerMachine;
use super::action::Action;
use super::refusal::Attempted;

/// One durable step.
pub(crate) enum Machine {
    Activity(ActivityMachine),
    Timer(TimerMachine),
    Run(RunMachine),
}

impl Machine {
    /// Pending -> open: the action to record, once.
    pub(crate) fn record(&mut self, task: TaskId) -> Option<Action> {
        match self {
            Self::Activity(machine) => machine.record(task),
            Self::Timer(machine) => machine.record(task),
            Self::Run(machine) => machine.record(task),
        }
    }

    /// Whether this event records the pending step: same kind, same name.
    pub(crate) fn is_recorded_by(&self, event: &EventKind) -> bool {
        match self {
            Self::Activity(machine) => machine.is_recorded_by(event),
            Self::Timer(machine) => machine.is_recorded_by(event),
            Self::Run(machine) => machine.is_recorded_by(event),
        }
    }

    /// Waiting -> answered. The leftovers' waker is to be woken. A second answer changes nothing.
    pub(crate) fn answer(&mut self, event: &EventKind) -> Result<Leftovers, WrongKind> {
        match self {
            Self::Activity(machine) => machine.answer(event),
            Self::Timer(machine) => machine.answer(event),
            Self::Run(machine) => machine.answer(event),
        }
    }

    /// Waiting -> abandoned, answered -> closed: the author dropped the future.
    pub(crate) fn abandon(&mut self) -> Leftovers {
        match self {
            Self::Activity(machine) => machine.abandon(),
            Self::Timer(machine) => machine.abandon(),
            Self::Run(machine) => machine.abandon(),
        }
    }

    /// Whether a future waits for this step.
    pub(crate) fn is_waiting(&self) -> bool {
        match self {
            Self::Activity(machine) => machine.is_waiting(),
            Self::Timer(machine) => machine.is_waiting(),
            Self::Run(machine) => machine.is_waiting(),
        }
    }

    /// What the code attempted with this step, while it is pending.
    pub(crate) fn attempted(&self, task: TaskId) -> Option<Attempted> {
        match self {
            Self::Activity(machine) => machine.attempted(task),
            Self::Timer(machine) => machine.attempted(task),
            Self::Run(machine) => machine.attempted(task),
        }
    }
}
