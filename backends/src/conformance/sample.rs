//! Owns the values that the tests store and send: one of every kind, with every field filled.
//! Never is random: a value is named by a number, equal numbers give equal values.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use longhaul_shared::code;
use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::history::{
    EventKind, ExecutionCompleted, ExecutionStarted, ExecutionTerminated, HistoryEvent, Place, TaskCompleted,
    TaskFailed, TaskScheduled, TimerCreated, TimerFired,
};
use longhaul_shared::id::{
    Dispatch, EventSeq, ExecutionId, ExecutionKey, Fingerprint, FunctionName, InstanceId, MessageId,
    PartitionId, QueueName, StartId, TaskId,
};
use longhaul_shared::instance::{StartInstance, Status};
use longhaul_shared::message::{
    BODY_VERSION, Destination, Envelope, Publication, TaskIdentity, TaskResult, WorkItem,
};
use longhaul_shared::payload::{Encoding, Payload};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;

pub(super) fn id(text: &str) -> InstanceId {
    InstanceId::new(text).expect("a valid instance id")
}

pub(super) fn name(text: &str) -> FunctionName {
    FunctionName::new(text).expect("a valid name")
}

pub(super) fn queue(text: &str) -> QueueName {
    QueueName::new(text).expect("a valid name")
}

pub(super) fn start_id(text: &str) -> StartId {
    StartId::new(text).expect("a valid start id")
}

pub(super) fn message_id(number: u64) -> MessageId {
    MessageId::of(&[b"conformance", &number.to_be_bytes()])
}

/// Bytes of every value, so that nothing on the way may take them for text.
pub(super) fn payload(number: u64) -> Payload {
    let data: Vec<u8> = (0..=u8::MAX).chain(number.to_be_bytes()).collect();
    Payload {
        encoding: Encoding::Bytes,
        data: data.into(),
    }
}

pub(super) fn payload_of(bytes: usize) -> Payload {
    Payload {
        encoding: Encoding::Bytes,
        data: vec![0x5a; bytes].into(),
    }
}

pub(super) fn tags() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("team".to_owned(), "größe {1}".to_owned()),
        ("empty".to_owned(), String::new()),
    ])
}

pub(super) fn trace() -> TraceContext {
    TraceContext {
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        tracestate: Some("vendor=1".to_owned()),
    }
}

pub(super) fn failure() -> Failure {
    Failure::new(FailureKind::Application, "no space left\non device: ü")
        .with_type("std::io::Error")
        .not_retriable()
        .caused_by(Failure::new(FailureKind::TimedOut, "too slow"))
}

/// A start with every field filled; the start id is of its own.
pub(super) fn start(id: &InstanceId, start: &str, execution: ExecutionId) -> StartInstance {
    StartInstance {
        id: id.clone(),
        start_id: start_id(start),
        name: name("backup"),
        version: Some("2".to_owned()),
        input: payload(1),
        tags: tags(),
        trace: trace(),
        execution,
    }
}

/// An event that tells its number.
pub(super) fn event(time: Timestamp, number: u64) -> HistoryEvent {
    HistoryEvent {
        time,
        kind: EventKind::TaskCompleted(TaskCompleted {
            task: TaskId(1),
            dispatch: Dispatch(number),
            output: payload(number),
        }),
    }
}

/// One event of every kind, with every field filled.
pub(super) fn every_event(time: Timestamp) -> Vec<HistoryEvent> {
    let scheduled = TaskScheduled {
        task: TaskId(1),
        name: name("copy"),
        fingerprint: Fingerprint(u64::MAX),
        place: Place::Queue(queue("gpu")),
        input: Some(payload(2)),
        timeout: Some(Duration::from_micros(1_500_001)),
        tags: tags(),
    };
    let inline = TaskScheduled {
        place: Place::Inline,
        input: None,
        timeout: None,
        ..scheduled.clone()
    };
    let kinds = [
        EventKind::OrchestratorStarted,
        EventKind::ExecutionStarted(ExecutionStarted {
            name: name("backup"),
            version: Some("2".to_owned()),
            input: payload(1),
            start_id: start_id("s"),
            tags: tags(),
            trace: trace(),
        }),
        EventKind::TaskScheduled(scheduled),
        EventKind::TaskScheduled(inline),
        EventKind::TaskCompleted(TaskCompleted {
            task: TaskId(1),
            dispatch: Dispatch(7),
            output: payload(3),
        }),
        EventKind::TaskFailed(TaskFailed {
            task: TaskId(2),
            dispatch: Dispatch(8),
            failure: failure(),
        }),
        EventKind::TimerCreated(TimerCreated {
            task: TaskId(3),
            due: time,
        }),
        EventKind::TimerFired(TimerFired {
            task: TaskId(3),
            due: time,
        }),
        EventKind::ExecutionTerminated(ExecutionTerminated {
            reason: "enough".to_owned(),
            message: message_id(1),
        }),
        EventKind::ExecutionCompleted(ExecutionCompleted {
            status: Status::Failed,
            output: Some(payload(4)),
            failure: Some(failure()),
        }),
        EventKind::OrchestratorCompleted,
    ];
    kinds.map(|kind| HistoryEvent { time, kind }).to_vec()
}

/// A message to an instance that tells its number.
pub(super) fn letter(instance: &InstanceId, number: u64) -> Envelope {
    Envelope::terminate(message_id(number), instance.clone(), format!("letter {number}"))
}

/// One message of every kind that an inbox may hold.
pub(super) fn every_letter(key: &ExecutionKey) -> Vec<Envelope> {
    let identity = |task| TaskIdentity {
        key: key.clone(),
        task: TaskId(task),
        scheduled_seq: EventSeq(3),
        fingerprint: Fingerprint(9),
    };
    let completed = TaskResult::Completed(payload(5));
    let mut traced = Envelope::task_done(identity(1), Dispatch(1), completed);
    traced.trace = trace();
    vec![
        traced,
        Envelope::task_done(identity(2), Dispatch(2), TaskResult::Failed(failure())),
        Envelope::wake(key.instance.clone()),
        Envelope::task_parked(&work_item(identity(3)), code::ACTIVITY_KILLS),
        letter(&key.instance, 6),
    ]
}

fn work_item(identity: TaskIdentity) -> WorkItem {
    WorkItem {
        version: BODY_VERSION,
        identity,
        dispatch: Dispatch(3),
        times_not_hosted: 0,
        resent: true,
        overran: 2,
        name: name("copy"),
        queue: queue("gpu"),
        reply_to: PartitionId(1),
        input: payload(6),
        timeout_micros: None,
        tags: tags(),
        trace: trace(),
        scheduled: Timestamp::from_micros(1),
    }
}

/// A message with every field filled.
pub(super) fn publication(destination: Destination, number: u64, time: Timestamp) -> Publication {
    Publication {
        destination,
        id: message_id(number),
        kind: "work".to_owned(),
        correlation: Some("order/ü 7".to_owned()),
        content_type: "application/msgpack".to_owned(),
        time,
        trace: trace(),
        body: body(number),
    }
}

/// The body by which a test knows message `number`.
pub(super) fn body(number: u64) -> Bytes {
    let mut body = number.to_be_bytes().to_vec();
    body.extend(0..=u8::MAX);
    body.into()
}

/// The number of a [`body`].
pub(super) fn number_of(body: &[u8]) -> u64 {
    let number = body.first_chunk::<8>().expect("a body that the test sent");
    u64::from_be_bytes(*number)
}
