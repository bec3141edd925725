//! Owns the fields of an instance's row and what their bytes mean. The names are stored: pinned by a test.
//! Never reads or writes a key.
//!
//! An optional value that is absent has no field. A field this version does not know is passed over.

use std::collections::BTreeMap;

use bytes::Bytes;
use longhaul_shared::codec;
use longhaul_shared::commit::TurnCommit;
use longhaul_shared::id::{CommitId, CommitNumber, EventSeq, ExecutionId, FunctionName, InstanceId, StartId};
use longhaul_shared::instance::{InstanceRow, StartInstance, Status};
use longhaul_shared::port::{InstanceSummary, StoreError};
use longhaul_shared::time::Timestamp;
use serde::de::DeserializeOwned;

use super::error::unreadable;

/// Status code, decimal.
pub(super) const STATUS: &str = "st";
/// Which orchestration.
pub(super) const NAME: &str = "nm";
/// The version asked for; optional.
pub(super) const VERSION: &str = "vr";
/// The current execution, 16 bytes.
pub(super) const EXECUTION: &str = "ex";
/// How many commits it has seen, decimal.
pub(super) const COMMIT_NUMBER: &str = "cn";
/// The last of them, 16 bytes; absent before the first.
pub(super) const LAST_COMMIT: &str = "lc";
/// How many events its current execution has, decimal.
pub(super) const EVENT_SEQ: &str = "sq";
/// The wish that started it.
pub(super) const START_ID: &str = "si";
/// When it was accepted.
pub(super) const CREATED: &str = "cr";
/// When it last changed.
pub(super) const CHANGED: &str = "ch";
/// What it was given: msgpack `Payload`.
pub(super) const INPUT: &str = "in";
/// What it returned: msgpack `Payload`; optional.
pub(super) const OUTPUT: &str = "out";
/// Why it failed: msgpack `Failure`; optional.
pub(super) const FAILURE: &str = "fl";
/// Whose move it is: msgpack `WaitingFor`; optional.
pub(super) const WAITING_FOR: &str = "wf";
/// How many attempts were counted since the last commit, decimal; absent when none was.
pub(super) const ATTEMPTS: &str = "at";
/// The token under which the last of them was counted.
pub(super) const COUNTED_UNDER: &str = "ak";
/// Its tags: msgpack map; absent when there are none.
pub(super) const TAGS: &str = "tg";
/// Where its start came from: msgpack `TraceContext`; absent when nowhere.
pub(super) const TRACE: &str = "tc";

/// What a summary needs.
pub(super) const SUMMARY: [&str; 6] = [NAME, EXECUTION, STATUS, CREATED, CHANGED, WAITING_FOR];

type Field = (&'static str, Bytes);

/// The fields of a new row, but for the times, which the script sets.
pub(super) fn of_start(start: &StartInstance) -> Vec<Field> {
    let mut fields = vec![
        (STATUS, decimal(Status::Pending.code())),
        (NAME, text(start.name.as_str())),
        (EXECUTION, Bytes::copy_from_slice(&start.execution.bytes())),
        (COMMIT_NUMBER, decimal(0)),
        (EVENT_SEQ, decimal(0)),
        (START_ID, text(start.start_id.as_str())),
        (INPUT, codec::encode(&start.input)),
    ];
    fields.extend(start.version.as_deref().map(|version| (VERSION, text(version))));
    if !start.tags.is_empty() {
        fields.push((TAGS, codec::encode(&start.tags)));
    }
    if !start.trace.is_empty() {
        fields.push((TRACE, codec::encode(&start.trace)));
    }
    fields
}

/// The fields that a commit writes, and those it removes.
pub(super) fn of_commit(commit: &TurnCommit) -> (Vec<Field>, Vec<&'static str>) {
    let mut fields = vec![
        (STATUS, decimal(commit.row.status.code())),
        (CHANGED, decimal(commit.row.changed.micros())),
        (COMMIT_NUMBER, decimal(commit.expected.next().0)),
        (LAST_COMMIT, Bytes::copy_from_slice(&commit.id.bytes())),
        (EVENT_SEQ, decimal(commit.last_seq().0)),
    ];
    let mut absent = Vec::new();
    let optional = [
        (OUTPUT, commit.row.output.as_ref().map(codec::encode)),
        (FAILURE, commit.row.failure.as_ref().map(codec::encode)),
        (WAITING_FOR, commit.row.waiting_for.as_ref().map(codec::encode)),
    ];
    for (name, value) in optional {
        match value {
            Some(value) => fields.push((name, value)),
            None => absent.push(name),
        }
    }
    if commit.survived {
        absent.extend([ATTEMPTS, COUNTED_UNDER]);
    }
    (fields, absent)
}

/// A row's fields as read, under the name of its key.
pub(super) struct StoredRow<'a> {
    key: &'a str,
    fields: BTreeMap<String, Bytes>,
}

impl<'a> StoredRow<'a> {
    /// All fields of a row.
    pub(super) fn new(key: &'a str, fields: BTreeMap<String, Bytes>) -> Self {
        Self { key, fields }
    }

    /// Those fields of [`SUMMARY`] that the row has.
    pub(super) fn of_summary(key: &'a str, values: Vec<Option<Bytes>>) -> Self {
        let named = SUMMARY.into_iter().zip(values);
        let fields = named.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self::new(key, fields.collect())
    }

    /// Whether there is no row at all.
    pub(super) fn is_absent(&self) -> bool {
        self.fields.is_empty()
    }

    /// The instance that the fields describe.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] names the key and the field.
    pub(super) fn row(&self, id: &InstanceId) -> Result<InstanceRow, StoreError> {
        Ok(InstanceRow {
            id: id.clone(),
            name: self.name()?,
            version: self.optional_text(VERSION)?,
            execution: self.execution()?,
            status: self.status()?,
            commit_number: CommitNumber(self.number(COMMIT_NUMBER)?),
            last_commit: self.optional_wide(LAST_COMMIT)?.map(CommitId::from_bits),
            last_seq: EventSeq(self.number(EVENT_SEQ)?),
            start_id: StartId::new(self.text(START_ID)?).map_err(|error| self.broken(START_ID, error))?,
            created: self.time(CREATED)?,
            changed: self.time(CHANGED)?,
            input: self
                .optional(INPUT)?
                .ok_or_else(|| self.broken(INPUT, "it is missing"))?,
            output: self.optional(OUTPUT)?,
            failure: self.optional(FAILURE)?,
            waiting_for: self.optional(WAITING_FOR)?,
            attempts: match self.fields.contains_key(ATTEMPTS) {
                true => self.number(ATTEMPTS)?,
                false => 0,
            },
            tags: self.optional(TAGS)?.unwrap_or_default(),
            trace: self.optional(TRACE)?.unwrap_or_default(),
        })
    }

    /// The instance without its payloads.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] names the key and the field.
    pub(super) fn summary(&self, id: &InstanceId) -> Result<InstanceSummary, StoreError> {
        Ok(InstanceSummary {
            id: id.clone(),
            name: self.name()?,
            execution: self.execution()?,
            status: self.status()?,
            created: self.time(CREATED)?,
            changed: self.time(CHANGED)?,
            waiting_for: self.optional(WAITING_FOR)?,
        })
    }

    fn name(&self) -> Result<FunctionName, StoreError> {
        FunctionName::new(self.text(NAME)?).map_err(|error| self.broken(NAME, error))
    }

    fn execution(&self) -> Result<ExecutionId, StoreError> {
        self.optional_wide(EXECUTION)?
            .map(ExecutionId::from_bits)
            .ok_or_else(|| self.broken(EXECUTION, "it is missing"))
    }

    fn status(&self) -> Result<Status, StoreError> {
        let code: u8 = self.number(STATUS)?;
        Status::try_from(code).map_err(|error| self.broken(STATUS, error))
    }

    fn time(&self, field: &str) -> Result<Timestamp, StoreError> {
        self.number(field).map(Timestamp::from_micros)
    }

    fn text(&self, field: &str) -> Result<String, StoreError> {
        self.optional_text(field)?
            .ok_or_else(|| self.broken(field, "it is missing"))
    }

    fn optional_text(&self, field: &str) -> Result<Option<String>, StoreError> {
        let Some(stored) = self.fields.get(field) else {
            return Ok(None);
        };
        match str::from_utf8(stored) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(error) => Err(self.broken(field, error)),
        }
    }

    fn number<T: std::str::FromStr>(&self, field: &str) -> Result<T, StoreError> {
        let text = self.text(field)?;
        text.parse()
            .map_err(|_| self.broken(field, format!("{text:?} is no number")))
    }

    fn optional_wide(&self, field: &str) -> Result<Option<u128>, StoreError> {
        let Some(stored) = self.fields.get(field) else {
            return Ok(None);
        };
        match <[u8; 16]>::try_from(&stored[..]) {
            Ok(bytes) => Ok(Some(u128::from_be_bytes(bytes))),
            Err(_) => Err(self.broken(field, format!("{} bytes where 16 belong", stored.len()))),
        }
    }

    fn optional<T: DeserializeOwned>(&self, field: &str) -> Result<Option<T>, StoreError> {
        let Some(stored) = self.fields.get(field) else {
            return Ok(None);
        };
        codec::decode("field", stored)
            .map(Some)
            .map_err(|error| self.broken(field, error))
    }

    fn broken(&self, field: &str, why: impl std::fmt::Display) -> StoreError {
        unreadable(self.key, format!("field {field}: {why}"))
    }
}

fn decimal(number: impl std::fmt::Display) -> Bytes {
    number.to_string().into()
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhaul_shared::payload::Payload;
    use longhaul_shared::trace::TraceContext;

    fn start() -> StartInstance {
        StartInstance {
            id: InstanceId::new("order-7").unwrap(),
            start_id: StartId::new("s-1").unwrap(),
            name: FunctionName::new("backup").unwrap(),
            version: Some("2".to_owned()),
            input: Payload::json("7").unwrap(),
            tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            trace: TraceContext::from_headers(Some("00-aa-bb-01"), None),
            execution: ExecutionId::from_bits(0xfeed),
        }
    }

    fn stored(start: &StartInstance) -> BTreeMap<String, Bytes> {
        let mut fields: BTreeMap<String, Bytes> = of_start(start)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        fields.insert(CREATED.to_owned(), decimal(5));
        fields.insert(CHANGED.to_owned(), decimal(5));
        fields
    }

    #[test]
    fn a_new_row_reads_back() {
        let start = start();
        let row = StoredRow::new("key", stored(&start)).row(&start.id).unwrap();
        assert_eq!(row.status, Status::Pending);
        assert_eq!((row.commit_number, row.last_commit), (CommitNumber(0), None));
        assert_eq!(
            (row.created, row.changed),
            (Timestamp::from_micros(5), row.created)
        );
        assert_eq!(
            (row.version, row.tags, row.trace),
            (start.version, start.tags, start.trace)
        );
        assert_eq!((row.input, row.execution), (start.input, start.execution));
    }

    #[test]
    fn what_cannot_be_read_names_key_and_field() {
        let start = start();
        let check = |field: &str, value: Option<&'static [u8]>, expected: &str| {
            let mut fields = stored(&start);
            match value {
                Some(value) => fields.insert(field.to_owned(), Bytes::from_static(value)),
                None => fields.remove(field),
            };
            let error = StoredRow::new("the-key", fields)
                .row(&start.id)
                .unwrap_err()
                .to_string();
            for part in ["the-key", "LH1109", field, expected] {
                assert!(error.contains(part), "{error} lacks {part}");
            }
        };
        check(NAME, None, "missing");
        check(NAME, Some(b"a b"), "name");
        check(STATUS, Some(b"2"), "not known");
        check(EXECUTION, Some(b"short"), "16");
        check(CREATED, Some(b"soon"), "no number");
        check(INPUT, Some(b"\xc1"), "field");
        check(VERSION, Some(b"\xff"), "utf-8");
    }

    #[test]
    fn an_unknown_field_is_passed_over() {
        let start = start();
        let mut fields = stored(&start);
        fields.insert("zz".to_owned(), Bytes::from_static(b"from a newer version"));
        assert!(StoredRow::new("key", fields).row(&start.id).is_ok());
    }
}
