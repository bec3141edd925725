//! Owns the state of a hub on disk: one redb file, one thread that writes it, any number of readers.
//! Never answers a change before it is synced to the disk.
//!
//! Reads run where they are called, on the last durable state, and never wait for a write. Changes queue for
//! the writer, which puts all that wait into one transaction: one sync serves many. Why redb:
//! `docs/adr/0002-embedded-engine.md`.

mod file;
mod note;
mod writer;

#[cfg(test)]
mod tests;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;

use futures::future::{BoxFuture, FutureExt};
use longhaul_shared::port::StoreError;
use redb::{Database, DatabaseError, StorageError};
use tokio::sync::mpsc;

use super::clock::HubClock;
use super::engine::{Engine, Step, View};
use super::keys;
use file::{File, Opener, damaged};
use note::OwnerNote;
use writer::Writer;

/// The file in the hub's directory.
const FILE: &str = "longhaul.redb";

/// How much of the file is kept in memory, in bytes: the hot rows of a development machine's hub.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// How many callers may wait for the writer before the next waits for a place.
const QUEUE_MAX: usize = 1_024;

pub(super) struct Disk {
    file: Arc<File>,
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Vec<Step>>>,
    writer: Option<JoinHandle<()>>,
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

fn refused(path: &Path, what: &str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Refused {
        reason: format!("{} {what}: {reason}", path.display()),
    }
}
