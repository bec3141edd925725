//! Owns what must hold for any bytes that come as a message or lie in a history: reading them never panics, and what
//! was read is written and read again as the same.
//! Never wants particular bytes: those are the golden files'.

use longhaul_shared::codec::{decode, decode_control, decode_work_item, encode};
use longhaul_shared::history::{decode_events, encode_events};
use longhaul_shared::parked::ParkedMessage;

/// Checks it for these bytes. The first says what they are to be read as.
pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    match kind {
        b'c' => {
            if let Ok(envelopes) = decode_control(body) {
                let again = decode_control(&encode(&envelopes));
                assert_eq!(again.as_ref(), Ok(&envelopes), "a control message");
            }
        }
        b'w' => {
            if let Ok(item) = decode_work_item(body) {
                assert_eq!(
                    decode_work_item(&encode(&item)).as_ref(),
                    Ok(&item),
                    "a work item"
                );
            }
        }
        b'p' => {
            if let Ok(parked) = decode::<ParkedMessage>("parked message", body) {
                let again = decode::<ParkedMessage>("parked message", &encode(&parked));
                assert_eq!(again.as_ref(), Ok(&parked), "a parked message");
            }
        }
        _ => {
            if let Ok(events) = decode_events(body) {
                let again = encode_events(&events).map(|stored| decode_events(&stored));
                match again {
                    Ok(Ok(again)) => assert_eq!(again, events, "events"),
                    wrong => panic!("events that were just read cannot be written and read: {wrong:?}"),
                }
            }
        }
    }
}
