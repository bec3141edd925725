//! Owns what the tests of this crate are tried on.
//! Never part of the library.

use longhaul_sdk::{Payload, Timestamp};
use longhaul_shared::id::{CommitNumber, EventSeq, ExecutionId, FunctionName, InstanceId, StartId};
use longhaul_shared::instance::{InstanceRow, Status};
use longhaul_shared::port::StoreError;
use longhaul_shared::trace::TraceContext;

pub(crate) fn unavailable() -> StoreError {
    StoreError::Unavailable {
        address: "nowhere".to_owned(),
        reason: "a test says so".to_owned(),
    }
}

pub(crate) fn row(status: Status) -> InstanceRow {
    InstanceRow {
        id: InstanceId::new("a").unwrap(),
        name: FunctionName::new("sample").unwrap(),
        version: None,
        execution: ExecutionId::from_bits(1),
        status,
        commit_number: CommitNumber(1),
        last_commit: None,
        last_seq: EventSeq(0),
        start_id: StartId::new("s").unwrap(),
        created: Timestamp::from_micros(0),
        changed: Timestamp::from_micros(0),
        input: Payload::unit(),
        output: None,
        failure: None,
        waiting_for: None,
        attempts: 0,
        tags: std::collections::BTreeMap::new(),
        trace: TraceContext::default(),
    }
}
