//! Owns every key of an embedded hub, and the order in which keys stand.
//! Never reads or writes one.
//!
//! | key | value |
//! |---|---|
//! | `m` hub | [`HubRecord`](super::record::HubRecord) |
//! | `m` time | newest hub time written, 8 bytes |
//! | `m` parked | how many messages are parked, 8 bytes |
//! | `i` ID `b` | [`Birth`](super::record::Birth): what never changes of an instance |
//! | `i` ID `h` execution seq | history: the events of one commit, under the place of their last |
//! | `i` ID `m` message | inbox |
//! | `i` ID `r` | [`Head`](super::record::Head): what every commit changes |
//! | `i` ID `s` | [`Ending`](super::record::Ending): output and failure |
//! | `i` ID `t` execution task | a timer's due time, 8 bytes |
//! | `r` partition time id | ready set |
//! | `t` partition time ID execution task | timers by due time |
//! | `o` partition message | outbox |
//! | `n` partition id | instances that are not terminal |
//! | `q` status newness id | query index; value = the orchestration's name |
//! | `l` partition | [`LeaseRecord`](super::record::LeaseRecord) |
//! | `a` partition work | [`WorkAttempts`](super::record::WorkAttempts): attempts at a piece of work |
//! | `w` worker | [`WorkerRecord`](super::record::WorkerRecord) |
//! | `p` time parked-id | parked messages |
//! | `k` parked-id | when it was parked, 8 bytes |
//!
//! Numbers are big-endian, so that they stand in their order; ID = the id behind its length, so that one id's
//! keys never mix with another's; a bare id ends its key. An instance's own keys stand together, so that a
//! commit touches few pages.

use std::ops::Range;

use longhaul_shared::id::{
    EventSeq, ExecutionId, ExecutionKey, InstanceId, MessageId, ParkedId, PartitionId, TaskId, WorkerId,
};
use longhaul_shared::instance::Status;
use longhaul_shared::time::Timestamp;

pub(super) const HUB: &[u8] = b"mhub";
pub(super) const TIME: &[u8] = b"mtime";
pub(super) const PARKED_TOTAL: &[u8] = b"mparked";

/// A key in the making.
struct Key(Vec<u8>);

impl Key {
    fn new(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(kind);
        Self(bytes)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// An instance id with more behind it. Its length fits a byte: `INSTANCE_ID_BYTES_MAX` is 128.
    fn instance(mut self, id: &InstanceId) -> Self {
        let text = id.as_str().as_bytes();
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes(text)
    }

    fn partition(self, partition: PartitionId) -> Self {
        self.bytes(&partition.0.to_be_bytes())
    }

    fn time(self, time: Timestamp) -> Self {
        self.bytes(&time_bytes(time))
    }
}

/// A time in eight bytes that stand in the order of time, those before 1970 included.
pub(super) fn time_bytes(time: Timestamp) -> [u8; 8] {
    (time.micros() ^ i64::MIN).to_be_bytes()
}

/// The time of [`time_bytes`]; `None` when there are not eight bytes.
pub(super) fn read_time(bytes: &[u8]) -> Option<Timestamp> {
    let bytes = <[u8; 8]>::try_from(bytes).ok()?;
    Some(Timestamp::from_micros(i64::from_be_bytes(bytes) ^ i64::MIN))
}

/// All keys that begin with `prefix`.
pub(super) fn under(prefix: Vec<u8>) -> Range<Vec<u8>> {
    let end = behind(prefix.clone());
    prefix..end
}

/// The first key behind all that begin with `prefix`, which never consists of 0xff alone: a letter leads it.
fn behind(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            break;
        }
    }
    prefix
}

/// All keys under `prefix` that stand behind `prefix` + `rest`.
pub(super) fn under_after(prefix: Vec<u8>, rest: &[u8]) -> Range<Vec<u8>> {
    let end = behind(prefix.clone());
    let mut start = prefix;
    start.extend_from_slice(rest);
    start.push(0);
    start..end
}

pub(super) fn birth(id: &InstanceId) -> Vec<u8> {
    Key::new(b'i').instance(id).bytes(b"b").0
}

pub(super) fn head(id: &InstanceId) -> Vec<u8> {
    Key::new(b'i').instance(id).bytes(b"r").0
}

pub(super) fn ending(id: &InstanceId) -> Vec<u8> {
    Key::new(b'i').instance(id).bytes(b"s").0
}

/// Where the history of an execution stands.
pub(super) fn history(id: &InstanceId, execution: ExecutionId) -> Vec<u8> {
    Key::new(b'i')
        .instance(id)
        .bytes(b"h")
        .bytes(&execution.bytes())
        .0
}

/// The entry whose last event has this place.
pub(super) fn history_entry(id: &InstanceId, execution: ExecutionId, last: EventSeq) -> Vec<u8> {
    Key(history(id, execution)).bytes(&last.0.to_be_bytes()).0
}

/// Where an inbox stands.
pub(super) fn inbox(id: &InstanceId) -> Vec<u8> {
    Key::new(b'i').instance(id).bytes(b"m").0
}

pub(super) fn inbox_entry(id: &InstanceId, message: MessageId) -> Vec<u8> {
    Key(inbox(id)).bytes(&message.bytes()).0
}

/// Where a timer's due time is found by its task.
pub(super) fn timer_of(key: &ExecutionKey, task: TaskId) -> Vec<u8> {
    Key::new(b'i')
        .instance(&key.instance)
        .bytes(b"t")
        .bytes(&key.execution.bytes())
        .bytes(&task.0.to_be_bytes())
        .0
}

/// Where a partition's timers stand by due time.
pub(super) fn timers(partition: PartitionId) -> Vec<u8> {
    Key::new(b't').partition(partition).0
}

pub(super) fn timer(partition: PartitionId, due: Timestamp, key: &ExecutionKey, task: TaskId) -> Vec<u8> {
    Key(timers(partition))
        .time(due)
        .instance(&key.instance)
        .bytes(&key.execution.bytes())
        .bytes(&task.0.to_be_bytes())
        .0
}

/// What a key made by [`timer`] says; `None` when it was not.
pub(super) fn read_timer(key: &[u8]) -> Option<(Timestamp, ExecutionKey, TaskId)> {
    let rest = key.get(3..)?;
    let (due, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    let (execution, rest) = rest.split_first_chunk::<16>()?;
    let task = <[u8; 4]>::try_from(rest).ok()?;
    let key = ExecutionKey {
        instance: read_instance(id)?,
        execution: ExecutionId::from_bits(u128::from_be_bytes(*execution)),
    };
    Some((read_time(due)?, key, TaskId(u32::from_be_bytes(task))))
}

/// Where a partition's ready set stands.
pub(super) fn ready(partition: PartitionId) -> Vec<u8> {
    Key::new(b'r').partition(partition).0
}

pub(super) fn ready_entry(partition: PartitionId, since: Timestamp, id: &InstanceId) -> Vec<u8> {
    Key(ready(partition)).time(since).bytes(id.as_str().as_bytes()).0
}

/// What a key made by [`ready_entry`] says; `None` when it was not.
pub(super) fn read_ready(key: &[u8]) -> Option<(Timestamp, InstanceId)> {
    let (since, id) = key.get(3..)?.split_first_chunk::<8>()?;
    Some((read_time(since)?, read_instance(id)?))
}

/// Where a partition's outbox stands.
pub(super) fn outbox(partition: PartitionId) -> Vec<u8> {
    Key::new(b'o').partition(partition).0
}

pub(super) fn outbox_entry(partition: PartitionId, message: MessageId) -> Vec<u8> {
    Key(outbox(partition)).bytes(&message.bytes()).0
}

/// Where a partition's instances that are not terminal stand.
pub(super) fn open(partition: PartitionId) -> Vec<u8> {
    Key::new(b'n').partition(partition).0
}

pub(super) fn open_entry(partition: PartitionId, id: &InstanceId) -> Vec<u8> {
    Key(open(partition)).bytes(id.as_str().as_bytes()).0
}

/// The instance of a key made by [`open_entry`].
pub(super) fn read_open(key: &[u8]) -> Option<InstanceId> {
    read_instance(key.get(3..)?)
}

/// Where the instances of a status stand, newest first.
pub(super) fn index(status: Status) -> Vec<u8> {
    Key::new(b'q').bytes(&[status.code()]).0
}

/// The place of an instance among those of any status: newest first, equally new ones by id.
pub(super) fn place(created: Timestamp, id: &InstanceId) -> Vec<u8> {
    let newness = time_bytes(created).map(|byte| !byte);
    [&newness, id.as_str().as_bytes()].concat()
}

pub(super) fn index_entry(status: Status, created: Timestamp, id: &InstanceId) -> Vec<u8> {
    Key(index(status)).bytes(&place(created, id)).0
}

/// The place of a key made by [`index_entry`].
pub(super) fn place_of(key: &[u8]) -> Option<&[u8]> {
    key.get(2..)
}

/// What a place made by [`place`] says.
pub(super) fn read_place(place: &[u8]) -> Option<(Timestamp, InstanceId)> {
    let (newness, id) = place.split_first_chunk::<8>()?;
    Some((read_time(&newness.map(|byte| !byte))?, read_instance(id)?))
}

pub(super) fn lease(partition: PartitionId) -> Vec<u8> {
    Key::new(b'l').partition(partition).0
}

/// Where the attempts at a partition's pieces of work stand.
pub(super) fn attempts(partition: PartitionId) -> Vec<u8> {
    Key::new(b'a').partition(partition).0
}

pub(super) fn attempts_at(partition: PartitionId, work: MessageId) -> Vec<u8> {
    Key(attempts(partition)).bytes(&work.bytes()).0
}

/// Where the workers stand, by id.
pub(super) fn workers() -> Vec<u8> {
    b"w".to_vec()
}

pub(super) fn worker(id: &WorkerId) -> Vec<u8> {
    Key::new(b'w').bytes(id.as_str().as_bytes()).0
}

/// Where the parked messages stand, oldest first.
pub(super) fn parked() -> Vec<u8> {
    b"p".to_vec()
}

/// The place of a parked message among all.
pub(super) fn parked_place(time: Timestamp, id: ParkedId) -> Vec<u8> {
    [time_bytes(time).as_slice(), &id.bytes()].concat()
}

pub(super) fn parked_entry(time: Timestamp, id: ParkedId) -> Vec<u8> {
    Key::new(b'p').bytes(&parked_place(time, id)).0
}

/// Where a parked message's time is found by its id.
pub(super) fn parked_time(id: ParkedId) -> Vec<u8> {
    Key::new(b'k').bytes(&id.bytes()).0
}

fn read_instance(bytes: &[u8]) -> Option<InstanceId> {
    InstanceId::new(std::str::from_utf8(bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> InstanceId {
        InstanceId::new(text).unwrap()
    }

    #[test]
    fn times_stand_in_their_order_and_read_back() {
        let times = [i64::MIN, -1, 0, 1, 1_795_332_902_123_456, i64::MAX].map(Timestamp::from_micros);
        let bytes = times.map(time_bytes);
        assert!(bytes.is_sorted(), "{bytes:?}");
        assert_eq!(
            bytes.map(|bytes| read_time(&bytes)),
            times.map(Some),
            "a time must read back"
        );
    }

    #[test]
    fn keys_of_one_instance_never_lie_under_another() {
        for (one, other) in [("a", "ab"), ("a", "ar"), ("ab", "a"), ("i", "ir")] {
            let own = under(inbox(&id(one)));
            let foreign = inbox_entry(&id(other), MessageId::from_bits(7));
            assert!(!own.contains(&foreign), "{one} and {other}");
        }
    }

    #[test]
    fn a_range_ends_behind_everything_it_names() {
        let partition = PartitionId(0x00ff);
        let range = under(open(partition));
        for text in ["a", "\u{10ffff}\u{10ffff}", &"~".repeat(128)] {
            assert!(range.contains(&open_entry(partition, &id(text))), "{text}");
        }
        assert!(!range.contains(&open_entry(PartitionId(0x0100), &id("a"))));
    }

    #[test]
    fn what_a_key_says_reads_back() {
        let key = ExecutionKey {
            instance: id("order/ü 7"),
            execution: ExecutionId::from_bits(5),
        };
        let due = Timestamp::from_micros(77);
        let timer = timer(PartitionId(3), due, &key, TaskId(9));
        assert_eq!(read_timer(&timer), Some((due, key.clone(), TaskId(9))));
        let ready = ready_entry(PartitionId(3), due, &key.instance);
        assert_eq!(read_ready(&ready), Some((due, key.instance.clone())));
        let entry = index_entry(Status::Running, due, &key.instance);
        assert_eq!(
            place_of(&entry).and_then(read_place),
            Some((due, key.instance.clone()))
        );
        assert_eq!(
            read_open(&open_entry(PartitionId(3), &key.instance)),
            Some(key.instance)
        );
    }

    #[test]
    fn newer_instances_stand_first() {
        let (older, newer) = (Timestamp::from_micros(-5), Timestamp::from_micros(6));
        assert!(place(newer, &id("z")) < place(older, &id("a")));
    }
}
