//! Owns an activity task as a step, and the choice between trying again and giving up.
//! Never waits: the delay before another attempt is a timer like any other, its attempt a new task.

use std::collections::BTreeMap;
use std::task::{Poll, Waker};
use std::time::Duration;

use longhaul_shared::failure::Failure;
use longhaul_shared::history::{EventKind, Place};
use longhaul_shared::id::{Fingerprint, FunctionName, QueueName, TaskId};
use longhaul_shared::payload::Payload;
use longhaul_shared::retry::RetryPolicy;

use super::slot::{Leftovers, Slot, WrongKind};
use crate::engine::action::Action;
use crate::engine::refusal::{Attempted, Site, StepKind};

/// What an answered task says. The failure is boxed: a session keeps one of these for each step of its history.
pub(crate) type TaskAnswer = Result<Payload, Box<Failure>>;

/// An activity task.
pub(crate) struct ActivityMachine {
    plan: Option<Box<TaskPlan>>,
    slot: Slot<TaskAnswer>,
}

/// What is to be scheduled.
#[derive(Clone)]
pub(crate) struct TaskPlan {
    pub(crate) name: FunctionName,
    pub(crate) queue: QueueName,
    pub(crate) input: Payload,
    pub(crate) timeout: Option<Duration>,
    pub(crate) tags: BTreeMap<String, String>,
    /// From 1.
    pub(crate) attempt: u32,
    pub(crate) site: Site,
}

impl ActivityMachine {
    /// Built -> pending.
    pub(crate) fn begin(plan: TaskPlan, waker: Waker) -> Self {
        Self {
            plan: Some(Box::new(plan)),
            slot: Slot::Waiting(waker),
        }
    }

    /// Pending -> open.
    pub(super) fn record(&mut self, task: TaskId) -> Option<Action> {
        let plan = *self.plan.take()?;
        let parts: [&[u8]; 3] = [b"activity", plan.name.as_str().as_bytes(), &plan.input.data];
        Some(Action::ScheduleTask {
            task,
            fingerprint: Fingerprint::of(&parts),
            name: plan.name,
            place: Place::Queue(plan.queue),
            input: Some(plan.input),
            timeout: plan.timeout,
            tags: plan.tags,
            attempt: plan.attempt,
        })
    }

    /// Open -> answered.
    pub(super) fn answer(&mut self, event: &EventKind) -> Result<Leftovers, WrongKind> {
        Ok(Leftovers {
            waker: self.slot.answer(task_answer(event)?),
            body: None,
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
            body: None,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.slot.is_waiting()
    }

    pub(super) fn is_recorded_by(&self, event: &EventKind) -> bool {
        let (Some(plan), EventKind::TaskScheduled(recorded)) = (&self.plan, event) else {
            return false;
        };
        matches!(recorded.place, Place::Queue(_)) && recorded.name == plan.name
    }

    pub(super) fn attempted(&self, task: TaskId) -> Option<Attempted> {
        let plan = self.plan.as_deref()?;
        Some(Attempted::Step {
            step: StepKind::Activity(plan.name.clone()),
            task,
            site: plan.site,
        })
    }
}

/// What a task's completion or failure says.
pub(super) fn task_answer(event: &EventKind) -> Result<TaskAnswer, WrongKind> {
    match event {
        EventKind::TaskCompleted(completed) => Ok(Ok(completed.output.clone())),
        EventKind::TaskFailed(failed) => Ok(Err(Box::new(failed.failure.clone()))),
        _ => Err(WrongKind),
    }
}

/// What follows a failed attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// The failure is the answer.
    GiveUp,
    /// A new task, at once.
    TryAgain,
    /// A new task after a timer.
    TryAgainAfter(Duration),
}

/// Decides what follows attempt number `attempt` (from 1).
pub(crate) fn after_failure(policy: Option<&RetryPolicy>, attempt: u32, failure: &Failure) -> AfterFailure {
    if failure.non_retriable {
        return AfterFailure::GiveUp;
    }
    match policy.and_then(|policy| policy.delay_after(attempt)) {
        None => AfterFailure::GiveUp,
        Some(Duration::ZERO) => AfterFailure::TryAgain,
        Some(delay) => AfterFailure::TryAgainAfter(delay),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_shared::failure::FailureKind;

    use super::*;

    #[test]
    fn a_failure_is_tried_again_as_its_policy_says() {
        let failure = Failure::new(FailureKind::Application, "no");
        let fixed = |delay| RetryPolicy::fixed(2, Duration::from_secs(delay));
        let check = |policy: Option<RetryPolicy>, attempt, failure: &Failure, then| {
            assert_eq!(after_failure(policy.as_ref(), attempt, failure), then);
        };
        check(None, 1, &failure, AfterFailure::GiveUp);
        check(
            Some(fixed(5)),
            1,
            &failure,
            AfterFailure::TryAgainAfter(Duration::from_secs(5)),
        );
        check(Some(fixed(0)), 1, &failure, AfterFailure::TryAgain);
        check(Some(fixed(5)), 2, &failure, AfterFailure::GiveUp);
        check(Some(fixed(5)), 1, &failure.not_retriable(), AfterFailure::GiveUp);
    }
}
