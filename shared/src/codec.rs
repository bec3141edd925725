//! Owns how the bodies of messages become bytes and come back: msgpack maps with named fields, versioned and
//! size-checked. Never reads AMQP properties beyond what a caller hands in.
//!
//! Named fields, so that an old reader passes over what a newer writer added; positional msgpack would break it.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::id::{FunctionName, InstanceId, MessageId, ParkedId, PartitionId};
use crate::limits;
use crate::message::{BODY_VERSION, ContentType, Destination, Envelope, Incoming, Publication, WorkItem};
use crate::parked::ParkedMessage;
use crate::time::Timestamp;
use crate::trace::TraceContext;

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// They do not follow the format.
    #[error("[LH1402] the {what} cannot be read: {reason}")]
    Undecodable {
        /// What the bytes should have been.
        what: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// A newer version wrote them.
    #[error(
        "[LH1403] the {what} has version {version}, this program reads up to {BODY_VERSION}: upgrade this program first"
    )]
    TooNew {
        /// What the bytes are.
        what: &'static str,
        /// Their version.
        version: u16,
    },
    /// Nothing is in them.
    #[error("[LH1402] the {what} is empty")]
    Empty {
        /// What the bytes should have been.
        what: &'static str,
    },
}

/// Encodes a value that this crate defines. Such values hold only maps, numbers, texts and bytes, which msgpack
/// always takes, so there is no error to report.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    #[expect(
        clippy::expect_used,
        reason = "writing msgpack to memory fails only for types that refuse to serialize; ours derive"
    )]
    rmp_serde::to_vec_named(value)
        .expect("a derived Serialize into memory")
        .into()
}

/// Reads a value that this crate defines.
///
/// # Errors
/// [`BodyError::Undecodable`] with what the decoder said.
pub fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, BodyError> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(limits::BODY_DEPTH_MAX);
    T::deserialize(&mut reader).map_err(|e| BodyError::Undecodable {
        what,
        reason: e.to_string(),
    })
}

/// Reads the body of a control message: one or more envelopes.
///
/// # Errors
/// [`BodyError`] when it is not one, is empty, or holds an envelope of a newer version.
pub fn decode_control(bytes: &[u8]) -> Result<Vec<Envelope>, BodyError> {
    let what = "control message";
    let envelopes: Vec<Envelope> = decode(what, bytes)?;
    if envelopes.is_empty() {
        return Err(BodyError::Empty { what });
    }
    match envelopes.iter().find(|envelope| envelope.version > BODY_VERSION) {
        Some(newer) => Err(BodyError::TooNew {
            what,
            version: newer.version,
        }),
        None => Ok(envelopes),
    }
}

/// Reads a work item.
///
/// # Errors
/// [`BodyError`] when it is not one or a newer version wrote it.
pub fn decode_work_item(bytes: &[u8]) -> Result<WorkItem, BodyError> {
    checked_version(decode(WORK_ITEM, bytes)?)
}

/// Reads the body of a message on a work queue: a work item, or a list of them.
///
/// # Errors
/// [`BodyError`] when it is neither, an empty list, or holds a work item of a newer version.
pub fn decode_work(bytes: &[u8]) -> Result<Vec<WorkItem>, BodyError> {
    // The markers of a msgpack array: fixarray, array 16, array 32.
    let is_list = matches!(bytes.first(), Some(0x90..=0x9f | 0xdc | 0xdd));
    if !is_list {
        return Ok(vec![decode_work_item(bytes)?]);
    }
    let items: Vec<WorkItem> = decode(WORK_ITEM, bytes)?;
    if items.is_empty() {
        return Err(BodyError::Empty { what: WORK_ITEM });
    }
    items.into_iter().map(checked_version).collect()
}

const WORK_ITEM: &str = "work item";

fn checked_version(item: WorkItem) -> Result<WorkItem, BodyError> {
    if item.version > BODY_VERSION {
        return Err(BodyError::TooNew {
            what: WORK_ITEM,
            version: item.version,
        });
    }
    Ok(item)
}

/// Splits envelopes into as few groups as the bounds of a control message allow, in order. A group encodes as the
/// body of one message.
#[must_use]
pub fn group_control(envelopes: &[Envelope]) -> Vec<&[Envelope]> {
    let mut groups = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, envelope) in envelopes.iter().enumerate() {
        let envelope_bytes = encode(envelope).len();
        let is_full = index - start == limits::ENVELOPES_PER_MESSAGE_MAX
            || (index > start && bytes + envelope_bytes > limits::ENVELOPES_BYTES_MAX);
        if is_full {
            groups.extend(envelopes.get(start..index));
            start = index;
            bytes = 0;
        }
        bytes += envelope_bytes;
    }
    groups.extend(envelopes.get(start..).filter(|rest| !rest.is_empty()));
    groups
}

/// The message that carries a work item.
#[must_use]
pub fn work_message(item: &WorkItem, time: Timestamp) -> Publication {
    Publication {
        destination: Destination::Work(item.queue.clone()),
        id: item.message_id(),
        kind: "work".to_owned(),
        correlation: Some(item.identity.key.instance.to_string()),
        content_type: ContentType::Msgpack.as_str().to_owned(),
        time,
        trace: item.trace.clone(),
        body: encode(item),
    }
}

/// One message with the work items of several, which go to the same queue: at least one, and at most
/// [`limits::WORK_ITEMS_PER_MESSAGE_MAX`] of them.
#[must_use]
pub fn shared_work_message(first: Publication, others: &[Publication]) -> Publication {
    if others.is_empty() {
        return first;
    }
    let ids: Vec<_> = std::iter::once(&first)
        .chain(others)
        .map(|one| one.id.bytes())
        .collect();
    let mut parts: Vec<&[u8]> = vec![b"works"];
    parts.extend(ids.iter().map(<[u8; 16]>::as_slice));
    // A msgpack array of what are complete values already.
    let count = u16::try_from(ids.len()).unwrap_or(u16::MAX);
    let mut body = vec![0xdc];
    body.extend(count.to_be_bytes());
    for one in std::iter::once(&first).chain(others) {
        body.extend_from_slice(&one.body);
    }
    Publication {
        id: MessageId::of(&parts),
        correlation: None,
        trace: TraceContext::default(),
        body: body.into(),
        ..first
    }
}

/// The activity that the work item in a body asks for; `None` if it cannot be read, or a newer version wrote it.
#[must_use]
pub fn activity_of(body: &[u8]) -> Option<FunctionName> {
    #[derive(Deserialize)]
    struct Named {
        v: u16,
        n: FunctionName,
    }
    let named: Named = decode(WORK_ITEM, body).ok()?;
    (named.v <= BODY_VERSION).then_some(named.n)
}

/// A message of the outbox that somebody may have published before: if it carries a work item, that says so.
#[must_use]
pub fn published_again(message: Publication) -> Publication {
    if !matches!(message.destination, Destination::Work(_)) {
        return message;
    }
    match decode_work_item(&message.body) {
        Ok(item) => Publication {
            body: encode(&WorkItem { resent: true, ..item }),
            ..message
        },
        Err(_) => message,
    }
}

/// The message that wakes an instance.
#[must_use]
pub fn wake_message(partition: PartitionId, instance: InstanceId, time: Timestamp) -> Publication {
    let correlation = Some(instance.to_string());
    Publication {
        correlation,
        ..control_message(partition, encode(&[Envelope::wake(instance)]), time)
    }
}

/// The message that carries an encoded group of [`group_control`]. Its id names the body, so that a copy has the same.
#[must_use]
pub fn control_message(partition: PartitionId, body: Bytes, time: Timestamp) -> Publication {
    Publication {
        destination: Destination::Control(partition),
        id: MessageId::of(&[b"control", &partition.0.to_be_bytes(), &body]),
        kind: "control".to_owned(),
        correlation: None,
        content_type: ContentType::Msgpack.as_str().to_owned(),
        time,
        trace: TraceContext::default(),
        body,
    }
}

/// A copy of a parked message for the dead queue.
#[must_use]
pub fn dead_message(parked: &ParkedMessage) -> Publication {
    Publication {
        destination: Destination::Dead,
        id: MessageId::from_bits(parked.id.bits()),
        kind: "parked".to_owned(),
        correlation: parked.message_id.clone(),
        content_type: ContentType::Msgpack.as_str().to_owned(),
        time: parked.time,
        trace: parked.trace.clone(),
        body: encode(parked),
    }
}

/// AMQP `type` of the message that stands for a parked instance: nobody sent it, and it wakes the instance.
const STUCK: &str = "stuck";

/// The parked message that stands for an instance: a wake-up for it, under an id that names the instance alone.
#[must_use]
pub fn parked_instance(
    partition: PartitionId,
    instance: InstanceId,
    code: Code,
    reason: String,
    time: Timestamp,
) -> ParkedMessage {
    let id = parked_instance_id(&instance);
    let wake = Envelope::wake(instance);
    let message = Incoming {
        message_id: Some(wake.id.to_string()),
        kind: Some(STUCK.to_owned()),
        content_type: Some(ContentType::Msgpack.as_str().to_owned()),
        trace: TraceContext::default(),
        body: encode(&[wake]),
    };
    let origin = Destination::Control(partition);
    ParkedMessage {
        id,
        ..ParkedMessage::new(origin, &code.to_string(), reason, time, message)
    }
}

/// The id under which an instance is parked.
#[must_use]
pub fn parked_instance_id(instance: &InstanceId) -> ParkedId {
    ParkedId::of(&[b"stuck", instance.as_str().as_bytes()])
}

/// The instance for which a parked message stands, if it stands for one.
#[must_use]
pub fn instance_parked_as(parked: &ParkedMessage) -> Option<InstanceId> {
    if parked.kind.as_deref() != Some(STUCK) {
        return None;
    }
    let instance = decode_control(&parked.body).ok()?.into_iter().next()?.instance;
    (parked.id == parked_instance_id(&instance)).then_some(instance)
}

/// The work item that was parked, if the message holds one.
#[must_use]
pub fn work_item_parked_as(parked: &ParkedMessage) -> Option<WorkItem> {
    match parked.origin {
        Destination::Work(_) => decode_work_item(&parked.body).ok(),
        _ => None,
    }
}

/// A parked message on its way back to where it came from.
#[must_use]
pub fn requeued_message(parked: &ParkedMessage, time: Timestamp) -> Publication {
    let id = MessageId::from_bits(parked.id.bits());
    Publication {
        destination: parked.origin.clone(),
        id,
        kind: parked.kind.clone().unwrap_or_default(),
        correlation: None,
        content_type: parked.content_type.clone().unwrap_or_default(),
        time,
        trace: parked.trace.clone(),
        body: parked.body.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Dispatch, EventSeq, ExecutionId, ExecutionKey, Fingerprint, QueueName, TaskId};
    use crate::message::TaskIdentity;
    use crate::payload::Payload;

    fn terminate(reason: String) -> Envelope {
        Envelope::terminate(MessageId::from_bits(1), InstanceId::new("a").unwrap(), reason)
    }

    #[test]
    fn control_messages_split_at_their_bounds() {
        let many = vec![terminate(String::new()); limits::ENVELOPES_PER_MESSAGE_MAX + 1];
        let sizes: Vec<_> = group_control(&many).iter().map(|group| group.len()).collect();
        assert_eq!(sizes, [limits::ENVELOPES_PER_MESSAGE_MAX, 1]);
        assert_eq!(decode_control(&encode(&many)).unwrap(), many);

        let large = vec![terminate("x".repeat(limits::ENVELOPES_BYTES_MAX / 2)); 3];
        assert_eq!(group_control(&large).len(), 3);
        assert!(group_control(&[]).is_empty());
    }

    #[test]
    fn work_items_that_share_a_message_come_out_as_they_went_in() {
        let item = |task| WorkItem {
            version: BODY_VERSION,
            identity: TaskIdentity {
                key: ExecutionKey {
                    instance: InstanceId::new("a").unwrap(),
                    execution: ExecutionId::from_bits(1),
                },
                task: TaskId(task),
                scheduled_seq: EventSeq(u64::from(task)),
                fingerprint: Fingerprint(7),
            },
            dispatch: Dispatch(1),
            times_not_hosted: 0,
            resent: false,
            overran: 0,
            name: FunctionName::new("f").unwrap(),
            queue: QueueName::default(),
            reply_to: PartitionId(0),
            input: Payload::unit(),
            timeout_micros: None,
            tags: [].into(),
            trace: TraceContext::default(),
            scheduled: Timestamp::default(),
        };
        let items: Vec<_> = (1..=40).map(item).collect();
        let messages: Vec<_> = items
            .iter()
            .map(|item| work_message(item, Timestamp::default()))
            .collect();
        let later = WorkItem {
            scheduled: Timestamp::from_micros(1),
            ..items[0].clone()
        };
        assert_ne!(
            later.message_id(),
            items[0].message_id(),
            "sent by another commit"
        );
        for count in [1, 2, 15, 16, 40] {
            let shared = shared_work_message(messages[0].clone(), &messages[1..count]);
            assert_eq!(decode_work(&shared.body).unwrap(), items[..count]);
            assert_eq!(shared.destination, messages[0].destination);
            assert_eq!(shared.id == messages[0].id, count == 1);
        }
        assert_eq!(activity_of(&messages[0].body).unwrap().as_str(), "f");
        assert!(decode_work(&[0x90]).unwrap_err().to_string().contains("empty"));
        let newer = vec![
            item(1),
            WorkItem {
                version: BODY_VERSION + 1,
                ..item(2)
            },
        ];
        assert!(matches!(
            decode_work(&encode(&newer)),
            Err(BodyError::TooNew { .. })
        ));
    }

    #[test]
    fn a_field_of_a_newer_version_may_be_deep_but_not_bottomless() {
        let with_field = |depth| {
            // [{"zz": [[[…null]]], …}]
            let mut bytes = vec![0x91, 0x85, 0xa2, b'z', b'z'];
            bytes.extend(std::iter::repeat_n(0x91, depth));
            bytes.push(0xc0);
            let known = encode(&Envelope::wake(InstanceId::new("a").unwrap()));
            bytes.extend_from_slice(&known[1..]);
            bytes[1] = known[0] + 1;
            bytes
        };
        assert!(decode_control(&with_field(10)).is_ok());
        assert!(decode_control(&with_field(5_000)).is_err());
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let check = |bytes: &[u8], code: &str| {
            let error = decode_control(bytes).unwrap_err().to_string();
            assert!(error.contains(code), "{error}");
        };
        check(b"", "LH1402");
        check(b"{\"json\":1}", "LH1402");
        check(&encode(&Vec::<Envelope>::new()), "LH1402");
        check(
            &encode(&vec![Envelope {
                version: BODY_VERSION + 1,
                ..terminate(String::new())
            }]),
            "LH1403",
        );
    }
}
