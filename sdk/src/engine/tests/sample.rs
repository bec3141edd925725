//! Owns what the tests build histories and functions from.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::history::{
    EventKind, ExecutionCompleted, ExecutionStarted, HistoryEvent, Place, TaskCompleted, TaskFailed,
    TaskScheduled, TimerCreated, TimerFired,
};
use longhaul_shared::id::{
    Dispatch, ExecutionId, ExecutionKey, Fingerprint, FunctionName, InstanceId, QueueName, StartId, TaskId,
};
use longhaul_shared::instance::Status;
use longhaul_shared::payload::Payload;
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::OrchestrationContext;
use crate::contract::{Activity, Orchestration};
use crate::engine::{Action, OrchestrationFunction, Refusal, Session};
use crate::error::OrchestrationError;
use crate::registry::OrchestrationRegistry;

pub(super) const A: Activity<u32, u32> = Activity::new("a");
pub(super) const B: Activity<u32, u32> = Activity::new("b");

pub(super) fn function<I, O, F, Fut>(f: F) -> Arc<dyn OrchestrationFunction>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    F: Fn(OrchestrationContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, OrchestrationError>> + Send + 'static,
{
    let contract = Orchestration::<I, O>::new("sample");
    OrchestrationRegistry::new()
        .register(contract, f)
        .get(&contract.function_name())
        .unwrap()
}

pub(super) fn key() -> ExecutionKey {
    ExecutionKey {
        instance: InstanceId::new("nightly").unwrap(),
        execution: ExecutionId::from_bits(7),
    }
}

pub(super) fn open(function: &Arc<dyn OrchestrationFunction>) -> Session {
    Session::open(function, key())
}

/// Events a second apart, from `first` on.
pub(super) fn events_from(first: i64, kinds: impl IntoIterator<Item = EventKind>) -> Vec<HistoryEvent> {
    kinds
        .into_iter()
        .zip(first..)
        .map(|(kind, second)| HistoryEvent {
            time: Timestamp::from_micros(second * 1_000_000),
            kind,
        })
        .collect()
}

pub(super) fn events(kinds: impl IntoIterator<Item = EventKind>) -> Vec<HistoryEvent> {
    events_from(1, kinds)
}

/// The first live turn of an execution with the input `()`.
pub(super) fn first_turn(function: &Arc<dyn OrchestrationFunction>) -> (Session, Vec<Action>) {
    let mut session = open(function);
    let actions = session.turn(&events([begin(), started(&())])).unwrap();
    (session, actions)
}

/// A later live turn of these events.
pub(super) fn turn(
    session: &mut Session,
    inbound: impl IntoIterator<Item = EventKind>,
) -> Result<Vec<Action>, Refusal> {
    session.turn(&events_from(1_000, std::iter::once(begin()).chain(inbound)))
}

pub(super) fn begin() -> EventKind {
    EventKind::OrchestratorStarted
}

pub(super) fn end() -> EventKind {
    EventKind::OrchestratorCompleted
}

pub(super) fn started<T: Serialize>(input: &T) -> EventKind {
    EventKind::ExecutionStarted(ExecutionStarted {
        name: name("sample"),
        version: None,
        input: Payload::encode(input).unwrap(),
        start_id: StartId::new("s").unwrap(),
        tags: BTreeMap::new(),
        trace: TraceContext::default(),
    })
}

pub(super) fn scheduled(task: u32, activity: &str) -> EventKind {
    scheduled_at(task, activity, Place::Queue(QueueName::default()))
}

pub(super) fn scheduled_inline(task: u32, step: &str) -> EventKind {
    scheduled_at(task, step, Place::Inline)
}

fn scheduled_at(task: u32, activity: &str, place: Place) -> EventKind {
    EventKind::TaskScheduled(TaskScheduled {
        task: TaskId(task),
        name: name(activity),
        fingerprint: Fingerprint(0),
        place,
        input: None,
        timeout: None,
        tags: BTreeMap::new(),
    })
}

pub(super) fn timer_set(task: u32) -> EventKind {
    EventKind::TimerCreated(TimerCreated {
        task: TaskId(task),
        due: Timestamp::default(),
    })
}

pub(super) fn fired(task: u32) -> EventKind {
    EventKind::TimerFired(TimerFired {
        task: TaskId(task),
        due: Timestamp::default(),
    })
}

pub(super) fn answered<T: Serialize>(task: u32, output: &T) -> EventKind {
    EventKind::TaskCompleted(TaskCompleted {
        task: TaskId(task),
        dispatch: Dispatch(0),
        output: Payload::encode(output).unwrap(),
    })
}

pub(super) fn failed(task: u32, message: &str) -> EventKind {
    failed_with(task, Failure::new(FailureKind::Application, message))
}

pub(super) fn failed_with(task: u32, failure: Failure) -> EventKind {
    EventKind::TaskFailed(TaskFailed {
        task: TaskId(task),
        dispatch: Dispatch(0),
        failure,
    })
}

pub(super) fn completed<T: Serialize>(output: &T) -> EventKind {
    Action::Complete {
        outcome: Ok(Payload::encode(output).unwrap()),
    }
    .into_event()
}

pub(super) fn ended(status: Status, failure: Option<Failure>) -> EventKind {
    EventKind::ExecutionCompleted(ExecutionCompleted {
        status,
        output: None,
        failure,
    })
}

pub(super) fn name(text: &str) -> FunctionName {
    FunctionName::new(text).unwrap()
}

/// Actions in short: `1 a`, `2 timer`, `3 inline c`, `ok`, `err: …`.
pub(super) fn short(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .map(|action| match action {
            Action::ScheduleTask {
                task, name, place, ..
            } => match place {
                Place::Queue(_) => format!("{task} {name}"),
                Place::Inline => format!("{task} inline {name}"),
            },
            Action::CreateTimer { task, .. } => format!("{task} timer"),
            Action::Complete { outcome: Ok(_) } => "ok".to_owned(),
            Action::Complete {
                outcome: Err(failure),
            } => format!("err: {failure}"),
        })
        .collect()
}

/// The output of the last action, which must be the end.
pub(super) fn output<T: DeserializeOwned>(actions: &[Action]) -> T {
    match actions.last() {
        Some(Action::Complete { outcome: Ok(payload) }) => payload.decode().unwrap(),
        other => panic!("not completed: {other:?}"),
    }
}
