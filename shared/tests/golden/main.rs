//! Bytes that are stored or sent, pinned: a golden file each, beside this one. `docs/protocol.md` explains them.
//! Never writes a golden file unless `LONGHAUL_GOLDEN_WRITE=1` says so; CI never does.
//!
//! A test that fails here means that this version cannot read what another one wrote, or the other way round. New
//! optional fields and new kinds get new files; a file that has been released does not change.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of these tests may fail them"
)]

mod annotated;
mod cases;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use longhaul_shared::history::{EVENT_CODES, EventKind, decode_events};
use longhaul_shared::id::{Dispatch, Fingerprint, InstanceId, MessageId, ParkedId, PartitionId, QueueName};
use longhaul_shared::message::{BODY_VERSION, Destination, Envelope, Incoming, TaskResult};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::payload::Payload;
use longhaul_shared::time::Timestamp;
use longhaul_shared::{code, codec};

use crate::cases::Case;

const WRITE: &str = "LONGHAUL_GOLDEN_WRITE";

#[test]
fn values_are_written_as_the_golden_files_say() {
    for Case {
        name, title, encoded, ..
    } in cases::all()
    {
        let expected = annotated::file(title, &encoded);
        assert_eq!(
            annotated::bytes(&expected),
            encoded,
            "{name}: the annotation lost bytes"
        );
        compare(&format!("{name}.hex"), &expected);
    }
}

#[test]
fn golden_files_read_as_the_values() {
    for Case { name, check, .. } in cases::all() {
        check(&annotated::bytes(&read(&format!("{name}.hex"))));
    }
}

#[test]
fn fields_of_a_newer_version_are_passed_over() {
    for Case { name, check, .. } in cases::all() {
        let newer = annotated::with_more_fields(&annotated::items(&annotated::bytes(&read(&format!(
            "{name}.hex"
        )))));
        check(&newer);
    }
}

#[test]
fn an_event_of_an_unknown_kind_is_read_whatever_its_body() {
    let bodies: [&[u8]; 3] = [b"\x80", b"\xc0", b"\x82\xa1a\x93\x01\x02\x03\xa1b\xc4\x02\0\0"];
    for body in bodies {
        // {"k": 200, "t": 1, "d": body}, then an event of a known kind.
        let stored = [
            b"\x83\xa1k\xcc\xc8\xa1t\x01\xa1d",
            body,
            b"\x83\xa1k\x0e\xa1t\x02\xa1d\x80",
        ]
        .concat();
        let kinds: Vec<_> = decode_events(&stored)
            .unwrap()
            .into_iter()
            .map(|event| event.kind)
            .collect();
        assert_eq!(kinds, [EventKind::Unknown(200), EventKind::OrchestratorStarted]);
    }
}

#[test]
fn fields_that_may_be_absent_read_as_their_defaults() {
    // TaskCompleted without dp, WorkItem without nh, a terminate without r.
    let event =
        decode_events(b"\x83\xa1k\x07\xa1t\x01\xa1d\x82\xa2id\x05\xa1o\x82\xa1e\x01\xa1d\xc4\x01\xc0")
            .unwrap();
    assert!(matches!(&event[0].kind, EventKind::TaskCompleted(task) if task.dispatch == Dispatch(0)));
    let envelope = codec::encode(&Envelope::terminate(
        MessageId::from_bits(1),
        InstanceId::new("a").unwrap(),
        "x".to_owned(),
    ));
    let without_reason = replace_once(&envelope, b"\x81\xa1r\xa1x", b"\x80");
    assert!(codec::decode::<Envelope>("envelope", &without_reason).is_ok());
    let item = codec::encode(&cases::work_item());
    let without_count = replace_once(
        &replace_once(&item, b"\x8c\xa1v", b"\x8b\xa1v"),
        b"\xa2nh\x01",
        b"",
    );
    assert_eq!(
        codec::decode_work_item(&without_count).unwrap().times_not_hosted,
        0
    );
}

#[test]
fn a_body_of_a_newer_version_is_told_from_a_damaged_one() {
    let item = codec::encode(&cases::work_item());
    let newer = replace_once(
        &item,
        b"\xa1v\x01",
        &[0xa1, b'v', u8::try_from(BODY_VERSION + 1).unwrap()],
    );
    assert!(
        codec::decode_work_item(&newer)
            .unwrap_err()
            .to_string()
            .contains("LH1403")
    );
    assert!(
        codec::decode_work_item(&item[1..])
            .unwrap_err()
            .to_string()
            .contains("LH1402")
    );
}

#[test]
fn event_codes_are_those_of_the_golden_file() {
    let codes: String = EVENT_CODES
        .iter()
        .map(|(code, name)| format!("{code} {name}\n"))
        .collect();
    compare("event-codes.txt", &codes);
    let written: BTreeSet<u8> = cases::all()
        .iter()
        .filter(|case| case.name.starts_with("event-"))
        .map(|case| decode_events(&case.encoded).unwrap()[0].kind.code())
        .collect();
    assert!(
        EVENT_CODES.iter().all(|(code, _)| written.contains(code)),
        "every kind has a case"
    );
}

#[test]
fn hashes_are_those_of_the_golden_file() {
    let mut text = String::from("# Test vectors of docs/protocol.md. One a line: what, of what = value.\n");
    let mut line = |what: String, value: String| text.push_str(&format!("{what} = {value}\n"));
    for id in ["a", "nightly", "order-17", "order/ü 7"] {
        for partitions in [1, 16, 512] {
            let partition = PartitionId::of(&InstanceId::new(id).unwrap(), partitions);
            line(
                format!("partition of {id:?} among {partitions}"),
                partition.to_string(),
            );
        }
    }
    for parts in [
        &["ab", "c"] as &[&str],
        &["a", "bc"],
        &[],
        &["instance", "main", "m-1"],
    ] {
        let bytes: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        line(format!("hash128 of {parts:?}"), MessageId::of(&bytes).to_string());
        line(
            format!("hash64 of {parts:?}"),
            format!("{:016x}", Fingerprint::of(&bytes).0),
        );
    }
    lines_of_work(&mut line);
    let origins: [(Destination, &[u8]); 3] = [
        (Destination::Intake, b"Intake"),
        (Destination::Control(PartitionId(3)), b"Control(PartitionId(3))"),
        (
            Destination::Work(QueueName::new("gpu").unwrap()),
            b"Work(\"gpu\")",
        ),
    ];
    for (origin, written) in origins {
        let message = Incoming {
            message_id: Some("m-1".to_owned()),
            body: Bytes::from_static(b"{}"),
            ..Incoming::default()
        };
        let parked = ParkedMessage::new(origin, "LH1001", String::new(), Timestamp::default(), message);
        assert_eq!(parked.id, ParkedId::of(&[written, b"m-1", b"{}"]));
        let what = format!(
            "id of a parked message from {}, message id \"m-1\", body \"{{}}\"",
            written.escape_ascii()
        );
        line(what, parked.id.to_string());
    }
    compare("hashes.txt", &text);
}

fn lines_of_work(line: &mut impl FnMut(String, String)) {
    let item = cases::work_item();
    let unit = TaskResult::Completed(Payload::unit());
    line(
        "message id of work-item-full.hex".to_owned(),
        item.message_id().to_string(),
    );
    line(
        "id of its result".to_owned(),
        Envelope::task_done(cases::identity(), Dispatch(3), unit)
            .id
            .to_string(),
    );
    line(
        "id of its report that it is not hosted".to_owned(),
        Envelope::not_hosted(&item).id.to_string(),
    );
    line(
        "id of its report that it is parked".to_owned(),
        Envelope::task_parked(&item, code::ACTIVITY_KILLS).id.to_string(),
    );
    line(
        "id under which its attempts are counted".to_owned(),
        item.identity.attempts_id().to_string(),
    );
    line(
        "id under which it is parked".to_owned(),
        item.identity.parked_id().to_string(),
    );
    let nightly = InstanceId::new("nightly").unwrap();
    line(
        "id under which \"nightly\" is parked".to_owned(),
        codec::parked_instance_id(&nightly).to_string(),
    );
    let wake = codec::wake_message(PartitionId(3), nightly, item.scheduled);
    line(
        "id of the envelope that wakes \"nightly\"".to_owned(),
        codec::decode_control(&wake.body).unwrap()[0].id.to_string(),
    );
    line(
        "message id of the message that carries it to partition 3".to_owned(),
        wake.id.to_string(),
    );
}

#[test]
fn every_golden_file_belongs_to_a_case() {
    let mut known: BTreeSet<String> = cases::all()
        .iter()
        .map(|case| format!("{}.hex", case.name))
        .collect();
    assert_eq!(known.len(), cases::all().len(), "two cases have the same name");
    known.extend(["event-codes.txt", "hashes.txt"].map(str::to_owned));
    let files = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strays: Vec<_> = files
        .filter(|name| !name.ends_with(".rs") && !known.contains(name))
        .collect();
    assert!(strays.is_empty(), "no case writes {strays:?}");
}

/// Compares a text with a golden file; writes the file instead if the environment says so.
fn compare(file: &str, expected: &str) {
    if std::env::var_os(WRITE).is_some_and(|value| value == "1") {
        std::fs::write(directory().join(file), expected).unwrap();
    }
    assert_eq!(
        read(file),
        expected,
        "shared/tests/golden/{file} differs; {WRITE}=1 would write it anew"
    );
}

fn read(file: &str) -> String {
    let path = directory().join(file);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; {WRITE}=1 writes it", path.display()))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn replace_once(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(old));
    let at = places.next().unwrap();
    assert_eq!(places.next(), None, "{old:?} stands there twice");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}
