//! Owns a session: an orchestration's paused future, and the feeding of its history to it, one event at a time.
//! Never decides for the author: it delivers answers, polls, and compares what comes with what was recorded.
//!
//! In history a turn is: its start, what came in, the actions it led to, its end. In a live turn the session is
//! given the first two and returns the third; the host writes all four.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use longhaul_shared::failure::{Failure, FailureKind, panic_text};
use longhaul_shared::history::{EventKind, ExecutionCompleted, ExecutionStarted, HistoryEvent};
use longhaul_shared::id::{EventSeq, ExecutionKey, TaskId};
use longhaul_shared::instance::Status;
use longhaul_shared::limits;
use longhaul_shared::payload::Payload;

use super::action::Action;
use super::function::OrchestrationFunction;
use super::mute::muted;
use super::refusal::{Attempted, EventName, Mismatch, NotDurable, Recorded, Refusal};
use super::steps::{Answered, Steps};

type Outcome = Result<Payload, Failure>;

/// One execution, paused between its turns. Dropping it loses nothing: history brings it back.
///
/// After a refusal it is dead: every further call repeats the refusal.
pub struct Session {
    function: Arc<dyn OrchestrationFunction>,
    steps: Steps,
    waker: Waker,
    future: Option<BoxFuture<'static, Outcome>>,
    /// What the future returned, until that is recorded.
    outcome: Option<Outcome>,
    /// Whether `ExecutionStarted` was fed.
    started: bool,
    /// How many events were fed or returned as actions.
    seq: EventSeq,
    phase: Phase,
}

enum Phase {
    /// Nothing has been fed.
    Fresh,
    /// A turn has begun.
    Turn,
    /// The last turn has ended.
    Between,
    /// The execution has ended and that is recorded.
    Ended,
    /// See [`Session`].
    Dead(Box<Refusal>),
}

impl Session {
    /// The session of an execution of which nothing has happened yet. Its history is fed with
    /// [`replay`](Self::replay), what is new with [`turn`](Self::turn).
    #[must_use]
    pub fn open(function: &Arc<dyn OrchestrationFunction>, key: ExecutionKey) -> Self {
        let steps = Steps::new(key);
        Self {
            function: Arc::clone(function),
            waker: steps.signal().waker(),
            steps,
            future: None,
            outcome: None,
            started: false,
            seq: EventSeq(0),
            phase: Phase::Fresh,
        }
    }

    /// Feeds committed events, in order; may be called again with those that follow. While it runs, the author's
    /// `tracing` is muted and [`OrchestrationContext::is_replaying`](crate::OrchestrationContext::is_replaying).
    ///
    /// # Errors
    /// [`Refusal`] when the code does not take the steps that history recorded, or cannot go on.
    pub fn replay(&mut self, past: &[HistoryEvent]) -> Result<(), Refusal> {
        self.alive(|session| {
            session.steps.set_replaying(true);
            let fed = muted(|| past.iter().try_for_each(|event| session.feed(event)));
            session.steps.set_replaying(false);
            fed
        })
    }

    /// Feeds the events that are new, the first of which is `OrchestratorStarted`, and returns every action that
    /// history does not hold yet, by task id, [`Action::Complete`] last. They count as recorded from now on: the
    /// host commits the new events, the actions' events and `OrchestratorCompleted`, or drops the session.
    ///
    /// After `ExecutionTerminated` there are no actions: the host ends the execution.
    ///
    /// # Errors
    /// [`Refusal`] when the code cannot go on; then nothing of the turn is to be committed.
    pub fn turn(&mut self, new: &[HistoryEvent]) -> Result<Vec<Action>, Refusal> {
        self.alive(|session| {
            session.refuse_unless_inbound(new)?;
            for event in new {
                if !session.is_finished() {
                    session.feed(event)?;
                }
            }
            if new.is_empty() || session.is_finished() {
                return Ok(Vec::new());
            }
            session.refuse_if_stuck()?;
            Ok(session.conclude())
        })
    }

    /// The closure of a recorded inline step, once. `None` if it was taken, answered or dropped by its author, or
    /// if the task is not an inline step. It runs anywhere, and its result comes back as an event.
    pub fn take_inline(&mut self, task: TaskId) -> Option<BoxFuture<'static, Outcome>> {
        self.steps.take_inline(task)
    }

    /// Whether the execution has ended: [`Action::Complete`] was returned, or history holds the end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Runs a step of a living session; a refusal ends its life.
    fn alive<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        if let Phase::Dead(refusal) = &self.phase {
            return Err(Refusal::clone(refusal));
        }
        step(self).inspect_err(|refusal| {
            self.phase = Phase::Dead(Box::new(refusal.clone()));
            self.release();
        })
    }

    fn feed(&mut self, event: &HistoryEvent) -> Result<(), Refusal> {
        self.seq = self.seq.plus(1);
        let kind = &event.kind;
        if let EventKind::Unknown(code) = kind {
            return Err(Refusal::UnknownEvent {
                code: *code,
                seq: self.seq,
            });
        }
        match (&self.phase, kind) {
            // A turn that ends the execution may have been told of answers too.
            (
                Phase::Ended,
                EventKind::TaskCompleted(_)
                | EventKind::TaskFailed(_)
                | EventKind::TimerFired(_)
                | EventKind::ExecutionTerminated(_)
                | EventKind::ExecutionCompleted(_)
                | EventKind::OrchestratorCompleted,
            ) => return Ok(()),
            (Phase::Ended, _) => return Err(self.malformed(kind, "the execution had ended before")),
            (_, EventKind::OrchestratorStarted) => {
                // The turn before may lack its end: then it was committed in part, and what is left of it is
                // still pending.
                self.steps.begin_turn(event.time);
                self.phase = Phase::Turn;
                return Ok(());
            }
            (Phase::Turn, _) => {}
            _ => return Err(self.malformed(kind, "a turn begins with OrchestratorStarted")),
        }
        match (kind, self.started) {
            (EventKind::ExecutionStarted(_), true) => {
                Err(self.malformed(kind, "the execution had begun before"))
            }
            (EventKind::ExecutionStarted(body), false) => self.start(kind, body),
            (_, false) => Err(self.malformed(kind, "an execution begins with ExecutionStarted")),
            (EventKind::TaskCompleted(_) | EventKind::TaskFailed(_) | EventKind::TimerFired(_), true) => {
                self.answer(kind)
            }
            (EventKind::TaskScheduled(_) | EventKind::TimerCreated(_), true) => self.meet(kind),
            (EventKind::ExecutionTerminated(_), true) => {
                self.end();
                Ok(())
            }
            (EventKind::ExecutionCompleted(body), true) => self.meet_end(kind, body),
            (EventKind::OrchestratorCompleted, true) => self.end_turn(kind),
            (EventKind::OrchestratorStarted | EventKind::Unknown(_), true) => Ok(()),
        }
    }

    fn start(&mut self, kind: &EventKind, started: &ExecutionStarted) -> Result<(), Refusal> {
        if started.name != *self.function.name() {
            return Err(self.malformed(kind, "it names another orchestration than the one given"));
        }
        self.started = true;
        let (function, steps) = (Arc::clone(&self.function), self.steps.clone());
        let input = started.input.clone();
        let future = self.guarded(|_| function.start(steps, input))?;
        self.future = Some(future);
        self.steps.signal().set_woken();
        self.poll_until_quiet()
    }

    fn answer(&mut self, kind: &EventKind) -> Result<(), Refusal> {
        let Some(task) = kind.task() else { return Ok(()) };
        let steps = self.steps.clone();
        match self.guarded(|_| steps.answer(task, kind))? {
            Answered::Taken => self.poll_until_quiet(),
            Answered::Unmet => {
                let attempted = self.steps.attempted(task).or_else(|| self.returned());
                Err(self.mismatch(kind, attempted))
            }
        }
    }

    fn meet(&mut self, kind: &EventKind) -> Result<(), Refusal> {
        let Some(task) = kind.task() else { return Ok(()) };
        self.steps.meet(task, kind).map_err(|attempted| {
            let attempted = attempted.or_else(|| self.returned());
            self.mismatch(kind, attempted)
        })
    }

    /// A host may fail an execution for reasons of its own, e.g. an over-long history: only an end that the
    /// author's code decided is compared.
    fn meet_end(&mut self, kind: &EventKind, recorded: &ExecutionCompleted) -> Result<(), Refusal> {
        let agreed = match (recorded.status, &self.outcome) {
            (Status::Completed, Some(Ok(_))) => self.steps.first_pending().is_none(),
            (Status::Completed, _) => false,
            (_, Some(Ok(_))) => !recorded.failure.as_ref().is_some_and(is_by_author),
            (_, _) => true,
        };
        if !agreed {
            let attempted = self.steps.first_pending().or_else(|| self.returned());
            return Err(self.mismatch(kind, attempted));
        }
        self.end();
        Ok(())
    }

    fn end_turn(&mut self, kind: &EventKind) -> Result<(), Refusal> {
        if let Some(attempted) = self.steps.first_pending().or_else(|| self.returned()) {
            return Err(self.mismatch(kind, Some(attempted)));
        }
        self.refuse_if_stuck()?;
        self.phase = Phase::Between;
        Ok(())
    }

    /// Hands out what is not recorded, and counts it and the turn's end as fed.
    fn conclude(&mut self) -> Vec<Action> {
        let mut actions = self.steps.take_actions();
        self.phase = Phase::Between;
        if let Some(outcome) = self.outcome.take() {
            actions.push(Action::Complete { outcome });
            self.end();
        }
        self.seq = self.seq.plus(actions.len() as u64 + 1);
        actions
    }

    /// Polls as long as the future is woken during its own poll, which is how combinators yield.
    fn poll_until_quiet(&mut self) -> Result<(), Refusal> {
        let mut idle_polls = 0;
        while self.future.is_some() && self.steps.signal().take_woken() {
            let begun = self.steps.begun();
            let polled = self.guarded(|session| match &mut session.future {
                Some(future) => future.as_mut().poll(&mut Context::from_waker(&session.waker)),
                None => Poll::Pending,
            })?;
            if let Poll::Ready(outcome) = polled {
                self.guarded(|session| session.future = None)?;
                self.outcome = Some(outcome);
            }
            if self.steps.is_over_limit() {
                return Err(Refusal::TooManyActions {
                    last_step: self.steps.last_step(),
                });
            }
            self.refuse_foreign_wake()?;
            idle_polls = if self.steps.begun() > begun {
                0
            } else {
                idle_polls + 1
            };
            if idle_polls > limits::IDLE_POLLS_MAX {
                return Err(self.not_durable(NotDurable::Spinning));
            }
        }
        self.refuse_foreign_wake()
    }

    fn refuse_foreign_wake(&self) -> Result<(), Refusal> {
        if self.steps.signal().is_foreign() {
            return Err(self.not_durable(NotDurable::ForeignWake));
        }
        Ok(())
    }

    /// A future that waits for no step can never be answered.
    fn refuse_if_stuck(&self) -> Result<(), Refusal> {
        self.refuse_foreign_wake()?;
        if self.future.is_some() && !self.steps.is_waiting() {
            return Err(self.not_durable(NotDurable::NothingOpen));
        }
        Ok(())
    }

    /// A live turn is told what came in; what it leads to is its own.
    fn refuse_unless_inbound(&self, new: &[HistoryEvent]) -> Result<(), Refusal> {
        let mut seq = self.seq;
        for (place, HistoryEvent { kind, .. }) in new.iter().enumerate() {
            seq = seq.plus(1);
            let reason = match kind {
                EventKind::OrchestratorStarted if place > 0 => "a live turn begins only once",
                EventKind::OrchestratorStarted => continue,
                _ if place == 0 => "a live turn begins with OrchestratorStarted",
                EventKind::TaskScheduled(_)
                | EventKind::TimerCreated(_)
                | EventKind::ExecutionCompleted(_)
                | EventKind::OrchestratorCompleted => "a live turn decides it and cannot be told",
                _ => continue,
            };
            return Err(Refusal::Malformed {
                event: EventName::of(kind),
                seq,
                reason,
            });
        }
        Ok(())
    }

    /// Runs an author's code: on this thread wakes are now the session's own, and a panic is a refusal.
    fn guarded<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> Result<T, Refusal> {
        let _inside = self.steps.signal().enter();
        catch_unwind(AssertUnwindSafe(|| run(self))).map_err(|panic| self.panicked(&*panic))
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.release();
    }

    /// Drops whatever belongs to the author. A destructor that panics changes nothing any more.
    fn release(&mut self) {
        self.outcome = None;
        let _ = self.guarded(|session| session.future = None);
        let _ = self.guarded(|session| session.steps.clear());
    }

    fn returned(&self) -> Option<Attempted> {
        self.outcome.as_ref().map(|outcome| Attempted::Return {
            failed: outcome.is_err(),
        })
    }

    fn mismatch(&self, kind: &EventKind, attempted: Option<Attempted>) -> Refusal {
        Refusal::Mismatch(Box::new(Mismatch {
            recorded: Recorded::of(kind, self.seq),
            attempted,
            last_step: self.steps.last_step(),
        }))
    }

    fn malformed(&self, kind: &EventKind, reason: &'static str) -> Refusal {
        Refusal::Malformed {
            event: EventName::of(kind),
            seq: self.seq,
            reason,
        }
    }

    fn not_durable(&self, how: NotDurable) -> Refusal {
        Refusal::NotDurable {
            how,
            last_step: self.steps.last_step(),
        }
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Refusal {
        let message = panic_text(panic).unwrap_or("(not a text)").to_owned();
        if is_about_a_missing_runtime(&message) {
            return self.not_durable(NotDurable::RuntimeMissing { message });
        }
        Refusal::Panicked {
            message,
            seq: self.seq,
            last_step: self.steps.last_step(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("function", self.function.name())
            .field("key", self.steps.key())
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

/// Whether the author's code, rather than its host, decided on this failure.
fn is_by_author(failure: &Failure) -> bool {
    failure.kind == FailureKind::Application
}

/// What Rust's usual async runtime says when its timers or sockets are used where it does not run.
fn is_about_a_missing_runtime(message: &str) -> bool {
    message.contains("there is no reactor running") || message.contains("Tokio 1.x context")
}
