//! Owns how a message's properties look on the wire, in both directions.
//! Never trusts what comes in: a foreign service may have written anything, or nothing.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use longhaul_shared::message::{Incoming, Publication};
use longhaul_shared::trace::TraceContext;

/// Longest text of a property or a queue name, in bytes: AMQP counts it in one byte.
const SHORT_BYTES_MAX: usize = 255;

/// AMQP's delivery mode of a message that is to survive a restart of the broker.
const PERSISTENT: u8 = 2;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The text as AMQP can hold it, cut at a character where it is too long.
pub(super) fn short(text: &str) -> ShortString {
    let cut = (0..=SHORT_BYTES_MAX.min(text.len()))
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or_default();
    ShortString::try_new(cut).unwrap_or_default()
}

/// The properties of a message on its way out.
pub(super) fn outgoing(publication: &Publication) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short(&publication.id.to_string()))
        .with_type(short(&publication.kind))
        .with_content_type(short(&publication.content_type));
    if let Some(correlation) = &publication.correlation {
        properties = properties.with_correlation_id(short(correlation));
    }
    if let Ok(seconds) = u64::try_from(publication.time.micros().div_euclid(1_000_000)) {
        properties = properties.with_timestamp(seconds);
    }
    match headers(&publication.trace) {
        Some(headers) => properties.with_headers(headers),
        None => properties,
    }
}

/// A delivery as the rest of the program sees it.
pub(super) fn incoming(delivery: Delivery) -> Incoming {
    let properties = &delivery.properties;
    let text = |property: &Option<ShortString>| property.as_ref().map(ToString::to_string);
    Incoming {
        message_id: text(properties.message_id()),
        kind: text(properties.kind()),
        content_type: text(properties.content_type()),
        trace: trace(properties.headers().as_ref()),
        body: delivery.data.into(),
    }
}

fn headers(trace: &TraceContext) -> Option<FieldTable> {
    let traceparent = trace.traceparent.as_ref()?;
    let mut headers = FieldTable::default();
    let mut add = |name: &str, value: &str| {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    add(TRACEPARENT, traceparent);
    if let Some(tracestate) = &trace.tracestate {
        add(TRACESTATE, tracestate);
    }
    Some(headers)
}

fn trace(headers: Option<&FieldTable>) -> TraceContext {
    let header = |name: &str| match headers?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    };
    TraceContext::from_headers(header(TRACEPARENT), header(TRACESTATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character() {
        let check = |text: &str, bytes: usize| {
            let cut = short(text);
            assert_eq!(cut.as_str().len(), bytes);
            assert!(text.starts_with(cut.as_str()));
        };
        check("", 0);
        check("order-17", 8);
        check(&"x".repeat(255), 255);
        check(&"x".repeat(300), 255);
        check(&"ü".repeat(200), 254);
        check(&"🚢".repeat(100), 252);
    }

    #[test]
    fn trace_context_survives_both_ways_and_junk_does_not() {
        let trace_context = TraceContext::from_headers(Some("00-4bf9-00f0-01"), Some("a=b"));
        assert_eq!(trace(headers(&trace_context).as_ref()), trace_context);
        assert!(headers(&TraceContext::default()).is_none());
        let mut junk = FieldTable::default();
        junk.insert(TRACEPARENT.into(), AMQPValue::LongInt(5));
        assert!(trace(Some(&junk)).is_empty());
        junk.insert(TRACEPARENT.into(), AMQPValue::LongString(vec![0xff, 0xfe].into()));
        assert!(trace(Some(&junk)).is_empty());
    }
}
