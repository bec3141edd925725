//! Owns a timer as a step.
//! Never knows what time it is: its due time is computed by the call that builds it, its firing is an event.

use std::task::{Poll, Waker};

use longhaul_shared::history::EventKind;
use longhaul_shared::id::TaskId;
use longhaul_shared::time::Timestamp;

use super::slot::{Leftovers, Slot, WrongKind};
use crate::engine::action::Action;
use crate::engine::refusal::{Attempted, Site, StepKind};

/// A timer.
pub(crate) struct TimerMachine {
    plan: Option<TimerPlan>,
    slot: Slot<()>,
}

/// What is to be set.
#[derive(Clone, Copy)]
pub(crate) struct TimerPlan {
    pub(crate) due: Timestamp,
    pub(crate) site: Site,
}

impl TimerMachine {
    /// Built -> pending.
    pub(crate) fn begin(plan: TimerPlan, waker: Waker) -> Self {
        Self {
            plan: Some(plan),
            slot: Slot::Waiting(waker),
        }
    }

    /// Pending -> open.
    pub(super) fn record(&mut self, task: TaskId) -> Option<Action> {
        let TimerPlan { due, .. } = self.plan.take()?;
        Some(Action::CreateTimer { task, due })
    }

    /// Open -> answered.
    pub(super) fn answer(&mut self, event: &EventKind) -> Result<Leftovers, WrongKind> {
        match event {
            EventKind::TimerFired(_) => Ok(Leftovers {
                waker: self.slot.answer(()),
                body: None,
            }),
            _ => Err(WrongKind),
        }
    }

    /// Answered -> closed.
    pub(crate) fn poll(&mut self, waker: Waker) -> (Poll<()>, Option<Waker>) {
        self.slot.poll(waker)
    }

    /// Any -> abandoned or closed.
    pub(super) fn abandon(&mut self) -> Leftovers {
        Leftovers {
            waker: self.slot.abandon(),
            body: None,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.slot.is_waiting()
    }

    pub(super) fn is_recorded_by(&self, event: &EventKind) -> bool {
        self.plan.is_some() && matches!(event, EventKind::TimerCreated(_))
    }

    pub(super) fn attempted(&self, task: TaskId) -> Option<Attempted> {
        let plan = self.plan.as_ref()?;
        Some(Attempted::Step {
            step: StepKind::Timer,
            task,
            site: plan.site,
        })
    }
}
