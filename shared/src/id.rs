//! Owns the names and numbers by which things are told apart, each its own type, valid by construction.
//! Never hands out a fresh id: chance comes from [`Runtime`](crate::port::Runtime).
//!
//! A partition is computed, never stored: `xxh3_64(instance id) % partitions` (see [`PartitionId::of`]).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3;

use crate::limits;

/// Why a text is not a valid id or name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("the {what} is empty")]
    Empty {
        /// What the text was meant to be.
        what: &'static str,
    },
    /// More bytes than the bound allows.
    #[error("the {what} has {bytes} bytes; at most {bytes_max} are allowed")]
    TooLong {
        /// What the text was meant to be.
        what: &'static str,
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
    /// A character outside the grammar.
    #[error("the {what} holds {character:?}; {grammar}")]
    Character {
        /// What the text was meant to be.
        what: &'static str,
        /// The first character that is not allowed.
        character: char,
        /// What is allowed, as a sentence.
        grammar: &'static str,
    },
    /// Not the written form of a 128-bit id.
    #[error("the {what} {text:?} is not 32 hexadecimal digits")]
    NotHex {
        /// What the text was meant to be.
        what: &'static str,
        /// The text.
        text: String,
    },
}

/// The grammar of hub, queue, function and worker names.
const NAME_GRAMMAR: &str =
    "a name is made of ASCII letters, digits, '_', '-' and '.', and starts with a letter or digit";

fn check_name(what: &'static str, text: &str) -> Result<(), InvalidId> {
    let first = text.chars().next().ok_or(InvalidId::Empty { what })?;
    if text.len() > limits::NAME_BYTES_MAX {
        return Err(InvalidId::TooLong {
            what,
            bytes: text.len(),
            bytes_max: limits::NAME_BYTES_MAX,
        });
    }
    if !first.is_ascii_alphanumeric() {
        return Err(InvalidId::Character {
            what,
            character: first,
            grammar: NAME_GRAMMAR,
        });
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
    {
        Some(character) => Err(InvalidId::Character {
            what,
            character,
            grammar: NAME_GRAMMAR,
        }),
        None => Ok(()),
    }
}

fn check_instance(what: &'static str, text: &str) -> Result<(), InvalidId> {
    check_text(what, text, limits::INSTANCE_ID_BYTES_MAX)
}

fn check_start(what: &'static str, text: &str) -> Result<(), InvalidId> {
    check_text(what, text, limits::START_ID_BYTES_MAX)
}

fn check_text(what: &'static str, text: &str, bytes_max: usize) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty { what });
    }
    if text.len() > bytes_max {
        return Err(InvalidId::TooLong {
            what,
            bytes: text.len(),
            bytes_max,
        });
    }
    match text.chars().find(|c| c.is_control()) {
        Some(character) => Err(InvalidId::Character {
            what,
            character,
            grammar: "control characters are not allowed",
        }),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Checks a text and makes it a ", $what, ".")]
            ///
            /// # Errors
            /// [`InvalidId`] says which rule the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                $check($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    };
}

text_id!(
    /// Names one instance of an orchestration within a hub: 1 to 128 bytes of UTF-8 without control characters.
    /// Compared byte by byte.
    InstanceId,
    "instance id",
    check_instance
);
text_id!(
    /// Names one *wish* to start an instance: repeating a start with the same start id changes nothing.
    /// 1 to 255 bytes of UTF-8 without control characters; for a foreign message it is the AMQP `message_id`.
    StartId,
    "start id",
    check_start
);
text_id!(
    /// Names a hub: its own queues and keys on shared servers.
    HubName,
    "hub name",
    check_name
);
text_id!(
    /// Names a task queue of activities; [`QueueName::default`] is `default`.
    QueueName,
    "queue name",
    check_name
);
text_id!(
    /// Names an orchestration or an activity.
    FunctionName,
    "function name",
    check_name
);
text_id!(
    /// Names one running worker process; fresh at each start, so it is never mistaken for its predecessor.
    WorkerId,
    "worker id",
    check_name
);

impl Default for QueueName {
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

impl Default for HubName {
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

macro_rules! wide_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// Makes the id from its 128 bits.
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// The 16 bytes, most significant first: the stored form.
            #[must_use]
            pub const fn bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let not_hex = || InvalidId::NotHex { what: $what, text: text.to_owned() };
                if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(not_hex());
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| not_hex())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.bytes())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = bytes::Bytes::deserialize(deserializer)?;
                let bytes: [u8; 16] = bytes.as_ref().try_into().map_err(|_| {
                    serde::de::Error::invalid_length(bytes.len(), &"16 bytes")
                })?;
                Ok(Self(u128::from_be_bytes(bytes)))
            }
        }
    };
}

wide_id!(
    /// Names one pass of an instance: a start, a continue-as-new, a rewind or a restart makes a new one.
    ExecutionId,
    "execution id"
);
wide_id!(
    /// Names one attempt to change an instance; repeating a commit with its id changes nothing.
    CommitId,
    "commit id"
);
wide_id!(
    /// Names one message: a hash of its long identity, since an AMQP `message_id` stops at 255 bytes.
    MessageId,
    "message id"
);
wide_id!(
    /// Names one parked message.
    ParkedId,
    "parked id"
);

impl MessageId {
    /// The id of a message with this identity; parts are length-prefixed, so no two lists collide by shifting.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(hash_parts(parts))
    }
}

impl ParkedId {
    /// The id under which a message with this origin and content is parked: parking it twice keeps one copy.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        Self(hash_parts(parts))
    }
}

fn hash_parts(parts: &[&[u8]]) -> u128 {
    let mut hasher = xxh3::Xxh3Default::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.digest128()
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// The place of an event in its execution's history, from 1 without gaps. 0 = before the first event.
    EventSeq(u64)
);
number!(
    /// Names a durable step (an activity task, a timer, an inline step) within its execution, from 1 in the
    /// order in which the author's code built them.
    TaskId(u32)
);
number!(
    /// Counts the commits of an instance over all its executions; the row holds the last one's number.
    CommitNumber(u64)
);
number!(
    /// Tells one sending of a task's work item from the next: the number of the commit that asked for it.
    Dispatch(u64)
);
number!(
    /// A digest of what was scheduled under a task id (kind, name, input): a result must carry the same.
    Fingerprint(u64)
);

/// The generation of a hub's queues: its number rises each time the broker is found to have lost its data. The nonce
/// tells one raise from another that was tried under the same number, so that nobody can leave the marker of an
/// epoch that somebody else has begun.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch {
    /// From 1; 0 = there were no queues yet.
    pub number: u64,
    /// Chance, drawn by whoever raised it; 0 where there was none.
    pub nonce: u64,
}

impl Epoch {
    /// The epoch of this number that nobody had to raise under a nonce.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self { number, nonce: 0 }
    }

    /// The epoch behind this one, raised under this nonce.
    #[must_use]
    pub const fn next(self, nonce: u64) -> Self {
        Self {
            number: self.number + 1,
            nonce,
        }
    }
}

impl fmt::Display for Epoch {
    /// `<number>`, and `.<nonce>` in 16 hexadecimal digits if it has one: the end of its marker's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nonce {
            0 => write!(f, "{}", self.number),
            nonce => write!(f, "{}.{nonce:016x}", self.number),
        }
    }
}

impl EventSeq {
    /// The place `events` further on.
    #[must_use]
    pub const fn plus(self, events: u64) -> Self {
        Self(self.0 + events)
    }
}

impl TaskId {
    /// The next step's id.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl CommitNumber {
    /// The next commit's number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Fingerprint {
    /// The digest of a step's kind, name and input.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = xxh3::Xxh3Default::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.digest())
    }
}

/// A slice of a hub's instances, owned by one orchestrator worker at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u16);

impl PartitionId {
    /// The partition of an instance in a hub of `partitions`: `xxh3_64(id) % partitions`, seed 0.
    #[must_use]
    pub fn of(instance: &InstanceId, partitions: u16) -> Self {
        let slot = xxh3::xxh3_64(instance.as_str().as_bytes()) % u64::from(partitions.max(1));
        Self(u16::try_from(slot).unwrap_or(0))
    }

    /// All partitions of a hub, in order.
    pub fn all(partitions: u16) -> impl Iterator<Item = Self> {
        (0..partitions).map(Self)
    }
}

impl fmt::Display for PartitionId {
    /// Three digits, as in every key and queue name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// Proof of owning a partition. Unique for ever: compared for equality, never ordered, since a counter that a
/// failover rolls back would be issued twice.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LeaseToken(Arc<str>);

impl LeaseToken {
    /// The token of the `acquisition`-th lease of a partition, made unique by `nonce`.
    #[must_use]
    pub fn new(acquisition: u64, nonce: u128) -> Self {
        Self(Arc::from(format!("{acquisition}:{nonce:032x}")))
    }

    /// The token as the store keeps it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for LeaseToken {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One execution of one instance: what a session, a history and a result belong to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ExecutionKey {
    /// The instance.
    #[serde(rename = "i")]
    pub instance: InstanceId,
    /// Its pass.
    #[serde(rename = "x")]
    pub execution: ExecutionId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_grammar() {
        for good in ["a", "copy_file", "v1.backup-2", "9lives"] {
            assert!(FunctionName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "_a", "a b", "a/b", "ä", "a\n", &"x".repeat(97)] {
            assert!(FunctionName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn instance_ids_take_any_text_without_control_characters() {
        for good in ["a", "order/ü 7 {x}", &"x".repeat(128)] {
            assert!(InstanceId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a\0", "a\u{85}", &"x".repeat(129)] {
            assert!(InstanceId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn partitions_are_pinned() {
        let partition = |id: &str| PartitionId::of(&InstanceId::new(id).unwrap(), 16).0;
        // Changing the hash would strand every instance of every hub.
        assert_eq!(
            [partition("a"), partition("nightly"), partition("order-17")],
            PINNED_PARTITIONS
        );
    }

    const PINNED_PARTITIONS: [u16; 3] = [15, 3, 14];

    #[test]
    fn identity_parts_do_not_collide_by_shifting() {
        assert_ne!(MessageId::of(&[b"ab", b"c"]), MessageId::of(&[b"a", b"bc"]));
    }

    #[test]
    fn wide_ids_round_trip_as_text() {
        let id = ExecutionId::from_bits(0xfeed);
        assert_eq!(id.to_string().parse::<ExecutionId>().unwrap(), id);
        assert!("+0000000000000000000000000000000".parse::<ExecutionId>().is_err());
    }
}
