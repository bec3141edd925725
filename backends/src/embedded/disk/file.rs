//! Owns the open database file: read by anybody, written by the writer, closed and opened again after a full disk.
//! Never writes a hub's state by itself.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use longhaul_shared::port::StoreError;
use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};

use super::super::engine::{View, Visit};

/// The one table: ordered keys of the store, opaque values.
pub(super) const TABLE: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("longhaul");

/// How the database is opened, and opened again after the disk was full.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The open file, shared by readers and the writer.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) opener: Opener,
    /// `None` while it could not be opened again.
    pub(super) database: RwLock<Option<Database>>,
}

impl File {
    pub(super) fn view(&self) -> Result<Snapshot<'_>, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.closed())?;
        let table = database
            .begin_read()
            .map_err(redb::Error::from)
            .and_then(|transaction| transaction.open_table(TABLE).map_err(redb::Error::from))
            .map_err(|error| self.error(&error))?;
        Ok(Snapshot { file: self, table })
    }

    pub(super) fn make_table(&self) -> Result<(), StoreError> {
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
    pub(super) fn ensure_open(&self) -> Result<(), StoreError> {
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

    pub(super) fn close(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(database.take());
    }

    pub(super) fn closed(&self) -> StoreError {
        self.unavailable(&"it is closed after an error of the disk: see the log for it")
    }

    pub(super) fn unavailable(&self, reason: &dyn std::fmt::Display) -> StoreError {
        StoreError::Unavailable {
            address: self.path.display().to_string(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn error(&self, error: &redb::Error) -> StoreError {
        match error {
            redb::Error::Corrupted(reason) => damaged(&self.path, reason),
            other => self.unavailable(other),
        }
    }
}

/// The state as the last durable transaction left it.
pub(super) struct Snapshot<'a> {
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

pub(super) fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Bytes>, StorageError> {
    let value = table.get(key)?;
    Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
}

pub(super) fn scan(
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

pub(super) fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Unreadable {
        what: format!("the store {}", path.display()),
        reason: format!(
            "the file is damaged or not Longhaul's ({reason}): put a backup in its place, or move it away to begin an empty hub"
        ),
    }
}
