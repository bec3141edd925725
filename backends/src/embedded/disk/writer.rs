//! Owns the thread that writes: takes what waits, puts it into one transaction, syncs, then tells everybody.
//! Never tells anybody anything before the sync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use longhaul_shared::port::StoreError;
use redb::{StorageError, Table};
use tokio::sync::mpsc;

use super::super::clock::HubClock;
use super::super::engine::{Done, Step, View, Visit};
use super::super::keys;
use super::file::{File, TABLE, damaged, get, scan};
use super::note::OwnerNote;

/// Most changes in one transaction, and most bytes before another caller's changes wait for the next one: so
/// that no caller waits long for the others.
const STEPS_MAX: usize = 1_024;
const BYTES_MAX: usize = 8 * 1024 * 1024;

pub(super) struct Writer {
    file: Arc<File>,
    waiting: mpsc::Receiver<Vec<Step>>,
    clock: Arc<HubClock>,
    note: Option<OwnerNote>,
    /// What ended the store's service, if anything did.
    failed: Option<StoreError>,
}

/// Why a transaction is not kept.
struct Lost {
    told: StoreError,
    remedy: Remedy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Nothing is wrong with the file; the next transaction may do.
    TryAgain,
    /// The disk was full: what redb knows of the file is void, the file itself is sound. The next transaction
    /// opens it again.
    OpenAgain,
    /// After a sync that failed, the operating system may show what the disk does not hold: only a new start,
    /// once the disk is in order, makes sure of what is there.
    Stop,
}

impl Writer {
    pub(super) fn new(
        file: Arc<File>,
        waiting: mpsc::Receiver<Vec<Step>>,
        clock: Arc<HubClock>,
        note: OwnerNote,
    ) -> Self {
        Self {
            file,
            waiting,
            clock,
            note: Some(note),
            failed: None,
        }
    }

    /// Writes until no caller is left.
    pub(super) fn run(mut self) {
        while let Some(steps) = self.waiting.blocking_recv() {
            // Only a file that was damaged while it was open makes redb panic.
            if catch_unwind(AssertUnwindSafe(|| self.transact(Some(steps)))).is_err() {
                self.failed = Some(damaged(&self.file.path, "redb panicked: see the log"));
            }
        }
        // Keeps the newest time that was told, for a clock that has gone back at the next start.
        self.transact(None);
        drop(self.note.take());
        self.file.close();
    }

    fn transact(&mut self, first: Option<Vec<Step>>) {
        let mut told = Vec::new();
        let kept = match &self.failed {
            Some(failed) => Err(failed.clone()),
            None => self.write(first, &mut told).map_err(|lost| self.remedy(lost)),
        };
        for done in told {
            done(kept.clone());
        }
    }

    /// Runs steps and takes in whatever comes to wait meanwhile; all of it is durable when this returns `Ok`.
    fn write(&mut self, first: Option<Vec<Step>>, told: &mut Vec<Done>) -> Result<(), Lost> {
        let file = Arc::clone(&self.file);
        let unavailable = |told| Lost {
            told,
            remedy: Remedy::TryAgain,
        };
        file.ensure_open().map_err(unavailable)?;
        let database = file.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| unavailable(file.closed()))?;
        let lost = |error: redb::Error| lost(&file, &error);
        let transaction = database.begin_write().map_err(|error| lost(error.into()))?;
        let is_last = first.is_none();
        let (mut steps, mut bytes) = (0, 0);
        {
            let mut table = transaction
                .open_table(TABLE)
                .map_err(|error| lost(error.into()))?;
            let mut next = first;
            while let Some(batch) = next {
                for step in batch {
                    steps += 1;
                    bytes += self
                        .run_step(&mut table, step, told)
                        .map_err(|error| lost(error.into()))?;
                }
                let has_room = steps < STEPS_MAX && bytes < BYTES_MAX;
                next = has_room.then(|| self.waiting.try_recv().ok()).flatten();
            }
            let now = keys::time_bytes(self.clock.now());
            table
                .insert(keys::TIME, now.as_slice())
                .map_err(|error| lost(error.into()))?;
        }
        if bytes == 0 && !is_last {
            // Every step refused or found its work done: what their answers rest on is durable already.
            return transaction.abort().map_err(|error| lost(error.into()));
        }
        transaction.commit().map_err(|error| lost(error.into()))
    }

    /// Runs a step and writes what it decided; returns how many bytes those are.
    fn run_step(
        &self,
        table: &mut Writing<'_>,
        step: Step,
        told: &mut Vec<Done>,
    ) -> Result<usize, StorageError> {
        let view = WriteView {
            file: &self.file,
            table,
        };
        let (batch, done) = step(&view, self.clock.now());
        told.push(done);
        let mut bytes = 0;
        for (key, value) in batch.into_writes() {
            bytes += key.len();
            match value {
                Some(value) => {
                    bytes += value.len();
                    table.insert(key.as_slice(), value.as_ref())?;
                }
                None => {
                    table.remove(key.as_slice())?;
                }
            }
        }
        Ok(bytes)
    }

    fn remedy(&mut self, lost: Lost) -> StoreError {
        let path = self.file.path.display();
        match lost.remedy {
            Remedy::TryAgain => {}
            Remedy::OpenAgain => {
                tracing::error!(%path, error = %lost.told, "the store cannot be written: is the disk full?");
                self.file.close();
            }
            Remedy::Stop => {
                tracing::error!(
                    %path,
                    error = %lost.told,
                    "the store stops serving: put the disk in order, then start this program again"
                );
                self.failed = Some(lost.told.clone());
            }
        }
        lost.told
    }
}

fn lost(file: &File, error: &redb::Error) -> Lost {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let remedy = match error {
        redb::Error::Io(io) if matches!(io.kind(), StorageFull | QuotaExceeded | FileTooLarge) => {
            Remedy::OpenAgain
        }
        redb::Error::ValueTooLarge(_) | redb::Error::TransactionPoisoned => Remedy::TryAgain,
        _ => Remedy::Stop,
    };
    Lost {
        told: file.error(error),
        remedy,
    }
}

type Writing<'a> = Table<'a, &'static [u8], &'static [u8]>;

/// The state with all that the open transaction has written.
struct WriteView<'a, 'table> {
    file: &'a File,
    table: &'a Writing<'table>,
}

impl View for WriteView<'_, '_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        get(self.table, key).map_err(|error| self.file.error(&error.into()))
    }

    fn scan(&self, range: std::ops::Range<Vec<u8>>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan(self.file, self.table, range, visit)
    }
}
