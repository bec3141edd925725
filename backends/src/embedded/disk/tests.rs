//! Owns what only a disk can do wrong: be full, fail to sync, hold what another version wrote, restart.
//! Never uses a real disk where its failures must come on demand.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};

use futures::future::join_all;
use longhaul_shared::time::Timestamp;
use redb::StorageBackend;

use bytes::Bytes;

use super::super::clock::{Clock, HubClock};
use super::super::engine::{Batch, answered, step};
use super::super::record::{self, HubRecord, SCHEMA};
use super::*;

/// What is the matter with the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Well,
    Full,
    CannotSync,
    /// A sync does not return until the mood has changed.
    Slow,
}

/// A disk in memory that fails as it is told, and keeps its bytes when the database is closed.
#[derive(Clone, Debug)]
struct MoodyDisk(Arc<MoodyState>);

#[derive(Debug)]
struct MoodyState {
    bytes: Mutex<Vec<u8>>,
    mood: Mutex<Mood>,
    changed: Condvar,
    syncs: AtomicU32,
    /// How many syncs wait for the mood to change.
    waiting: AtomicU32,
}

impl MoodyDisk {
    fn new() -> Self {
        Self(Arc::new(MoodyState {
            bytes: Mutex::default(),
            mood: Mutex::new(Mood::Well),
            changed: Condvar::new(),
            syncs: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
        }))
    }

    fn becomes(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
        self.0.changed.notify_all();
    }

    fn has_room(&self) -> io::Result<()> {
        if *self.0.mood.lock().unwrap() == Mood::Full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn hub(&self, dir: &Path, clock: i64) -> Result<Disk, StoreError> {
        let disk = self.clone();
        let opener: Opener = Box::new(move || Database::builder().create_with_backend(disk.clone()));
        let clock = HubClock::new(Arc::new(Fixed(clock)));
        Disk::start(dir, dir.join("moody"), opener, Arc::new(clock))
    }
}

impl StorageBackend for MoodyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0.bytes.lock().unwrap()[at..at + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.has_room()?;
        self.0
            .bytes
            .lock()
            .unwrap()
            .resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        let mut mood = self.0.mood.lock().unwrap();
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        while *mood == Mood::Slow {
            mood = self.0.changed.wait(mood).unwrap();
        }
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        match *mood {
            Mood::CannotSync => Err(io::Error::other("the disk is on fire")),
            _ => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.has_room()?;
        let at = usize::try_from(offset).unwrap();
        self.0.bytes.lock().unwrap()[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

struct Fixed(i64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0)
    }
}

async fn put(disk: &Disk, key: &str, value: impl Into<Bytes>) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put(key.as_bytes().to_vec(), value);
    let (step, answer) = step(move |_view, _now| Ok((batch, ())), |()| ());
    disk.apply(vec![step]).await;
    answered(answer, "moody").await
}

fn has(disk: &Disk, key: &str) -> bool {
    disk.view().unwrap().get(key.as_bytes()).unwrap().is_some()
}

#[tokio::test]
async fn a_full_disk_refuses_and_serves_again_when_there_is_room() {
    let (dir, moody) = (tempfile::tempdir().unwrap(), MoodyDisk::new());
    let disk = moody.hub(dir.path(), 1).unwrap();
    put(&disk, "kept", "1").await.unwrap();
    moody.becomes(Mood::Full);
    for _ in 0..3 {
        let refused = put(&disk, "refused", vec![0; 100_000]).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable { .. })),
            "{refused:?}"
        );
    }
    moody.becomes(Mood::Well);
    put(&disk, "later", "3").await.unwrap();
    assert!(has(&disk, "kept") && has(&disk, "later"));
    drop(disk);
    let disk = moody.hub(dir.path(), 1).unwrap();
    assert!(has(&disk, "kept") && has(&disk, "later"));
}

#[tokio::test]
async fn a_failed_sync_stops_the_store_until_it_is_started_again() {
    let (dir, moody) = (tempfile::tempdir().unwrap(), MoodyDisk::new());
    let disk = moody.hub(dir.path(), 1).unwrap();
    put(&disk, "kept", "1").await.unwrap();
    moody.becomes(Mood::CannotSync);
    let lost = put(&disk, "lost", "2").await.unwrap_err();
    assert!(lost.to_string().contains("on fire"), "{lost}");
    moody.becomes(Mood::Well);
    assert_eq!(
        put(&disk, "more", "3")
            .await
            .map_err(|error| error.is_retryable()),
        Err(true)
    );
    drop(disk);
    let disk = moody.hub(dir.path(), 1).unwrap();
    assert!(has(&disk, "kept"));
    put(&disk, "more", "3").await.unwrap();
}

#[tokio::test]
async fn changes_that_wait_together_share_a_sync() {
    const CHANGES: u32 = 400;
    let (dir, moody) = (tempfile::tempdir().unwrap(), MoodyDisk::new());
    let disk = moody.hub(dir.path(), 1).unwrap();
    moody.becomes(Mood::Slow);
    let keys: Vec<_> = (0..CHANGES).map(|number| number.to_string()).collect();
    let changes = join_all(keys.iter().map(|key| put(&disk, key, "v")));
    let before = moody.0.syncs.load(Ordering::SeqCst);
    let release = async {
        // By now every change was handed over: join_all polls them all before this.
        while moody.0.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        moody.becomes(Mood::Well);
    };
    let (answers, ()) = futures::future::join(changes, release).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(keys.iter().all(|key| has(&disk, key)));
    let syncs = moody.0.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= 6, "{CHANGES} changes took {syncs} syncs");
}

#[tokio::test]
async fn a_change_is_not_answered_before_it_is_synced() {
    let (dir, moody) = (tempfile::tempdir().unwrap(), MoodyDisk::new());
    let disk = moody.hub(dir.path(), 1).unwrap();
    moody.becomes(Mood::Slow);
    let mut change = Box::pin(put(&disk, "a", "v"));
    while moody.0.waiting.load(Ordering::SeqCst) == 0 {
        assert!(
            futures::poll!(change.as_mut()).is_pending(),
            "answered before the sync"
        );
        tokio::task::yield_now().await;
    }
    assert!(
        futures::poll!(change.as_mut()).is_pending(),
        "answered during the sync"
    );
    moody.becomes(Mood::Well);
    change.await.unwrap();
}

#[tokio::test]
async fn time_does_not_go_back_over_a_restart() {
    let (dir, moody) = (tempfile::tempdir().unwrap(), MoodyDisk::new());
    let disk = moody.hub(dir.path(), 5_000).unwrap();
    put(&disk, "a", "v").await.unwrap();
    drop(disk);
    let clock = Arc::new(HubClock::new(Arc::new(Fixed(4_000))));
    let opener: Opener = Box::new(move || Database::builder().create_with_backend(moody.clone()));
    let _disk = Disk::start(dir.path(), dir.path().join("moody"), opener, Arc::clone(&clock)).unwrap();
    assert_eq!(clock.now(), Timestamp::from_micros(5_000));
}

#[tokio::test]
async fn a_newer_hub_is_refused() {
    let (dir, moody) = (tempfile::tempdir().unwrap(), MoodyDisk::new());
    let disk = moody.hub(dir.path(), 1).unwrap();
    let newer = HubRecord {
        schema: SCHEMA + 1,
        partitions: 4,
        epoch: 0,
        epoch_nonce: 0,
        queues: Vec::new(),
    };
    let key = std::str::from_utf8(keys::HUB).unwrap();
    put(&disk, key, record::bytes(&newer)).await.unwrap();
    let refused = super::super::hub::existing(&*disk.view().unwrap()).map(|_| ());
    let reason = refused.unwrap_err().to_string();
    assert!(
        reason.contains("LH1504") && reason.contains("newer program"),
        "{reason}"
    );
}
