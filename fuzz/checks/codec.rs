//! Owns what must hold for any bytes that come as a message or lie in a history: reading them never panics, and what
//! was read is written and read again as the same.
//! Never wants particular bytes: those are the golden files'.

use longhaul_shared::codec::{decode, decode_control, decode_work, encode};
use longhaul_shared::history::{EventKind, decode_events, encode_events};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::trace::TraceContext;

/// Checks it for these bytes. The first says what they are to be read as.
pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    match kind {
        b'c' => {
            if let Ok(mut envelopes) = decode_control(body) {
                let written = encode(&envelopes);
                envelopes
                    .iter_mut()
                    .for_each(|envelope| settle(&mut envelope.trace));
                assert_eq!(
                    decode_control(&written).as_ref(),
                    Ok(&envelopes),
                    "a control message"
                );
            }
        }
        b'w' => {
            if let Ok(mut items) = decode_work(body) {
                let written = encode(&items);
                items.iter_mut().for_each(|item| settle(&mut item.trace));
                assert_eq!(decode_work(&written).as_ref(), Ok(&items), "work items");
            }
        }
        b'p' => {
            if let Ok(mut parked) = decode::<ParkedMessage>("parked message", body) {
                let written = encode(&parked);
                settle(&mut parked.trace);
                let again = decode::<ParkedMessage>("parked message", &written);
                assert_eq!(again.as_ref(), Ok(&parked), "a parked message");
            }
        }
        _ => {
            if let Ok(mut events) = decode_events(body) {
                let written = encode_events(&events);
                for event in &mut events {
                    if let EventKind::ExecutionStarted(started) = &mut event.kind {
                        settle(&mut started.trace);
                    }
                }
                match written.map(|stored| decode_events(&stored)) {
                    Ok(Ok(again)) => assert_eq!(again, events, "events"),
                    wrong => panic!("events that were just read cannot be written and read: {wrong:?}"),
                }
            }
        }
    }
}

/// A `tracestate` without a `traceparent` means nothing, and is not handed on.
fn settle(trace: &mut TraceContext) {
    if trace.is_empty() {
        *trace = TraceContext::default();
    }
}
