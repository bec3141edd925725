//! Owns the trace context that a start carries and every later step hands on: W3C `traceparent`, `tracestate`.
//! Never makes spans: it keeps what came from outside, passes it on unchanged, and knows where in that trace an
//! execution stands.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3;

use crate::id::ExecutionId;

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
    /// The place of an execution whose start carried this context: the parent of its turns and attempts.
    ///
    /// Everybody who knows the execution computes the same, so no message has to carry it. A span id of its own in
    /// the trace of the start; a trace of its own, whose id is the execution's, if the start was in none.
    #[must_use]
    pub fn of_execution(&self, execution: ExecutionId) -> Self {
        let bits = execution.bits();
        let span = xxh3::xxh3_64(&bits.to_be_bytes()).max(1);
        match self.traceparent.as_deref().and_then(trace_and_flags) {
            Some((trace, flags)) => Self {
                traceparent: Some(format!("00-{trace}-{span:016x}-{flags}")),
                tracestate: self.tracestate.clone(),
            },
            None => Self {
                traceparent: Some(format!("00-{:032x}-{span:016x}-01", bits.max(1))),
                tracestate: None,
            },
        }
    }
}

/// The trace id and the flags of a `traceparent` that the W3C recommendation calls valid
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>); of a later version, what all versions begin with.
fn trace_and_flags(traceparent: &str) -> Option<(&str, &str)> {
    let mut parts = traceparent.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_nothing = |text: &str| text.bytes().all(|b| b == b'0');
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_hex(trace, 32)
        && !is_nothing(trace)
        && is_hex(parent, 16)
        && !is_nothing(parent)
        && is_hex(flags, 2);
    is_valid.then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn placed(traceparent: &str, execution: u128) -> String {
        let context = TraceContext::from_headers(Some(traceparent), Some("a=b"));
        let placed = context.of_execution(ExecutionId::from_bits(execution));
        placed.traceparent.unwrap()
    }

    #[test]
    fn an_execution_stands_in_the_trace_of_its_start() {
        let one = placed(&format!("00-{TRACE}-00f067aa0ba902b7-00"), 1);
        assert!(
            one.starts_with(&format!("00-{TRACE}-")) && one.ends_with("-00"),
            "{one}"
        );
        assert!(!one.contains("00f067aa0ba902b7"), "{one}");
        let other = placed(&format!("00-{TRACE}-00f067aa0ba902b7-00"), 2);
        assert_ne!(one, other);
        assert_eq!(
            one,
            placed(&format!("cc-{TRACE}-00f067aa0ba902b7-00-what-else"), 1)
        );
    }

    #[test]
    fn what_an_execution_is_computed_to_be_is_a_promise() {
        // Workers of two versions see one trace: this must not change.
        assert_eq!(
            placed(&format!("00-{TRACE}-00f067aa0ba902b7-01"), 0xfeed),
            format!("00-{TRACE}-d2c866b5ab06258d-01")
        );
    }

    #[test]
    fn an_execution_whose_start_was_in_no_trace_begins_one() {
        let none = TraceContext::default().of_execution(ExecutionId::from_bits(0xfeed));
        let traceparent = none.traceparent.unwrap();
        assert!(
            traceparent.starts_with("00-0000000000000000000000000000feed-"),
            "{traceparent}"
        );
        assert!(none.tracestate.is_none());
        for wrong in [
            "",
            "nonsense",
            "00-aa-bb-01",
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
        ] {
            assert_eq!(placed(wrong, 0xfeed), traceparent, "{wrong}");
        }
    }
}
