//! Owns what travels through the broker: work items, control envelopes, and the message of a foreign service.
//! Never says where a queue is or how a confirm works: that is the broker adapter's.
//!
//! Every message may arrive twice, late, or in another order. Its id names what it means, so a copy has the
//! same id; what it claims is checked against history before it changes anything.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::failure::Failure;
use crate::id::{
    Dispatch, EventSeq, ExecutionKey, Fingerprint, FunctionName, InstanceId, MessageId, ParkedId,
    PartitionId, QueueName, TaskId,
};
use crate::payload::Payload;
use crate::time::Timestamp;
use crate::trace::TraceContext;

/// The version of every body in this module. A reader parks what is newer.
pub const BODY_VERSION: u16 = 1;

/// Names one task of one execution, and what exactly was scheduled under that name. A result must repeat it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TaskIdentity {
    /// Whose task.
    #[serde(rename = "k")]
    pub key: ExecutionKey,
    /// Which.
    #[serde(rename = "t")]
    pub task: TaskId,
    /// Where in history it was scheduled.
    #[serde(rename = "sq")]
    pub scheduled_seq: EventSeq,
    /// The fingerprint stored there.
    #[serde(rename = "fp")]
    pub fingerprint: Fingerprint,
}

/// A request to run one activity task once. Body of a message on a work queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkItem {
    /// [`BODY_VERSION`] of its writer.
    #[serde(rename = "v")]
    pub version: u16,
    /// Which task.
    #[serde(rename = "id")]
    pub identity: TaskIdentity,
    /// Which sending of it.
    #[serde(rename = "dp")]
    pub dispatch: Dispatch,
    /// How often before it came back as not hosted; sets the next delay.
    #[serde(rename = "nh", default)]
    pub times_not_hosted: u32,
    /// Whether an earlier sending of the task may have been begun, by a worker of which nobody knows what became.
    /// Whoever begins this one counts it, as it counts a delivery that comes again.
    #[serde(rename = "rs", default, skip_serializing_if = "std::ops::Not::not")]
    pub resent: bool,
    /// How many runs of it were given up because they took too long.
    #[serde(rename = "ov", default, skip_serializing_if = "is_zero")]
    pub overran: u32,
    /// Which activity.
    #[serde(rename = "n")]
    pub name: FunctionName,
    /// The queue it was sent to.
    #[serde(rename = "q")]
    pub queue: QueueName,
    /// Where the result goes.
    #[serde(rename = "r")]
    pub reply_to: PartitionId,
    /// The author's input.
    #[serde(rename = "i")]
    pub input: Payload,
    /// How long one run may take, in microseconds; absent = as long as the worker allows (`activity.attempt_max`).
    #[serde(rename = "to", default, skip_serializing_if = "Option::is_none")]
    pub timeout_micros: Option<u64>,
    /// Its tags.
    #[serde(rename = "tg", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Where the instance's start came from.
    #[serde(rename = "tc", default, skip_serializing_if = "TraceContext::is_empty")]
    pub trace: TraceContext,
    /// When it was scheduled.
    #[serde(rename = "at")]
    pub scheduled: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl WorkItem {
    /// The message id of this sending. Its time is in it: a store that has forgotten commits counts them anew, and the
    /// same task may be sent under the same number once more.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        let sending = self.identity.message_id(b"work", self.dispatch);
        MessageId::of(&[b"sent", &sending.bytes(), &self.scheduled.micros().to_be_bytes()])
    }

    /// How long one run may take.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_micros.map(Duration::from_micros)
    }
}

impl TaskIdentity {
    /// Names the task among the counted attempts, see
    /// [`Store::count_work_attempt`](crate::port::Store::count_work_attempt): the same for every sending.
    #[must_use]
    pub fn attempts_id(&self) -> MessageId {
        self.message_id(b"attempts", Dispatch(0))
    }

    /// The id under which the task is parked: the same for every sending, so that it is parked once.
    #[must_use]
    pub fn parked_id(&self) -> ParkedId {
        ParkedId::from_bits(self.message_id(b"parked", Dispatch(0)).bits())
    }

    fn message_id(&self, kind: &[u8], dispatch: Dispatch) -> MessageId {
        MessageId::of(&[
            kind,
            self.key.instance.as_str().as_bytes(),
            &self.key.execution.bytes(),
            &self.task.0.to_be_bytes(),
            &self.scheduled_seq.0.to_be_bytes(),
            &self.fingerprint.0.to_be_bytes(),
            &dispatch.0.to_be_bytes(),
        ])
    }
}

/// Something an instance must know of. A control message holds a list of these; an inbox holds them one by one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// [`BODY_VERSION`] of its writer.
    #[serde(rename = "v")]
    pub version: u16,
    /// Names what it means: a copy has the same id.
    #[serde(rename = "id")]
    pub id: MessageId,
    /// Whom it is for.
    #[serde(rename = "i")]
    pub instance: InstanceId,
    /// What it says.
    #[serde(rename = "b")]
    pub body: EnvelopeBody,
    /// Where it came from, if that is not the instance's own start.
    #[serde(rename = "tc", default, skip_serializing_if = "TraceContext::is_empty")]
    pub trace: TraceContext,
}

/// What an envelope says. The names are sent and stored: pinned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EnvelopeBody {
    /// Look at your row and your inbox: something is new there.
    #[serde(rename = "wake")]
    Wake {},
    /// A task answered.
    #[serde(rename = "done")]
    TaskDone(TaskDone),
    /// A worker does not host the activity it was sent.
    #[serde(rename = "nohost")]
    NotHosted(NotHosted),
    /// The work item of a task was parked: nobody works on it until it is requeued.
    #[serde(rename = "parked")]
    TaskParked(TaskParked),
    /// End the instance.
    #[serde(rename = "term")]
    Terminate {
        /// Why, for its history.
        #[serde(rename = "r", default)]
        reason: String,
    },
}

/// See [`EnvelopeBody::TaskDone`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskDone {
    /// Which task, as its work item said.
    #[serde(rename = "id")]
    pub identity: TaskIdentity,
    /// Which sending answered.
    #[serde(rename = "dp")]
    pub dispatch: Dispatch,
    /// The answer.
    #[serde(rename = "r")]
    pub result: TaskResult,
    /// How long the run took, in microseconds. Whoever sends work learns from it what may travel together.
    #[serde(rename = "us", default, skip_serializing_if = "Option::is_none")]
    pub took_micros: Option<u64>,
}

/// A task's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TaskResult {
    /// What it returned.
    #[serde(rename = "ok")]
    Completed(Payload),
    /// Why it failed.
    #[serde(rename = "err")]
    Failed(Failure),
}

/// See [`EnvelopeBody::NotHosted`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotHosted {
    /// Which task.
    #[serde(rename = "id")]
    pub identity: TaskIdentity,
    /// Which sending.
    #[serde(rename = "dp")]
    pub dispatch: Dispatch,
    /// How often it came back, this time included.
    #[serde(rename = "nh")]
    pub times: u32,
    /// The activity that was asked for.
    #[serde(rename = "n")]
    pub name: FunctionName,
    /// The queue on which.
    #[serde(rename = "q")]
    pub queue: QueueName,
}

/// See [`EnvelopeBody::TaskParked`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskParked {
    /// Which task.
    #[serde(rename = "id")]
    pub identity: TaskIdentity,
    /// Which sending.
    #[serde(rename = "dp")]
    pub dispatch: Dispatch,
    /// Its activity.
    #[serde(rename = "n")]
    pub name: FunctionName,
    /// The error code, e.g. `LH1302`.
    #[serde(rename = "c")]
    pub code: String,
    /// The parked message.
    #[serde(rename = "p")]
    pub parked: ParkedId,
}

impl Envelope {
    /// A nudge to look at row and inbox. All wakes of an instance are alike.
    #[must_use]
    pub fn wake(instance: InstanceId) -> Self {
        let id = MessageId::of(&[b"wake", instance.as_str().as_bytes()]);
        Self::new(id, instance, EnvelopeBody::Wake {})
    }

    /// A task's answer, addressed to its instance. Every answer of one sending has the same id.
    #[must_use]
    pub fn task_done(identity: TaskIdentity, dispatch: Dispatch, result: TaskResult) -> Self {
        let id = identity.message_id(b"done", dispatch);
        let instance = identity.key.instance.clone();
        Self::new(
            id,
            instance,
            EnvelopeBody::TaskDone(TaskDone {
                identity,
                dispatch,
                result,
                took_micros: None,
            }),
        )
    }

    /// The same, saying how long the run took; nothing changes in what is not a task's answer.
    #[must_use]
    pub fn that_took(mut self, span: Duration) -> Self {
        if let EnvelopeBody::TaskDone(done) = &mut self.body {
            done.took_micros = Some(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
        }
        self
    }

    /// The report that a work item's activity is not hosted.
    #[must_use]
    pub fn not_hosted(item: &WorkItem) -> Self {
        let id = item.identity.message_id(b"nohost", item.dispatch);
        let instance = item.identity.key.instance.clone();
        let body = NotHosted {
            identity: item.identity.clone(),
            dispatch: item.dispatch,
            times: item.times_not_hosted.saturating_add(1),
            name: item.name.clone(),
            queue: item.queue.clone(),
        };
        Self::new(id, instance, EnvelopeBody::NotHosted(body))
    }

    /// The report that a work item was parked for this reason.
    #[must_use]
    pub fn task_parked(item: &WorkItem, code: Code) -> Self {
        let id = item.identity.message_id(b"parked", item.dispatch);
        let instance = item.identity.key.instance.clone();
        let body = TaskParked {
            identity: item.identity.clone(),
            dispatch: item.dispatch,
            name: item.name.clone(),
            code: code.to_string(),
            parked: item.identity.parked_id(),
        };
        Self::new(id, instance, EnvelopeBody::TaskParked(body))
    }

    /// The wish to end an instance, under an id of the asker's choice.
    #[must_use]
    pub fn terminate(id: MessageId, instance: InstanceId, reason: String) -> Self {
        Self::new(id, instance, EnvelopeBody::Terminate { reason })
    }

    fn new(id: MessageId, instance: InstanceId, body: EnvelopeBody) -> Self {
        Self {
            version: BODY_VERSION,
            id,
            instance,
            body,
            trace: TraceContext::default(),
        }
    }
}

/// Where a message goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Destination {
    /// The control queue of a partition: read by its owner.
    #[serde(rename = "ctl")]
    Control(PartitionId),
    /// A task queue: read by activity workers.
    #[serde(rename = "act")]
    Work(QueueName),
    /// Where any service publishes starts.
    #[serde(rename = "intake")]
    Intake,
    /// Copies of what was parked, for the broker's own tools.
    #[serde(rename = "dead")]
    Dead,
}

/// How a body is written, as its content type says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentType {
    /// `application/msgpack`; `application/x-msgpack` and `application/vnd.msgpack` are read as well.
    Msgpack,
    /// `application/json`, with or without parameters.
    Json,
}

impl ContentType {
    /// The content type as Longhaul writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Msgpack => "application/msgpack",
            Self::Json => "application/json",
        }
    }

    /// Reads a content type, parameters aside; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let essence = text
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match essence.as_str() {
            "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
                Some(Self::Msgpack)
            }
            "application/json" | "text/json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// A message on its way into the broker; also what the outbox keeps until the broker confirmed it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Publication {
    /// Where to.
    #[serde(rename = "to")]
    pub destination: Destination,
    /// Names what it means.
    #[serde(rename = "id")]
    pub id: MessageId,
    /// AMQP `type`, for people and tools: `work`, `control`, `start`, `parked`.
    #[serde(rename = "ty")]
    pub kind: String,
    /// AMQP `correlation_id`, for people and tools: the instance, cut to what AMQP can hold.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// AMQP `content_type`.
    #[serde(rename = "ct")]
    pub content_type: String,
    /// When it was made, by the hub's clock.
    #[serde(rename = "at")]
    pub time: Timestamp,
    /// Goes into the headers `traceparent` and `tracestate`.
    #[serde(rename = "tc", default, skip_serializing_if = "TraceContext::is_empty")]
    pub trace: TraceContext,
    /// The body.
    #[serde(rename = "d")]
    pub body: Bytes,
}

/// A message as the broker delivered it, foreign ones included: nothing about it is certain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Incoming {
    /// AMQP `message_id`, as text.
    pub message_id: Option<String>,
    /// AMQP `type`.
    pub kind: Option<String>,
    /// AMQP `content_type`.
    pub content_type: Option<String>,
    /// Headers `traceparent` and `tracestate`.
    pub trace: TraceContext,
    /// The body.
    pub body: Bytes,
}

/// As a broker delivers it that loses none of it.
impl From<Publication> for Incoming {
    fn from(publication: Publication) -> Self {
        Self {
            message_id: Some(publication.id.to_string()),
            kind: Some(publication.kind),
            content_type: Some(publication.content_type),
            trace: publication.trace,
            body: publication.body,
        }
    }
}
