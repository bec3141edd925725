//! What only the embedded hub promises: it survives a restart, lives in one process at a time, and says what is
//! wrong with its directory. What every hub promises is in the conformance suites.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use longhaul_backends::embedded::{Clock, Embedded};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::id::{Epoch, ExecutionId, FunctionName, InstanceId, QueueName, StartId};
use longhaul_shared::instance::{InstanceRow, StartInstance, Status};
use longhaul_shared::message::{Destination, Envelope};
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{
    Created, HubSettings, LoadRequest, Posted, PublishError, Runtime, Source, Store, StoreError,
};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;

const SETTINGS: HubSettings = HubSettings { partitions: 4 };

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime::current())
}

fn open(dir: &Path) -> Result<Embedded, StoreError> {
    Embedded::open(dir, runtime())
}

fn reason(opened: Result<Embedded, StoreError>) -> String {
    match opened {
        Ok(_) => panic!("the hub should not open"),
        Err(error) => error.to_string(),
    }
}

fn start(id: &str) -> StartInstance {
    StartInstance {
        id: InstanceId::new(id).unwrap(),
        start_id: StartId::new(format!("start of {id}")).unwrap(),
        name: FunctionName::new("backup").unwrap(),
        version: None,
        input: Payload::unit(),
        tags: BTreeMap::new(),
        trace: TraceContext::default(),
        execution: ExecutionId::from_bits(7),
    }
}

async fn create(store: &Arc<dyn Store>, id: &str) {
    assert_eq!(store.create(start(id)).await, Ok(Created::New));
}

#[tokio::test]
async fn a_hub_is_as_it_was_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).unwrap();
    hub.store().open_hub(SETTINGS).await.unwrap();
    create(&hub.store(), "a").await;
    let letter = Envelope::wake(InstanceId::new("a").unwrap());
    assert_eq!(hub.store().post(letter.clone()).await, Ok(Posted::Accepted));
    hub.store()
        .advance_epoch(Epoch::new(0), Epoch::new(1))
        .await
        .unwrap();
    drop(hub);

    let hub = open(dir.path()).unwrap();
    let store = hub.store();
    let request = LoadRequest {
        id: InstanceId::new("a").unwrap(),
        history: true,
    };
    let loaded = store.load(vec![request]).await.remove(0).unwrap().unwrap();
    assert_eq!(loaded.row.status, Status::Pending);
    assert_eq!(loaded.inbox, [letter]);
    let repeated = store.create(start("a")).await;
    assert_eq!(
        repeated,
        Ok(Created::Repeated(Status::Pending)),
        "before open_hub, too"
    );
    let info = store.open_hub(HubSettings { partitions: 9 }).await.unwrap();
    assert_eq!((info.partitions, info.epoch), (4, Epoch::new(1)));
}

#[tokio::test]
async fn the_broker_of_a_new_process_has_lost_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).unwrap();
    hub.broker().declare(4, &[QueueName::default()]).await.unwrap();
    hub.broker().declare_epoch(Epoch::new(1)).await.unwrap();
    drop(hub);
    let hub = open(dir.path()).unwrap();
    assert_eq!(hub.broker().has_epoch(Epoch::new(1)).await, Ok(false));
    assert!(hub.broker().subscribe(Source::Intake, 1).await.is_err());
}

#[tokio::test]
async fn a_work_queue_is_made_by_its_first_message() {
    let broker = Embedded::in_memory(runtime()).broker();
    let gpu = QueueName::new("gpu").unwrap();
    let publication = |destination| longhaul_shared::message::Publication {
        destination,
        id: longhaul_shared::id::MessageId::from_bits(1),
        kind: "work".to_owned(),
        correlation: None,
        content_type: "application/msgpack".to_owned(),
        time: Timestamp::from_micros(1),
        trace: TraceContext::default(),
        body: "body".into(),
    };
    let to_intake = broker.publish(vec![publication(Destination::Intake)]).await;
    assert!(matches!(to_intake[..], [Err(PublishError::Unroutable { .. })]));
    let to_gpu = broker
        .publish(vec![publication(Destination::Work(gpu.clone()))])
        .await;
    assert_eq!(to_gpu, [Ok(())]);
    let mut subscription = broker.subscribe(Source::Work(gpu), 1).await.unwrap();
    assert_eq!(&subscription.next().await.unwrap().message.body[..], b"body");
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).unwrap();
    let reason = reason(open(dir.path()));
    let process = format!("process {}", std::process::id());
    for part in ["LH1505", &process, dir.path().to_str().unwrap(), "stop it first"] {
        assert!(reason.contains(part), "{part:?} is not in {reason:?}");
    }
    hub.store().open_hub(SETTINGS).await.unwrap();
    drop(hub);
    drop(open(dir.path()).unwrap());
    assert!(
        !dir.path().join("longhaul.owner").exists(),
        "the note goes with its owner"
    );
}

#[tokio::test]
async fn a_damaged_file_is_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).unwrap();
    hub.store().open_hub(SETTINGS).await.unwrap();
    for number in 0..500 {
        create(&hub.store(), &format!("instance {number}")).await;
    }
    drop(hub);
    let file = dir.path().join("longhaul.redb");
    let sound = fs::read(&file).unwrap();
    let garbage = b"this is no database ".repeat(1_000);
    let half = sound[..sound.len() / 2].to_vec();
    let mut no_magic = sound.clone();
    no_magic[0] ^= 0xff;
    let mut no_header = sound.clone();
    no_header[64..512].fill(0xa5);
    for (what, bytes) in [
        ("garbage", garbage),
        ("half of it", half),
        ("another magic number", no_magic),
        ("an overwritten header", no_header),
        ("a few bytes", b"redb".to_vec()),
    ] {
        fs::write(&file, bytes).unwrap();
        let reason = reason(open(dir.path()));
        for part in ["LH1109", "longhaul.redb", "damaged", "backup"] {
            assert!(reason.contains(part), "{what}: {part:?} is not in {reason:?}");
        }
    }
    fs::write(&file, sound).unwrap();
    open(dir.path()).expect("the sound file opens");
}

/// Whatever byte is flipped while the hub is closed: it opens and shows what was there, or says that it is damaged.
#[tokio::test]
async fn a_flipped_byte_is_never_believed() {
    const INSTANCES: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).unwrap();
    let store = hub.store();
    store.open_hub(SETTINGS).await.unwrap();
    let names: Vec<_> = (0..INSTANCES)
        .map(|number| format!("instance {number}"))
        .collect();
    join_all(names.iter().map(|name| create(&store, name))).await;
    let before = rows(&store, &names).await;
    drop((store, hub));
    let file = dir.path().join("longhaul.redb");
    let sound = fs::read(&file).unwrap();
    // Most of the file is room to grow; what is not zero was written, and may still be in use.
    let written: Vec<_> = (0..sound.len()).filter(|at| sound[*at] != 0).collect();
    let mut found = 0;
    for round in 0..60_usize {
        let at = written[(2 * round + 1) * written.len() / 120];
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << (round % 8);
        fs::write(&file, damaged).unwrap();
        match open(dir.path()) {
            Ok(hub) => assert_eq!(rows(&hub.store(), &names).await, before, "byte {at}"),
            Err(error) => {
                assert!(error.to_string().contains("LH1109"), "byte {at}: {error}");
                found += 1;
            }
        }
    }
    assert!(found > 5, "only {found} of 60 flips were found");
}

async fn rows(store: &Arc<dyn Store>, names: &[String]) -> Vec<InstanceRow> {
    let request = |name: &String| LoadRequest {
        id: InstanceId::new(name).unwrap(),
        history: true,
    };
    let loaded = store.load(names.iter().map(request).collect()).await;
    loaded
        .into_iter()
        .map(|loaded| loaded.unwrap().unwrap().row)
        .collect()
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let reason = reason(open(&file.join("hub")));
    assert!(reason.contains("cannot be made"), "{reason}");
    let deep = dir.path().join("some").join("where");
    open(&deep).expect("missing directories are made");
}

#[tokio::test]
async fn before_the_hub_is_made_nothing_is_accepted() {
    let store = Embedded::in_memory(runtime()).store();
    let refused = store.create(start("a")).await;
    assert!(
        matches!(refused, Err(StoreError::Incompatible { .. })),
        "{refused:?}"
    );
    let none = store.open_hub(HubSettings { partitions: 0 }).await;
    assert!(matches!(none, Err(StoreError::Incompatible { .. })), "{none:?}");
}

#[tokio::test]
async fn hub_time_survives_a_clock_that_is_set_back() {
    struct Set(AtomicI64);
    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::SeqCst))
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Set(AtomicI64::new(1_000)));
    let opened = |clock: &Arc<Set>| {
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        Embedded::open_with_clock(dir.path(), runtime(), clock).unwrap()
    };
    let hub = opened(&clock);
    clock.0.store(9_000, Ordering::SeqCst);
    assert_eq!(hub.store().time().await, Ok(Timestamp::from_micros(9_000)));
    drop(hub);
    clock.0.store(500, Ordering::SeqCst);
    let hub = opened(&clock);
    assert_eq!(hub.store().time().await, Ok(Timestamp::from_micros(9_000)));
    clock.0.store(9_001, Ordering::SeqCst);
    assert_eq!(hub.store().time().await, Ok(Timestamp::from_micros(9_001)));
}

/// In memory, no future of the store or the broker waits for a thread: one poll is enough.
#[tokio::test]
async fn in_memory_nothing_waits_for_another_thread() {
    use futures::FutureExt;
    let hub = Embedded::in_memory(runtime());
    let store = hub.store();
    assert!(store.open_hub(SETTINGS).now_or_never().is_some());
    assert!(store.create(start("a")).now_or_never().is_some());
    assert!(store.commit(Vec::new()).now_or_never().is_some());
    assert!(hub.broker().declare(4, &[]).now_or_never().is_some());
}
