//! Owns the call of an activity: a builder that is also a future, with its attempts.
//! Never schedules by itself: it begins steps at its polls and resolves when their answers are fed.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::id::{QueueName, TaskId};
use longhaul_shared::limits;
use longhaul_shared::payload::Payload;
use longhaul_shared::retry::RetryPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::misuse::{outside, polled_after_completion, refused, step_name};
use crate::engine::machine::activity::{AfterFailure, TaskPlan, after_failure};
use crate::engine::machine::timer::TimerPlan;
use crate::engine::{Site, Steps};
use crate::error::TaskError;
use crate::value::{decode_failure, encode_failure, from_payload, to_payload};

/// A call of an activity: set its options, then await it; see
/// [`OrchestrationContext::activity`](crate::OrchestrationContext::activity).
///
/// A bad option (an invalid queue name, too many tags) is an error when awaited. Dropped after its first poll,
/// the activity still runs; its result is ignored. It panics when polled after it has resolved.
#[must_use = "a call does nothing until it is awaited"]
pub struct ActivityCall<O> {
    steps: Steps,
    name: Arc<str>,
    plan: Result<Box<TaskPlan>, Box<Failure>>,
    retry: Option<RetryPolicy>,
    /// The attempt that is on, from 1.
    attempt: u32,
    site: Site,
    stage: Stage,
    output: PhantomData<fn() -> O>,
}

/// Where the call stands. `attempt` rises on the way back from `Delayed` or `Waiting` to `Built`.
#[derive(Clone, Copy)]
enum Stage {
    /// `None` = built outside the orchestration.
    Built(Option<TaskId>),
    Waiting(TaskId),
    Delayed {
        timer: TaskId,
        then: TaskId,
    },
    Done,
}

impl<O: DeserializeOwned + 'static> ActivityCall<O> {
    pub(super) fn new<I: Serialize + 'static>(
        steps: Steps,
        name: &str,
        queue: QueueName,
        input: &I,
        site: Site,
    ) -> Self {
        let plan = step_name(name).and_then(|name| {
            let input = to_payload(input).map_err(|error| Box::new(encode_failure("the input", &error)))?;
            Ok(Box::new(TaskPlan {
                name,
                queue,
                input,
                timeout: None,
                tags: BTreeMap::new(),
                attempt: 1,
                site,
            }))
        });
        let stage = Stage::Built(steps.take_id());
        Self {
            steps,
            name: Arc::from(name),
            plan,
            retry: None,
            attempt: 1,
            site,
            stage,
            output: PhantomData,
        }
    }

    /// Tries again when the activity fails, unless its error is [`NonRetriable`](crate::NonRetriable). Every
    /// attempt is a task of its own, every delay a durable timer.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// How long one run of the activity may take; counted by the worker that runs it, the task fails when it is over.
    /// Default: as long as that worker allows, 15 minutes unless its operator says otherwise; then the run is given
    /// up and begun again, and after the sixth the task is parked.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        if let Ok(plan) = &mut self.plan {
            plan.timeout = Some(timeout);
        }
        self
    }

    /// The queue to send it to, instead of its contract's.
    pub fn queue(mut self, queue: impl AsRef<str>) -> Self {
        if let Ok(plan) = &mut self.plan {
            match QueueName::new(queue) {
                Ok(queue) => plan.queue = queue,
                Err(error) => self.plan = Err(refused(&error)),
            }
        }
        self
    }

    /// Gives the task a tag, which the activity can read; at most [`limits::TAGS_MAX`] of
    /// [`limits::TAG_BYTES_MAX`] each.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        if let Ok(plan) = &mut self.plan {
            let (key, value) = (key.into(), value.into());
            let bytes = key.len().max(value.len());
            plan.tags.insert(key, value);
            if bytes > limits::TAG_BYTES_MAX || plan.tags.len() > limits::TAGS_MAX {
                let message = format!(
                    "a task has at most {} tags (TAGS_MAX), each key and value of at most {} bytes (TAG_BYTES_MAX)",
                    limits::TAGS_MAX,
                    limits::TAG_BYTES_MAX
                );
                let failure = Failure::new(FailureKind::OverLimit, message).not_retriable();
                self.plan = Err(Box::new(failure));
            }
        }
        self
    }

    fn error(&self, attempts: u32, failure: Failure) -> TaskError {
        TaskError::new("activity", Arc::clone(&self.name), attempts, failure)
    }

    /// Waiting -> done, built or delayed. A new attempt takes its ids here, where the failure is consumed.
    fn take_answer(&mut self, answer: Result<Payload, Box<Failure>>, cx: &Context<'_>) -> Step<O> {
        let failure = match answer {
            Ok(output) => {
                let value = from_payload(output)
                    .map_err(|error| self.error(self.attempt, decode_failure("the output", &error)));
                return Step::Resolve(value);
            }
            Err(failure) => *failure,
        };
        match after_failure(self.retry.as_ref(), self.attempt, &failure) {
            AfterFailure::GiveUp => return Step::Resolve(Err(self.error(self.attempt, failure))),
            AfterFailure::TryAgain => {
                self.attempt += 1;
                self.stage = Stage::Built(self.steps.take_id());
            }
            AfterFailure::TryAgainAfter(delay) => {
                let (Some(timer), Some(then)) = (self.steps.take_id(), self.steps.take_id()) else {
                    outside("ctx.activity()")
                };
                let plan = TimerPlan {
                    due: self.steps.now().plus(delay.min(limits::TIMER_DURATION_MAX)),
                    site: self.site,
                };
                self.steps.begin_timer(timer, plan, cx);
                self.stage = Stage::Delayed { timer, then };
            }
        }
        Step::Continue
    }
}

/// Whether a call has its answer.
enum Step<O> {
    Continue,
    Resolve(Result<O, TaskError>),
}

impl<O: DeserializeOwned + 'static> Future for ActivityCall<O> {
    type Output = Result<O, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.steps.is_inside() {
            outside("ctx.activity()");
        }
        loop {
            match this.stage {
                Stage::Built(None) => outside("ctx.activity()"),
                Stage::Built(Some(task)) => match &this.plan {
                    Err(failure) => {
                        let failure = Failure::clone(failure);
                        this.stage = Stage::Done;
                        return Poll::Ready(Err(this.error(0, failure)));
                    }
                    Ok(plan) => {
                        let plan = TaskPlan {
                            attempt: this.attempt,
                            ..TaskPlan::clone(plan)
                        };
                        this.steps.begin_activity(task, plan, cx);
                        this.stage = Stage::Waiting(task);
                        return Poll::Pending;
                    }
                },
                Stage::Waiting(task) => {
                    let Poll::Ready(answer) = this.steps.poll_task(task, cx) else {
                        return Poll::Pending;
                    };
                    this.stage = Stage::Done;
                    if let Step::Resolve(value) = this.take_answer(answer, cx) {
                        return Poll::Ready(value);
                    }
                }
                Stage::Delayed { timer, then } => {
                    if this.steps.poll_timer(timer, cx).is_pending() {
                        return Poll::Pending;
                    }
                    this.attempt += 1;
                    this.stage = Stage::Built(Some(then));
                }
                Stage::Done => polled_after_completion("a call"),
            }
        }
    }
}

impl<O> Drop for ActivityCall<O> {
    fn drop(&mut self) {
        if let Stage::Waiting(task) | Stage::Delayed { timer: task, .. } = self.stage {
            self.steps.abandon(task);
        }
    }
}
