//! Owns the stored form of everything an embedded hub keeps that `shared` has no stored form for.
//! Never decides what to keep.
//!
//! Msgpack maps with short names: a field may be added with a default, never renamed. [`SCHEMA`] rises when an
//! older program could not read what this one writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use longhaul_shared::codec;
use longhaul_shared::failure::Failure;
use longhaul_shared::id::{
    CommitId, CommitNumber, Epoch, EventSeq, ExecutionId, FunctionName, InstanceId, LeaseToken, PartitionId,
    QueueName, StartId, WorkerId,
};
use longhaul_shared::instance::{InstanceRow, Status, WaitingFor};
use longhaul_shared::payload::Payload;
use longhaul_shared::port::StoreError;
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::engine::View;
use super::keys;

/// The version of everything in this module and in [`keys`].
pub(super) const SCHEMA: u32 = 1;

/// The hub itself.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct HubRecord {
    #[serde(rename = "sv")]
    pub(super) schema: u32,
    #[serde(rename = "p")]
    pub(super) partitions: u16,
    /// The number and the nonce of the broker's epoch.
    #[serde(rename = "ep")]
    pub(super) epoch: u64,
    #[serde(rename = "en", default)]
    pub(super) epoch_nonce: u64,
    /// The task queues that were noted.
    #[serde(rename = "q", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) queues: Vec<QueueName>,
}

/// What never changes of an instance.
#[derive(Serialize, Deserialize)]
pub(super) struct Birth {
    #[serde(rename = "sid")]
    pub(super) start_id: StartId,
    #[serde(rename = "ver", default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(rename = "i")]
    pub(super) input: Payload,
    #[serde(rename = "tg", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(rename = "tc", default, skip_serializing_if = "TraceContext::is_empty")]
    pub(super) trace: TraceContext,
}

/// What every commit of an instance changes, and what a list of instances shows.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    #[serde(rename = "n")]
    pub(super) name: FunctionName,
    #[serde(rename = "cr")]
    pub(super) created: Timestamp,
    #[serde(rename = "x")]
    pub(super) execution: ExecutionId,
    #[serde(rename = "s")]
    pub(super) status: Status,
    #[serde(rename = "cn")]
    pub(super) commit_number: CommitNumber,
    #[serde(rename = "lc", default, skip_serializing_if = "Option::is_none")]
    pub(super) last_commit: Option<CommitId>,
    #[serde(rename = "sq")]
    pub(super) last_seq: EventSeq,
    #[serde(rename = "ch")]
    pub(super) changed: Timestamp,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(super) waiting_for: Option<WaitingFor>,
    /// Its place in the ready set.
    #[serde(rename = "rd", default, skip_serializing_if = "Option::is_none")]
    pub(super) ready: Option<Timestamp>,
    /// How many messages its inbox holds.
    #[serde(rename = "in", default)]
    pub(super) inbox: usize,
    /// Whether there is an [`Ending`].
    #[serde(rename = "e", default)]
    pub(super) has_ending: bool,
    /// How many attempts were counted since the last commit.
    #[serde(rename = "at", default, skip_serializing_if = "is_zero")]
    pub(super) attempts: u32,
    /// The token under which the last of them was counted.
    #[serde(rename = "ak", default, skip_serializing_if = "Option::is_none")]
    pub(super) counted: Option<String>,
}

/// Attempts at a piece of work.
#[derive(Serialize, Deserialize)]
pub(super) struct WorkAttempts {
    #[serde(rename = "n")]
    pub(super) count: u32,
    /// Names the last of them.
    #[serde(rename = "k")]
    pub(super) nonce: String,
    #[serde(rename = "t")]
    pub(super) last: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How an instance came out.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Ending {
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Payload>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<Failure>,
}

/// A partition's lease; kept when it is given back, so that no token is ever given twice.
#[derive(Serialize, Deserialize)]
pub(super) struct LeaseRecord {
    /// `None` = nobody's.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<WorkerId>,
    #[serde(rename = "t")]
    pub(super) token: String,
    #[serde(rename = "e")]
    pub(super) expires: Timestamp,
    #[serde(rename = "c", default)]
    pub(super) consuming: bool,
    /// How often it was given.
    #[serde(rename = "n")]
    pub(super) acquisitions: u64,
    /// Whether the owner before had not given it back.
    #[serde(rename = "ax", default)]
    pub(super) after_expiry: bool,
    #[serde(rename = "rb", default)]
    pub(super) rebuilt: u64,
}

/// A worker and until when it is known to live.
#[derive(Serialize, Deserialize)]
pub(super) struct WorkerRecord {
    #[serde(rename = "e")]
    pub(super) expires: Timestamp,
    #[serde(rename = "h")]
    pub(super) hosts: Vec<FunctionName>,
}

impl HubRecord {
    pub(super) fn epoch(&self) -> Epoch {
        Epoch {
            number: self.epoch,
            nonce: self.epoch_nonce,
        }
    }
}

impl Head {
    pub(super) fn row(self, id: InstanceId, birth: Birth, ending: Ending) -> InstanceRow {
        InstanceRow {
            id,
            name: self.name,
            version: birth.version,
            execution: self.execution,
            status: self.status,
            commit_number: self.commit_number,
            last_commit: self.last_commit,
            last_seq: self.last_seq,
            start_id: birth.start_id,
            created: self.created,
            changed: self.changed,
            input: birth.input,
            output: ending.output,
            failure: ending.failure,
            waiting_for: self.waiting_for,
            attempts: self.attempts,
            tags: birth.tags,
            trace: birth.trace,
        }
    }
}

impl LeaseRecord {
    pub(super) fn is_held_under(&self, token: &LeaseToken) -> bool {
        self.owner.is_some() && self.token == token.as_str()
    }
}

/// Reads a record; `what` names it in errors.
pub(super) fn read<T: DeserializeOwned>(
    view: &dyn View,
    key: &[u8],
    what: impl FnOnce() -> String,
) -> Result<Option<T>, StoreError> {
    view.get(key)?.map(|bytes| parse(&bytes, what)).transpose()
}

/// Reads a record's bytes; `what` names it in errors.
pub(super) fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    what: impl FnOnce() -> String,
) -> Result<T, StoreError> {
    codec::decode("record", bytes).map_err(|error| unreadable(what(), &error))
}

/// A record's bytes.
pub(super) fn bytes<T: Serialize>(record: &T) -> Bytes {
    codec::encode(record)
}

pub(super) fn unreadable(what: String, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreadable {
        what,
        reason: reason.to_string(),
    }
}

/// A key that no program of this schema writes.
pub(super) fn foreign_key(key: &[u8]) -> StoreError {
    unreadable(
        format!("the key {}", key.escape_ascii()),
        &"it has another form than this program writes",
    )
}

pub(super) fn read_hub(view: &dyn View) -> Result<Option<HubRecord>, StoreError> {
    read(view, keys::HUB, || "the hub's settings".to_owned())
}

pub(super) fn read_head(view: &dyn View, id: &InstanceId) -> Result<Option<Head>, StoreError> {
    read(view, &keys::head(id), || format!("the row of instance {id}"))
}

pub(super) fn read_birth(view: &dyn View, id: &InstanceId) -> Result<Birth, StoreError> {
    let what = || format!("the start of instance {id}");
    read(view, &keys::birth(id), what)?.ok_or_else(|| unreadable(what(), &"it is missing"))
}

pub(super) fn read_ending(view: &dyn View, id: &InstanceId) -> Result<Ending, StoreError> {
    let what = || format!("the ending of instance {id}");
    read(view, &keys::ending(id), what)?.ok_or_else(|| unreadable(what(), &"it is missing"))
}

pub(super) fn read_lease(view: &dyn View, partition: PartitionId) -> Result<Option<LeaseRecord>, StoreError> {
    read(view, &keys::lease(partition), || {
        format!("the lease of partition {partition}")
    })
}

/// A number that a key of its own holds; 0 when it is not there.
pub(super) fn read_count(view: &dyn View, key: &[u8]) -> Result<u64, StoreError> {
    let Some(bytes) = view.get(key)? else {
        return Ok(0);
    };
    <[u8; 8]>::try_from(bytes.as_ref())
        .map(u64::from_be_bytes)
        .map_err(|_| unreadable(format!("the count {}", key.escape_ascii()), &"it has not 8 bytes"))
}
