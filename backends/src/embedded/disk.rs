//! Owns the state of a hub on disk: one redb file, one thread that writes it, any number of readers.
//! Never answers a change before it is synced to the disk.
//!
//! Reads run where they are called, on the last durable state, and never wait for a write. Changes queue for
//! the writer, which puts all that wait into one transaction: one sync serves many. Why redb:
//! `docs/adr/0002-embedded-engine.md`.

mod note;
mod writer;

#[cfg(test)]
mod tests;

use std::fs;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use longhaul_shared::port::StoreError;
use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};
use tokio::sync::mpsc;

use super::clock::HubClock;
use super::engine::{Engine, Step, View, Visit};
use super::keys;
use note::OwnerNote;
use writer::Writer;

/// The one table: ordered keys of the store, opaque values.
const TABLE: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("longhaul");

/// The file in the hub's directory.
const FILE: &str = "longhaul.redb";

/// How much of the file is kept in memory, in bytes: the hot rows of a development machine's hub.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// How many callers may wait for the writer before the next waits for a place.
const QUEUE_MAX: usize = 1_024;

/// How the database is opened, and opened again after the disk was full.
type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) struct Disk {
    file: Arc<File>,
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Vec<Step>>>,
    writer: Option<JoinHandle<()>>,
}

/// The open file, shared by readers and the writer.
struct File {
    path: PathBuf,
    opener: Opener,
    /// `None` while it could not be opened again.
    database: RwLock<Option<Database>>,
}

impl Disk {
    /// Opens the hub in this directory, or begins one.
    pub(super) fn open(dir: &Path, clock: Arc<HubClock>) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|error| refused(dir, "cannot be made", &error))?;
        let path = dir.join(FILE);
        let opener: Opener = Box::new({
            let path = path.clone();
            move || {
                Database::builder()
                    .set_cache_size(CACHE_BYTES)
                    .set_check_integrity_on_open(true)
                    .create(&path)
            }
        });
        Self::start(dir, path, opener, clock)
    }

    fn start(dir: &Path, path: PathBuf, opener: Opener, clock: Arc<HubClock>) -> Result<Self, StoreError> {
        let database = first_opening(&opener).map_err(|error| not_opened(dir, &path, error))?;
        let file = Arc::new(File {
            path,
            opener,
            database: RwLock::new(Some(database)),
        });
        file.make_table()?;
        if let Some(seen) = file.view()?.get(keys::TIME)? {
            let seen = keys::read_time(&seen).ok_or_else(|| super::record::foreign_key(keys::TIME))?;
            clock.not_before(seen);
        }
        let note = OwnerNote::write(dir, clock.now());
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let writer = Writer::new(Arc::clone(&file), waiting, clock, note);
        let writer = std::thread::Builder::new()
            .name("longhaul-store".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| refused(dir, "cannot be written: no thread can be started", &error))?;
        Ok(Self {
            file,
            queue: Some(queue),
            writer: Some(writer),
        })
    }
}

impl Engine for Disk {
    fn view(&self) -> Result<Box<dyn View + '_>, StoreError> {
        Ok(Box::new(self.file.view()?))
    }

    fn apply(&self, steps: Vec<Step>) -> BoxFuture<'_, ()> {
        async move {
            if let Some(queue) = &self.queue {
                // Without a writer the steps are dropped, which tells their callers.
                let _sent = queue.send(steps).await;
            }
        }
        .boxed()
    }
}

impl Drop for Disk {
    /// Waits for the changes that were handed over, at most a few syncs; then the directory is free.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(path = %self.file.path.display(), "the store's writer ended with a panic");
        }
    }
}

impl File {
    fn view(&self) -> Result<Snapshot<'_>, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.closed())?;
        let table = database
            .begin_read()
            .map_err(redb::Error::from)
            .and_then(|transaction| transaction.open_table(TABLE).map_err(redb::Error::from))
            .map_err(|error| self.error(&error))?;
        Ok(Snapshot { file: self, table })
    }

    fn make_table(&self) -> Result<(), StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.closed())?;
        let made = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            transaction.open_table(TABLE)?;
            Ok(transaction.commit()?)
        };
        made().map_err(|error| self.error(&error))
    }

    /// Opens the database again if it was closed after the disk was full.
    fn ensure_open(&self) -> Result<(), StoreError> {
        let known = self.database.read().unwrap_or_else(PoisonError::into_inner);
        if known.is_some() {
            return Ok(());
        }
        drop(known);
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let opened = (self.opener)().map_err(|error| self.error(&redb::Error::from(error)))?;
        *database = Some(opened);
        Ok(())
    }

    fn close(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(database.take());
    }

    fn closed(&self) -> StoreError {
        self.unavailable(&"it is closed after an error of the disk: see the log for it")
    }

    fn unavailable(&self, reason: &dyn std::fmt::Display) -> StoreError {
        StoreError::Unavailable {
            address: self.path.display().to_string(),
            reason: reason.to_string(),
        }
    }

    fn error(&self, error: &redb::Error) -> StoreError {
        match error {
            redb::Error::Corrupted(reason) => damaged(&self.path, reason),
            other => self.unavailable(other),
        }
    }
}

/// The state as the last durable transaction left it.
struct Snapshot<'a> {
    file: &'a File,
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl View for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        get(&self.table, key).map_err(|error| self.file.error(&error.into()))
    }

    fn scan(&self, range: Range<Vec<u8>>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan(self.file, &self.table, range, visit)
    }
}

fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Bytes>, StorageError> {
    let value = table.get(key)?;
    Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
}

fn scan(
    file: &File,
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    range: Range<Vec<u8>>,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let failed = |error: StorageError| file.error(&error.into());
    let entries = table.range::<&[u8]>(range.start.as_slice()..range.end.as_slice());
    for entry in entries.map_err(failed)? {
        let (key, value) = entry.map_err(failed)?;
        if let ControlFlow::Break(()) = visit(key.value(), value.value())? {
            break;
        }
    }
    Ok(())
}

/// Opens a database of which nothing is known. It is read as a whole and checked, since redb checks nothing when
/// it reads later: damage would come back as other data, or as a panic. A header that contradicts itself may make
/// it panic even so.
fn first_opening(opener: &Opener) -> Result<Database, DatabaseError> {
    catch_unwind(AssertUnwindSafe(opener)).unwrap_or_else(|_panic| {
        let reason = "its contents contradict each other".to_owned();
        Err(DatabaseError::Storage(StorageError::Corrupted(reason)))
    })
}

fn not_opened(dir: &Path, path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::Refused {
            reason: format!(
                "[LH1505] {} is in use by {}: stop it first, or use another directory",
                dir.display(),
                OwnerNote::read(dir)
            ),
        },
        DatabaseError::UpgradeRequired(version) => StoreError::Incompatible {
            reason: format!(
                "{} has file format {version}, which only an older program reads: use that one, or another directory",
                path.display()
            ),
        },
        DatabaseError::Storage(StorageError::Io(error)) if !is_damage(&error) => {
            refused(path, "cannot be opened", &error)
        }
        DatabaseError::Storage(StorageError::Io(error)) => damaged(path, &error.to_string()),
        DatabaseError::Storage(StorageError::Corrupted(reason)) => damaged(path, &reason),
        other => refused(path, "cannot be opened", &other),
    }
}

/// redb tells a file that is not its own as bad data or as one that ends too early.
fn is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    matches!(error.kind(), InvalidData | UnexpectedEof)
}

fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Unreadable {
        what: format!("the store {}", path.display()),
        reason: format!(
            "the file is damaged or not Longhaul's ({reason}): put a backup in its place, or move it away to begin an empty hub"
        ),
    }
}

fn refused(path: &Path, what: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Refused {
        reason: format!("{} {what}: {reason}", path.display()),
    }
}
