//! Owns the JSON of what the commands show: the shapes that scripts rely on.
//! Never shows stored bytes as they are: payloads become JSON values.

use longhaul_client::{
    EventKind, HistoryEvent, InstanceRow, InstanceSummary, OpenStep, Owner, ParkedMessage, Reason, StepKind,
    Wait, WaitingFor, Why,
};
use longhaul_sdk::{Failure, Payload};
use longhaul_shared::history::Place;
use longhaul_shared::message::{ContentType, Destination};
use serde_json::{Map, Value, json};

/// A row of `longhaul list`.
pub(crate) fn summary(summary: &InstanceSummary) -> Value {
    json!({
        "id": summary.id.as_str(),
        "orchestration": summary.name.as_str(),
        "status": summary.status.name(),
        "execution": summary.execution.to_string(),
        "created": summary.created.to_string(),
        "changed": summary.changed.to_string(),
        "waiting_for": summary.waiting_for.as_ref().map(waiting_for),
    })
}

/// An instance in full, without its history.
pub(crate) fn instance(row: &InstanceRow) -> Value {
    json!({
        "id": row.id.as_str(),
        "orchestration": row.name.as_str(),
        "version": row.version,
        "status": row.status.name(),
        "execution": row.execution.to_string(),
        "start_id": row.start_id.as_str(),
        "created": row.created.to_string(),
        "changed": row.changed.to_string(),
        "commits": row.commit_number.0,
        "events": row.last_seq.0,
        "waiting_for": row.waiting_for.as_ref().map(waiting_for),
        "tags": row.tags,
        "traceparent": row.trace.traceparent,
        "input": row.input.to_json_value(),
        "output": row.output.as_ref().map(Payload::to_json_value),
        "failure": row.failure.as_ref().map(failure),
    })
}

/// A failure with its causes.
pub(crate) fn failure(failed: &Failure) -> Value {
    json!({
        "kind": failed.kind.as_str(),
        "type": failed.error_type,
        "message": failed.message,
        "non_retriable": failed.non_retriable,
        "details": failed.details.as_ref().map(Payload::to_json_value),
        "cause": failed.cause.as_deref().map(failure),
    })
}

fn waiting_for(waiting: &WaitingFor) -> Value {
    match waiting {
        WaitingFor::Orchestration { name } => json!({ "kind": "orchestration", "name": name.as_str() }),
        WaitingFor::Activity { name, queue } => {
            json!({ "kind": "activity", "name": name.as_str(), "queue": queue.as_str() })
        }
        WaitingFor::Paused { code, message } => json!({ "kind": "paused", "code": code, "message": message }),
        WaitingFor::Stuck {
            code,
            message,
            attempts,
        } => json!({ "kind": "stuck", "code": code, "message": message, "attempts": attempts }),
        WaitingFor::ParkedTask {
            task,
            name,
            code,
            parked,
        } => {
            json!({ "kind": "parked_task", "task": task.0, "name": name.as_str(), "code": code, "parked": parked.to_string() })
        }
    }
}

/// An event with its place in its history.
pub(crate) fn event(seq: u64, event: &HistoryEvent) -> Value {
    let mut value = Map::new();
    value.insert("seq".to_owned(), json!(seq));
    value.insert("time".to_owned(), json!(event.time.to_string()));
    value.insert("kind".to_owned(), json!(event.kind.to_string()));
    value.insert("task".to_owned(), json!(event.kind.task().map(|task| task.0)));
    value.extend(details(&event.kind));
    Value::Object(value)
}

/// What an event says beside its kind and task. What it does not say is left out; a `null` was said.
pub(crate) fn details(kind: &EventKind) -> Map<String, Value> {
    match kind {
        EventKind::ExecutionStarted(started) => fields([
            ("name", Some(json!(started.name.as_str()))),
            ("version", started.version.as_deref().map(Value::from)),
            ("input", Some(started.input.to_json_value())),
            ("start_id", Some(json!(started.start_id.as_str()))),
            ("tags", (!started.tags.is_empty()).then(|| json!(started.tags))),
        ]),
        EventKind::ExecutionCompleted(completed) => fields([
            ("status", Some(json!(completed.status.name()))),
            ("output", completed.output.as_ref().map(Payload::to_json_value)),
            ("failure", completed.failure.as_ref().map(failure)),
        ]),
        EventKind::ExecutionTerminated(terminated) => fields([("reason", Some(json!(terminated.reason)))]),
        EventKind::TaskScheduled(scheduled) => fields([
            ("name", Some(json!(scheduled.name.as_str()))),
            ("place", Some(json!(place(&scheduled.place)))),
            ("input", scheduled.input.as_ref().map(Payload::to_json_value)),
            (
                "timeout_ms",
                scheduled
                    .timeout
                    .map(|timeout| json!(timeout.as_secs_f64() * 1_000.0)),
            ),
            (
                "tags",
                (!scheduled.tags.is_empty()).then(|| json!(scheduled.tags)),
            ),
        ]),
        EventKind::TaskCompleted(completed) => fields([("output", Some(completed.output.to_json_value()))]),
        EventKind::TaskFailed(failed) => fields([("failure", Some(failure(&failed.failure)))]),
        EventKind::TimerCreated(created) => fields([("due", Some(json!(created.due.to_string())))]),
        EventKind::TimerFired(fired) => fields([("due", Some(json!(fired.due.to_string())))]),
        EventKind::OrchestratorStarted | EventKind::OrchestratorCompleted | EventKind::Unknown(_) => {
            Map::new()
        }
    }
}

fn fields<const N: usize>(said: [(&str, Option<Value>); N]) -> Map<String, Value> {
    said.into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Where a task runs: `queue default`, `inline`.
fn place(place: &Place) -> String {
    match place {
        Place::Queue(queue) => format!("queue {queue}"),
        Place::Inline => "inline".to_owned(),
    }
}

/// Why an instance does not move.
pub(crate) fn why(why: &Why) -> Value {
    let owner = match &why.owner {
        Owner::Nobody => None,
        Owner::Worker(id) | Owner::Expired(id) => Some(id.as_str()),
    };
    json!({
        "id": why.id.as_str(),
        "orchestration": why.name.as_str(),
        "status": why.status.name(),
        "now": why.now.to_string(),
        "created": why.created.to_string(),
        "changed": why.changed.to_string(),
        "failure": why.failure.as_ref().map(failure),
        "partition": why.partition.0,
        "owner": owner,
        "waits": why.waits.iter().map(wait).collect::<Vec<_>>(),
        "steps": why.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn wait(wait: &Wait) -> Value {
    let reason = &wait.reason;
    let (name, queue, tasks) = match reason {
        Reason::OrchestrationNotHosted { name, .. } => (Some(name), None, None),
        Reason::TaskParked { name, task, .. } | Reason::Inline { name, task } => {
            (Some(name), None, Some((*task, 1)))
        }
        Reason::ActivityNotHosted { name, queue, .. } => (Some(name), Some(queue), None),
        Reason::NoActivityWorker {
            name,
            queue,
            task,
            tasks,
            ..
        }
        | Reason::Activity {
            name,
            queue,
            task,
            tasks,
            ..
        } => (Some(name), Some(queue), Some((*task, *tasks))),
        Reason::NotSent { task, tasks } => (None, None, Some((*task, *tasks))),
        Reason::Timer { task, .. } => (None, None, Some((*task, 1))),
        _ => (None, None, None),
    };
    let due = match reason {
        Reason::Timer { due, .. } => Some(due.to_string()),
        _ => None,
    };
    let parked = match reason {
        Reason::TaskParked { parked, .. } => Some(parked.to_string()),
        _ => None,
    };
    json!({
        "kind": reason.kind(),
        "since": wait.since.to_string(),
        "needs_a_person": reason.needs_a_person(),
        "message": reason.to_string(),
        "remedy": reason.remedy(),
        "code": reason.code(),
        "name": name.map(|name| name.as_str()),
        "queue": queue.map(|queue| queue.as_str()),
        "task": tasks.map(|(task, _)| task.0),
        "tasks": tasks.map(|(_, tasks)| tasks),
        "due": due,
        "parked": parked,
    })
}

fn step(step: &OpenStep) -> Value {
    let (kind, name, queue, due) = match &step.kind {
        StepKind::Activity { name, queue, .. } => ("activity", Some(name), Some(queue), None),
        StepKind::Inline { name } => ("inline_step", Some(name), None, None),
        StepKind::Timer { due, .. } => ("timer", None, None, Some(due.to_string())),
    };
    json!({
        "task": step.task.0,
        "kind": kind,
        "name": name.map(|name| name.as_str()),
        "queue": queue.map(|queue| queue.as_str()),
        "due": due,
        "since": step.since.to_string(),
    })
}

/// A parked message without its body.
pub(crate) fn parked(message: &ParkedMessage) -> Value {
    json!({
        "id": message.id.to_string(),
        "parked": message.time.to_string(),
        "origin": origin(&message.origin),
        "code": message.code,
        "reason": message.reason,
        "message_id": message.message_id,
        "type": message.kind,
        "content_type": message.content_type,
        "traceparent": message.trace.traceparent,
        "body_bytes": message.body.len(),
    })
}

/// Where a parked message came from.
pub(crate) fn origin(origin: &Destination) -> String {
    match origin {
        Destination::Control(partition) => format!("control {partition}"),
        Destination::Work(queue) => format!("work {queue}"),
        Destination::Intake => "intake".to_owned(),
        Destination::Dead => "dead".to_owned(),
    }
}

/// A body as its content type says, as far as it can be shown.
pub(crate) fn body(message: &ParkedMessage) -> Value {
    let content_type = message.content_type.as_deref().unwrap_or_default();
    let encoding = match ContentType::parse(content_type) {
        Some(ContentType::Json) => longhaul_shared::payload::Encoding::Json,
        Some(ContentType::Msgpack) => longhaul_shared::payload::Encoding::Msgpack,
        None => match std::str::from_utf8(&message.body) {
            Ok(text) => return Value::String(text.to_owned()),
            Err(_) => longhaul_shared::payload::Encoding::Bytes,
        },
    };
    let data = message.body.clone();
    Payload { encoding, data }.to_json_value()
}
