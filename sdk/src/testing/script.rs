//! Owns the script: an orchestration run from start to end in memory, its activities answered on the spot.
//! Never waits: when nothing else is left to happen, the clock jumps to the next timer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longhaul_shared::failure::Failure;
use longhaul_shared::history::{
    EventKind, ExecutionStarted, HistoryEvent, Place, TaskCompleted, TaskFailed, TimerFired,
};
use longhaul_shared::id::{Dispatch, FunctionName, InvalidId, StartId, TaskId};
use longhaul_shared::payload::{DecodeError, EncodeError, Payload};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{activity_info, replay, sample_key};
use crate::context::{Cancellation, OrchestrationContext};
use crate::contract::{Activity, Orchestration};
use crate::engine::{Action, OrchestrationFunction, Refusal, Session};
use crate::error::{BoxError, OrchestrationError};
use crate::registry::{ActivityRegistry, OrchestrationRegistry, RegisterError};
use crate::value::{from_payload, to_payload};

/// Runs an orchestration in memory.
///
/// ```
/// # futures::executor::block_on(async {
/// use longhaul_sdk::testing::Script;
/// use longhaul_sdk::{Activity, Orchestration, OrchestrationContext, OrchestrationError};
/// use std::time::Duration;
///
/// const GREET: Activity<String, String> = Activity::new("greet");
/// const HELLO: Orchestration<String, String> = Orchestration::new("hello");
///
/// async fn hello(ctx: OrchestrationContext, name: String) -> Result<String, OrchestrationError> {
///     ctx.timer(Duration::from_secs(30 * 24 * 3600)).await;
///     Ok(ctx.activity(GREET, name).await?)
/// }
///
/// let ended = Script::new(HELLO, hello)
///     .answer(GREET, |name| Ok::<_, String>(format!("Hello {name}")))
///     .run("Ada".to_owned())
///     .await
///     .unwrap();
/// assert_eq!(ended.outcome.unwrap(), "Hello Ada");
/// # });
/// ```
#[must_use = "a script does nothing until it is run"]
pub struct Script<I, O> {
    contract: Orchestration<I, O>,
    orchestrations: OrchestrationRegistry,
    activities: ActivityRegistry,
    error: Option<RegisterError>,
    cold: bool,
}

/// How a script ended.
#[derive(Debug)]
pub struct Ended<O> {
    /// What the orchestration returned.
    pub outcome: Result<O, Failure>,
    /// What was recorded: fit for [`replay`].
    pub history: Vec<HistoryEvent>,
}

/// Why a script could not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The engine refuses to go on.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The orchestration called an activity that the script does not know.
    #[error("the activity {0:?} was called, and the script has no answer to it")]
    Unanswered(FunctionName),
    /// The orchestration waits and nothing is left to happen.
    #[error("the orchestration waits, and nothing is left to happen")]
    Waiting,
    /// A function could not be registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The input cannot be encoded.
    #[error(transparent)]
    Input(#[from] EncodeError),
    /// The output cannot be read.
    #[error(transparent)]
    Output(#[from] DecodeError),
    /// An id is not valid.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

impl<I, O> Script<I, O>
where
    I: Serialize + DeserializeOwned + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    /// A script of this orchestration, without any activities yet.
    pub fn new<F, Fut>(contract: Orchestration<I, O>, function: F) -> Self
    where
        F: Fn(OrchestrationContext, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, OrchestrationError>> + Send + 'static,
    {
        let mut orchestrations = OrchestrationRegistry::new();
        let error = orchestrations.try_register(contract, function).err();
        Self {
            contract,
            orchestrations,
            activities: ActivityRegistry::new(),
            error,
            cold: false,
        }
    }

    /// Runs the activities of this registry, instead of any answers given so far.
    pub fn activities(mut self, activities: ActivityRegistry) -> Self {
        self.activities = activities;
        self
    }

    /// Answers an activity with what this closure returns.
    pub fn answer<A, B, E, F>(mut self, activity: Activity<A, B>, answer: F) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        B: Serialize + Send + 'static,
        E: Into<BoxError> + Send + 'static,
        F: FnMut(A) -> Result<B, E> + Send + 'static,
    {
        let answer = Mutex::new(answer);
        let registered = self.activities.try_register(activity, move |_ctx, input| {
            let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
            std::future::ready((*answer)(input))
        });
        self.error = self.error.or(registered.err());
        self
    }

    /// Replays the whole history before every turn, as after a crash between any two turns.
    pub fn cold(mut self) -> Self {
        self.cold = true;
        self
    }

    /// Runs it to its end, then checks that what was recorded replays.
    ///
    /// # Errors
    /// [`ScriptError`]; an orchestration that returns an error has ended, and is none.
    pub async fn run(mut self, input: I) -> Result<Ended<O>, ScriptError> {
        if let Some(error) = self.error.take() {
            return Err(error.into());
        }
        let name = self.contract.function_name();
        let Some(function) = self.orchestrations.get(&name) else {
            return Err(ScriptError::Unanswered(name));
        };
        let started = EventKind::ExecutionStarted(ExecutionStarted {
            name,
            version: None,
            input: to_payload(&input)?,
            start_id: StartId::new("testing")?,
            tags: BTreeMap::new(),
            trace: TraceContext::default(),
        });
        let mut play = Play::new(&function, &self.activities, self.cold);
        let mut inbound = vec![started];
        let outcome = loop {
            if let Some(outcome) = play.turn(inbound)? {
                break outcome;
            }
            inbound = play.next_events().await?;
        };
        replay(&function, sample_key(), &play.history)?;
        Ok(Ended {
            outcome: match outcome {
                Ok(output) => Ok(from_payload(output)?),
                Err(failure) => Err(failure),
            },
            history: play.history,
        })
    }
}

impl<I, O> fmt::Debug for Script<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("contract", &self.contract)
            .field("activities", &self.activities)
            .finish_non_exhaustive()
    }
}

/// A script while it runs: what is recorded, and what is open.
struct Play<'a> {
    function: &'a Arc<dyn OrchestrationFunction>,
    activities: &'a ActivityRegistry,
    cold: bool,
    session: Session,
    now: Timestamp,
    history: Vec<HistoryEvent>,
    tasks: Vec<(TaskId, FunctionName, Payload)>,
    inline: Vec<TaskId>,
    timers: BTreeSet<(Timestamp, TaskId)>,
}

impl<'a> Play<'a> {
    /// When every script begins: 2026-01-01.
    const BEGINNING: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    fn new(
        function: &'a Arc<dyn OrchestrationFunction>,
        activities: &'a ActivityRegistry,
        cold: bool,
    ) -> Self {
        Self {
            function,
            activities,
            cold,
            session: Session::open(function, sample_key()),
            now: Self::BEGINNING,
            history: Vec::new(),
            tasks: Vec::new(),
            inline: Vec::new(),
            timers: BTreeSet::new(),
        }
    }

    /// One turn, as a worker would run and commit it; what the orchestration returned, if it has.
    fn turn(&mut self, inbound: Vec<EventKind>) -> Result<Option<Result<Payload, Failure>>, ScriptError> {
        if self.cold {
            self.session = Session::open(self.function, sample_key());
            self.session.replay(&self.history)?;
        }
        let new: Vec<_> = std::iter::once(EventKind::OrchestratorStarted)
            .chain(inbound)
            .map(|kind| self.event(kind))
            .collect();
        let actions = self.session.turn(&new)?;
        self.history.extend(new);
        let mut outcome = None;
        for action in actions {
            self.history.push(self.event(action.clone().into_event()));
            match action {
                Action::ScheduleTask {
                    task,
                    place: Place::Inline,
                    ..
                } => self.inline.push(task),
                Action::ScheduleTask {
                    task, name, input, ..
                } => self.tasks.push((task, name, input.unwrap_or_else(Payload::unit))),
                Action::CreateTimer { task, due } => {
                    self.timers.insert((due, task));
                }
                Action::Complete { outcome: returned } => outcome = Some(returned),
            }
        }
        self.history.push(self.event(EventKind::OrchestratorCompleted));
        self.now = self.now.plus(Duration::from_millis(1));
        Ok(outcome)
    }

    /// What happens next: every open task answers, in order of their ids; else the next timer fires.
    async fn next_events(&mut self) -> Result<Vec<EventKind>, ScriptError> {
        let mut answers = Vec::new();
        for task in std::mem::take(&mut self.inline) {
            // One that its author dropped never answers.
            if let Some(body) = self.session.take_inline(task) {
                answers.push((task, body.await));
            }
        }
        for (task, name, input) in std::mem::take(&mut self.tasks) {
            let Some(activity) = self.activities.get(&name) else {
                return Err(ScriptError::Unanswered(name));
            };
            let ctx = self
                .activities
                .context(activity_info(&name, task), Cancellation::never());
            answers.push((task, activity.invoke(ctx, input).await));
        }
        if answers.is_empty() {
            let (due, task) = self.timers.pop_first().ok_or(ScriptError::Waiting)?;
            self.now = self.now.max(due);
            return Ok(vec![EventKind::TimerFired(TimerFired { task, due })]);
        }
        answers.sort_by_key(|(task, _)| *task);
        Ok(answers
            .into_iter()
            .map(|(task, result)| answer_event(task, result))
            .collect())
    }

    fn event(&self, kind: EventKind) -> HistoryEvent {
        HistoryEvent { time: self.now, kind }
    }
}

fn answer_event(task: TaskId, result: Result<Payload, Failure>) -> EventKind {
    let dispatch = Dispatch(1);
    match result {
        Ok(output) => EventKind::TaskCompleted(TaskCompleted {
            task,
            dispatch,
            output,
        }),
        Err(failure) => EventKind::TaskFailed(TaskFailed {
            task,
            dispatch,
            failure,
        }),
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::future::{Either, join_all, select, try_join};
    use longhaul_shared::retry::RetryPolicy;

    use super::*;
    use crate::ActivityContext;

    const DOUBLE: Activity<u32, u32> = Activity::new("double");
    const FLAKY: Activity<(), u32> = Activity::new("flaky");
    const MIXED: Orchestration<u32, String> = Orchestration::new("mixed");

    /// Some of everything.
    async fn mixed(ctx: OrchestrationContext, n: u32) -> Result<String, OrchestrationError> {
        let flaky = ctx.activity(FLAKY, ()).retry(RetryPolicy::exponential(3));
        let base = ctx.run("base", || async { Ok::<_, BoxError>(100_u32) });
        let (flaky, base) = try_join(flaky, base).await?;
        let doubled = join_all((0..n).map(|n| ctx.activity(DOUBLE, n))).await;
        let mut sum = flaky + base;
        for answer in doubled {
            sum += answer?;
        }
        let raced = match select(ctx.timer(Duration::from_secs(60)), ctx.activity(DOUBLE, sum)).await {
            Either::Left(_) => 0,
            Either::Right((answer, _)) => answer?,
        };
        Ok(format!("{raced} {}", ctx.uuid()))
    }

    fn script() -> Script<u32, String> {
        let mut failures = 2;
        Script::new(MIXED, mixed)
            .answer(DOUBLE, |n| Ok::<_, String>(n * 2))
            .answer(FLAKY, move |()| match failures {
                0 => Ok(7),
                _ => {
                    failures -= 1;
                    Err("not yet")
                }
            })
    }

    #[test]
    fn a_run_that_is_replayed_before_each_turn_writes_the_same_history() {
        let warm = block_on(script().run(4)).unwrap();
        let cold = block_on(script().cold().run(4)).unwrap();
        assert!(warm.outcome.as_ref().unwrap().starts_with("238 "));
        assert_eq!(warm.outcome.unwrap(), cold.outcome.unwrap());
        assert_eq!(warm.history, cold.history);
    }

    #[test]
    fn time_passes_only_for_timers() {
        let ended = block_on(script().run(1)).unwrap();
        let last = ended.history.last().unwrap().time;
        // Two delays of a retry: 1 s and 2 s.
        assert_eq!(last.since(Play::BEGINNING).as_secs(), 3);
    }

    #[test]
    fn activities_of_a_registry_run_with_their_state() {
        async fn double(ctx: ActivityContext, n: u32) -> Result<u32, BoxError> {
            Ok(n * *ctx.require_state::<u32>()?)
        }
        let once =
            |ctx: OrchestrationContext, n: u32| async move { Ok(ctx.activity(DOUBLE, n).await?.to_string()) };
        let with = ActivityRegistry::new().state(2_u32).register(DOUBLE, double);
        let ended = block_on(Script::new(MIXED, once).activities(with).run(21)).unwrap();
        assert_eq!(ended.outcome.unwrap(), "42");

        let without = ActivityRegistry::new().register(DOUBLE, double);
        let ended = block_on(Script::new(MIXED, once).activities(without).run(21)).unwrap();
        let failure = ended.outcome.unwrap_err().to_string();
        assert!(failure.contains("no state of type u32"), "{failure}");
    }

    #[test]
    fn an_activity_without_an_answer_is_named() {
        let once =
            |ctx: OrchestrationContext, n: u32| async move { Ok(ctx.activity(DOUBLE, n).await?.to_string()) };
        let error = block_on(Script::new(MIXED, once).run(1)).unwrap_err();
        assert!(error.to_string().contains("\"double\""), "{error}");
    }

    #[test]
    fn a_history_of_other_code_does_not_replay() {
        let history = block_on(script().run(2)).unwrap().history;
        let other = OrchestrationRegistry::new()
            .register(MIXED, |ctx: OrchestrationContext, n: u32| async move {
                Ok(ctx.activity(DOUBLE, n).await?.to_string())
            });
        let function = other.get(&MIXED.function_name()).unwrap();
        let refusal = replay(&function, sample_key(), &history).unwrap_err();
        let text = refusal.to_string();
        assert!(
            text.contains("recorded: activity \"flaky\" (task 1, event 3)"),
            "{text}"
        );
        assert!(
            text.contains("attempted: activity \"double\" (task 1) at "),
            "{text}"
        );
    }
}
