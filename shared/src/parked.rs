//! Owns the parked message: one set aside with its reason, listed, and able to be sent again.
//! Never decides to park: the loop that cannot process a message does.

use serde::{Deserialize, Serialize};

use crate::id::ParkedId;
use crate::message::{Destination, Incoming};
use crate::time::Timestamp;
use crate::trace::TraceContext;
use bytes::Bytes;

/// A message set aside because it cannot be processed as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ParkedMessage {
    /// Its id: the same message parked twice is kept once.
    #[serde(rename = "id")]
    pub id: ParkedId,
    /// When it was parked.
    #[serde(rename = "at")]
    pub time: Timestamp,
    /// Where it came from, and goes when it is requeued.
    #[serde(rename = "from")]
    pub origin: Destination,
    /// The error code, e.g. `LH1001`.
    #[serde(rename = "c")]
    pub code: String,
    /// Why, for people.
    #[serde(rename = "r")]
    pub reason: String,
    /// AMQP `message_id` as received.
    #[serde(rename = "mid", default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// AMQP `type` as received.
    #[serde(rename = "ty", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// AMQP `content_type` as received.
    #[serde(rename = "ct", default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its trace headers.
    #[serde(rename = "tc", default, skip_serializing_if = "TraceContext::is_empty")]
    pub trace: TraceContext,
    /// The body as received.
    #[serde(rename = "d")]
    pub body: Bytes,
}

impl ParkedMessage {
    /// Sets a received message aside for this reason.
    #[must_use]
    pub fn new(origin: Destination, code: &str, reason: String, time: Timestamp, message: Incoming) -> Self {
        let origin_text = format!("{origin:?}");
        let id = ParkedId::of(&[
            origin_text.as_bytes(),
            message.message_id.as_deref().unwrap_or_default().as_bytes(),
            &message.body,
        ]);
        let Incoming {
            message_id,
            kind,
            content_type,
            trace,
            body,
        } = message;
        Self {
            id,
            time,
            origin,
            code: code.to_owned(),
            reason,
            message_id,
            kind,
            content_type,
            trace,
            body,
        }
    }
}
