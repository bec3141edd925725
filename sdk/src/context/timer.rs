//! Owns the future of a timer.
//! Never waits by itself: it resolves when the timer's firing is fed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use longhaul_shared::id::TaskId;
use longhaul_shared::time::Timestamp;

use super::misuse::{outside, polled_after_completion};
use crate::engine::machine::timer::TimerPlan;
use crate::engine::{Site, Steps};

/// A durable timer; see [`OrchestrationContext::timer`](crate::OrchestrationContext::timer).
///
/// Dropped, its firing is ignored. It panics when polled after it has resolved.
#[must_use = "a timer does nothing until it is awaited"]
pub struct Timer {
    steps: Steps,
    plan: TimerPlan,
    stage: Stage,
}

enum Stage {
    Built(Option<TaskId>),
    Waiting(TaskId),
    Done,
}

impl Timer {
    pub(super) fn new(steps: Steps, due: Timestamp, site: Site) -> Self {
        let stage = Stage::Built(steps.take_id());
        Self {
            steps,
            plan: TimerPlan { due, site },
            stage,
        }
    }

    /// When it is due.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        self.plan.due
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.steps.is_inside() {
            outside("ctx.timer()");
        }
        match this.stage {
            Stage::Built(None) => outside("ctx.timer()"),
            Stage::Built(Some(task)) => {
                this.steps.begin_timer(task, this.plan, cx);
                this.stage = Stage::Waiting(task);
                Poll::Pending
            }
            Stage::Waiting(task) => {
                let polled = this.steps.poll_timer(task, cx);
                if polled.is_ready() {
                    this.stage = Stage::Done;
                }
                polled
            }
            Stage::Done => polled_after_completion("a timer"),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Stage::Waiting(task) = self.stage {
            self.steps.abandon(task);
        }
    }
}
