//! Owns the values whose bytes are pinned, each with a name and a title: the name is that of its golden file.
//! Never changes a case that has been released: a new field or kind gets a case of its own.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::history::{
    EventKind, ExecutionCompleted, ExecutionStarted, ExecutionTerminated, HistoryEvent, Place, TaskCompleted,
    TaskFailed, TaskScheduled, TimerCreated, TimerFired, decode_events, encode_events,
};
use longhaul_shared::id::{
    Dispatch, EventSeq, ExecutionId, ExecutionKey, Fingerprint, FunctionName, InstanceId, MessageId,
    ParkedId, PartitionId, QueueName, StartId, TaskId,
};
use longhaul_shared::instance::{Status, WaitingFor};
use longhaul_shared::message::{
    BODY_VERSION, Destination, Envelope, Incoming, Publication, TaskIdentity, TaskResult, WorkItem,
};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::payload::{Encoding, Payload};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;
use longhaul_shared::{code, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value as this version writes it, and the question whether bytes read as that value.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) encoded: Bytes,
    pub(crate) check: Check,
}

/// Fails the test unless the bytes read as the case's value.
type Check = Box<dyn Fn(&[u8])>;

fn value<T>(name: &'static str, title: &'static str, value: T) -> Case
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    let encoded = codec::encode(&value);
    let check = move |bytes: &[u8]| assert_eq!(codec::decode::<T>(name, bytes).unwrap(), value, "{name}");
    Case {
        name,
        title,
        encoded,
        check: Box::new(check),
    }
}

fn events(name: &'static str, title: &'static str, kinds: Vec<EventKind>) -> Case {
    let events: Vec<_> = kinds
        .into_iter()
        .map(|kind| HistoryEvent { time: time(), kind })
        .collect();
    let encoded = encode_events(&events).unwrap();
    let check = move |bytes: &[u8]| assert_eq!(decode_events(bytes).unwrap(), events, "{name}");
    Case {
        name,
        title,
        encoded,
        check: Box::new(check),
    }
}

fn event(name: &'static str, title: &'static str, kind: EventKind) -> Case {
    events(name, title, vec![kind])
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    [
        executions(),
        tasks(),
        turns(),
        work_items(),
        envelopes(),
        stored_messages(),
        row_values(),
        waiting_values(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn executions() -> Vec<Case> {
    let started = |version, tags, trace| {
        EventKind::ExecutionStarted(ExecutionStarted {
            name: function("backup"),
            version,
            input: packed(),
            start_id: StartId::new("m-1").unwrap(),
            tags,
            trace,
        })
    };
    let completed = |status, output, failure| {
        EventKind::ExecutionCompleted(ExecutionCompleted {
            status,
            output,
            failure,
        })
    };
    let terminated = |reason: &str| {
        EventKind::ExecutionTerminated(ExecutionTerminated {
            reason: reason.to_owned(),
            message: MessageId::from_bits(0x0102_0304),
        })
    };
    vec![
        event(
            "event-3-execution-started-full",
            "ExecutionStarted, every field",
            started(Some("2".to_owned()), tags(), trace()),
        ),
        event(
            "event-3-execution-started-bare",
            "ExecutionStarted, no optional field",
            started(None, BTreeMap::new(), TraceContext::default()),
        ),
        event(
            "event-4-execution-completed-output",
            "ExecutionCompleted with an output",
            completed(Status::Completed, Some(packed()), None),
        ),
        event(
            "event-4-execution-completed-failure",
            "ExecutionCompleted with a failure of which every field is set",
            completed(Status::Failed, None, Some(failure())),
        ),
        event(
            "event-4-execution-completed-bare",
            "ExecutionCompleted, no optional field",
            completed(Status::Terminated, None, None),
        ),
        event(
            "event-5-execution-terminated-full",
            "ExecutionTerminated, every field",
            terminated("wrong order"),
        ),
        event(
            "event-5-execution-terminated-bare",
            "ExecutionTerminated without a reason",
            terminated(""),
        ),
    ]
}

fn tasks() -> Vec<Case> {
    let scheduled = |place, input, timeout, tags| {
        EventKind::TaskScheduled(TaskScheduled {
            task: TaskId(7),
            name: function("copy_file"),
            fingerprint: Fingerprint(0xfedc_ba98_7654_3210),
            place,
            input,
            timeout,
            tags,
        })
    };
    let completed = |dispatch, output| {
        EventKind::TaskCompleted(TaskCompleted {
            task: TaskId(7),
            dispatch,
            output,
        })
    };
    let failed = |failure| {
        EventKind::TaskFailed(TaskFailed {
            task: TaskId(300),
            dispatch: Dispatch(2),
            failure,
        })
    };
    vec![
        event(
            "event-6-task-scheduled-full",
            "TaskScheduled on a queue, every field",
            scheduled(
                Place::Queue(queue("gpu")),
                Some(packed()),
                Some(Duration::from_millis(1_500)),
                tags(),
            ),
        ),
        event(
            "event-6-task-scheduled-bare",
            "TaskScheduled as an inline step, no optional field",
            scheduled(Place::Inline, None, None, BTreeMap::new()),
        ),
        event(
            "event-7-task-completed",
            "TaskCompleted by an activity worker",
            completed(Dispatch(3), packed()),
        ),
        event(
            "event-7-task-completed-inline",
            "TaskCompleted by an inline step",
            completed(Dispatch(0), Payload::unit()),
        ),
        event(
            "event-8-task-failed-full",
            "TaskFailed, every field of the failure",
            failed(failure()),
        ),
        event(
            "event-8-task-failed-bare",
            "TaskFailed, no optional field of the failure",
            failed(Failure::new(FailureKind::Panicked, "index out of bounds")),
        ),
    ]
}

fn turns() -> Vec<Case> {
    let due = Timestamp::from_micros(1_795_332_962_000_000);
    vec![
        event(
            "event-12-timer-created",
            "TimerCreated",
            EventKind::TimerCreated(TimerCreated { task: TaskId(8), due }),
        ),
        event(
            "event-13-timer-fired",
            "TimerFired",
            EventKind::TimerFired(TimerFired { task: TaskId(8), due }),
        ),
        event(
            "event-14-orchestrator-started",
            "OrchestratorStarted",
            EventKind::OrchestratorStarted,
        ),
        event(
            "event-15-orchestrator-completed",
            "OrchestratorCompleted",
            EventKind::OrchestratorCompleted,
        ),
        event(
            "event-200-unknown",
            "An event of a kind that this version does not know",
            EventKind::Unknown(200),
        ),
        events(
            "history-entry",
            "Field e of a history entry that holds three events",
            vec![
                EventKind::OrchestratorStarted,
                EventKind::TimerFired(TimerFired { task: TaskId(8), due }),
                EventKind::OrchestratorCompleted,
            ],
        ),
    ]
}

fn work_items() -> Vec<Case> {
    vec![
        value(
            "work-item-full",
            "Body of a message on a task queue, every field",
            work_item(),
        ),
        value(
            "work-items",
            "Body of a message on a task queue: two work items",
            vec![work_item(), work_item()],
        ),
        value(
            "work-item-resent",
            "Body of a message on a task queue, sent again although it may have been begun",
            WorkItem {
                resent: true,
                ..work_item()
            },
        ),
        value(
            "work-item-overran",
            "Body of a message on a task queue, sent again because two runs took too long",
            WorkItem {
                overran: 2,
                ..work_item()
            },
        ),
        value(
            "work-item-bare",
            "Body of a message on a task queue, no optional field",
            WorkItem {
                times_not_hosted: 0,
                input: Payload::unit(),
                timeout_micros: None,
                tags: BTreeMap::new(),
                trace: TraceContext::default(),
                ..work_item()
            },
        ),
    ]
}

fn envelopes() -> Vec<Case> {
    let instance = || InstanceId::new("nightly").unwrap();
    let terminate =
        |reason: &str| Envelope::terminate(MessageId::from_bits(0x0102_0304), instance(), reason.to_owned());
    let done = |result| Envelope::task_done(identity(), Dispatch(3), result);
    vec![
        value(
            "envelope-wake",
            "Envelope: look at your row and inbox",
            Envelope::wake(instance()),
        ),
        value(
            "envelope-done-ok",
            "Envelope: a task completed",
            done(TaskResult::Completed(packed())),
        ),
        value(
            "envelope-done-took",
            "Envelope: a task completed, after a run of so long",
            done(TaskResult::Completed(packed())).that_took(Duration::from_micros(1_500)),
        ),
        value(
            "envelope-done-err",
            "Envelope: a task failed",
            done(TaskResult::Failed(failure())),
        ),
        value(
            "envelope-nohost",
            "Envelope: an activity is not hosted",
            Envelope::not_hosted(&work_item()),
        ),
        value(
            "envelope-parked",
            "Envelope: the work item of a task was parked",
            Envelope::task_parked(&work_item(), code::ACTIVITY_KILLS),
        ),
        value(
            "envelope-term-full",
            "Envelope: end the instance; every field",
            Envelope {
                trace: trace(),
                ..terminate("wrong order")
            },
        ),
        value(
            "envelope-term-bare",
            "Envelope: end the instance; an empty reason",
            terminate(""),
        ),
        value(
            "control-message",
            "Body of a message on a control queue: two envelopes",
            vec![
                Envelope::wake(instance()),
                done(TaskResult::Completed(Payload::unit())),
            ],
        ),
    ]
}

fn stored_messages() -> Vec<Case> {
    let parked = |message| {
        let reason = "[LH1002] the message has neither".to_owned();
        ParkedMessage::new(Destination::Intake, "LH1002", reason, time(), message)
    };
    let bare = codec::wake_message(PartitionId(3), InstanceId::new("nightly").unwrap(), time());
    vec![
        value(
            "publication-full",
            "Publication as the outbox keeps it, every field",
            codec::work_message(&work_item(), time()),
        ),
        value(
            "publication-bare",
            "Publication as the outbox keeps it, no optional field",
            Publication {
                correlation: None,
                ..bare
            },
        ),
        value(
            "destinations",
            "Every destination of a publication, and origin of a parked message",
            vec![
                Destination::Control(PartitionId(511)),
                Destination::Work(queue("gpu")),
                Destination::Intake,
                Destination::Dead,
            ],
        ),
        value(
            "parked-message-full",
            "Parked message, every field",
            parked(Incoming {
                message_id: Some("m-1".to_owned()),
                kind: Some("start".to_owned()),
                content_type: Some("application/json".to_owned()),
                trace: trace(),
                body: Bytes::from_static(b"{}"),
            }),
        ),
        value(
            "parked-message-bare",
            "Parked message, no optional field",
            parked(Incoming::default()),
        ),
    ]
}

fn row_values() -> Vec<Case> {
    let payload = |encoding, data| Payload {
        encoding,
        data: Bytes::from_static(data),
    };
    vec![
        value(
            "payload-msgpack",
            "Payload in msgpack: field in or out of a row",
            packed(),
        ),
        value(
            "payload-json",
            "Payload in JSON",
            payload(Encoding::Json, b"{\"id\":7}"),
        ),
        value(
            "payload-bytes",
            "Payload of plain bytes",
            payload(Encoding::Bytes, b"\0\x01\xff"),
        ),
        value(
            "failure-full",
            "Failure, every field: field fl of a row",
            failure(),
        ),
        value(
            "failure-bare",
            "Failure, no optional field",
            Failure::new(FailureKind::TimedOut, "too slow"),
        ),
        value(
            "failure-kinds",
            "Every kind of failure, and one that this version does not know",
            vec![
                FailureKind::Application,
                FailureKind::Panicked,
                FailureKind::TimedOut,
                FailureKind::Undecodable,
                FailureKind::OverLimit,
                FailureKind::Poisoned,
                FailureKind::Other("terminated".to_owned()),
            ],
        ),
        value(
            "statuses",
            "Every status, as ExecutionCompleted has it",
            Status::ALL.to_vec(),
        ),
        value("trace-context", "Field tc of a row", trace()),
    ]
}

fn waiting_values() -> Vec<Case> {
    vec![
        value(
            "waiting-for-orchestration",
            "Field wf of a row: nobody hosts the orchestration",
            WaitingFor::Orchestration {
                name: function("backup"),
            },
        ),
        value(
            "waiting-for-activity",
            "Field wf of a row: nobody hosts an activity",
            WaitingFor::Activity {
                name: function("copy_file"),
                queue: queue("gpu"),
            },
        ),
        value(
            "waiting-for-paused",
            "Field wf of a row: paused",
            WaitingFor::Paused {
                code: "LH1100".to_owned(),
                message: "two\nlines".to_owned(),
            },
        ),
        value(
            "waiting-for-stuck",
            "Field wf of a row: parked, because whoever runs it dies",
            WaitingFor::Stuck {
                code: "LH1110".to_owned(),
                message: "two\nlines".to_owned(),
                attempts: 6,
            },
        ),
        value(
            "waiting-for-parked-task",
            "Field wf of a row: the work item of a task was parked",
            WaitingFor::ParkedTask {
                task: TaskId(7),
                name: function("copy_file"),
                code: "LH1302".to_owned(),
                parked: ParkedId::from_bits(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
            },
        ),
    ]
}

/// A task whose numbers take every width that msgpack has for them.
pub(crate) fn identity() -> TaskIdentity {
    TaskIdentity {
        key: ExecutionKey {
            instance: InstanceId::new("nightly").unwrap(),
            execution: ExecutionId::from_bits(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        },
        task: TaskId(7),
        scheduled_seq: EventSeq(70_000),
        fingerprint: Fingerprint(0xfedc_ba98_7654_3210),
    }
}

pub(crate) fn work_item() -> WorkItem {
    WorkItem {
        version: BODY_VERSION,
        identity: identity(),
        dispatch: Dispatch(3),
        times_not_hosted: 1,
        resent: false,
        overran: 0,
        name: function("copy_file"),
        queue: queue("gpu"),
        reply_to: PartitionId(3),
        input: packed(),
        timeout_micros: Some(1_500_000),
        tags: tags(),
        trace: trace(),
        scheduled: time(),
    }
}

fn time() -> Timestamp {
    Timestamp::from_micros(1_795_332_902_123_456)
}

fn function(name: &str) -> FunctionName {
    FunctionName::new(name).unwrap()
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// `{"id": 7}`.
fn packed() -> Payload {
    Payload {
        encoding: Encoding::Msgpack,
        data: Bytes::from_static(b"\x81\xa2id\x07"),
    }
}

fn tags() -> BTreeMap<String, String> {
    BTreeMap::from([("tenant".to_owned(), "blue".to_owned())])
}

fn trace() -> TraceContext {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    TraceContext::from_headers(Some(traceparent), Some("a=b"))
}

fn failure() -> Failure {
    let cause = Failure::new(FailureKind::Application, "no space left on device");
    let mut failure = Failure::new(FailureKind::Application, "copy failed")
        .with_type("std::io::Error")
        .not_retriable()
        .caused_by(cause);
    failure.details = Some(packed());
    failure
}
