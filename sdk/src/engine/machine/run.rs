//! Owns an inline step: a closure that the orchestrator worker runs itself, its result an event like any other.
//! Never runs the closure: the host takes it, once, after the commit that records the step.

use std::collections::BTreeMap;
use std::task::{Poll, Waker};

use longhaul_shared::history::{EventKind, Place};
use longhaul_shared::id::{Fingerprint, FunctionName, TaskId};

use super::activity::{TaskAnswer, task_answer};
use super::slot::{InlineBody, Leftovers, Slot, WrongKind};
use crate::engine::action::Action;
use crate::engine::refusal::{Attempted, Site, StepKind};

/// An inline step.
pub(crate) struct RunMachine {
    plan: Option<RunPlan>,
    body: Option<InlineBody>,
    slot: Slot<TaskAnswer>,
}

/// What is to be run.
#[derive(Clone)]
pub(crate) struct RunPlan {
    pub(crate) name: FunctionName,
    pub(crate) site: Site,
}

impl RunMachine {
    /// Built -> pending.
    pub(crate) fn begin(plan: RunPlan, body: InlineBody, waker: Waker) -> Self {
        Self {
            plan: Some(plan),
            body: Some(body),
            slot: Slot::Waiting(waker),
        }
    }

    /// Pending -> open.
    pub(super) fn record(&mut self, task: TaskId) -> Option<Action> {
        let RunPlan { name, .. } = self.plan.take()?;
        Some(Action::ScheduleTask {
            task,
            fingerprint: Fingerprint::of(&[b"run", name.as_str().as_bytes(), b""]),
            name,
            place: Place::Inline,
            input: None,
            timeout: None,
            tags: BTreeMap::new(),
            attempt: 1,
        })
    }

    /// Hands the closure to the host.
    pub(crate) fn take_body(&mut self) -> Option<InlineBody> {
        self.body.take()
    }

    /// Open -> answered.
    pub(super) fn answer(&mut self, event: &EventKind) -> Result<Leftovers, WrongKind> {
        Ok(Leftovers {
            waker: self.slot.answer(task_answer(event)?),
            body: self.body.take(),
        })
    }

    /// Answered -> closed.
    pub(crate) fn poll(&mut self, waker: Waker) -> (Poll<TaskAnswer>, Option<Waker>) {
        self.slot.poll(waker)
    }

    /// Any -> abandoned or closed.
    pub(super) fn abandon(&mut self) -> Leftovers {
        Leftovers {
            waker: self.slot.abandon(),
            body: self.body.take(),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.slot.is_waiting()
    }

    pub(super) fn is_recorded_by(&self, event: &EventKind) -> bool {
        let (Some(plan), EventKind::TaskScheduled(recorded)) = (&self.plan, event) else {
            return false;
        };
        recorded.place == Place::Inline && recorded.name == plan.name
    }

    pub(super) fn attempted(&self, task: TaskId) -> Option<Attempted> {
        let plan = self.plan.as_ref()?;
        Some(Attempted::Step {
            step: StepKind::Run(plan.name.clone()),
            task,
            site: plan.site,
        })
    }
}
