//! Owns history: the append-only list of events that an execution's turns committed, the only truth there is.
//! Never decides anything: the engine replays these events, the hosts write them, everybody reads them.
//!
//! Codes are those of the Durable Task protocol's `HistoryEvent` (its oneof tags), so that another language's
//! SDK can drive the same engine. A code this version does not know reads as [`EventKind::Unknown`] and pauses
//! the instance: readers ship before writers. The byte format stands in `docs/protocol.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::failure::Failure;
use crate::id::{Dispatch, Fingerprint, FunctionName, MessageId, QueueName, StartId, TaskId};
use crate::instance::Status;
use crate::limits;
use crate::payload::Payload;
use crate::time::Timestamp;
use crate::trace::TraceContext;

/// One thing that happened to an execution.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryEvent {
    /// When, by the hub's clock; never before the event in front of it.
    pub time: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened. The order of the variants is that of their codes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// The execution began: always the second event, after the first turn's start.
    ExecutionStarted(ExecutionStarted),
    /// It ended: the last event but one.
    ExecutionCompleted(ExecutionCompleted),
    /// Somebody asked for its end; [`EventKind::ExecutionCompleted`] follows in the same turn.
    ExecutionTerminated(ExecutionTerminated),
    /// A task was handed out: to the activity workers, or to the orchestrator worker itself (an inline step).
    TaskScheduled(TaskScheduled),
    /// A task answered.
    TaskCompleted(TaskCompleted),
    /// A task failed; a retry is a new task.
    TaskFailed(TaskFailed),
    /// A timer was set.
    TimerCreated(TimerCreated),
    /// A timer's time has come.
    TimerFired(TimerFired),
    /// A turn began; its time is the orchestration's `now` until the next one.
    OrchestratorStarted,
    /// The turn's last event: everything it decided stands before it. Missing after a crash between the parts
    /// of a large turn; the next turn then commits what was left.
    OrchestratorCompleted,
    /// A kind that a newer version wrote.
    Unknown(u8),
}

/// Code and name of every kind this version writes, by code. Stored: pinned, never reused.
pub const EVENT_CODES: [(u8, &str); 10] = [
    (3, "ExecutionStarted"),
    (4, "ExecutionCompleted"),
    (5, "ExecutionTerminated"),
    (6, "TaskScheduled"),
    (7, "TaskCompleted"),
    (8, "TaskFailed"),
    (12, "TimerCreated"),
    (13, "TimerFired"),
    (14, "OrchestratorStarted"),
    (15, "OrchestratorCompleted"),
];

/// See [`EventKind::ExecutionStarted`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExecutionStarted {
    /// Which orchestration.
    #[serde(rename = "n")]
    pub name: FunctionName,
    /// The version asked for, if any.
    #[serde(rename = "ver", default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The author's input.
    #[serde(rename = "i")]
    pub input: Payload,
    /// The wish that started it.
    #[serde(rename = "sid")]
    pub start_id: StartId,
    /// Its tags.
    #[serde(rename = "tg", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Where the start came from, handed on to every step.
    #[serde(rename = "tc", default, skip_serializing_if = "TraceContext::is_empty")]
    pub trace: TraceContext,
}

/// See [`EventKind::ExecutionCompleted`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExecutionCompleted {
    /// How: completed, failed or terminated.
    #[serde(rename = "s")]
    pub status: Status,
    /// The output of a completed one.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    /// Why it failed.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// See [`EventKind::ExecutionTerminated`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExecutionTerminated {
    /// Why, as given by whoever asked.
    #[serde(rename = "r", default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The message that asked.
    #[serde(rename = "m")]
    pub message: MessageId,
}

/// See [`EventKind::TaskScheduled`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskScheduled {
    /// The task.
    #[serde(rename = "id")]
    pub task: TaskId,
    /// The activity's name, or the inline step's.
    #[serde(rename = "n")]
    pub name: FunctionName,
    /// What a result must carry to be believed.
    #[serde(rename = "fp")]
    pub fingerprint: Fingerprint,
    /// Where the task runs.
    #[serde(rename = "at")]
    pub place: Place,
    /// The author's input; absent for an inline step, whose input lives in its closure.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
    /// How long one run may take, in microseconds; absent = as long as the worker allows (`activity.attempt_max`).
    #[serde(
        rename = "to",
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_micros"
    )]
    pub timeout: Option<Duration>,
    /// Its tags.
    #[serde(rename = "tg", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Where a task runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Place {
    /// On any activity worker of this queue.
    #[serde(rename = "q")]
    Queue(QueueName),
    /// On the orchestrator worker, as an inline step.
    #[serde(rename = "in")]
    Inline,
}

/// See [`EventKind::TaskCompleted`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskCompleted {
    /// The task.
    #[serde(rename = "id")]
    pub task: TaskId,
    /// The dispatch that won.
    #[serde(rename = "dp", default)]
    pub dispatch: Dispatch,
    /// What it returned.
    #[serde(rename = "o")]
    pub output: Payload,
}

/// See [`EventKind::TaskFailed`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskFailed {
    /// The task.
    #[serde(rename = "id")]
    pub task: TaskId,
    /// The dispatch that answered.
    #[serde(rename = "dp", default)]
    pub dispatch: Dispatch,
    /// Why.
    #[serde(rename = "f")]
    pub failure: Failure,
}

/// See [`EventKind::TimerCreated`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimerCreated {
    /// The timer.
    #[serde(rename = "id")]
    pub task: TaskId,
    /// When it is due.
    #[serde(rename = "due")]
    pub due: Timestamp,
}

/// See [`EventKind::TimerFired`]. The event's time is never before `due`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimerFired {
    /// The timer.
    #[serde(rename = "id")]
    pub task: TaskId,
    /// When it was due.
    #[serde(rename = "due")]
    pub due: Timestamp,
}

impl EventKind {
    /// The stored code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::ExecutionStarted(_) => 3,
            Self::ExecutionCompleted(_) => 4,
            Self::ExecutionTerminated(_) => 5,
            Self::TaskScheduled(_) => 6,
            Self::TaskCompleted(_) => 7,
            Self::TaskFailed(_) => 8,
            Self::TimerCreated(_) => 12,
            Self::TimerFired(_) => 13,
            Self::OrchestratorStarted => 14,
            Self::OrchestratorCompleted => 15,
            Self::Unknown(code) => *code,
        }
    }

    /// The kind's name in the Durable Task protocol; `Unknown` for a code this version does not know.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let code = self.code();
        EVENT_CODES
            .iter()
            .find(|(known, _)| *known == code)
            .map_or("Unknown", |(_, name)| name)
    }

    /// The durable step that the event belongs to, if any.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::TaskScheduled(event) => Some(event.task),
            Self::TaskCompleted(event) => Some(event.task),
            Self::TaskFailed(event) => Some(event.task),
            Self::TimerCreated(event) => Some(event.task),
            Self::TimerFired(event) => Some(event.task),
            _ => None,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(code) => write!(f, "Unknown({code})"),
            known => f.write_str(known.name()),
        }
    }
}

/// The body of the kinds that have none: an empty map, so that fields can be added.
#[derive(Serialize, Deserialize)]
struct NoBody {}

impl Serialize for HistoryEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut event = serializer.serialize_struct("HistoryEvent", 3)?;
        event.serialize_field("k", &self.kind.code())?;
        event.serialize_field("t", &self.time)?;
        match &self.kind {
            EventKind::ExecutionStarted(body) => event.serialize_field("d", body)?,
            EventKind::ExecutionCompleted(body) => event.serialize_field("d", body)?,
            EventKind::ExecutionTerminated(body) => event.serialize_field("d", body)?,
            EventKind::TaskScheduled(body) => event.serialize_field("d", body)?,
            EventKind::TaskCompleted(body) => event.serialize_field("d", body)?,
            EventKind::TaskFailed(body) => event.serialize_field("d", body)?,
            EventKind::TimerCreated(body) => event.serialize_field("d", body)?,
            EventKind::TimerFired(body) => event.serialize_field("d", body)?,
            EventKind::OrchestratorStarted | EventKind::OrchestratorCompleted | EventKind::Unknown(_) => {
                event.serialize_field("d", &NoBody {})?;
            }
        }
        event.end()
    }
}

impl<'de> Deserialize<'de> for HistoryEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventVisitor)
    }
}

/// Reads `{k, t, d}` with `k` before `d`, since the code says how to read the body; unknown fields are passed over.
struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = HistoryEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a history event: a map of k (code), t (time) and d (body), in this order")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HistoryEvent, A::Error> {
        let (mut code, mut time, mut kind) = (None, None, None);
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Code => code = Some(map.next_value::<u8>()?),
                Field::Time => time = Some(map.next_value::<Timestamp>()?),
                Field::Body => {
                    let code = code.ok_or_else(|| de::Error::custom("the body d comes before its code k"))?;
                    kind = Some(read_body(code, &mut map)?);
                }
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(HistoryEvent {
            time: time.ok_or_else(|| de::Error::missing_field("t"))?,
            kind: kind.ok_or_else(|| de::Error::missing_field("d"))?,
        })
    }
}

fn read_body<'de, A: MapAccess<'de>>(code: u8, map: &mut A) -> Result<EventKind, A::Error> {
    Ok(match code {
        3 => EventKind::ExecutionStarted(map.next_value()?),
        4 => EventKind::ExecutionCompleted(map.next_value()?),
        5 => EventKind::ExecutionTerminated(map.next_value()?),
        6 => EventKind::TaskScheduled(map.next_value()?),
        7 => EventKind::TaskCompleted(map.next_value()?),
        8 => EventKind::TaskFailed(map.next_value()?),
        12 => EventKind::TimerCreated(map.next_value()?),
        13 => EventKind::TimerFired(map.next_value()?),
        14 => map
            .next_value::<NoBody>()
            .map(|NoBody {}| EventKind::OrchestratorStarted)?,
        15 => map
            .next_value::<NoBody>()
            .map(|NoBody {}| EventKind::OrchestratorCompleted)?,
        unknown => {
            map.next_value::<IgnoredAny>()?;
            EventKind::Unknown(unknown)
        }
    })
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Field {
    #[serde(rename = "k")]
    Code,
    #[serde(rename = "t")]
    Time,
    #[serde(rename = "d")]
    Body,
    #[serde(other)]
    Other,
}

/// Several events as one stored value: the concatenation of their encodings, without a count.
///
/// # Errors
/// What the encoder said; it refuses nothing that this crate builds.
pub fn encode_events(events: &[HistoryEvent]) -> Result<Bytes, rmp_serde::encode::Error> {
    let mut out = Vec::with_capacity(events.len() * 64);
    for event in events {
        rmp_serde::encode::write_named(&mut out, event)?;
    }
    Ok(out.into())
}

/// The events of one stored value.
///
/// # Errors
/// What the decoder said about the first event that cannot be read.
pub fn decode_events(stored: &[u8]) -> Result<Vec<HistoryEvent>, rmp_serde::decode::Error> {
    let mut rest = stored;
    let mut events = Vec::new();
    while !rest.is_empty() {
        let mut reader = rmp_serde::Deserializer::new(&mut rest);
        reader.set_max_depth(limits::BODY_DEPTH_MAX);
        events.push(HistoryEvent::deserialize(&mut reader)?);
    }
    Ok(events)
}

mod optional_micros {
    //! Owns how a span is stored: whole microseconds, unsigned.
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        span.map(|span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_micros))
    }
}
