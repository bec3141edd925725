//! Owns every bound that the protocol fixes, with its unit and its reason.
//! Never holds what an operator may tune: that stands in the config of the crate that uses it.
//!
//! Hitting a bound fails or refuses one instance or one message with an error that names the bound,
//! never the process.

use std::time::Duration;

/// Longest instance id, in bytes of UTF-8. It travels in Redis keys, where every byte costs memory.
pub const INSTANCE_ID_BYTES_MAX: usize = 128;

/// Longest start id, in bytes. An AMQP `message_id` holds at most 255.
pub const START_ID_BYTES_MAX: usize = 255;

/// Longest hub, queue, function or worker name, in bytes. With the prefixes of the protocol an AMQP queue
/// name stays under its own limit of 255.
pub const NAME_BYTES_MAX: usize = 96;

/// Largest payload carried inline, in bytes: an input, a result or a failure detail. Two fit in one commit.
pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;

/// Longest message of a failure, in bytes; what is longer is cut at a character and marked with `…`.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Deepest chain of causes kept in a failure.
pub const FAILURE_CAUSES_MAX: usize = 8;

/// Largest part of a turn committed at once, in encoded bytes: a script must not hold Redis for long.
pub const COMMIT_BYTES_MAX: usize = 1024 * 1024;

/// Most actions committed at once; a larger turn commits in consecutive parts.
pub const COMMIT_ACTIONS_MAX: usize = 2_000;

/// Most actions one turn may take; beyond it the turn is refused (LH1106).
pub const TURN_ACTIONS_MAX: usize = 100_000;

/// Most times an orchestration may be polled again in one turn without taking a new action.
pub const IDLE_POLLS_MAX: u32 = 1_000;

/// Most events of one execution; the turn that would pass it fails the instance (LH1107).
pub const HISTORY_EVENTS_MAX: u64 = 1_000_000;

/// Events at which an execution's history is first warned about.
pub const HISTORY_EVENTS_WARN: u64 = 50_000;

/// Most messages an instance's inbox holds; a further one is refused (LH1203).
pub const INBOX_MESSAGES_MAX: usize = 10_000;

/// Most envelopes coalesced into one control message.
pub const ENVELOPES_PER_MESSAGE_MAX: usize = 64;

/// Most bytes of envelopes coalesced into one control message; a single larger envelope travels alone.
pub const ENVELOPES_BYTES_MAX: usize = 1024 * 1024;

/// Most work items that share a message.
pub const WORK_ITEMS_PER_MESSAGE_MAX: usize = 64;

/// Most bytes of work items that share a message; a single larger one travels alone.
pub const WORK_ITEMS_BYTES_MAX: usize = 256 * 1024;

/// Largest body of a message that a foreign service may publish, in bytes; RabbitMQ 4 stops at 16 MiB.
pub const INTAKE_BYTES_MAX: usize = 1024 * 1024;

/// Deepest nesting of a message, an event or a start that is read. `serde_json` stops there by itself; msgpack would
/// go on until the stack ends, and the process with it. Ours nest less than ten deep.
pub const BODY_DEPTH_MAX: usize = 128;

/// Most messages kept as parked by a hub; at the bound intake stops acknowledging, so nothing is dropped.
pub const PARKED_MESSAGES_MAX: usize = 100_000;

/// Most attempts at an instance or an activity task that are counted before it is parked (LH1110, LH1302, LH1303).
/// The run before the first of them is not counted: only its death, or its delay, raises the suspicion.
pub const POISON_ATTEMPTS_MAX: u32 = 5;

/// How long an attempt at an activity task is remembered. It bounds what tasks leave behind whose worker died
/// between their end and the forgetting; a task that takes longer for one attempt than this is never parked.
pub const WORK_ATTEMPTS_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// Fewest and most partitions of a hub. Fixed when the hub is made.
pub const PARTITIONS_MIN: u16 = 1;
/// See [`PARTITIONS_MIN`]; three digits number a partition in every key and queue name.
pub const PARTITIONS_MAX: u16 = 512;
/// Partitions of a hub unless its maker says otherwise.
pub const PARTITIONS_DEFAULT: u16 = 16;

/// How long a start id is remembered after its instance was purged or replaced.
pub const START_ID_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// Longest a timer may lie in the future.
pub const TIMER_DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Most tags of an instance or a task, and the most bytes of one key or value.
pub const TAGS_MAX: usize = 32;
/// See [`TAGS_MAX`].
pub const TAG_BYTES_MAX: usize = 256;

/// How deep JSON from the edges may nest before it is refused.
pub const JSON_DEPTH_MAX: usize = 64;

const _: () = assert!(2 * PAYLOAD_BYTES_MAX <= COMMIT_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX <= INTAKE_BYTES_MAX);
const _: () = assert!(INTAKE_BYTES_MAX < 16 * 1024 * 1024);
const _: () = assert!(PARTITIONS_MAX <= 999);
