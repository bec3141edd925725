//! Owns the trace context that a start carries and every later step hands on: W3C `traceparent`, `tracestate`.
//! Never makes spans: it only keeps what came from outside and passes it on unchanged.

use serde::{Deserialize, Serialize};

/// The longest `traceparent` or `tracestate` kept, in bytes; a longer one is dropped.
pub const TRACE_BYTES_MAX: usize = 512;

/// W3C trace context, or nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TraceContext {
    /// The `traceparent` header, e.g. `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
    #[serde(rename = "tp", default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The `tracestate` header.
    #[serde(rename = "ts", default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

impl TraceContext {
    /// The context of these headers; a header that is not printable ASCII or is too long counts as absent.
    #[must_use]
    pub fn from_headers(traceparent: Option<&str>, tracestate: Option<&str>) -> Self {
        let kept = |header: Option<&str>| {
            header
                .filter(|h| !h.is_empty() && h.len() <= TRACE_BYTES_MAX)
                .filter(|h| h.bytes().all(|b| (0x20..0x7f).contains(&b)))
                .map(str::to_owned)
        };
        let traceparent = kept(traceparent);
        let tracestate = traceparent.as_ref().and_then(|_| kept(tracestate));
        Self {
            traceparent,
            tracestate,
        }
    }

    /// Whether there is nothing to hand on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.traceparent.is_none()
    }
}
