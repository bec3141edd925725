//! Owns the future of an inline step.
//! Never runs the closure: it hands it to the engine at its first poll, and resolves when the result is fed.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use longhaul_shared::failure::Failure;
use longhaul_shared::id::TaskId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::misuse::{outside, polled_after_completion, step_name};
use crate::engine::machine::run::RunPlan;
use crate::engine::machine::slot::InlineBody;
use crate::engine::{Site, Steps};
use crate::error::{BoxError, TaskError, error_type_of, failure_of};
use crate::value::{decode_failure, encode_failure, from_payload, to_payload};

/// An inline step; see [`OrchestrationContext::run`](crate::OrchestrationContext::run).
///
/// Dropped before its turn has ended, its closure does not run; its result is ignored. It panics when polled
/// after it has resolved.
#[must_use = "an inline step does nothing until it is awaited"]
pub struct RunCall<T> {
    steps: Steps,
    name: Arc<str>,
    stage: Stage,
    output: PhantomData<fn() -> T>,
}

enum Stage {
    /// `None` = built outside the orchestration.
    Built(Option<TaskId>, Result<Box<Planned>, Box<Failure>>),
    Waiting(TaskId),
    Done,
}

struct Planned {
    plan: RunPlan,
    body: InlineBody,
}

impl<T: Serialize + DeserializeOwned + 'static> RunCall<T> {
    pub(super) fn new<E, F, Fut>(steps: Steps, name: &str, step: F, site: Site) -> Self
    where
        E: Into<BoxError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let body = async move {
            match step().await {
                Ok(value) => to_payload(&value).map_err(|error| encode_failure("the step's output", &error)),
                Err(error) => Err(failure_of(error.into(), error_type_of::<E>())),
            }
        };
        let planned = step_name(name).map(|name| {
            Box::new(Planned {
                plan: RunPlan { name, site },
                body: body.boxed(),
            })
        });
        let task = steps.take_id();
        Self {
            steps,
            name: Arc::from(name),
            stage: Stage::Built(task, planned),
            output: PhantomData,
        }
    }

    fn error(&self, attempts: u32, failure: Failure) -> TaskError {
        TaskError::new("inline step", Arc::clone(&self.name), attempts, failure)
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Future for RunCall<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.steps.is_inside() {
            outside("ctx.run()");
        }
        match std::mem::replace(&mut this.stage, Stage::Done) {
            Stage::Built(None, _) => outside("ctx.run()"),
            Stage::Built(Some(task), planned) => match planned {
                Err(failure) => Poll::Ready(Err(this.error(0, *failure))),
                Ok(planned) => {
                    let Planned { plan, body } = *planned;
                    this.steps.begin_run(task, plan, body, cx);
                    this.stage = Stage::Waiting(task);
                    Poll::Pending
                }
            },
            Stage::Waiting(task) => match this.steps.poll_task(task, cx) {
                Poll::Pending => {
                    this.stage = Stage::Waiting(task);
                    Poll::Pending
                }
                Poll::Ready(Ok(output)) => Poll::Ready(
                    from_payload(output)
                        .map_err(|error| this.error(1, decode_failure("the recorded output", &error))),
                ),
                Poll::Ready(Err(failure)) => Poll::Ready(Err(this.error(1, *failure))),
            },
            Stage::Done => polled_after_completion("an inline step"),
        }
    }
}

impl<T> Drop for RunCall<T> {
    fn drop(&mut self) {
        if let Stage::Waiting(task) = self.stage {
            self.steps.abandon(task);
        }
    }
}
